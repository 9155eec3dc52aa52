"""What a person sees of a run: plain lines, the live view, the closing summary, and numbers in words."""

from __future__ import annotations

import ast
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from millwright_api.report import ArtifactReport, PassReport, Progress, RunReport
from millwright_api.v1alpha1 import OptimizationJob
from millwright_runner.artifact import HF, HF_ADAPTER, ONNX_GENAI, Artifact
from millwright_runner.cli.live import LiveView
from millwright_runner.cli.plan import as_document
from millwright_runner.cli.summary import summary, try_it
from millwright_runner.cli.watch import Lines, Watch, count, ending, eta, loss, share_of
from millwright_runner.models import FoundModel, ModelFacts
from millwright_runner.passes import Estimate
from millwright_runner.plan import Plan, StepPlan
from millwright_runner.registry import bind
from millwright_runner.results import Results
from millwright_runner.stores.file import FileStore
from millwright_runner.words import duration, plural, size, sparkline

STEPS = ("finetune", "merge", "genai")


def make_plan(tmp_path: Path, hits: int = 0) -> Plan:
    """Returns a plan of three steps; the first `hits` are in the cache."""
    job = OptimizationJob.model_validate({
        "apiVersion": "millwright.dev/v1alpha1",
        "kind": "OptimizationJob",
        "metadata": {"name": "phi3-emotion"},
        "spec": {
            "model": {"path": "m"},
            "data": [{"name": "train", "source": {"path": "t.jsonl"}, "text": {}}],
            "passes": [{"name": "finetune", "lora": {"trainData": "train"}}, {"merge": {}}, {"genai": {}}],
            "output": {"path": "out"},
        },
    })  # fmt: skip
    facts = ModelFacts("m", {"model_type": "phi3"}, {}, 1000, 1000)
    model = FoundModel("d" * 64, facts, tmp_path, lambda: Artifact(tmp_path, HF, "d" * 64))
    keys = [letter * 64 for letter in "abc"]
    steps = [
        StepPlan(step, key, i < hits, Estimate(5_000_000, 2_000_000))
        for i, (step, key) in enumerate(zip(bind(job), keys, strict=True))
    ]
    return Plan(job, model, {}, steps, FileStore(tmp_path / "out"), None, keys[-1], None, Results({}, hits))


def at(step: str, message: str, **numbers: Any) -> Progress:
    return Progress(step_name=step, step_index=STEPS.index(step), steps=3, message=message, **numbers)


