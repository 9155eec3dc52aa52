"""API objects as JSON → what the operator keeps of them. Tolerant: what is missing, or written by another version, is
left out, and nothing here raises."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast, get_args

from pydantic import ValidationError

from millwright_api import names
from millwright_api.status import Status
from millwright_operator.observed import Body, Ended, Key, Resource, SeenJob, SeenManifest, SeenPod, digest_of


def key(child: Body) -> Key | None:
    """Returns which OptimizationJob a child belongs to, by its label; None when it is nobody's."""
    job = _labels(child).get(names.LABEL_JOB)
    return Key(_text(_meta(child).get("namespace")) or "", job) if job else None


def resource(body: Body) -> Resource:
    """Returns an OptimizationJob as it was seen."""
    meta = _meta(body)
    return Resource(
        key=Key(_text(meta.get("namespace")) or "", _text(meta.get("name")) or ""),
        uid=_text(meta.get("uid")) or "",
        generation=_number(meta.get("generation")) or 0,
        resource_version=_text(meta.get("resourceVersion")) or "",
        spec=dict(_mapping(body.get("spec"))),
        status=status(_mapping(body.get("status"))),
        requested_at=_text(_mapping(meta.get("annotations")).get(names.ANNOTATION_REQUESTED)),
        finalizers=_texts(meta.get("finalizers")),
        deleted_at=_text(meta.get("deletionTimestamp")),
    )


def status(raw: Mapping[str, Any]) -> Status:
    """Returns a status as it was written; items that this version cannot read are left out, and only those."""
    kept = {k: list(v) if isinstance(v, list) else v for k, v in raw.items()}
    while True:
        try:
            return Status.model_validate(kept)
        except ValidationError as error:
            for place in {problem["loc"][:2] for problem in error.errors()}:
                values = kept.get(str(place[0]))
                if len(place) == 2 and isinstance(values, list) and isinstance(place[1], int):
                    values[place[1]] = None
                else:
                    kept.pop(str(place[0]), None)
            kept = {k: [i for i in v if i is not None] if isinstance(v, list) else v for k, v in kept.items()}


def job(body: Body) -> SeenJob | None:
    """Returns a Job of ours as it was seen; None when it has not our labels."""
    role, meta = _role(body), _meta(body)
    if role is None:
        return None
    spec, state = _mapping(body.get("spec")), _mapping(body.get("status"))
    conditions = {c.get("type"): c for c in _items(state.get("conditions")) if c.get("status") == "True"}
    failed, complete = conditions.get("Failed"), conditions.get("Complete")
    return SeenJob(
        name=_text(meta.get("name")) or "",
        uid=_text(meta.get("uid")) or "",
        role=role,
        stage=_stage(body),
        suspended=bool(spec.get("suspend")),
        complete=complete is not None,
        failed=(_text(failed.get("reason")) or "", _text(failed.get("message")) or "") if failed else None,
        failing="FailureTarget" in conditions,
        failures=_number(state.get("failed")) or 0,
        active=_number(state.get("active")) or 0,
        started_at=_text(state.get("startTime")),
        suspended_at=_text(conditions.get("Suspended", {}).get("lastTransitionTime")),
        completed_at=_text((complete or failed or {}).get("lastTransitionTime")),
        backoff_limit=_number(spec.get("backoffLimit")),
        active_deadline=_number(spec.get("activeDeadlineSeconds")),
        ttl=_number(spec.get("ttlSecondsAfterFinished")),
        deleting=bool(meta.get("deletionTimestamp")),
        owner=_owner(body, names.KIND),
        segment=_labels(body).get(names.LABEL_SEGMENT),
    )


