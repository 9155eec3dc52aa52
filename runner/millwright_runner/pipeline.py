"""The loop: look in the cache, run what is missing, record, publish."""

from __future__ import annotations

from typing import Protocol

from millwright_api.report import PassReport, Progress, RunReport
from millwright_runner.passes import StopFlag
from millwright_runner.plan import Plan, Settings


class Observer(Protocol):
    """Watches a run: a live view, plain lines, JSON, or nobody."""

    def planned(self, plan: Plan) -> None:
        """Told once, before anything runs."""

    def progress(self, progress: Progress) -> None:
        """Told often, from the thread that works."""

    def finished(self, report: PassReport) -> None:
        """Told after each step, run or taken from the cache."""


def run(plan: Plan, settings: Settings, observer: Observer, stop: StopFlag) -> RunReport:
    """Does what the plan says and publishes the result.

    Raises:
        MillwrightError: the run did not end in a model; `RunReport`s of failures are the caller's to make
            (`failed_report`).
    """
    raise NotImplementedError
