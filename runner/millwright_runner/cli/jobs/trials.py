"""A search on a cluster as its job's status tells it: a line for each trial that ended, and a table."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from typing import TypeGuard

from rich.console import RenderableType
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from millwright_api.search import Search
from millwright_api.status import SearchStatus, TrialStatus
from millwright_runner.cli.jobs.look import Look
from millwright_runner.cli.trials import BEST, COLUMNS, FRONT, MARKS, TRIALS, inline
from millwright_search import space

ENDED = tuple(MARKS)
"""Phases that a trial does not leave."""

WORDS = {"ConstraintsNotMet": "constraints not met", "Pruned": "ended early", "Failed": "failed"}


def searching(seen: Look) -> TypeGuard[Look]:
    """Whether trials are under way: the search has begun, and is not over."""
    known = seen.status.search
    return known is not None and not known.reason and not seen.ended


def lines(seen: Look) -> Iterator[tuple[str, str]]:
    """Yields a line for each trial that ended, for the best one so far, and for the end, each with what it is about."""
    known = seen.status.search
    if known is None:
        return
    for trial in known.trials:
        if trial.phase in ENDED:
            yield f"trial {trial.number}", f"trial {trial.number}{_place(seen, trial)}: {_line(seen, trial)}"
    if known.best is not None and searching(seen):
        yield "best", f"best so far: {best(known)}"
    if known.reason:
        yield "search", f"search over, {': '.join(filter(None, (known.reason, known.message)))}"


def best(known: SearchStatus) -> str:
    """Returns the best trial, with its figures: `trial 3, accuracy 0.91`; nothing before there is one."""
    if known.best is None:
        return ""
    return ", ".join([f"trial {known.best.number}", *(f"{name} {_figure(v)}" for name, v in known.best.values.items())])


def closing(seen: Look) -> list[tuple[str, str]]:
    """Returns what is said of a search that has found a model: the best trial, what it was made with, where all of them are."""
    known = seen.status.search
    if known is None or known.best is None:
        return []
    places = [("trials", f"{made.uri}{TRIALS}") for made in seen.status.artifacts[:1]]
    return [("best", f"{best(known)}: {inline(known.best.parameters)}"), *places]


def table(seen: Look, rows: int, spinner: Spinner | None = None) -> Table | None:
    """Returns the trials: those that run, the best, and as many of the others as there is room for, the newest.

    Args:
        seen: the job; None is returned where nothing of a search is known.
        rows: at most.
        spinner: what marks those that run; None leaves them out and takes the best ones instead of the newest.
    """
    known, search = seen.status.search, seen.search
    if known is None or search is None or not known.trials:
        return None
    grid = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    grid.add_column("", no_wrap=True)
    grid.add_column("trial", justify="right", no_wrap=True)
    for heading in _headings(search):
        grid.add_column(heading, no_wrap=True, overflow="ellipsis")
    for objective in search.objectives:
        grid.add_column(objective.metric, justify="right", no_wrap=True)
    grid.add_column("", no_wrap=True, overflow="ellipsis")
    running = [trial for trial in known.trials if trial.phase == "Running"] if spinner else []
    for trial in _chosen(known, search, max(rows - len(running), 1), newest=spinner is not None):
        grid.add_row(*_row(trial, known, search))
    for trial in running:
        cells = [*_parameters(trial, search), *[""] * len(search.objectives)]
        grid.add_row(spinner, str(trial.number), *cells, Text("running", "dim"))
    return grid


def _chosen(known: SearchStatus, search: Search, rows: int, *, newest: bool) -> list[TrialStatus]:
    ended = [trial for trial in known.trials if trial.phase in ENDED]
    first = known.best.number if known.best else None
    if not newest:
        sign = -1.0 if search.objectives[0].direction == "Maximize" else 1.0

        def rank(trial: TrialStatus) -> tuple[bool, int, float, int]:
            """Of equals the earliest."""
            value = sign * trial.values[0] if trial.values else math.inf
            return trial.number != first, ENDED.index(trial.phase), value, trial.number

        return sorted(ended, key=rank)[:rows]
    late = ended[-rows:]
    if first is None or any(trial.number == first for trial in late):
        return late
    return [*(trial for trial in ended if trial.number == first), *late[1:]]


def _row(trial: TrialStatus, known: SearchStatus, search: Search) -> list[RenderableType]:
    mark = MARKS[trial.phase]
    if known.best is not None and trial.number == known.best.number:
        mark = BEST
    elif len(search.objectives) > 1 and trial.number in known.front:
        mark = FRONT
    finished = trial.values and trial.phase != "Pruned"
    values = [_figure(value) for value in trial.values] if finished else [""] * len(search.objectives)
    said = "" if trial.phase == "Succeeded" else ": ".join(filter(None, (WORDS[trial.phase], trial.reason)))
    return [Text(*mark), str(trial.number), *_parameters(trial, search), *values, said]


def _headings(search: Search) -> list[str]:
    return [one.label for one in search.parameters] if len(search.parameters) <= COLUMNS else ["parameters"]


def _parameters(trial: TrialStatus, search: Search) -> list[str]:
    told = _described(trial, search)
    if len(search.parameters) > COLUMNS:
        return [inline(told)]
    return [told.get(one.label, "–") for one in search.parameters]


def _described(trial: TrialStatus, search: Search) -> dict[str, str]:
    """What a trial was made with; nothing where the status had no room for it."""
    try:
        at = json.loads(trial.at)
        return space.described(search, tuple(at))
    except (ValueError, TypeError):
        return {}


def _place(seen: Look, trial: TrialStatus) -> str:
    if seen.search is None:
        return ""
    known = seen.status.search
    most = min(seen.search.max_trials, known.space or seen.search.max_trials) if known else seen.search.max_trials
    return f" ({trial.number + 1}/{most})"


def _line(seen: Look, trial: TrialStatus) -> str:
    search = seen.search
    made = inline(_described(trial, search)) if search is not None else ""
    names: Sequence[str] = [one.metric for one in search.objectives] if search is not None else []
    values = (
        [] if trial.phase == "Pruned" else trial.values
    )  # its figure is not the finished model's; the message has it
    figures = ", ".join(f"{name} {_figure(value)}" for name, value in zip(names, values, strict=False))
    why = ": ".join(filter(None, (WORDS.get(trial.phase, ""), trial.reason, trial.message)))
    return "; ".join(filter(None, (made, figures, why))) or "succeeded"


def _figure(value: float) -> str:
    """A value without its unit, which a status does not have."""
    return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:.4g}"
