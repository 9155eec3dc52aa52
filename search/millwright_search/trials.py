"""What is known of trials: the words that the other rooms speak in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from millwright_api.report import RunReport
from millwright_api.search import Point, Search

TrialPhase = Literal["Succeeded", "ConstraintsNotMet", "Pruned", "Failed"]
"""How a trial ended. ConstraintsNotMet: measured, and not to be published."""


@dataclass(frozen=True)
class Trial:
    """One point of the space.

    Attributes:
        number: from 0, in the order that trials are asked for.
        at: its values, in the order of `search.parameters`.
    """

    number: int
    at: Point


@dataclass(frozen=True)
class Outcome:
    """A trial's end.

    Attributes:
        phase: how it ended.
        values: of the objectives, in the manifest's order, in six digits; empty when a number is missing. Of a pruned trial
            its last figure.
        figures: with earlyStopping: step's name → the first objective's value after it, as far as that was measured.
        violated: how many constraints are not met. More than 0 also of a trial that succeeded, where `onViolation: Warn`.
        failed_segment: of a failure: the index of the segment that failed.
        reason: CamelCase, of a failure.
        message: for people.

    Who keeps outcomes has to keep phase, values, figures, violated and failed_segment, to the last digit: later trials
    depend on them.
    """

    phase: TrialPhase
    values: tuple[float | None, ...] = ()
    figures: Mapping[str, float] = field(default_factory=dict)
    violated: int = 0
    failed_segment: int | None = None
    reason: str = ""
    message: str = ""


@dataclass(frozen=True)
class Segment:
    """Consecutive passes of a trial that are done in one go: one Job of a cluster. Trials that agree up to its end share it.

    Attributes:
        key: names it (64 hex digits): two segments with one key are one piece of work.
        index: its place in its trial, from 0.
        at: the trial's values as far as they matter up to its end; None for all later ones.
        first, end: its steps, counted in the trial's own recipe (steps that do not run left out); `end` is not included.
        steps: their names.
        last: whether the trial ends with it: the finished model is measured and judged.
    """

    key: str
    index: int
    at: Point
    first: int
    end: int
    steps: tuple[str, ...]
    last: bool


@dataclass(frozen=True)
class Seen:
    """What is known of a segment that was started.

    Attributes:
        state: whether it runs (or waits to), or how it ended.
        figures: step's name → the first objective's value after it, of its own steps.
        values: of the objectives for the finished model, in the manifest's order; of a last segment.
        violated: how many constraints the finished model does not meet; of a last segment.
        reason: CamelCase, of a failure.
        message: for people.
    """

    state: Literal["Active", "Succeeded", "Failed"]
    figures: Mapping[str, float] = field(default_factory=dict)
    values: tuple[float | None, ...] = ()
    violated: int = 0
    reason: str = ""
    message: str = ""

    @classmethod
    def of(cls, search: Search, segment: Segment, report: RunReport) -> Seen:
        """Returns what a search has to know of a segment that ended well.

        Args:
            search: the search.
            segment: what was done.
            report: the last word of who did it.
        """
        measured = {told.after: {metric.name: metric.value for metric in told.metrics} for told in report.evaluation}
        own = {step: measured[step] for step in segment.steps if step in measured}
        names = [objective.metric for objective in search.objectives]
        figures = {step: value for step, found in own.items() if (value := found.get(names[0])) is not None}
        if not segment.last:
            return cls("Succeeded", figures)
        finished = own.get(segment.steps[-1], {})
        wrong = [constraint.message for constraint in report.constraints if not constraint.met]
        values = tuple(finished.get(name) for name in names)
        return cls("Succeeded", figures, values, violated=len(wrong), message="; ".join(wrong))


OverReason = Literal["AllTrialsDone", "SpaceExhausted", "OutOfTime", "TooManyFailedTrials", "NoTrialSucceeded"]


@dataclass(frozen=True)
class Over:
    """The end of a search.

    Attributes:
        reason: why no trial comes any more.
        message: for people: counts; of a failed search the commonest reason.
        best: the trial to publish; None: there is none, and the search has failed.
        front: trials of the Pareto front, by number; with one objective the best alone.
    """

    reason: OverReason
    message: str
    best: int | None
    front: tuple[int, ...] = ()


@dataclass(frozen=True)
class Course:
    """What follows from what is known.

    Attributes:
        trials: all that were asked for, by number; new ones included.
        outcomes: of those that have ended, by number; new ones included.
        start: segments to start now, in order; together with those that are Active never more than the limit.
        over: the end; None while there is something to do or to wait for.
    """

    trials: Mapping[int, Trial]
    outcomes: Mapping[int, Outcome]
    start: tuple[Segment, ...] = ()
    over: Over | None = None