def pod(body: Body) -> SeenPod | None:
    """Returns a pod of ours as it was seen, also one whose Job was deleted without it (--cascade=orphan), for it works on;
    None when it has not our labels."""
    role, meta = _role(body), _meta(body)
    if role is None:
        return None
    of_job = next((_text(o.get("name")) for o in _items(meta.get("ownerReferences")) if o.get("kind") == "Job"), None)
    state = _mapping(body.get("status"))
    container = _named(state.get("containerStatuses"))
    now, before = _mapping(container.get("state")), _mapping(container.get("lastState"))
    ended = _mapping(now.get("terminated")) or _mapping(before.get("terminated"))
    waiting, running = _mapping(now.get("waiting")), _mapping(now.get("running"))
    conditions = {c.get("type"): c for c in _items(state.get("conditions"))}
    scheduled, disrupted = conditions.get("PodScheduled", {}), conditions.get("DisruptionTarget", {})
    template = _named(_mapping(body.get("spec")).get("containers"))
    limits = _mapping(_mapping(template.get("resources")).get("limits"))
    return SeenPod(
        name=_text(meta.get("name")) or "",
        uid=_text(meta.get("uid")) or "",
        job=of_job or "",
        role=role,
        stage=_stage(body),
        phase=_text(state.get("phase")) or "Pending",
        created_at=_text(meta.get("creationTimestamp")) or "",
        deleting=bool(meta.get("deletionTimestamp")),
        unschedulable=_text(scheduled.get("message")) if scheduled.get("reason") == "Unschedulable" else None,
        waiting=(_text(waiting.get("reason")) or "", _text(waiting.get("message")) or "") if waiting else None,
        started_at=_text(running.get("startedAt")) or _text(ended.get("startedAt")),
        ended=_ended(ended) if ended else None,
        disrupted=_text(disrupted.get("reason")) or "Unknown" if disrupted.get("status") == "True" else None,
        evicted=(_text(state.get("message")) or "") if state.get("reason") == "Evicted" else None,
        memory_limit=str(limits["memory"]) if "memory" in limits else None,
        image=_text(template.get("image")),
        gone_by=_text(meta.get("deletionTimestamp")),
        courier=_texts(template.get("command"))[-1:] == ("azureml",),
        segment=_labels(body).get(names.LABEL_SEGMENT),
    )


def manifest(body: Body) -> SeenManifest | None:
    """Returns a job's ConfigMap as it was seen; None when it has not our label."""
    if key(body) is None:
        return None
    return SeenManifest(_text(_meta(body).get("name")) or "", digest_of(body), _owner(body, names.KIND))


def _ended(terminated: Mapping[str, Any]) -> Ended:
    code = _number(terminated.get("exitCode"))
    return Ended(
        exit_code=code if code is not None else -1,
        reason=_text(terminated.get("reason")) or "",
        message=_text(terminated.get("message")) or "",
        finished_at=_text(terminated.get("finishedAt")),
    )


def _role(body: Body) -> names.Role | None:
    found = _labels(body).get(names.LABEL_ROLE)
    return cast(names.Role, found) if found in get_args(names.Role) else None


def _stage(body: Body) -> int | None:
    text = _labels(body).get(names.LABEL_STAGE, "")
    return int(text) if text.isascii() and text.isdigit() else None


def _owner(body: Body, kind: str) -> str | None:
    return next(
        (_text(o.get("uid")) for o in _items(_meta(body).get("ownerReferences")) if o.get("kind") == kind), None
    )


def _named(containers: Any) -> Mapping[str, Any]:
    return next((c for c in _items(containers) if c.get("name") == names.CONTAINER), {})


def _labels(body: Body) -> dict[str, str]:
    return {k: v for k, v in _mapping(_meta(body).get("labels")).items() if isinstance(v, str)}


def _meta(body: Body) -> Mapping[str, Any]:
    return _mapping(body.get("metadata"))


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _items(value: Any) -> list[Mapping[str, Any]]:
    listed = value if isinstance(value, Sequence) and not isinstance(value, str) else ()
    return [item for item in listed if isinstance(item, Mapping)]


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _texts(value: Any) -> tuple[str, ...]:
    return tuple(text for text in value if isinstance(text, str)) if isinstance(value, list) else ()


def _number(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
