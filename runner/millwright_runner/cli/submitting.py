"""What `millwright submit` does: a manifest checked, a job there found again, signals that end the following and not the job."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from types import FrameType
from typing import TYPE_CHECKING

from millwright_api.errors import UserError
from millwright_api.names import ENV_SIGNING_KEY
from millwright_api.report import RunReport
from millwright_runner.cli import failures
from millwright_runner.cli.remote_views import RemoteWatch
from millwright_runner.manifest import Manifest
from millwright_runner.passes import StopFlag
from millwright_runner.plan import Settings, open_output
from millwright_runner.process import handling

if TYPE_CHECKING:
    from millwright_runner.remote.courier import Courier, Latest

GRACE_SECONDS = 10.0
"""After Ctrl-C while the job is on its way: how long an answer is waited for, to stop what arrived there."""


@dataclass(frozen=True)
class Submission:
    """A job to be submitted.

    Attributes:
        manifest: what, and where its parts were written.
        again: the command line that does the same again.
        settings: where things lie on this machine.
        courier: who speaks to Azure ML.
    """

    manifest: Manifest
    again: str
    settings: Settings
    courier: Courier

    @classmethod
    def of(cls, job: Manifest, again: str, chosen: Settings) -> Submission:
        """Asks nobody.

        Raises:
            InvalidManifest: the manifest does not say how to run on Azure ML.
        """
        from millwright_runner.remote.courier import Courier
        from millwright_runner.remote.errand import Errand

        errand = Errand(job.job, job.base, {})
        assert errand.wanted  # raises
        return cls(job, again, chosen, Courier(errand, chosen.home, grace=GRACE_SECONDS))

    def latest(self) -> Latest | None:
        """Returns the newest job of this manifest.

        Raises:
            MillwrightError: nobody can be asked; all that is wrong.
        """
        try:
            return self.courier.latest()
        except UserError:
            self.check()
            raise

    def result(self, latest: Latest) -> RunReport | None:
        """Returns a job's report, where its end was told and its model is what the output holds; else None."""
        from millwright_runner.published import read_published

        report = latest.report
        if not latest.told or report is None or report.artifact is None:
            return None
        there = read_published(open_output(self.manifest.job.spec.output, self.settings))
        if there is None or there.tree.digest != report.artifact.digest:
            return None
        return report.model_copy(update={"artifact": report.artifact.model_copy(update={"uri": there.uri})})

    def check(self) -> list[str]:
        """Looks at all that the manifest names, here and on Azure ML, before anything costs; returns notes.

        Raises:
            MillwrightError: what is wrong; all of it.
        """
        from concurrent.futures import ThreadPoolExecutor

        from millwright_runner.look import look

        with ThreadPoolExecutor(1) as pool:
            there = pool.submit(self.courier.check)
            here = look(self.manifest.job, self.settings, has_folder=True)
            checked = there.result()
        problems = [*here.problems, *checked.problems]
        if problems:
            raise failures.all_of(problems)
        notes = [*here.notes, *checked.notes]
        if os.environ.get(ENV_SIGNING_KEY) and not self.manifest.job.spec.output.sign:
            notes.append(
                f"the key in {ENV_SIGNING_KEY} is not handed over: spec.output.sign does not ask for a signature"
            )
        return notes


class Leaving:
    """Turns signals into the end of following: the job goes on there. Until there is one, into a stop.

    Attributes:
        stop: asks for a stop before the job is submitted.
        sent: whether it is.
        left: set when nobody follows any more.
        number: the signal.
    """

    def __init__(self) -> None:
        self.stop, self.sent, self.left, self.number = StopFlag(), False, threading.Event(), 0

    @contextlib.contextmanager
    def on(self, view: RemoteWatch) -> Iterator[None]:
        """While a job is submitted and followed."""

        def handle(number: int, frame: FrameType | None) -> None:
            """Ends the following; the second Ctrl-C ends the process."""
            if self.number == number == signal.SIGINT:
                view.abandon()
                os._exit(128 + number)
            self.number = number
            self.stop.request(number)
            self.left.set()
            if not self.sent:
                again = "; Ctrl-C again leaves at once" if number == signal.SIGINT else ""
                view.stopping(f"{signal.Signals(number).name}: stopping before there is a job{again}")

        with handling(handle, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            yield
