"""Evaluators of a workflow: what measures the same here becomes `spec.evaluation`, all else is listed with its reason.

Only the size on disk is the same. Olive times a call of the session and not tokens, and what its accuracies compare depends on
post-processing in Python. What has a priority is an objective of a search; a goal says which of its models will do.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from millwright_api.search import MAX_OBJECTIVES
from millwright_runner.olive.trace import Path, wrong
from millwright_runner.olive.view import Found, View
from millwright_runner.olive.work import Work, label

PLACE = "spec.evaluation"

NOT_THE_SAME = {
    "latency": "Olive times a call of the session; tokenLatency times the tokens of a generation: add it by hand",
    "throughput": "Olive counts calls of the session; throughput counts tokens of a generation: add it by hand",
    "accuracy": "what it compares depends on post-processing in Python: add exactMatch, f1 or perplexity by hand, on a data "
    "set that names its answers",
    "custom": "code of its own; here a metric is a class with an entry point: add it by hand",
}
ELSE = "has no counterpart: add what comes near to spec.evaluation by hand"
OTHERWISE = "has no counterpart; the model is the same without it"
UNUSED = "the engine does not measure with it; the model is the same without it"
OF_A_PASS = "evaluation is of the whole job here: spec.evaluation.after says which results are measured"

GOALS = {
    "threshold": "max",
    "min-improvement": "minImprovement",
    "max-degradation": "maxDrop",
    "percent-max-degradation": "maxDropPercent",
}
"""Olive's goals → bounds of a constraint, of a metric of which less is better."""


@dataclass
class _Measured:
    """What is measured, and what of it a search goes by.

    Attributes:
        searches: whether the workflow searches.
        evaluation: spec.evaluation.
        ranked: priority and name of what the search goes by, in Olive's words, and our metric; None: there is none.
    """

    searches: bool
    evaluation: dict[str, Any] = field(default_factory=dict)
    ranked: list[tuple[float, str, str | None]] = field(default_factory=list)


def evaluation(work: Work, top: View, *, searches: bool = False) -> tuple[dict[str, Any] | None, list[dict[str, Any]]]:
    """Returns the spec's evaluation, None where nothing is measured that is the same here, and the objectives of a search.

    Args:
        searches: whether the workflow searches: metrics with a priority are then its objectives.
    """
    measured = _Measured(searches)
    found, out = _evaluator(top), measured.evaluation
    if found is not None:
        _metrics(work, found, measured)
    _input(work, top, out)
    for key, why in (("evaluator", OTHERWISE), ("evaluators", UNUSED)):
        for path, data in top.parts:
            if data.get(key):
                work.trace.unmapped((*path, key), why, blocks=False)
    return out or None, _objectives(work, measured) if searches else []


def _objectives(work: Work, measured: _Measured) -> list[dict[str, Any]]:
    ranked = [name for _, _, name in sorted(measured.ranked, key=lambda one: one[:2]) if name is not None]
    if not measured.ranked and (entries := measured.evaluation.get("metrics")):
        ranked = [entries[0]["name"]]
        work.trace.note((), f"spec.search.objectives: no metric has a priority, so the least {ranked[0]} is looked for")
    names = list(dict.fromkeys(ranked))
    return [{"metric": name, "direction": "Minimize"} for name in names[:MAX_OBJECTIVES]]


def _priority(sub: Any) -> float:
    """Returns the priority of a sub-metric; from 1 it is an objective of a search."""
    value = sub.get("priority", -1) if isinstance(sub, dict) else -1
    if isinstance(value, str) and value.isdigit():  # a number in quotes counts, as in Olive
        return int(value)
    return value if isinstance(value, int | float) else -1


def _evaluator(top: View) -> Found | None:
    """Returns the evaluator that the engine names, or has; None without one."""
    named, known = top.get("evaluator"), top.get("evaluators")
    if named is None or isinstance(named.value, dict):
        return named
    if known is None or not isinstance(known.value, dict) or not isinstance(known.value.get(named.value), dict):
        return None
    top.trace.note(named.path, "one judge measures every format")
    return Found((*known.path, named.value), known.value[named.value])


