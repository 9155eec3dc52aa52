"""lmEval: its options, what it refuses before anything is loaded, its rows as questions, and a model as the harness sees it."""

from __future__ import annotations

import importlib.util
import math
import re
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import pyarrow
import pyarrow.parquet
import pytest
import yaml
from lm_eval.api.instance import Instance
from tests.rows import entry
from tests.tablemodel import Room, TableModel, examples_of
from tests.unit.test_examples import tokens_with

from millwright_api.errors import DataNotFound, InvalidData, InvalidManifest, MillwrightError
from millwright_api.v1alpha1 import OptimizationJob
from millwright_runner.catalog import parse
from millwright_runner.data import find_data
from millwright_runner.data.reading import DataReader
from millwright_runner.data.tokens import Tokens
from millwright_runner.evaluation.bound import BoundMetric, bind_metrics
from millwright_runner.metrics.harness import judged
from millwright_runner.metrics.harness.bridge import Bridge
from millwright_runner.metrics.harness.judged import Judged
from millwright_runner.metrics.harness.shipped import names, read_task
from millwright_runner.metrics.lm_eval import LmEval, _measured

CHOICE = {
    "outputType": "multiple_choice",
    "docToText": "{{phrase}}:",
    "docToTarget": "tone",
    "docToChoice": ["sad", "joy"],
}
ROWS = [{"phrase": f"number {index}", "tone": ["sad", "joy"][index % 2]} for index in range(10)]


def metric(**options: Any) -> LmEval:
    return parse(LmEval, options, "metrics[0]")


def own(**options: Any) -> LmEval:
    return metric(config={**CHOICE, **options})


@pytest.fixture
def tokens(tmp_path: Path) -> Tokens:
    return tokens_with(tmp_path)


@pytest.fixture
def room(tmp_path: Path, tokens: Tokens) -> Callable[..., Room]:
    """Makes the room of a model that writes these answers."""

    def make(*said: str, rows: list[dict[str, Any]] = ROWS) -> Room:
        examples = examples_of(
            tmp_path, tokens, rows, columns=["phrase", "tone"], template="{phrase}:{tone}", answer="tone"
        )
        says = {example.prompt: answer for example, answer in zip(examples, said, strict=False)}
        placed = [(f"rows.jsonl, line {number}", row) for number, row in enumerate(rows, 1)]
        return Room(TableModel(tokens, says), tokens, examples, rows=placed)

    return make


class TestOptions:
    @pytest.mark.parametrize(
        ("options", "found"),
        [
            ({}, "exactly one of task, config is needed; none is given"),
            ({"task": "arc_easy", "config": CHOICE}, "exactly one of task, config is needed; both are given"),
            ({"config": CHOICE, "metric": "acc_nrom"}, "multiple_choice has no metric 'acc_nrom' here; did you mean 'acc_norm'?"),
            ({"config": CHOICE, "filter": "strict"}, "filter goes with task"),
            ({"config": {"outputType": "multiple_choice"}}, "needs docToChoice"),
            ({"config": {**CHOICE, "outputType": "loglikelihood"}}, "docToChoice goes with outputType multiple_choice"),
            ({"config": {**CHOICE, "docToTxt": "x"}}, "did you mean 'docToText'?"),
        ],
    )  # fmt: skip
    def test_what_does_not_go_together_is_refused(self, options: dict[str, Any], found: str) -> None:
        with pytest.raises(InvalidManifest) as caught:
            metric(**options)

        assert found in str(caught.value)

    def test_a_measurement_is_kept_under_all_of_them_but_the_batchs_size(self) -> None:
        assert metric(task="piqa", batchSize=4).key_options() == metric(task="piqa").key_options()
        assert metric(task="piqa", limit=4).key_options() != metric(task="piqa").key_options()


