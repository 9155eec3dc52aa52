"""Which point comes next: the same whenever and wherever it is asked, and better ones once something is known."""

from __future__ import annotations

import logging
import math
import random
import subprocess
import sys
import warnings
from collections.abc import Callable
from typing import Any

import pytest
from tests.unit.search.simulated import LEARNING_RATES, VARIANTS, search_of

from millwright_api.search import Point, Search
from millwright_search import space
from millwright_search.ask import ask, needs, told
from millwright_search.trials import Outcome, Trial, TrialPhase

STEPS = ("finetune", "prune", "merge", "genai")
LR = {"pass": "finetune", "option": "learningRate", "logUniform": {"min": 1e-5, "max": 1e-1}}
DROPOUT = {"pass": "finetune", "option": "dropout", "uniform": {"min": 0.0, "max": 0.5}}
RANK = {"pass": "finetune", "option": "r", "integer": {"min": 4, "max": 64, "step": 4}}
PRUNE = {"pass": "prune", "onOff": True}
SPARSITY = {"pass": "prune", "option": "sparsity", "uniform": {"min": 0.1, "max": 0.9}}

Values = Callable[[Point], tuple[float, ...]]


def asked(search: Search, count: int, values: Values = lambda at: (1.0,)) -> list[Point]:
    """The first points of a search whose trials all end before the next is asked for."""
    trials: dict[int, Trial] = {}
    outcomes: dict[int, Outcome] = {}
    for number in range(count):
        at = ask(search, number, trials, outcomes)
        if at is None:
            break
        trials[number], outcomes[number] = Trial(number, at), Outcome("Succeeded", values(at))
    return [trial.at for trial in trials.values()]


def bowl(at: Point) -> tuple[float]:
    """Smallest, 0, at a learning rate of 1e-3 and rank 16."""
    lr, rank = at[0], at[1]
    assert isinstance(lr, float) and isinstance(rank, int)
    return ((math.log10(lr) + 3) ** 2 + ((rank - 16) / 20) ** 2,)


def test_a_grid_is_every_combination_in_order_and_then_nothing() -> None:
    search = search_of(LEARNING_RATES, VARIANTS, algorithm={"grid": {}})

    assert asked(search, 20) == list(space.points(search))
    assert len(asked(search, 20)) == 12


def test_a_grid_needs_no_optuna() -> None:
    program = (
        "import sys; from tests.unit.search.simulated import LEARNING_RATES, World, spec\n"
        "World(spec(LEARNING_RATES, algorithm={'grid': {}})).run()\n"
        "print('optuna' in sys.modules or 'numpy' in sys.modules)"
    )

    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert found.stdout.strip() == "False"


@pytest.mark.parametrize("name", ["random", "tpe"])
def test_the_same_seed_asks_the_same(name: str) -> None:
    search = search_of(LR, RANK, algorithm={name: {"seed": 7}})

    assert asked(search, 14, bowl) == asked(search, 14, bowl)


@pytest.mark.parametrize("name", ["random", "tpe"])
def test_another_seed_asks_for_others(name: str) -> None:
    one, other = (search_of(LR, RANK, algorithm={name: {"seed": seed}}) for seed in (0, 1))

    assert not set(asked(one, 5)) & set(asked(other, 5))


def test_what_a_seed_draws_stays_as_it_is() -> None:
    """A job that goes on after an update of Millwright has its trials still."""
    search = search_of(LR, RANK, LEARNING_RATES | {"pass": "merge"}, algorithm={"random": {"seed": 42}})

    assert asked(search, 3) == [(0.00452168, 48, 0.001), (1.90874e-05, 52, 0.001), (0.000777948, 56, 0.001)]


def test_a_sampler_does_not_go_on_from_question_to_question() -> None:
    search = search_of(LR, RANK, algorithm={"random": {}})
    points = asked(search, 6)
    trials = {number: Trial(number, at) for number, at in enumerate(points)}

    assert ask(search, 5, trials, {}) == points[5]


def test_numbers_have_six_digits_and_keep_to_their_range() -> None:
    narrow = {"pass": "finetune", "option": "x", "uniform": {"min": 0.1234564, "max": 0.12345712}}
    points = asked(search_of(LR, DROPOUT, narrow, algorithm={"random": {"seed": 3}}), 40)

    for lr, dropout, x in points:
        assert 1e-5 <= float(lr or 0) <= 1e-1
        assert float(f"{lr:.6g}") == lr
        assert 0.0 <= float(dropout or 0) <= 0.5
        assert x in (0.1234564, 0.123457, 0.12345712)


