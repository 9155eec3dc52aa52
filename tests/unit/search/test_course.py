"""The course of a search: what starts when, what is done once, how trials end, when it is over."""

from __future__ import annotations

import heapq
import math
from typing import Any

import pytest
from tests.unit.search.simulated import LEARNING_RATES, STEPS, VARIANTS, World, spec

from millwright_api.search import Point
from millwright_search.course import course
from millwright_search.trials import Outcome, Seen, Segment, Trial

GRID: dict[str, Any] = {"algorithm": {"grid": {}}, "maxTrials": 12}
TRAINING = ("finetune", "merge")


def loss(at: Point) -> float:
    """Smallest at a learning rate of 1e-3 and blocks of 64."""
    rate, block = (float(value or 0) for value in at)
    return abs(math.log10(rate) + 3) + abs(math.log2(block) - 6) / 10


def training(world: World) -> list[Segment]:
    return [segment for segment in world.started if segment.steps == TRAINING]


def settled(world: World, **more: Any) -> Any:
    """What `course` says again, to what it said."""
    return course(world.spec, world.trials, world.outcomes, world.seen, limit=world.limit, **more)


class TestStarting:
    def test_the_first_trial_is_asked_for_and_started(self) -> None:
        world = World(spec(LEARNING_RATES, **GRID))

        found = world.look()

        assert found.trials == {0: Trial(0, (1e-4,))}
        assert [(segment.index, segment.steps) for segment in found.start] == [(0, STEPS)]
        assert found.over is None

    def test_what_was_not_started_yet_is_said_again(self) -> None:
        job = spec(LEARNING_RATES, VARIANTS, **GRID)
        first = course(job, {}, {}, {}, limit=2)

        assert course(job, first.trials, first.outcomes, {}, limit=2) == first

    def test_without_news_nothing_more_follows(self) -> None:
        world = World(spec(LEARNING_RATES, VARIANTS, **GRID), loss, limit=2)
        world.look()

        assert settled(world).start == ()
        assert settled(world).trials == world.trials

    @pytest.mark.parametrize("limit", [0, 1, 2])
    def test_never_more_runs_than_the_limit(self, limit: int) -> None:
        found = course(spec(VARIANTS, LEARNING_RATES, **GRID), {}, {}, {}, limit=limit)

        assert len(found.start) == limit

    def test_no_trial_is_asked_for_while_no_slot_is_free(self) -> None:
        world = World(spec(LEARNING_RATES, **GRID), limit=1)
        world.look()

        assert list(settled(world).trials) == [0]

    def test_a_lower_limit_starts_nothing_until_enough_have_ended(self) -> None:
        world = World(spec(VARIANTS, LEARNING_RATES, **GRID), limit=3)
        world.look()
        world.limit = 1

        assert settled(world).start == ()

    def test_what_runs_for_nobody_holds_its_slot(self) -> None:
        job = spec(LEARNING_RATES, **GRID)

        assert course(job, {}, {}, {"f" * 64: Seen("Active")}, limit=1).start == ()

    def test_the_earliest_trial_starts_first(self) -> None:
        job = spec(LEARNING_RATES, **GRID)
        trials = {1: Trial(1, (1e-3,)), 0: Trial(0, (1e-4,))}

        assert [segment.at for segment in course(job, trials, {}, {}, limit=2).start] == [(1e-4,), (1e-3,)]