def _metrics(work: Work, found: Found, measured: _Measured) -> None:
    out = measured.evaluation
    metrics = found.value.get("metrics")
    for index, metric in enumerate(metrics if isinstance(metrics, list) else ()):
        path = (*found.path, "metrics", index)
        kind = str(metric.get("type", "")).lower() if isinstance(metric, dict) else ""
        if kind == "size_on_disk":
            _size(work, path, metric, measured)
        _not_the_same(work, path, metric, kind, measured)
    if out and "type" in found.value:
        work.trace.note((*found.path, "type"), "one judge measures every format")
    work.trace.unmapped(found.path, OTHERWISE, blocks=False)


def _not_the_same(work: Work, path: Path, metric: Any, kind: str, measured: _Measured) -> None:
    """Lists what is left of a metric; a search that goes by it would find another model without it."""
    why = NOT_THE_SAME.get(kind, ELSE)
    subs = metric.get("sub_types") if isinstance(metric, dict) else None
    for index, sub in enumerate(subs if isinstance(subs, list) else ()):
        if measured.searches and kind != "size_on_disk" and _priority(sub) > 0:
            measured.ranked.append((_priority(sub), str(metric.get("name")), None))
            place = (*path, "sub_types", index, "priority")
            work.trace.unmapped(place, f"an objective of the search; {why}, and to spec.search.objectives", blocks=True)
    work.trace.unmapped(path, why if kind in NOT_THE_SAME else OTHERWISE, blocks=False)


def _size(work: Work, path: Path, metric: dict[str, Any], measured: _Measured) -> None:
    out = measured.evaluation
    entries = out.setdefault("metrics", [])
    name = label(str(metric.get("name") or "size"), 63, [entry["name"] for entry in entries])
    place = f"{PLACE}.metrics[{len(entries)}]"
    entries.append({"name": name, "sizeOnDisk": {}})
    work.trace.mapped((*path, "type"), f"{place}.sizeOnDisk")
    if "name" in metric:
        work.trace.mapped((*path, "name"), f"{place}.name")
    subs = metric.get("sub_types")
    for index, sub in enumerate(subs if isinstance(subs, list) else ()):
        if not isinstance(sub, dict) or str(sub.get("name", "bytes")).lower() != "bytes":
            continue
        below = (*path, "sub_types", index)
        work.trace.mapped((*below, "name"), f"{place}.sizeOnDisk")
        ranks = measured.searches and _priority(sub) > 0
        if ranks:
            measured.ranked.append((_priority(sub), str(metric.get("name")), name))
        if "priority" in sub:
            text = (
                "an objective of the search; they stand in the order of priorities"
                if ranks
                else "of a search's objectives; this is none"
            )
            work.trace.note((*below, "priority"), text)
        if "higher_is_better" in sub:
            work.trace.note((*below, "higher_is_better"), "less is better, in Olive too, whatever is written")
        if isinstance(sub.get("goal"), dict):
            _goal(work, (*below, "goal"), sub["goal"], name, out)


def _goal(work: Work, path: Path, goal: dict[str, Any], name: str, out: dict[str, Any]) -> None:
    bound, value = GOALS.get(str(goal.get("type", "")).lower()), goal.get("value")
    if bound is None:
        work.trace.unmapped(path, "no constraint says this; the model is the same without it", blocks=False)
        return
    if isinstance(value, bool) or not isinstance(value, int | float) or (bound != "max" and value < 0):
        wrong((*path, "value"), value, "number" if bound == "max" else "number from 0")
    constraints = out.setdefault("constraints", [])
    place = f"{PLACE}.constraints[{len(constraints)}].{bound}"
    constraints.append({"metric": name, bound: value})
    out["onViolation"] = "Warn"
    work.trace.mapped((*path, "type"), place)
    work.trace.mapped((*path, "value"), place)
    work.trace.note(
        (), f"{place}: Olive makes the model whatever the goal, so onViolation is Warn; Fail makes it a gate"
    )


def _input(work: Work, top: View, out: dict[str, Any]) -> None:
    asked = top.flag("evaluate_input_model")
    if asked is None:
        return
    if not asked.value:
        work.trace.note(asked.path, "off, as here")
    elif out:
        out["after"] = ["input", "last"]
        work.trace.mapped(asked.path, f"{PLACE}.after")
    else:
        work.trace.unmapped(asked.path, "nothing is measured that is the same here", blocks=False)
