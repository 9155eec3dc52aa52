"""Following a job on Azure ML to its end: its state as the service has it, and in the mailbox what the runner in it says."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TypeVar

from millwright_api.errors import AzureMLJobCanceled, MillwrightError, Stopped
from millwright_api.names import ENV_STEPS, ENV_TRIAL
from millwright_api.report import Progress, Remote, RunReport
from millwright_runner import record
from millwright_runner.azure.coordinates import Coordinates
from millwright_runner.passes import StopFlag
from millwright_runner.remote import jobs
from millwright_runner.remote.asking import Doubt, Pace, ask, rest
from millwright_runner.remote.errand import Errand
from millwright_runner.remote.failure import Ended, failed, how_it_ended, tail_of
from millwright_runner.remote.jobs import ENDED, WORKING, Submitted
from millwright_runner.remote.mailbox import Mailbox
from millwright_runner.told import Told

Observer = Callable[[Progress], None]
"""Told how far the job is, `remote` filled in."""

T = TypeVar("T")

HARD_SHARE, HARD_SECONDS = 0.4, 30.0
"""Of the time that is left after a stop was asked for: what is kept for the cancel, the less of the two."""

LAST_SHARE = 0.95
"""Of that time: what is left then is for this process's own end."""

ABSENT = 3
"""Answers in a row that there is no such job, before that is believed: a list of the service's may be behind."""

LAST_WORDS = 10.0
"""Seconds that an ended job's report is waited for: stores of some makers show a file a little after it was written."""


class _Turn(Exception):
    """A stop was asked for, or to leave: what is waited for now is not."""