def test_whole_numbers_keep_to_their_steps() -> None:
    found = {at[0] for at in asked(search_of(RANK, LR, algorithm={"random": {}}), 60)}

    assert found <= set(range(4, 65, 4))
    assert len(found) > 8
    assert all(type(value) is int for value in found)


def test_values_keep_their_kind() -> None:
    mixed = {"pass": "merge", "option": "x", "choice": [True, 1, 0.5, "1"]}

    found = {(type(at[0]), at[0]) for at in asked(search_of(mixed, algorithm={"tpe": {"startupTrials": 1}}), 4)}

    assert found == {(bool, True), (int, 1), (float, 0.5), (str, "1")}


def test_a_value_that_json_made_whole_is_known_again() -> None:
    search = search_of({"pass": "merge", "option": "x", "choice": [1.0, 2.0]}, LR, algorithm={"tpe": {}})

    assert told(search, Trial(0, (2, 1e-3)), None).params == {"p00": 1, "p01": 1e-3}


@pytest.mark.parametrize("algorithm", [{"random": {"seed": 1}}, {"tpe": {"seed": 1, "startupTrials": 3}}])
def test_a_small_space_is_done_whole_and_nothing_twice(algorithm: dict[str, Any]) -> None:
    search = search_of(LEARNING_RATES, VARIANTS, PRUNE, steps=STEPS, algorithm=algorithm)

    points = asked(search, 40, lambda at: (float(at[1] or 0),))

    assert len(points) == 24
    assert {space.same(at) for at in points} == {space.same(at) for at in space.points(search)}


def test_a_range_that_rounds_to_few_numbers_is_asked_all_the_same() -> None:
    narrow = {"pass": "finetune", "option": "x", "uniform": {"min": 1.0, "max": 1.000001}}

    assert len(asked(search_of(narrow, algorithm={"random": {}}), 8)) == 8


@pytest.mark.parametrize("algorithm", [{"random": {}}, {"tpe": {"startupTrials": 4}}])
def test_an_option_has_a_value_where_its_pass_runs_and_only_there(algorithm: dict[str, Any]) -> None:
    search = search_of(SPARSITY, LR, PRUNE, steps=STEPS, algorithm=algorithm)

    points = asked(search, 24, lambda at: (float(at[1] or 0),))

    assert {at[2] for at in points} == {True, False}
    assert all((at[0] is None) == (at[2] is False) for at in points)


def test_tpe_asks_at_random_until_it_has_seen_enough() -> None:
    wanted = {"seed": 5, "startupTrials": 4}
    tpe = search_of(LR, RANK, algorithm={"tpe": wanted})

    good, bad = asked(tpe, 6, bowl), asked(tpe, 6, lambda at: (-bowl(at)[0],))

    assert good[:4] == bad[:4]
    assert good[4:] != bad[4:]


@pytest.mark.parametrize("seed", [0, 1])
def test_tpe_finds_better_points_than_chance(seed: int) -> None:
    tpe, chance = (asked(search_of(LR, RANK, algorithm={name: {"seed": seed}}), 40, bowl) for name in ("tpe", "random"))

    def late(points: list[Point]) -> float:
        return sum(bowl(at)[0] for at in points[20:]) / 20

    assert late(tpe) < 0.7 * late(chance)
    assert min(map(bowl, tpe)) < min(map(bowl, chance))


def test_tpe_learns_which_pass_to_leave_out() -> None:
    search = search_of(PRUNE, SPARSITY, LR, steps=STEPS, algorithm={"tpe": {"seed": 2, "startupTrials": 8}})

    points = asked(search, 32, lambda at: (abs(math.log10(float(at[2] or 0)) + 3) + 3 * (at[0] is True),))

    assert sum(at[0] is False for at in points[16:]) >= 12


def test_tpe_keeps_away_from_points_that_miss_a_constraint() -> None:
    search = search_of(LR, algorithm={"tpe": {"seed": 0, "startupTrials": 8}})

    def missing(phase: TrialPhase) -> int:
        """How many of the later trials lie above 1e-3, where the figure is best, when such trials end in a phase."""
        trials: dict[int, Trial] = {}
        outcomes: dict[int, Outcome] = {}
        for number in range(28):
            at = ask(search, number, trials, outcomes)
            assert at is not None
            high = float(at[0] or 0) > 1e-3
            trials[number] = Trial(number, at)
            outcomes[number] = Outcome(
                phase if high else "Succeeded", (-float(at[0] or 0),), violated=0 if phase == "Succeeded" else int(high)
            )
        return sum(float(trials[number].at[0] or 0) > 1e-3 for number in range(12, 28))

    assert missing("ConstraintsNotMet") < missing("Succeeded") / 1.5