class TestItsData:
    def bound(self, use: dict[str, Any], *, usual: str | None = "d") -> BoundMetric:
        job = OptimizationJob.model_validate({
            "apiVersion": "millwright.dev/v1alpha1", "kind": "OptimizationJob", "metadata": {"name": "x"},
            "spec": {
                "model": {"path": "m"}, "output": {"path": "o"}, "passes": [{"merge": {}}],
                "data": [{"name": name, "source": {"path": "d.jsonl"}, "text": {"columns": ["phrase"]}} for name in "de"],
                "evaluation": {"metrics": [use], **({"data": usual} if usual else {})},
            },
        })  # fmt: skip
        return bind_metrics(job)[0]

    def test_a_task_of_the_harness_has_its_own(self) -> None:
        assert self.bound({"lmEval": {"task": "arc_easy"}}).data is None

    def test_a_task_of_the_harness_is_asked_on_the_jobs_where_it_names_some(self) -> None:
        bound = self.bound({"lmEval": {"task": "arc_easy"}, "data": "e"})

        assert bound.data is not None
        assert bound.data.name == "e"

    def test_a_task_of_ones_own_is_asked_on_the_evaluations(self) -> None:
        bound = self.bound({"lmEval": {"config": CHOICE}})

        assert bound.data is not None
        assert bound.data.name == "d"

    def test_a_task_of_ones_own_without_any_is_refused(self) -> None:
        with pytest.raises(InvalidManifest, match="lmEval is measured on data, and names none"):
            self.bound({"lmEval": {"config": CHOICE}}, usual=None)

    def test_without_a_column_for_answers_the_data_set_has_to_name_its_answers(self) -> None:
        with pytest.raises(InvalidManifest) as caught:
            self.bound({"lmEval": {"config": {"outputType": "generate_until"}}})

        assert caught.value.where == "spec.data[0].text.answer"


class TestBeforeAnythingIsLoaded:
    @pytest.mark.parametrize(
        ("options", "where", "found"),
        [
            ({"task": "arc_esay"}, "task", "lm_eval has no task 'arc_esay' (did you mean 'arc_easy'?)"),
            ({"task": "zzzzzzzzz"}, "task", "lm_eval has no task 'zzzzzzzzz' (lm-eval ls tasks lists them)"),
            ({"task": "mmlu"}, "task", "'mmlu' is a group of tasks"),
            ({"task": "arc_easy", "metric": "exact"}, "metric", "'arc_easy' has no metric 'exact' (possible: acc, acc_norm)"),
            ({"task": "arc_easy", "filter": "strict"}, "filter", "'arc_easy' has no filter 'strict' (possible: none)"),
            ({"task": "wikitext"}, "task", "'wikitext' has no metric that is a share; it has word_perplexity"),
            ({"task": "humaneval"}, "task", "'humaneval' runs code that the model writes"),
            ({"task": "lambada_openai", "metric": "perplexity"}, "metric", "has no metric 'perplexity' (possible: acc)"),
            ({"config": {**CHOICE, "docToText": "{{phrase"}}, "config.docToText", "malformed template"),
            ({"config": {**CHOICE, "docToChoice": ["a", "{% if"]}}, "config.docToChoice[1]", "malformed template"),
        ],
    )  # fmt: skip
    def test_what_cannot_be_measured_is_told(
        self, tokens: Tokens, options: dict[str, Any], where: str, found: str
    ) -> None:
        with pytest.raises(InvalidManifest) as caught:
            metric(**options).check(tokens)

        assert caught.value.where == where
        assert found in str(caught.value)

    @pytest.mark.parametrize(
        "options", [{"task": "gsm8k", "filter": "flexible-extract"}, {"task": "arc_easy"}, {"config": CHOICE}]
    )
    def test_what_can_be_measured_is_let_through(self, tokens: Tokens, options: dict[str, Any]) -> None:
        metric(**options).check(tokens)

        assert "arc_easy" in names()[0]

    def test_without_the_package_it_says_how_to_get_it(self, tokens: Tokens, monkeypatch: pytest.MonkeyPatch) -> None:
        without(monkeypatch, "lm_eval")

        with pytest.raises(
            InvalidManifest, match=r"lm_eval, which is not installed here \(pip install 'millwright\[lm-eval\]'"
        ):
            own().check(tokens)

    def test_the_light_half_of_the_runner_looks_at_the_options_alone(
        self, tokens: Tokens, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        without(monkeypatch, "lm_eval", "torch")

        metric(task="of a plug-in of theirs").check(tokens)
        with pytest.raises(InvalidManifest, match="malformed template"):
            own(docToText="{{").check(tokens)

    def test_a_task_is_read_with_what_it_includes_and_functions_by_their_names(self, tmp_path: Path) -> None:
        (tmp_path / "base.yaml").write_text(
            "output_type: multiple_choice\nprocess_docs: !function utils.clean\nnum_fewshot: 0\n"
        )
        (tmp_path / "task.yaml").write_text("include: base.yaml\ntask: mine\nnum_fewshot: 3\n")

        assert read_task(tmp_path / "task.yaml") == {
            "task": "mine", "output_type": "multiple_choice", "process_docs": "clean", "num_fewshot": 3,
        }  # fmt: skip


def without(monkeypatch: pytest.MonkeyPatch, *missing: str) -> None:
    """Lets packages not be found."""
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name in missing else find(name))


