"""Jobs that get no pod. A quota, a policy or a name that leads nowhere has the API server refuse it, and only the Job
controller's Events say so: they are asked for, where a pod is missing for longer than it takes to make one.
"""

from __future__ import annotations

import re
from datetime import datetime

from millwright_api.status import MESSAGE_BYTES
from millwright_operator.actions import AskWhy
from millwright_operator.clock import seconds_between
from millwright_operator.failures import Finding
from millwright_operator.observed import Children, SeenJob
from millwright_operator.podspec import WORKING
from millwright_operator.text import shown

PATIENCE_SECONDS = 5.0
"""How long a Job may be without a pod before anybody is asked why."""

AGAIN_SECONDS = 20.0
"""Between two questions about Jobs that stay so."""

_HEALS = ("exceeded quota", "failed calling webhook", "being terminated")
"""In refusals that pass without a person's act on this job."""

_FIELDS = (
    ("no PriorityClass with name", "priorityClassName"),
    ("error looking up service account", "serviceAccountName"),
)
_RESOURCES = ("quota", " per Container ", " per Pod ", "limit to request ratio")
"""In refusals for what a pod asks for."""

CHARTS = "; what this small pod asks for is preflight.resources of the operator's chart, not the manifest's"
_PREFIX = re.compile(r'^Error creating: (pods "[^"]*" is forbidden: )?')


def questions(children: Children, now: datetime) -> tuple[AskWhy, ...]:
    """Returns what is asked of the Jobs whose pods are overdue. One at a time: those of a search mostly miss theirs for the
    same reason."""
    late = [job for job in _podless(children) if seconds_between(job.started_at, now) >= PATIENCE_SECONDS]
    if not late:
        return ()
    job = late[int(now.timestamp() // AGAIN_SECONDS) % len(late)]
    return (AskWhy(job.name, job.uid, _latest(children, job)),)


def look_again(children: Children, now: datetime) -> float | None:
    """Returns the seconds after which to look whether pods are there; None: there is none that is missing."""
    waits = [PATIENCE_SECONDS - seconds_between(job.started_at, now) for job in _podless(children)]
    return None if not waits else min((wait for wait in waits if wait > 0), default=AGAIN_SECONDS)


def refused(children: Children, job: str) -> Finding | None:
    """Returns why a Job gets no pod, as far as it is known; None for one that has a pod or may well get one."""
    known = next((entry for entry in children.podless if entry.job == job), None)
    if known is None or all(entry.name != job for entry in _podless(children)):
        return None
    said = _PREFIX.sub("", known.message)
    field = next((field for mark, field in _FIELDS if mark in said), None)
    where = f"spec.execution.kubernetes.podTemplate.{field}: " if field else ""
    small = any(entry.name == job and entry.role not in WORKING for entry in children.jobs)
    whose = CHARTS if small and any(mark in said for mark in _RESOURCES) else ""
    message = shown(f"{where}the API server takes no pod of Job {job}: {said}{whose}", MESSAGE_BYTES)
    return Finding("PodNotCreated", message, not any(mark in said for mark in _HEALS))


def _podless(children: Children) -> list[SeenJob]:
    """Jobs that are let run and have no pod that is not at its end; between two attempts that is so for a while."""
    have = {pod.job for pod in children.pods if not pod.finished}
    return [
        job
        for job in children.jobs
        if job.started_at and not (job.finished or job.suspended or job.deleting or job.name in have)
    ]


def _latest(children: Children, job: SeenJob) -> str:
    """When the last of a Job's pods was made: what the API server refused before that is past."""
    return max((pod.created_at for pod in children.pods if pod.job == job.name), default="")
