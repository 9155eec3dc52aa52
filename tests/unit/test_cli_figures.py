"""What was measured, as people read it: in a line, in a table, on a terminal and in a log, of a run and of a job."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from tests import jobstates as states
from tests.cliground import CliGround
from tests.unit.test_cli_views import Clock, at, done, make_plan

from millwright_api.report import ArtifactReport, ConstraintReport, EvaluationReport, MetricReport, RunReport
from millwright_runner import figures
from millwright_runner.cli import tables
from millwright_runner.cli.jobs.lines import JobLines
from millwright_runner.cli.jobs.live import LiveJob
from millwright_runner.cli.jobs.look import look
from millwright_runner.cli.live import LiveView
from millwright_runner.cli.summary import summary
from millwright_runner.cli.watch import Lines
from millwright_runner.cli.watch_ import result

BROKEN = "accuracy is 0.41; min 0.9: off by 0.49"


def accuracy(value: float | None, **more: Any) -> MetricReport:
    return MetricReport(name="accuracy", value=value, unit="share", **more)


def measured(after: str, *metrics: MetricReport) -> EvaluationReport:
    return EvaluationReport(after=after, metrics=list(metrics))


def constraint(met: bool, message: str = "accuracy is 0.95; min 0.9", *, decided: bool = True) -> ConstraintReport:
    return ConstraintReport(metric="accuracy", met=met, decided=decided, message=message)


BEFORE = measured("input", accuracy(0.2, low=0.1, high=0.3, n=60), MetricReport(name="size", value=8e6, unit="bytes"))
AFTER = measured("genai", accuracy(0.95, low=0.9, high=0.98, n=60), MetricReport(name="size", value=2e6, unit="bytes"))


class TestFigures:
    @pytest.mark.parametrize(
        ("value", "unit", "said"),
        [
            (0.925, "share", "0.925"),
            (12.3456, "perplexity", "12.35"),
            (38.21, "ms", "38.21 ms"),
            (4_100_000, "bytes", "4.1 MB"),
            (17.0, "", "17"),
            (None, "ms", "no number"),
        ],
    )
    def test_a_value_has_its_unit(self, value: float | None, unit: str, said: str) -> None:
        assert figures.figure(MetricReport(name="m", value=value, unit=unit)) == said

    def test_a_line_has_all_metrics_with_interval_and_n(self) -> None:
        slow = MetricReport(name="latency", value=4.1, unit="ms")
        lost = MetricReport(name="perplexity", value=None, unit="perplexity")

        said = figures.line(measured("genai", accuracy(0.925, low=0.864, high=0.96, n=120), slow, lost))

        assert said == "accuracy 0.925 (0.864 to 0.96, n 120), latency 4.1 ms, perplexity is no number"

    def test_only_constraints_that_someone_has_to_look_at_get_a_line(self) -> None:
        said = figures.verdicts(
            [constraint(True), constraint(True, "by a hair", decided=False), constraint(False, "off")]
        )

        assert said == ["constraint kept: by a hair", "constraint NOT met: off"]


class TestTheTable:
    def test_has_a_row_for_each_metric_and_a_column_for_each_model(self) -> None:
        assert tables.text([BEFORE, AFTER], []).splitlines() == [
            "metric     input              genai                 n",
            "accuracy   0.2 (0.1 to 0.3)   0.95 (0.9 to 0.98)   60",
            "size       8 MB               2 MB",
        ]

    def test_a_metric_that_one_model_lacks_leaves_a_gap(self) -> None:
        rows = tables.text([measured("input"), AFTER], []).splitlines()

        assert rows[1].split("  ")[0] == "accuracy"
        assert "0.95 (0.9 to 0.98)" in rows[1]

    def test_where_nothing_was_counted_there_is_no_n(self) -> None:
        size = MetricReport(name="size", value=2e6, unit="bytes")

        assert tables.text([measured("input", size)], []).splitlines() == ["metric   input", "size     2 MB"]

    def test_constraints_follow_met_or_not(self) -> None:
        rows = tables.text([AFTER], [constraint(True), constraint(False, BROKEN)]).splitlines()

        assert rows[-2:] == ["met      accuracy is 0.95; min 0.9", f"NOT met  {BROKEN}"]

    def test_without_a_screen_no_row_is_broken(self) -> None:
        many = [measured(f"a-step-with-a-long-name-{i:02}", accuracy(0.5)) for i in range(32)]

        assert len(tables.text(many, []).splitlines()) == 2

    def test_of_nothing_there_is_none(self) -> None:
        assert tables.text([], []) == ""

    def test_a_terminal_has_colours_and_its_own_width(self) -> None:
        screen = Console(
            file=io.StringIO(), force_terminal=True, color_system="standard", width=60, legacy_windows=False
        )

        said = tables.text([BEFORE, AFTER], [constraint(False, BROKEN)], screen)

        assert "\x1b[1;31mNOT met" in said
        assert "\x1b" not in tables.text([BEFORE, AFTER], [constraint(False, BROKEN)], Console(file=io.StringIO()))


class TestARun:
    def test_a_log_has_each_model_as_it_is_measured(self) -> None:
        out = io.StringIO()
        watch = Lines(out)

        watch.measured(BEFORE)
        watch.judged([constraint(True), constraint(False, BROKEN)])

        assert out.getvalue().splitlines() == [
            "measured after input: accuracy 0.2 (0.1 to 0.3, n 60), size 8 MB",
            f"constraint NOT met: {BROKEN}",
        ]
        assert watch.told.evaluation == [BEFORE]
        assert [entry.met for entry in watch.told.constraints] == [True, False]

    def test_the_summary_begins_with_the_table(self, tmp_path: Path) -> None:
        artifact = ArtifactReport(uri="/models/out/abc/", format="hf", digest="d" * 64, bytes=9, files=2)
        report = RunReport(
            outcome="Succeeded",
            reason="Succeeded",
            exit_code=0,
            artifact=artifact,
            evaluation=[BEFORE, AFTER],
            constraints=[constraint(True)],
        )

        head, rest = summary(make_plan(tmp_path), report).split("\n\nmodel ")

        assert head == tables.text([BEFORE, AFTER], [constraint(True)])
        assert rest.startswith("  /models/out/abc/")

    def live(self, tmp_path: Path) -> tuple[LiveView, Console]:
        console = Console(file=io.StringIO(), force_terminal=True, width=100, color_system=None, legacy_windows=False)
        view = LiveView(console, Clock())
        view.planned(make_plan(tmp_path))
        return view, console

    def drawn(self, view: LiveView, console: Console) -> str:
        with console.capture() as said:
            console.print(view)
        return said.get()

    def test_the_live_view_shows_what_is_known_so_far(self, tmp_path: Path) -> None:
        view, console = self.live(tmp_path)
        view.progress(at("finetune", "measuring accuracy of the input"))
        view.measured(BEFORE)
        view.finished(done("finetune"))

        said = self.drawn(view, console)

        assert "accuracy" in said
        assert "0.2 (0.1 to 0.3)" in said

    def test_a_failed_gate_leaves_the_table_on_the_screen(self, tmp_path: Path) -> None:
        view, console = self.live(tmp_path)
        view.measured(AFTER)
        view.judged([constraint(False, BROKEN)])

        view.__exit__(RuntimeError, RuntimeError("failed"), None)

        assert f"NOT met  {BROKEN}" in self.drawn(view, console)

    def test_a_good_end_leaves_it_to_the_summary(self, tmp_path: Path) -> None:
        view, console = self.live(tmp_path)
        view.measured(AFTER)

        view.__exit__(None, None, None)

        assert "accuracy" not in self.drawn(view, console)


EVALUATION = {
    "results": [BEFORE.model_dump(mode="json"), AFTER.model_dump(mode="json")],
    "constraints": [constraint(False, BROKEN).model_dump(mode="json")],
}


class TestAJobOnACluster:
    def with_figures(self, body: states.Json) -> states.Json:
        body["status"]["evaluation"] = EVALUATION
        return body

    def test_a_log_has_figures_and_broken_constraints_once(self) -> None:
        out = io.StringIO()
        lines = JobLines(out)

        lines.show(look(self.with_figures(states.failed())))
        lines.show(look(self.with_figures(states.failed())))

        said = out.getvalue().splitlines()
        assert said.count("measured after genai: accuracy 0.95 (0.9 to 0.98, n 60), size 2 MB") == 1
        assert said.count(f"constraint NOT met: {BROKEN}") == 1

    def test_the_closing_text_begins_with_the_table(self) -> None:
        text = result(look(self.with_figures(states.complete())))

        assert text.startswith("metric ")
        assert f"NOT met  {BROKEN}\n\njob " in text

    def test_without_figures_the_closing_text_is_as_before(self) -> None:
        assert result(look(states.complete())).startswith("job ")

    @pytest.mark.parametrize(("body", "there"), [(states.failed(), True), (states.complete(), False)])
    def test_the_live_view_keeps_the_table_where_no_closing_text_has_it(self, body: states.Json, there: bool) -> None:
        console = Console(file=io.StringIO(), force_terminal=True, width=100, color_system=None, legacy_windows=False)
        view = LiveJob(console)
        view.show(look(self.with_figures(body)))

        with console.capture() as said:
            console.print(view)

        assert (f"NOT met  {BROKEN}" in said.get()) is there


class TestTheCommand:
    """`millwright run` itself, in a process of its own, with a metric that needs no torch."""

    @pytest.fixture
    def ground(self, tmp_path: Path) -> CliGround:
        return CliGround.make(tmp_path)

    def gate(self, ground: CliGround, **constraint: Any) -> None:
        evaluation = {
            "after": ["input", "last"],
            "metrics": [{"sizeOnDisk": {}}],
            "constraints": [{"metric": "sizeOnDisk", **constraint}],
        }
        ground.write_job({}, evaluation=evaluation)

    def test_a_good_run_ends_with_the_table_on_stdout(self, ground: CliGround) -> None:
        self.gate(ground, maxDropPercent=0)

        said = ground.run("run", "job.yaml")

        rows = said.out.strip().splitlines()
        assert said.code == 0
        assert rows[0].split() == ["metric", "input", "step-0"]
        assert rows[1].startswith("sizeOnDisk ")
        assert any(row.startswith("met      sizeOnDisk is ") for row in rows)
        assert "measured after input: sizeOnDisk " in said.err

    def test_json_has_what_was_measured(self, ground: CliGround) -> None:
        self.gate(ground, maxDropPercent=0)

        report = RunReport.model_validate_json(ground.run("run", "job.yaml", "--json").out)

        assert [entry.after for entry in report.evaluation] == ["input", "step-0"]
        assert report.evaluation[0].metrics[0].value == report.evaluation[1].metrics[0].value
        assert [entry.met for entry in report.constraints] == [True]

    def test_a_failed_gate_is_exit_code_3_with_figures_and_nothing_published(self, ground: CliGround) -> None:
        self.gate(ground, max=1)

        said = ground.run("run", "job.yaml")

        assert (said.code, said.out) == (3, "")
        assert "ConstraintsNotMet: job.yaml:" in said.err
        assert "sizeOnDisk is " in said.err
        assert not (ground.folder / "out" / "manifest.json").exists()
        told = json.loads((ground.folder / "home" / "runs" / "copy" / "report.json").read_text())
        assert [entry["after"] for entry in told["evaluation"]] == ["input", "step-0"]

    def test_on_a_terminal_the_table_of_a_failed_gate_stays(self, ground: CliGround) -> None:
        self.gate(ground, max=1)

        said = ground.on_terminal("run", "job.yaml")

        assert said.code == 3
        assert "NOT met" in said.out.rsplit("sizeOnDisk", 1)[0]
