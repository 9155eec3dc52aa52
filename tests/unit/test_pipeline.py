"""The loop, with passes that only write a file: what runs, what is told, what is kept, and how failures end. No torch."""

from __future__ import annotations

import errno
import json
import os
import stat
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest

from millwright_api.errors import InvalidModel, MillwrightError, NoSpaceLeft, PassFailed, Stopped, TryAgain
from millwright_api.report import ConstraintReport, EvaluationReport, PassReport, Progress, RunReport
from millwright_api.v1alpha1 import OptimizationJob
from millwright_runner import pipeline, steps
from millwright_runner.artifact import HF, HF_ADAPTER, Artifact
from millwright_runner.cache import Cache
from millwright_runner.digests import DigestMemo
from millwright_runner.models import FoundModel, ModelFacts
from millwright_runner.passes import Context, Estimate, Pass, StopFlag
from millwright_runner.plan import Plan, Settings, StepPlan
from millwright_runner.published import read_published
from millwright_runner.registry import BoundStep
from millwright_runner.results import find_results, step_keys
from millwright_runner.stores.file import FileStore

Work = Callable[[Artifact, Context], None]


class Write(Pass):
    """Writes what it read, and its own text after it."""

    name: ClassVar[str] = "write"
    consumes: ClassVar[frozenset[str]] = frozenset({HF})
    produces: ClassVar[str] = HF
    text: str = "x"

    def run(self, artifact: Artifact, context: Context) -> None:
        before = (artifact.folder / "model").read_text()
        (context.folder / "model").write_text(before + self.text)
        context.metrics["length"] = len(before) + 1
        context.history.append({"step": 1.0, "loss": 0.5})


class Adapt(Write):
    """Makes an adapter: of no use without what it sits on."""

    name: ClassVar[str] = "adapt"
    produces: ClassVar[str] = HF_ADAPTER

    def run(self, artifact: Artifact, context: Context) -> None:
        (context.folder / "adapter").write_text(self.text)


class Join(Write):
    """Joins an adapter with its base."""

    name: ClassVar[str] = "join"
    consumes: ClassVar[frozenset[str]] = frozenset({HF_ADAPTER})

    def run(self, artifact: Artifact, context: Context) -> None:
        assert artifact.base is not None
        joined = (artifact.base.folder / "model").read_text() + (artifact.folder / "adapter").read_text()
        (context.folder / "model").write_text(joined)


class Does(Write):
    """Does whatever a test wants."""

    name: ClassVar[str] = "does"
    work: ClassVar[Work]

    def run(self, artifact: Artifact, context: Context) -> None:
        type(self).work(artifact, context)


class Listening:
    """An observer that keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.reports: list[PassReport] = []
        self.progresses: list[Progress] = []

    def planned(self, plan: Plan) -> None:
        self.told.append(f"planned {len(plan.steps)}")

    def progress(self, progress: Progress) -> None:
        self.progresses.append(progress)

    def finished(self, report: PassReport) -> None:
        self.reports.append(report)
        self.told.append(f"{report.name} {report.phase} {report.cache}")

    def measured(self, report: EvaluationReport) -> None:
        self.told.append(f"measured {report.after}")

    def judged(self, reports: list[ConstraintReport]) -> None:
        self.told.append(f"judged {[report.met for report in reports]}")


class Ground:
    """A model, an output and a machine's folder below one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.memo = folder, DigestMemo(folder / "home")
        self.settings = Settings(base=folder, home=folder / "home")
        (folder / "base").mkdir()
        (folder / "base" / "model").write_text("m")
        self.listening, self.stop = Listening(), StopFlag()

    def plan(self, *passes: Pass, mode: str = "ReadWrite", output: str = "out") -> Plan:
        manifest = OptimizationJob.model_validate({
            "apiVersion": "millwright.dev/v1alpha1", "kind": "OptimizationJob", "metadata": {"name": "test"},
            "spec": {"model": {"path": "base"}, "passes": [{"write": {}}], "output": {"path": output}},
        })  # fmt: skip
        steps = [BoundStep(i, f"step-{i}", p, f"spec.passes[{i}].{p.name}") for i, p in enumerate(passes)]
        base = Artifact(self.folder / "base", HF, "0" * 64)
        facts = ModelFacts(where="base", config={"model_type": "phi3"}, tensors={}, bytes=1, files=1)
        model = FoundModel("0" * 64, facts, self.folder / "base", lambda: base)
        store = FileStore(self.folder / output)
        cache = None if mode == "Off" else Cache(store, mode == "ReadWrite", self.memo)
        keys = step_keys(steps, model.digest, {}, manifest.spec.target)
        results = find_results(steps, keys, cache)
        planned = [
            StepPlan(step, key, index < results.start, Estimate(memory=1, disk=1))
            for index, (step, key) in enumerate(zip(steps, keys, strict=True))
        ]
        return Plan(manifest, model, {}, planned, store, cache, keys[-1], None, results)

    def run(self, *passes: Pass, mode: str = "ReadWrite", output: str = "out") -> RunReport:
        self.listening = Listening()
        return pipeline.run(self.plan(*passes, mode=mode, output=output), self.settings, self.listening, self.stop)

    def made(self, output: str = "out") -> str:
        return (self.folder / output / "model" / "model").read_text()

    def report(self) -> dict[str, Any]:
        loaded: dict[str, Any] = json.loads((self.folder / "home" / "runs" / "test" / "report.json").read_text())
        return loaded