def done(step: str, **fields: Any) -> PassReport:
    settings = {"phase": "Succeeded", "cache": "Miss", "seconds": 12.3, "bytes": 4_100_000} | fields
    return PassReport.model_validate({"name": step, "pass": step, "key": "a" * 64, **settings})


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class TestLines:
    @pytest.fixture
    def clock(self) -> Clock:
        return Clock()

    @pytest.fixture
    def lines(self, clock: Clock) -> tuple[Lines, Callable[[], list[str]]]:
        out = io.StringIO()
        return Lines(out, clock), lambda: out.getvalue().splitlines()

    def test_the_plan_is_told_first(self, lines: Any, tmp_path: Path) -> None:
        watch, said = lines

        watch.planned(make_plan(tmp_path, hits=1))

        assert said() == [f"phi3-emotion: 3 steps, 1 from the cache; output {tmp_path}/out/"]

    def test_each_phase_is_told_at_once(self, lines: Any, tmp_path: Path) -> None:
        watch, said = lines
        watch.planned(make_plan(tmp_path))

        for phase in ("loading the model", "training", "saving"):
            watch.progress(at("finetune", phase))
        watch.finished(done("finetune"))

        assert said()[1:] == [
            "finetune (1/3): loading the model", "finetune (1/3): training", "finetune (1/3): saving", "finetune (1/3): done in 12 s, 4.1 MB",
        ]  # fmt: skip

    def test_a_fast_phase_is_not_told_step_by_step(self, lines: Any, tmp_path: Path, clock: Clock) -> None:
        watch, said = lines
        watch.planned(make_plan(tmp_path))

        for step in range(100):
            clock.now += 0.01
            watch.progress(at("finetune", "training", done=step, total=100))

        assert len(said()) == 2

    def test_a_slow_phase_is_told_every_tenth(self, lines: Any, tmp_path: Path, clock: Clock) -> None:
        watch, said = lines
        watch.planned(make_plan(tmp_path))

        for step in range(1, 101):
            clock.now += 2.0
            watch.progress(at("finetune", "training", done=step, total=100))

        assert [line.split()[-1] for line in said()[1:]] == [
            f"{n}/100" for n in (1, 11, 21, 31, 41, 51, 61, 71, 81, 91)
        ]

    def test_never_more_often_than_each_five_seconds(self, lines: Any, tmp_path: Path, clock: Clock) -> None:
        watch, said = lines
        watch.planned(make_plan(tmp_path))

        for step in range(1, 101):
            clock.now += 0.125
            watch.progress(at("finetune", "training", done=step, total=100))

        assert [line.split()[-1] for line in said()[1:]] == ["1/100", "41/100", "81/100"]

    def test_a_very_slow_phase_is_told_each_minute(self, lines: Any, tmp_path: Path, clock: Clock) -> None:
        watch, said = lines
        watch.planned(make_plan(tmp_path))

        for step in range(1, 8):
            clock.now += 30.0
            watch.progress(at("finetune", "training", done=step, total=100_000))

        assert [line.split()[-1] for line in said()[1:]] == ["1/100000", "3/100000", "5/100000", "7/100000"]

    def test_loss_and_time_left_are_told_and_the_last_loss_is_kept(
        self, lines: Any, tmp_path: Path, clock: Clock
    ) -> None:
        watch, said = lines
        watch.planned(make_plan(tmp_path))

        watch.progress(at("finetune", "training", done=1, total=10, loss=2.5))
        clock.now += 10
        watch.progress(at("finetune", "training", done=5, total=10, eta_seconds=61))

        assert said()[1:] == [
            "finetune (1/3): training 1/10, loss 2.5",
            "finetune (1/3): training 5/10, loss 2.5, 1 min 01 s left",
        ]

    def test_a_loss_is_not_carried_into_the_next_phase(self, lines: Any, tmp_path: Path) -> None:
        watch, said = lines
        watch.planned(make_plan(tmp_path))

        watch.progress(at("finetune", "training", done=1, total=10, loss=2.5))
        watch.progress(at("finetune", "storing"))

        assert said()[-1] == "finetune (1/3): storing"

    def test_a_stop_is_told_past_the_buffer(self, tmp_path: Path) -> None:
        with (tmp_path / "log").open("w") as out:
            Lines(out).stopping("SIGTERM: stopping")

            assert (tmp_path / "log").read_text() == "SIGTERM: stopping\n"

    def test_reports_are_kept(self, lines: Any, tmp_path: Path) -> None:
        watch, _ = lines
        watch.planned(make_plan(tmp_path))

        watch.finished(done("finetune"))

        assert [report.name for report in watch.told.passes] == ["finetune"]


