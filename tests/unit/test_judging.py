"""The judge at work between passes: what is measured when, what is kept, what a gate stops. Plug-ins only, no torch."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest
from tests.conftest import S3Bucket
from tests.tiny import make_model_files
from tests.unit.test_pipeline import Listening

from millwright_api.errors import ConstraintsNotMet, InvalidData, MillwrightError, NoSpaceLeft, PassFailed, Stopped
from millwright_api.report import RunReport
from millwright_api.v1alpha1 import OptimizationJob
from millwright_runner import catalog, pipeline, workplace
from millwright_runner.artifact import HF, HF_ADAPTER, Artifact
from millwright_runner.catalog import Catalog
from millwright_runner.metrics import Measured, Metric, MetricContext, Sample
from millwright_runner.passes import Context, Pass, StopFlag
from millwright_runner.plan import Plan, Settings, make_plan
from millwright_runner.pod import stage
from millwright_runner.subjects import Subject

Work = Callable[[Subject, MetricContext], Measured]


def text_of(artifact: Artifact) -> str:
    """What a model of these tests is: the texts of the passes that made it."""
    file = artifact.folder / "model"
    under = text_of(artifact.base) if artifact.base is not None else ""
    return under + (file.read_text() if file.exists() else "m")


class Write(Pass):
    """Writes what it read, and its own text after it."""

    name: ClassVar[str] = "write"
    consumes: ClassVar[frozenset[str]] = frozenset({HF, HF_ADAPTER})
    produces: ClassVar[str] = HF
    ran: ClassVar[list[str]] = []
    text: str = "x"

    def run(self, artifact: Artifact, context: Context) -> None:
        self.ran.append(self.text)
        (context.folder / "model").write_text(text_of(artifact) + self.text)


class Adapt(Pass):
    """Makes an adapter: of no use without what it sits on."""

    name: ClassVar[str] = "adapt"
    consumes: ClassVar[frozenset[str]] = frozenset({HF})
    produces: ClassVar[str] = HF_ADAPTER
    text: str = "+"

    def run(self, artifact: Artifact, context: Context) -> None:
        Write.ran.append(self.text)
        (context.folder / "model").write_text(self.text)


class Pack(Write):
    """Makes what nobody here can ask."""

    name: ClassVar[str] = "pack"
    produces: ClassVar[str] = "gguf"


class Size(Metric):
    """Bytes of the model's file: it asks nothing, but where a test wants it to."""

    name = "size"
    unit = "bytes"
    higher_is_better = False
    asks = False
    lies: bool = False

    def measure(self, model: Subject, context: MetricContext) -> Measured:
        if self.lies:
            model.timed([[1]], new_tokens=1)
        return Measured(float((model.artifact.folder / "model").stat().st_size))


class Length(Metric):
    """How long the text of a model is."""

    name = "length"
    unit = "letters"
    higher_is_better = True
    asked: ClassVar[list[str]] = []
    factor: float = 1.0

    def measure(self, model: Subject, context: MetricContext) -> Measured:
        text = text_of(model.artifact)
        self.asked.append(text)
        return Measured(len(text) * self.factor, n=1, samples=(Sample("how long?", None, text),))


class Told(Metric):
    """Does whatever a test wants."""

    name = "told"
    unit = "share"
    higher_is_better = True
    work: ClassVar[Work]

    def measure(self, model: Subject, context: MetricContext) -> Measured:
        return type(self).work(model, context)


@dataclass(frozen=True)
class Entry:
    """An entry point of a package that need not be installed."""

    loaded: type

    @property
    def value(self) -> str:
        return f"outside:{self.loaded.__name__}"

    def load(self) -> type:
        return self.loaded


