"""What a person sees of a search: lines, the live view, the closing table."""

from __future__ import annotations

import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from millwright_api.report import EvaluationReport, MetricReport, Progress
from millwright_api.search import Search
from millwright_runner.cli.live_search import SearchView
from millwright_runner.cli.searching import SearchLines, SearchWatch
from millwright_runner.cli.trials import ROWS, closing
from millwright_runner.searching import SearchOutline
from millwright_search.trials import Outcome, Over, Segment, Trial

TUNE = Segment("t" * 64, 0, (1e-3, None), 0, 1, ("finetune",), last=False)
LAST = Segment("l" * 64, 1, (1e-3, "int4"), 1, 2, ("genai",), last=True)


def outline(folder: Path, *objectives: tuple[str, str], parameters: int = 2) -> SearchOutline:
    """A grid over a rate and a precision."""
    rate = {"pass": "finetune", "option": "learningRate", "choice": [1e-3, 1e-4]}
    search = Search.model_validate({
        "algorithm": {"grid": {}},
        "parameters": [
            rate,
            {"pass": "genai", "option": "precision", "choice": ["int4", "int8"]},
            *({"pass": "genai", "option": f"option{n}", "choice": [1, 2]} for n in range(2, parameters)),
        ],
        "objectives": [{"metric": m, "direction": d} for m, d in objectives or (("accuracy", "Maximize"),)],
    })  # fmt: skip
    units = {"accuracy": "share", "size": "bytes"}
    metrics = [SimpleNamespace(name=name, metric=SimpleNamespace(unit=unit)) for name, unit in units.items()]
    plan: Any = SimpleNamespace(
        job=SimpleNamespace(metadata=SimpleNamespace(name="tones")), output=SimpleNamespace(uri=f"{folder}/out/"),
        evaluation=SimpleNamespace(metrics=metrics),
    )  # fmt: skip
    return SearchOutline(search, plan, 4, 4)


POINTS: tuple[tuple[Any, ...], ...] = ((1e-3, "int4"), (1e-3, "int8"), (1e-4, "int4"), (1e-4, "int8"))


def ended(watch: SearchWatch, number: int, phase: Any = "Succeeded", *values: float, **more: Any) -> None:
    """A trial is asked for, and ends."""
    trial = Trial(number, POINTS[number % 4])
    watch.asked(trial)
    watch.segment(trial, LAST)
    watch.segment_ended(trial, LAST)
    watch.ended(trial, Outcome(phase, values, **more))


