"""One look at a job: all that a decision is made from, and what a decision is."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from millwright_api.status import Status
from millwright_api.v1alpha1 import Spec
from millwright_operator import manifests
from millwright_operator.actions import Action, ApplyManifest, DeleteJob
from millwright_operator.asking import Memory
from millwright_operator.conditions import Said, condition
from millwright_operator.observed import Children, Heard, Refusal, Resource, SeenJob, SeenPod, digest_of
from millwright_operator.platform import Platform
from millwright_operator.stages import Stage

GRACE_SECONDS = 10.0
"""How long a finished Job's pods may be missing from what is seen, before they count as gone: Jobs and pods are watched
apart, and a Job's end may arrive before its pod's."""


@dataclass(frozen=True)
class Case:
    """One look at a job.

    Attributes:
        resource: the OptimizationJob.
        status: what to go on from: the resource's, or that with the start written into it.
        spec: its spec, checked.
        stages: its stages.
        children: those that are its own.
        heard: the latest progress.
        platform: what children are made with.
        now: the time.
        memory: what was found out about its search, if it has one.
    """

    resource: Resource
    status: Status
    spec: Spec
    stages: tuple[Stage, ...]
    children: Children
    heard: Heard | None
    platform: Platform
    now: datetime
    memory: Memory

    @property
    def validated(self) -> Said:
        """What the preflight found, as far as it is known."""
        known = condition(self.status, "Validated")
        return Said(known.status, known.reason, known.message) if known else Said("Unknown", "Validating")

    def job(self, name: str) -> SeenJob | None:
        """Returns a Job by its name, also one that is being deleted."""
        return next((job for job in self.children.jobs if job.name == name), None)

    def pods_of(self, name: str) -> list[SeenPod]:
        """Returns a Job's pods."""
        return [pod for pod in self.children.pods if pod.job == name]

    def refusal(self, name: str) -> Refusal | None:
        """Returns why a Job was not taken at the last try; None where another one was tried, as before an edit."""
        refused = self.children.refused
        return refused if refused and refused.job in ("", name) else None

    def unfinished(self, index: int) -> list[SeenPod]:
        """Returns the pods of a stage that may still write, of whichever Job."""
        pods = self.children.pods
        return [p for p in pods if p.role == "stage" and p.stage == index and not p.finished]


@dataclass(frozen=True)
class Decision:
    """What follows from a look.

    Attributes:
        status: the new status.
        then: what is done once the status is stored.
        fenced: whether the status must be stored on top of the very object that was seen, also when it says nothing
            new: before each Job that is created. A look at an old copy then creates nothing.
        look_again: seconds after which to look, whatever happens.
    """

    status: Status
    then: tuple[Action, ...] = ()
    fenced: bool = False
    look_again: float | None = None


def room(case: Case, refused: Refusal | None) -> tuple[Action, ...]:
    """Returns what makes room where a quota refuses a Job: the preflight's and those of stages go that have ended. Else jobs
    that each hold a slot of a quota on Jobs by their preflight would wait for one another for ever."""
    if refused is None or refused.for_good:
        return ()
    over = [
        job for job in case.children.jobs if job.finished and not job.deleting and job.role in ("preflight", "stage")
    ]
    return tuple(DeleteJob(job.name, job.uid) for job in over)


def applied(case: Case) -> tuple[Action, ...]:
    """Returns the apply of the job's ConfigMap, where it is not there as it should be."""
    body = manifests.config_map(case.resource, case.platform)
    there = {found.name: found.digest for found in case.children.manifests}
    return () if there.get(body["metadata"]["name"]) == digest_of(body) else (ApplyManifest(body),)
