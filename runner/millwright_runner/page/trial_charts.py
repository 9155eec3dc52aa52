"""A search in pictures: what trials give for what they take, how the best got better, and what each parameter does."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from millwright_runner.page import charts
from millwright_runner.page.charts import Across, Dot, Dots
from millwright_runner.page.document import Document, Searched, Trial
from millwright_runner.page.front import Candidate, front
from millwright_runner.page.trials import more, number, text, unit_of
from millwright_runner.page.view import COST, say

OTHERS, MISSED = "other trials", "missed a constraint"

Chart = tuple[str, str]
"""A title and a drawing."""


def overview(document: Document) -> Iterator[Chart]:
    """Yields the trials against one another: one figure against what it costs, and the best one so far."""
    search = document.search
    if search is None or not search.objectives:
        return
    other = _other(search)
    if other is not None and (drawn := _against(search, *other)):
        yield drawn
    if drawn := _so_far(search):
        yield drawn


def parameters(document: Document) -> Iterator[Chart]:
    """Yields for each parameter how the first objective goes with it."""
    search = document.search
    if search is None or not search.objectives:
        return
    kinds = dict(_kinds(document.spec))
    for index, label in enumerate(search.parameters):
        if drawn := _parameter(search, index, label, kinds.get(label, "")):
            yield drawn


def _other(search: Searched) -> tuple[str, str, bool] | None:
    """What stands across of the first objective: a metric, its unit, and whether more of it is better."""
    if len(search.objectives) > 1:
        second = search.objectives[1]
        return second.metric, unit_of(search, second.metric), more(second)
    units = {name: figure.unit for trial in search.trials for name, figure in trial.metrics.items()}
    first = search.objectives[0].metric
    costs = [(name, unit) for unit in COST for name, found in units.items() if found == unit and name != first]
    return (*costs[0], False) if costs else None


def _against(search: Searched, across: str, unit: str, more_across: bool) -> Chart | None:
    aim = search.objectives[0]
    found = [
        (trial, x, y)
        for trial in search.trials
        if (x := number(trial, across)) is not None and (y := number(trial, aim.metric)) is not None
    ]
    if len({(x, y) for _, x, y in found}) < 2:
        return None
    format_x, format_y = say(unit), say(unit_of(search, aim.metric))
    met = {str(trial.number): trial for trial, _, _ in found if trial.phase == "Succeeded"}
    sign = -1 if more_across else 1  # `front` takes costs
    candidates = [Candidate(str(t.number), sign * x, y) for t, x, y in found if str(t.number) in met]
    plane = len(search.objectives) < 3
    best = [int(one.name) for one in front(candidates, higher=more(aim))]
    if not plane:  # the front lies in a space of more dimensions
        best = [trial.number for trial, _, _ in found if trial.front]
    dots = {
        trial.number: Dot(x, y, f"trial {trial.number}: {aim.metric} {format_y(y)}, {across} {format_x(x)}", label)
        for trial, x, y in found
        for label in [str(trial.number) if trial.number in best else ""]
    }
    series = [
        Dots("Pareto front", [dots[one] for one in best], line=plane),
        Dots(OTHERS, [dots[t.number] for t, _, _ in found if str(t.number) in met and t.number not in best], colour=2),
        Dots(MISSED, [dots[t.number] for t, _, _ in found if str(t.number) not in met], colour=1),
    ]
    about = f"{aim.metric} against {across}, {len(found)} trials; on the Pareto front: {', '.join(map(str, best)) or 'none'}"
    return f"{aim.metric} against {across}", charts.dots_chart(
        "trials", about, series, across=Across(_titled(across, unit), format_x), say=format_y
    )


def _so_far(search: Searched) -> Chart | None:
    """Each trial by its number, and a line that is as good as the best one until then."""
    aim = search.objectives[0]
    found = [(trial, value) for trial in search.trials if (value := number(trial, aim.metric)) is not None]
    met = [(trial, value) for trial, value in found if trial.phase == "Succeeded"]
    if len(met) < 2:
        return None
    write = say(unit_of(search, aim.metric))
    best, line = met[0][1], [Dot(met[0][0].number, met[0][1], "")]
    for trial, value in met[1:]:
        if value != best and (value > best) == more(aim):
            line.append(Dot(trial.number, best, ""))
            best = value
            line.append(Dot(trial.number, best, ""))
    line.append(Dot(max(trial.number for trial, _ in found), best, ""))
    dots = {trial.number: Dot(trial.number, value, _said(trial, write(value))) for trial, value in found}
    series = [
        Dots("best so far", line, line=True, marked=False),
        Dots("trials", [dots[trial.number] for trial, _ in met], colour=2),
        Dots(MISSED, [dots[trial.number] for trial, _ in found if trial.phase != "Succeeded"], colour=1),
    ]
    about = f"{aim.metric} by trial: the first {write(met[0][1])}, the best {write(best)}"
    return f"{aim.metric}: the best so far", charts.dots_chart(
        "so-far", about, series, across=Across("trial", "{:.0f}".format), say=write
    )


def _parameter(search: Searched, index: int, label: str, kind: str) -> Chart | None:
    aim = search.objectives[0]
    found = [
        (trial, trial.at[label], value)
        for trial in search.trials
        if trial.at.get(label) is not None and (value := number(trial, aim.metric)) is not None
    ]
    different = {text(x) for _, x, _ in found}
    if len(different) < 2:
        return None
    write = say(unit_of(search, aim.metric))
    numbers = kind != "choice" and all(_is_number(x) for _, x, _ in found)
    names = [] if numbers else sorted(different, key=_by_value)
    places = [float(x) if numbers else float(names.index(text(x))) for _, x, _ in found]
    log = kind == "logUniform" and numbers and min(places) > 0
    dots = [
        (trial, Dot(x, value, _said(trial, f"{text(raw)}: {write(value)}")))
        for (trial, raw, value), x in zip(found, places, strict=True)
    ]
    series = [
        Dots("trials", [dot for trial, dot in dots if trial.phase == "Succeeded"]),
        Dots(MISSED, [dot for trial, dot in dots if trial.phase != "Succeeded"], colour=1),
    ]
    about = f"{aim.metric} by {label}: " + "; ".join(
        f"{name} at best {write(_best([y for _, x, y in found if text(x) == name], up=more(aim)))}"
        for name in (sorted(different, key=_by_value) if len(different) <= 8 else [])
    )
    across = Across(label, "{:.4g}".format, names=[_short(name) for name in names], log=log)
    return label, charts.dots_chart(f"parameter-{index}", about.removesuffix(": "), series, across=across, say=write)


def _best(values: Sequence[float], *, up: bool) -> float:
    return max(values) if up else min(values)


def _by_value(name: str) -> tuple[bool, float, str]:
    try:
        return False, float(name), name
    except ValueError:
        return True, 0.0, name


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _said(trial: Trial, value: str) -> str:
    return f"trial {trial.number}: {value}"


def _short(name: str) -> str:
    return name if len(name) <= 12 else f"{name[:11]}…"


def _titled(name: str, unit: str) -> str:
    return f"{name} ({unit})" if unit and unit != name else name


def _kinds(spec: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yields labels of parameters, and how their values were given: choice, uniform, logUniform, integer."""
    search = spec.get("search")
    written = search.get("parameters") if isinstance(search, Mapping) else None
    for entry in written if isinstance(written, list) else []:
        if isinstance(entry, Mapping):
            kind = next((key for key in entry if key not in ("pass", "option")), "")
            yield f"{entry.get('pass')}.{entry.get('option')}", kind
