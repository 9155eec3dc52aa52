"""From a role to its report: what a pod says at its end, to people and in its termination message."""

from __future__ import annotations

import importlib
import os
import signal
import sys
import traceback
from typing import NoReturn

from millwright_api.errors import MillwrightError, PassFailed, Stopped
from millwright_api.report import RunReport
from millwright_runner import record
from millwright_runner.pod import inside
from millwright_runner.pod.hiding import hidden
from millwright_runner.told import Told
from millwright_runner.unforeseen import InternalError, as_failure

TRACE_LINES, TRACE_CHARACTERS = 8, 1200
"""What a report repeats of a traceback: its end, where the cause is."""


class Failed(Exception):
    """A role's failure, with the report that it had got to; the cause is what was raised.

    Args:
        report: what is known of the run.
    """

    def __init__(self, report: RunReport) -> None:
        super().__init__(report.message)
        self.report = report


def run(role: str) -> int:
    """Runs a role, says how it ended and returns the exit code."""
    try:
        report: RunReport = importlib.import_module(f"millwright_runner.pod.{role}").run()
    except Failed as failed:
        report = failed.report
    except BaseException as error:
        report = report_of(error)
    report = report.model_copy(update={"message": hidden(report.message, os.environ)})
    say(report)
    inside.leave_word(report)
    return report.exit_code


def leave_at_once(number: int) -> NoReturn:
    """Ends the process, for a signal that came before there was anything to save. For signal handlers: it raises
    nothing, because a library might catch that."""
    try:
        stopped = Stopped(f"{signal.Signals(number).name}: stopped before anything was made", signal=number)
        report = record.failed_report(stopped, Told(), None, 0.0)
        inside.leave_word(report)
        say(report)
        sys.stdout.flush()
    finally:
        os._exit(128 + number)


def report_of(error: BaseException) -> RunReport:
    """Returns the report of a failure that came before a run had one; prints the traceback of what nobody foresaw."""
    failure = as_failure(error)
    return record.failed_report(failure, Told(), None, 0.0).model_copy(update={"message": message_of(failure, error)})


def message_of(failure: MillwrightError, error: BaseException) -> str:
    """Returns what a report says of a failure: with the end of the traceback where code is at fault, not input."""
    if not isinstance(failure, PassFailed | InternalError):
        return str(failure)
    traceback.print_exception(error)
    lines = "".join(traceback.format_exception(error.__cause__ or error, chain=False)).splitlines()
    return f"{failure}\n" + "\n".join(lines[-TRACE_LINES:])[-TRACE_CHARACTERS:]


def say(report: RunReport) -> None:
    """Tells people, on stdout, how it ended."""
    lines = [f"{report.reason}: {report.message}" if report.message else report.reason]
    if report.artifact is not None:
        lines.append(report.artifact.uri)
    sys.stdout.write("\n".join(lines) + "\n")