class TestRowsAsQuestions:
    def asked(self, room: Room, **options: Any) -> list[tuple[str, str | None]]:
        """Returns questions and right answers, as people see them."""
        return [(sample.prompt, sample.expected) for sample in own(**options).measure(room.model, room).samples]

    def test_a_template_is_filled_with_a_rows_columns(self, room: Callable[..., Room]) -> None:
        assert self.asked(room(), docToText="{{phrase|upper}}?")[:2] == [("NUMBER 0?", "sad"), ("NUMBER 1?", "joy")]

    def test_without_templates_the_data_sets_own_prompt_and_answer_are_asked(self, room: Callable[..., Room]) -> None:
        assert self.asked(room(), docToText=None, docToTarget=None)[1] == ("number 1:", "joy")

    def test_an_answer_may_be_its_place_among_the_choices(self, room: Callable[..., Room]) -> None:
        rows = [{"phrase": "a", "tone": 1}, {"phrase": "b", "tone": 0}]

        assert self.asked(room(rows=rows)) == [("a:", "joy"), ("b:", "sad")]

    def test_a_rows_own_choices_are_a_list_in_a_column(self, room: Callable[..., Room]) -> None:
        rows = [
            {"phrase": "a", "tone": "red", "choices": {"text": ["red", "blue"]}},
            {"phrase": "b", "tone": "up", "choices": {"text": ["up", "down"]}},
        ]

        assert self.asked(room(rows=rows), docToChoice=["choices.text"]) == [("a:", "red"), ("b:", "up")]

    @pytest.mark.parametrize(
        ("options", "found"),
        [
            ({"docToTarget": "{{tone}}y"}, "line 1: the right answer 'sady' is none of the choices (did you mean 'sad'?)"),
            ({"docToText": "{{phrse}}"}, "line 1: '{{phrse}}' cannot be filled: 'phrse' is undefined (the columns are phrase, tone)"),
            ({"docToText": "phrase.first"}, "line 1: there is no 'phrase.first' in this row"),
            ({"docToText": "{{ phrase.__class__.__mro__ }}"}, "line 1: '{{ phrase.__class__.__mro__ }}' cannot be filled: access to attribute"),
            ({"docToChoice": ["sad", "{{''}}", "joy"]}, "line 1: choice 2 is empty (look at docToChoice)"),
        ],
    )  # fmt: skip
    def test_a_row_that_does_not_fit_is_named(
        self, room: Callable[..., Room], options: dict[str, Any], found: str
    ) -> None:
        with pytest.raises(InvalidData) as caught:
            self.asked(room(), **options)

        assert found in str(caught.value)


