"""What a person sees of a search on a cluster: a line for each trial that ended, the live table, the closing text."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from rich.console import Console
from tests import jobstates as states
from tests.unit.test_cli_watch import Replay, replay

from millwright_runner.cli.jobs.lines import JobLines
from millwright_runner.cli.jobs.live import LiveJob
from millwright_runner.cli.jobs.look import look, when
from millwright_runner.cli.watch_ import result

__all__ = ["replay"]

SEARCH = {
    "parameters": [
        {"pass": "finetune", "option": "learningRate", "logUniform": {"min": 1e-5, "max": 1e-2}},
        {"pass": "genai", "option": "blockSize", "choice": [32, 64, 128]},
    ],
    "objectives": [{"metric": "accuracy", "direction": "Maximize"}],
    "maxTrials": 12,
}


def trial(number: int, phase: str = "Succeeded", accuracy: float | None = None, **more: Any) -> states.Json:
    told = {} if accuracy is None else {"values": [accuracy]}
    return {"number": number, "phase": phase, "at": json.dumps([1e-4 * (number + 1), 32]), **told, **more}


FIRST, BEST = trial(0, accuracy=0.85), trial(1, accuracy=0.91)
MISSED = trial(2, "ConstraintsNotMet", 0.4, violated=1)
BROKEN = trial(3, "Failed", reason="OOMKilled", message="limit 2Gi")


def searching(*trials: states.Json, search: Any = SEARCH, **told: Any) -> states.Json:
    """A job whose trials are under way."""
    body = states.running()
    body["spec"]["search"] = search
    ready = states.condition("Ready", "False", "StageRunning", f"{len(trials)} of 12 trials ended, 2 Jobs run")
    body["status"] |= {
        "conditions": [ready],
        "search": {"summary": f"{len(trials)}/12", "trials": list(trials), **told},
    }
    body["status"]["progress"] |= {"message": "trial 4: training", "summary": f"{len(trials)}/12 trials"}
    return body


def of(number: int, accuracy: float) -> states.Json:
    return {"number": number, "parameters": {"finetune.learningRate": "0.0002", "genai.blockSize": "32"}, "values": {"accuracy": accuracy}}  # fmt: skip


def found(*trials: states.Json, **told: Any) -> states.Json:
    """A job whose search is over, and whose best trial is published."""
    body = states.complete()
    body["spec"]["search"] = SEARCH
    body["status"]["search"] = {
        "summary": "12/12", "trials": list(trials), "best": of(1, 0.91), "front": [1], "reason": "AllTrialsDone",
        "message": "12 trials: 10 succeeded", **told,
    }  # fmt: skip
    return body


class TestLines:
    def told(self, *bodies: states.Json) -> list[str]:
        out = io.StringIO()
        view = JobLines(out, lambda: 0.0)
        for body in bodies:
            view.show(look(body))
        return out.getvalue().splitlines()

    def test_each_trial_that_ended_is_one_line_and_told_once(self) -> None:
        said = self.told(
            searching(FIRST), searching(FIRST, BEST, best=of(1, 0.91)), searching(FIRST, BEST, best=of(1, 0.91))
        )

        assert [line for line in said if "trial" in line] == [
            "team-a/emotion: Running: trials",
            "trial 0 (1/12): finetune.learningRate=0.0001 genai.blockSize=32; accuracy 0.85",
            "trial 1 (2/12): finetune.learningRate=0.0002 genai.blockSize=32; accuracy 0.91",
            "best so far: trial 1, accuracy 0.91",
        ]

    @pytest.mark.parametrize(
        ("one", "ending"),
        [
            (MISSED, "genai.blockSize=32; accuracy 0.4; constraints not met"),
            (BROKEN, "genai.blockSize=32; failed: OOMKilled: limit 2Gi"),
            (trial(5, "Pruned", 0.3, message="after finetune accuracy was 0.3"), "genai.blockSize=32; ended early: after finetune accuracy was 0.3"),
        ],
        ids=["missed", "failed", "pruned"],
    )  # fmt: skip
    def test_a_trial_that_did_not_succeed_says_why(self, one: states.Json, ending: str) -> None:
        assert self.told(searching(one))[-1].endswith(ending)

    def test_trials_that_run_are_no_news_yet(self) -> None:
        assert self.told(searching(trial(0, "Running"), trial(1, "Pending"))) == ["team-a/emotion: Running: trials"]

    def test_from_time_to_time_it_says_what_a_trial_is_doing(self) -> None:
        out, minutes = io.StringIO(), iter((0.0, 60.0, 61.0))
        view = JobLines(out, lambda: next(minutes))

        for _ in range(3):
            view.show(look(searching(FIRST)))

        said = [line for line in out.getvalue().splitlines() if "training" in line]
        assert said == ["finetune (1/3): trial 4: training 20/100, loss 1.234, 1m20s left"]

    def test_what_each_trial_is_doing_is_no_news_by_itself(self) -> None:
        other = searching(FIRST)
        other["status"]["progress"] |= {"pass": "genai", "message": "trial 5: building"}

        assert [line for line in self.told(searching(FIRST), other) if "training" in line or "building" in line] == []

    def test_a_finite_space_that_is_smaller_counts(self) -> None:
        assert "trial 0 (1/6): " in self.told(searching(FIRST, space=6))[1]

    def test_parameters_that_the_status_has_no_room_for_are_left_out(self) -> None:
        assert self.told(searching(FIRST | {"at": "#[0, 1]"}))[1] == "trial 0 (1/12): accuracy 0.85"

    def test_the_end_says_why_no_trial_comes_any_more(self) -> None:
        said = self.told(found(FIRST, BEST))

        assert "search over, AllTrialsDone: 12 trials: 10 succeeded" in said
        assert "best so far" not in "\n".join(said)

    def test_a_search_of_a_newer_version_is_told_without_its_parameters(self) -> None:
        newer = {"parameters": [{"novelty": 1}], "objectives": []}

        assert self.told(searching(BROKEN, search=newer))[1] == "trial 3: failed: OOMKilled: limit 2Gi"


class TestLiveView:
    def shown(self, *bodies: states.Json, width: int = 120, height: int = 40) -> list[str]:
        console = Console(file=io.StringIO(), width=width, height=height, force_terminal=True, color_system=None, legacy_windows=False)  # fmt: skip
        view = LiveJob(console, lambda: when("2026-11-21T08:01:05Z"))
        for body in bodies:
            view.show(look(body))
        with console.capture() as captured:
            console.print(view)
        return [line.rstrip() for line in captured.get().splitlines()]

    def test_trials_are_a_table_with_the_best_marked_and_those_that_run(self) -> None:
        lines = self.shown(searching(FIRST, BEST, MISSED, BROKEN, trial(4, "Running"), best=of(1, 0.91)))

        at = next(index for index, line in enumerate(lines) if "trial  finetune.learningRate" in line)
        assert [" ".join(line.split()) for line in lines[at : at + 5]] == [
            "trial finetune.learningRate genai.blockSize accuracy",
            "✓ 0 0.0001 32 0.85",
            "★ 1 0.0002 32 0.91",
            "✗ 2 0.00030000000000000003 32 0.4 constraints not met",
            "✗ 3 0.0004 32 failed: OOMKilled",
        ]
        assert lines[at + 5].endswith("running")

    def test_on_a_low_screen_the_newest_are_shown_and_the_best(self) -> None:
        trials = [trial(number, accuracy=0.5 + number / 100) for number in range(1, 100)]

        lines = self.shown(searching(FIRST, *trials, best=of(7, 0.95)), height=24)

        marked = [line.split()[1] for line in lines if line[:1] in "✓★" and line[:1]]
        assert marked[0] == "7"
        assert marked[1:] == [str(number) for number in range(100 - len(marked) + 1, 100)]
        assert len(lines) <= 24

    def test_the_front_is_marked_where_there_are_several_objectives(self) -> None:
        both = SEARCH | {"objectives": [*SEARCH["objectives"], {"metric": "size", "direction": "Minimize"}]}  # type: ignore[misc]
        trials = [trial(0, values=[0.85, 4_000_000.0]), trial(1, values=[0.91, 5_000_000.0])]

        lines = self.shown(searching(*trials, search=both, best=of(1, 0.91), front=[0, 1]))

        assert [" ".join(line.split()) for line in lines if "32" in line] == [
            "◆ 0 0.0001 32 0.85 4,000,000",
            "★ 1 0.0002 32 0.91 5,000,000",
        ]

    def test_when_the_search_is_over_the_closing_text_has_the_table(self) -> None:
        assert not any("finetune.learningRate" in line for line in self.shown(found(FIRST, BEST)))

    @pytest.mark.parametrize("width", [20, 40, 80])
    def test_it_keeps_to_the_screens_width(self, width: int) -> None:
        lines = self.shown(searching(FIRST, BEST, MISSED, BROKEN, best=of(1, 0.91)), width=width)

        assert max(map(len, lines)) <= width


class TestResult:
    def test_it_has_the_trials_the_best_first_and_says_where_all_of_them_are(self) -> None:
        text = result(look(found(FIRST, BEST, MISSED, BROKEN)))

        rows = [line.split() for line in text.split("\n\n")[0].splitlines()]
        assert [row[1] for row in rows[1:]] == ["1", "0", "2", "3"]
        assert "best    trial 1, accuracy 0.91: finetune.learningRate=0.0002 genai.blockSize=32\n" in text
        assert "trials  s3://team-a/models/emotion/abc/trials.jsonl" in text

    def test_of_many_it_shows_the_best_twenty(self) -> None:
        trials = [trial(number, accuracy=number / 200) for number in range(200)]

        text = result(look(found(*trials, best=of(199, 0.995))))

        rows = text.split("\n\n")[0].splitlines()[1:]
        assert [row.split()[1] for row in rows] == [str(number) for number in range(199, 179, -1)]

    def test_where_less_is_better_the_least_comes_first(self) -> None:
        body = found(FIRST, BEST, best=of(0, 0.85))
        body["spec"]["search"] = SEARCH | {"objectives": [{"metric": "accuracy", "direction": "Minimize"}]}

        rows = result(look(body)).split("\n\n")[0].splitlines()[1:]

        assert [row.split()[1] for row in rows] == ["0", "1"]


class TestExitCodes:
    @pytest.mark.parametrize(("reason", "code"), [("ConstraintsNotMet", 3), ("TrialsFailed", 1), ("OOMKilled", 1)])
    @pytest.mark.parametrize("arguments", [(), ("--json",)], ids=["for people", "for programs"])
    def test_a_failed_gate_is_exit_3_and_other_failures_are_exit_1(
        self, replay: Replay, reason: str, code: int, arguments: tuple[str, ...]
    ) -> None:
        body = states.failed()
        for condition in body["status"]["conditions"]:
            condition["reason"] = reason
        replay.record(body)

        said = replay.watch("team-a/emotion", *arguments)

        assert said.code == code
        assert f"{reason}: team-a/emotion: " in said.err