@pytest.fixture(autouse=True)
def plug_ins(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    groups: dict[str, dict[str, Any]] = {
        "millwright.passes": {"write": Entry(Write), "adapt": Entry(Adapt), "pack": Entry(Pack)},
        "millwright.metrics": {"length": Entry(Length), "told": Entry(Told), "size": Entry(Size)},
    }
    monkeypatch.setattr(catalog, "_entry_points", groups.__getitem__)
    Catalog.get.cache_clear()
    Write.ran.clear()
    Length.asked.clear()
    yield
    Catalog.get.cache_clear()


def write(text: str, kind: str = "write") -> dict[str, Any]:
    return {"name": f"write-{text}".replace("+", "plus"), "custom": {"pass": kind, "options": {"text": text}}}


LENGTH: dict[str, Any] = {"name": "length", "custom": {"metric": "length"}}
TOLD: dict[str, Any] = {"name": "told", "custom": {"metric": "told"}}
A, B, C = write("a"), write("b"), write("c")
ALL = ["input", "each", "last"]


def length(**bound: Any) -> dict[str, Any]:
    return {"metric": "length", **bound}


class Ground:
    """A model of one letter, an output, and a machine's folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        make_model_files(folder / "base")
        self.listening, self.stop = Listening(), StopFlag()
        self.output: dict[str, Any] = {"path": "out"}
        self.cache: Path | None = None

    def plan(self, *passes: dict[str, Any], mode: str = "ReadWrite", **evaluation: Any) -> Plan:
        spec: dict[str, Any] = {
            "model": {"path": "base"},
            "passes": list(passes),
            "output": self.output,
            "cache": {"mode": mode},
        }
        if evaluation:
            spec["evaluation"] = {"metrics": [LENGTH]} | evaluation
        job = OptimizationJob.model_validate({
            "apiVersion": "millwright.dev/v1alpha1", "kind": "OptimizationJob", "metadata": {"name": "test"}, "spec": spec,
        })  # fmt: skip
        return make_plan(job, Settings(base=self.folder, home=self.folder / "home", cache=self.cache))

    def run(self, *passes: dict[str, Any], part: range | None = None, **evaluation: Any) -> RunReport:
        """Plans and runs; forgets first what was run and measured before."""
        Write.ran.clear()
        Length.asked.clear()
        self.listening = Listening()
        plan = self.plan(*passes, **evaluation)
        settings = Settings(base=self.folder, home=self.folder / "home", cache=self.cache)
        return pipeline.run(plan, settings, self.listening, self.stop, pipeline.Part(part) if part else None)

    def fails(self, *passes: dict[str, Any], **evaluation: Any) -> MillwrightError:
        with pytest.raises(MillwrightError) as caught:
            self.run(*passes, **evaluation)
        return caught.value

    @property
    def store(self) -> Path:
        return self.folder / "out" / ".millwright"

    @property
    def published(self) -> str | None:
        file = self.folder / "out" / "model" / "model"
        return file.read_text() if file.exists() else None

    def report(self) -> dict[str, Any]:
        loaded: dict[str, Any] = json.loads((self.folder / "home" / "runs" / "test" / "report.json").read_text())
        return loaded

    def drop(self, step: int, *passes: dict[str, Any]) -> None:
        """Removes a step's result from the cache."""
        shutil.rmtree(self.store / "cache" / self.plan(*passes).steps[step].key)

    def forget(self) -> None:
        """Removes what was measured."""
        shutil.rmtree(self.store / "evaluations")


@pytest.fixture
def ground(tmp_path: Path) -> Ground:
    return Ground(tmp_path)


def values(report: RunReport) -> dict[str, float | None]:
    return {one.after: one.metrics[0].value for one in report.evaluation}


class TestWhatIsMeasured:
    def test_the_finished_model_unless_more_is_asked_for(self, ground: Ground) -> None:
        report = ground.run(A, B, after=["last"])

        assert Length.asked == ["mab"]
        assert values(report) == {"write-b": 3}

    def test_each_model_right_after_its_pass(self, ground: Ground) -> None:
        report = ground.run(A, B, after=ALL)

        assert values(report) == {"input": 1, "write-a": 2, "write-b": 3}
        assert ground.listening.told == [
            "planned 2",
            "measured input",
            "write-a Succeeded Miss",
            "measured write-a",
            "write-b Succeeded Miss",
            "measured write-b",
        ]

    def test_nothing_where_nothing_is_asked_for(self, ground: Ground) -> None:
        assert ground.run(A, B).evaluation == []

    @pytest.mark.parametrize(
        ("constraint", "asked"),
        [
            (length(min=1), ["mabc"]),
            (length(maxDrop=1), ["m", "mabc"]),
            (length(maxDrop=1, relativeTo="previous"), ["mab", "mabc"]),
        ],
    )
    def test_what_a_constraint_compares_with_too(
        self, constraint: dict[str, Any], asked: list[str], ground: Ground
    ) -> None:
        ground.run(A, B, C, constraints=[constraint])

        assert Length.asked == asked

    def test_of_a_single_pass_the_previous_model_is_the_input(self, ground: Ground) -> None:
        report = ground.run(A, constraints=[length(minImprovement=1, relativeTo="previous")])

        assert values(report) == {"input": 1, "write-a": 2}
        assert [entry.met for entry in report.constraints] == [True]

    def test_an_adapter_together_with_what_it_sits_on(self, ground: Ground) -> None:
        ground.run(A, write("+", "adapt"), B, after=ALL)

        assert Length.asked == ["m", "ma", "ma+", "ma+b"]

    def test_a_format_that_cannot_be_asked_by_what_asks_nothing(self, ground: Ground) -> None:
        size = {"name": "size", "custom": {"metric": "size"}}

        report = ground.run(A, write("p", "pack"), metrics=[size], constraints=[{"metric": "size", "max": 3}])

        assert values(report) == {"write-p": 3}
        assert ground.published == "map"

    def test_a_metric_that_asks_all_the_same_is_told_so(self, ground: Ground) -> None:
        size = {"name": "size", "custom": {"metric": "size", "options": {"lies": True}}}

        error = ground.fails(write("p", "pack"), metrics=[size])

        assert isinstance(error, PassFailed)
        assert "its class says that it does not" in error.message

    def test_what_is_being_measured_is_told_as_progress_of_the_step(self, ground: Ground) -> None:
        ground.run(A, B, after=ALL)

        told = [(p.step_name, p.message) for p in ground.listening.progresses if "measuring" in p.message]
        assert told == [
            ("write-a", "measuring length of the input"),
            ("write-a", "measuring length"),
            ("write-b", "measuring length"),
        ]

    def test_the_report_on_the_machine_has_questions_and_answers(self, ground: Ground) -> None:
        ground.run(A, after=ALL)

        told = ground.report()["measurements"]
        assert [told[after]["length"]["samples"][0]["answer"] for after in ("input", "write-a")] == ["m", "ma"]


class TestWhatIsKept:
    def test_a_second_run_measures_nothing_and_tells_the_same(self, ground: Ground) -> None:
        first = ground.run(A, B, after=ALL)

        second = ground.run(A, B, after=ALL)

        assert (Length.asked, Write.ran) == ([], [])
        assert second.evaluation == first.evaluation

    def test_the_baseline_is_shared_by_recipes_of_the_same_model(self, ground: Ground, tmp_path: Path) -> None:
        ground.cache = tmp_path / "cache"
        ground.run(A, after=ALL)
        ground.output = {"path": "other"}

        report = ground.run(B, after=ALL)

        assert Length.asked == ["mb"]
        assert values(report) == {"input": 1, "write-b": 2}

    def test_another_option_is_another_measurement(self, ground: Ground) -> None:
        ground.run(A, after=["last"])

        report = ground.run(A, metrics=[LENGTH | {"custom": {"metric": "length", "options": {"factor": 2.0}}}])

        assert (Length.asked, Write.ran) == (["ma"], [])
        assert values(report) == {"write-a": 4}

    def test_without_a_cache_measurements_live_as_long_as_the_run(self, ground: Ground) -> None:
        report = ground.run(A, B, mode="Off", after=ALL, constraints=[length(minImprovement=2)])
        ground.run(A, B, mode="Off", after=ALL)

        assert Length.asked == ["m", "ma", "mab"]
        assert [entry.met for entry in report.constraints] == [True]
        assert not (ground.store / "evaluations").exists()

    def test_a_cache_that_is_only_read_is_not_written_to(self, ground: Ground) -> None:
        ground.run(A, after=["last"])
        before = sorted(path.name for path in (ground.store / "evaluations").iterdir())

        ground.run(A, mode="ReadOnly", after=ALL)

        assert Length.asked == ["m"]
        assert sorted(path.name for path in (ground.store / "evaluations").iterdir()) == before

    @pytest.mark.parametrize("content", ["", "{", '{"key": "0"}', "[]"])
    def test_a_torn_one_is_made_again(self, content: str, ground: Ground) -> None:
        ground.run(A, after=["last"])
        for path in (ground.store / "evaluations").iterdir():
            path.write_text(content)

        assert values(ground.run(A, after=["last"])) == {"write-a": 2}
        assert Length.asked == ["ma"]

    def test_a_result_in_the_cache_is_measured_without_running_a_pass(self, ground: Ground) -> None:
        ground.run(A, B)

        ground.run(A, B, after=ALL)

        assert (Length.asked, Write.ran) == (["m", "ma", "mab"], [])

    def test_a_result_of_which_only_the_published_model_is_left_is_measured_there(self, ground: Ground) -> None:
        ground.run(A, B)
        ground.drop(1, A, B)

        ground.run(A, B, after=["last"])

        assert (Length.asked, Write.ran) == (["mab"], [])

    def test_a_result_in_between_that_is_gone_is_made_again_to_be_measured(self, ground: Ground) -> None:
        ground.run(A, B, C)
        ground.drop(0, A, B, C)

        report = ground.run(A, B, C, after=ALL)

        assert values(report) == {"input": 1, "write-a": 2, "write-b": 3, "write-c": 4}
        assert Write.ran == ["a"]
        assert ground.published == "mabc"

    def test_a_result_in_between_that_is_gone_is_not_missed_when_it_was_measured(self, ground: Ground) -> None:
        ground.run(A, B, C, after=ALL)
        ground.drop(0, A, B, C)

        report = ground.run(A, B, C, after=ALL)

        assert (Length.asked, Write.ran) == ([], [])
        assert len(report.evaluation) == 4

    def test_an_adapter_whose_base_is_gone_gets_it_back_to_be_measured(self, ground: Ground) -> None:
        recipe = (A, write("+", "adapt"), B)
        ground.run(*recipe)
        ground.drop(0, *recipe)

        ground.run(*recipe, after=ALL)

        assert Length.asked == ["m", "ma", "ma+", "ma+b"]
        assert Write.ran == ["a"]

    def test_results_in_s3_are_fetched_to_be_measured(self, ground: Ground, s3: S3Bucket) -> None:
        ground.output = {"s3": {"uri": f"{s3.uri}models/"}}
        ground.run(A, write("+", "adapt"), B)

        first = ground.run(A, write("+", "adapt"), B, after=ALL)
        asked = list(Length.asked)
        second = ground.run(A, write("+", "adapt"), B, after=ALL)

        assert (asked, Write.ran, Length.asked) == (["m", "ma", "ma+", "ma+b"], [], [])
        assert second.evaluation == first.evaluation

    def test_what_the_disk_cannot_hold_is_not_fetched_to_be_measured(
        self, ground: Ground, s3: S3Bucket, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        ground.output = {"s3": {"uri": f"{s3.uri}models/"}}
        ground.run(A, B)
        usage = shutil.disk_usage(ground.folder)
        monkeypatch.setattr(workplace.shutil, "disk_usage", lambda path: usage._replace(free=1))

        error = ground.fails(A, B, after=["last"])

        assert isinstance(error, NoSpaceLeft)
        assert Length.asked == []


class TestGates:
    def test_what_is_good_enough_is_published(self, ground: Ground) -> None:
        report = ground.run(A, B, constraints=[length(min=3), length(minImprovement=2)])

        assert ground.published == "mab"
        assert [(entry.metric, entry.met) for entry in report.constraints] == [("length", True), ("length", True)]

    def test_it_is_judged_before_it_is_published(self, ground: Ground) -> None:
        ground.run(A, constraints=[length(min=1)])

        assert ground.listening.told[-1] == "judged [True]"
        assert ground.listening.progresses[-1].message == "publishing"

    def test_what_is_not_good_enough_is_not_published_and_says_how_far_off(self, ground: Ground) -> None:
        error = ground.fails(A, B, constraints=[length(min=5)])

        assert isinstance(error, ConstraintsNotMet)
        assert error.exit_code == 3
        assert str(error) == (
            "spec.evaluation.constraints: length is 3 letters; min 5: off by 2 letters (nothing was published)"
        )
        assert ground.published is None
        assert not (ground.folder / "out" / "report.json").exists()

    def test_the_report_on_the_machine_has_the_figures(self, ground: Ground) -> None:
        ground.fails(A, B, after=ALL, constraints=[length(min=5)])

        told = ground.report()
        assert (told["outcome"], told["reason"], told["exitCode"]) == ("Failed", "ConstraintsNotMet", 3)
        assert [entry["after"] for entry in told["evaluation"]] == ["input", "write-a", "write-b"]
        assert [entry["met"] for entry in told["constraints"]] == [False]
        assert told["measurements"]["write-b"]["length"]["samples"][0]["answer"] == "mab"

    def test_with_the_bound_mended_it_is_published_and_nothing_runs_again(self, ground: Ground) -> None:
        ground.fails(A, B, constraints=[length(min=5)])

        ground.run(A, B, constraints=[length(min=3)])

        assert (Write.ran, Length.asked, ground.published) == ([], [], "mab")

    def test_a_warning_publishes_all_the_same(self, ground: Ground) -> None:
        report = ground.run(A, constraints=[length(min=5)], onViolation="Warn")

        assert (report.outcome, ground.published) == ("Succeeded", "ma")
        assert [entry.met for entry in report.constraints] == [False]
        assert json.loads((ground.folder / "out" / "report.json").read_text())["constraints"][0]["met"] is False

    def test_a_published_model_that_fails_a_new_gate_stays_as_it_was(self, ground: Ground) -> None:
        ground.run(A, B, constraints=[length(min=3)])
        files = {path: path.read_bytes() for path in (ground.folder / "out").rglob("*") if path.is_file()}

        error = ground.fails(A, B, constraints=[length(min=4)])

        assert error.exit_code == 3
        assert error.hint == "what is published stays as it was"
        assert {path: path.read_bytes() for path in (ground.folder / "out").rglob("*") if path.is_file()} == files

    def test_every_broken_constraint_is_told_at_once(self, ground: Ground) -> None:
        error = ground.fails(A, constraints=[length(min=5), length(max=1), length(min=1)])

        assert (
            error.message
            == "length is 2 letters; min 5: off by 3 letters; length is 2 letters; max 1: off by 1 letters"
        )

    @pytest.mark.parametrize("number", [math.nan, math.inf])
    def test_what_is_no_number_keeps_to_no_bound(
        self, number: float, ground: Ground, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(Told, "work", staticmethod(lambda model, context: Measured(number)), raising=False)

        error = ground.fails(A, metrics=[TOLD], constraints=[{"metric": "told", "max": 5}])

        assert error.exit_code == 3
        assert "told" in error.message
        assert "no number" in error.message
        assert ground.report()["evaluation"][0]["metrics"] == [{"name": "told", "unit": "share"}]

    def test_no_number_is_remembered_as_none(self, ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
        calls: list[str] = []

        def work(model: Subject, context: MetricContext) -> Measured:
            calls.append("asked")
            return Measured(math.nan)

        monkeypatch.setattr(Told, "work", staticmethod(work), raising=False)
        ground.fails(A, metrics=[TOLD], constraints=[{"metric": "told", "max": 5}])

        ground.fails(A, metrics=[TOLD], constraints=[{"metric": "told", "max": 5}])

        assert calls == ["asked"]


class TestAMetricThatFails:
    def doing(self, monkeypatch: pytest.MonkeyPatch, work: Work) -> None:
        monkeypatch.setattr(Told, "work", staticmethod(work), raising=False)

    def test_unforeseen_it_names_its_place_and_nothing_is_published(
        self, ground: Ground, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.doing(monkeypatch, lambda model, context: Measured(1 / 0))

        error = ground.fails(A, metrics=[LENGTH, TOLD])

        assert isinstance(error, PassFailed)
        assert error.where == "spec.evaluation.metrics[1].custom.options"
        assert "ZeroDivisionError" in error.message
        assert ground.published is None

    def test_its_own_error_gets_the_place_and_keeps_its_kind(
        self, ground: Ground, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def work(model: Subject, context: MetricContext) -> Measured:
            raise InvalidData("no example fits")

        self.doing(monkeypatch, work)

        error = ground.fails(A, metrics=[TOLD], after=["last"])

        assert isinstance(error, InvalidData)
        assert error.where == "spec.evaluation.metrics[0].custom.options"

    def test_what_was_measured_before_a_stop_is_kept(self, ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
        def stopping(model: Subject, context: MetricContext) -> Measured:
            ground.stop.request(15)
            context.check()
            return Measured(1.0)

        self.doing(monkeypatch, stopping)
        error = ground.fails(A, metrics=[LENGTH, TOLD])
        ground.stop = StopFlag()
        self.doing(monkeypatch, lambda model, context: Measured(1.0))

        report = ground.run(A, metrics=[LENGTH, TOLD])

        assert isinstance(error, Stopped)
        assert (Length.asked, Write.ran) == ([], [])
        assert [metric.value for metric in report.evaluation[0].metrics] == [2.0, 1.0]

    def test_nothing_of_the_work_is_left(self, ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
        def work(model: Subject, context: MetricContext) -> Measured:
            (context.scratch / "answers").write_text("many")
            return Measured(1.0)

        self.doing(monkeypatch, work)

        ground.run(A, metrics=[TOLD], after=ALL)

        assert list((ground.store / "work").iterdir()) == []


class TestStages:
    RECIPE = (A, B, C)
    EVALUATION: ClassVar[dict[str, Any]] = {"after": ALL, "constraints": [length(minImprovement=3)]}

    def test_the_first_measures_the_input_and_its_own_and_judges_nothing(self, ground: Ground) -> None:
        report = ground.run(*self.RECIPE, part=range(1), **self.EVALUATION)

        assert Length.asked == ["m", "ma"]
        assert report.constraints == []
        assert ground.published is None

    def test_the_last_measures_the_rest_and_judges_with_all(self, ground: Ground) -> None:
        ground.run(*self.RECIPE, part=range(1), **self.EVALUATION)

        report = ground.run(*self.RECIPE, part=range(1, 3), **self.EVALUATION)

        assert Length.asked == ["mab", "mabc"]
        assert values(report) == {"input": 1, "write-a": 2, "write-b": 3, "write-c": 4}
        assert [entry.met for entry in report.constraints] == [True]
        assert ground.published == "mabc"

    def test_the_last_measures_again_what_an_earlier_ones_record_lost(self, ground: Ground) -> None:
        ground.run(*self.RECIPE, part=range(1), **self.EVALUATION)
        ground.forget()

        report = ground.run(*self.RECIPE, part=range(1, 3), **self.EVALUATION)

        assert values(report) == {"input": 1, "write-a": 2, "write-b": 3, "write-c": 4}

    def test_one_that_finds_its_own_step_done_measures_it(self, ground: Ground) -> None:
        ground.run(*self.RECIPE)

        ground.run(*self.RECIPE, part=range(1, 2), **self.EVALUATION)

        assert (Length.asked, Write.ran) == (["mab"], [])

    def test_a_published_model_is_told_by_the_last_one_alone_when_it_is_judged_anew(self, ground: Ground) -> None:
        ground.run(*self.RECIPE)

        first = ground.run(*self.RECIPE, part=range(1), **self.EVALUATION)
        last = ground.run(*self.RECIPE, part=range(1, 3), **self.EVALUATION)

        assert first.artifact is None
        assert last.artifact is not None

    def test_a_gate_stops_the_last_one(self, ground: Ground) -> None:
        ground.run(*self.RECIPE, part=range(2), constraints=[length(min=9)])

        with pytest.raises(ConstraintsNotMet):
            ground.run(*self.RECIPE, part=range(2, 3), constraints=[length(min=9)])

        assert ground.published is None

    @pytest.mark.parametrize(
        ("part", "told"),
        [
            (range(1), ["input", "write-a"]),
            (range(1, 2), ["write-b"]),
            (range(2, 3), ["input", "write-a", "write-b", "write-c"]),
        ],
    )
    def test_a_pod_tells_of_its_own_models_and_the_last_one_of_all(
        self, part: range, told: list[str], ground: Ground
    ) -> None:
        ground.run(*self.RECIPE, **self.EVALUATION)
        plan = ground.plan(*self.RECIPE, **self.EVALUATION)

        report = stage.only(ground.run(*self.RECIPE, part=part, **self.EVALUATION), plan, pipeline.Part(part))

        assert [entry.after for entry in report.evaluation] == told
