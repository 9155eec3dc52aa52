"""The courier: checks a job, has it run on Azure ML, follows it there and says how it ended.

It holds no state of its own. A job's name is made of what it is for, and its mailbox says whether its end was told: a courier
that starts finds the job again. Active: it follows; ended and not told: it tells; ended and told, or stopped by a courier: it
submits the next number. Names are unique on Azure ML, so of two couriers at once the second follows the first one's job.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from millwright_api.errors import MillwrightError
from millwright_api.report import Progress, Remote, RunReport
from millwright_runner.passes import StopFlag
from millwright_runner.remote.errand import Errand

Observer = Callable[[Progress], None]
"""Told how far the job is, `remote` filled in; from the thread that called."""


@dataclass(frozen=True)
class Checked:
    """What was found of the workspace.

    Attributes:
        problems: all that is wrong, each with its place in the manifest.
        notes: what a person should know: where it would run.
    """

    problems: list[MillwrightError] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Submitted:
    """A job on Azure ML.

    Attributes:
        remote: its name, state and address.
        made: whether it was submitted now; else it was there.
        number: which of the errand's jobs it is, from 1.
    """

    remote: Remote
    made: bool
    number: int


class Courier:
    """Carries an errand out.

    Args:
        errand: what is to be done.
        home: this machine's folder, for the code snapshot.
        grace: seconds that are left after a stop was asked for.
    """

    def __init__(self, errand: Errand, home: Path, *, grace: float = 120) -> None:
        raise NotImplementedError

    def check(self) -> Checked:
        """Looks at workspace, compute, environment and secrets; changes nothing. Collects what is wrong rather than raising it.

        Raises:
            AzureUnavailable: Azure does not answer.
        """
        raise NotImplementedError

    def latest(self) -> tuple[Remote, RunReport | None] | None:
        """Returns the newest job of this errand, with its report when it has ended and that was told; None: there is none."""
        raise NotImplementedError

    def submit(self, observer: Observer, stop: StopFlag) -> Submitted:
        """Finds the job that is active or not told yet, or submits the next number. Outwaits a service that is away.

        Raises:
            UserError: Azure ML does not take it; which reason says why.
            AzureUnavailable: it does not answer, for ten minutes.
            Stopped: a stop was asked for before there was a job.
        """
        raise NotImplementedError

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
        """
        raise NotImplementedError

    def run(self, observer: Observer, stop: StopFlag) -> RunReport:
        """`submit` and `follow`."""
        raise NotImplementedError

    def told(self) -> None:
        """Notes that the end of the job followed last was told; hand-over secrets are removed. To be called when the report is
        where it belongs. Never raises: what cannot be noted is told once more by the next courier."""
        raise NotImplementedError

    def cancel(self) -> list[Remote]:
        """Makes sure that none of the OptimizationJob's jobs is active; returns those that were. Hand-over secrets are removed.

        Raises:
            AzureUnavailable: Azure does not answer.
        """
        raise NotImplementedError
