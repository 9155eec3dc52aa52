"""A search's trials: from status to the words that its course speaks, and back."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import get_args

from millwright_api import points
from millwright_api.report import cut
from millwright_api.search import Point, Search
from millwright_api.status import BestTrial, SearchStatus, TrialStatus
from millwright_api.v1alpha1 import Spec
from millwright_search import space, verdict
from millwright_search.trials import Course, Outcome, Trial, TrialPhase

AT_CHARACTERS = 1024
"""Of one trial's values."""

ALL_AT_BYTES = 30 * 1024
"""Of all trials' values together; more, and those of trials that have ended are told in the short form."""

MESSAGE_BYTES, REASON_BYTES, SUMMARY_BYTES = 128, 64, 256


_ENDS: Mapping[str, TrialPhase] = {phase: phase for phase in get_args(TrialPhase)}


def asked(search: Search, status: SearchStatus | None) -> dict[int, Trial]:
    """Returns the trials that were asked for. One that cannot be read, and all after it, count as not asked for: they are
    asked for again, with the same answer."""
    found: dict[int, Trial] = {}
    for entry in status.trials if status else ():
        at = points.read(search, entry.at)
        if at is None or entry.number != len(found):
            break
        found[entry.number] = Trial(entry.number, at)
    return found


def ended(status: SearchStatus | None, trials: Mapping[int, Trial]) -> dict[int, Outcome]:
    """Returns the ends of those trials that have ended."""
    found: dict[int, Outcome] = {}
    for entry in status.trials if status else ():
        if entry.number in trials and entry.phase in _ENDS:
            found[entry.number] = Outcome(
                _ENDS[entry.phase],
                values=tuple(entry.values),
                figures=entry.figures,
                violated=entry.violated,
                reason=entry.reason,
                message=entry.message,
                failed_segment=entry.failed_segment,
            )
    return found


def told(spec: Spec, course: Course, running: frozenset[int], space_size: int | None) -> SearchStatus:
    """Returns what status says of a search.

    Args:
        spec: the job's.
        course: what is known, and follows.
        running: trials with a Job of their own or one that they share.
        space_size: different points that there are; None: more than can be counted.
    """
    assert spec.search is not None  # the callers have one
    search, outcomes = spec.search, course.outcomes
    over = course.over
    best = over.best if over else verdict.best(search, outcomes)
    front = over.front if over else verdict.front(search, outcomes)
    phases = [outcome.phase for outcome in outcomes.values()]
    entries = [_entry(search, trial, outcomes.get(number), running) for number, trial in sorted(course.trials.items())]
    return SearchStatus(
        summary=f"{len(outcomes)}/{planned(search, space_size)}",
        space=space_size,
        reason=over.reason if over else "",
        message=cut(over.message, SUMMARY_BYTES) if over else "",
        succeeded=phases.count("Succeeded"),
        constraints_not_met=phases.count("ConstraintsNotMet"),
        pruned=phases.count("Pruned"),
        failed=phases.count("Failed"),
        best=None if best is None else _best(search, course.trials[best], outcomes[best]),
        front=list(front),
        trials=_fitted(search, entries, course.trials, keep={*front, best}),
    )


def planned(search: Search, space_size: int | None) -> int:
    """Returns how many trials there will be at most."""
    return search.max_trials if space_size is None else min(search.max_trials, space_size)


def figure(value: float) -> str:
    """Returns an objective's value for people."""
    return str(int(value)) if value.is_integer() and abs(value) < 1e15 else f"{value:.4g}"


def best_of(status: SearchStatus) -> str:
    """Returns the best trial for people: trial 3, accuracy 0.91; empty while there is none."""
    if status.best is None:
        return ""
    return f"trial {status.best.number}, " + ", ".join(f"{k} {figure(v)}" for k, v in status.best.values.items())


def _entry(search: Search, trial: Trial, outcome: Outcome | None, running: frozenset[int]) -> TrialStatus:
    at = points.written(search, trial.at, AT_CHARACTERS)
    if outcome is None:
        return TrialStatus(number=trial.number, phase="Running" if trial.number in running else "Pending", at=at)
    values = [value for value in outcome.values if value is not None and math.isfinite(value)]
    return TrialStatus(
        number=trial.number,
        phase=outcome.phase,
        at=at,
        values=values if len(values) == len(outcome.values) else [],
        figures={step: value for step, value in outcome.figures.items() if math.isfinite(value)},
        violated=outcome.violated,
        reason=cut(outcome.reason, REASON_BYTES),
        message=cut(outcome.message, MESSAGE_BYTES),
        failed_segment=outcome.failed_segment,
    )


def _fitted(
    search: Search, entries: list[TrialStatus], trials: Mapping[int, Trial], keep: set[int | None]
) -> list[TrialStatus]:
    """Shortens values where all together are too long: of trials that have ended first, the oldest first, and those that
    people look for last."""
    size = sum(len(entry.at.encode()) for entry in entries)
    at_end = [n for n, entry in enumerate(entries) if entry.phase not in ("Pending", "Running")]
    order = [n for n in at_end if n not in keep] + [n for n in range(len(entries)) if n in keep or n not in at_end]
    for number in order:
        if size <= ALL_AT_BYTES:
            break
        short = points.shortened(search, trials[number].at)
        size += len(short) - len(entries[number].at.encode())
        entries[number] = entries[number].model_copy(update={"at": short})
    return entries


def _best(search: Search, trial: Trial, outcome: Outcome) -> BestTrial:
    names = [objective.metric for objective in search.objectives]
    values = {name: value for name, value in zip(names, outcome.values, strict=False) if value is not None}
    return BestTrial(number=trial.number, parameters=space.described(search, trial.at), values=values)


def point(search: Search, status: SearchStatus, number: int) -> Point | None:
    """Returns a trial's point; None where status does not have it."""
    entry = next((entry for entry in status.trials if entry.number == number), None)
    return points.read(search, entry.at) if entry else None
