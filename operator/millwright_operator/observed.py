"""What the operator knows of a job and its children: small, frozen, made from API objects by pure functions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from millwright_api.names import Role, fingerprint
from millwright_api.report import Progress
from millwright_api.status import Status

Body = Mapping[str, Any]
"""An API object as JSON."""


class Key(NamedTuple):
    """Names an OptimizationJob."""

    namespace: str
    name: str


@dataclass(frozen=True)
class Resource:
    """An OptimizationJob.

    Attributes:
        key: its namespace and name.
        uid: of this very object; another one of the same name has another.
        generation: of its spec.
        resource_version: for writes that must not overwrite a newer one.
        spec: as the API server has it, defaults filled in.
        status: as last written.
        requested_at: the annotation that asks for another preflight.
        finalizers: what has to be taken away before it is gone.
        deleted_at: when it was deleted, RFC 3339, while a finalizer holds it; None: it was not.
    """

    key: Key
    uid: str
    generation: int
    resource_version: str
    spec: Mapping[str, Any]
    status: Status
    requested_at: str | None = None
    finalizers: tuple[str, ...] = ()
    deleted_at: str | None = None

    @property
    def deleting(self) -> bool:
        """Whether it is being deleted."""
        return self.deleted_at is not None


@dataclass(frozen=True)
class Ended:
    """How a container ended.

    Attributes:
        exit_code: of its process.
        reason: the kubelet's word: Completed, Error, OOMKilled.
        message: the termination message: a RunReport as JSON, or the log's last lines.
        finished_at: RFC 3339.
    """

    exit_code: int
    reason: str = ""
    message: str = ""
    finished_at: str | None = None


@dataclass(frozen=True)
class SeenPod:
    """A pod of one of the Jobs: one attempt.

    Attributes:
        job: the Job's name; empty: it was deleted, and the pod left behind.
        phase: Pending, Running, Succeeded, Failed or Unknown.
        deleting: whether it has a deletion timestamp.
        unschedulable: the scheduler's message while it finds no node.
        waiting: reason and message while the container waits: ImagePullBackOff, CreateContainerConfigError …
        started_at: when the container started, RFC 3339.
        ended: how the container ended.
        disrupted: reason of the DisruptionTarget condition: evicted, preempted, node gone.
        evicted: the kubelet's message when it evicted the pod (status.reason Evicted).
        memory_limit: of its container, as written.
        image: of its container.
        segment: of a search's trials: the segment's label.
        gone_by: of one that is being deleted: the end of its grace period, RFC 3339.
        courier: whether it has Azure ML do the passes.
    """

    name: str
    uid: str
    job: str
    role: Role
    stage: int | None
    phase: str
    created_at: str
    deleting: bool = False
    unschedulable: str | None = None
    waiting: tuple[str, str] | None = None
    started_at: str | None = None
    ended: Ended | None = None
    disrupted: str | None = None
    evicted: str | None = None
    memory_limit: str | None = None
    image: str | None = None
    segment: str | None = None
    gone_by: str | None = None
    courier: bool = False

    @property
    def finished(self) -> bool:
        """Whether it holds nothing any more: no writer is left in it."""
        return self.phase in ("Succeeded", "Failed")


@dataclass(frozen=True)
class SeenJob:
    """A batch/v1 Job.

    Attributes:
        suspended: spec.suspend.
        complete: its Complete condition.
        failed: reason and message of its Failed condition: PodFailurePolicy, BackoffLimitExceeded, DeadlineExceeded.
        failing: whether it is about to fail, and its pods are being deleted: its FailureTarget condition.
        failures: status.failed: attempts that counted.
        active: pods that run or wait.
        started_at: status.startTime, set anew at each resume.
        suspended_at: when it was last suspended; None while it is not.
        completed_at: when it finished, either way.
        backoff_limit, active_deadline, ttl: of its spec.
        owner: uid of the OptimizationJob that it belongs to.
        segment: of a search's trials: the segment's label.
    """

    name: str
    uid: str
    role: Role
    stage: int | None
    suspended: bool = False
    complete: bool = False
    failed: tuple[str, str] | None = None
    failing: bool = False
    failures: int = 0
    active: int = 0
    started_at: str | None = None
    suspended_at: str | None = None
    completed_at: str | None = None
    backoff_limit: int | None = None
    active_deadline: int | None = None
    ttl: int | None = None
    deleting: bool = False
    owner: str | None = None
    segment: str | None = None

    @property
    def finished(self) -> bool:
        """Whether no further pod will come."""
        return self.complete or self.failed is not None


@dataclass(frozen=True)
class SeenManifest:
    """A job's ConfigMap.

    Attributes:
        name: its name.
        digest: sha256 over its data; see `digest_of`.
        owner: uid of the OptimizationJob that it belongs to.
    """

    name: str
    digest: str
    owner: str | None = None


@dataclass(frozen=True)
class Heard:
    """The latest that a pod said of where it stands.

    Attributes:
        progress: its words.
        pod_uid: the pod that said so, as its token proves.
        at: when it was received, with its time zone.
    """

    progress: Progress
    pod_uid: str
    at: datetime


@dataclass(frozen=True)
class Refusal:
    """The API server's answer to a Job that it did not take.

    Attributes:
        message: the Job's name and the server's words.
        job: the Job's name; empty: whichever it is, as where the finalizer is refused.
        for_good: whether the same Job is refused again (it is invalid, or its name is taken); else a quota may get free.
        namespace_goes: whether that is since the namespace is being deleted.
    """

    message: str
    for_good: bool
    job: str = ""
    namespace_goes: bool = False


@dataclass(frozen=True)
class Podless:
    """Why a Job gets no pod.

    Attributes:
        job: the Job's name.
        message: what the Job controller says.
    """

    job: str
    message: str


@dataclass(frozen=True)
class Children:
    """All that belongs to one OptimizationJob, also of its earlier specs.

    Attributes:
        jobs, pods, manifests: what is there.
        refused: why the Job that should be there is not; known to the process that tried, and found out again by the next.
        podless: Jobs that get no pod, and why; likewise.
    """

    jobs: tuple[SeenJob, ...] = ()
    pods: tuple[SeenPod, ...] = ()
    manifests: tuple[SeenManifest, ...] = field(default=())
    refused: Refusal | None = None
    podless: tuple[Podless, ...] = ()


def digest_of(config_map: Body) -> str:
    """Returns the sha256 over a ConfigMap's data: whether it has to be applied again."""
    return fingerprint(dict(config_map.get("data") or {}))