class TestSharing:
    def test_six_variants_of_one_fine_tune_train_it_once(self) -> None:
        world = World(spec(VARIANTS, **GRID), lambda at: float(at[0] or 0), limit=3)

        over = world.run()

        assert len(training(world)) == 1
        assert len(world.started) == 7
        assert over.best == 0

    def test_what_comes_next_waits_for_what_is_shared(self) -> None:
        world = World(spec(VARIANTS, **GRID), limit=3)

        assert [segment.steps for segment in world.look().start] == [TRAINING]
        world.end(next(iter(world.active)))
        assert [segment.steps for segment in world.look().start] == [("genai",)] * 3

    @pytest.mark.parametrize("name", ["grid", "random", "tpe"])
    def test_two_learning_rates_and_six_variants_are_fourteen_pieces_of_work(self, name: str) -> None:
        world = World(spec(LEARNING_RATES, VARIANTS, algorithm={name: {}}, maxTrials=12, parallelTrials=2), loss, 2)

        over = world.run()

        assert len(training(world)) == 2
        assert len(world.started) == len({segment.key for segment in world.started}) == 14
        assert over.best is not None
        assert world.trials[over.best].at == (1e-3, 64)

    @pytest.mark.parametrize("name", ["grid", "random", "tpe"])
    @pytest.mark.parametrize(("train", "convert"), [(5, 2), (2, 5), (40, 1)])
    def test_both_slots_of_twelve_trials_are_filled_all_the_time(self, name: str, train: int, convert: int) -> None:
        world = World(spec(LEARNING_RATES, VARIANTS, algorithm={name: {}}, maxTrials=12, parallelTrials=2), loss, 2)
        ends: list[tuple[int, str]] = []
        now = 0
        while world.look().over is None:
            for key, segment in world.active.items():
                if key not in [other for _, other in ends]:
                    heapq.heappush(ends, (now + (train if segment.steps == TRAINING else convert), key))
            now, key = heapq.heappop(ends)
            world.end(key)

        assert now <= 1.15 * (2 * train + 12 * convert) / 2


class TestEnds:
    def test_figures_become_values_of_six_digits(self) -> None:
        world = World(spec(LEARNING_RATES, **GRID), lambda at: 0.123456789)

        world.run()

        assert world.outcomes[0] == Outcome("Succeeded", (0.123457,))

    @pytest.mark.parametrize("values", [(None, 1.0), (math.nan, 1.0), (math.inf, 1.0), ()])
    def test_without_a_number_for_an_objective_a_trial_has_failed(self, values: tuple[float | None, ...]) -> None:
        world = World(spec(LEARNING_RATES, metrics=2, **GRID), lambda at: values)

        over = world.run()

        assert world.outcomes[0].phase == "Failed"
        assert (world.outcomes[0].reason, world.outcomes[0].values) == ("NoFigure", ())
        assert world.outcomes[0].message.startswith("no number came out for loss")
        assert over.reason == "NoTrialSucceeded"

    def test_who_misses_a_constraint_has_not_failed(self) -> None:
        missed = Seen("Succeeded", values=(7.0,), violated=1, message="loss is 7; max 5: off by 2")
        world = World(spec(LEARNING_RATES, **GRID), lambda at: missed if at[0] == 1e-4 else 3.0)

        over = world.run()

        assert world.outcomes[0] == Outcome("ConstraintsNotMet", (7.0,), violated=1, message=missed.message)
        assert (over.best, over.front) == (1, (1,))
        assert (
            over.message
            == "every point of the space was tried: of 2 trials 1 succeeded, 1 did not meet the constraints"
        )

    def test_a_model_that_diverged_misses_its_constraint_and_is_no_failure(self) -> None:
        world = World(spec(LEARNING_RATES, **GRID), lambda at: Seen("Succeeded", values=(math.nan,), violated=1))

        world.run()

        assert world.outcomes[0] == Outcome("ConstraintsNotMet", (), violated=1)

    def test_where_violation_only_warns_such_a_trial_succeeds(self) -> None:
        missed = Seen("Succeeded", values=(1.0,), violated=1, message="off by 2")
        world = World(spec(LEARNING_RATES, violation="Warn", **GRID), lambda at: missed if at[0] == 1e-4 else 3.0)

        over = world.run()

        assert world.outcomes[0] == Outcome("Succeeded", (1.0,), violated=1, message="off by 2")
        assert over.best == 1

    def test_what_ended_stays_ended(self) -> None:
        job = spec(LEARNING_RATES, **GRID)
        end = {0: Outcome("Succeeded", (1.0,))}
        started = course(job, {}, {}, {}, limit=1)
        later = {started.start[0].key: Seen("Succeeded", values=(2.0,))}

        assert course(job, started.trials, end, later, limit=1).outcomes == end


