"""A stage: does its steps of the plan, tells how far it is, saves a checkpoint when it is stopped."""

from __future__ import annotations

import signal
import sys
import time
from dataclasses import replace
from types import FrameType

from millwright_api.evaluation import INPUT
from millwright_api.report import PassReport, Progress, RunReport
from millwright_runner import pipeline, record
from millwright_runner.cli.keys import signing_key
from millwright_runner.cli.watch import Lines
from millwright_runner.passes import StopFlag
from millwright_runner.plan import Plan, make_plan
from millwright_runner.pod import inside
from millwright_runner.pod.reporter import Reporter
from millwright_runner.pod.roles import Failed, leave_at_once, message_of


class Telling(Lines):
    """Says what happens in the pod's log, and how far it is to the operator.

    Args:
        reporter: who tells the operator; None: nobody.

    Attributes:
        began: whether a step has begun; before that, models and results are fetched.
    """

    def __init__(self, reporter: Reporter | None) -> None:
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
    """Runs the stage that the environment names.

    Raises:
        MillwrightError: it could not begin.
        Failed: it began and did not end well.
    """
    began = time.monotonic()
    job = inside.load()
    settings = replace(inside.settings(job), signer=signing_key(None))
    plan = make_plan(job.job, settings)
    part = pipeline.Part(inside.part(len(plan.steps)))
    watch, stop = Telling(inside.reporter()), StopFlag()
    _stop_softly(stop, watch)
    try:
        report = pipeline.run(plan, settings, watch, stop, part)
    except BaseException as error:
        failure = record.as_failure(error)
        report = record.failed_report(failure, watch.told, plan, time.monotonic() - began)
        report = report.model_copy(update={"message": message_of(failure, error)})
        raise Failed(only(report, plan, part)) from error
    return only(report, plan, part)


def only(report: RunReport, plan: Plan, part: pipeline.Part) -> RunReport:
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
