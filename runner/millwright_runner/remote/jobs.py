"""Jobs of a workspace, through the SDK: to find, to submit, to cancel. Each call is bounded by the client's patience."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from millwright_api.azureml import AzureML
from millwright_api.errors import AzureUnavailable
from millwright_api.report import Remote
from millwright_runner.azure.coordinates import Coordinates
from millwright_runner.azure.workspace import asking_workspace, client, code_of
from millwright_runner.remote.asking import Pace
from millwright_runner.remote.failure import refused

if TYPE_CHECKING:
    from azure.ai.ml.entities import Command

ENDED = {"Completed", "Failed", "Canceled", "NotResponding"}
"""States that a job stays in; the last one when its node has not been heard of for long."""

WORKING = {"Running", "Finalizing"}
"""States in which the runner may say something."""

ABOVE = {
    "ResourceNotFound",
    "ParentResourceNotFound",
    "ResourceGroupNotFound",
    "SubscriptionNotFound",
    "WorkspaceNotFound",
}
"""Codes of answers about what should hold the job, not about the job."""

LONGEST_URL = 1024
"""What a report takes."""

CANCEL_SECONDS = 300.0
"""How long Azure ML may take to end a job that it was told to cancel."""


@dataclass(frozen=True)
class Found:
    """A job that is there.

    Attributes:
        remote: its name, state and address.
    """

    remote: Remote

    @property
    def name(self) -> str:
        """The job's name."""
        return self.remote.name

    @property
    def ended(self) -> bool:
        """Whether it has."""
        return self.remote.state in ENDED


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


def find(workspace: Coordinates, name: str) -> Found | None:
    """Returns a job by its name; None where there is none."""
    from azure.core.exceptions import ResourceNotFoundError

    with asking_workspace(workspace):
        try:
            return Found(_remote(client(workspace).jobs.get(name)))
        except ResourceNotFoundError as error:
            if code_of(error) in ABOVE:
                raise
            return None


def listed(workspace: Coordinates, tag: str, beginning: str) -> Iterator[str]:
    """Yields the names of a family's jobs that have not ended, as the service lists them; that list may be some seconds behind."""
    with asking_workspace(workspace):
        for job in client(workspace).jobs.list(tag=tag):
            if job is not None and str(job.name).startswith(beginning) and _state(job) not in ENDED:
                yield str(job.name)


def submit(workspace: Coordinates, job: Command, name: str, number: int, wanted: AzureML) -> Submitted:
    """Submits a job. Where there is one of that name meanwhile, that is the job.

    Raises:
        UserError: it is not taken.
        AzureUnavailable: no answer.
    """
    from azure.ai.ml.exceptions import MlException
    from azure.core.exceptions import HttpResponseError

    with asking_workspace(workspace), _no_repository():
        try:
            return Submitted(_remote(client(workspace).jobs.create_or_update(job)), True, number)
        except (HttpResponseError, MlException) as error:
            if _is_for_asking(error):
                raise
            there = find(workspace, name)
            if there is not None:
                return Submitted(there.remote, False, number)
            raise refused(error, wanted) from error


def cancel(workspace: Coordinates, name: str) -> None:
    """Asks for a job's end; that may take a while. A job that has ended, or is none, is passed over."""
    from azure.core.exceptions import HttpResponseError

    with asking_workspace(workspace):
        try:
            client(workspace).jobs.begin_cancel(name, polling=False)
        except HttpResponseError as error:
            if _is_for_asking(error):
                raise
            there = find(workspace, name)
            if there is not None and not there.ended and there.remote.state != "CancelRequested":
                raise AzureUnavailable(f"the job {name} cannot be canceled now: {error.message}") from error


def wait_for_end(workspace: Coordinates, name: str, pace: Pace, seconds: float = CANCEL_SECONDS) -> None:
    """Waits until a job has ended.

    Raises:
        AzureUnavailable: it does not, for so many seconds.
    """
    until, pause = time.monotonic() + seconds, pace.least
    while (there := find(workspace, name)) is not None and not there.ended:
        if time.monotonic() > until:
            raise AzureUnavailable(f"the job {name} was told to end and is still {there.remote.state}")
        time.sleep(pause)
        pause = min(pause * 2, pace.most)


@contextmanager
def _no_repository() -> Iterator[None]:
    """The SDK notes address, branch and commit of the repository that a process happens to run in; that is none of the job's."""
    before = os.environ.get("GIT_DIR")
    os.environ["GIT_DIR"] = os.devnull
    try:
        yield
    finally:
        os.environ.pop("GIT_DIR")
        if before is not None:
            os.environ["GIT_DIR"] = before


def _remote(job: Any) -> Remote:
    url = str(job.studio_url or "")
    return Remote(name=str(job.name), state=_state(job), url=url if 0 < len(url) <= LONGEST_URL else None)


def _state(job: Any) -> str:
    """Returns a job's state as the service calls it; the SDK has an enumeration of those it knows."""
    return str(getattr(job.status, "value", job.status) or "NotStarted")


def _is_for_asking(error: Any) -> bool:
    """Whether what went wrong is no answer about the job: `asking_workspace` explains it."""
    status = getattr(error, "status_code", None)
    return status in {401, 403, 429} or (status or 0) >= 500
