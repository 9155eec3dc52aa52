"""A stage, or a piece of a search's trials, that Azure ML does: this pod submits it there, follows it, and says what it says."""

from __future__ import annotations

import signal
import sys
from types import FrameType

from millwright_api.report import Progress, RunReport
from millwright_runner.passes import StopFlag
from millwright_runner.pod import inside
from millwright_runner.pod.reporter import Latest
from millwright_runner.remote.courier import Courier, Errand


class Repeating:
    """Says in the pod's log what is new of a job on Azure ML, and how far it is to the operator.

    Args:
        reporter: who tells the operator; None: nobody.
    """

    def __init__(self, reporter: Latest | None) -> None:
        self._reporter = reporter
        self._said = ("", "")
        self._url: str | None = None

    def __call__(self, progress: Progress) -> None:
        """Tells both."""
        url = progress.remote.url if progress.remote else None
        if url is not None and url != self._url:
            self._url = url
            self._say(f"Azure ML: {url}")
        said = (progress.step_name, progress.message)
        if said != self._said:
            self._said = said
            self._say(progress.message if progress.message.startswith("Azure ML") else ": ".join(said))
        if self._reporter is not None:
            self._reporter.tell(progress)

    def _say(self, line: str) -> None:
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()


def run() -> RunReport:
    """Has the part that the environment names done on Azure ML, and returns the report of the runner there.

    So is the part that ends a search: results in the cache are found by the versions of libraries that this image has not.

    Raises:
        MillwrightError: it could not be submitted, or not be followed any more.
    """
    job = inside.load()
    stop = StopFlag()
    grace = job.job.spec.execution.kubernetes.pod_template.termination_grace_period_seconds
    courier = Courier(Errand.of_environment(job.job, job.base), inside.settings(job).home, grace=grace)
    _stop_there(stop)
    report = courier.run(Repeating(inside.reporter()), stop)
    inside.leave_word(report)  # before its end counts as told
    courier.told()
    return report


def _stop_there(stop: StopFlag) -> None:
    """From here on SIGTERM asks for a stop of the job there."""

    def handle(number: int, frame: FrameType | None) -> None:
        """Asks for it."""
        stop.request(number)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, handle)
