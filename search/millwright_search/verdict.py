"""Which trial is best, and which are worth a look; which is not carried through."""

from __future__ import annotations

import statistics
from collections.abc import Mapping

from millwright_api.search import Search
from millwright_search.ask import needs, quiet_study
from millwright_search.trials import Outcome


def front(search: Search, outcomes: Mapping[int, Outcome]) -> tuple[int, ...]:
    """Returns the trials that no other beats in one objective and matches in all others, by number. Only those that
    succeeded, with a number for every objective; of equals the first. Those that miss a constraint (`onViolation: Warn`)
    only where all that succeeded do."""
    losses = _losses(search, outcomes)
    return tuple(
        number
        for number, own in losses.items()
        if not any(
            all(theirs <= mine for theirs, mine in zip(other, own, strict=True)) and (other != own or at < number)
            for at, other in losses.items()
        )
    )


def best(search: Search, outcomes: Mapping[int, Outcome]) -> int | None:
    """Returns the trial of the front that is best in the first objective; of equals, in the second, and so on; then the
    earliest. None when no trial succeeded."""
    losses = _losses(search, outcomes)
    return min(losses, key=lambda number: (losses[number], number), default=None)


def kept(search: Search, outcomes: Mapping[int, Outcome]) -> tuple[int, ...]:
    """Returns the trials whose models are published, after `search.keep`, by number; the best is one of them. None of them when
    no trial succeeded."""
    if search.keep == "pareto":
        return front(search, outcomes)
    if search.keep == "all":
        return tuple(sorted(number for number, outcome in outcomes.items() if outcome.phase == "Succeeded"))
    chosen = best(search, outcomes)
    return () if chosen is None else (chosen,)


def pruned(search: Search, number: int, figures: Mapping[str, float], outcomes: Mapping[int, Outcome]) -> str | None:
    """Returns why a trial is not carried through, for people; None when it goes on. By optuna's MedianPruner on the first
    objective after each step, against the trials that `ask.needs` names.

    Args:
        search: the search; without earlyStopping no trial is ended early.
        number: the trial's.
        figures: step's name → the first objective's value after it, as far as it has come, in the recipe's order: it is
            judged by the last one.
        outcomes: of trials that ended.
    """
    if search.early_stopping is None or not figures:
        return None
    step, figure = list(figures.items())[-1]
    finished = [outcomes[at] for at in range(needs(search, number)) if _finished(outcomes[at])]
    if not _median_prunes(search, step, figure, finished):
        return None
    others = [outcome.figures[step] for outcome in finished if step in outcome.figures]
    metric = search.objectives[0].metric
    median = statistics.median(others)
    return f"after {step} {metric} was {figure:.6g}; the median of {len(others)} earlier trials is {median:.6g}"


def _median_prunes(search: Search, step: str, figure: float, finished: list[Outcome]) -> bool:
    from optuna.pruners import MedianPruner
    from optuna.trial import TrialState, create_trial

    assert search.early_stopping is not None  # the caller has looked
    study = quiet_study(search)
    for outcome in finished:  # only the step in question: optuna would take a trial's best figure so far for its figure
        at_step = {0: outcome.figures[step]} if step in outcome.figures else {}
        study.add_trial(create_trial(value=outcome.values[0], intermediate_values=at_step))
    trial = create_trial(state=TrialState.RUNNING, intermediate_values={0: figure})
    return MedianPruner(n_startup_trials=search.early_stopping.median.startup_trials).prune(study, trial)


def _finished(outcome: Outcome) -> bool:
    return outcome.phase in ("Succeeded", "ConstraintsNotMet") and bool(outcome.values) and None not in outcome.values


def _losses(search: Search, outcomes: Mapping[int, Outcome]) -> dict[int, tuple[float, ...]]:
    """Of trials that may be published, their objectives as what is to be small, by number."""
    signs = [-1.0 if objective.direction == "Maximize" else 1.0 for objective in search.objectives]
    found: dict[int, tuple[float, ...]] = {}
    for number, outcome in sorted(outcomes.items()):
        values = [value for value in outcome.values if value is not None]
        if outcome.phase == "Succeeded" and len(values) == len(signs):
            found[number] = tuple(sign * value for sign, value in zip(signs, values, strict=True))
    meeting = {number: losses for number, losses in found.items() if not outcomes[number].violated}
    return meeting or found
