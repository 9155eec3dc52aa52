"""Rows that are trained on and measured on: which data sets are trained on, and how many rows they share."""

from __future__ import annotations

import io
import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest
from tests.rows import entry
from tests.tiny import make_model_files, make_tokenizer

from millwright_api.errors import Stopped
from millwright_api.names import API_VERSION, KIND
from millwright_api.report import EvaluationReport, MetricReport
from millwright_api.v1alpha1 import OptimizationJob
from millwright_runner import catalog, pipeline, registry
from millwright_runner.artifact import HF, Artifact
from millwright_runner.catalog import Catalog
from millwright_runner.cli import tables
from millwright_runner.cli.watch import Lines
from millwright_runner.data import find_data
from millwright_runner.data.tokens import load_tokens
from millwright_runner.evaluation import measure
from millwright_runner.evaluation.overlap import shared, texts, trained_on
from millwright_runner.metrics import Measured, Metric, MetricContext
from millwright_runner.passes import Context, DataRef, Pass, StopFlag
from millwright_runner.plan import Settings, make_plan
from millwright_runner.subjects import Subject


class TestShared:
    def test_nothing_is_shared_by_different_texts(self) -> None:
        assert shared(["I wept", "we ran"], ["I laughed", "we sang"]) == 0

    def test_each_text_to_evaluate_on_counts_that_is_trained_on(self) -> None:
        assert shared(["I wept", "we ran", "you sang"], ["we ran", "he slept", "I wept"]) == 2

    def test_a_text_that_is_trained_on_often_counts_once(self) -> None:
        assert shared(["I wept"], ["I wept"] * 5) == 1

    def test_a_text_that_is_measured_on_twice_counts_twice(self) -> None:
        assert shared(["I wept", "I wept"], ["I wept"]) == 2

    def test_white_space_at_the_ends_does_not_make_another_text(self) -> None:
        assert shared(["I wept\n"], [" I wept"]) == 1

    def test_white_space_inside_does(self) -> None:
        assert shared(["I  wept"], ["I wept"]) == 0

    def test_no_texts_share_nothing(self) -> None:
        assert shared([], ["I wept"]) == shared(["I wept"], []) == 0

    def test_reading_ends_when_all_are_found(self) -> None:
        endless = (str(number) for number in itertools.count())

        assert shared(["7", "3"], endless) == 2

    def test_half_a_character_is_no_reason_to_stop(self) -> None:
        assert shared(["\ud83d"], ["\ud83d"]) == 1


class TestTrainedOn:
    def steps(self, *passes: dict[str, Any]) -> list[registry.BoundStep]:
        data = [{"name": name, "source": {"path": f"{name}.jsonl"}, "text": {}} for name in ("train", "more", "held")]
        spec = {"model": {"path": "m"}, "data": data, "passes": list(passes), "output": {"path": "o"}}
        job = {
            "apiVersion": "millwright.dev/v1alpha1",
            "kind": "OptimizationJob",
            "metadata": {"name": "j"},
            "spec": spec,
        }
        return registry.bind(OptimizationJob.model_validate(job))

    def test_data_that_a_pass_trains_on(self) -> None:
        assert trained_on(self.steps({"lora": {"trainData": "train"}}, {"merge": {}})) == ["train"]

    def test_data_that_a_pass_only_looks_at_are_not_among_them(self) -> None:
        assert trained_on(self.steps({"lora": {"trainData": "train", "evalData": "held"}})) == ["train"]

    def test_data_of_several_passes_in_order_and_once(self) -> None:
        steps = self.steps(
            {"name": "a", "lora": {"trainData": "train"}}, {"name": "m", "merge": {}},
            {"name": "b", "lora": {"trainData": "more"}}, {"name": "n", "merge": {}},
            {"name": "c", "lora": {"trainData": "train"}},
        )  # fmt: skip

        assert trained_on(steps) == ["train", "more"]

    def test_a_recipe_that_trains_nothing(self) -> None:
        assert trained_on(self.steps({"genai": {}})) == []


