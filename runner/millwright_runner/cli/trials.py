"""A search's trials as people see them: names, parameters, figures, and a table."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from millwright_api.report import MetricReport
from millwright_api.search import Search
from millwright_runner import figures
from millwright_runner.cli.tables import lines
from millwright_search import space, verdict
from millwright_search.trials import Outcome, Over, Trial

if TYPE_CHECKING:
    from millwright_runner.searching import SearchOutline

TRIALS = "trials.jsonl"
"""Beside the model that a search has found: all trials, a line each."""

ROWS = 20
"""Trials in the closing table."""

COLUMNS = 4
"""Parameters that have columns of their own; more share one."""

MARKS = {
    "Succeeded": ("✓", "green"),
    "ConstraintsNotMet": ("✗", "yellow"),
    "Pruned": ("–", "dim"),
    "Failed": ("✗", "red"),
}
BEST, FRONT = ("★", "bold green"), ("◆", "green")


@dataclass
class Board:
    """What is known of a search that runs.

    Attributes:
        outline: what was known before.
        trials: all that were asked for, by number.
        outcomes: of those that ended, by number.
        over: the end; None before it.
        best: the best trial so far; None: none succeeded yet.
        front: the Pareto front so far, by number.
        seconds: that all trials together took, in the end.
    """

    outline: SearchOutline
    trials: dict[int, Trial] = field(default_factory=dict)
    outcomes: dict[int, Outcome] = field(default_factory=dict)
    over: Over | None = None
    best: int | None = None
    front: tuple[int, ...] = ()
    seconds: float = 0.0
    _began: float = field(default_factory=time.monotonic)

    @property
    def search(self) -> Search:
        """As the manifest has it."""
        return self.outline.search

    def end(self, number: int, outcome: Outcome) -> None:
        """Takes a trial's end."""
        self.outcomes[number] = outcome
        self.best = verdict.best(self.search, self.outcomes)
        alone = () if self.best is None else (self.best,)
        self.front = verdict.front(self.search, self.outcomes) if len(self.search.objectives) > 1 else alone

    def end_all(self, over: Over) -> None:
        """Takes the search's end."""
        self.over, self.seconds = over, time.monotonic() - self._began

    @property
    def algorithm(self) -> str:
        """How trials are chosen: grid, random, tpe."""
        chosen = self.search.algorithm
        return next(name for name in chosen.choices() if getattr(chosen, name) is not None)

    def name(self, number: int) -> str:
        """Returns `trial 3 (4/12)`."""
        return f"trial {number} ({number + 1}/{self.outline.trials})"

    def parameters(self, number: int) -> str:
        """Returns `finetune.learningRate=0.0001 genai.precision=int4`."""
        return inline(space.described(self.search, self.trials[number].at))

    def values(self, outcome: Outcome) -> list[str]:
        """Returns the objectives' values with their units, in order; empty texts where there is none."""
        units, values = self.outline.units(), outcome.values or (None,) * len(self.search.objectives)
        return [
            "" if value is None else figures.figure(MetricReport(name=one.metric, value=value, unit=units[one.metric]))
            for one, value in zip(self.search.objectives, values, strict=True)
        ]

    def scores(self, outcome: Outcome) -> str:
        """Returns `accuracy 0.872, size 4.1 MB`."""
        named = zip(self.search.objectives, self.values(outcome), strict=True)
        return ", ".join(f"{one.metric} {value}" for one, value in named if value)

    def ending(self, number: int) -> str:
        """Returns how a trial ended, in a line: its figures, or what went wrong."""
        outcome = self.outcomes[number]
        words = [] if outcome.phase == "Succeeded" else [": ".join(filter(None, (said(outcome), outcome.message)))]
        return "; ".join(filter(None, (self.scores(outcome), *words)))

    def ranked(self) -> list[int]:
        """Returns the trials that ended, the best first, and those without figures last."""
        first = self.search.objectives[0]
        sign = -1.0 if first.direction == "Maximize" else 1.0
        phases, best = list(MARKS), self.best

        def rank(number: int) -> tuple[bool, int, float, int]:
            """Of equals the earliest."""
            one = self.outcomes[number]
            value = one.values[0] if one.values else None
            return number != best, phases.index(one.phase), float("inf") if value is None else sign * value, number

        return sorted(self.outcomes, key=rank)

    def mark(self, number: int) -> Text:
        """Returns the sign that stands before a trial that ended."""
        several = len(self.search.objectives) > 1
        if number == self.best:
            return Text(*BEST)
        return Text(*(FRONT if several and number in self.front else MARKS[self.outcomes[number].phase]))

    def grid(self) -> Table:
        """Returns a table without rows; see `cells`."""
        table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
        table.add_column("", no_wrap=True)
        table.add_column("trial", justify="right", no_wrap=True)
        for heading in self._headings():
            table.add_column(heading, no_wrap=True, overflow="ellipsis")
        for objective in self.search.objectives:
            table.add_column(objective.metric, justify="right", no_wrap=True)
        table.add_column("", overflow="ellipsis", no_wrap=True)
        return table

    def cells(self, number: int) -> list[str]:
        """Returns a trial's parameters, as the table has them."""
        described = space.described(self.search, self.trials[number].at)
        if len(self.search.parameters) > COLUMNS:
            return [inline(described)]
        return [described.get(parameter.label, "–") for parameter in self.search.parameters]

    def row(self, number: int) -> list[Text | str]:
        """Returns the cells of a trial that ended."""
        outcome = self.outcomes[number]
        return [
            self.mark(number),
            str(number),
            *self.cells(number),
            *self.values(outcome),
            "" if outcome.phase == "Succeeded" else said(outcome),
        ]

    def _headings(self) -> list[str]:
        if len(self.search.parameters) > COLUMNS:
            return ["parameters"]
        return [parameter.label for parameter in self.search.parameters]


def inline(described: dict[str, str]) -> str:
    """Returns parameters in a line."""
    return " ".join(f"{label}={value}" for label, value in described.items())


def said(outcome: Outcome) -> str:
    """Returns why a trial did not succeed, in a word or two."""
    if outcome.phase == "ConstraintsNotMet":
        return "constraints not met"
    return outcome.phase.lower() + (f", {outcome.reason}" if outcome.reason else "")


def closing(board: Board, console: Console | None = None) -> str:
    """Returns what is said of a search that found a model: the best trial, and a table of the best ones.

    Args:
        board: of the search.
        console: the terminal that it is for; None: plain text, its rows as long as they are.
    """
    ranked = board.ranked()
    table = board.grid()
    for number in ranked[:ROWS]:
        table.add_row(*board.row(number))
    best = board.best
    assert best is not None and board.over is not None  # it found one
    head = f"best    trial {best}: {board.parameters(best)}\n        {board.scores(board.outcomes[best])}"
    rest = f"{len(ranked) - ROWS} more trials in {TRIALS}" if len(ranked) > ROWS else ""
    marks = "★ published   ◆ no other trial is better in every objective" if len(board.front) > 1 else ""
    return "\n\n".join(filter(None, (lines(table, console), "\n".join(filter(None, (marks, rest))), head)))
