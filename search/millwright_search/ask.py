"""The next point. Grid: every combination. Random and TPE: optuna, asked anew each time with what is known.

A trial is a function of the search, its number, and the outcomes of earlier trials; no sampler lives on between two
questions. So an operator that restarts asks the same again.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any

from millwright_api.names import fingerprint
from millwright_api.search import Parameter, Point, Search
from millwright_search import space
from millwright_search.trials import Outcome, Trial

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.samplers import BaseSampler
    from optuna.study import Study
    from optuna.trial import FrozenTrial
    from optuna.trial import Trial as Draw

DRAWS = 16
"""How often a sampler is asked for a point that was not there before. TPE comes back to what was good, and a small space is
soon used up."""


def needs(search: Search, number: int) -> int:
    """Returns how many of the first trials must have ended before a trial is asked for, so that the answer does not depend
    on who finished first: none for a grid and for random points (and TPE's start-up); else all but parallelTrials - 1
    of those before it. With earlyStopping the latter always, because what is ended early depends on it."""
    tpe = search.algorithm.tpe
    learns = tpe is not None and number >= tpe.startup_trials
    return max(0, number - search.parallel_trials + 1) if learns or search.early_stopping is not None else 0


def ask(search: Search, number: int, trials: Mapping[int, Trial], outcomes: Mapping[int, Outcome]) -> Point | None:
    """Returns the point of a trial; None when the space holds no other than those that were asked for.

    Args:
        search: the search.
        number: the trial's, from 0; all before it are in `trials`.
        trials: those that were asked for, by number.
        outcomes: of those that ended; only the first `needs(search, number)` of them are looked at.
    """
    count = space.size(search)
    if count is not None and number >= count:
        return None
    if search.algorithm.grid is not None:
        return next(islice(space.points(search), number, None), None)
    return _drawn(search, number, {at: trials[at] for at in range(number)}, outcomes, finite=count is not None)


def quiet_study(search: Search, **options: Any) -> Study:
    """Returns an optuna study in memory with the search's directions, which logs nothing.

    Args:
        search: the search.
        options: of `optuna.create_study`.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    directions = [optuna.study.StudyDirection[one.direction.upper()] for one in search.objectives]
    return optuna.create_study(directions=directions, **options)


def told(search: Search, trial: Trial, outcome: Outcome | None) -> FrozenTrial:
    """Returns what optuna is told of a trial; without an outcome it runs."""
    from optuna.trial import TrialState, create_trial

    params, distributions = _params(search, trial.at)
    if outcome is None or outcome.phase == "Failed":
        state = TrialState.RUNNING if outcome is None else TrialState.FAIL
        return create_trial(state=state, params=params, distributions=distributions)
    values = [value for value in outcome.values if value is not None]
    measured = outcome.phase != "Pruned" and len(values) == len(search.objectives)
    pruned_at = {len(outcome.figures): values[0]} if outcome.phase == "Pruned" and values else {}
    return create_trial(
        state=TrialState.COMPLETE if measured else TrialState.PRUNED,
        params=params,
        distributions=distributions,
        values=values if measured else None,
        intermediate_values=pruned_at,
        constraints={"violated": float(outcome.violated)},
    )


def _drawn(
    search: Search, number: int, trials: Mapping[int, Trial], outcomes: Mapping[int, Outcome], *, finite: bool
) -> Point | None:
    asked = {space.same(trial.at) for trial in trials.values()}
    study = quiet_study(search, sampler=_sampler(search, number))
    if search.algorithm.tpe is not None:
        ended = {at: outcomes[at] for at in range(needs(search, number))}
        study.add_trials([told(search, trials[at], ended.get(at)) for at in range(number)])
    for _ in range(DRAWS):
        at = _point(search, study.ask())
        if space.same(at) not in asked:
            return at
    return next(one for one in space.points(search) if space.same(one) not in asked) if finite else at


def _sampler(search: Search, number: int) -> BaseSampler:
    """Seeded by the trial's number as well: a sampler answers one question."""
    from optuna.samplers import RandomSampler, TPESampler

    tpe, random = search.algorithm.tpe, search.algorithm.random
    chosen = tpe or random
    assert chosen is not None  # a grid asks no sampler
    seed = int(fingerprint([chosen.seed, number])[:8], 16)
    if tpe is None:
        return RandomSampler(seed=seed)
    return TPESampler(seed=seed, n_startup_trials=tpe.startup_trials, constant_liar=True)


def _point(search: Search, draw: Draw) -> Point:
    at: list[bool | int | float | str | None] = [None] * len(search.parameters)
    for index in space.draws(search):
        if space.acts(search, at, index):
            at[index] = _suggested(search.parameters[index], _name(index), draw)
    return tuple(at)


def _suggested(parameter: Parameter, name: str, draw: Draw) -> bool | int | float | str:
    between = parameter.uniform or parameter.log_uniform
    if between is not None:  # six significant digits, so that a person can copy them and platforms agree
        drawn = draw.suggest_float(name, between.min, between.max, log=parameter.log_uniform is not None)
        return min(max(float(f"{drawn:.6g}"), between.min), between.max)
    if parameter.integer is not None:
        numbers = space.whole(parameter.integer)
        return draw.suggest_int(name, numbers[0], numbers[-1], step=numbers.step)
    listed = _listed(parameter)
    return listed[draw.suggest_categorical(name, range(len(listed)))]


def _params(search: Search, at: Point) -> tuple[dict[str, Any], dict[str, BaseDistribution]]:
    """A point as optuna has it: of listed values their places, since it takes 1 and true for one."""
    params: dict[str, Any] = {}
    distributions: dict[str, BaseDistribution] = {}
    for index, (parameter, value) in enumerate(zip(search.parameters, at, strict=True)):
        if value is not None:
            listed = _listed(parameter)
            params[_name(index)] = space.same(tuple(listed)).index(space.same((value,))[0]) if listed else value
            distributions[_name(index)] = _distribution(parameter)
    return params, distributions


def _distribution(parameter: Parameter) -> BaseDistribution:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if parameter.uniform is not None:
        return FloatDistribution(parameter.uniform.min, parameter.uniform.max)
    if parameter.log_uniform is not None:
        return FloatDistribution(parameter.log_uniform.min, parameter.log_uniform.max, log=True)
    if parameter.integer is not None:
        numbers = space.whole(parameter.integer)
        return IntDistribution(numbers[0], numbers[-1], step=numbers.step)
    return CategoricalDistribution(range(len(_listed(parameter))))


def _listed(parameter: Parameter) -> list[bool | int | float | str]:
    """What a parameter's value is one of; empty of ranges."""
    return [] if parameter.integer is not None else list(space.values(parameter) or ())


def _name(index: int) -> str:
    return f"p{index:02}"  # optuna sorts by name
