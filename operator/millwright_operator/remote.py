"""Jobs that run on Azure ML: what their manifests say, and what is known of the job there.

Such a job's stages and trials are small pods, couriers: each submits a job of Azure ML, follows it and tells what it said.
"""

from __future__ import annotations

from millwright_api.names import Role
from millwright_api.report import Remote
from millwright_api.status import RemoteStatus, Status
from millwright_api.v1alpha1 import Spec
from millwright_operator.case import Case
from millwright_operator.failures import report_of
from millwright_operator.observed import SeenPod

COURIERS: tuple[Role, ...] = ("stage", "trial")
"""Roles whose pods are couriers."""

WAITING_STATES = ("NotStarted", "Queued", "Preparing", "Starting", "Provisioning")
"""Of a job of Azure ML in which nothing of ours runs yet."""

ENDED_STATES = ("Completed", "Failed", "Canceled")
"""Of a job of Azure ML that runs no more."""


def runs_there(spec: Spec) -> bool:
    """Whether the job runs on Azure ML."""
    return spec.execution.azure_ml is not None


def known_of(case: Case) -> RemoteStatus | None:
    """Returns the latest job there: as a courier that is at work says; when none is, as the last one said at its end; else
    as status has it, as after a restart, when nothing was heard yet."""
    if not runs_there(case.spec):
        return None
    couriers = [pod for pod in case.children.pods if pod.role in COURIERS]
    working = {pod.uid for pod in couriers if not pod.finished}
    if case.heard and case.heard.pod_uid in working and case.heard.progress.remote:
        return _status(case.heard.progress.remote)
    if not working:
        for pod in sorted(couriers, key=_ended_at, reverse=True):
            report = report_of(pod)
            if report and report.remote:
                return _status(report.remote)
    return case.status.remote


def waits_there(case: Case, pod: SeenPod, pod_before: str | None) -> str | None:
    """Returns what a courier that runs waits for on Azure ML, for people; None where the runner runs there.

    Args:
        case: the look.
        pod: the courier's.
        pod_before: the pod that status names; what is known of the job there may be of that one.
    """
    if not runs_there(case.spec):
        return None
    known = known_of(case)
    heard = case.heard if case.heard and case.heard.pod_uid == pod.uid else None
    if known and known.state in WAITING_STATES:
        return f"Azure ML: {known.state} ({known.name})"
    if heard and heard.progress.remote:
        return None
    if case.status.phase == "Running" and pod_before == pod.name:
        return None  # it did run, and nothing was heard since this operator started
    return "being submitted to Azure ML"


def at_rest(status: Status) -> bool:
    """Whether the last job there is known to have ended."""
    return status.remote is not None and status.remote.state in ENDED_STATES


def told_of(status: Status) -> str:
    """Returns the last job there for people: its name, and where to look at it."""
    if status.remote is None:
        return "no job of Azure ML is known by name"
    return f"{status.remote.name}, last seen {status.remote.state}" + (
        f": {status.remote.url}" if status.remote.url else ""
    )


def _status(remote: Remote) -> RemoteStatus:
    return RemoteStatus.model_validate(remote.model_dump())


def _ended_at(pod: SeenPod) -> tuple[str, str, str]:
    return ((pod.ended.finished_at if pod.ended else None) or "", pod.created_at, pod.name)