@pytest.fixture
def ground(tmp_path: Path) -> Ground:
    return Ground(tmp_path)


def write(text: str) -> Write:
    return Write.model_validate({"text": text})


def adapt(text: str) -> Adapt:
    return Adapt.model_validate({"text": text})


def does(work: Work) -> Does:
    kind = type("Does", (Does,), {"work": staticmethod(work), "__doc__": "Does it."})
    made: Does = kind()
    return made


class TestWhatRuns:
    def test_each_pass_reads_what_the_one_before_it_wrote(self, ground: Ground) -> None:
        report = ground.run(write("a"), write("b"), write("c"))

        assert ground.made() == "mabc"
        assert ground.listening.told == [
            "planned 3",
            "step-0 Succeeded Miss",
            "step-1 Succeeded Miss",
            "step-2 Succeeded Miss",
        ]
        assert report.outcome == "Succeeded"
        assert report.artifact is not None
        assert (report.artifact.bytes, report.artifact.files, report.artifact.format) == (4, 1, HF)

    def test_what_is_in_the_cache_does_not_run_again(self, ground: Ground) -> None:
        ground.run(write("a"), write("b"))

        ground.run(write("a"), write("b"))

        assert ground.listening.told == ["planned 2", "step-0 Succeeded Hit", "step-1 Succeeded Hit"]

    def test_a_longer_recipe_goes_on_where_the_shorter_one_ended(self, ground: Ground) -> None:
        first = ground.plan(write("a"), write("b"))
        pipeline.run(first, ground.settings, ground.listening, ground.stop)
        (ground.folder / "out" / "manifest.json").unlink()

        ground.run(write("a"), write("b"), write("c"))

        assert ground.listening.told[1:] == ["step-0 Succeeded Hit", "step-1 Succeeded Hit", "step-2 Succeeded Miss"]
        assert ground.made() == "mabc"

    def test_an_early_result_that_is_gone_is_not_missed_when_a_later_one_is_there(self, ground: Ground) -> None:
        ground.run(write("a"), write("b"))
        key = ground.plan(write("a"), write("b")).steps[0].key
        for file in (ground.folder / "out" / ".millwright" / "cache" / key).rglob("*"):
            if file.is_file():
                file.unlink()

        ground.run(write("a"), write("b"))

        assert ground.listening.told[1:] == ["step-0 Succeeded Hit", "step-1 Succeeded Hit"]

    def test_an_adapter_is_joined_with_what_it_sits_on(self, ground: Ground) -> None:
        ground.run(write("a"), adapt("+"), Join())

        assert ground.made() == "ma+"

    def test_an_adapter_from_the_cache_finds_its_base_there_too(self, ground: Ground) -> None:
        ground.run(write("a"), adapt("+"))
        (ground.folder / "out" / "manifest.json").unlink()

        ground.run(write("a"), adapt("+"), Join())

        assert ground.listening.told[1:] == ["step-0 Succeeded Hit", "step-1 Succeeded Hit", "step-2 Succeeded Miss"]
        assert ground.made() == "ma+"

    def test_an_adapter_whose_base_is_gone_is_made_again(self, ground: Ground) -> None:
        ground.run(write("a"), adapt("+"))
        key = ground.plan(write("a"), adapt("+")).steps[0].key
        (ground.folder / "out" / "manifest.json").unlink()
        (ground.folder / "out" / ".millwright" / "cache" / key / "manifest.json").unlink()

        ground.run(write("a"), adapt("+"), Join())

        assert ground.listening.told[1:] == ["step-0 Succeeded Miss", "step-1 Succeeded Hit", "step-2 Succeeded Miss"]

    def test_without_a_cache_everything_runs_and_nothing_is_kept(self, ground: Ground) -> None:
        ground.run(write("a"), write("b"), mode="Off")

        ground.run(write("a"), write("b"), mode="Off")

        assert ground.listening.told[1:] == ["step-0 Succeeded Off", "step-1 Succeeded Off"]
        assert ground.made() == "mab"
        assert not (ground.folder / "out" / ".millwright" / "cache").exists()

    def test_nothing_of_the_work_is_left(self, ground: Ground) -> None:
        ground.run(write("a"), write("b"))

        assert list((ground.folder / "out" / ".millwright").glob("work/*")) == []

    def test_what_libraries_wrote_for_their_owner_alone_is_readable_as_new_files_are(self, ground: Ground) -> None:
        def private(artifact: Artifact, context: Context) -> None:
            (context.folder / "model").write_text("m")
            (context.folder / "model").chmod(0o600)

        umask = os.umask(0o022)
        try:
            ground.run(does(private))
        finally:
            os.umask(umask)

        assert stat.S_IMODE((ground.folder / "out" / "model" / "model").stat().st_mode) == 0o644


