"""Charts of the report page: inline SVG by pygal, in the page's own colours, without script or style of their own.

pygal writes a script and a style sheet into each chart; both are taken out again: the page's policy allows no script, and its
style sheet knows pygal's classes. What pygal's script would show beside the pointer becomes <title>, which browsers show.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from millwright_runner.page.front import Candidate

WIDTH, HEIGHT = 560, 300
"""Of the drawing, in its own units: the page gives it the width that there is."""

LETTERS = 13
"""Their height, likewise; room is left for them."""

MOST_POINTS = 300
"""Of one curve: what a screen shows of more is a bar of ink."""

Format = Callable[[float], str]


@dataclass(frozen=True)
class Dot:
    """A point: where it is, what is said of it, and what is written beside it."""

    x: float
    y: float
    said: str
    label: str = ""


@dataclass(frozen=True)
class Dots:
    """Points of one colour.

    Attributes:
        legend: what they are.
        points: in the order that a line goes through them.
        line: whether one does.
        marked: whether each is drawn by itself.
        colour: which of the page's, from 0.
    """

    legend: str
    points: Sequence[Dot]
    colour: int = 0
    line: bool = False
    marked: bool = True


@dataclass(frozen=True)
class Across:
    """What the axis across shows.

    Attributes:
        title: what it is, with the unit.
        say: writes a value.
        names: of values 0, 1, …, where it counts names and no numbers.
        log: whether equal lengths are equal ratios; values are above 0 then.
    """

    title: str
    say: Format
    names: Sequence[str] = ()
    log: bool = False


def steps_chart(
    name: str, about: str, ends: Sequence[tuple[str, float, float | None, float | None]], *, say: Format
) -> str:
    """Returns a metric over the job's models, with 95 % intervals.

    Args:
        name: tells the chart from others on the page.
        about: says it in words, for who cannot see it.
        ends: model, value, and the interval's ends.
        say: writes a value.
    """
    import pygal

    top = max(high if high is not None else value for _, value, _, high in ends)
    low = min(low if low is not None else value for _, value, low, _ in ends)
    chart = _chart(pygal.Line, value_formatter=say, range=_range(low, top), show_legend=False)
    chart.x_labels = [model for model, *_ in ends]
    chart.add(name, [_with_interval(value, low, high) for _, value, low, high in ends])
    return _svg(chart, name, about)


def curves_chart(name: str, about: str, curves: Mapping[str, Sequence[tuple[float, float]]], *, say: Format) -> str:
    """Returns curves over optimizer steps.

    Args:
        name, about, say: as for `steps_chart`.
        curves: legend → points (optimizer step, value).
    """
    import pygal

    chart = _chart(
        pygal.XY,
        x_title="optimizer step",
        value_formatter=say,
        x_value_formatter=lambda step: f"{step:,.0f}",
        show_legend=len(curves) > 1,
        dots_size=2,
    )
    for legend, points in curves.items():
        chart.add(legend, thinned(points), show_dots=len(points) <= 40)
    return _svg(chart, name, about)


def scatter_chart(
    name: str,
    about: str,
    candidates: Sequence[Candidate],
    best: Sequence[Candidate],
    *,
    title: str,
    say: tuple[Format, Format],
) -> str:
    """Returns candidates by cost (across) and quality (up), and their Pareto front as a line.

    Args:
        name, about: as for `steps_chart`.
        candidates: all of them.
        best: the front, by rising cost.
        title: of the axis of costs, with the unit.
        say: write a cost, a quality.
    """
    import pygal

    costs, qualities = [c.cost for c in candidates], [c.quality for c in candidates]
    left, right = _range(min(costs), max(costs))
    chart = _chart(
        pygal.XY,
        x_title=title,
        x_value_formatter=say[0],
        value_formatter=say[1],
        xrange=(left, right + (right - left) * 0.25),  # names stand to the right of their points
        range=_range(min(qualities), max(qualities)),
        print_labels=True,
        dots_size=5,
    )
    others = [one for one in candidates if one not in best]
    chart.add("Pareto front", [_labelled(one) for one in best])
    if others:
        chart.add("others", [_labelled(one) for one in others], stroke=False)
    return _svg(chart, name, about)


def dots_chart(name: str, about: str, series: Sequence[Dots], *, across: Across, say: Format) -> str:
    """Returns points, and lines through some of them.

    Args:
        name, about: as for `steps_chart`.
        series: at least one point in all; those without any are left out.
        across: the axis of x.
        say: writes a y.
    """
    import pygal

    series = [one for one in series if one.points]
    place = math.log10 if across.log else float
    xs, ys = [place(dot.x) for one in series for dot in one.points], [dot.y for one in series for dot in one.points]
    left, right = (-0.5, len(across.names) - 0.5) if across.names else _range(min(xs), max(xs), zero=False)
    chart = _chart(
        pygal.XY,
        x_title=across.title,
        value_formatter=say,
        x_value_formatter=lambda x: _named(x, across),
        xrange=(left, right),
        range=_range(min(ys), max(ys), zero=False),
        print_labels=True,
        dots_size=4,
        show_legend=len(series) > 1,
        legend_at_bottom_columns=len(series),
        margin_bottom=6 + LETTERS,  # pygal leaves no room below the only row of a legend
    )
    ticks = list(range(len(across.names))) if across.names else _decades(left, right) if across.log else []
    if ticks:
        chart.x_labels = ticks
    for one in series:
        points = [
            {"value": (place(dot.x), dot.y), "formatter": lambda _, said=dot.said: said, "label": dot.label}
            for dot in one.points
        ]
        chart.add(one.legend, points, stroke=one.line, show_dots=one.marked)
    return _svg(chart, name, about, [one.colour for one in series])


def _named(x: float, across: Across) -> str:
    if across.names:
        return across.names[round(x)] if 0 <= round(x) < len(across.names) else ""
    return across.say(10**x if across.log else x)


def _decades(low: float, high: float) -> list[float]:
    """Returns logarithms to write at an axis: powers of ten, and between them where there are few of them."""
    steps = (1,) if high - low > 3 else (1, 3) if high - low > 1 else (1, 2, 3, 5, 7)
    found = [d + math.log10(step) for d in range(math.floor(low), math.ceil(high) + 1) for step in steps]
    return [tick for tick in found if low <= tick <= high]


def thinned(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Returns at most MOST_POINTS of a curve, evenly spread, with the first and the last."""
    if len(points) <= MOST_POINTS:
        return list(points)
    last = len(points) - 1
    return [points[round(index * last / (MOST_POINTS - 1))] for index in range(MOST_POINTS)]


