"""A stage: does its steps of the plan, tells how far it is, saves a checkpoint when it is stopped."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from types import FrameType

from millwright_api.errors import MillwrightError
from millwright_api.evaluation import INPUT
from millwright_api.report import PassReport, Progress, RunReport
from millwright_api.search import Point
from millwright_api.v1alpha1 import OptimizationJob
from millwright_runner import pipeline, record
from millwright_runner.cli.keys import signing_key
from millwright_runner.cli.watch import Lines
from millwright_runner.concluding import conclude
from millwright_runner.manifest import Manifest
from millwright_runner.passes import StopFlag
from millwright_runner.pipeline import Part
from millwright_runner.plan import Plan, Settings, make_plan
from millwright_runner.pod import inside
from millwright_runner.pod.reporter import Latest
from millwright_runner.pod.roles import Failed, leave_at_once, message_of
from millwright_runner.trials import in_manifest, trial_job
from millwright_runner.unforeseen import as_failure


class Telling(Lines):
    """Says what happens in the pod's log, and how far it is to who follows it.

    Args:
        reporter: who tells others; None: nobody.

    Attributes:
        began: whether a step has begun; before that, models and results are fetched.
    """

    def __init__(self, reporter: Latest | None) -> None:
        super().__init__(sys.stdout)
        self._reporter = reporter
        self.began = False

    def progress(self, progress: Progress) -> None:
        """Tells both; never waits."""
        self.began = True
        super().progress(progress)
        if self._reporter is not None:
            self._reporter.tell(progress)


def run() -> RunReport:
    """Runs the stage that the environment names: of the job, of a trial of its search, or the one that ends the search.

    Raises:
        MillwrightError: it could not begin.
        Failed: it began and did not end well.
    """
    job = inside.load()
    settings = replace(inside.settings(job), signer=signing_key(None))
    return do(job, settings, Telling(inside.reporter()))


def do(job: Manifest, settings: Settings, watch: Telling) -> RunReport:
    """Runs the part of a job that the environment names; see `run`."""
    began, stop = time.monotonic(), StopFlag()
    ended = inside.ended(job.job)
    if ended is not None:
        _stop_softly(stop, watch)
        try:
            return conclude(job.job, settings, watch, stop, ended, makes=False)
        except BaseException as error:
            raise _failed(error, watch, None, began) from error
    at = inside.trial(job.job)
    plan, part = _of_job(job.job, settings) if at is None else _of_trial(job.job, at, settings)
    _stop_softly(stop, watch)
    try:
        report = pipeline.run(plan, settings, watch, stop, part)
    except BaseException as error:
        failed = _failed(error, watch, plan, began, lambda failure: in_manifest(failure, job.job, at) if at else None)
        raise Failed(only(failed.report, plan, part)) from error
    return only(report, plan, part)


def _of_job(job: OptimizationJob, settings: Settings) -> tuple[Plan, Part]:
    plan = make_plan(job, settings)
    return plan, Part(inside.part(len(plan.steps)))


def _of_trial(job: OptimizationJob, at: Point, settings: Settings) -> tuple[Plan, Part]:
    """A trial's pod publishes nothing: it hands over through the cache, and tells what it has measured."""
    trial = trial_job(job, at)
    steps = inside.part(len(trial.spec.passes))
    try:
        plan = make_plan(trial, settings, publishes=False, upto=steps.stop)
    except MillwrightError as error:
        in_manifest(error, job, at)
        raise
    return plan, Part(steps, publishes=False, baseline=inside.baseline())


def _failed(
    error: BaseException,
    watch: Telling,
    plan: Plan | None,
    began: float,
    place: Callable[[MillwrightError], None] = lambda failure: None,
) -> Failed:
    failure = as_failure(error)
    place(failure)
    report = record.failed_report(failure, watch.told, plan, time.monotonic() - began)
    return Failed(report.model_copy(update={"message": message_of(failure, error)}))


def only(report: RunReport, plan: Plan, part: Part) -> RunReport:
    """Returns a report that tells of a stage's own steps: those before it have told of themselves. What was measured of
    earlier models is told again by the last stage, which judges by it; not of a trial, which others share passes with."""
    own = {plan.steps[index].step.name for index in part.steps}
    own |= {INPUT} if part.steps.start == 0 and part.baseline else set()
    last = part.publishes and part.steps.stop == len(plan.steps)
    passes: list[PassReport] = [entry for entry in report.passes if entry.name in own]
    evaluation = [entry for entry in report.evaluation if last or entry.after in own]
    return report.model_copy(update={"passes": passes, "evaluation": evaluation})


def _stop_softly(stop: StopFlag, watch: Telling) -> None:
    """From here on SIGTERM asks for a stop between two units of work, with a checkpoint; at once while none has begun."""

    def handle(number: int, frame: FrameType | None) -> None:
        """Asks for it, and says so."""
        if not watch.began:
            leave_at_once(number)
        stop.request(number)
        watch.stopping(f"{signal.Signals(number).name}: stopping, a checkpoint is saved first")

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, handle)
