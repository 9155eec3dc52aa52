"""What was measured, as a table: a row for each metric, a column for each model, and what became of the constraints."""

from __future__ import annotations

import io
from collections.abc import Sequence

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from millwright_runner.figures import Constraint, Measurement, Metric, figure, interval, warnings

UNLIMITED = 100_000
"""Columns of a text that no screen breaks."""


def table(results: Sequence[Measurement], constraints: Sequence[Constraint] = ()) -> Group:
    """Returns a row for each metric, a column for each model, and below it what became of each constraint, and
    warnings."""
    grid = Table(box=None, padding=(0, 3, 0, 0), pad_edge=False, header_style="bold")
    grid.add_column("metric", no_wrap=True)
    for result in results:
        grid.add_column(result.after)
    names = dict.fromkeys(metric.name for result in results for metric in result.metrics)
    counted = any(metric.n is not None for result in results for metric in result.metrics)
    if counted:
        grid.add_column("n", justify="right")
    for name in names:
        found = [next((m for m in result.metrics if m.name == name), None) for result in results]
        counts = [str(metric.n) for metric in found if metric is not None and metric.n is not None]
        cells = ["" if metric is None else _cell(metric) for metric in found]
        grid.add_row(name, *cells, *([counts[-1] if counts else ""] if counted else []))
    marks = [
        Text.assemble(("met      ", "green") if entry.met else ("NOT met  ", "bold red"), entry.message)
        for entry in constraints
    ]
    marks += [Text.assemble(("warning  ", "yellow"), line) for line in warnings(results)]
    return Group(*([grid] if names else []), *([Text("")] if names and marks else []), *marks)


def text(results: Sequence[Measurement], constraints: Sequence[Constraint], console: Console | None = None) -> str:
    """Returns the table as text; empty where nothing was measured.

    Args:
        results: in the recipe's order.
        constraints: in the manifest's order.
        console: a terminal that it is for: with its width and colours; None: rows are as long as they are.
    """
    return lines(table(results, constraints), console)


def lines(drawn: RenderableType, console: Console | None = None) -> str:
    """Returns anything that rich draws as text.

    Args:
        drawn: a table, a group of them.
        console: as for `text`.
    """
    to_terminal = console is not None and console.is_terminal
    page = console if console is not None and to_terminal else Console(file=io.StringIO(), width=UNLIMITED)
    with page.capture() as said:
        page.print(drawn, crop=False)
    return "\n".join(row.rstrip() for row in said.get().splitlines()).strip("\n")


def _cell(metric: Metric) -> str:
    ends = interval(metric)
    return f"{figure(metric)} ({ends})" if ends else figure(metric)
