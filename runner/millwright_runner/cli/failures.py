"""How a verb that failed says so: one block on stderr, one document on stdout with --json, an exit code."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from rich.console import Console
from rich.text import Text

from millwright_api.errors import (
    ConstraintsNotMet,
    MillwrightError,
    PassFailed,
    Stopped,
    TrialsFailed,
    TryAgain,
    UserError,
)
from millwright_api.report import RunReport
from millwright_runner.unforeseen import InternalError, as_failure
from millwright_runner.words import plural

AGAIN = "the same command goes on from what is done"


class UsageError(UserError):
    """The command line itself is wrong."""


class RemoteFailed(MillwrightError):
    """A run elsewhere did not end in a model; reason and exit code are that run's own.

    Args:
        report: of the run.

    Attributes:
        report: of the run.
        tail: lines below the message: the end of a traceback or of a log.
    """

    def __init__(self, report: RunReport) -> None:
        message, *self.tail = report.message.split("\n")
        again = report.exit_code == TryAgain.exit_code or report.outcome == "Stopped"
        super().__init__(message or "it did not end well", hint=AGAIN if again else None)
        self.report = report

    @property
    def reason(self) -> str:
        """The run's."""
        return self.report.reason


class JobFailed(MillwrightError):
    """A job on a cluster ended without a model; the reason is the job's own.

    Args:
        reason: of the condition.
        message: of the condition.
        where: the job.
        hint: where its logs are.

    Attributes:
        tail: lines below the message: the end of a traceback or of a log.
    """

    def __init__(self, reason: str, message: str, *, where: str, hint: str) -> None:
        first, *self.tail = message.split("\n")
        super().__init__(first, where=where, hint=hint)
        self._reason = reason

    @property
    def reason(self) -> str:
        """The condition's."""
        return self._reason


class JobMissedGate(JobFailed):
    """The job made a model, or a search made several, and none met the constraints."""

    exit_code = ConstraintsNotMet.exit_code


class RunFailed(Exception):
    """A run's failure together with what is known of the run.

    Args:
        cause: what was raised.
        report: the run's report.
        log: what libraries printed; None when it was shown.
    """

    def __init__(self, cause: BaseException, report: RunReport, log: BinaryIO | None) -> None:
        super().__init__(str(cause))
        self.cause, self.report, self.log = cause, report, log


def all_of(problems: Sequence[MillwrightError]) -> MillwrightError:
    """Returns several problems as one failure: the user's own first, for trying again does not mend them."""
    ordered = sorted(problems, key=lambda problem: not isinstance(problem, UserError))
    first = ordered[0]
    return first if len(ordered) == 1 else type(first)("\n".join(map(str, ordered)))


def exit_code(error: MillwrightError) -> int:
    """Returns the exit code: the class's, of a run elsewhere its own, and for a stop 128 + signal, as shells have it."""
    if isinstance(error, RemoteFailed):
        return error.report.exit_code
    return 128 + error.signal if isinstance(error, Stopped) else error.exit_code


def report(error: MillwrightError) -> RunReport:
    """Returns a failure as the document that --json prints, when no run has one of its own."""
    return RunReport(
        outcome="Stopped" if isinstance(error, Stopped) else "Failed",
        reason=error.reason,
        message=str(error),
        exit_code=exit_code(error),
    )


def tell(error: MillwrightError, console: Console, details: Path | None = None) -> None:
    """Prints the block: reason and place, what was found, what is possible, and where more is written.

    Args:
        details: a file with the traceback and what libraries printed.
    """
    lines = error.message.split("\n")
    head = Text(error.reason, style="bold yellow" if isinstance(error, Stopped | TryAgain) else "bold red")
    if error.where:
        head.append(f": {error.where}", style="not bold default")
    if len(lines) == 1:
        head.append(f": {lines[0]}", style="not bold default")
        lines = []
    else:
        head.append(f": {plural(len(lines), 'problem')}", style="not bold default")
    console.print(head, soft_wrap=True)
    for line in [*lines, *(error.tail if isinstance(error, RemoteFailed | JobFailed) else ())]:
        console.print(f"  {line}", soft_wrap=True)
    for label, text in (("hint", error.hint or _hint(error)), ("details", str(details) if details else None)):
        if text:
            console.print(Text.assemble("  ", (f"{label}: ", "bold"), text), soft_wrap=True)


def needs_traceback(error: MillwrightError) -> bool:
    """Whether a traceback helps: where the cause is code, not input; of trials, the log has what each of them met."""
    return isinstance(error, InternalError | PassFailed | TrialsFailed)


def _hint(error: MillwrightError) -> str | None:
    return AGAIN if isinstance(error, TryAgain | Stopped) else None


__all__ = [
    "InternalError",
    "JobFailed",
    "JobMissedGate",
    "RemoteFailed",
    "RunFailed",
    "UsageError",
    "all_of",
    "as_failure",
    "exit_code",
    "needs_traceback",
    "report",
    "tell",
]
