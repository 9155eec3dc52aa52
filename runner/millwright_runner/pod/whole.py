"""A whole search in one process: what `millwright submit` has Azure ML do. On a cluster each piece of it is a Job."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

from millwright_api.report import ConstraintReport, EvaluationReport, PassReport, Progress, RunReport
from millwright_api.v1alpha1 import OptimizationJob
from millwright_runner import record, searching
from millwright_runner.cli.searching import SearchLines
from millwright_runner.passes import StopFlag
from millwright_runner.plan import Plan, Settings
from millwright_runner.pod.roles import Failed, message_of
from millwright_runner.steps import Observer
from millwright_runner.unforeseen import as_failure
from millwright_search.trials import Segment, Trial

Post = Callable[[Progress], None]
"""Tells how far it is; never waits."""


def run_search(job: OptimizationJob, settings: Settings, post: Post, stop: StopFlag) -> RunReport:
    """Runs a search's trials one after the other, says so on stdout, and publishes the best.

    Args:
        job: the manifest, with its search.
        settings: where.
        post: told how far it is, besides.
        stop: asks for a stop.

    Raises:
        MillwrightError: it could not begin.
        Failed: it began and did not end well.
    """
    began = time.monotonic()
    prepared = searching.prepare(job, settings)
    watch = _Posting(post)
    try:
        return searching.run(prepared, watch, stop, parallel=None)
    except BaseException as error:
        failure = as_failure(error)
        report = record.failed_report(failure, watch.told, None, time.monotonic() - began)
        raise Failed(report.model_copy(update={"message": message_of(failure, error)})) from error


class _Posting(SearchLines):
    def __init__(self, post: Post) -> None:
        super().__init__(sys.stdout)
        self._post = post

    def segment(self, trial: Trial, segment: Segment) -> Observer:
        """Passes on that passes of a trial begin."""
        return _OfTrial(super().segment(trial, segment), self._post, self.known.name(trial.number))

    def progress(self, progress: Progress) -> None:
        """Posts the run that publishes the best."""
        super().progress(progress)
        self._post(progress)


class _OfTrial:
    """Passes on what a segment tells, and posts how far it is, with the trial's name."""

    def __init__(self, told: Observer, post: Post, name: str) -> None:
        self._told, self._post, self._name = told, post, name

    def planned(self, plan: Plan) -> None:
        """Passes it on."""
        self._told.planned(plan)

    def progress(self, progress: Progress) -> None:
        """Posts it with the name of the trial."""
        self._told.progress(progress)
        self._post(progress.model_copy(update={"message": f"{progress.message} ({self._name})"}))

    def finished(self, report: PassReport) -> None:
        """Passes it on."""
        self._told.finished(report)

    def measured(self, report: EvaluationReport) -> None:
        """Passes it on."""
        self._told.measured(report)

    def judged(self, reports: list[ConstraintReport]) -> None:
        """Passes it on."""
        self._told.judged(reports)
