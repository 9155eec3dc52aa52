"""Observers of a job on Azure ML: its state there, and how far the runner in it is. Lines for logs, a live view, nobody."""

from __future__ import annotations

import time
from collections.abc import Callable

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.text import Text

from millwright_api.report import Progress, Remote
from millwright_api.v1alpha1 import OptimizationJob
from millwright_runner.cli.live import LiveView
from millwright_runner.cli.watch import Lines, Watch
from millwright_runner.words import plural

SERVICE = "Azure ML: "
"""What a message begins with that is the service's, or about it, and not the runner's."""


class RemoteWatch(Watch):
    """Keeps the latest state; shows nothing: the observer for --quiet, and the base of the others.

    Attributes:
        remote: the job there, as last heard of; None before it was submitted.
    """

    remote: Remote | None = None

    def about(self, job: OptimizationJob) -> None:
        """Told once, before anything is submitted."""

    def progress(self, progress: Progress) -> None:
        """Told often, from the thread that follows."""
        if progress.remote is not None:
            self.remote = progress.remote


class RemoteLines(Lines, RemoteWatch):
    """One line for each thing that happens.

    Args:
        out: where to.
        clock: seconds, monotonic.
    """

    def about(self, job: OptimizationJob) -> None:
        """Says what runs."""
        self._steps = [step.name for step in job.spec.passes]
        self._say(f"{job.metadata.name}: {plural(len(self._steps), 'step')} on Azure ML")

    def progress(self, progress: Progress) -> None:
        """Says the job's name once, each new state of it, and what the runner says."""
        before = self.remote
        RemoteWatch.progress(self, progress)
        now = self.remote
        if now is not None and (before is None or before.name != now.name):
            self._say(f"job {now.name}{f': {now.url}' if now.url else ''}")
        if now is not None and (before is None or (before.name, before.state) != (now.name, now.state)):
            self._say(waiting(now))
        if progress.message.startswith(SERVICE):
            if progress.message not in (self._phase[1], now and waiting(now)):
                self._phase = (progress.step_name, progress.message)
                self._say(progress.message)
        else:
            super().progress(progress)


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


def waiting(remote: Remote) -> str:
    """Returns what progress says while the runner in the job says nothing yet: `Azure ML: Queued`."""
    return f"{SERVICE}{remote.state}"
