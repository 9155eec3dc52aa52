"""The live view of a job on Azure ML: a line for each step, its state there in the title, below it where people look at it."""

from __future__ import annotations

import time
from collections.abc import Callable

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.text import Text

from millwright_api.report import Progress
from millwright_api.v1alpha1 import OptimizationJob
from millwright_runner.cli.live import LiveView
from millwright_runner.cli.remote_views import RemoteWatch, waiting
from millwright_runner.cli.watch import SERVICE


class RemoteView(LiveView, RemoteWatch):
    """Redraws itself four times a second, in place.

    Args:
        console: a terminal.
        clock: seconds, monotonic.
    """

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(console, clock)
        self._reached = -1

    def about(self, job: OptimizationJob) -> None:
        """Shows all steps."""
        self._name, self._steps = job.metadata.name, [(step.name, False) for step in job.spec.passes]

    def progress(self, progress: Progress) -> None:
        """Is drawn at the next refresh."""
        RemoteWatch.progress(self, progress)
        LiveView.progress(self, progress)
        if not progress.message.startswith(SERVICE):
            self._reached = max(self._reached, progress.step_index)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield from super().__rich_console__(console, options)
        if self.remote is not None and self.remote.url:
            line = Text(self.remote.url, "dim")
            line.no_wrap, line.overflow = True, "ellipsis"
            yield line

    def _row(self, index: int, name: str, hit: bool, width: int) -> tuple[RenderableType, ...]:
        if index < self._reached:  # how long each took is in the report, at the end
            return Text("✓", "green"), name, "", Text("done")
        return super()._row(index, name, hit, width)

    def _title(self, *parts: str) -> Text:
        state = [] if self.remote is None else [waiting(self.remote)]
        return super()._title(*state, *parts)