class TestNobody:
    def test_it_says_nothing_and_keeps_reports(self, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
        with Watch() as watch:
            watch.planned(make_plan(tmp_path))
            watch.progress(at("finetune", "training"))
            watch.finished(done("finetune"))
            watch.stopping("SIGTERM")
            watch.abandon()

        assert capfd.readouterr() == ("", "")
        assert len(watch.told.passes) == 1


class TestLiveView:
    def view(self, width: int = 80) -> tuple[LiveView, Callable[[], list[str]]]:
        console = Console(
            file=io.StringIO(), width=width, height=40, force_terminal=True, color_system=None, legacy_windows=False
        )
        clock = Clock()
        view = LiveView(console, clock)
        clock.now += 65

        def lines() -> list[str]:
            with console.capture() as captured:
                console.print(view)
            return [line.rstrip() for line in captured.get().splitlines()]

        return view, lines

    def test_it_shows_nothing_before_there_is_a_plan(self) -> None:
        _, lines = self.view()

        assert lines() == []

    def test_it_shows_each_step(self, tmp_path: Path) -> None:
        view, lines = self.view()

        view.planned(make_plan(tmp_path, hits=1))

        assert lines() == [
            "phi3-emotion · 3 steps · 1 min 05 s", "· finetune  in the cache", "· merge     waiting", "· genai     waiting",
        ]  # fmt: skip

    def test_the_running_step_has_bar_count_loss_and_time_left(self, tmp_path: Path) -> None:
        view, lines = self.view()
        view.planned(make_plan(tmp_path))

        view.progress(at("finetune", "training", done=50, total=100, loss=1.2345678, eta_seconds=42))

        running = lines()[1]
        assert running[0] in "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
        assert running[1:] == " finetune ━━━━━━━━━━           training  50/100  loss 1.235  42 s left"

    def test_the_last_loss_stays_between_two_reports(self, tmp_path: Path) -> None:
        view, lines = self.view()
        view.planned(make_plan(tmp_path))

        view.progress(at("finetune", "training", done=50, total=100, loss=1.5))
        view.progress(at("finetune", "training", done=51, total=100))

        assert "51/100  loss 1.5" in lines()[1]

    def test_a_wide_screen_has_the_curve_of_the_loss(self, tmp_path: Path) -> None:
        view, lines = self.view(width=120)
        view.planned(make_plan(tmp_path))

        for step, value in enumerate([8.0, 6.0, 4.0, 2.0, 1.0], 1):
            view.progress(at("finetune", "training", done=step, total=100, loss=value))

        assert lines()[1].endswith("loss 1  █▆▄▂▁")

    def test_the_next_steps_loss_is_its_own(self, tmp_path: Path) -> None:
        view, lines = self.view()
        view.planned(make_plan(tmp_path))

        view.progress(at("finetune", "training", done=1, total=2, loss=1.5))
        view.finished(done("finetune"))
        view.progress(at("merge", "merging", done=1, total=2))

        assert "loss" not in lines()[2]

    def test_how_steps_ended_is_marked(self, tmp_path: Path) -> None:
        view, lines = self.view()
        view.planned(make_plan(tmp_path))

        view.finished(done("finetune", cache="Hit"))
        view.finished(done("merge", resumed_from=40))
        view.finished(done("genai", phase="Failed", bytes=None))

        assert lines()[1:] == [
            "✓ finetune  from the cache, 4.1 MB", "✓ merge     done in 12 s, 4.1 MB, went on from step 40", "✗ genai     failed after 12 s",
        ]  # fmt: skip

    @pytest.mark.parametrize("width", [20, 40, 60, 80])
    def test_it_keeps_to_the_screens_width(self, tmp_path: Path, width: int) -> None:
        view, lines = self.view(width)
        view.planned(make_plan(tmp_path))

        view.progress(at("finetune", "training", done=99_999, total=100_000, loss=1.2345, eta_seconds=86_400))

        assert len(lines()) == 4
        assert max(map(len, lines())) <= width

    def test_a_stop_is_shown_and_gone_at_the_end(self, tmp_path: Path) -> None:
        view, lines = self.view()
        with view:
            view.planned(make_plan(tmp_path))
            view.stopping("SIGINT: stopping")

            assert lines()[-1] == "SIGINT: stopping"

        assert "SIGINT: stopping" not in lines()

    def test_who_leaves_at_once_gives_the_cursor_back(self, tmp_path: Path) -> None:
        with (tmp_path / "tty").open("w") as terminal:
            LiveView(Console(file=terminal, force_terminal=True)).abandon()

            assert "\x1b[?25h" in (tmp_path / "tty").read_text()


class TestSummary:
    def report(self, kind: str = ONNX_GENAI, uri: str = "/models/out/abc/", **fields: Any) -> RunReport:
        passes = [done("finetune", cache="Hit"), done("merge"), done("genai", seconds=0.5)]
        artifact = ArtifactReport(uri=uri, format=kind, digest="d" * 64, bytes=4_280_000, files=5)
        return RunReport(
            outcome="Succeeded", reason="Succeeded", exit_code=0, artifact=artifact, passes=passes, seconds=83, **fields
        )

    def test_it_says_where_how_large_how_long_and_what_was_cached(self, tmp_path: Path) -> None:
        text = summary(make_plan(tmp_path), self.report(peak_memory_bytes=920_000_000))

        assert text.split("\n")[:6] == [
            "model   /models/out/abc/",
            "size    4.28 MB in 5 files, format onnx-genai",
            "time    1 min 23 s (finetune cached, merge 12 s, genai 0.5 s)",
            "memory  920 MB at most",
            "cache   1 of 3 steps",
            f"report  {tmp_path}/out/report.html",
        ]

    @pytest.mark.parametrize("kind", [ONNX_GENAI, HF, HF_ADAPTER])
    def test_the_way_to_try_it_is_python_with_the_real_path(self, kind: str) -> None:
        text = try_it("/models/it's mine/abc/", kind, "/models/base")

        head, code = text.split("<<'END'\n")
        assert head.startswith("Try it:\n\nORT_DISABLE_TELEMETRY=1 ")
        tree = ast.parse(code.removesuffix("\nEND"))
        assert "/models/it's mine/abc" in [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)]

    def test_a_model_in_a_bucket_is_fetched_first(self) -> None:
        text = try_it("s3://team-a/models/abc/", ONNX_GENAI, "s3://team-a/base/")

        assert "aws s3 cp --recursive s3://team-a/models/abc/ model\nORT_" in text
        assert "og.Model('model')" in text

    def test_so_is_one_in_blob_storage(self) -> None:
        text = try_it("https://team.blob.core.windows.net/models/abc/", ONNX_GENAI, "base")

        assert "azcopy copy --recursive 'https://team.blob.core.windows.net/models/abc/*' model\nORT_" in text

    def test_so_is_the_model_that_an_adapter_sits_on(self) -> None:
        text = try_it("/models/out/abc/", HF_ADAPTER, "s3://team-a/base/")

        assert "aws s3 cp --recursive s3://team-a/base/ base\nORT_" in text
        assert "from_pretrained('base')" in text

    def test_an_adapter_of_a_hubs_model_names_the_repository(self) -> None:
        assert "from_pretrained('microsoft/Phi-3')" in try_it("/models/out/abc/", HF_ADAPTER, "microsoft/Phi-3")

    def test_a_plug_ins_format_has_no_such_way(self, tmp_path: Path) -> None:
        assert try_it("/models/out/", "gguf", "/models/base") == ""
        assert "Try it" not in summary(make_plan(tmp_path), self.report(kind="gguf"))