class TestFailures:
    def test_what_is_shared_and_fails_ends_all_that_need_it_and_counts_once(self) -> None:
        world = World(
            spec(LEARNING_RATES, VARIANTS, maxFailedTrials=1, **GRID),
            loss,
            fails=lambda segment: "PassFailed" if segment.at[0] == 1e-4 and not segment.last else None,
        )

        over = world.run()

        assert world.phases() == ["Failed"] * 6 + ["Succeeded"] * 6
        assert len(training(world)) == 2
        assert {world.outcomes[number].message for number in range(6)} == {"merge broke"}
        assert (over.reason, over.best) == ("AllTrialsDone", 8)

    def test_a_later_trial_does_not_try_it_again_when_only_the_outcome_is_known(self) -> None:
        job = spec(VARIANTS, **GRID)
        failed = Outcome("Failed", failed_segment=0, reason="PassFailed", message="merge broke")

        found = course(job, {0: Trial(0, (16,))}, {0: failed}, {}, limit=1)

        assert found.start == ()
        assert [outcome.phase for outcome in found.outcomes.values()] == ["Failed"] * 6

    def test_one_failure_more_than_is_tolerated_ends_the_search_at_once(self) -> None:
        world = World(
            spec(VARIANTS, LEARNING_RATES, maxFailedTrials=2, **GRID),
            loss,
            limit=2,
            fails=lambda segment: "OOMKilled" if segment.last and segment.at < (32, 1e-3) else None,
        )

        over = world.run()

        assert (over.reason, over.best, over.front) == ("TooManyFailedTrials", None, ())
        assert over.message == "3 of 3 trials failed, OOMKilled: genai broke; maxFailedTrials is 2"
        assert settled(world).start == ()
        assert settled(world).over == over

    def test_the_commonest_failure_is_told(self) -> None:
        world = World(
            spec(VARIANTS, maxFailedTrials=5, algorithm={"grid": {}}, maxTrials=6),
            fails=lambda segment: ("OOMKilled" if segment.at[0] == 16 else "PassFailed") if segment.last else None,
        )

        over = world.run()

        assert over.reason == "TooManyFailedTrials"
        assert over.message == "6 of 6 trials failed, most often (5) PassFailed: genai broke; maxFailedTrials is 5"

    def test_all_that_fails_within_what_is_tolerated_is_a_search_without_a_model(self) -> None:
        world = World(spec(LEARNING_RATES, **GRID), fails=lambda segment: "PassFailed")

        over = world.run()

        assert (over.reason, over.best) == ("NoTrialSucceeded", None)
        assert over.message == "2 of 2 trials failed, PassFailed: genai broke"

    def test_where_no_trial_meets_the_constraints_the_nearest_is_told(self) -> None:
        def result(at: Point) -> Seen:
            near = at[0] == 1e-3
            return Seen(
                "Succeeded", values=(9.0,), violated=1 if near else 2, message="off by 1" if near else "off by 5"
            )

        over = World(spec(LEARNING_RATES, **GRID), result).run()

        assert (over.reason, over.best) == ("NoTrialSucceeded", None)
        assert over.message == (
            "2 of 2 trials did not meet the constraints; nearest is trial 1, which misses 1: off by 1"
        )


