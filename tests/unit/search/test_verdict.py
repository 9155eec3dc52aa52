"""Which trial is best, which are published, which is given up."""

from __future__ import annotations

import pytest
from tests.unit.search.simulated import LEARNING_RATES, search_of

from millwright_search.trials import Outcome
from millwright_search.verdict import best, front, kept, pruned

ONE = search_of(LEARNING_RATES)
TWO = search_of(LEARNING_RATES, metrics=2)


def good(*values: float, violated: int = 0, **figures: float) -> Outcome:
    return Outcome("Succeeded", values, figures, violated)


def test_the_smallest_is_best_where_small_is_good() -> None:
    outcomes = {0: good(0.5), 1: good(0.2), 2: good(0.9)}

    assert best(ONE, outcomes) == 1
    assert front(ONE, outcomes) == (1,)


def test_the_largest_is_best_where_large_is_good() -> None:
    large = ONE.model_copy(update={"objectives": [ONE.objectives[0].model_copy(update={"direction": "Maximize"})]})

    assert best(large, {0: good(0.5), 1: good(0.2), 2: good(0.9)}) == 2


def test_of_equals_the_earliest_is_best() -> None:
    assert best(ONE, {4: good(0.2), 1: good(0.2), 3: good(0.7)}) == 1
    assert front(ONE, {4: good(0.2), 1: good(0.2)}) == (1,)


def test_of_several_objectives_the_front_is_what_nothing_beats() -> None:
    outcomes = {0: good(1, 9), 1: good(5, 5), 2: good(9, 1), 3: good(5, 6), 4: good(9, 9), 5: good(5, 5)}

    assert front(TWO, outcomes) == (0, 1, 2)
    assert best(TWO, outcomes) == 0


def test_of_equals_in_the_first_objective_the_second_decides() -> None:
    assert best(TWO, {0: good(1, 9), 1: good(1, 3), 2: good(1, 4)}) == 1


def test_only_trials_that_succeeded_count() -> None:
    outcomes = {
        0: Outcome("ConstraintsNotMet", (0.1,), violated=1),
        1: Outcome("Failed", reason="PassFailed"),
        2: Outcome("Pruned", (0.1,)),
        3: good(0.8),
    }

    assert best(ONE, outcomes) == 3
    assert front(ONE, outcomes) == (3,)


def test_without_a_success_nothing_is_best() -> None:
    outcomes = {0: Outcome("Failed", reason="PassFailed")}

    assert best(ONE, outcomes) is None
    assert front(ONE, outcomes) == kept(ONE, outcomes) == ()


def test_a_trial_that_only_warns_is_best_where_all_do() -> None:
    warned = {0: good(0.1, violated=1), 1: good(0.3, violated=2)}

    assert best(ONE, warned) == 0
    assert best(ONE, {**warned, 2: good(0.9)}) == 2


@pytest.mark.parametrize(("keep", "numbers"), [("best", (0,)), ("pareto", (0, 2)), ("all", (0, 2, 3))])
def test_what_is_kept(keep: str, numbers: tuple[int, ...]) -> None:
    search = search_of(LEARNING_RATES, metrics=2, keep=keep)
    outcomes = {0: good(1, 9), 1: Outcome("ConstraintsNotMet", (0, 0), violated=1), 2: good(9, 1), 3: good(9, 9)}

    assert kept(search, outcomes) == numbers


EARLY = search_of(LEARNING_RATES, earlyStopping={"median": {"startupTrials": 3}})
BEFORE = {0: good(1, finetune=1.0), 1: good(2, finetune=2.0), 2: good(3, finetune=3.0)}


class TestEarlyStopping:
    def test_a_figure_worse_than_the_median_ends_a_trial_and_says_so(self) -> None:
        assert pruned(EARLY, 3, {"finetune": 2.5}, BEFORE) == (
            "after finetune loss was 2.5; the median of 3 earlier trials is 2"
        )

    @pytest.mark.parametrize("figure", [2.0, 0.1])
    def test_a_figure_as_good_as_the_median_goes_on(self, figure: float) -> None:
        assert pruned(EARLY, 3, {"finetune": figure}, BEFORE) is None

    def test_where_large_is_good_less_than_the_median_is_worse(self) -> None:
        large = EARLY.objectives[0].model_copy(update={"direction": "Maximize"})
        search = EARLY.model_copy(update={"objectives": [large]})

        assert pruned(search, 3, {"finetune": 1.5}, BEFORE) is not None
        assert pruned(search, 3, {"finetune": 2.5}, BEFORE) is None

    def test_the_last_figure_counts_not_the_best_so_far(self) -> None:
        before = {at: good(1, finetune=1.0, merge=1.0) for at in range(3)}

        assert pruned(EARLY, 3, {"finetune": 0.5, "merge": 1.5}, before) is not None

    def test_nothing_ends_before_enough_have_finished(self) -> None:
        failed = Outcome("Failed", reason="PassFailed")

        assert pruned(EARLY, 3, {"finetune": 9.0}, {**BEFORE, 1: failed}) is None

    def test_what_was_given_up_or_has_no_figure_is_no_measure(self) -> None:
        before = {
            **BEFORE,
            3: Outcome("Pruned", (9.0,), {"finetune": 9.0}),
            4: Outcome("ConstraintsNotMet", (), {"finetune": 9.0}, violated=1),
            5: good(1),
        }

        assert pruned(EARLY, 6, {"finetune": 2.5}, before) is not None

    def test_what_missed_a_constraint_is_a_measure(self) -> None:
        before = {**BEFORE, 3: Outcome("ConstraintsNotMet", (9.0,), {"finetune": 9.0}, violated=1)}

        assert pruned(EARLY, 4, {"finetune": 2.5}, before) is None

    def test_only_trials_that_must_have_ended_are_a_measure(self) -> None:
        search = EARLY.model_copy(update={"parallel_trials": 2})
        late = {3: good(9, finetune=9.0)}

        assert pruned(search, 4, {"finetune": 2.2}, BEFORE) == pruned(search, 4, {"finetune": 2.2}, BEFORE | late)

    def test_a_pass_that_no_other_trial_ran_has_no_median(self) -> None:
        assert pruned(EARLY, 3, {"prune": 99.0}, BEFORE) is None

    def test_without_it_all_trials_go_on(self) -> None:
        assert pruned(ONE, 3, {"finetune": 99.0}, BEFORE) is None
