"""The live view of a search on a terminal: a line for each trial, with its figures or how far it is, the best marked."""

from __future__ import annotations

import time
from collections.abc import Callable

from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from millwright_api.report import ConstraintReport, EvaluationReport, PassReport, Progress
from millwright_runner.cli.live import LiveView
from millwright_runner.cli.searching import SearchWatch
from millwright_runner.cli.watch import count, eta, loss
from millwright_runner.plan import Plan
from millwright_runner.steps import Observer
from millwright_runner.words import duration
from millwright_search.trials import Segment, Trial

AROUND = 8
"""Lines of the screen that are not trials: title, headings, the run at the end, the prompt."""
LEAST = 6
"""Trials that are shown on a screen however low."""


class SearchView(LiveView, SearchWatch):
    """Redraws itself four times a second, in place; at the end also the run that publishes the best.

    Args:
        console: a terminal.
        clock: seconds, monotonic.
    """

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(console, clock)
        self._runs: dict[int, _Now] = {}

    def segment(self, trial: Trial, segment: Segment) -> Observer:
        """Is drawn at the next refresh."""
        self._runs[trial.number] = _Now()
        return self._runs[trial.number]

    def segment_ended(self, trial: Trial, segment: Segment) -> None:
        """Is drawn at the next refresh."""
        self._runs.pop(trial.number, None)

    def __exit__(self, *exc: object) -> None:
        self._runs.clear()
        super().__exit__(*exc)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if self.board is None:
            return
        yield self._headline()
        if not self._told_below:  # the closing text has the table too
            yield from self._trials(max(LEAST, options.max_height - AROUND))
        if self._steps:
            yield from super().__rich_console__(console, options)
        elif self._note:
            yield Text(self._note, "yellow")

    def _headline(self) -> Text:
        board, best = self.known, self.known.best
        parts = [f"{len(board.outcomes)}/{board.outline.trials} trials", duration(self._clock() - self._began)]
        if best is not None:
            parts.append(f"best is trial {best}: {board.scores(board.outcomes[best])}")
        title = Text.assemble(
            (board.outline.plan.job.metadata.name, "bold"), f" · {board.algorithm} search · {' · '.join(parts)}"
        )
        title.no_wrap, title.overflow = True, "ellipsis"
        return title

    def _trials(self, room: int) -> RenderResult:
        board, table = self.known, self.known.grid()
        running = sorted(self._runs)
        ended = sorted(board.outcomes)
        shown = ended[-max(room - len(running), 1) :]
        if board.best is not None and board.best not in shown:
            shown = [board.best, *shown[1:]]
        for number in shown:
            table.add_row(*board.row(number))
        for number in running:
            objectives = [""] * len(board.search.objectives)
            said = Text(str(self._runs[number]))
            table.add_row(self._spinner, str(number), *board.cells(number), *objectives, said)
        if len(ended) > len(shown):
            yield Text(f"… {len(ended) - len(shown)} trials before", "dim")
        yield table


class _Now:
    """Watches a segment: how far it is."""

    def __init__(self) -> None:
        self._now: Progress | None = None

    def __str__(self) -> str:
        now = self._now
        if now is None:
            return ""
        last = "" if now.loss is None else loss(now.loss)
        return "  ".join(filter(None, (f"{now.step_name}: {now.message}", count(now), last, eta(now))))

    def planned(self, plan: Plan) -> None:
        """Is known."""

    def progress(self, progress: Progress) -> None:
        """Is drawn at the next refresh."""
        self._now = progress

    def finished(self, report: PassReport) -> None:
        """The next step tells of itself."""

    def measured(self, report: EvaluationReport) -> None:
        """The trial's end tells it."""

    def judged(self, reports: list[ConstraintReport]) -> None:
        """The trial's end tells it."""
