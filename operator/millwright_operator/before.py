"""Before the first stage: a look at the job on a CPU, and what it finds.

Nothing is frozen yet. An edit, or the annotation that asks for another look, makes another preflight; the older one
is deleted. Validated=False waits for such an edit.
"""

from __future__ import annotations

from dataclasses import replace

from millwright_api.status import JobPhase, StageStatus, Status
from millwright_operator import manifests, passes, stages
from millwright_operator.actions import Action, CreateJob, DeleteJob, DeleteManifest
from millwright_operator.case import GRACE_SECONDS, Case, Decision, applied
from millwright_operator.clock import seconds_between, written
from millwright_operator.conditions import Said, State, condition, conditions
from millwright_operator.failures import WAITING, Finding, end_of, good_report, of_job
from millwright_operator.observed import SeenJob
from millwright_operator.standing import held_up
from millwright_operator.working import work

UNKNOWN = Said("Unknown", "Validating")

HALTED = (
    "Job {} is suspended, and not by Millwright; does Kueue manage Jobs without a queue (manageJobsWithoutQueueName)?"
)


def look(case: Case) -> Decision:
    """Returns what follows before the first stage has started."""
    name = stages.preflight_name(case.resource)
    job = case.job(name)
    if job and job.deleting:
        job = None
    finding = _known(case, name) or (_found(case, job) if job and job.finished else None)
    if case.spec.suspend:
        return _suspended(case, name, job, finding)
    if finding is not None and finding.status != "Unknown":
        decision = _start(case, finding) if finding.status == "True" else _refused(case, finding)
    elif job is None:
        decision = _created(case)
    elif finding is not None:
        left = GRACE_SECONDS - seconds_between(job.completed_at, case.now)
        decision = Decision(_status(case, _validating(UNKNOWN)), look_again=max(0.1, left))
    else:
        decision = Decision(_status(case, _watched(case, name)), then=applied(case))
    return replace(decision, then=(*_strays(case, name), *decision.then))


def _known(case: Case, name: str) -> Said | None:
    """What status has of this very preflight."""
    return case.validated if case.status.preflight == name and case.validated.status != "Unknown" else None


def _found(case: Case, job: SeenJob) -> Said:
    """What a finished preflight found; Unknown while its pod's end may still arrive."""
    pods = case.pods_of(job.name)
    ended = [pod for pod in pods if pod.ended]
    late = seconds_between(job.completed_at, case.now) < GRACE_SECONDS
    if job.complete:
        report = next((r for r in map(good_report, ended) if r), None)
        if report is None and late:
            return UNKNOWN
        return Said("True", "SpecValid", report.message if report else "the preflight's pod is gone; its Job completed")
    if job.failed and job.failed[0] == "DeadlineExceeded":
        finding = _past_deadline(case, job)
    elif not ended and late:
        return UNKNOWN
    else:
        finding = of_job(job, pods)
    return Said("False", finding.reason, finding.message)


def _past_deadline(case: Case, job: SeenJob) -> Finding:
    """The Job's pods are deleted by then: what kept them waiting is still in status."""
    limit = f"the preflight took longer than {job.active_deadline} s"
    ready = condition(case.status, "Ready")
    if ready and ready.reason in WAITING and case.status.preflight == job.name:
        return Finding(ready.reason, f"{ready.message} ({limit})")
    ended = [pod for pod in case.pods_of(job.name) if pod.ended]
    if ended:
        return end_of(max(ended, key=lambda pod: pod.created_at))
    return Finding("PreflightDeadlineExceeded", f"{limit}; see kubectl describe job {job.name}")


def _start(case: Case, finding: Said) -> Decision:
    """The job starts: written down before the first Job is there, so that the recipe is frozen by then."""
    entries = [StageStatus(name=stages.entry_name(case.resource, stage), phase="Pending") for stage in case.stages]
    started = _status(case, _validating(finding)).model_copy(
        update={"start_time": written(case.now), "stages": entries, "passes": passes.planned(case.stages)}
    )
    return work(replace(case, status=started))


def _refused(case: Case, finding: Said) -> Decision:
    return Decision(_status(case, State("Stalled", finding.reason, finding.message, finding, stalled=True)))


def _created(case: Case) -> Decision:
    body = manifests.preflight_job(case.resource, case.spec, case.platform)
    state = _validating(UNKNOWN)
    if refused := case.refusal(body["metadata"]["name"]):
        phase: JobPhase = "Stalled" if refused.for_good else "Validating"
        state = State(phase, "JobNotCreated", refused.message, UNKNOWN, refused.for_good)
    return Decision(_status(case, state), then=(*applied(case), CreateJob(body)), fenced=True)


def _watched(case: Case, name: str) -> State:
    waiting = held_up(case, name)
    if waiting is None:
        job = case.job(name)
        return _validating(UNKNOWN, HALTED.format(name) if job and job.suspended else "looking at the job")
    phase: JobPhase = "Stalled" if waiting.mended_by_person else "Validating"
    return State(phase, waiting.reason, waiting.message, UNKNOWN, waiting.mended_by_person)


def _validating(validated: Said, message: str = "looking at the job") -> State:
    return State("Validating", "Validating", message, validated)


def _suspended(case: Case, name: str, job: SeenJob | None, finding: Said | None) -> Decision:
    known = finding if finding and finding.status != "Unknown" else None
    validated = known or Said("Unknown", "SuspendedByUser")
    status = _status(case, State("Suspended", "SuspendedByUser", "spec.suspend is true", validated))
    stop = (DeleteJob(job.name, job.uid),) if job and not job.finished else ()
    return Decision(status, then=(*_strays(case, name), *stop))


def _strays(case: Case, name: str) -> tuple[Action, ...]:
    """Preflights of an earlier recipe, and its ConfigMap once none is left that reads it."""
    jobs = [job for job in case.children.jobs if job.role == "preflight" and job.name != name]
    current = stages.manifest_name(case.resource)
    manifests_left = [m for m in case.children.manifests if m.name != current] if not jobs else []
    return (
        *(DeleteJob(job.name, job.uid) for job in jobs if not job.deleting),
        *(DeleteManifest(manifest.name) for manifest in manifests_left),
    )


def _status(case: Case, state: State) -> Status:
    resource = case.resource
    return case.status.model_copy(
        update={
            "observed_generation": resource.generation,
            "phase": state.phase,
            "conditions": conditions(state, case.status, resource.generation, case.now),
            "preflight": stages.preflight_name(resource),
            "passes": passes.planned(case.stages) if case.status.passes else [],
        }
    )