@dataclass
class Following:
    """One job, followed once.

    Attributes:
        errand: what it is for.
        workspace: where it runs.
        box: its mailbox.
        job: the job.
        observer: told how far it is.
        stop: asks for a stop of the job.
        leave: set to end following without that.
        grace: seconds that are left after a stop was asked for.
        pace: how often is asked.
    """

    errand: Errand
    workspace: Coordinates
    box: Mailbox
    job: Submitted
    observer: Observer
    stop: StopFlag
    leave: threading.Event | None
    grace: float
    pace: Pace
    _last: Progress | None = None
    _absent: int = 0
    _remote: Remote = field(init=False)
    _doubt: Doubt = field(init=False)

    def __post_init__(self) -> None:
        self._remote, self._doubt = self.job.remote, Doubt(self.pace)

    def report(self) -> RunReport | None:
        """Returns how the job ended; None where somebody left before.

        Raises:
            AzureUnavailable: refusals only, for a long time.
        """
        try:
            self._tell(f"Azure ML: {self._remote.state}")
            self._until_ended(self._heed)
            return self._ended()
        except _Turn:
            return None if self.stop.signal is None else self._stopped()

    def _until_ended(self, heed: Callable[[], None]) -> None:
        pause, mailed = self.pace.least, 0.0
        while self._remote.state not in ENDED:
            before = self._remote.state
            self._look(heed)
            pause = self.pace.least if self._remote.state != before else min(pause * 2, self.pace.most)
            if self._remote.state != before:
                self._tell(f"Azure ML: {self._remote.state}")
            if self._remote.state in ENDED:
                return
            until = time.monotonic() + pause
            while (left := until - time.monotonic()) > 0:
                if self._remote.state in WORKING and time.monotonic() - mailed >= self.pace.mail:
                    self._mail(heed)
                    mailed = time.monotonic()
                rest(min(left, self.pace.mail), heed)

    def _look(self, heed: Callable[[], None]) -> None:
        """Asks for the job's state.

        Raises:
            AzureMLJobCanceled: there is no such job any more.
        """
        found = self._asked(lambda: (jobs.find(self.workspace, self._remote.name),), heed)
        if found is None:
            return
        (job,) = found
        if job is not None:
            self._remote, self._absent = job.remote, 0
            return
        self._absent += 1
        if self._absent >= ABSENT:
            raise AzureMLJobCanceled(f"the job {self._remote.name} is not on Azure ML any more: it was deleted there")

    def _mail(self, heed: Callable[[], None]) -> None:
        """Passes on what the runner has said, when that is news."""
        said = self._asked(self.box.progress, heed)
        if said is not None and said != self._last:
            self._last = said
            self.observer(said.model_copy(update={"remote": self._remote}))

    def _asked(self, question: Callable[[], T], heed: Callable[[], None]) -> T | None:
        """Returns an answer, or None where there is none now: that is told, and asked again later."""
        try:
            answer = ask(question, heed)
        except MillwrightError as error:
            self._doubt.trouble(error)
            self._tell(f"Azure ML: {self._remote.state}; {error.message}")
            return None
        self._doubt.well()
        return answer

    def _ended(self) -> RunReport:
        """The runner's own word for word; else what the service says of it."""
        heed = self._heed_leave
        until = time.monotonic() + (LAST_WORDS if self._remote.state == "Completed" else 0)
        while True:
            said = self._surely(self.box.report, heed)
            if said is not None or time.monotonic() >= until:
                break
            rest(min(self.pace.least, 1.0), heed)
        if said is not None and not (self._remote.state == "Canceled" and said.outcome == "Stopped"):
            return said.model_copy(update={"remote": self._remote})
        ended, tail = self._surely(self._explained, heed)
        return self._failed(failed(ended, tail, self._remote.name))

    def _explained(self) -> tuple[Ended, str]:
        ended = how_it_ended(self.workspace, self._remote.name, self._remote.state)
        return ended, tail_of(ended) if self._remote.state != "Canceled" else ""

    def _surely(self, question: Callable[[], T], heed: Callable[[], None]) -> T:
        """Returns an answer, however long that takes."""
        pause = self.pace.least
        while True:
            try:
                return ask(question, heed)
            except MillwrightError as error:
                self._doubt.trouble(error)
                self._tell(f"Azure ML: {self._remote.state}; {error.message}")
            rest(pause, heed)
            pause = min(pause * 2, self.pace.most)

    def _stopped(self) -> RunReport:
        """Asks the runner for a checkpoint and its end; then cancels the job. What ends by itself meanwhile is told."""
        number = self.stop.signal or signal.SIGTERM
        began = time.monotonic()
        hard = min(HARD_SECONDS, self.grace * HARD_SHARE)

        def soon(limit: float) -> Callable[[], None]:
            """Gives up so many seconds after the stop was asked for."""

            def heed() -> None:
                """Gives up when it is time."""
                if time.monotonic() - began > limit:
                    raise _Turn

            return heed

        soft = soon(self.grace - hard)
        with suppress(_Turn, AzureMLJobCanceled):
            self._tell(f"Azure ML: {self._remote.state}; asked for a checkpoint and a stop")
            self._surely(self.box.stop, soft)
            self._look(soft)
            if self._remote.state in WORKING:
                self._until_ended(soft)
        if self._remote.state not in ENDED:
            with suppress(_Turn, AzureMLJobCanceled):
                self._surely(lambda: jobs.cancel(self.workspace, self._remote.name), soon(self.grace * LAST_SHARE))
                self._until_ended(soon(self.grace * LAST_SHARE))
        if self._remote.state in ENDED:
            with suppress(_Turn, MillwrightError):
                said = ask(self.box.report, soon(self.grace))
                if said is not None:
                    return said.model_copy(update={"remote": self._remote})
        how = "ended" if self._remote.state in ENDED else f"was told to end and is still {self._remote.state}"
        message = f"{signal.Signals(number).name}: the job {self._remote.name} {how} on Azure ML"
        return self._failed(Stopped(message, signal=number))

    def _failed(self, failure: MillwrightError) -> RunReport:
        report = record.failed_report(failure, Told(), None, 0.0)
        return report.model_copy(update={"remote": self._remote, "peak_memory_bytes": None})

    def _tell(self, message: str) -> None:
        self.observer(as_progress(self.errand, message, self._remote, self._last))

    def _heed(self) -> None:
        if self.stop.signal is not None or (self.leave is not None and self.leave.is_set()):
            raise _Turn

    def _heed_leave(self) -> None:
        """Of a job that has ended: a stop changes nothing any more."""
        if self.leave is not None and self.leave.is_set():
            raise _Turn


def as_progress(errand: Errand, message: str, remote: Remote | None, last: Progress | None = None) -> Progress:
    """Returns what is told while the runner says nothing: of the step that it said last, or that the part begins with."""
    if last is not None:
        kept = {"message": message, "remote": remote, "done": None, "total": None, "loss": None, "eta_seconds": None}
        return last.model_copy(update=kept)
    names = [step.name for step in errand.job.spec.passes]
    text = errand.part.get(ENV_STEPS, "0:").partition(":")[0]
    first = min(int(text), len(names) - 1) if text.isdecimal() and ENV_TRIAL not in errand.part else 0
    return Progress(step_name=names[first], step_index=first, steps=len(names), message=message, remote=remote)