class TestWhatIsTold:
    def test_metrics_and_the_course_of_the_loss_are_in_the_report_and_stay_with_the_cache(self, ground: Ground) -> None:
        first = ground.run(write("a"))
        told_first = ground.report()

        second = ground.run(write("a"))

        assert first.passes[0].metrics == second.passes[0].metrics == {"length": 2.0}
        assert told_first["history"] == ground.report()["history"] == {"step-0": [{"step": 1.0, "loss": 0.5}]}

    def test_a_metric_that_is_no_number_does_not_spoil_the_next_run(self, ground: Ground) -> None:
        def work(artifact: Artifact, context: Context) -> None:
            (context.folder / "model").write_text("m")
            context.metrics |= {"loss": float("nan"), "steps": 3.0}

        ground.run(does(work))

        assert ground.run(does(work)).passes[0].metrics == {"steps": 3.0}

    def test_the_report_lies_beside_the_model_and_on_the_machine(self, ground: Ground) -> None:
        ground.run(write("a"))

        assert json.loads((ground.folder / "out" / "report.json").read_text()) == ground.report()
        assert ground.report()["outcome"] == "Succeeded"
        assert ground.report()["versions"]["millwright"]

    def test_the_time_left_is_told_after_the_first_units_of_work(self, ground: Ground) -> None:
        def work(artifact: Artifact, context: Context) -> None:
            for done in range(1, 5):
                context.tell("training", done=done, total=4)
            (context.folder / "model").write_text("m")

        ground.run(does(work))

        told = [p.eta_seconds for p in ground.listening.progresses if p.message == "training"]
        assert told[:2] == [None, None]
        assert told[2] is not None
        assert told[3] == 0

    def test_progress_names_the_step_and_how_many_there_are(self, ground: Ground) -> None:
        ground.run(write("a"), write("b"))

        last = ground.listening.progresses[-1]
        assert (last.step_name, last.step_index, last.steps, last.message) == ("step-1", 1, 2, "publishing")


