"""The live view of a run on a terminal: a line for each step, with bar, count, loss and time left."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Self

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from millwright_api.report import PassReport, Progress
from millwright_runner.cli import tables
from millwright_runner.cli.watch import Watch, count, ending, eta, loss, share_of
from millwright_runner.plan import Plan
from millwright_runner.words import duration, plural, sparkline

MARKS = {"Succeeded": ("✓", "green"), "Failed": ("✗", "red"), "Stopped": ("■", "yellow")}
WIDE = 100
"""Columns from which on there is room for the loss's curve."""


class LiveView(Watch):
    """Redraws itself four times a second, in place.

    Args:
        console: a terminal.
        clock: seconds, monotonic.
    """

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._console, self._clock, self._began = console, clock, clock()
        self._name, self._steps = "", list[tuple[str, bool]]()
        self._now: Progress | None = None
        self._losses: list[float] = []
        self._note = ""
        self._told_below = False
        self._spinner = Spinner("dots")
        self._live = Live(self, console=console, refresh_per_second=4, redirect_stdout=False, redirect_stderr=False)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._now, self._note = None, ""
        self._told_below = exc[:1] == (None,)
        self._live.stop()

    def planned(self, plan: Plan) -> None:
        """Shows all steps."""
        self._name = plan.job.metadata.name
        self._steps = [(step.step.name, step.hit) for step in plan.steps]

    def progress(self, progress: Progress) -> None:
        """Is drawn at the next refresh."""
        if self._now is None or self._now.step_name != progress.step_name:
            self._losses = []
        if progress.loss is not None and (not self._losses or self._losses[-1] != progress.loss):
            self._losses.append(progress.loss)
        self._now = progress

    def finished(self, report: PassReport) -> None:
        """Is drawn at the next refresh."""
        super().finished(report)
        self._now = None

    def stopping(self, message: str) -> None:
        """Is drawn at the next refresh."""
        self._note = message

    def abandon(self) -> None:
        """Gives the cursor back, past any lock."""
        os.write(self._console.file.fileno(), b"\x1b[?25h\n")

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if not self._steps:
            return
        table = Table.grid(padding=(0, 1), expand=False)
        for _ in range(4):
            table.add_column(no_wrap=True, overflow="ellipsis")
        for index, (name, hit) in enumerate(self._steps):
            table.add_row(*self._row(index, name, hit, options.max_width))
        yield self._title()
        yield table
        if self.told.evaluation and not self._told_below:  # the summary of a run that ended well has it too
            yield tables.table(self.told.evaluation, self.told.constraints)
        if self._note:
            yield Text(self._note, "yellow")

    def _row(self, index: int, name: str, hit: bool, width: int) -> tuple[RenderableType, ...]:
        """Returns a step's mark, name, bar and words."""
        done = next((report for report in self.told.passes if report.name == name), None)
        if done is not None:
            mark, style = MARKS.get(done.phase, ("·", "default"))
            return Text(mark, style), name, "", Text(ending(done))
        if self._now is not None and self._now.step_name == name:
            return self._spinner, Text(name, "bold"), *self._running(self._now, width)
        return Text("·", "dim"), Text(name, "dim"), "", Text("in the cache" if hit else "waiting", "dim")

    def _title(self, *parts: str) -> Text:
        words = [plural(len(self._steps), "step"), *parts, duration(self._clock() - self._began)]
        title = Text.assemble((self._name, "bold"), "".join(f" · {word}" for word in words))
        title.no_wrap, title.overflow = True, "ellipsis"
        return title

    def _running(self, now: Progress, width: int) -> tuple[ProgressBar | str, Text]:
        bar: ProgressBar | str = ""
        if now.total:
            bar = ProgressBar(total=1.0, completed=share_of(now), width=20 if width < WIDE else 32)
        curve = sparkline(self._losses) if width >= WIDE else ""
        last = loss(self._losses[-1]) if self._losses and now.total else ""
        return bar, Text("  ".join(word for word in (now.message, count(now), last, curve, eta(now)) if word))
