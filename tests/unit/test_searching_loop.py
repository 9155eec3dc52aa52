"""The loop of a search on this machine, with segments that only say how they end."""

from __future__ import annotations

import math
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from millwright_api.errors import ConstraintsNotMet, Stopped, StoreUnavailable, TrialsFailed
from millwright_api.v1alpha1 import OptimizationJob, Spec
from millwright_runner.cli.searching import SearchWatch
from millwright_runner.passes import StopFlag
from millwright_runner.searching.crew import InTurn
from millwright_runner.searching.loop import Loop, failure, nearest
from millwright_runner.steps import Observer
from millwright_search.trials import Course, Outcome, Seen, Segment, Trial

Ends = Callable[[Trial, Segment], Seen]
RATES, SIZES = (1e-3, 1e-4), (16, 32)
FINISHED = ("genai",)


def spec(**search: Any) -> Spec:
    """A fine-tune with a search over learning rates and block sizes, as a grid."""
    return OptimizationJob.model_validate({
        "apiVersion": "millwright.dev/v1alpha1",
        "kind": "OptimizationJob",
        "metadata": {"name": "tones"},
        "spec": {
            "model": {"path": "model"},
            "data": [{"name": "train", "source": {"path": "train.jsonl"}, "text": {}}],
            "passes": [{"name": "finetune", "lora": {"trainData": "train"}}, {"genai": {}}],
            "evaluation": {"metrics": [{"name": "quality", "perplexity": {}}], "after": ["each"], "data": "train"},
            "output": {"path": "out"},
            "search": {
                "algorithm": {"grid": {}},
                "parameters": [
                    {"pass": "finetune", "option": "training.learningRate", "choice": list(RATES)},
                    {"pass": "genai", "option": "blockSize", "choice": list(SIZES)},
                ],
                "objectives": [{"metric": "quality", "direction": "Maximize"}],
                **search,
            },
        },
    }).spec  # fmt: skip


def quality(trial: Trial, segment: Segment) -> Seen:
    """Ends well: larger blocks and smaller rates are better."""
    rate, size = trial.at
    assert isinstance(rate, float) and isinstance(size, int)
    value = size - math.log10(rate)
    return Seen("Succeeded", {segment.steps[-1]: value}, (value,) if segment.last else ())


@dataclass
class Crew:
    """Does segments at once, as far as there are hands; the last one begun ends first.

    Attributes:
        ends: how each ends.
        limit: how many at once.
        begun: what was started, in order: the trial's number, the steps.
        most: how many ran at once.
    """

    ends: Ends = quality
    limit: int = 1
    begun: list[tuple[int, tuple[str, ...]]] = field(default_factory=list)
    most: int = 0
    _active: list[tuple[Trial, Segment]] = field(default_factory=list)

    def start(self, trial: Trial, segment: Segment, observer: Observer) -> None:
        self.begun.append((trial.number, segment.steps))
        self._active.append((trial, segment))
        self.most = max(self.most, len(self._active))

    def wait(self) -> tuple[str, Seen]:
        trial, segment = self._active.pop()
        return segment.key, self.ends(trial, segment)

    def close(self) -> None:
        """Nothing runs."""


class Clock:
    """A minute passes between two looks."""

    now = 0.0

    def __call__(self) -> float:
        self.now += 60
        return self.now


def searched(crew: Crew, stop: StopFlag | None = None, **search: Any) -> tuple[Course, SearchWatch]:
    """Runs a search; returns its end, and what was told of it."""
    watch = Told()
    return Loop(spec(**search), crew, watch, stop or StopFlag(), Clock()).run(), watch