def test_tpe_asks_for_several_objectives() -> None:
    search = search_of(LR, RANK, metrics=2, algorithm={"tpe": {"seed": 1}})

    points = asked(search, 40, lambda at: (bowl(at)[0], float(at[1] or 0)))

    good = [at for at in points[20:] if abs(math.log10(float(at[0] or 0)) + 3) < 1 and float(at[1] or 0) <= 24]
    assert len(good) >= 10


def test_only_the_trials_that_are_needed_are_looked_at() -> None:
    search = search_of(LR, RANK, algorithm={"tpe": {"startupTrials": 3}}, parallelTrials=3)
    points = asked(search, 8, bowl)
    trials = {number: Trial(number, at) for number, at in enumerate(points)}
    ended = {number: Outcome("Succeeded", bowl(at)) for number, at in enumerate(points)}
    chance = random.Random(0)

    needed = {number: ended[number] for number in range(needs(search, 8))}
    answers = {ask(search, 8, trials, needed)}
    for _ in range(4):
        more = {number: ended[number] for number in (6, 7) if chance.random() < 0.5}
        answers.add(ask(search, 8, trials, needed | more))

    assert needs(search, 8) == 6
    assert len(answers) == 1


@pytest.mark.parametrize(
    ("algorithm", "parallel", "early", "number", "needed"),
    [
        ({"grid": {}}, 1, False, 11, 0),
        ({"random": {}}, 1, False, 11, 0),
        ({"tpe": {}}, 1, False, 9, 0),
        ({"tpe": {}}, 1, False, 10, 10),
        ({"tpe": {}}, 4, False, 10, 7),
        ({"tpe": {"startupTrials": 1}}, 64, False, 10, 0),
        ({"random": {}}, 1, True, 11, 11),
        ({"random": {}}, 4, True, 11, 8),
        ({"tpe": {}}, 4, True, 2, 0),
        ({"tpe": {}}, 4, True, 5, 2),
    ],
)
def test_what_has_to_have_ended_before_a_trial_is_asked_for(
    algorithm: dict[str, Any], parallel: int, early: bool, number: int, needed: int
) -> None:
    more = {"earlyStopping": {}} if early else {}

    assert needs(search_of(VARIANTS, algorithm=algorithm, parallelTrials=parallel, **more), number) == needed


class TestWhatOptunaIsTold:
    SEARCH = search_of(LEARNING_RATES, LR | {"pass": "genai"}, algorithm={"tpe": {}})
    TRIAL = Trial(3, (1e-3, 2e-4))

    def test_a_trial_that_succeeded_is_complete(self) -> None:
        found = told(self.SEARCH, self.TRIAL, Outcome("Succeeded", (0.5,)))

        assert (found.state.name, found.values, found.constraints) == ("COMPLETE", [0.5], {"violated": 0.0})
        assert found.params == {"p00": 1, "p01": 2e-4}

    def test_one_that_missed_constraints_says_by_how_many(self) -> None:
        found = told(self.SEARCH, self.TRIAL, Outcome("ConstraintsNotMet", (0.5,), violated=2))

        assert (found.state.name, found.constraints) == ("COMPLETE", {"violated": 2.0})

    def test_one_that_missed_constraints_without_a_figure_still_counts_as_bad(self) -> None:
        found = told(self.SEARCH, self.TRIAL, Outcome("ConstraintsNotMet", (), violated=1))

        assert (found.state.name, found.constraints) == ("PRUNED", {"violated": 1.0})

    def test_one_that_ended_early_says_how_far_it_came(self) -> None:
        found = told(self.SEARCH, self.TRIAL, Outcome("Pruned", (0.7,), {"finetune": 0.9, "merge": 0.7}))

        assert (found.state.name, found.intermediate_values) == ("PRUNED", {2: 0.7})

    def test_one_that_failed_has_failed(self) -> None:
        assert told(self.SEARCH, self.TRIAL, Outcome("Failed", reason="PassFailed")).state.name == "FAIL"

    def test_one_that_has_not_ended_runs(self) -> None:
        assert told(self.SEARCH, self.TRIAL, None).state.name == "RUNNING"


def test_optuna_is_quiet(caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> None:
    search = search_of(PRUNE, SPARSITY, LR, steps=STEPS, algorithm={"tpe": {"startupTrials": 2}})

    with caplog.at_level(logging.DEBUG), warnings.catch_warnings():
        warnings.simplefilter("error")
        asked(search, 6)

    assert not caplog.records
    assert capfd.readouterr() == ("", "")
