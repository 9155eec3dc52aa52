"""exactMatch, f1, perplexity: values by hand, intervals, options, and models that are broken."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.tablemodel import Room, TableModel, examples_of
from tests.unit.test_data_chat import REWRITES, TURNS
from tests.unit.test_examples import TONE, tokens_with

from millwright_api.errors import InvalidData, InvalidManifest, MillwrightError
from millwright_api.v1alpha1 import OptimizationJob
from millwright_runner.catalog import parse
from millwright_runner.data.tokens import Tokens
from millwright_runner.evaluation.bound import METRICS, bind_metrics
from millwright_runner.metrics import Asking, Example, Metric, MetricContext, Sample
from millwright_runner.metrics.exact_match import ExactMatch
from millwright_runner.metrics.f1 import F1, class_f1, token_f1
from millwright_runner.metrics.intervals import wilson
from millwright_runner.metrics.perplexity import Perplexity, cut

LABELS = ["sad", "joy", "fear"]
RIGHT = ["sad", "joy", "fear", "sad", "joy", "fear", "sad", "joy", "fear", "sad"]


def metric(kind: type[Metric], **options: Any) -> Any:
    return parse(kind, options, "metrics[0]")


@pytest.fixture
def tokens(tmp_path: Path) -> Tokens:
    return tokens_with(tmp_path)


@pytest.fixture
def room(tmp_path: Path, tokens: Tokens) -> Callable[..., Room]:
    """Makes the room of a model that gives these answers to questions whose right answers are RIGHT."""

    def make(*given: str, right: list[str] = RIGHT, **text: Any) -> Room:
        rows = [{"phrase": f"number {index}", "tone": answer} for index, answer in enumerate(right)]
        examples = examples_of(tmp_path, tokens, rows, **{**TONE, **text})
        says = {example.prompt: answer for example, answer in zip(examples, given, strict=False)}
        return Room(TableModel(tokens, says), tokens, examples)

    return make


class TestExactMatch:
    def test_the_value_is_the_share_of_right_answers_with_wilsons_interval(self, room: Callable[..., Room]) -> None:
        here = room(*RIGHT[:8], "joy", "")

        found = metric(ExactMatch).measure(here.model, here)

        assert (found.value, found.n) == (0.8, 10)
        assert (found.low, found.high) == wilson(8, 10)
        assert found.scores == (1.0,) * 8 + (0.0,) * 2
        assert found.details == {"empty": 0.1}

    def test_white_space_around_answers_does_not_count_and_inside_it_does(self, room: Callable[..., Room]) -> None:
        here = room(" sad ", "very sad", "very  sad", right=["sad", "very sad ", "very sad"])

        assert metric(ExactMatch).measure(here.model, here).scores == (1.0, 1.0, 0.0)

    @pytest.mark.parametrize(("ignore", "scores"), [(False, (0.0, 1.0)), (True, (1.0, 1.0))])
    def test_case_counts_unless_it_is_ignored(self, room: Callable[..., Room], ignore: bool, scores: Any) -> None:
        here = room("SAD", "joy", right=["sad", "joy"])

        assert metric(ExactMatch, ignoreCase=ignore).measure(here.model, here).scores == scores

    def test_answers_end_at_a_lines_end_unless_told_otherwise(self, room: Callable[..., Room]) -> None:
        here = room("sad\nText: and so on", right=["sad"])

        assert metric(ExactMatch).measure(here.model, here).value == 1
        assert metric(ExactMatch, stop=[]).measure(here.model, here).value == 0
        assert metric(ExactMatch, stop=["a"]).measure(here.model, here).samples[0].answer == "s"

    def test_the_first_eight_questions_are_kept_to_look_at(self, room: Callable[..., Room]) -> None:
        here = room(*RIGHT)

        samples = metric(ExactMatch).measure(here.model, here).samples

        assert len(samples) == 8
        assert samples[1] == Sample("Text: number 1\nTone:\n", "joy", "joy")

    def test_with_labels_the_most_probable_one_is_the_answer(self, room: Callable[..., Room]) -> None:
        here = room()
        here.model.prefer("Tone:\njoy")

        found = metric(ExactMatch, labels=LABELS).measure(here.model, here)

        assert found.value == 0.3
        assert {sample.answer for sample in found.samples} == {"joy"}

    def test_a_right_answer_that_is_no_label_is_told_with_its_line(self, room: Callable[..., Room]) -> None:
        here = room(right=["sad", "joyy"])

        with pytest.raises(InvalidData) as caught:
            metric(ExactMatch, labels=LABELS).measure(here.model, here)

        assert str(caught.value) == (
            "rows.jsonl, line 2: the right answer 'joyy' is none of the labels (did you mean 'joy'?)"
        )

    def test_labels_may_differ_in_case_from_right_answers_when_that_is_ignored(self, room: Callable[..., Room]) -> None:
        here = room(right=["Sad", "JOY "])
        here.model.prefer("Tone:\njoy")

        assert metric(ExactMatch, labels=LABELS, ignoreCase=True).measure(here.model, here).value == 0.5

    @pytest.mark.parametrize("labels", [None, LABELS])
    def test_a_broken_model_gets_nothing_right(self, room: Callable[..., Room], labels: list[str] | None) -> None:
        here = room()
        here.model.table[:] = math.nan

        found = metric(ExactMatch, labels=labels).measure(here.model, here)

        assert (found.value, found.details) == (0, {"empty": 1.0})


class TestTokenF1:
    @pytest.mark.parametrize(("right", "answer", "value"), [
        ("the old man", "old man", 1), ("The Old Man!", "an old man", 1), ("old man", "old woman", 0.5), ("a b c", "d", 0),
        ("storm", "storm storm", 2 / 3), ("", "", 1), ("the", "a", 1), ("", "storm", 0), ("storm", "", 0),
    ])  # fmt: skip
    def test_it_is_squads(self, right: str, answer: str, value: float) -> None:
        assert token_f1(right, answer) == pytest.approx(value)

    def test_the_metrics_value_is_the_mean_over_answers(self, room: Callable[..., Room]) -> None:
        here = room("old man", "nobody", right=["the old woman", "nobody"])

        found = metric(F1).measure(here.model, here)

        assert (found.value, found.scores) == (0.75, (0.5, 1.0))
        assert found.low <= 0.75 <= found.high


class TestClassF1:
    PAIRS = (("cat", "cat"), ("cat", "dog"), ("dog", "dog"), ("dog", "dog"), ("pig", "dog"), ("pig", "pig"))
    """F1 of cat 2/3 (precision 1, recall 1/2), of dog 2/3 (1/2, 1), of pig 2/3 (1, 1/2)."""

    def test_macro_is_the_mean_over_classes(self) -> None:
        pairs = [("a", "a"), ("a", "a"), ("a", "a"), ("a", "b"), ("b", "a")]  # a: 2*3/(4+4); b: 0

        assert class_f1(pairs, weighted=False, closed=True) == pytest.approx((0.75 + 0) / 2)

    def test_weighted_is_the_mean_with_each_class_as_often_as_it_is_right(self) -> None:
        pairs = [("a", "a"), ("a", "a"), ("a", "a"), ("a", "b"), ("b", "a")]

        assert class_f1(pairs, weighted=True, closed=True) == pytest.approx(0.75 * 4 / 5)

    def test_a_class_of_its_own_kind_has_its_own_precision_and_recall(self) -> None:
        assert class_f1(self.PAIRS, weighted=False, closed=True) == pytest.approx(2 / 3)

    def test_a_label_that_was_only_given_is_a_class_of_labels_and_none_of_free_text(self) -> None:
        pairs = [("a", "a"), ("a", "junk")]

        assert class_f1(pairs, weighted=False, closed=True) == pytest.approx((2 / 3 + 0) / 2)
        assert class_f1(pairs, weighted=False, closed=False) == pytest.approx(2 / 3)

    @given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("abcd")), min_size=1, max_size=40), st.booleans())
    def test_it_is_the_mean_of_what_precision_and_recall_give(self, pairs: list[tuple[str, str]], closed: bool) -> None:
        classes = {one for one, _ in pairs} | ({other for _, other in pairs} if closed else set())
        scores = []
        for name in sorted(classes):
            hits = sum(one == other == name for one, other in pairs)
            precision = hits / max(1, sum(other == name for _, other in pairs))
            recall = hits / max(1, sum(one == name for one, _ in pairs))
            scores.append(2 * precision * recall / (precision + recall) if hits else 0.0)

        assert class_f1(pairs, weighted=False, closed=closed) == pytest.approx(sum(scores) / len(scores))


class TestF1:
    @pytest.mark.parametrize(("options", "value"), [
        ({"average": "macro"}, 1 / 3), ({"average": "weighted"}, 0.5), ({"average": "micro"}, 0.5), ({"average": "token"}, 0.5), ({}, 0.5),
    ])  # fmt: skip
    def test_each_average_of_free_answers(self, room: Callable[..., Room], options: Any, value: float) -> None:
        here = room("sad", "sad", right=["sad", "joy"])  # of sad 2/3, of joy 0
        expected = {"macro": (2 / 3 + 0) / 2, "weighted": (2 / 3 + 0) / 2}.get(options.get("average"), value)

        assert metric(F1, **options).measure(here.model, here).value == pytest.approx(expected)

    def test_with_labels_it_is_macro(self, room: Callable[..., Room]) -> None:
        here = room()
        here.model.prefer("Tone:\nsad")

        found = metric(F1, labels=LABELS).measure(here.model, here)

        assert found.value == pytest.approx((2 * 4 / (4 + 10)) / 3)
        assert found.low < found.value < found.high
        assert (found.n, found.scores) == (10, ())

    def test_all_right_is_not_taken_for_certain(self, room: Callable[..., Room]) -> None:
        here = room(*RIGHT)

        found = metric(F1, average="macro").measure(here.model, here)

        assert (found.value, found.low, found.high) == (1, *wilson(10, 10))

    def test_micro_is_the_share_of_right_answers(self, room: Callable[..., Room]) -> None:
        here = room(*RIGHT[:7])

        found = metric(F1, average="micro").measure(here.model, here)

        assert (found.value, found.low, found.high) == (0.7, *wilson(7, 10))

    def test_it_shares_answers_with_exact_match(self) -> None:
        options = {"labels": LABELS, "batchSize": 4}

        assert metric(F1, **options).asking() == metric(ExactMatch, **options).asking()
        assert metric(F1).asking() == metric(ExactMatch).asking() == Asking(32, 16, ("\n",))


def perplexity_of(model: TableModel, texts: list[tuple[Any, int, int]]) -> float:
    """By hand: e to the mean surprise of the tokens from, to."""
    told = [-model.table[ids[at - 1], ids[at]] for ids, start, stop in texts for at in range(start, stop)]
    return math.exp(sum(told) / len(told))


class TestPerplexity:
    def test_it_is_e_to_the_mean_surprise_of_all_tokens_but_a_rows_first(self, room: Callable[..., Room]) -> None:
        here = room()

        found = metric(Perplexity).measure(here.model, here)

        texts = [(example.text_ids, 1, len(example.text_ids)) for example in here.examples]
        assert found.value == pytest.approx(perplexity_of(here.model, texts), rel=1e-6)
        assert found.low < found.value < found.high
        assert (found.n, found.details) == (10, {"tokens": float(sum(len(ids) - 1 for ids, _, _ in texts))})

    def test_on_answers_only_their_tokens_count(self, room: Callable[..., Room]) -> None:
        here = room()

        found = metric(Perplexity, of="answer").measure(here.model, here)

        texts = [(example.text_ids, *(example.answer_at or (0, 0))) for example in here.examples]
        assert found.value == pytest.approx(perplexity_of(here.model, texts), rel=1e-6)
        assert found.details["tokens"] == sum(stop - start for _, start, stop in texts)

    @pytest.mark.parametrize("of", ["all", "answer"])
    @pytest.mark.parametrize("length", [2, 3, 5, 8, 1000])
    def test_windows_change_nothing_for_a_model_that_looks_at_one_token_only(
        self, room: Callable[..., Room], of: str, length: int
    ) -> None:
        here = room()

        whole = metric(Perplexity, of=of).measure(here.model, here)
        found = metric(Perplexity, of=of, maxLength=length).measure(here.model, here)

        assert found.value == pytest.approx(whole.value, rel=1e-6)
        assert found.details == whole.details
        assert max(len_ for chunk in here.model.asked[-20:] for len_ in chunk) <= max(length, 30)

    def test_certainty_is_1(self, room: Callable[..., Room]) -> None:
        here = room()
        here.model.table[:] = 0.0

        found = metric(Perplexity).measure(here.model, here)

        assert (found.value, found.low, found.high) == (1.0, 1.0, 1.0)

    def test_one_row_has_no_interval(self, room: Callable[..., Room]) -> None:
        here = room(right=["sad"])

        found = metric(Perplexity).measure(here.model, here)

        assert (found.low, found.high, found.n) == (None, None, 1)

    @pytest.mark.parametrize(("broken", "value"), [(-math.inf, math.inf), (-1000.0, math.inf), (math.nan, math.nan)])
    def test_a_broken_model_has_no_perplexity_and_no_exception(
        self, room: Callable[..., Room], broken: float, value: float, recwarn: pytest.WarningsRecorder
    ) -> None:
        here = room()
        here.model.table[:] = broken

        found = metric(Perplexity).measure(here.model, here)

        assert found.value == pytest.approx(value, nan_ok=True)
        assert [str(warning.message) for warning in recwarn] == []

    def test_one_row_that_is_no_number_spoils_the_value(self, room: Callable[..., Room]) -> None:
        here = room()
        here.model.table[:, here.tokens.in_context("fear")[0]] = np.nan

        found = metric(Perplexity).measure(here.model, here)

        assert math.isnan(found.value)
        assert (found.low, found.high) == (None, None)

    def test_rows_without_a_token_to_predict_are_passed_over(self, room: Callable[..., Room]) -> None:
        here = room(right=["sad", "", "joy"])

        assert metric(Perplexity, of="answer").measure(here.model, here).n == 2

    def test_a_window_that_is_too_long_for_the_model_is_refused_with_a_way_out(self, room: Callable[..., Room]) -> None:
        here = room()
        here.model.longest = 10

        with pytest.raises(InvalidData, match="more than the model takes") as caught:
            metric(Perplexity).measure(here.model, here)

        assert caught.value.hint == "set maxLength, which is 1024, to what the model takes"
        assert metric(Perplexity, maxLength=10).measure(here.model, here).n == 10

    def test_nothing_to_predict_is_refused(self, room: Callable[..., Room]) -> None:
        here = room(right=["a", "b"], columns=["tone"], template="{tone}")

        with pytest.raises(InvalidData, match="no token to predict in 2 rows") as caught:
            metric(Perplexity).measure(here.model, here)

        assert caught.value.hint == "a row needs two tokens, of which the first is never predicted"

    def test_an_answer_that_the_chat_template_writes_anew_is_told_with_its_line(self, tmp_path: Path) -> None:
        tokens = tokens_with(tmp_path, chat_template=REWRITES)
        room = Room(TableModel(tokens), tokens, examples_of(tmp_path, tokens, [{"messages": TURNS[:2]}], chat={}))

        with pytest.raises(InvalidData, match="writes earlier turns anew") as caught:
            metric(Perplexity, of="answer").measure(room.model, room)

        assert caught.value.where == "rows.jsonl, line 1"


class TestWindows:
    @given(st.integers(1, 60), st.integers(2, 20), st.data())
    def test_each_counted_token_is_predicted_once_with_half_a_window_before_it(
        self, total: int, length: int, data: st.DataObject
    ) -> None:
        start = data.draw(st.integers(0, total))
        stop = data.draw(st.integers(start, total))
        ids = list(range(total))

        windows = list(cut(ids, (start, stop), length))

        predicted = [token for window in windows for token in window.ids[window.start : window.stop]]
        assert predicted == ids[max(start, 1) : stop]
        for window in windows:
            assert 1 <= window.start < window.stop <= len(window.ids) <= length
            assert list(window.ids) == list(range(window.ids[0], window.ids[0] + len(window.ids)))
            assert window.ids[0] == 0 or window.start >= length // 2


class TestOptions:
    @pytest.mark.parametrize("name", ["exactMatch", "f1", "perplexity"])
    def test_each_is_registered_and_every_option_says_its_default(self, name: str) -> None:
        kind = METRICS.get(name)

        assert (kind.name, kind.version) == (name, 1)
        for option in kind.model_fields.values():
            assert " Default: " in (option.description or "")

    @pytest.mark.parametrize(("kind", "options", "where"), [
        (ExactMatch, {"labels": ["one"]}, "metrics[0].labels"), (ExactMatch, {"labels": []}, "metrics[0].labels"),
        (ExactMatch, {"stop": [""]}, "metrics[0].stop[0]"), (ExactMatch, {"maxNewTokens": 0}, "metrics[0].maxNewTokens"),
        (F1, {"average": "harmonic"}, "metrics[0].average"), (F1, {"batchsize": 4}, "metrics[0].batchsize"),
        (Perplexity, {"of": "prompt"}, "metrics[0].of"), (Perplexity, {"maxLength": 1}, "metrics[0].maxLength"),
        (Perplexity, {"labels": LABELS}, "metrics[0].labels"),
    ])  # fmt: skip
    def test_what_is_out_of_bounds_is_refused_with_its_path(self, kind: type[Metric], options: Any, where: str) -> None:
        with pytest.raises(InvalidManifest) as caught:
            metric(kind, **options)

        assert where in str(caught.value)

    def test_labels_are_checked_before_any_model_is_asked(self, tokens: Tokens) -> None:
        with pytest.raises(InvalidManifest) as caught:
            metric(F1, labels=["joy", "joy "]).check(tokens)

        assert caught.value.where == "labels"

    def test_free_text_has_nothing_to_check(self, tokens: Tokens) -> None:
        metric(ExactMatch).check(tokens)
        metric(Perplexity).check(tokens)

    @pytest.mark.parametrize(("kind", "one", "other", "same"), [
        (ExactMatch, {"batchSize": 1}, {}, True), (Perplexity, {"batchSize": 1}, {}, True),
        (ExactMatch, {"labels": LABELS, "maxNewTokens": 3}, {"labels": LABELS}, True), (ExactMatch, {"maxNewTokens": 3}, {}, False),
        (ExactMatch, {"labels": LABELS, "ignoreCase": True}, {"labels": LABELS}, False), (Perplexity, {"maxLength": 8}, {}, False),
        (F1, {"average": "macro"}, {}, False),
    ])  # fmt: skip
    def test_only_what_changes_the_value_names_a_measurement(
        self, kind: type[Metric], one: Any, other: Any, same: bool
    ) -> None:
        assert (metric(kind, **one).key_options() == metric(kind, **other).key_options()) is same


class TestDataThatNamesNoAnswer:
    def bound(self, use: dict[str, Any]) -> MillwrightError | None:
        job = OptimizationJob.model_validate({
            "apiVersion": "millwright.dev/v1alpha1", "kind": "OptimizationJob", "metadata": {"name": "x"},
            "spec": {
                "model": {"path": "m"}, "output": {"path": "o"}, "passes": [{"merge": {}}],
                "data": [{"name": "d", "source": {"path": "d.jsonl"}, "text": {"columns": ["phrase"]}}],
                "evaluation": {"data": "d", "metrics": [use]},
            },
        })  # fmt: skip
        try:
            bind_metrics(job)
        except MillwrightError as error:
            return error
        return None

    @pytest.mark.parametrize("use", [{"exactMatch": {}}, {"f1": {}}, {"perplexity": {"of": "answer"}}])
    def test_it_is_refused_for_what_compares_answers(self, use: dict[str, Any]) -> None:
        error = self.bound(use)

        assert isinstance(error, InvalidManifest)
        assert error.where == "spec.data[0].text.answer"

    def test_it_is_enough_for_the_perplexity_of_all(self) -> None:
        assert self.bound({"perplexity": {}}) is None


def test_what_a_metric_gets_is_what_the_contract_says(room: Callable[..., Room]) -> None:
    here: MetricContext = room()
    first: Example = here.examples[0]

    assert (first.answer, here.trust_remote_code) == ("sad", False)
