"""The courier: checks a job, has it run on Azure ML, follows it there and says how it ended.

It holds no state of its own. A job's name is made of what it is for, and its mailbox says whether its end was told: a courier
that starts finds the job again. Active: it follows; ended and not told: it tells; ended and told, or stopped by a courier: it
submits the next number. Names are unique on Azure ML, so of two couriers at once the second follows the first one's job.
"""

from __future__ import annotations

import contextlib
import sys
import tempfile
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from millwright_api.errors import AzureUnavailable, MillwrightError, Stopped
from millwright_api.names import ENV_SIGNING_KEY
from millwright_api.report import Remote, RunReport
from millwright_runner.azure.coordinates import Coordinates, coordinates
from millwright_runner.passes import StopFlag
from millwright_runner.remote import jobs, mailbox, secrets
from millwright_runner.remote.asking import Pace, ask, outwait
from millwright_runner.remote.check import Checked, check
from millwright_runner.remote.definition import definition
from millwright_runner.remote.errand import Errand
from millwright_runner.remote.follow import LAST_SHARE, Following, Observer, as_progress
from millwright_runner.remote.jobs import Found, Submitted
from millwright_runner.remote.mailbox import Mailbox
from millwright_runner.remote.naming import family, number_of, numbered, stem, tag_of
from millwright_runner.remote.place import Place, bring, place_of
from millwright_runner.remote.snapshot import make_snapshot

__all__ = ["Checked", "Courier", "Errand", "Latest", "Observer", "Pace", "Submitted"]

SNAPSHOTS = "azureml"
"""In this machine's folder."""


@dataclass(frozen=True)
class Latest:
    """The newest job of an errand.

    Attributes:
        remote: its name, state and address.
        ended: whether it has.
        told: whether its end was told.
        report: the runner's last word, of a job that has ended, where there is one.
    """

    remote: Remote
    ended: bool
    told: bool
    report: RunReport | None


