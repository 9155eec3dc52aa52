"""Charts of the report page: inline SVG by pygal, in the page's own colours, without script or style of their own.

pygal writes a script and a style sheet into each chart; both are taken out again: the page's policy allows no script, and its
style sheet knows pygal's classes. What pygal's script would show beside the pointer becomes <title>, which browsers show.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from millwright_runner.page.front import Candidate

WIDTH, HEIGHT = 560, 300
"""Of the drawing, in its own units: the page gives it the width that there is."""

LETTERS = 13
"""Their height, likewise; room is left for them."""

MOST_POINTS = 300
"""Of one curve: what a screen shows of more is a bar of ink."""

Format = Callable[[float], str]


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


def _range(low: float, high: float) -> tuple[float, float]:
    """Returns the ends of an axis: from 0 where that is near, and never of no length."""
    room = (high - low) * 0.08 or abs(high) * 0.1 or 1.0
    start = 0.0 if 0 <= low <= (high - low) * 1.5 else low - room
    return start, high + room


def _svg(chart: Any, name: str, about: str) -> str:
    chart.uuid = name  # else a random one: the same report gives the same page
    chart.add_xml_filter(lambda root: _bare(root, name, about))
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


def _is_tooltip(element: Any) -> bool:
    return "tooltip-overlay" in element.get("class", "")