class TestEarlyStopping:
    JOB = spec(LEARNING_RATES, VARIANTS, earlyStopping={"median": {"startupTrials": 1}}, **GRID)

    @staticmethod
    def after(segment: Segment) -> dict[str, float]:
        """The second learning rate does badly from the first pass on."""
        return dict.fromkeys(segment.steps, 1.0 if segment.at[0] == 1e-4 else 5.0)

    def test_a_trial_that_does_badly_is_not_carried_through(self) -> None:
        world = World(self.JOB, loss, after=self.after)

        over = world.run()

        assert world.phases() == ["Succeeded"] * 6 + ["Pruned"] * 6
        assert world.outcomes[6] == Outcome(
            "Pruned",
            (5.0,),
            {"finetune": 5.0},
            message="after finetune loss was 5; the median of 6 earlier trials is 1",
        )
        assert [segment.steps for segment in world.started if segment.at[0] == 1e-3] == [("finetune",)]
        assert over.message == "all trials have ended: of 12 trials 6 succeeded, 6 ended early"

    def test_figures_are_kept_for_later_trials(self) -> None:
        world = World(self.JOB, loss, after=self.after)

        world.run()

        assert world.outcomes[0].figures == {"finetune": 1.0, "merge": 1.0, "genai": 1.0}

    def test_figures_that_went_with_their_job_are_looked_up_again(self) -> None:
        world = World(self.JOB, loss, after=self.after)
        world.look()
        for _ in range(2):
            world.end(next(iter(world.active)))
            world.look()
        first = next(segment for segment in world.started if segment.steps == ("finetune",))
        del world.seen[first.key]
        world.end(next(iter(world.active)))

        found = world.look()

        assert found.start == (first,)
        assert 0 not in found.outcomes


class TestTheEnd:
    def test_a_small_space_is_done_whole(self) -> None:
        over = World(spec(LEARNING_RATES, algorithm={"grid": {}}), lambda at: float(at[0] or 0)).run()

        assert (over.reason, over.best) == ("SpaceExhausted", 0)
        assert over.message == "every point of the space was tried: of 2 trials 2 succeeded"

    def test_when_time_is_up_no_trial_is_asked_for_and_those_asked_for_are_finished(self) -> None:
        world = World(spec(LEARNING_RATES, VARIANTS, **GRID), loss, limit=1)
        world.look()

        over = world.run(late=True)

        assert world.phases() == ["Succeeded"]
        assert [segment.steps for segment in world.started] == [TRAINING, ("genai",)]
        assert (over.reason, over.best) == ("OutOfTime", 0)

    def test_when_time_is_up_before_the_first_trial_there_is_no_model(self) -> None:
        over = course(spec(LEARNING_RATES, **GRID), {}, {}, {}, limit=1, late=True).over

        assert over is not None
        assert (over.reason, over.best) == ("NoTrialSucceeded", None)
        assert over.message == "the time was up before the first trial"

    def test_the_end_is_found_again_from_outcomes_alone(self) -> None:
        world = World(spec(LEARNING_RATES, VARIANTS, **GRID), loss, limit=2)
        over = world.run()
        world.seen.clear()

        assert settled(world).over == over

    def test_while_a_trial_runs_it_is_not_over(self) -> None:
        world = World(spec(LEARNING_RATES, **GRID), limit=2)
        world.look()
        world.end(next(iter(world.active)))

        assert world.look().over is None


class TestWhatIsGone:
    def test_shared_work_whose_job_is_gone_is_started_again_for_who_still_needs_it(self) -> None:
        world = World(spec(VARIANTS, **GRID), limit=1)
        world.look()
        world.end(next(iter(world.active)))
        gone = world.started[0]
        del world.seen[gone.key]

        assert world.look().start == (gone,)

    def test_who_has_come_further_does_not_need_it(self) -> None:
        world = World(spec(VARIANTS, **GRID), limit=1)
        world.look()
        world.end(next(iter(world.active)))
        world.look()
        del world.seen[world.started[0].key]
        world.end(next(iter(world.active)))

        assert world.look().outcomes[0].phase == "Succeeded"

    def test_a_trial_that_ended_needs_nothing(self) -> None:
        world = World(spec(LEARNING_RATES, **GRID), limit=1)
        world.run()
        world.seen.clear()

        assert settled(world).start == ()

    def test_an_older_outcome_that_does_not_know_its_segment_counts_by_itself(self) -> None:
        job = spec(LEARNING_RATES, maxFailedTrials=0, **GRID)

        found = course(job, {0: Trial(0, (1e-4,))}, {0: Outcome("Failed", reason="PassFailed")}, {}, limit=1)

        assert found.over is not None
        assert found.over.reason == "TooManyFailedTrials"