class Courier:
    """Carries an errand out.

    Args:
        errand: what is to be done.
        home: this machine's folder, for the code snapshot.
        grace: seconds that are left after a stop was asked for.
        pace: how often Azure is asked.
    """

    def __init__(self, errand: Errand, home: Path, *, grace: float = 120, pace: Pace | None = None) -> None:
        self._errand, self._home, self._grace, self._pace = errand, home, grace, pace or Pace()
        self._stem = stem(errand)
        self._followed: Remote | None = None
        self._sending: str | None = None
        self._sent = threading.Event()

    @cached_property
    def workspace(self) -> Coordinates:
        """The workspace that the job runs in.

        Raises:
            InvalidManifest, WorkspaceNotFound: nobody says which.
        """
        return coordinates(self._errand.wanted, self._errand.base)

    @cached_property
    def _place(self) -> Place:
        return place_of(self._errand, self.workspace, self._home)

    def check(self) -> Checked:
        """Looks at workspace, compute, environment and secrets; changes nothing. Collects what is wrong rather than raising it.

        Raises:
            AzureUnavailable: Azure does not answer.
        """
        try:
            workspace = self.workspace
        except MillwrightError as error:
            return Checked([error])
        return check(self._errand, workspace)

    def latest(self) -> Latest | None:
        """Returns the newest job of this errand; None: there is none."""
        found = self._newest()
        if found is None:
            return None
        box = self._box(found.name)
        return Latest(found.remote, found.ended, box.told(), box.report() if found.ended else None)

    def submit(self, observer: Observer, stop: StopFlag) -> Submitted:
        """Finds the job that is active or not told yet, or submits the next number. Outwaits a service that is away.

        Raises:
            UserError: Azure ML does not take it; which reason says why.
            AzureUnavailable: it does not answer, for ten minutes.
            Stopped: a stop was asked for before there was a job.
        """

        def heed() -> None:
            """Heeds a stop."""
            stop.check("stopped before there was a job on Azure ML")

        def tell(error: MillwrightError) -> None:
            """Says why it takes so long."""
            observer(as_progress(self._errand, f"Azure ML: {error.message}; trying again", None))

        try:
            return outwait(lambda: self._submit(observer, stop), heed, tell, self._pace)
        except Stopped:
            self._stop_what_was_sent()
            raise

    def follow(
        self, job: Submitted, observer: Observer, stop: StopFlag, leave: threading.Event | None = None
    ) -> RunReport | None:
        """Follows a job to its end and returns its report: the runner's own word for word, else what the service says.

        A service that is slow or away is outwaited. When a stop is asked for, the runner is asked for a checkpoint, then the
        job is canceled; the report is then that of a stop. With output.path a model that was made is brought there.

        Args:
            job: from `submit`.
            observer: told how far it is.
            stop: asks for a stop of the job.
            leave: set to end following without stopping the job; the answer is then None.

        Raises:
            AzureUnavailable: Azure has refused to answer for ten minutes; the job runs on.
        """
        following = Following(
            self._errand,
            self.workspace,
            self._box(job.remote.name),
            job,
            observer,
            stop,
            leave,
            self._grace,
            self._pace,
        )
        report = following.report()
        self._followed = report.remote if report is not None else None
        if report is None or report.outcome != "Succeeded" or self._place.target is None:
            return report
        try:
            uri = ask(lambda: bring(self._place), lambda: _stay(stop, leave))
        except _Left:
            self._followed = None
            return None
        if uri is not None and report.artifact is not None:
            report = report.model_copy(update={"artifact": report.artifact.model_copy(update={"uri": uri})})
        return report

    def run(self, observer: Observer, stop: StopFlag) -> RunReport:
        """`submit` and `follow`."""
        report = self.follow(self.submit(observer, stop), observer, stop)
        assert report is not None  # nobody leaves
        return report

    def told(self) -> None:
        """Notes that the end of the job followed last was told; hand-over secrets are removed. To be called when the report is
        where it belongs. Never raises: what cannot be noted is told once more by the next courier."""
        if self._followed is None or self._followed.state not in jobs.ENDED:
            return
        name = self._followed.name
        for deed in (lambda: self._box(name).tell(), lambda: self._take_back(name)):
            try:
                ask(deed, lambda: None)
            except MillwrightError as error:
                sys.stderr.write(f"after the end of {name}: {error}\n")

    def cancel(self) -> list[Remote]:
        """Makes sure that none of the OptimizationJob's jobs is active; returns those that were. Hand-over secrets are removed.

        Raises:
            AzureUnavailable: Azure does not answer, or a job does not end.
        """
        beginning, tag = family(self._errand), tag_of(self._errand)
        noted: dict[str, set[str]] = {}
        with contextlib.suppress(MillwrightError):  # the service's own list is the other source
            noted = mailbox.known(self._place.store, beginning)
        names = {name for name, files in noted.items() if mailbox.TOLD not in files}
        names |= set(jobs.listed(self.workspace, tag, beginning))
        canceled = self._end(names)
        on_their_way = [
            name for name in names if mailbox.ASKED in noted.get(name, ()) and jobs.find(self.workspace, name) is None
        ]
        if on_their_way:  # by a courier that was killed in that moment
            time.sleep(self._pace.least)
            canceled += self._end(on_their_way)
        return canceled

    def _end(self, names: Iterable[str]) -> list[Remote]:
        """Cancels jobs that are active, and waits for their end; removes what was handed over for any of them."""
        canceled = []
        for name in sorted(names):
            found = jobs.find(self.workspace, name)
            if found is not None and not found.ended:
                jobs.cancel(self.workspace, name)
                jobs.wait_for_end(self.workspace, name, self._pace)
                canceled.append(found.remote)
            with contextlib.suppress(MillwrightError):
                self._take_back(name)
        return canceled

    def _stop_what_was_sent(self) -> None:
        """A stop came while the job was on its way: what arrives there has to end."""
        name, until = self._sending, time.monotonic() + self._grace * LAST_SHARE
        if name is None:
            return

        def heed() -> None:
            """Ends the waiting with the time that is left."""
            if time.monotonic() > until:
                raise AzureUnavailable(f"{name} was on its way when a stop came; the next courier stops it")

        def end() -> None:
            """Waits for the answer, and stops what it is about."""
            self._sent.wait()
            jobs.cancel(self.workspace, name)

        for deed in (self._box(name).stop, end):
            with contextlib.suppress(MillwrightError):
                ask(deed, heed)

    def _submit(self, observer: Observer, stop: StopFlag) -> Submitted:
        found = self._newest()
        number = 1
        if found is not None:
            number = number_of(found.name, self._stem) or 1
            box = self._box(found.name)
            if not found.ended:
                if not box.asked_to_stop():
                    return Submitted(found.remote, False, number)
                jobs.cancel(self.workspace, found.name)  # by a courier before this one, who meant its own end
                raise AzureUnavailable(f"{found.name} is still being stopped")
            if not (box.told() or self._stopped(box, found)):
                return Submitted(found.remote, False, number)
            with contextlib.suppress(MillwrightError):  # a courier that was killed may have left them
                self._take_back(found.name)
            number += 1
        return self._make(numbered(self._stem, number), number, observer, stop)

    def _stopped(self, box: Mailbox, found: Found) -> bool:
        """Whether a job ended because a courier asked for that."""
        if not box.asked_to_stop():
            return False
        report = box.report()
        return report is None or report.outcome == "Stopped"

    def _make(self, name: str, number: int, observer: Observer, stop: StopFlag) -> Submitted:
        observer(as_progress(self._errand, "Azure ML: submitting", None))
        place = self._place
        place.store.check(write=True)
        own = secrets.vault_of(None, self.workspace) if secrets.needs_own(self._errand) else ""
        found = secrets.places(self._errand, name, own)
        (self._home / SNAPSHOTS).mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self._home / SNAPSHOTS) as room:
            folder = Path(room) / "code"
            make_snapshot(self._errand, place.output, folder)
            job = definition(self._errand, name, folder, found, place.datastore)
            self._box(name).ask()
            secrets.hand_over(self._errand, name, own)
            self._sent.clear()
            self._sending = name
            try:
                stop.check("stopped before there was a job on Azure ML")
                return jobs.submit(self.workspace, job, name, number, self._errand.wanted)
            finally:
                self._sent.set()

    def _newest(self) -> Found | None:
        """Returns the job with the highest number. Those whose end was told need not be asked for one by one."""
        noted = mailbox.known(self._place.store, f"{self._stem}-")
        told = [number_of(name, self._stem) or 0 for name, files in noted.items() if mailbox.TOLD in files]
        number, newest = max([1, *told]), None
        while (found := jobs.find(self.workspace, numbered(self._stem, number))) is not None:
            newest, number = found, number + 1
        return newest

    def _take_back(self, name: str) -> None:
        variables = [one.name for one in self._errand.wanted.secrets if one.from_credentials]
        if secrets.signs(self._errand):
            variables.append(ENV_SIGNING_KEY)
        if variables:
            secrets.take_back(variables, name, secrets.vault_of(None, self.workspace))

    def _box(self, name: str) -> Mailbox:
        return Mailbox(self._place.store, name)


class _Left(Exception):
    """Nobody waits for it any more."""


def _stay(stop: StopFlag, leave: threading.Event | None) -> None:
    stop.check("the model is made; the same command brings the rest of it")
    if leave is not None and leave.is_set():
        raise _Left
