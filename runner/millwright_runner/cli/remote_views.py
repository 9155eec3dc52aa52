"""Observers of a job on Azure ML: its state there, and how far the runner in it is. The live view is in `live_remote.py`."""

from __future__ import annotations

from millwright_api.report import Progress, Remote
from millwright_api.v1alpha1 import OptimizationJob
from millwright_runner.cli.watch import SERVICE, Lines, Watch
from millwright_runner.words import plural


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


def waiting(remote: Remote) -> str:
    """Returns what progress says while the runner in the job says nothing yet: `Azure ML: Queued`."""
    return f"{SERVICE}{remote.state}"
