"""Events: what a person wants to know, told once. Each is told when status first says so, under a name made of what it
is about, so that telling it again changes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from millwright_api.report import cut
from millwright_api.status import ConditionType, SearchStatus, StageStatus, Status
from millwright_operator.actions import Tell
from millwright_operator.conditions import condition
from millwright_operator.failures import WAITING, disruption, end_of
from millwright_operator.observed import Children, Resource, SeenPod
from millwright_operator.trialstatus import best_of

EVENT_BYTES = 1000
"""Of an Event's note; Kubernetes takes 1 kB."""


def story(resource: Resource, children: Children, status: Status) -> tuple[Tell, ...]:
    """Returns the Events that a change of status is worth.

    Args:
        resource: with the status as it was.
        children: what is seen of them.
        status: as it is now.
    """
    before = resource.status
    return (
        *_preflight(resource, before, status),
        *_stages(resource, children, before, status),
        *_trials(resource, before.search or SearchStatus(), status.search or SearchStatus()),
        *_waiting(resource, before, status),
        *_suspension(resource, before, status),
        *_verdict(resource, before, status),
        *_end(resource, before, status),
    )


def _preflight(resource: Resource, before: Status, after: Status) -> Iterator[Tell]:
    was, now = condition(before, "Validated"), condition(after, "Validated")
    if now is None or now.status == "Unknown":
        return
    if was is None or was.status != now.status or before.preflight != after.preflight:
        what = f"{after.preflight or resource.generation}"
        if now.status == "True":
            yield _tell(resource, "Normal", "Validated", now.message or "the preflight found nothing wrong", what)
        else:
            yield _tell(resource, "Warning", now.reason, now.message, what)


def _stages(resource: Resource, children: Children, before: Status, after: Status) -> Iterator[Tell]:
    was = {entry.name: entry for entry in before.stages}
    for index, now in enumerate(after.stages):
        old = was.get(now.name) or StageStatus(name=now.name, phase="Pending")
        title = f"stage {index + 1} of {len(after.stages)}"
        if now.pod and now.pod != old.pod:
            yield _tell(resource, "Normal", "StageStarted", f"{title} runs in pod {now.pod}", now.pod)
        yield from _lost(resource, children, old, now, title)
        yield from _attempts(resource, children, old, now, title)
        if now.phase == "Succeeded" and old.phase != "Succeeded":
            yield _tell(resource, "Normal", "StageSucceeded", f"{title} is done", now.name)


def _attempts(resource: Resource, children: Children, old: StageStatus, now: StageStatus, title: str) -> Iterator[Tell]:
    more = now.failures + now.earlier_failures - old.failures - old.earlier_failures
    broken = [pod for pod in children.pods if pod.job == now.name and not pod.disrupted and _broke(pod)]
    broken.sort(key=lambda pod: ((pod.ended.finished_at if pod.ended else "") or "", pod.name))
    for pod in broken[-more:] if more > 0 else []:
        finding = end_of(pod)
        yield _tell(resource, "Warning", "AttemptFailed", f"{title}: {finding.reason}: {finding.message}", pod.uid)
    goes_on = any(job.name == now.name and not job.failing and not job.finished for job in children.jobs)
    at_work = any(pod.job == now.name and not pod.finished for pod in children.pods)
    if more > 0 and now.failures > len(broken) and goes_on and not at_work:
        message = f"{title}: a pod of Job {now.name} was deleted; that costs an attempt"
        yield _tell(resource, "Warning", "AttemptFailed", message, f"{now.name}/{now.failures + now.earlier_failures}")


def _broke(pod: SeenPod) -> bool:
    """Also one that was evicted for overrunning its own limit: that costs an attempt."""
    return pod.evicted is not None or (pod.ended is not None and pod.ended.exit_code != 0)


def _lost(resource: Resource, children: Children, old: StageStatus, now: StageStatus, title: str) -> Iterator[Tell]:
    if old.pod is None or old.pod == now.pod:
        return
    pod = next((pod for pod in children.pods if pod.name == old.pod and pod.disrupted), None)
    if pod:
        message = f"{title}: pod {pod.name} was taken away ({pod.disrupted}); it costs no attempt"
        yield _tell(resource, "Warning", disruption(pod), message, pod.uid)
    elif now.phase == "Queued" and now.pod is None:
        message = f"{title}: its queue took its resources back; it goes on when they are free"
        yield _tell(resource, "Normal", "Preempted", message, old.pod)


def _trials(resource: Resource, before: SearchStatus, after: SearchStatus) -> Iterator[Tell]:
    """Of trials only what a person wants: failures, a new best one, and the end."""
    told = {entry.number for entry in before.trials if entry.phase == "Failed"}
    for entry in after.trials:
        if entry.phase == "Failed" and entry.number not in told:
            message = f"trial {entry.number} failed: {entry.reason}: {entry.message}"
            yield _tell(resource, "Warning", "TrialEnded", message, f"failed/{entry.number}")
    was = before.best.number if before.best else None
    if after.best and after.best.number != was:
        message = f"{best_of(after)}: the best of {after.summary} trials"
        yield _tell(resource, "Normal", "TrialEnded", message, f"best/{after.best.number}")
    if after.reason and not before.reason:
        yield _tell(resource, "Normal", "SearchOver", f"{after.reason}: {after.message}", "search")


def _waiting(resource: Resource, before: Status, after: Status) -> Iterator[Tell]:
    was, now = condition(before, "Ready"), condition(after, "Ready")
    validated = condition(after, "Validated")
    told = validated is not None and validated.status == "False"
    if now is None or told or now.reason not in WAITING:
        return
    if was is None or was.reason != now.reason:
        child = next((s.name for s in after.stages if s.phase != "Succeeded"), after.preflight)
        yield _tell(resource, "Warning", now.reason, now.message, f"waiting/{child}")


def _suspension(resource: Resource, before: Status, after: Status) -> Iterator[Tell]:
    was, now = _is(before, "Suspended"), _is(after, "Suspended")
    if now and not was:
        yield _tell(resource, "Normal", "Suspended", "spec.suspend is true", str(resource.generation))
    if was and not now:
        yield _tell(resource, "Normal", "Resumed", "spec.suspend is false", str(resource.generation))


def _verdict(resource: Resource, before: Status, after: Status) -> Iterator[Tell]:
    was, now = condition(before, "ConstraintsMet"), condition(after, "ConstraintsMet")
    if now is not None and now.status == "False" and (was is None or was.status != "False"):
        yield _tell(resource, "Warning", now.reason, now.message, "verdict")


def _end(resource: Resource, before: Status, after: Status) -> Iterator[Tell]:
    ready = condition(after, "Ready")
    if ready is None or not _is(after, "Finished") or _is(before, "Finished"):
        return
    if _is(after, "Complete"):
        yield _tell(resource, "Normal", "Succeeded", ready.message, "end")
    else:
        yield _tell(resource, "Warning", "Failed", f"{ready.reason}: {ready.message}", "end")


def _is(status: Status, kind: ConditionType) -> bool:
    found = condition(status, kind)
    return found is not None and found.status == "True"


def _tell(resource: Resource, kind: Literal["Normal", "Warning"], reason: str, message: str, about: str) -> Tell:
    return Tell(kind, reason, cut(message, EVENT_BYTES), f"{resource.uid}/{reason}/{about}")
