"""`millwright run` of a search, as a process: what it runs, what it prints, how it ends, with and without --parallel."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.cliground import Said
from tests.pipeline.jobs import wait_for
from tests.searchground import PACK, TUNE, SearchGround
from tests.warm import WarmProcess

ALL = [1.0, 1.0, 2.0, 2.0, 3.0, 3.0, 10.0, 20.0]
"""What runs for the grid of 2 × 3 trials: each fine-tune once, and three packings of each."""


@pytest.fixture
def ground(tmp_path: Path) -> SearchGround:
    return SearchGround.make(tmp_path)


def run(ground: SearchGround, *options: str) -> Said:
    return ground.cli.run("run", "job.yaml", *options)


def stopped(ground: SearchGround, begun: Callable[[], bool], number: signal.Signals, *options: str) -> tuple[int, str]:
    """Starts it, sends it a signal once something holds, and returns its exit code and what it said."""
    with ground.cli.started("run", "job.yaml", *options) as process:
        wait_until(process, begun)
        process.send_signal(number)
        _, err = process.communicate(timeout=60)
        assert process.returncode is not None
        return process.returncode, err


def wait_until(process: subprocess.Popen[str] | WarmProcess, holds: Callable[[], bool]) -> None:
    """Waits until something holds."""
    wait_for(lambda: holds() or process.poll() is not None)
    assert holds(), "it ended before"


class TestAGrid:
    def test_each_fine_tune_is_done_once_and_the_best_is_published(self, ground: SearchGround) -> None:
        said = run(ground)

        assert said.code == 0, said.err
        assert ground.values == ALL
        assert ground.marks == [20.0, 3.0]
        assert [(row["number"], row["values"]) for row in ground.trials] == [
            (0, {"sum": 11.0}), (1, {"sum": 13.0}), (2, {"sum": 12.0}), (3, {"sum": 21.0}), (4, {"sum": 23.0}), (5, {"sum": 22.0}),
        ]  # fmt: skip
        assert [row["number"] for row in ground.trials if row["best"]] == [4]

    def test_a_second_run_does_nothing_again(self, ground: SearchGround) -> None:
        first = json.loads(run(ground, "--json").out)

        second = json.loads(run(ground, "--json").out)

        assert ground.values == ALL
        assert second["artifact"] == first["artifact"]
        assert {step["cache"] for step in second["passes"]} == {"Hit"}

    def test_it_is_the_same_model_as_of_a_manifest_written_by_hand(self, ground: SearchGround) -> None:
        searched = json.loads(run(ground, "--json").out)

        by_hand = json.loads(ground.cli.run("run", ground.by_hand(20.0, 3.0), "--json").out)

        assert by_hand["artifact"]["digest"] == searched["artifact"]["digest"]
        assert by_hand["fingerprint"] == searched["fingerprint"]

    def test_it_says_a_line_for_each_trial_and_a_table_at_the_end(self, ground: SearchGround) -> None:
        said = run(ground)

        assert said.err.splitlines()[0] == (
            f"marks: grid search over tune.value, pack.value: 6 trials of 6 points; output {ground.cli.folder}/out/"
        )
        assert "trial 1 (2/6): tune.value=10 pack.value=3" in said.err
        assert "trial 1 (2/6): sum 13; the best so far" in said.err
        assert "trial 5 (6/6): sum 22; best is trial 4: sum 23" in said.err
        assert re.search(r"^★ +4 +20 +3 +23$", said.out, re.MULTILINE)
        assert "best    trial 4: tune.value=20 pack.value=3" in said.out
        assert re.search(rf"^trials  {ground.cli.folder}/out/\w+/trials.jsonl$", said.out, re.MULTILINE)
        assert f"report  {ground.cli.folder}/out/report.html" in said.out

    def test_quiet_says_only_where_the_model_is(self, ground: SearchGround) -> None:
        said = run(ground, "--quiet")

        assert said.err == ""
        assert (Path(said.out.rstrip("\n")) / "marks.json").is_file()

    def test_on_a_terminal_trials_are_drawn_and_the_cursor_comes_back(self, ground: SearchGround) -> None:
        said = ground.cli.on_terminal("run", "job.yaml")

        assert said.code == 0
        assert said.out.count("\x1b[?25l") == said.out.count("\x1b[?25h") == 1
        assert "6/6 trials" in said.out
        assert "★" in said.out


class TestParallel:
    def test_it_gives_the_same_trials_and_the_same_model(self, ground: SearchGround, tmp_path: Path) -> None:
        alone = json.loads(run(ground, "--json").out)
        trials = [(row["number"], row["at"], row["values"], row["digest"], row["best"]) for row in ground.trials]
        (tmp_path / "other").mkdir()
        other = SearchGround.make(tmp_path / "other")

        together = json.loads(run(other, "--parallel", "3", "--json").out)

        assert together["artifact"]["digest"] == alone["artifact"]["digest"]
        assert [(row["number"], row["at"], row["values"], row["digest"], row["best"]) for row in other.trials] == trials
        assert other.values == ALL
        assert 1 < len({pid for _, pid in other.ran}) <= 3

    def test_a_process_that_is_killed_fails_its_trial_alone(self, ground: SearchGround) -> None:
        ends = {"pass": "tune", "option": "end", "choice": ["well", "kill"]}
        ground.write(ends, PACK, maxFailedTrials=1)

        said = run(ground, "--parallel", "2")

        assert said.code == 0, said.err
        assert "failed, PassFailed: the process that ran it was killed: most often, memory ran out" in said.err
        assert [row["phase"] for row in ground.trials] == ["Succeeded"] * 3 + ["Failed"] * 3

    def test_it_is_refused_without_a_search(self, ground: SearchGround) -> None:
        ground.cli.write_job()

        said = run(ground, "--parallel", "2")

        assert said.code == 2
        assert "--parallel is for a search, and the manifest has none" in said.err

    def test_parallel_trials_is_named_among_what_is_ignored_unless_it_is_given(self, ground: SearchGround) -> None:
        ground.write(parallelTrials=2)

        assert "ignored on this machine: spec.search.parallelTrials (here: --parallel)" in run(ground).err
        assert "ignored" not in run(ground, "--parallel", "2").err


class TestOtherSearches:
    def test_tpe_asks_for_the_same_trials_again_and_however_many_run_at_once(self, ground: SearchGround) -> None:
        uniform = {"pass": "pack", "option": "value", "uniform": {"min": 0, "max": 4}}
        ground.write(TUNE, uniform, algorithm={"tpe": {"seed": 7, "startupTrials": 2}}, parallelTrials=2)
        first = json.loads(run(ground, "--json").out)
        trials, ran = [(row["at"], row["values"]) for row in ground.trials], len(ground.ran)

        second = json.loads(run(ground, "--json", "--parallel", "2").out)

        assert second["artifact"] == first["artifact"]
        assert [(row["at"], row["values"]) for row in ground.trials] == trials
        assert len(ground.ran) == ran

    def test_a_pass_that_is_on_or_off(self, ground: SearchGround) -> None:
        ground.write({"pass": "tune", "onOff": True}, {**PACK, "choice": [2.0, 1.0]}, tune={"value": -5.0})

        said = run(ground)

        assert said.code == 0, said.err
        assert ground.marks == [2.0]
        assert ground.values == [-5.0, 1.0, 1.0, 2.0, 2.0]

    @pytest.mark.parametrize("options", [(), ("--parallel", "2")])
    def test_models_besides_the_best_are_kept_when_they_are_asked_for(
        self, ground: SearchGround, options: tuple[str, ...]
    ) -> None:
        ground.write({**PACK, "choice": [1.0, 3.0, 2.0]}, keep="all")

        said = run(ground, *options)

        places = sorted((ground.cli.folder / "out" / "trials").glob("*/model/marks.json"))
        assert said.code == 0, said.err
        assert [(path.parts[-3], json.loads(path.read_text())) for path in places] == [
            ("000", [1.0, 1.0]),
            ("002", [1.0, 2.0]),
        ]
        assert ground.marks == [1.0, 3.0]

    def test_a_trial_that_does_badly_is_not_carried_through(self, ground: SearchGround) -> None:
        ground.write(
            {**TUNE, "choice": [10.0, 20.0, 1.0]}, {**PACK, "choice": [1.0, 2.0]}, evaluation={"after": ["each"]},
            earlyStopping={"median": {"startupTrials": 2}},
        )  # fmt: skip

        said = run(ground)

        assert said.code == 0, said.err
        assert "pruned: after tune sum was 1; the median of" in said.err
        assert ground.values == [1.0, 1.0, 1.0, 2.0, 2.0, 10.0, 20.0]

    def test_the_time_is_up_before_the_second_trial(self, ground: SearchGround) -> None:
        ground.write(tune={"end": "wait"}, maxSeconds=1)

        with ground.cli.started("run", "job.yaml") as process:
            wait_until(process, lambda: len(ground.ran) > 0)
            began = time.monotonic()
            wait_for(lambda: time.monotonic() - began > 1)
            (ground.cli.folder / "go").touch()
            _, err = process.communicate(timeout=60)

        assert process.returncode == 0, err
        assert "the time is up" in err
        assert [row["number"] for row in ground.trials] == [0]


class TestFailures:
    def test_trials_that_fail_are_tolerated_and_told(self, ground: SearchGround) -> None:
        ends = {"pass": "pack", "option": "end", "choice": ["crash", "well", "input"]}
        ground.write(TUNE, ends, maxFailedTrials=4)

        said = run(ground)

        assert said.code == 0, said.err
        assert "trial 0 (1/6): failed, PassFailed: " in said.err
        assert "mark failed: RuntimeError: tensors of different sizes" in said.err
        assert "failed, InvalidData" in said.err
        assert ground.marks == [20.0, 1.0]

    def test_too_many_fail_the_search_with_the_commonest_reason(self, ground: SearchGround) -> None:
        ground.write(pack={"end": "input"}, maxFailedTrials=1)

        said = run(ground, "--json")

        report = json.loads(said.out)
        assert (said.code, report["outcome"], report["reason"]) == (1, "Failed", "TrialsFailed")
        assert "InvalidData" in report["message"]
        assert not (ground.cli.folder / "out" / "manifest.json").exists()

    def test_no_trial_meets_the_constraints(self, ground: SearchGround) -> None:
        ground.write(evaluation={"constraints": [{"metric": "sum", "min": 24}]})

        said = run(ground)

        assert said.code == 3
        assert "ConstraintsNotMet" in said.err
        assert "nearest was trial 4: sum is 23; min 24: off by 1" in said.err
        assert not (ground.cli.folder / "out" / "manifest.json").exists()

    def test_those_that_do_not_meet_them_are_not_the_best(self, ground: SearchGround) -> None:
        ground.write(evaluation={"constraints": [{"metric": "sum", "max": 21.5}]})

        said = run(ground)

        assert said.code == 0, said.err
        assert ground.marks == [20.0, 1.0]

    def test_what_heals_by_itself_ends_the_run_and_blames_no_trial(self, ground: SearchGround) -> None:
        ground.write(pack={"end": "again"})

        said = run(ground)

        assert said.code == 75
        assert "Damaged: model: it arrived torn\n  hint: the same command goes on from what is done\n" in said.err

    @pytest.mark.parametrize("options", [(), ("--parallel", "2")])
    def test_a_model_that_is_not_there_is_told_before_the_first_trial(
        self, ground: SearchGround, options: tuple[str, ...]
    ) -> None:
        ground.write(spec={"model": {"path": "nowhere"}})

        said = run(ground, *options)

        assert said.code == 2
        assert "ModelNotFound" in said.err
        assert "trial" not in said.err


class TestStops:
    @pytest.mark.parametrize(("options", "at_once", "number", "code"), [
        ((), 1, signal.SIGTERM, 143), (("--parallel", "2"), 2, signal.SIGINT, 130),
        (("--parallel", "2"), 2, signal.SIGTERM, 143),
    ])  # fmt: skip
    def test_it_stops_softly_and_the_same_command_goes_on(
        self, ground: SearchGround, options: tuple[str, ...], at_once: int, number: signal.Signals, code: int
    ) -> None:
        ground.write(tune={"end": "wait"})

        ended, err = stopped(ground, lambda: len(ground.ran) == at_once, number, *options)
        (ground.cli.folder / "go").touch()
        before = len(ground.ran)
        again = run(ground, *options)

        assert ended == code
        assert f"Stopped: {number.name}: stopped at step 3; a checkpoint is saved" in err
        assert again.code == 0, again.err
        assert sorted(value for value, _ in ground.ran[before:]) == ALL
        assert ground.marks == [20.0, 3.0]

    def test_what_was_done_before_a_stop_is_not_done_again(self, ground: SearchGround) -> None:
        ground.write({**PACK, "choice": [1.0, 3.0]}, {"pass": "pack", "option": "end", "choice": ["well", "wait"]})

        ended, _ = stopped(ground, lambda: len(ground.ran) == 3, signal.SIGTERM)
        (ground.cli.folder / "go").touch()
        again = run(ground)

        assert ended == 143
        assert again.code == 0
        assert ground.values == [1.0] * 2 + [1.0] + [1.0] + [3.0] * 2  # tune, two packings and one again, two of 3.0

    def test_when_it_is_killed_its_processes_go_too(self, ground: SearchGround) -> None:
        ground.write(tune={"end": "wait"})

        with ground.cli.started("run", "job.yaml", "--parallel", "2") as process:
            wait_until(process, lambda: len(ground.ran) == 2)
            process.kill()
            process.wait(timeout=60)
            ends = [os.pidfd_open(pid) if exists(pid) else None for _, pid in ground.ran]
            gone = [end is None or ended_within(end, 30) for end in ends]

        assert gone == [True, True]


def exists(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def ended_within(pidfd: int, seconds: float) -> bool:
    """Whether a process ends."""
    import select

    return bool(select.select([pidfd], [], [], seconds)[0])
