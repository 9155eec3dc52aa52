"""What is → what to do. Pure: no clock, no network; what it remembers only saves time.

Level-triggered: the answer depends on what is there, never on which event came. Events may be lost, repeated and
reordered, the operator may die at any line, children may be deleted by hand: the next call goes on from what it sees.

Order makes it safe to stop anywhere. Status is stored first, then it is told, then what it says is done: a Job that is
refused must not swallow what was to be told, for the next look finds nothing new. Each write of
status carries the resource version that was seen, so that a look at an old copy is refused by the API server: it can
neither unsay an end nor start anything a second time. Where a Job is to be created, status is written for that alone.
"""

from __future__ import annotations

import functools
import json
from dataclasses import replace
from datetime import datetime

from pydantic import ValidationError

from millwright_api.status import Status
from millwright_api.v1alpha1 import Spec
from millwright_operator import podless
from millwright_operator.actions import Action, DeleteJob, LookAgain, PatchJob, WriteStatus
from millwright_operator.asking import Memory
from millwright_operator.before import look
from millwright_operator.case import Case, Decision
from millwright_operator.conditions import Said, State, conditions, finished
from millwright_operator.fitting import fitted
from millwright_operator.observed import Children, Heard, Resource
from millwright_operator.platform import Platform
from millwright_operator.release import drop, held, hold, let_go, must_hold
from millwright_operator.remote import runs_there
from millwright_operator.searchstages import stages_at
from millwright_operator.story import story
from millwright_operator.working import work


def reconcile(
    resource: Resource,
    children: Children,
    heard: Heard | None,
    platform: Platform,
    now: datetime,
    *,
    memory: Memory | None = None,
) -> tuple[Action, ...]:
    """Returns what brings a job one step further, in order; nothing when all is as it should be.

    Args:
        resource: the OptimizationJob.
        children: all Jobs, pods and ConfigMaps that carry its label.
        heard: the latest progress of one of its pods.
        platform: what the children are made with.
        now: the present time, with its time zone.
        memory: saves asking a search's course the same again; it changes no answer.
    """
    mine = _own(children, resource.uid)
    if resource.deleting:
        return let_go(resource, mine, platform, now) if held(resource) else ()
    if finished(resource.status):
        return _afterwards(resource, mine) or (let_go(resource, mine, platform, now) if held(resource) else ())
    try:
        spec = _read(json.dumps(resource.spec))
    except ValidationError as error:
        return _actions(resource, mine, Decision(_refused(resource, error, now)), now)
    stages = stages_at(spec, resource.status.search)
    case = Case(resource, resource.status, spec, stages, mine, heard, platform, now, memory or Memory())
    case.memory.begin(resource)
    if held(resource) and not runs_there(spec):
        return (drop(resource),)  # an edit before the start
    decision = work(case) if resource.status.start_time else look(case)
    if must_hold(resource, spec, mine, decision.then):
        refused = decision.status if mine.refused and decision.status != resource.status else None
        return (WriteStatus(refused, resource.resource_version),) if refused else (hold(resource),)
    return _actions(resource, mine, decision, now)


@functools.lru_cache(maxsize=64)
def _read(spec: str) -> Spec:
    """Returns a spec, given as JSON: a job is looked at many times, and reading its spec took a fifth of each look."""
    return Spec.model_validate(json.loads(spec))


def _actions(resource: Resource, children: Children, decision: Decision, now: datetime) -> tuple[Action, ...]:
    status, before = fitted(decision.status), resource.status
    actions: list[Action] = []
    if decision.fenced or status != before:
        told: dict[str, object] = {"progress": None, "passes": []}
        same = status.model_copy(update=told) == before.model_copy(update=told)
        actions.append(WriteStatus(status, resource.resource_version, progress_only=same and not decision.fenced))
    if status != before:
        actions += story(resource, children, status)
    actions += decision.then
    actions += podless.questions(children, now)
    again = [at for at in (decision.look_again, podless.look_again(children, now)) if at is not None]
    if again:
        actions.append(LookAgain(min(again)))
    return tuple(actions)


def _afterwards(resource: Resource, children: Children) -> tuple[Action, ...]:
    """An end is for ever. What is left to do: the Jobs' time to live, now that the end is stored; the removal of what
    should not run; and the generation, for an edit of what may still be edited is seen, and changes nothing. Only then the
    finalizer goes."""
    ttl = resource.spec.get("ttlSecondsAfterFinished")
    actions: list[Action] = []
    if resource.status.observed_generation != resource.generation:
        seen = [c.model_copy(update={"observed_generation": resource.generation}) for c in resource.status.conditions]
        change = {"observed_generation": resource.generation, "conditions": seen}
        actions.append(WriteStatus(resource.status.model_copy(update=change), resource.resource_version))
    for job in children.jobs:
        if job.deleting or (job.role == "cancel" and held(resource)):
            continue
        if not job.finished:
            actions.append(DeleteJob(job.name, job.uid))
        elif job.ttl != ttl:
            actions.append(PatchJob(job.name, {"ttlSecondsAfterFinished": ttl}))
    return tuple(actions)


def _refused(resource: Resource, error: ValidationError, now: datetime) -> Status:
    """The API server took what this operator cannot read: it is older or newer than the schema."""
    first = error.errors()[0]
    where = ".".join(["spec", *(str(part) for part in first["loc"])])
    found = first["msg"].removeprefix("Value error, ")
    message = f"{where}: {found} (the operator and the CRD are of different versions)"
    said = Said("False", "InvalidManifest", message)
    state = State("Stalled", said.reason, said.message, said, stalled=True)
    told = conditions(state, resource.status, resource.generation, now)
    return resource.status.model_copy(
        update={"observed_generation": resource.generation, "phase": state.phase, "conditions": told, "preflight": None}
    )


def _own(children: Children, uid: str) -> Children:
    """Leaves out what an earlier object of the same name has left behind; it is being removed."""
    jobs = tuple(job for job in children.jobs if job.owner in (None, uid))
    foreign = {job.name for job in children.jobs} - {job.name for job in jobs}
    manifests = tuple(found for found in children.manifests if found.owner in (None, uid))
    pods = tuple(pod for pod in children.pods if pod.job not in foreign)
    return replace(children, jobs=jobs, manifests=manifests, pods=pods)
