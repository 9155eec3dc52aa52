"""Observers of a search: plain lines for logs, nobody with --quiet. The live view is in `live_search.py`."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import IO

from millwright_api.evaluation import INPUT
from millwright_api.report import ConstraintReport, EvaluationReport, PassReport, Progress
from millwright_runner import figures
from millwright_runner.cli.trials import Board
from millwright_runner.cli.watch import (
    LEAST_SECONDS,
    LEAST_SHARE,
    MOST_SECONDS,
    Lines,
    Watch,
    count,
    eta,
    loss,
    share_of,
)
from millwright_runner.plan import Plan
from millwright_runner.searching import SearchOutline
from millwright_runner.steps import Observer
from millwright_runner.words import plural
from millwright_search.trials import Outcome, Over, Segment, Trial


class SearchWatch(Watch):
    """Keeps what it is told of a search; shows nothing: the observer for --quiet, and the base of the others."""

    board: Board | None = None

    def searching(self, outline: SearchOutline) -> None:
        """Told once, before anything runs."""
        self.board = Board(outline)

    def asked(self, trial: Trial) -> None:
        """Told of each trial before it runs."""
        self.known.trials[trial.number] = trial

    def segment(self, trial: Trial, segment: Segment) -> Observer:
        """Told that passes of a trial begin."""
        return Watch()

    def segment_ended(self, trial: Trial, segment: Segment) -> None:
        """Told that they have ended."""

    def ended(self, trial: Trial, outcome: Outcome) -> None:
        """Told of each trial that has ended."""
        self.known.end(trial.number, outcome)

    def over(self, over: Over) -> None:
        """Told when no trial comes any more."""
        self.known.end_all(over)

    @property
    def known(self) -> Board:
        """What is known of the search, which has begun."""
        assert self.board is not None  # it is told of first
        return self.board


class SearchLines(Lines, SearchWatch):
    """A line for each trial that begins or ends; of a pass that takes long, how far it is.

    Args:
        out: where to.
        clock: seconds, monotonic.
    """

    def __init__(self, out: IO[str], clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(out, clock)
        self._begun: set[int] = set()
        self._warned: set[str] = set()

    def searching(self, outline: SearchOutline) -> None:
        """Says what is searched."""
        super().searching(outline)
        search, plan = outline.search, outline.plan
        over = ", ".join(parameter.label for parameter in search.parameters)
        points = "" if outline.points is None else f" of {plural(outline.points, 'point')}"
        self._say(
            f"{plan.job.metadata.name}: {self.known.algorithm} search over {over}: "
            f"{plural(outline.trials, 'trial')}{points}; output {plan.output.uri}"
        )

    def segment(self, trial: Trial, segment: Segment) -> Observer:
        """Says what the trial is made with, once."""
        name = self.known.name(trial.number)
        if trial.number not in self._begun:
            self._begun.add(trial.number)
            self._say(f"{name}: {self.known.parameters(trial.number)}")
        return _Told(self, name, self._clock)

    def ended(self, trial: Trial, outcome: Outcome) -> None:
        """Says how it ended, and which is the best so far."""
        super().ended(trial, outcome)
        board, best = self.known, self.known.best
        stands = ""
        if best is not None:
            stands = (
                "the best so far"
                if best == trial.number
                else f"best is trial {best}: {board.scores(board.outcomes[best])}"
            )
        self._say(f"{board.name(trial.number)}: {'; '.join(filter(None, (board.ending(trial.number), stands)))}")

    def over(self, over: Over) -> None:
        """Says why."""
        super().over(over)
        self._say(f"search over: {over.message}")

    def of_trial(self, name: str, line: str) -> None:
        """Says something of a trial."""
        self._say(f"{name}: {line}")

    def warn(self, line: str) -> None:
        """Says a warning, once for all trials."""
        if line not in self._warned:
            self._warned.add(line)
            self._say(f"warning: {line}")

    def of_input(self, report: EvaluationReport) -> None:
        """Says what was measured of the model that all trials start from, once."""
        if INPUT not in self._warned:
            self._warned.add(INPUT)
            self._say(f"measured of the input: {figures.line(report)}")


class _Told:
    """Watches a segment for `SearchLines`.

    Args:
        lines: whose.
        name: of its trial.
        clock: seconds, monotonic.
    """

    def __init__(self, lines: SearchLines, name: str, clock: Callable[[], float]) -> None:
        self._lines, self._name, self._clock = lines, name, clock
        self._phase, self._share, self._last = ("", ""), 0.0, clock()

    def planned(self, plan: Plan) -> None:
        """Is known."""

    def progress(self, progress: Progress) -> None:
        """Says from time to time how far a phase is; nothing of one that is over soon."""
        now, phase, share = self._clock(), (progress.step_name, progress.message), share_of(progress)
        if phase != self._phase:
            self._phase, self._share = phase, 0.0
        waited = now - self._last
        if waited >= MOST_SECONDS or (waited >= LEAST_SECONDS and share - self._share >= LEAST_SHARE):
            self._last, self._share = now, share
            words = (count(progress), "" if progress.loss is None else loss(progress.loss), eta(progress))
            tail = ", ".join(word for word in words if word)
            self._lines.of_trial(self._name, f"{progress.step_name}: {progress.message} {tail}".rstrip())

    def finished(self, report: PassReport) -> None:
        """How the trial ended is said of it."""

    def measured(self, report: EvaluationReport) -> None:
        """Says the figures of the input, and warnings."""
        if report.after == INPUT:
            self._lines.of_input(report)
        for warning in figures.warnings([report]):
            self._lines.warn(warning)

    def judged(self, reports: list[ConstraintReport]) -> None:
        """How the trial ended tells it."""
