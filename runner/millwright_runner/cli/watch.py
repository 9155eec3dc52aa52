"""Observers of a run: plain lines for logs, nobody with --quiet. The live view is in `live.py`."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import IO, Self

from millwright_api.report import ConstraintReport, EvaluationReport, PassReport, Progress
from millwright_runner import figures
from millwright_runner.plan import Plan
from millwright_runner.told import Told
from millwright_runner.words import duration, plural, size

LEAST_SECONDS, MOST_SECONDS, LEAST_SHARE = 5.0, 60.0, 0.0999
"""A line every tenth of a phase, but not more often than each 5 s and not less often than each minute."""

IN_BYTES = ("tokenizing", "fetching", "storing", "publishing")
"""Phases that count bytes; others count optimizer steps or files."""

SERVICE = "Azure ML: "
"""What a message begins with that is about the service that a job runs on, and not the runner's."""


class Watch:
    """Keeps what it is told; shows nothing: the observer for --quiet, and the base of the others."""

    def __init__(self) -> None:
        self.told = Told()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        """Leaves the screen in order."""

    def planned(self, plan: Plan) -> None:
        """Told once, before anything runs."""

    def progress(self, progress: Progress) -> None:
        """Told often, from the thread that works."""

    def finished(self, report: PassReport) -> None:
        """Told after each step."""
        self.told.passes.append(report)

    def measured(self, report: EvaluationReport) -> None:
        """Told after each model that was measured."""
        self.told.evaluation.append(report)

    def judged(self, reports: list[ConstraintReport]) -> None:
        """Told what became of the constraints."""
        self.told.constraints.extend(reports)

    def stopping(self, message: str) -> None:
        """Told from a signal handler that a stop was asked for; must not wait for a lock."""

    def abandon(self) -> None:
        """Told from a signal handler that the process goes at once."""


class Lines(Watch):
    """One line for each thing that happens.

    Args:
        out: where to.
        clock: seconds, monotonic.
    """

    def __init__(self, out: IO[str], clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._out, self._clock = out, clock
        self._steps: list[str] = []
        self._phase = ("", "")
        self._last_time, self._last_share = 0.0, 0.0
        self._loss: float | None = None

    def planned(self, plan: Plan) -> None:
        """Says what will run."""
        self._steps = [step.step.name for step in plan.steps]
        hits = sum(step.hit for step in plan.steps)
        cached = f", {hits} from the cache" if hits else ""
        self._say(f"{plan.job.metadata.name}: {plural(len(plan.steps), 'step')}{cached}; output {plan.output.uri}")

    def progress(self, progress: Progress) -> None:
        """Says a new phase at once, and how far one is from time to time."""
        if progress.loss is not None:
            self._loss = progress.loss
        now, phase, share = self._clock(), (progress.step_name, progress.message), share_of(progress)
        waited = now - self._last_time
        due = waited >= MOST_SECONDS or (waited >= LEAST_SECONDS and share - self._last_share >= LEAST_SHARE)
        if phase == self._phase and not (due and progress.done is not None):
            return
        if phase != self._phase:
            self._loss = progress.loss
        self._phase, self._last_time, self._last_share = phase, now, share
        words = (count(progress), "" if self._loss is None else loss(self._loss), eta(progress))
        tail = ", ".join(word for word in words if word)
        self._say(f"{self._label(progress.step_name)}: {progress.message} {tail}".rstrip())

    def finished(self, report: PassReport) -> None:
        """Says how a step ended."""
        super().finished(report)
        self._say(f"{self._label(report.name)}: {ending(report)}")

    def measured(self, report: EvaluationReport) -> None:
        """Says the figures."""
        super().measured(report)
        self._say(f"measured after {report.after}: {figures.line(report)}")
        for warning in figures.warnings([report]):
            self._say(f"warning: {warning}")

    def judged(self, reports: list[ConstraintReport]) -> None:
        """Says each constraint that is not met, or that its data cannot decide."""
        super().judged(reports)
        for line in figures.verdicts(reports):
            self._say(line)

    def stopping(self, message: str) -> None:
        """Says it past the buffer: the handler may have come in the middle of a write."""
        os.write(self._out.fileno(), f"{message}\n".encode())

    def _label(self, name: str) -> str:
        place = self._steps.index(name) + 1 if name in self._steps else 0
        return f"{name} ({place}/{len(self._steps)})"

    def _say(self, line: str) -> None:
        self._out.write(line + "\n")
        self._out.flush()


def share_of(progress: Progress) -> float:
    """Returns how much of a phase is done, 0 to 1; 0 when that is not known."""
    return min(progress.done / progress.total, 1.0) if progress.done and progress.total else 0.0


def count(progress: Progress) -> str:
    """Returns `20/100`, for bytes `35 MB of 60 MB`, or nothing."""
    if progress.done is None:
        return ""
    shown = size if progress.message.startswith(IN_BYTES) else str
    if progress.total is None:
        return shown(progress.done)
    return f"{shown(progress.done)}{' of ' if shown is size else '/'}{shown(progress.total)}"


def loss(value: float) -> str:
    """Returns `loss 1.234`."""
    return f"loss {value:.4g}"


def eta(progress: Progress) -> str:
    """Returns `40 s left`, or nothing."""
    return "" if progress.eta_seconds is None else f"{duration(progress.eta_seconds)} left"


def ending(report: PassReport) -> str:
    """Returns how a step ended, as part of a sentence."""
    if report.phase != "Succeeded":
        return f"{report.phase.lower()} after {duration(report.seconds)}"
    what = "from the cache" if report.cache == "Hit" else f"done in {duration(report.seconds)}"
    made = "" if report.bytes is None else f", {size(report.bytes)}"
    resumed = "" if report.resumed_from is None else f", went on from step {report.resumed_from}"
    return f"{what}{made}{resumed}"
