"""A report as the page shows it: what stands where, in words and figures. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from millwright_api.evaluation import INPUT
from millwright_api.report import MetricReport, PassReport
from millwright_runner import figures
from millwright_runner.artifact import HF_ADAPTER
from millwright_runner.beside.snippets import SNIPPETS, snippet
from millwright_runner.page import charts
from millwright_runner.page.document import Document
from millwright_runner.page.front import Candidate, front
from millwright_runner.words import plural, size

QUALITY, COST = ("share", "perplexity"), ("ms", "bytes", "s")
"""Units of what a model gives, and of what it takes."""

MORE_IS_BETTER = ("share", "tokens/s")
"""Units; asked where a report of an older release does not say which way is better."""


@dataclass(frozen=True)
class Verdict:
    """How a run ended: good, warn or bad; a headline, and what there is to add."""

    kind: str
    headline: str
    text: str


@dataclass(frozen=True)
class Cell:
    """A figure of the table.

    Attributes:
        value: with its unit; empty where nothing was measured.
        interval: its 95 % interval.
        change: good, bad or empty: how it stands against the first column.
        against: by how much.
    """

    value: str = ""
    interval: str = ""
    change: str = ""
    against: str = ""


@dataclass(frozen=True)
class Row:
    """A metric of the table; `better` says which way is."""

    name: str
    better: str
    cells: list[Cell]
    n: str


@dataclass(frozen=True)
class Step:
    """A step that ran, with its options."""

    report: PassReport
    options: list[tuple[str, str]]
    figures: list[tuple[str, str]]


def verdict(document: Document) -> Verdict:
    """Returns how the run ended."""
    broken = [one for one in document.constraints if not one.met]
    if document.reason == "ConstraintsNotMet":
        return Verdict("bad", f"Not published: {plural(len(broken), 'constraint')} not met", document.message)
    if document.outcome == "Failed":
        return Verdict("bad", f"Failed: {document.reason}", document.message)
    if document.outcome == "Stopped":
        return Verdict("warn", "Stopped; run it again and it goes on", document.message)
    if document.artifact is None:
        return Verdict("good", "This stage is done; a later one publishes", "")
    if broken:
        verb = "is" if len(broken) == 1 else "are"
        return Verdict("warn", f"Published, although {plural(len(broken), 'constraint')} {verb} not met", "")
    return Verdict("good", "Published", "")


def higher(document: Document, metric: MetricReport) -> bool | None:
    """Returns whether more is better; None where that is not known."""
    note = document.metrics.get(metric.name)
    if note is not None and note.higher_is_better is not None:
        return note.higher_is_better
    return metric.unit in MORE_IS_BETTER if metric.unit in (*QUALITY, *COST, *MORE_IS_BETTER) else None


def by_name(document: Document) -> dict[str, list[MetricReport | None]]:
    """Returns each metric with what it found of each model that was measured, in their order."""
    names = dict.fromkeys(metric.name for one in document.evaluation for metric in one.metrics)
    found = [{metric.name: metric for metric in one.metrics} for one in document.evaluation]
    return {name: [one.get(name) for one in found] for name in names}


def table(document: Document) -> list[Row]:
    """Returns a row for each metric, a cell for each model."""
    rows = []
    for name, found in by_name(document).items():
        there = [one for one in found if one is not None]
        up = higher(document, there[0])
        counts = list(dict.fromkeys(str(one.n) for one in there if one.n is not None))
        better = "" if up is None else "more is better" if up else "less is better"
        first = found[0] if document.evaluation[0].after == INPUT else None
        rows.append(Row(name, better, [_cell(one, first, up) for one in found], " / ".join(counts)))
    return rows


def _cell(metric: MetricReport | None, first: MetricReport | None, up: bool | None) -> Cell:
    if metric is None:
        return Cell()
    value, ends = figures.figure(metric), figures.interval(metric)
    if first is None or first is metric or up is None or not first.value or metric.value is None:
        return Cell(value, ends)
    if metric.value == first.value:
        return Cell(value, ends, "", "as the input")
    change = "" if _touch(metric, first) else "good" if (metric.value > first.value) == up else "bad"
    if metric.unit == "share":
        return Cell(value, ends, change, f"{(metric.value - first.value) * 100:+.1f} points")
    return Cell(value, ends, change, f"{(metric.value / first.value - 1) * 100:+.0f} %")


def _touch(one: MetricReport, other: MetricReport) -> bool:
    """Whether their intervals do; figures without one are no estimates."""
    if one.low is None or one.high is None or other.low is None or other.high is None:
        return False
    return one.low <= other.high and other.low <= one.high


def metric_charts(document: Document) -> Iterator[tuple[str, str]]:
    """Yields a title and a chart for each metric that was measured of two models or more."""
    for index, (name, found) in enumerate(by_name(document).items()):
        ends = [
            (one.after, metric.value, metric.low, metric.high)
            for one, metric in zip(document.evaluation, found, strict=True)
            if metric is not None and metric.value is not None and math.isfinite(metric.value)
        ]
        if len(ends) < 2:
            continue
        unit = next(metric.unit for metric in found if metric is not None)
        said = "; ".join(f"{model} {say(unit)(value)}" for model, value, _, _ in ends)
        title = f"{name} ({unit})" if unit and unit != name else name
        yield title, charts.steps_chart(f"metric-{index}", f"{name}: {said}", ends, say=say(unit))


def training_charts(document: Document) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """Yields each step that trained, with its curves: losses, learning rate; each a title and a chart."""
    for index, (step, history) in enumerate(document.history.items()):
        losses = {
            legend: points
            for legend, key in (("training loss", "loss"), ("evaluation loss", "eval_loss"))
            if len(points := _points(history, key)) > 1
        }
        rates = _points(history, "learning_rate")
        drawn = []
        if losses:
            said = "; ".join(f"{name} from {p[0][1]:.4g} to {p[-1][1]:.4g}" for name, p in losses.items())
            chart = charts.curves_chart(f"loss-{index}", f"{step}: {said}", losses, say="{:.3g}".format)
            drawn.append((" and ".join(losses), chart))
        if len(rates) > 1:
            about = f"{step}: learning rate from {rates[0][1]:.3g} to {rates[-1][1]:.3g}"
            chart = charts.curves_chart(f"rate-{index}", about, {"learning rate": rates}, say="{:.1e}".format)
            drawn.append(("learning rate", chart))
        if drawn:
            yield step, drawn


def _points(history: Sequence[Mapping[str, float | None]], key: str) -> list[tuple[float, float]]:
    found = [(entry.get("step"), entry.get(key)) for entry in history]
    return [(step, value) for step, value in found if step is not None and value is not None and math.isfinite(value)]


def scatters(document: Document) -> Iterator[tuple[str, str]]:
    """Yields quality against each cost, as a title and a chart, where two models or more have both.

    An adapter is no candidate: it cannot be used without the model that it sits on.
    """
    rows = by_name(document)
    models = [(one.after, document.formats.get(one.after)) for one in document.evaluation]
    units = {name: next(one.unit for one in found if one is not None) for name, found in rows.items()}
    quality = next((name for name, unit in units.items() if unit in QUALITY), None)
    for index, cost in enumerate(name for name, unit in units.items() if unit in COST):
        if quality is None:
            return
        candidates = [
            Candidate(model, x.value, y.value)
            for (model, format_), x, y in zip(models, rows[cost], rows[quality], strict=True)
            if format_ != HF_ADAPTER and x is not None and y is not None
            if x.value is not None and y.value is not None and math.isfinite(x.value + y.value)
        ]
        if len({(one.cost, one.quality) for one in candidates}) < 2:
            continue
        first = next(one for one in rows[quality] if one is not None)
        best = front(candidates, higher=higher(document, first) is not False)
        about = f"{quality} against {cost}; not beaten by any other: {', '.join(one.name for one in best)}"
        chart = charts.scatter_chart(
            f"front-{index}", about, candidates, best, title=f"{cost} ({units[cost]})",
            say=(say(units[cost]), say(units[quality])),
        )  # fmt: skip
        yield f"{quality} against {cost}", chart


def steps(document: Document) -> list[Step]:
    """Returns the steps that ended, with the options that the manifest gives them."""
    written = document.spec.get("passes") if document.recipe is None else document.recipe
    by_step = {}
    for entry in written if isinstance(written, list) else []:
        if isinstance(entry, Mapping):
            kind = next((key for key in entry if key not in ("name", "resources")), "")
            options = entry.get(kind)
            if kind == "custom" and isinstance(options, Mapping):  # a plug-in's
                kind, options = str(options.get("pass", "")), options.get("options")
            by_step[entry.get("name") or kind] = list(_flat(options))
    return [
        Step(one, by_step.get(one.name, []), [(name, f"{value:.4g}") for name, value in one.metrics.items()])
        for one in document.passes
    ]


def _flat(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Yields options as a person names them: training.maxSteps → 100."""
    if isinstance(value, Mapping) and value:
        for key, inner in value.items():
            yield from _flat(inner, f"{path}.{key}" if path else str(key))
    elif path:
        yield path, ", ".join(map(str, value)) if isinstance(value, list) else "" if value is None else str(value)


def snippet_of(document: Document) -> str:
    """Returns the Python that tries the published model, or nothing."""
    made = document.artifact
    if made is None or made.format not in SNIPPETS:
        return ""
    model = document.spec.get("model")
    source = next(iter(model.values()), "base") if isinstance(model, Mapping) else "base"
    base = source.get("repo") or source.get("uri") or "base" if isinstance(source, Mapping) else source
    return snippet(made.format, folder="model" if "://" in made.uri else made.uri.rstrip("/"), base=str(base))


def say(unit: str) -> charts.Format:
    """Returns what writes values of a unit."""
    return size if unit == "bytes" else lambda value: f"{value:.4g}"


def source(document: Document) -> list[tuple[str, str]]:
    """Returns what the job started from, and its data sets: what, and where it lies."""
    data = document.spec.get("data")
    entries = [("model", document.spec.get("model"))]
    entries += [
        (f"data {entry.get('name', '')}".rstrip(), entry.get("source"))
        for entry in (data if isinstance(data, list) else [])
        if isinstance(entry, Mapping)
    ]
    return [(name, ", ".join(value for _, value in _flat(place))) for name, place in entries if place]
