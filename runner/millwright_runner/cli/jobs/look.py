"""One look at a job: what the API server said of it, as the views need it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import ValidationError

from millwright_api.errors import UserError
from millwright_api.report import PassReport, Progress
from millwright_api.search import Search
from millwright_api.status import Condition, ConditionType, PassStatus, Status

MEND = "mend the manifest and apply it again; after mending something outside of it: {retry}"
RETRY = "kubectl annotate {resource} {name} -n {namespace} --overwrite millwright.dev/requested-at=$(date +%s)"
WAITS = {
    "SecretNotFound": "create the Secret; the pod starts by itself",
    "VolumeNotFound": "create the PersistentVolumeClaim; the pod starts by itself",
    "ImagePullFailed": "push the image or mend imagePullSecrets; the pod starts by itself. Another image needs another job",
    "PodRefused": "kubectl describe its pod; it starts by itself when that is mended",
    "PodNotCreated": "mend what refuses its pods; the Job tries again by itself, within minutes",
    "Unschedulable": "add such a node or free one; the pod starts by itself",
}
"""What a person can do about what holds a job up once it has started; its recipe is frozen then."""


USUAL = (
    "Validating",
    "StagePending",
    "StageRunning",
    "Publishing",
    "QueuedForQuota",
    "SuspendedByUser",
    "Succeeded",
)
"""Reasons that say no more than the phase and the message do."""


class StatusNotUnderstood(UserError):
    """The status is of another version's making."""


@dataclass(frozen=True)
class Happening:
    """An Event on the job.

    Attributes:
        time: RFC 3339.
        warning: whether it is of type Warning.
    """

    time: str
    reason: str
    note: str
    warning: bool


@dataclass(frozen=True)
class Look:
    """An OptimizationJob as it was at one moment.

    Attributes:
        uid: of this very object; another one of the same name has another.
        generation: of its spec.
        created: when it was made.
        steps: names of its steps, in order.
        base: where the model comes from; empty when that cannot be said outside of the cluster.
        status: as the operator wrote it.
        said: the same as JSON, without what the operator keeps for itself.
        search: the manifest's; None without one, and where it is a newer version's.
    """

    namespace: str
    name: str
    uid: str
    generation: int
    created: datetime
    steps: tuple[str, ...]
    base: str
    status: Status
    said: Mapping[str, Any]
    search: Search | None = None

    @property
    def title(self) -> str:
        """Namespace and name."""
        return f"{self.namespace}/{self.name}"

    @property
    def ended(self) -> Literal["Complete", "Failed"] | None:
        """How it ended; None while it may go on."""
        if self.holds("Complete"):
            return "Complete"
        return "Failed" if self.holds("Failed") else None

    @property
    def passes(self) -> tuple[PassStatus, ...]:
        """What is known of each step; before anything ran they are all pending."""
        return tuple(self.status.passes) or tuple(PassStatus(name=n, phase="Pending", stage=0) for n in self.steps)

    @property
    def seconds(self) -> float | None:
        """From the start to the end, in seconds; None while it is not over."""
        start, end = self.status.start_time, self.status.completion_time
        return None if start is None or end is None else (when(end) - when(start)).total_seconds()

    def condition(self, kind: ConditionType) -> Condition | None:
        """Returns the condition of a type."""
        return next((c for c in self.status.conditions if c.type == kind), None)

    def holds(self, kind: ConditionType) -> bool:
        """Whether a condition is True."""
        found = self.condition(kind)
        return found is not None and found.status == "True"

    def headline(self) -> str:
        """Returns the phase, and what there is to say about it."""
        if self.status.phase is None:
            return "Pending: no operator has looked at it yet (does one run, and does it watch this namespace?)"
        told = self.condition("Ready")
        if self.status.observed_generation < self.generation and not self.ended:
            return f"{self.status.phase}: the last change of the manifest has not been looked at yet"
        if told is None:
            return self.status.phase
        words = (self.status.phase, "" if told.reason in USUAL else told.reason, told.message)
        return ": ".join(word for word in words if word)

    def advice(self) -> str:
        """Returns what a person can do when the job waits for one, or nothing."""
        stalled = self.condition("Stalled")
        if stalled is None or stalled.status != "True" or self.ended:
            return ""
        if self.status.start_time is not None:
            return WAITS.get(stalled.reason, "")
        return MEND.format(retry=RETRY.format(resource="optjob", name=self.name, namespace=self.namespace))


def look(body: Mapping[str, Any]) -> Look:
    """Returns what an OptimizationJob's JSON says.

    Raises:
        StatusNotUnderstood: the operator is another version's.
    """
    about, spec = body["metadata"], body.get("spec", {})
    said = {key: value for key, value in body.get("status", {}).items() if key != "kopf"}
    try:
        status = Status.model_validate(said)
    except ValidationError as error:
        (first, *_) = error.errors()
        where = ".".join(("status", *map(str, first["loc"])))
        raise StatusNotUnderstood(
            f"found {first['input']!r}", where=where, hint="the operator is of another version: update this command"
        ) from error
    return Look(
        namespace=about["namespace"], name=about["name"], uid=about["uid"], generation=about["generation"],
        created=when(about["creationTimestamp"]), steps=tuple(_step_name(step) for step in spec.get("passes", ())),
        base=_base(spec.get("model", {})), status=status, said=said, search=_search(spec.get("search")),
    )  # fmt: skip


def happening(body: Mapping[str, Any]) -> Happening:
    """Returns what an Event (events.k8s.io) says."""
    time = body.get("eventTime") or body["metadata"]["creationTimestamp"]
    return Happening(time, body.get("reason", ""), body.get("note", ""), body.get("type") == "Warning")


def running(seen: Look) -> Progress | None:
    """Returns where the running step stands; its time left is in `seen.status.progress.eta`."""
    now = seen.status.progress
    if now is None or seen.status.phase != "Running":
        return None
    names = [entry.name for entry in seen.passes]
    return Progress(
        step_name=now.pass_,
        step_index=names.index(now.pass_) if now.pass_ in names else 0,
        steps=len(names),
        message=now.message,
        done=now.step,
        total=now.total_steps,
        loss=now.loss,
    )


def finished(entry: PassStatus) -> PassReport:
    """Returns a step's status as the report that it was made from; its key and size are not in a status."""
    return PassReport(
        name=entry.name,
        pass_=entry.name,
        phase=entry.phase,
        cache=entry.cache or "Off",
        key="",
        seconds=entry.seconds or 0.0,
        resumed_from=entry.resumed_from,
        metrics=entry.metrics,
    )


def when(text: str) -> datetime:
    """Returns a point in time after RFC 3339."""
    return datetime.fromisoformat(text).astimezone(UTC)


def _search(written: Any) -> Search | None:
    try:
        return None if written is None else Search.model_validate(written)
    except ValidationError:
        return None


def _step_name(step: Mapping[str, Any]) -> str:
    (kind,) = [key for key in step if key not in ("name", "resources")] or ["?"]
    return str(step.get("name") or (step[kind].get("pass") if kind == "custom" else kind))


def _base(model: Mapping[str, Any]) -> str:
    return str(
        model.get("huggingFace", {}).get("repo") or (model.get("s3") or model.get("azureBlob") or {}).get("uri") or ""
    )