class Told(SearchWatch):
    """Keeps what it is told, without an outline."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []

    def asked(self, trial: Trial) -> None:
        self.said.append(f"asked {trial.number}")

    def ended(self, trial: Trial, outcome: Outcome) -> None:
        self.said.append(f"ended {trial.number}: {outcome.phase}")

    def over(self, over: Any) -> None:
        self.said.append(over.reason)


class TestTrials:
    def test_each_fine_tune_is_done_once_and_each_variant_of_it(self) -> None:
        crew = Crew()

        course, _ = searched(crew)

        assert [steps for _, steps in crew.begun].count(("finetune",)) == len(RATES)
        assert [steps for _, steps in crew.begun].count(FINISHED) == len(RATES) * len(SIZES)
        assert [outcome.phase for outcome in course.outcomes.values()] == ["Succeeded"] * 4

    def test_the_best_is_known_at_the_end(self) -> None:
        course, _ = searched(Crew())

        assert course.over is not None
        assert course.over.best is not None
        assert course.trials[course.over.best].at == (1e-4, 32)

    def test_every_trial_is_told_when_it_is_asked_for_and_when_it_ends(self) -> None:
        _, watch = searched(Crew())

        assert isinstance(watch, Told)
        assert watch.said == [
            *(
                f"{what} {number}{how}"
                for number in range(4)
                for what, how in (("asked", ""), ("ended", ": Succeeded"))
            ),
            "SpaceExhausted",
        ]

    def test_in_turn_nothing_runs_at_once(self) -> None:
        crew = Crew()

        searched(crew, parallelTrials=4)

        assert crew.most == 1

    def test_as_many_run_at_once_as_there_are_hands(self) -> None:
        crew = Crew(limit=3)

        searched(crew, parallelTrials=3)

        assert crew.most == 3

    @pytest.mark.parametrize("limit", [2, 3, 8])
    @pytest.mark.parametrize(
        "algorithm", [{"grid": {}}, {"random": {"seed": 3}}, {"tpe": {"seed": 3, "startupTrials": 2}}]
    )
    def test_how_many_run_at_once_changes_no_trial_and_not_the_best(self, limit: int, algorithm: Any) -> None:
        alone, _ = searched(Crew(), algorithm=algorithm, parallelTrials=2)
        together, _ = searched(Crew(limit=limit), algorithm=algorithm, parallelTrials=2)

        assert together.trials == alone.trials
        assert together.over == alone.over

    def test_seconds_count_for_the_trial_that_a_segment_was_started_for(self) -> None:
        loop = Loop(spec(), Crew(), Told(), StopFlag(), Clock())

        loop.run()

        assert list(loop.seconds) == [0, 1, 2, 3]
        assert loop.seconds[0] == 2 * loop.seconds[1]  # the second trial has the first one's fine-tune


def fails(*numbers: int) -> Ends:
    """The last segments of these trials fail."""

    def end(trial: Trial, segment: Segment) -> Seen:
        if trial.number in numbers and segment.last:
            return Seen("Failed", reason="PassFailed", message=f"genai failed: trial {trial.number}")
        return quality(trial, segment)

    return end


class TestFailures:
    def test_some_are_tolerated(self) -> None:
        course, _ = searched(Crew(fails(0, 3)), maxFailedTrials=2)

        assert course.outcomes[3].reason == "PassFailed"
        assert course.over is not None
        assert course.over.best == 1

    def test_one_more_than_are_tolerated_ends_the_search(self) -> None:
        crew = Crew(fails(0, 1))

        course, _ = searched(crew, maxFailedTrials=1)

        error = failure(spec().search, course)  # type: ignore[arg-type]
        assert course.over is not None
        assert course.over.reason == "TooManyFailedTrials"
        assert 2 not in [number for number, _ in crew.begun]
        assert isinstance(error, TrialsFailed)
        assert (error.exit_code, error.retryable, error.where) == (1, False, "spec.search")
        assert "PassFailed" in error.message

    def test_when_all_fail_the_search_fails_however_many_are_tolerated(self) -> None:
        course, _ = searched(Crew(fails(0, 1, 2, 3)), maxFailedTrials=10)

        assert isinstance(failure(spec().search, course), TrialsFailed)  # type: ignore[arg-type]

    def test_a_fine_tune_that_fails_ends_all_trials_that_share_it(self) -> None:
        def end(trial: Trial, segment: Segment) -> Seen:
            if segment.steps == ("finetune",) and trial.at[0] == RATES[0]:
                return Seen("Failed", reason="InvalidData", message="training diverged")
            return quality(trial, segment)

        crew = Crew(end)
        course, _ = searched(crew, maxFailedTrials=1)

        assert {n: one.phase for n, one in course.outcomes.items()} == {
            0: "Failed",
            1: "Failed",
            2: "Succeeded",
            3: "Succeeded",
        }
        assert [steps for _, steps in crew.begun].count(("finetune",)) == 2

    def test_what_heals_by_itself_blames_no_trial(self) -> None:
        def end(trial: Trial, segment: Segment) -> Seen:
            raise StoreUnavailable("the store is away")

        with pytest.raises(StoreUnavailable):
            searched(Crew(end))


class TestConstraints:
    def test_trials_that_do_not_meet_them_are_not_the_best(self) -> None:
        def end(trial: Trial, segment: Segment) -> Seen:
            seen = quality(trial, segment)
            wrong = segment.last and trial.at[1] == 32
            return Seen(
                "Succeeded", seen.figures, seen.values, violated=int(wrong), message="too large" if wrong else ""
            )

        course, _ = searched(Crew(end))

        assert course.over is not None
        assert course.over.best is not None
        assert course.trials[course.over.best].at == (1e-4, 16)

    def test_when_none_meets_them_the_nearest_miss_is_told(self) -> None:
        def end(trial: Trial, segment: Segment) -> Seen:
            seen = quality(trial, segment)
            many = 0 if not segment.last else 1 if trial.number in (1, 2) else 2
            return Seen("Succeeded", seen.figures, seen.values, violated=many, message=f"off by {trial.number}")

        course, _ = searched(Crew(end))
        error = failure(spec().search, course)  # type: ignore[arg-type]

        assert isinstance(error, ConstraintsNotMet)
        assert error.exit_code == 3
        assert "nearest was trial 1: off by 1" in error.message

    def test_of_equal_misses_the_better_figure_is_nearer(self) -> None:
        search = spec().search
        assert search is not None

        found = nearest(search, {
            0: Outcome("ConstraintsNotMet", (0.5,), violated=1), 1: Outcome("ConstraintsNotMet", (0.7,), violated=1),
            2: Outcome("ConstraintsNotMet", (0.9,), violated=2),
        })  # fmt: skip

        assert found == 1


class TestItsEnd:
    def test_after_its_time_no_trial_begins(self) -> None:
        course, _ = searched(Crew(), maxSeconds=100)

        assert course.over is not None
        assert course.over.reason == "OutOfTime"
        assert 0 < len(course.trials) < 4
        assert course.trials.keys() == course.outcomes.keys()

    def test_a_stop_is_heeded_between_two_trials(self) -> None:
        stop = StopFlag()

        def end(trial: Trial, segment: Segment) -> Seen:
            stop.request(signal.SIGTERM)
            return quality(trial, segment)

        with pytest.raises(Stopped, match="SIGTERM"):
            searched(Crew(end), stop)

    def test_run_again_it_asks_for_the_same_trials(self) -> None:
        stop, count = StopFlag(), 0

        def end(trial: Trial, segment: Segment) -> Seen:
            nonlocal count
            count += 1
            if count == 4:
                stop.request(signal.SIGINT)
            return quality(trial, segment)

        tpe: dict[str, Any] = {"tpe": {"seed": 1, "startupTrials": 1}}
        with pytest.raises(Stopped):
            searched(Crew(end), stop, algorithm=tpe)
        again, _ = searched(Crew(), algorithm=tpe)
        undisturbed, _ = searched(Crew(), algorithm=tpe)

        assert again == undisturbed

    def test_a_trial_that_does_badly_is_not_carried_through(self) -> None:
        crew = Crew()

        course, _ = searched(
            crew, algorithm={"grid": {}}, earlyStopping={"median": {"startupTrials": 1}},
            objectives=[{"metric": "quality", "direction": "Minimize"}],
        )  # fmt: skip

        pruned = [number for number, one in course.outcomes.items() if one.phase == "Pruned"]
        assert pruned
        assert not {(number, FINISHED) for number in pruned} & set(crew.begun)


class TestInTurn:
    def test_what_was_started_is_done_when_it_is_waited_for(self) -> None:
        done: list[str] = []

        class Bench:
            def do(self, trial: Trial, segment: Segment, observer: Observer) -> Seen:
                done.append(segment.key)
                return Seen("Succeeded")

        crew = InTurn(Bench())  # type: ignore[arg-type]
        segment = Segment("k" * 64, 0, (None,), 0, 1, ("finetune",), last=False)
        crew.start(Trial(0, (1e-3,)), segment, SearchWatch())

        assert done == []
        assert crew.wait() == ("k" * 64, Seen("Succeeded"))
        assert done == ["k" * 64]