class TestPlanDocument:
    def test_it_counts_only_what_would_run(self, tmp_path: Path) -> None:
        document = as_document(make_plan(tmp_path, hits=2))

        assert [step["cache"] for step in document["steps"]] == ["Hit", "Hit", "Off"]
        assert (document["memoryBytes"], document["diskBytes"]) == (5_000_000, 2_000_000)


class TestWords:
    @pytest.mark.parametrize(
        ("count", "text"),
        [
            (0, "0 B"), (999, "999 B"), (1000, "1 kB"), (1234, "1.23 kB"), (99_499, "99.5 kB"), (99_600, "100 kB"), (999_400, "999 kB"),
            (999_600, "1 MB"), (4_280_000, "4.28 MB"), (2_145_000_000, "2.15 GB"), (1.5e12, "1.5 TB"), (2e15, "2,000 TB"),
        ],
    )  # fmt: skip
    def test_bytes(self, count: float, text: str) -> None:
        assert size(count) == text

    @pytest.mark.parametrize(
        ("seconds", "text"),
        [
            (0, "0.0 s"), (0.44, "0.4 s"), (9.94, "9.9 s"), (9.96, "10 s"), (59.4, "59 s"), (59.6, "1 min 00 s"), (185, "3 min 05 s"),
            (3599.6, "1 h 00 min"), (7620, "2 h 07 min"), (100_000, "27 h 46 min"),
        ],
    )  # fmt: skip
    def test_durations(self, seconds: float, text: str) -> None:
        assert duration(seconds) == text

    @pytest.mark.parametrize(
        ("number", "word", "text"), [(1, "step", "1 step"), (0, "step", "0 steps"), (2, "pass", "2 passes")]
    )
    def test_plurals(self, number: int, word: str, text: str) -> None:
        assert plural(number, word) == text

    @pytest.mark.parametrize(
        ("values", "curve"),
        [
            ([], ""), ([1.0], ""), ([1.0, 2.0], "▁█"), ([2.0, 2.0, 2.0], "▁▁▁"), ([3.0, 2.0, 1.0], "█▅▁"), ([1.0, float("nan")], "▁▁"),
            ([float(i) for i in range(1200)], "▁▂▂▃▄▄▅▅▆▇▇█"),
        ],
    )  # fmt: skip
    def test_curves(self, values: list[float], curve: str) -> None:
        assert sparkline(values) == curve

    def test_a_share_never_leaves_its_bounds(self) -> None:
        assert share_of(at("merge", "x")) == 0
        assert share_of(at("merge", "x", done=5, total=0)) == 0
        assert share_of(at("merge", "x", done=5, total=10)) == 0.5
        assert share_of(at("merge", "x", done=11, total=10)) == 1

    def test_counts_are_bytes_where_phases_count_bytes(self) -> None:
        assert count(at("merge", "training")) == ""
        assert count(at("merge", "training", done=3)) == "3"
        assert count(at("merge", "training", done=2_000_000, total=3_000_000)) == "2000000/3000000"
        assert count(at("merge", "tokenizing", done=35_000_000, total=60_000_000)) == "35 MB of 60 MB"
        assert count(at("merge", "publishing", done=500)) == "500 B"

    def test_loss_and_time_left(self) -> None:
        assert loss(0.000123456) == "loss 0.0001235"
        assert loss(float("nan")) == "loss nan"
        assert eta(at("merge", "x")) == ""
        assert eta(at("merge", "x", eta_seconds=0.2)) == "0.2 s left"

    @pytest.mark.parametrize(("phase", "text"), [("Failed", "failed after 12 s"), ("Stopped", "stopped after 12 s")])
    def test_endings_that_are_no_success(self, phase: str, text: str) -> None:
        assert ending(done("merge", phase=phase)) == text
