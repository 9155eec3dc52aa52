"""All that is known of a search's trials, a row each: what trials.jsonl and the report say. Found again by the trials' keys, from
the cache and the measurements that are kept there."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from millwright_api.errors import MillwrightError
from millwright_api.search import Point, Search
from millwright_api.v1alpha1 import OptimizationJob
from millwright_runner import registry
from millwright_runner.evaluation import EvaluationPlan, FindMeasured, find_measured, judged
from millwright_runner.metrics import Measured
from millwright_runner.plan import Found, outline
from millwright_runner.trials import search_of, trial_job
from millwright_search.trials import Outcome, Over, Trial

MEASURED = ("Succeeded", "ConstraintsNotMet")
"""How trials end whose model was made and measured."""

AT_ONCE = 8
"""Trials that are looked up side by side: a bucket answers slowly, and several questions at once."""


def told(
    job: OptimizationJob,
    found: Found,
    trials: Mapping[int, Trial],
    outcomes: Mapping[int, Outcome],
    *,
    over: Over,
    places: Mapping[int, str],
) -> list[dict[str, Any]]:
    """Returns a row of JSON for each trial, by number.

    Args:
        job: the manifest, with its search.
        found: what it names.
        trials: all trials.
        outcomes: how they ended.
        over: which one is best.
        places: where the models of those lie that are published.
    """
    search, find = search_of(job), _remembering(found)

    def row(number: int) -> dict[str, Any]:
        """Returns a trial's."""
        at, outcome = trials[number].at, outcomes[number]
        known: dict[str, Any] = {"metrics": {}, "constraints": []}
        if outcome.phase in MEASURED:
            try:
                known |= _model(job, found, at, find)
            except MillwrightError as error:  # a row that lacks something is better than a search that lacks its end
                known["message"] = str(error)
        values = dict(zip((one.metric for one in search.objectives), outcome.values, strict=False))
        exact = {name: known["metrics"][name]["value"] for name in values if name in known["metrics"]}
        return {
            "number": number,
            "at": labelled(search, at),
            "phase": outcome.phase,
            "values": values | exact,
            **known,
            **({"uri": places[number]} if number in places else {}),
            "reason": outcome.reason,
            "message": outcome.message or known.get("message", ""),
            "best": number == over.best,
            "front": number in over.front,
        }

    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(row, sorted(outcomes)))


def as_lines(rows: Sequence[Mapping[str, Any]]) -> bytes:
    """Returns rows as trials.jsonl has them. They hold no time, so the same search gives the same bytes."""
    return "".join(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n" for row in rows).encode()


def labelled(search: Search, at: Point) -> dict[str, Any]:
    """Returns a point by its parameters' labels; what does not run is left out."""
    pairs = zip(search.parameters, at, strict=True)
    return {parameter.label: value for parameter, value in pairs if value is not None}


def _model(job: OptimizationJob, found: Found, at: Point, find: FindMeasured | None) -> dict[str, Any]:
    """What is known of a trial's model: what was measured of it, and where it lies."""
    trial = trial_job(job, at)
    drawn = outline(trial, registry.bind(trial), found, find, anywhere=True, checked=True)
    key, last = drawn.keys[-1], len(drawn.steps) - 1
    tree = found.cache.peek(key) if found.cache is not None else None
    lies = {}
    if tree is not None and found.cache is not None:
        lies = {"uri": f"{found.cache.store.uri}{tree.root}/", "digest": tree.digest, "bytes": tree.bytes}
    return {
        "metrics": _metrics(drawn.evaluation, last),
        "constraints": _constraints(drawn.evaluation, last),
        **lies,
        "format": drawn.steps[-1].pass_.produces,
        "fingerprint": key,
    }


def _metrics(plan: EvaluationPlan, last: int) -> dict[str, Any]:
    point = plan.at(last)
    units = {bound.name: bound.metric.unit for bound in plan.metrics}
    return {
        name: {
            "value": _number(one.value),
            "low": _number(one.low),
            "high": _number(one.high),
            "n": one.n,
            "unit": units[name],
        }
        for name, one in (point.found if point is not None else {}).items()
    }


def _constraints(plan: EvaluationPlan, last: int) -> list[dict[str, Any]]:
    """What became of the constraints; nothing where something that they need is not known any more."""
    needed = {last, *plan.compared(last)}
    if any(point.missing for point in plan.points if point.index in needed):
        return []
    return [{"metric": one.metric, "met": one.met, "message": one.message} for one in judged(plan, last)]


def _remembering(found: Found) -> FindMeasured | None:
    """Looks for measurements in the cache, and for each once: trials share the input, and the passes that they begin with."""
    if found.cache is None:
        return None
    store, known = found.cache.store, dict[str, Measured | None]()

    def find(key: str) -> Measured | None:
        """Satisfies `FindMeasured`."""
        if key not in known:
            known[key] = find_measured(store, key)
        return known[key]

    return find


def _number(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
