"""What `millwright run` does: a job once, or a search's trials."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol

from rich.console import Console

from millwright_api.report import RunReport
from millwright_api.v1alpha1 import OptimizationJob
from millwright_runner.cli.watch import Lines, Watch
from millwright_runner.passes import StopFlag
from millwright_runner.plan import Plan, Settings, make_plan

if TYPE_CHECKING:
    from millwright_runner.cli.searching import SearchWatch
    from millwright_runner.cli.trials import Board

How = Literal["live", "lines", "not"]
"""How a run is watched."""


class Work(Protocol):
    """What a command does, once somebody watches."""

    @property
    def plan(self) -> Plan:
        """What failures and the closing text speak of; there once it is prepared."""

    @property
    def board(self) -> Board | None:
        """Of a search that is watched."""

    def prepare(self) -> list[str]:
        """Looks at everything first; returns what a person should know."""

    def watch(self, console: Console, how: How) -> Watch:
        """Returns who watches it."""

    def do(self, stop: StopFlag) -> RunReport:
        """Does it."""


class Once:
    """A job without a search.

    Args:
        job: the manifest.
        chosen: where.
    """

    plan: Plan
    board: Board | None = None

    def __init__(self, job: OptimizationJob, chosen: Settings) -> None:
        self._job, self._settings = job, chosen

    def prepare(self) -> list[str]:
        """Satisfies `Work`."""
        self.plan = make_plan(self._job, self._settings)
        return []

    def watch(self, console: Console, how: How) -> Watch:
        """Satisfies `Work`."""
        if how == "live":
            from millwright_runner.cli.live import LiveView

            self._watch: Watch = LiveView(console)
        else:
            self._watch = Lines(console.file) if how == "lines" else Watch()
        return self._watch

    def do(self, stop: StopFlag) -> RunReport:
        """Satisfies `Work`."""
        from millwright_runner import pipeline

        return pipeline.run(self.plan, self._settings, self._watch, stop)


class Searched:
    """A job with a search.

    Args:
        job: the manifest.
        chosen: where.
        parallel: how many processes do its trials; None: this one.
    """

    plan: Plan

    def __init__(self, job: OptimizationJob, chosen: Settings, parallel: int | None) -> None:
        self._job, self._settings, self._parallel = job, chosen, parallel

    @property
    def board(self) -> Board | None:
        """Satisfies `Work`."""
        return self._watch.board

    def prepare(self) -> list[str]:
        """Satisfies `Work`."""
        from millwright_runner import searching

        self._prepared = searching.prepare(self._job, self._settings)
        self.plan = self._prepared.outline.plan
        return [*self._prepared.plan.notes, *searching.notes(self._prepared, self._parallel)]

    def watch(self, console: Console, how: How) -> Watch:
        """Satisfies `Work`."""
        from millwright_runner.cli.searching import SearchLines, SearchWatch

        if how == "live":
            from millwright_runner.cli.live_search import SearchView

            self._watch: SearchWatch = SearchView(console)
        else:
            self._watch = SearchLines(console.file) if how == "lines" else SearchWatch()
        return self._watch

    def do(self, stop: StopFlag) -> RunReport:
        """Satisfies `Work`."""
        from millwright_runner import searching

        return searching.run(self._prepared, self._watch, stop, parallel=self._parallel)