class TestTexts:
    def texts(self, base: Path, rows: list[dict[str, Any]], **format: Any) -> list[str]:  # noqa: A002
        base.mkdir(exist_ok=True)
        (base / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        found = find_data(entry(**format), base, base / "home")
        return list(texts(found, load_tokens(make_tokenizer(base / "tokenizer")), lambda: None))

    def test_rows_are_rendered_as_training_has_them(self, tmp_path: Path) -> None:
        rows = [{"phrase": "I wept", "tone": "sad"}, {"phrase": "we sang", "tone": "joy"}]

        found = self.texts(tmp_path, rows, columns=["phrase", "tone"], template="{phrase}: {tone}")

        assert found == ["I wept: sad", "we sang: joy"]

    def test_an_answer_that_the_template_leaves_out_is_there_too(self, tmp_path: Path) -> None:
        rows = [{"phrase": "I wept", "tone": "sad"}]
        trained = self.texts(tmp_path / "a", rows, columns=["phrase", "tone"], template="{phrase}: {tone}")
        asked = self.texts(tmp_path / "b", rows, columns=["phrase", "tone"], template="{phrase}: ", answer="tone")

        assert shared(asked, trained) == 1

    def test_conversations_go_through_the_chat_template(self, tmp_path: Path) -> None:
        turns = [{"role": "user", "content": "Who wept?"}, {"role": "assistant", "content": "Nobody."}]

        (found,) = self.texts(tmp_path, [{"messages": turns}], chat={})

        assert found.startswith("<|user|>\nWho wept?<|end|>\n<|assistant|>\nNobody.<|end|>\n")

    def test_a_stop_is_noticed_on_the_way(self, tmp_path: Path) -> None:
        (tmp_path / "rows.jsonl").write_text('{"text": "I wept"}\n')
        found = find_data(entry(), tmp_path, tmp_path / "home")
        stop = StopFlag()
        stop.request(15)

        with pytest.raises(Stopped):
            list(texts(found, load_tokens(make_tokenizer(tmp_path / "tokenizer")), lambda: stop.check("here")))


class Learn(Pass):
    """Reads its data, and makes a copy of the model."""

    name: ClassVar[str] = "learn"
    consumes: ClassVar[frozenset[str]] = frozenset({HF})
    produces: ClassVar[str] = HF
    train_data: DataRef

    def run(self, artifact: Artifact, context: Context) -> None:
        (context.folder / "rows").write_text(str(len(context.data[self.train_data])))


class Asked(Metric):
    """How many questions there are."""

    name = "asked"
    unit = "rows"
    higher_is_better = True
    needs_examples = True

    def measure(self, model: Subject, context: MetricContext) -> Measured:
        return Measured(float(len(context.examples)))


@dataclass(frozen=True)
class Entry:
    """An entry point of a package that need not be installed."""

    loaded: type

    @property
    def value(self) -> str:
        return f"outside:{self.loaded.__name__}"

    def load(self) -> type:
        return self.loaded


class TestARun:
    """Who measures on what was trained on is told so, with the count."""

    @pytest.fixture(autouse=True)
    def plug_ins(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        groups = {"millwright.passes": {"learn": Entry(Learn)}, "millwright.metrics": {"asked": Entry(Asked)}}
        monkeypatch.setattr(catalog, "_entry_points", groups.__getitem__)
        Catalog.get.cache_clear()
        yield
        Catalog.get.cache_clear()

    def run(self, base: Path, train: list[str], held: list[str]) -> tuple[dict[str, Any], list[str]]:
        """Returns report.json, and what a log has."""
        if not (base / "model").exists():
            make_model_files(base / "model")
        data = []
        for name, phrases in (("train", train), ("held", held)):
            (base / f"{name}.jsonl").write_text("".join(json.dumps({"text": phrase}) + "\n" for phrase in phrases))
            data.append({"name": name, "source": {"path": f"{name}.jsonl"}, "text": {"strategy": "line-by-line"}})
        spec = {
            "model": {"path": "model"}, "data": data, "output": {"path": "out"},
            "passes": [{"custom": {"pass": "learn", "options": {"trainData": "train"}}}],
            "evaluation": {"data": "held", "metrics": [{"custom": {"metric": "asked"}}]},
        }  # fmt: skip
        job = OptimizationJob.model_validate(
            {"apiVersion": API_VERSION, "kind": KIND, "metadata": {"name": "j"}, "spec": spec}
        )
        settings, log = Settings(base=base, home=base / "home"), io.StringIO()
        pipeline.run(make_plan(job, settings), settings, Lines(log), StopFlag())
        return json.loads((base / "out" / "report.json").read_text()), log.getvalue().splitlines()

    def test_shared_rows_are_counted_in_the_report_and_told_in_a_line(self, tmp_path: Path) -> None:
        report, log = self.run(tmp_path, ["I wept", "we sang", "you ran"], ["we sang", "he slept", "I wept"])

        assert report["evaluation"][0]["overlap"] == {"held": 2}
        assert "warning: 2 rows of held are trained on as well: the figures flatter the model" in log

    def test_a_second_run_that_reads_no_row_tells_it_again(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        rows = (["I wept", "we sang", "you ran"], ["we sang", "he slept", "I wept"])
        self.run(tmp_path, *rows)
        monkeypatch.setattr(measure, "read_examples", lambda *_: pytest.fail("rows are read"))

        report, log = self.run(tmp_path, *rows)

        assert report["evaluation"][0]["overlap"] == {"held": 2}
        assert "warning: 2 rows of held are trained on as well: the figures flatter the model" in log

    def test_a_screen_has_it_below_the_table_once(self) -> None:
        found = [MetricReport(name="accuracy", value=0.5, unit="share")]
        results = [
            EvaluationReport(after=after, metrics=found, overlap={"held": 1, "other": 20})
            for after in ("input", "genai")
        ]

        assert tables.text(results, []).splitlines()[-2:] == [
            "warning  1 row of held is trained on as well: the figures flatter the model",
            "warning  20 rows of other are trained on as well: the figures flatter the model",
        ]

    def test_without_shared_rows_nothing_is_said(self, tmp_path: Path) -> None:
        report, log = self.run(tmp_path, ["I wept", "we sang"], ["he slept"])

        assert "overlap" not in report["evaluation"][0]
        assert not any("warning" in line for line in log)