def _chart(kind: Any, **options: Any) -> Any:
    from pygal.style import Style

    return kind(
        width=WIDTH,
        height=HEIGHT,
        margin=6,
        margin_right=28,
        style=Style(
            label_font_size=LETTERS, major_label_font_size=LETTERS, legend_font_size=LETTERS, title_font_size=LETTERS
        ),
        js=[],
        css=[],
        disable_xml_declaration=True,
        truncate_label=18,
        truncate_legend=-1,
        legend_at_bottom=True,
        max_scale=6,
        include_x_axis=False,
        **options,
    )


def _with_interval(value: float, low: float | None, high: float | None) -> dict[str, Any]:
    ends = {} if low is None or high is None else {"ci": {"low": low, "high": high}}
    return {"value": value, **ends}


def _labelled(one: Candidate) -> dict[str, Any]:
    return {"value": (one.cost, one.quality), "label": one.name if len(one.name) < 18 else f"{one.name[:16]}…"}


def _range(low: float, high: float, *, zero: bool = True) -> tuple[float, float]:
    """Returns the ends of an axis: from 0 where that is near and means something, and never of no length."""
    room = (high - low) * 0.08 or abs(high) * 0.1 or 1.0
    start = 0.0 if zero and 0 <= low <= (high - low) * 1.5 else low - room
    return start, high + room


def _svg(chart: Any, name: str, about: str, colours: Sequence[int] = ()) -> str:
    chart.uuid = name  # else a random one: the same report gives the same page
    chart.add_xml_filter(lambda root: _bare(root, name, about))
    if colours:
        chart.add_xml_filter(lambda root: _coloured(root, colours))
    return str(chart.render(is_unicode=True))


def _bare(root: Any, name: str, about: str) -> Any:
    """Takes out scripts, styles and comments; puts in what it shows, in words."""
    for parent in list(root.iter()):
        for child in list(parent):
            child.attrib.pop("id", None)  # the same in each chart
            if not isinstance(child.tag, str) or child.tag in {"script", "style"} or _is_tooltip(child):
                parent.remove(child)
            elif child.tag == "desc":
                if child.get("class") == "value":
                    child.tag = "title"
                    child.attrib.clear()
                else:
                    parent.remove(child)
    root.set("role", "img")
    root.set("aria-label", about)
    root.attrib.pop("width", None)
    title = root.find("title")
    if title is not None:
        title.text = about
    return root


def _coloured(root: Any, colours: Sequence[int]) -> Any:
    """Gives each series the colour that it has in other charts too; pygal counts them."""
    for element in root.iter():
        kind = element.get("class", "")
        if "color-" in kind:
            element.set("class", re.sub(r"color-(\d+)", lambda found: f"color-{colours[int(found[1])]}", kind))
    return root


def _is_tooltip(element: Any) -> bool:
    return "tooltip-overlay" in element.get("class", "")
