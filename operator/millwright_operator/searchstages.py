"""A search's two stages: all of its trials together, then the Job that publishes what they found."""

from __future__ import annotations

import json
from typing import Any

from millwright_api.execution import Amount, Resources
from millwright_api.search import Point
from millwright_api.status import SearchStatus
from millwright_api.v1alpha1 import Spec
from millwright_operator.stages import TRIALS, Stage, accelerators, stages_of
from millwright_operator.trialstatus import asked, ended, point
from millwright_search import space

ENV_BYTES = 100_000
"""Of one environment variable; Linux takes 128 KiB."""


def stages_at(spec: Spec, status: SearchStatus | None) -> tuple[Stage, ...]:
    """Returns a job's stages; with a search, the steps of the second are those of the best trial, once that is known."""
    if spec.search is None:
        return stages_of(spec)
    default = spec.execution.kubernetes.resources
    best = found(spec, status)
    if best is None:
        names = tuple(step.name for step in spec.passes)
        return Stage(0, 0, len(names), names, default, TRIALS), Stage(1, 0, 0, (), default, "publishing")
    number, at = best
    names = tuple(step.name for step in space.recipe(spec, at))
    publishing = Stage(1, 0, len(names), names, _without_accelerators(default), f"publishing trial {number}")
    return Stage(0, 0, 0, (), default, TRIALS), publishing


def found(spec: Spec, status: SearchStatus | None) -> tuple[int, Point] | None:
    """Returns the trial that is published, and its point; None while the search is not over."""
    if spec.search is None or status is None or not status.reason or status.best is None:
        return None
    at = point(spec.search, status, status.best.number)
    return None if at is None else (status.best.number, at)


def conclusion(spec: Spec, status: SearchStatus | None) -> str | None:
    """Returns what the Job that publishes is told of the trials, as JSON (see `names.ENV_TRIALS`); None for a job without
    a search, or one that goes on."""
    best = found(spec, status)
    if spec.search is None or status is None or best is None:
        return None
    outcomes = ended(status, asked(spec.search, status))
    of_all = [number for number, outcome in outcomes.items() if outcome.phase == "Succeeded"]
    kept = {"best": [best[0]], "pareto": status.front, "all": of_all}[spec.search.keep]
    told: dict[str, Any] = {
        "best": best[0],
        "publish": sorted({best[0], *kept}),
        "reason": status.reason,
        "message": status.message,
        "trials": [
            {
                "number": entry.number,
                "at": point(spec.search, status, entry.number),
                "phase": entry.phase,
                "values": entry.values,
                "reason": entry.reason,
                "message": entry.message,
            }
            for entry in status.trials
        ],
    }
    text = json.dumps(told, separators=(",", ":"), ensure_ascii=False)
    if len(text.encode()) > ENV_BYTES:
        short = {entry.number: entry.at for entry in status.trials}
        trials = [trial | {"at": short[trial["number"]]} for trial in told["trials"]]
        text = json.dumps(told | {"trials": trials}, separators=(",", ":"), ensure_ascii=False)
    return text


def _without_accelerators(resources: Resources) -> Resources:
    """What is made lies in the cache: to publish it takes no device."""

    def plain(asked: dict[str, Amount]) -> dict[str, Amount]:
        """Keeps what a node itself has."""
        return {name: amount for name, amount in asked.items() if not accelerators({name: 1})}

    return resources.model_copy(update={"limits": plain(resources.limits), "requests": plain(resources.requests)})
