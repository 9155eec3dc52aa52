"""A search's trials as the page lists them: the best one first. Pure."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from millwright_api.report import MetricReport
from millwright_runner import figures
from millwright_runner.page.document import Aim, Document, Searched, Trial
from millwright_runner.words import plural, size

SHOWN = 20
"""Rows of the table that are in sight; more are folded."""

WIDE = 5
"""Parameters that get a column each; more share one."""

LONGEST = 240
"""Characters of a message in the table."""

ENDS = {"Succeeded": "succeeded", "ConstraintsNotMet": "missed a constraint", "Pruned": "ended early"}
"""How trials end, for people; what is not here is said as it is."""
OVER = {
    "SpaceExhausted": "there are no other points",
    "OutOfTime": "then the time was up",
    "TooManyFailedTrials": "that was more than were to fail",
}
"""Why no trial came any more, where that is not plain."""
MEASURED = ("Succeeded", "ConstraintsNotMet")
"""How trials end whose model was finished."""
GROUPS = ("Succeeded", "ConstraintsNotMet", "Pruned")
"""The order of the table; what is not here comes last."""


@dataclass(frozen=True)
class Heading:
    """A column: a parameter's own name, and the step and path that it belongs to."""

    name: str
    of: str = ""


@dataclass(frozen=True)
class Cell:
    """A value with its unit, and its 95 % interval."""

    value: str
    interval: str = ""


@dataclass(frozen=True)
class Row:
    """A trial.

    Attributes:
        number: the trial's.
        marks: best, Pareto front.
        made_with: a value for each parameter, empty where its pass did not run.
        objectives: in the manifest's order.
        size: of the model's files; empty when there is none.
        end: how it ended: good, warn, bad, and in words.
        why: what there is to add.
    """

    number: int
    marks: list[str]
    made_with: list[str]
    objectives: list[Cell]
    size: str
    end: tuple[str, str]
    why: str


@dataclass(frozen=True)
class Failure:
    """A reason that trials failed for: which, and the first one's message."""

    reason: str
    trials: str
    message: str


@dataclass(frozen=True)
class Listing:
    """All there is to read about trials.

    Attributes:
        summary: how many ended how.
        best: the trial that is published, and what it was made with; empty when there is none.
        seconds: that trials took, as far as that is known.
        headings: of the parameters.
        aims: of the objectives: the metric, and which way is better.
        sized: whether models have a size that is no objective already.
        rows: the best first.
        places: number, and where its model lies.
    """

    summary: str
    best: str
    seconds: float
    headings: list[Heading]
    aims: list[Heading]
    sized: bool
    rows: list[Row]
    failures: list[Failure]
    places: list[tuple[int, str]]


def listing(document: Document) -> Listing | None:
    """Returns what there is to read about a search's trials; None where there was no search."""
    search = document.search
    if search is None or not search.trials:
        return None
    units = {unit_of(search, aim.metric) for aim in search.objectives}
    told = Counter(trial.phase for trial in search.trials)
    ends = [f"{count} {ended(phase)}" for phase, count in told.most_common()]
    why = f", and {OVER[search.reason]}" if search.reason in OVER else ""
    return Listing(
        summary=f"{plural(len(search.trials), 'trial')}: {', '.join(ends)}{why}.",
        best=next((_made_with(trial) for trial in search.trials if trial.best), ""),
        seconds=sum(trial.seconds or 0.0 for trial in search.trials),
        headings=headings(search.parameters),
        aims=[Heading(aim.metric, "more is better" if more(aim) else "less is better") for aim in search.objectives],
        sized="bytes" not in units and any(trial.bytes is not None for trial in search.trials),
        rows=[_row(trial, search) for trial in ranked(search)],
        failures=_failures(search.trials),
        places=[(trial.number, trial.uri) for trial in search.trials if trial.uri],
    )


def more(aim: Aim) -> bool:
    """Whether more is better."""
    return aim.direction == "Maximize"


