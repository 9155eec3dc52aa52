"""Does what a reconcile wants done: actions, in order, up to the first that cannot be done now.

Each may be done twice, and may find that somebody else did it. What the API server answers goes into the cache at once,
so that the next reconcile sees its own writes before any watch brings them.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from millwright_api import names
from millwright_api.report import cut
from millwright_operator.actions import (
    Action,
    ApplyManifest,
    AskWhy,
    CreateJob,
    DeleteJob,
    DeleteManifest,
    LookAgain,
    PatchFinalizers,
    PatchJob,
    Tell,
    WriteStatus,
)
from millwright_operator.cache import Kind
from millwright_operator.cluster import APPLY, FIELD_MANAGER, MERGE, ApiError, Cluster, path_of
from millwright_operator.metrics import Metrics
from millwright_operator.observed import Key, Podless, Refusal, Resource
from millwright_operator.pace import Pace
from millwright_operator.podless import AGAIN_SECONDS

logger = logging.getLogger(__name__)

NOTE_BYTES = 1024
"""Longest note of an Event that the API server takes."""

QUESTIONS_PER_SECOND = 2.0
"""About pods that are missing. The API server reads all of a namespace's Events for one, and pods are missing by the
thousand when it has much to do anyway."""

WRITER_LEFT_SECONDS = 30.0
"""When to look again while a pod of an earlier Job still runs; its end is seen earlier."""

CONTROLLER = f"{names.GROUP}/operator"

Take = Callable[[Kind, Mapping[str, Any]], None]
"""Takes an object that the API server answered with."""


class Stale(Exception):
    """What was acted on has moved on, and was read again: reconcile anew, at once."""


class Deeds:
    """Does actions.

    Args:
        cluster: where.
        take: is given what the API server says.
        forget: is given a kind, namespace, name and uid that turned out to be gone.
        metrics: counts.
        instance: name of this process, for Events.
        now: the present time, with its time zone.

    Attributes:
        refused: jobs whose Job the API server did not take at the last try.
        podless: Jobs that get no pod, by their OptimizationJob.
    """

    def __init__(
        self,
        cluster: Cluster,
        take: Take,
        forget: Callable[[Kind, str, str, str], None],
        metrics: Metrics,
        *,
        instance: str,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._cluster, self._take, self._forget = cluster, take, forget
        self._metrics, self._instance, self._now = metrics, instance, now
        self.refused: dict[Key, Refusal] = {}
        self.podless: dict[Key, tuple[Podless, ...]] = {}
        self._asking = Pace(AGAIN_SECONDS, QUESTIONS_PER_SECOND)

    def forget(self, key: Key) -> None:
        """Forgets a job that is gone."""
        self.refused.pop(key, None)
        self.podless.pop(key, None)
        self._asking.forget(key)

    async def do(self, resource: Resource, actions: Iterable[Action]) -> float | None:
        """Does actions on a job's behalf.

        Returns:
            Seconds after which to look again whatever happens; None: only when something happens.

        Raises:
            Stale: reconcile again; nothing after the stale action was done.
            ApiError: the API server refused or is away; nothing after that action was done.
        """
        again: float | None = None
        for action in actions:
            try:
                if isinstance(action, LookAgain):
                    again = action.seconds
                elif not await self._one(resource, action):
                    return WRITER_LEFT_SECONDS
            except ApiError as error:
                if "NamespaceTerminating" not in error.causes:
                    raise
                if not resource.deleting:
                    return None  # the job itself is about to go
                self.refused[resource.key] = Refusal(error.message, for_good=True, namespace_goes=True)
                raise Stale from error
        return again

    async def _one(self, resource: Resource, action: Action) -> bool:
        """Does one action. Returns whether the next may follow."""
        match action:
            case CreateJob():
                return await self._create(resource, action)
            case PatchJob():
                await self._patch(resource, action)
            case DeleteJob():
                await self._delete("jobs", resource, action.name, action.uid)
            case ApplyManifest():
                await self._apply(resource, action)
            case DeleteManifest():
                await self._delete("configmaps", resource, action.name, None)
            case WriteStatus():
                await self._status(resource, action)
            case PatchFinalizers():
                await self._finalizers(resource, action)
            case Tell():
                await self._tell(resource, action)
            case AskWhy():
                if not self._asking.wait(resource.key, asyncio.get_running_loop().time()):
                    await self._ask_why(resource, action)
        return True

    async def _create(self, resource: Resource, action: CreateJob) -> bool:
        space, name = resource.key.namespace, str(action.body["metadata"]["name"])
        if action.alone is not None and await self._writers(space, action.alone):
            logger.info("%s: Job %s waits until the pods before it have ended", resource.key, name)
            return False
        try:
            made = await self._cluster.ask("POST", path_of("jobs", space), action.body)
        except ApiError as error:
            if error.status == 409 and error.reason == "AlreadyExists":
                await self._existing(resource, name)
                return True
            if error.status in (403, 422) and "NamespaceTerminating" not in error.causes:
                await self._refused(resource, name, error)
            raise
        self.refused.pop(resource.key, None)
        self._metrics.wrote("job-create")
        self._take("jobs", made)
        return True

    async def _writers(self, namespace: str, labels: Mapping[str, str]) -> bool:
        """Whether an unfinished pod carries the labels, asked of the API server itself: the cache may lag behind."""
        selector = ",".join(f"{key}={value}" for key, value in sorted(labels.items()))
        pods = (await self._cluster.list("pods", namespace, selector)).items
        for pod in pods:
            self._take("pods", pod)
        return any((pod.get("status") or {}).get("phase") not in ("Succeeded", "Failed") for pod in pods)

    async def _existing(self, resource: Resource, name: str) -> None:
        """Takes a Job that exists already. One that somebody else owns is left alone.

        Raises:
            ApiError: it is not this job's.
        """
        found = await self._cluster.ask("GET", path_of("jobs", resource.key.namespace, name))
        owners = [owner.get("uid") for owner in found["metadata"].get("ownerReferences") or []]
        labels = found["metadata"].get("labels") or {}
        cancels = labels.get(names.LABEL_ROLE) == "cancel" and labels.get(names.LABEL_JOB) == resource.key.name
        if resource.uid not in owners and not (cancels and not owners):
            message = f"a Job of this name exists and belongs to something else (owners: {owners or 'none'}); delete it"
            error = ApiError(f"POST Job {name}", 409, reason="AlreadyExists", message=message)
            await self._refused(resource, name, error)
            raise error
        self.refused.pop(resource.key, None)
        self._take("jobs", found)

    async def _refused(self, resource: Resource, name: str, error: ApiError) -> None:
        """Keeps a refusal for the next look, whose status says it, and tells it."""
        message = f"Job {name} could not be created: {error.message}"
        self.refused[resource.key] = Refusal(message, for_good=error.status != 403, job=name)
        await self._tell(resource, Tell("Warning", "JobNotCreated", message, f"not-created/{name}/{message}"))

    async def _patch(self, resource: Resource, action: PatchJob) -> None:
        path = path_of("jobs", resource.key.namespace, action.name)
        try:
            done = await self._cluster.ask("PATCH", path, {"spec": dict(action.spec)}, MERGE)
        except ApiError as error:
            if error.status != 404:
                raise
            return
        self._metrics.wrote("job-patch")
        self._take("jobs", done)

    async def _delete(self, kind: Kind, resource: Resource, name: str, uid: str | None) -> None:
        options: dict[str, Any] = {"propagationPolicy": "Background"}
        if uid is not None:
            options["preconditions"] = {"uid": uid}
        try:
            done = await self._cluster.ask("DELETE", path_of(kind, resource.key.namespace, name), options)
        except ApiError as error:
            if error.status == 404:
                self._forget(kind, resource.key.namespace, name, uid or "")
            elif error.status != 409:  # 409: another object has the name by now
                raise
            return
        self._metrics.wrote(f"{kind.removesuffix('s')}-delete")
        if done.get("kind") == "Status":
            self._forget(kind, resource.key.namespace, name, str((done.get("details") or {}).get("uid", "")))
        else:
            self._take(kind, done)  # it stays for a while, marked as being deleted: a finalizer holds it

    async def _apply(self, resource: Resource, action: ApplyManifest) -> None:
        path = path_of("configmaps", resource.key.namespace, str(action.body["metadata"]["name"]))
        done = await self._cluster.ask("PATCH", path, action.body, APPLY, fieldManager=FIELD_MANAGER, force=True)
        self._metrics.wrote("configmap-apply")
        self._take("configmaps", done)

    async def _finalizers(self, resource: Resource, action: PatchFinalizers) -> None:
        """Writes metadata alone: spec and status of a body that a merge leaves out stay as they are."""
        key = resource.key
        meta = {
            "uid": resource.uid,
            "resourceVersion": action.resource_version,
            "finalizers": list(action.finalizers),
        }
        path = path_of("optimizationjobs", key.namespace, key.name)
        try:
            done = await self._cluster.ask("PATCH", path, {"metadata": meta}, MERGE)
        except ApiError as error:
            if error.status not in (404, 409):
                if error.status == 403 and not resource.deleting:
                    message = f"the finalizer could not be set: {error.message}"
                    self.refused[key] = Refusal(message, for_good=False)
                raise
            await self._read_again(resource)
            raise Stale from error
        self._metrics.wrote("finalizer")
        self._take("optimizationjobs", done)

    async def _status(self, resource: Resource, action: WriteStatus) -> None:
        key = resource.key
        # The uid is a precondition: a status must not land on another object of the same name
        meta = {"name": key.name, "namespace": key.namespace, "uid": resource.uid}
        if action.resource_version is not None:
            meta["resourceVersion"] = action.resource_version
        body = {
            "apiVersion": names.API_VERSION,
            "kind": names.KIND,
            "metadata": meta,
            "status": action.status.model_dump(mode="json", by_alias=True, exclude_none=True),
        }
        path = path_of("optimizationjobs", key.namespace, key.name, "status")
        try:
            done = await self._cluster.ask("PATCH", path, body, APPLY, fieldManager=FIELD_MANAGER, force=True)
        except ApiError as error:
            if error.status not in (404, 409):
                raise
            await self._read_again(resource)
            raise Stale from error
        self._metrics.wrote("status-progress" if action.progress_only else "status")
        self._take("optimizationjobs", done)

    async def _read_again(self, resource: Resource) -> None:
        key = resource.key
        try:
            found = await self._cluster.ask("GET", path_of("optimizationjobs", key.namespace, key.name))
        except ApiError as error:
            if error.status != 404:
                raise
            self._forget("optimizationjobs", key.namespace, key.name, resource.uid)
            return
        if found["metadata"].get("uid") != resource.uid:
            self._forget("optimizationjobs", key.namespace, key.name, resource.uid)
        self._take("optimizationjobs", found)

    async def _tell(self, resource: Resource, action: Tell) -> None:
        """Posts an Event. One that cannot be posted is not worth stopping for."""
        mark = hashlib.sha256(f"{resource.uid}/{action.identity}".encode()).hexdigest()[:16]
        now = self._now().isoformat(timespec="microseconds").replace("+00:00", "Z")
        body = {
            "apiVersion": "events.k8s.io/v1",
            "kind": "Event",
            "metadata": {"name": f"{resource.key.name}.{mark}", "namespace": resource.key.namespace},
            "eventTime": now,
            "type": action.kind,
            "reason": action.reason,
            "action": action.reason,
            "note": cut(action.message, NOTE_BYTES),
            "regarding": {
                "apiVersion": names.API_VERSION,
                "kind": names.KIND,
                "namespace": resource.key.namespace,
                "name": resource.key.name,
                "uid": resource.uid,
            },
            "reportingController": CONTROLLER,
            "reportingInstance": self._instance,
        }
        try:
            await self._cluster.ask("POST", path_of("events", resource.key.namespace), body)
        except ApiError as error:
            if error.status != 409:  # 409: it was told already
                logger.warning("%s: the Event %s was not posted: %s", resource.key, action.reason, error)
            return
        self._metrics.wrote("event")

    async def _ask_why(self, resource: Resource, action: AskWhy) -> None:
        """Asks why a Job gets no pod. That nobody answers is not worth stopping for.

        Raises:
            Stale: it is not what was known.
        """
        about = f"reason=FailedCreate,regarding.uid={action.uid}"
        try:
            found = await self._cluster.ask("GET", path_of("events", resource.key.namespace), fieldSelector=about)
        except ApiError as error:
            logger.warning("%s: why Job %s gets no pod is not known: %s", resource.key, action.job, error)
            return
        notes = [(_last_seen(event), str(event.get("note", ""))) for event in found.get("items") or []]
        seen, note = max(notes, default=("", ""))
        known = self.podless.get(resource.key, ())
        now = tuple(entry for entry in known if entry.job != action.job)
        if note and seen >= action.since:
            now = (*now, Podless(action.job, note))
        if set(now) != set(known):
            self.podless[resource.key] = now
            raise Stale


def _last_seen(event: Mapping[str, Any]) -> str:
    """When an Event was seen last, RFC 3339; those that come again are counted, in one form or the other."""
    series = (event.get("series") or {}).get("lastObservedTime")
    return str(series or event.get("deprecatedLastTimestamp") or event.get("eventTime") or "")