class Clock:
    """Time that passes when it is told to."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


class TestLines:
    @pytest.fixture
    def said(self) -> io.StringIO:
        return io.StringIO()

    @pytest.fixture
    def clock(self) -> Clock:
        return Clock()

    @pytest.fixture
    def lines(self, said: io.StringIO, clock: Clock, tmp_path: Path) -> SearchLines:
        watch = SearchLines(said, clock)
        watch.searching(outline(tmp_path))
        return watch

    def test_first_it_says_what_is_searched(self, lines: SearchLines, said: io.StringIO, tmp_path: Path) -> None:
        assert said.getvalue() == (
            f"tones: grid search over finetune.learningRate, genai.precision: 4 trials of 4 points; output {tmp_path}/out/\n"
        )

    def test_a_line_for_each_trial_that_begins_and_one_for_its_end(self, lines: SearchLines, said: io.StringIO) -> None:
        ended(lines, 0, "Succeeded", 0.872)
        ended(lines, 1, "Succeeded", 0.9)
        ended(lines, 2, "Succeeded", 0.5)

        assert said.getvalue().splitlines()[1:] == [
            "trial 0 (1/4): finetune.learningRate=0.001 genai.precision=int4",
            "trial 0 (1/4): accuracy 0.872; the best so far",
            "trial 1 (2/4): finetune.learningRate=0.001 genai.precision=int8",
            "trial 1 (2/4): accuracy 0.9; the best so far",
            "trial 2 (3/4): finetune.learningRate=0.0001 genai.precision=int4",
            "trial 2 (3/4): accuracy 0.5; best is trial 1: accuracy 0.9",
        ]

    def test_a_trial_of_several_segments_begins_once(self, lines: SearchLines, said: io.StringIO) -> None:
        trial = Trial(0, POINTS[0])
        lines.asked(trial)

        lines.segment(trial, TUNE)
        lines.segment(trial, LAST)

        assert said.getvalue().count("trial 0") == 1

    def test_what_went_wrong_is_said(self, lines: SearchLines, said: io.StringIO) -> None:
        ended(lines, 0, "Failed", reason="InvalidData", message="training diverged")
        ended(lines, 1, "ConstraintsNotMet", 0.4, violated=1, message="accuracy is 0.4; min 0.8: off by 0.4")
        ended(lines, 2, "Pruned", 0.3, message="after finetune accuracy was 0.3; the median of 5 earlier trials is 0.8")
        lines.over(Over("NoTrialSucceeded", "1 of 3 trials failed", None))

        assert [line for line in said.getvalue().splitlines() if "=" not in line][1:] == [
            "trial 0 (1/4): failed, InvalidData: training diverged",
            "trial 1 (2/4): accuracy 0.4; constraints not met: accuracy is 0.4; min 0.8: off by 0.4",
            "trial 2 (3/4): accuracy 0.3; pruned: after finetune accuracy was 0.3; the median of 5 earlier trials is 0.8",
            "search over: 1 of 3 trials failed",
        ]

    def test_a_short_pass_says_nothing_and_a_long_one_every_tenth(
        self, lines: SearchLines, said: io.StringIO, clock: Clock
    ) -> None:
        trial = Trial(0, POINTS[0])
        lines.asked(trial)
        told = lines.segment(trial, TUNE)

        for step in range(1, 101):
            clock.now += 0.04 if step <= 50 else 1
            told.progress(
                Progress(
                    step_name="finetune", step_index=0, steps=2, message="training", done=step, total=100, loss=2.0
                )
            )

        assert said.getvalue().splitlines()[2:] == [
            f"trial 0 (1/4): finetune: training {step}/100, loss 2" for step in (53, 63, 73, 83, 93)
        ]

    def test_the_input_and_warnings_are_told_once(self, lines: SearchLines, said: io.StringIO) -> None:
        report = EvaluationReport(
            after="input", metrics=[MetricReport(name="accuracy", value=0.25, unit="share")], overlap={"test": 3}
        )

        for number in range(2):
            trial = Trial(number, POINTS[number])
            lines.asked(trial)
            lines.segment(trial, TUNE).measured(report)

        assert said.getvalue().count("measured of the input: accuracy 0.25") == 1
        assert said.getvalue().count("warning: 3 rows of test are trained on as well") == 1


def shown(view: SearchView, width: int = 120, height: int = 30) -> str:
    """Draws a view once."""
    out = io.StringIO()
    Console(file=out, width=width, height=height, force_terminal=True, color_system=None).print(view)
    return out.getvalue()


class TestLiveView:
    @pytest.fixture
    def view(self, tmp_path: Path) -> SearchView:
        view = SearchView(Console(file=io.StringIO(), force_terminal=True), Clock())
        view.searching(outline(tmp_path))
        return view

    def test_nothing_is_drawn_before_there_is_something_to_say(self) -> None:
        assert shown(SearchView(Console(file=io.StringIO()), Clock())).strip() == ""

    def test_each_trial_has_a_line_and_the_best_is_marked(self, view: SearchView) -> None:
        ended(view, 0, "Succeeded", 0.9)
        ended(view, 1, "Failed", reason="PassFailed")

        lines = shown(view).splitlines()

        assert lines[0].split(" · ") == ["tones", "grid search", "2/4 trials", "0.0 s", "best is trial 0: accuracy 0.9"]
        assert lines[1].split() == ["trial", "finetune.learningRate", "genai.precision", "accuracy"]
        assert lines[2].split() == ["★", "0", "0.001", "int4", "0.9"]
        assert lines[3].split() == ["✗", "1", "0.001", "int8", "failed,", "PassFailed"]

    def test_what_runs_says_how_far_it_is(self, view: SearchView) -> None:
        trial = Trial(2, POINTS[2])
        view.asked(trial)
        view.segment(trial, TUNE).progress(
            Progress(step_name="finetune", step_index=0, steps=2, message="training", done=42, total=100, loss=0.33)
        )

        assert "finetune: training  42/100  loss 0.33" in shown(view)

        view.segment_ended(trial, TUNE)
        assert "training" not in shown(view)

    @pytest.mark.parametrize("height", [12, 24])
    def test_on_a_low_screen_the_best_and_the_newest_are_shown(self, view: SearchView, height: int) -> None:
        ended(view, 0, "Succeeded", 1.0)
        for number in range(1, 100):
            ended(view, number, "Succeeded", 0.5)

        text = shown(view, height=height)

        assert len(text.splitlines()) <= height
        assert "★      0" in text
        assert " 99 " in text
        assert "trials before" in text

    def test_many_parameters_share_a_column(self, tmp_path: Path) -> None:
        view = SearchView(Console(file=io.StringIO(), force_terminal=True), Clock())
        view.searching(outline(tmp_path, parameters=6))
        view.asked(Trial(0, (1e-3, "int4", 1, 1, 1, 2)))
        view.ended(Trial(0, (1e-3, "int4", 1, 1, 1, 2)), Outcome("Succeeded", (0.9,)))

        assert "finetune.learningRate=0.001 genai.precision=int4 genai.option2=1" in shown(view, width=200)

    def test_a_stop_is_told_below(self, view: SearchView) -> None:
        view.stopping("SIGINT: stopping")

        assert shown(view).splitlines()[-1] == "SIGINT: stopping"


class TestClosing:
    def test_the_best_stands_first_and_is_told_with_its_parameters(self, tmp_path: Path) -> None:
        watch = SearchWatch()
        watch.searching(outline(tmp_path))
        for number, value in enumerate((0.5, 0.9, 0.7)):
            ended(watch, number, "Succeeded", value)
        ended(watch, 3, "ConstraintsNotMet", 0.95, violated=1)
        watch.over(Over("AllTrialsDone", "4 trials", 1, (1,)))

        rows = closing(watch.known).splitlines()

        assert [line.split()[:2] for line in rows[1:5]] == [["★", "1"], ["✓", "2"], ["✓", "0"], ["✗", "3"]]
        assert rows[4].endswith("0.95  constraints not met")
        assert rows[-2:] == [
            "best    trial 1: finetune.learningRate=0.001 genai.precision=int8",
            "        accuracy 0.9",
        ]

    def test_the_front_of_several_objectives_is_marked(self, tmp_path: Path) -> None:
        watch = SearchWatch()
        watch.searching(outline(tmp_path, ("accuracy", "Maximize"), ("size", "Minimize")))
        for number, values in enumerate(((0.9, 4e6), (0.8, 2e6), (0.7, 3e6))):
            ended(watch, number, "Succeeded", *values)
        watch.over(Over("AllTrialsDone", "3 trials", 0, (0, 1)))

        text = closing(watch.known)

        assert [line.split()[:2] for line in text.splitlines()[1:4]] == [["★", "0"], ["◆", "1"], ["✓", "2"]]
        assert "◆ no other trial is better in every objective" in text
        assert "4 MB" in text

    def test_of_many_trials_the_best_are_shown(self, tmp_path: Path) -> None:
        watch = SearchWatch()
        watch.searching(outline(tmp_path))
        for number in range(50):
            ended(watch, number, "Succeeded", number / 100)
        watch.over(Over("AllTrialsDone", "50 trials", 49, (49,)))

        text = closing(watch.known)

        assert [int(line.split()[1]) for line in text.splitlines()[1 : ROWS + 1]] == list(range(49, 49 - ROWS, -1))
        assert "30 more trials in trials.jsonl" in text
