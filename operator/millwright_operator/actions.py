"""What a reconcile wants done: data; `cluster.py` does it, in order, and stops at the first that fails."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from millwright_api.status import Status


@dataclass(frozen=True)
class CreateJob:
    """Create a Job; that it exists already is fine.

    Attributes:
        body: the Job.
        alone: labels; while an unfinished pod of this namespace carries them, asked of the API server itself, the Job
            is not created and the reconcile ends there: two writers never overlap. It is asked again when that pod ends.
    """

    body: Mapping[str, Any]
    alone: Mapping[str, str] | None = None


@dataclass(frozen=True)
class PatchJob:
    """Merge into a Job's spec: suspend, backoffLimit, activeDeadlineSeconds, ttlSecondsAfterFinished."""

    name: str
    spec: Mapping[str, Any]


@dataclass(frozen=True)
class DeleteJob:
    """Delete a Job and, in the background, its pods; that it is gone is fine."""

    name: str
    uid: str


@dataclass(frozen=True)
class ApplyManifest:
    """Server-side apply of the job's ConfigMap."""

    body: Mapping[str, Any]


@dataclass(frozen=True)
class DeleteManifest:
    """Delete a ConfigMap of an earlier spec; that it is gone is fine."""

    name: str


@dataclass(frozen=True)
class WriteStatus:
    """Server-side apply of the status.

    Attributes:
        status: all of it.
        resource_version: refuse (and read again) when the object has moved on: what an old copy says may be long untrue.
        progress_only: may wait for the rate limits of progress.
    """

    status: Status
    resource_version: str | None = None
    progress_only: bool = False


@dataclass(frozen=True)
class PatchFinalizers:
    """Set the finalizers of the OptimizationJob, on top of the very object that was seen.

    Attributes:
        finalizers: all of them, others' included.
        resource_version: refuse (and read again) when the object has moved on.
    """

    finalizers: tuple[str, ...]
    resource_version: str


@dataclass(frozen=True)
class Tell:
    """Post an Event on the OptimizationJob, once: `identity` makes its name."""

    kind: Literal["Normal", "Warning"]
    reason: str
    message: str
    identity: str


@dataclass(frozen=True)
class AskWhy:
    """Ask the Job controller's Events why a Job gets no pod; what they say is part of the next look.

    Attributes:
        job, uid: of the Job.
        since: RFC 3339; what is older counts no more. Empty: all counts.
    """

    job: str
    uid: str
    since: str


@dataclass(frozen=True)
class LookAgain:
    """Reconcile once more after so many seconds, whatever happens."""

    seconds: float


Action = (
    CreateJob
    | PatchJob
    | DeleteJob
    | ApplyManifest
    | DeleteManifest
    | WriteStatus
    | PatchFinalizers
    | Tell
    | AskWhy
    | LookAgain
)