def number(trial: Trial, metric: str) -> float | None:
    """Returns what was measured of a trial's finished model; None where no number came out, or it was not finished."""
    if trial.phase not in MEASURED:
        return None
    value = trial.values.get(metric)
    if value is None and metric in trial.metrics:
        value = trial.metrics[metric].value
    return value if value is not None and math.isfinite(value) else None


def unit_of(search: Searched, metric: str) -> str:
    """Returns a metric's unit; empty where no trial says it."""
    return next((trial.metrics[metric].unit for trial in search.trials if metric in trial.metrics), "")


def ranked(search: Searched) -> list[Trial]:
    """Returns trials by how they ended, then by their objectives, then by number."""

    def rank(trial: Trial) -> tuple[Any, ...]:
        """What comes first is less."""
        group = GROUPS.index(trial.phase) if trial.phase in GROUPS else len(GROUPS)
        values = [(number(trial, aim.metric), more(aim)) for aim in search.objectives]
        return (not trial.best, group, *(_less(value, up) for value, up in values), trial.number)

    return sorted(search.trials, key=rank)


def ended(phase: str) -> str:
    """Returns how a trial ended, for people."""
    return ENDS.get(phase, phase.lower() or "unknown")


def headings(labels: Sequence[str]) -> list[Heading]:
    """Returns parameters by their last names: finetune.training.learningRate is learningRate, of finetune.training."""
    found = []
    for label in labels:
        of, dot, name = label.rpartition(".")
        found.append(Heading(name, of) if dot else Heading(label))
    return found


def text(value: Any) -> str:
    """Returns a parameter's value as a manifest has it; nothing where its pass does not run."""
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.6g}"
    return value if isinstance(value, str) else json.dumps(value)


def _row(trial: Trial, search: Searched) -> Row:
    broken = [one.message for one in trial.constraints if not one.met]
    kind = {"Succeeded": "warn" if broken else "good", "Failed": "bad"}.get(trial.phase, "warn")
    why = "; ".join(broken) or trial.message or ""
    marks = (["best"] if trial.best else []) + (
        ["Pareto front"] if trial.front and len(search.objectives) > 1 and trial.phase == "Succeeded" else []
    )
    return Row(
        number=trial.number,
        marks=marks,
        made_with=[text(trial.at.get(label)) for label in search.parameters],
        objectives=[_cell(trial, aim, search) for aim in search.objectives],
        size="" if trial.bytes is None else size(trial.bytes),
        end=(kind, ended(trial.phase)),
        why=why if len(why) <= LONGEST else f"{why[: LONGEST - 1]}…",
    )


def _cell(trial: Trial, aim: Aim, search: Searched) -> Cell:
    found, value = trial.metrics.get(aim.metric), number(trial, aim.metric)
    if value is None:
        return Cell("")
    ends = {"low": found.low, "high": found.high} if found is not None else {}
    metric = MetricReport(name=aim.metric, value=value, unit=unit_of(search, aim.metric), **ends)
    return Cell(figures.figure(metric), figures.interval(metric))


def _less(value: float | None, up: bool) -> tuple[bool, float]:
    return (value is None, 0.0 if value is None else -value if up else value)


def _made_with(trial: Trial) -> str:
    made = ", ".join(f"{label} {text(value)}" for label, value in trial.at.items() if value is not None)
    return f"{trial.number}: {made}" if made else str(trial.number)


def _failures(trials: Sequence[Trial]) -> list[Failure]:
    """Failed trials by their reasons, the commonest first."""
    by_reason: dict[str, list[Trial]] = {}
    for trial in trials:
        if trial.phase == "Failed":
            by_reason.setdefault(trial.reason or "unknown", []).append(trial)
    return [
        Failure(reason, f"{'trial' if len(found) == 1 else 'trials'} {', '.join(str(one.number) for one in found)}",
                next((one.message for one in found if one.message), ""))
        for reason, found in sorted(by_reason.items(), key=lambda entry: -len(entry[1]))
    ]  # fmt: skip