class TestWhatIsMeasured:
    def test_the_value_is_the_share_of_right_choices_with_wilsons_interval(self, room: Callable[..., Room]) -> None:
        here = room()
        here.model.prefer(": joy")

        found = own().measure(here.model, here)

        assert (found.value, found.n) == (0.5, 10)
        assert found.scores == (0.0, 1.0) * 5
        assert found.low is not None
        assert found.low < 0.5
        assert found.details["standardError"] == pytest.approx(math.sqrt(0.25 / 9))
        assert {sample.answer for sample in found.samples} == {"joy"}

    def test_only_so_many_questions_are_asked_as_the_limit_says(self, room: Callable[..., Room]) -> None:
        here = room()

        assert metric(config=CHOICE, limit=3).measure(here.model, here).n == 3

    def test_what_is_no_mean_has_the_bootstraps_interval_over_questions(self) -> None:
        middle = Judged("median", 0.5, [0.1, 0.4, 0.5, 0.6, 0.9] * 8, statistics.median, (), [], False, 0)

        found = _measured(middle)

        assert (found.value, found.n, found.scores) == (0.5, 40, ())
        assert found.low is not None
        assert found.high is not None
        assert 0.1 < found.low <= 0.5 <= found.high < 0.9

    def test_what_is_no_share_is_refused(self) -> None:
        with pytest.raises(InvalidData, match=r"bleu is 31\.5, and no share"):
            _measured(Judged("bleu", 31.5, [()], statistics.mean, (), [], False, 0))

    def test_free_answers_are_compared_as_the_options_say(self, room: Callable[..., Room]) -> None:
        here = room("sad", "JOY!\nand so on", "no")
        task = {"outputType": "generate_until", "docToText": None, "docToChoice": None}

        assert own(**task).measure(here.model, here).value == 0.1
        assert own(**task, ignoreCase=True, ignorePunctuation=True).measure(here.model, here).value == 0.2

    def test_examples_stand_before_a_question_and_never_the_question_itself(self, room: Callable[..., Room]) -> None:
        here = room()

        samples = metric(config=CHOICE, numFewshot=9).measure(here.model, here).samples

        assert all(sample.prompt.count("number") == 10 for sample in samples)
        assert all(sample.prompt.count(sample.prompt.split("\n\n")[-1]) == 1 for sample in samples)

    def test_the_same_seed_gives_the_same_examples_and_another_one_others(self, room: Callable[..., Room]) -> None:
        def prompts(seed: int) -> list[str]:
            here = room()
            found = metric(config=CHOICE, numFewshot=3, seed=seed).measure(here.model, here)
            return [sample.prompt for sample in found.samples]

        assert prompts(1) == prompts(1) != prompts(2)

    def test_a_model_of_no_numbers_has_no_value(self, room: Callable[..., Room]) -> None:
        here = room()
        here.model.table[:] = math.nan

        assert math.isnan(own().measure(here.model, here).value)

    def test_nothing_is_written_to_the_screen(
        self, room: Callable[..., Room], capfd: pytest.CaptureFixture[str]
    ) -> None:
        here = room()

        metric(config=CHOICE, numFewshot=1).measure(here.model, here)

        assert capfd.readouterr() == ("", "")

    def test_a_task_whose_data_cannot_be_reached_says_which(
        self, room: Callable[..., Room], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def offline(**_: Any) -> None:
            raise ConnectionError("Couldn't reach 'allenai/ai2_arc' on the Hub (LocalEntryNotFoundError)")

        monkeypatch.setattr(datasets, "load_dataset", offline)
        here = Room(room().model, room().tokens, ())

        with pytest.raises(DataNotFound) as caught:
            metric(task="arc_easy").measure(here.model, here)

        assert "task arc_easy asks the data set allenai/ai2_arc at the hub, which cannot be read" in str(caught.value)

    def test_rows_that_a_task_cannot_ask_are_the_datas_fault(self, room: Callable[..., Room]) -> None:
        here = room()

        with pytest.raises(InvalidData, match="arc_easy cannot ask the rows"):
            metric(task="arc_easy").measure(here.model, here)

    def test_rows_of_mixed_kinds_are_no_table(self, room: Callable[..., Room]) -> None:
        here = room(rows=[{"phrase": "a", "tone": "x", "label": 1}, {"phrase": "b", "tone": "x", "label": "two"}])

        with pytest.raises(InvalidData, match="the rows are no table"):
            metric(task="arc_easy").measure(here.model, here)


class TestTheBridge:
    def bridge(self, room: Room, **options: Any) -> Bridge:
        return Bridge(
            room.model, room.tokens, **{"batch_size": 4, "greedy": False, "check": lambda: None, **options}
        )  # fmt: skip

    def request(self, *arguments: Any) -> Instance:
        return Instance("loglikelihood", {}, arguments, 0, ("task", 0, 1))

    def test_what_follows_counts_and_what_stands_before_does_not(self, room: Callable[..., Room]) -> None:
        here = room()
        whole, before = (
            encoding.ids for encoding in here.tokens.encode(["number 1: joy", "number 1:"], special=False, places=False)
        )
        expected = sum(
            here.model.table[a, b] for a, b in zip(whole[len(before) - 1 :], whole[len(before) :], strict=False)
        )

        found = self.bridge(here).loglikelihood([self.request("number 1:", " joy")])

        assert found == [(pytest.approx(expected, abs=1e-4), False)]

    def test_a_text_without_a_context_follows_the_token_that_begins_texts(self, room: Callable[..., Room]) -> None:
        here = room()
        begin = here.tokens.tokenizer.token_to_id("<s>")
        (ids,) = (encoding.ids for encoding in here.tokens.encode(["joy"], special=False, places=False))
        expected = sum(here.model.table[a, b] for a, b in zip([begin, *ids], ids, strict=False))

        bridge = self.bridge(here)

        assert bridge.loglikelihood([self.request("", "joy")])[0][0] == pytest.approx(expected, abs=1e-4)
        assert bridge.loglikelihood_rolling([self.request("joy")]) == [pytest.approx(expected, abs=1e-4)]

    @pytest.mark.parametrize(("said", "greedy"), [(" joy", True), (" sad", False)])
    def test_whether_greedy_search_writes_it_is_asked_of_the_model(
        self, room: Callable[..., Room], said: str, greedy: bool
    ) -> None:
        here = room(said)
        sure = self.bridge(here, greedy=True)

        assert sure.loglikelihood([self.request("number 0:", " joy")])[0][1] is greedy

    def test_an_answer_ends_before_the_first_of_its_stops(self, room: Callable[..., Room]) -> None:
        here = room("sad; and\nso on")
        ask = {"until": ["\n", ";"], "max_gen_toks": 20, "do_sample": False}

        assert self.bridge(here).generate_until([self.request("number 0:", ask)]) == ["sad"]

    def test_answers_that_are_drawn_by_chance_are_refused(self, room: Callable[..., Room]) -> None:
        ask = {"until": ["\n"], "max_gen_toks": 2, "do_sample": True, "temperature": 0.8}

        with pytest.raises(InvalidManifest, match="draws its answers by chance"):
            self.bridge(room()).generate_until([self.request("number 0:", ask)])

    def test_what_is_too_long_is_cut_off_at_its_start_and_counted(self, room: Callable[..., Room]) -> None:
        here = room()
        (here.tokens.folder / "config.json").write_text('{"max_position_embeddings": 8}')
        bridge = self.bridge(here)

        bridge.loglikelihood([self.request("number " * 20, " joy"), self.request("n:", " joy")])

        assert max(here.model.asked[-1]) == 8
        assert bridge.truncated == 1

    def test_a_long_text_is_scored_in_windows_that_count_each_token_once(self, room: Callable[..., Room]) -> None:
        here = room()
        text = "number 1 and number 2 and number 3"
        whole = self.bridge(here).loglikelihood_rolling([self.request(text)])
        (here.tokens.folder / "config.json").write_text('{"max_position_embeddings": 8}')

        found = self.bridge(here).loglikelihood_rolling([self.request(text)])

        assert found == [pytest.approx(whole[0], abs=1e-3)], "this model looks back one token only"
        assert max(here.model.asked[-1]) == 8

    def test_a_stop_is_heeded_in_between(self, room: Callable[..., Room]) -> None:
        def stop() -> None:
            raise MillwrightError("stopped")

        with pytest.raises(MillwrightError, match="stopped"):
            self.bridge(room(), check=stop).loglikelihood([self.request("a:", " b")])


def test_the_harness_speaks_again_when_it_was_asked(room: Callable[..., Room]) -> None:
    import lm_eval.api.task

    here, bars = room(), lm_eval.api.task.tqdm

    with judged._quiet():
        assert lm_eval.api.task.tqdm is not bars
    own().measure(here.model, here)

    assert lm_eval.api.task.tqdm is bars


def test_the_manifest_of_its_page_is_valid() -> None:
    page = (Path(__file__).parents[2] / "docs" / "lm-eval.md").read_text()
    (text,) = re.findall(r"^```yaml\n(.*?)^```", page, re.M | re.S)

    bound = bind_metrics(OptimizationJob.model_validate(yaml.safe_load(text)))

    assert [(one.name, one.data.name if one.data else None) for one in bound] == [
        ("tones", "holdout"),
        ("arc", "arc"),
        ("piqa", None),
    ]


def test_rows_come_with_all_columns_also_those_that_no_template_names(tmp_path: Path) -> None:
    rows = [{"question": "a", "choices": {"text": ["x", "y"]}, "key": 1}]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "rows.parquet")
    found = find_data(entry("rows.parquet", columns=["question"]), tmp_path, tmp_path / "home")

    assert [row for _, row in DataReader(found)] == [{"question": "a"}]
    assert [row for _, row in DataReader(found, every_column=True)] == rows