class TestHowItFails:
    def failing(self, ground: Ground, error: BaseException) -> MillwrightError:
        def work(artifact: Artifact, context: Context) -> None:
            (context.folder / "model").write_text("half")
            raise error

        with pytest.raises(MillwrightError) as caught:
            ground.run(write("a"), does(work))
        return caught.value

    def test_what_nobody_foresaw_names_the_pass_and_keeps_its_cause(self, ground: Ground) -> None:
        error = self.failing(ground, RuntimeError("shape mismatch"))

        assert isinstance(error, PassFailed)
        assert str(error) == "spec.passes[1].does: does failed: RuntimeError: shape mismatch"
        assert isinstance(error.__cause__, RuntimeError)

    @pytest.mark.parametrize(
        "full",
        [
            OSError(errno.ENOSPC, "No space left on device"),
            OSError(errno.EDQUOT, "Quota"),
            RuntimeError("I/O error: No space left on device"),
        ],
    )
    def test_a_full_disk_is_told_as_such_whoever_says_it(self, ground: Ground, full: Exception) -> None:
        assert isinstance(self.failing(ground, full), NoSpaceLeft)

    @pytest.mark.parametrize(("room", "told"), [(0, True), (2**80, False)])
    def test_a_full_disk_that_has_room_is_another_one(
        self, ground: Ground, monkeypatch: pytest.MonkeyPatch, room: int, told: bool
    ) -> None:
        monkeypatch.setattr(steps, "ROOM", room)

        error = self.failing(ground, RuntimeError("unable to write to file: No space left on device (28)"))

        assert ("free there: is /dev/shm full? (execution.kubernetes.sharedMemory)" in str(error)) is told

    def test_an_error_about_an_option_gets_its_path_in_the_manifest(self, ground: Ground) -> None:
        assert self.failing(ground, InvalidModel("matches nothing", where="text")).where == "spec.passes[1].does.text"

    def test_an_error_about_something_else_keeps_its_place(self, ground: Ground) -> None:
        assert self.failing(ground, InvalidModel("torn", where="/models/x")).where == "/models/x"

    def test_what_heals_by_itself_stays_so(self, ground: Ground) -> None:
        assert self.failing(ground, TryAgain("later")).exit_code == 75

    def test_a_failure_publishes_nothing_and_leaves_a_report_on_the_machine(self, ground: Ground) -> None:
        self.failing(ground, RuntimeError("no"))

        assert read_published(FileStore(ground.folder / "out")) is None
        assert not (ground.folder / "out" / "report.json").exists()
        assert (ground.report()["outcome"], ground.report()["reason"], ground.report()["exitCode"]) == (
            "Failed",
            "PassFailed",
            1,
        )
        assert [p["phase"] for p in ground.report()["passes"]] == ["Succeeded", "Failed"]

    def test_after_a_failure_what_came_before_is_in_the_cache(self, ground: Ground) -> None:
        self.failing(ground, RuntimeError("no"))

        ground.run(write("a"), write("b"))

        assert ground.listening.told[1:] == ["step-0 Succeeded Hit", "step-1 Succeeded Miss"]

    def test_a_pass_that_makes_nothing_has_failed(self, ground: Ground) -> None:
        with pytest.raises(PassFailed, match=r"spec.passes\[0\].does: does made nothing"):
            ground.run(does(lambda artifact, context: None))

    def test_half_a_result_is_not_taken_for_one_by_the_next_run(self, ground: Ground) -> None:
        self.failing(ground, RuntimeError("no"))

        def work(artifact: Artifact, context: Context) -> None:
            assert list(context.folder.iterdir()) == []
            (context.folder / "model").write_text("whole")

        ground.run(write("a"), does(work))

        assert ground.made() == "whole"

    def test_the_scratch_folder_of_a_stopped_pass_is_there_for_the_next_try(self, ground: Ground) -> None:
        def stopped(artifact: Artifact, context: Context) -> None:
            (context.scratch / "tokens").write_text("packed")
            context.stop.request(15)
            context.stop.check("a checkpoint is saved")

        def again(artifact: Artifact, context: Context) -> None:
            (context.folder / "model").write_text((context.scratch / "tokens").read_text())

        with pytest.raises(Stopped) as caught:
            ground.run(does(stopped))
        ground.stop = StopFlag()
        ground.run(does(again))

        assert caught.value.signal == 15
        assert ground.made() == "packed"

    def test_a_stop_between_two_passes_is_heeded(self, ground: Ground) -> None:
        def work(artifact: Artifact, context: Context) -> None:
            (context.folder / "model").write_text("m")
            context.stop.request(15)

        with pytest.raises(Stopped, match="SIGTERM: before step-1"):
            ground.run(does(work), write("b"))

        assert ground.report()["exitCode"] == 143

    def test_work_that_the_disk_cannot_hold_is_not_begun(self, ground: Ground) -> None:
        plan = ground.plan(write("a"))
        huge = replace(plan, steps=[replace(plan.steps[0], estimate=Estimate(memory=1, disk=10**18))])

        with pytest.raises(NoSpaceLeft, match="MB are free"):
            pipeline.run(huge, ground.settings, ground.listening, ground.stop)

        assert ground.listening.told == ["planned 1"]


class TestCheckpoints:
    def test_a_pass_goes_on_from_its_newest_checkpoint_and_leaves_none(self, ground: Ground) -> None:
        seen: list[str | None] = []

        def work(artifact: Artifact, context: Context) -> None:
            latest = context.checkpoints.latest()
            seen.append((latest / "state").read_text() if latest else None)
            for step in (3, 6, 9) if latest is None else ():
                saved = context.scratch / f"checkpoint-{step}"
                saved.mkdir()
                (saved / "state").write_text(f"step {step}")
                context.checkpoints.save(saved, step)
            if latest is None:
                raise TryAgain("the power went")
            (context.folder / "model").write_text("done")

        with pytest.raises(TryAgain):
            ground.run(does(work))
        kept = sorted(p.name for p in next((ground.folder / "out" / ".millwright" / "checkpoints").iterdir()).iterdir())
        ground.run(does(work))

        assert seen == [None, "step 9"]
        assert kept == ["000000006", "000000009"]
        assert list((ground.folder / "out" / ".millwright" / "checkpoints").rglob("*.json")) == []

    def test_how_often_to_save_comes_from_the_manifest(self, ground: Ground) -> None:
        def work(artifact: Artifact, context: Context) -> None:
            (context.folder / "model").write_text(str(context.checkpoints.every_steps))

        ground.run(does(work))

        assert ground.made() == "200"
