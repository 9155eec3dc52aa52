"""Jobs that run on Azure ML hold on to their object until nothing of them runs there: by a finalizer, which no other job has.

It is put on before the first courier is made, and goes when the job has ended or, at a deletion, when a small Job (`cancel`)
has made sure. That Job belongs to nobody: a deletion in the foreground would collect it at once. It is deleted before the
finalizer goes, so that nothing is left; an operator that dies in between does it once more, which changes nothing.
"""

from __future__ import annotations

from datetime import datetime

from pydantic import ValidationError

from millwright_api import names
from millwright_api.v1alpha1 import Spec
from millwright_operator import manifests, stages
from millwright_operator.actions import (
    Action,
    ApplyManifest,
    CreateJob,
    DeleteJob,
    LookAgain,
    PatchFinalizers,
    Tell,
)
from millwright_operator.clock import seconds_between
from millwright_operator.conditions import condition, finished
from millwright_operator.failures import of_job
from millwright_operator.observed import Children, Resource, SeenJob, SeenPod, digest_of
from millwright_operator.platform import Platform
from millwright_operator.remote import COURIERS, at_rest, runs_there, told_of

LOST_SECONDS = 60.0
"""How long after its grace period a courier's pod may still be there, before it counts as lost with its node."""

REFUSED_SECONDS = 600.0
"""For how long the Job that cancels is tried to be made where a quota refuses it; a deletion is not blocked for ever."""

MAY_RUN = "AzureMLJobMayRun"


def held(resource: Resource) -> bool:
    """Whether the finalizer is on the object."""
    return names.FINALIZER in resource.finalizers


def hold(resource: Resource) -> PatchFinalizers:
    """Returns what puts it there."""
    return PatchFinalizers((*resource.finalizers, names.FINALIZER), resource.resource_version)


def drop(resource: Resource) -> PatchFinalizers:
    """Returns what takes it away."""
    kept = tuple(name for name in resource.finalizers if name != names.FINALIZER)
    return PatchFinalizers(kept, resource.resource_version)


def must_hold(resource: Resource, spec: Spec, children: Children, then: tuple[Action, ...]) -> bool:
    """Whether a job that has not ended needs the finalizer before it goes on.

    Args:
        resource: the OptimizationJob.
        spec: its spec.
        children: what is there.
        then: what is to be done.
    """
    if held(resource) or not runs_there(spec):
        return False
    made = [action.body["metadata"]["labels"] for action in then if isinstance(action, CreateJob)]
    couriers = [labels for labels in made if labels[names.LABEL_ROLE] in COURIERS]
    return bool(couriers) or any(job.role in COURIERS for job in children.jobs)


def let_go(resource: Resource, children: Children, platform: Platform, now: datetime) -> tuple[Action, ...]:
    """Returns what brings a job that holds the finalizer, and has ended or is being deleted, one step closer to where it
    may go: its couriers are stopped and waited for, then the Job that cancels does its part.

    Args:
        resource: the OptimizationJob.
        children: those that are its own.
        platform: what children are made with.
        now: the time.
    """
    at_work = [job for job in children.jobs if job.role != "cancel" and not job.finished]
    stop = tuple(DeleteJob(job.name, job.uid) for job in at_work if not job.deleting)
    if not _may_run(resource, children):
        return (*stop, drop(resource))
    left = [pod for pod in children.pods if pod.role in COURIERS and not pod.finished and not _lost(pod, now)]
    if stop or left:
        return (*stop, LookAgain(LOST_SECONDS))
    return _cancel(resource, children, platform, now)


def _may_run(resource: Resource, children: Children) -> bool:
    """Whether something may run on Azure ML. Not where no courier was ever made, nor where the last one has told the end;
    of a search some couriers may have been stopped before they could."""
    status = resource.status
    if status.start_time is None and not any(job.role in COURIERS for job in children.jobs):
        return False
    complete = condition(status, "Complete")
    told = (complete is not None and complete.status == "True") or at_rest(status)
    return not (finished(status) and told and "search" not in resource.spec)


def _lost(pod: SeenPod, now: datetime) -> bool:
    return pod.gone_by is not None and seconds_between(pod.gone_by, now) > LOST_SECONDS


def _cancel(resource: Resource, children: Children, platform: Platform, now: datetime) -> tuple[Action, ...]:
    name = stages.cancel_name(resource)
    job = next((job for job in children.jobs if job.name == name), None)
    if job is not None and job.deleting:
        return (LookAgain(LOST_SECONDS),)
    if job is not None:
        return _canceled(resource, children, job) if job.finished else _recipe(resource, children, job, platform)
    if children.refused is not None and children.refused.namespace_goes:
        # Nothing can be made there any more: the couriers, which were told to stop, have canceled what they could
        return (drop(resource),)
    return _create(resource, children, platform, now)


def _create(resource: Resource, children: Children, platform: Platform, now: datetime) -> tuple[Action, ...]:
    since, refused = resource.deleted_at or resource.status.completion_time, children.refused
    mine = refused is not None and refused.job == stages.cancel_name(resource)
    if refused and mine and (refused.for_good or seconds_between(since, now) > REFUSED_SECONDS):
        return (_warning(resource, refused.message), drop(resource))
    try:
        spec = Spec.model_validate(resource.spec)
    except ValidationError:
        found = "this operator cannot read the spec, it and the CRD are of different versions"
        return (_warning(resource, found), drop(resource))
    if not runs_there(spec):
        return (drop(resource),)
    left = [pod for pod in children.pods if not pod.finished]
    if not all(_lost(pod, now) for pod in left):
        return (LookAgain(LOST_SECONDS),)
    # Finalizers as they are, on top of what was seen: a look at an old copy creates nothing that nobody would remove
    fence = PatchFinalizers(resource.finalizers, resource.resource_version)
    # Pods are asked for once more, of the API server: one that was not seen yet may still submit. Those that are lost are known
    alone = None if left else {names.LABEL_JOB: resource.key.name}
    return (fence, CreateJob(manifests.cancel_job(resource, spec, platform), alone))


def _recipe(resource: Resource, children: Children, job: SeenJob, platform: Platform) -> tuple[Action, ...]:
    """The ConfigMap of the Job that cancels, once that is there: its pod waits for it."""
    body = manifests.cancel_map(resource, job, platform)
    there = {found.name: found.digest for found in children.manifests}
    return () if there.get(job.name) == digest_of(body) else (ApplyManifest(body),)


def _canceled(resource: Resource, children: Children, job: SeenJob) -> tuple[Action, ...]:
    """The Job that cancels has ended; when it could not, that is told, and a deletion goes on all the same."""
    told: tuple[Action, ...] = ()
    if job.failed:
        finding = of_job(job, [pod for pod in children.pods if pod.job == job.name])
        told = (_warning(resource, f"{finding.reason}: {finding.message}"),)
    return (*told, DeleteJob(job.name, job.uid), drop(resource))


def _warning(resource: Resource, why: str) -> Tell:
    message = (
        f"a job may still run on Azure ML, look there ({told_of(resource.status)}); it could not be canceled: {why}"
    )
    return Tell("Warning", MAY_RUN, message, f"{resource.uid}/{MAY_RUN}")
