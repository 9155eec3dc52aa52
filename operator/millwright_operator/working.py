"""From the first stage's start to the end: one Job per stage, one after the other.

A stage's Job is created only when status says so on the very object that was seen, and when no pod of that stage is
left that might still write. A stage that has ended is so for good: it is not run again when its Job is deleted.
"""

from __future__ import annotations

from dataclasses import replace

from millwright_api.report import RunReport
from millwright_api.status import JobPhase
from millwright_operator import judged, manifests, passes, stages
from millwright_operator.account import attempt, backoff_limit, known
from millwright_operator.actions import Action, CreateJob, DeleteJob, PatchJob
from millwright_operator.case import GRACE_SECONDS, Case, Decision, applied, room
from millwright_operator.clock import remaining, seconds_between, written
from millwright_operator.failures import end_of, good_report, of_job
from millwright_operator.observed import SeenJob, SeenPod
from millwright_operator.remote import waits_there
from millwright_operator.search import search
from millwright_operator.searchstages import conclusion, found
from millwright_operator.stages import TRIALS, Stage
from millwright_operator.standing import (
    Standing,
    decided,
    failed,
    held_up,
    name_of,
    pending,
    state_of,
    too_late,
)


def work(case: Case) -> Decision:
    """Returns what follows once the job has started."""
    at = Standing.of(case)
    for stage in case.stages:
        entry = at.entries[stage.index]
        if stage.title == TRIALS and not (entry.phase == "Succeeded" and found(case.spec, at.search)):
            return search(at, stage)
        if entry.phase == "Succeeded":
            continue
        job = case.job(entry.name)
        if job is None or not job.finished or job.deleting:
            return _drive(at, stage, job)
        late = seconds_between(job.completed_at, case.now)
        pods = case.pods_of(job.name)
        report = next((report for report in map(good_report, pods) if report), None)
        if late < GRACE_SECONDS and _may_still_say(job, pods, report):
            return _await(at, stage, late)
        if job.failed:
            late_for_good = job.failed[0] == "DeadlineExceeded"
            finding = too_late(case, job) if late_for_good else of_job(job, pods)
            return failed(at, stage, finding, job, pods)
        at = at.told(stage, report, good=True).entered(stage.index, phase="Succeeded", pod=None)
    return _succeeded(at) if at.artifacts else _ask_again(at)


def _may_still_say(job: SeenJob, pods: list[SeenPod], report: RunReport | None) -> bool:
    """Whether what a finished Job's pod said may still be on its way."""
    if job.failed:
        return not any(pod.ended for pod in pods) and job.failed[0] != "DeadlineExceeded"
    return report is None


def _drive(at: Standing, stage: Stage, job: SeenJob | None) -> Decision:
    """A stage that has not ended: starts, stops or watches its Job."""
    case, queue = at.case, at.case.spec.execution.kubernetes.queue
    pods = case.unfinished(stage.index)
    if case.spec.suspend:
        return _suspend(at, stage, job, pods)
    if job and not job.deleting:
        if not job.suspended:
            return _watch(at, stage, job)
        if queue:
            message = f"{name_of(case, stage)} waits for quota in the queue {queue}"
            return decided(at.entered(stage.index, phase="Queued"), state_of(at, "Queued", "QueuedForQuota", message))
    elif job or pods:
        return pending(at, stage, _former(pods))
    return _let_run(at, stage, job)


def _let_run(at: Standing, stage: Stage, job: SeenJob | None) -> Decision:
    """Creates a stage's Job, or lets a suspended one go on, for the time that is left."""
    case = at.case
    left = remaining(case.spec.active_deadline_seconds, at.entries, case.now)
    if left is not None and left <= 0:
        return failed(at, stage, too_late(case), None, [])
    if job is None:
        return _create(at, stage, left)
    change = {"suspend": False} | ({"activeDeadlineSeconds": left} if left is not None else {})
    return Decision(pending(at, stage, "going on").status, then=(PatchJob(job.name, change),), fenced=True)


def _watch(at: Standing, stage: Stage, job: SeenJob) -> Decision:
    """A Job that is let run: says how its pod stands, and lets it try more often when the manifest now says so."""
    case, entry = at.case, at.entries[stage.index]
    wanted = backoff_limit(case.spec.retry.max_attempts, entry)
    raised = job.backoff_limit is not None and job.backoff_limit < wanted
    then: tuple[Action, ...] = (*applied(case), *((PatchJob(job.name, {"backoffLimit": wanted}),) if raised else ()))
    pods = case.pods_of(job.name)
    if pod := attempt(pods):
        there = waits_there(case, pod, known(case)[stage.index].pod)
        if there:
            state = state_of(at, "Queued", "QueuedOnAzureML", f"{name_of(case, stage)} waits, {there}")
            return Decision(decided(at.entered(stage.index, phase="Queued"), state).status, then)
        message = f"{name_of(case, stage)}, attempt {entry.attempts} of {case.spec.retry.max_attempts}"
        decision = decided(
            at.entered(stage.index, phase="Running"), state_of(at, "Running", "StageRunning", message), stage
        )
        return Decision(decision.status, then)
    if waiting := held_up(case, job.name):
        phase: JobPhase = "Stalled" if waiting.mended_by_person else "Pending"
        state = replace(state_of(at, phase, waiting.reason, waiting.message), stalled=waiting.mended_by_person)
        return Decision(decided(at.entered(stage.index, phase="Pending"), state).status, then)
    broken = [pod for pod in pods if pod.ended and not pod.disrupted and pod.ended.exit_code != 0]
    after = ""
    if broken:
        last = end_of(max(broken, key=lambda pod: (pod.ended.finished_at if pod.ended else "") or ""))
        after = f"; attempt {entry.failures + entry.earlier_failures} ended with {last.reason}: {last.message}"
    former = next((pod.name for pod in pods if pod.deleting and not pod.finished), None)
    waits = f"waiting for its former pod {former} to end" if former else "waiting for its pod"
    if any(pod.ended and pod.ended.exit_code == 0 for pod in pods):
        waits, after = "its pod is done; its Job ends next", ""
    return Decision(pending(at, stage, f"{waits}{after}").status, then)


def _create(at: Standing, stage: Stage, left: int | None) -> Decision:
    case, entry = at.case, at.entries[stage.index]
    body = manifests.stage_job(
        case.resource,
        case.spec,
        stage,
        case.platform,
        name=entry.name,
        backoff_limit=backoff_limit(case.spec.retry.max_attempts, entry),
        deadline=left,
        trials=conclusion(case.spec, at.search),
    )
    create = CreateJob(body, alone=manifests.alone(case.resource, stage.index))
    refused = case.refusal(entry.name)
    if refused is None:
        decision = pending(at, stage, "waiting for its pod")
    else:
        state = state_of(at, "Stalled" if refused.for_good else "Pending", "JobNotCreated", refused.message)
        decision = decided(at.entered(stage.index, phase="Pending"), replace(state, stalled=refused.for_good))
    return Decision(decision.status, then=(*applied(case), *room(case, refused), create), fenced=True)


def _suspend(at: Standing, stage: Stage, job: SeenJob | None, pods: list[SeenPod]) -> Decision:
    """With a queue the Job goes, for Kueue would start it again; without one Kubernetes' own suspension does it."""
    queued = at.case.spec.execution.kubernetes.queue is not None
    then: tuple[Action, ...] = ()
    if job and queued and not job.deleting:
        then = (DeleteJob(job.name, job.uid),)
    elif job and not queued and not job.suspended and not job.deleting:
        then = (PatchJob(job.name, {"suspend": True}),)
    if pods:
        stops = job is not None or any(pod.deleting for pod in pods)
        decision = pending(at, stage, "suspending: its pod stores a checkpoint and ends" if stops else _former(pods))
        return Decision(decision.status, then)
    state = state_of(
        at, "Suspended", "SuspendedByUser", f"spec.suspend is true; {name_of(at.case, stage)} goes on from here"
    )
    return Decision(decided(at.entered(stage.index, phase="Suspended"), state).status, then)


def _former(pods: list[SeenPod]) -> str:
    """Names what is waited for: a pod of an earlier Job. Of one whose Job was deleted without it, only a person can stop it."""
    orphan = next((pod.name for pod in pods if not pod.job and not pod.deleting), None)
    if orphan:
        return f"pod {orphan} has lost its Job and runs on; kubectl delete pod {orphan} stops it"
    return f"waiting for its former pod {pods[0].name} to end" if pods else "waiting for its former Job to be gone"


def _ask_again(at: Standing) -> Decision:
    """All stages are done and nobody is left who says what was published: a small Job reads it from the output."""
    case, name = at.case, stages.report_name(at.case.resource)
    job = case.job(name)
    if job and job.finished and not job.deleting:
        return _answered(at, job, case.pods_of(name))
    if case.spec.suspend:
        gone = (DeleteJob(job.name, job.uid),) if job and not job.deleting else ()
        state = state_of(at, "Suspended", "SuspendedByUser", "spec.suspend is true; all stages are done")
        return Decision(decided(at, state).status, then=gone)
    if job is None:
        create = CreateJob(
            manifests.report_job(case.resource, case.spec, case.platform, conclusion(case.spec, at.search))
        )
        return _publishing(at, (*applied(case), create), fenced=True)
    return _publishing(at, applied(case))


def _answered(at: Standing, job: SeenJob, pods: list[SeenPod]) -> Decision:
    """The small Job has ended: by what its pod said; when that is lost too, it is asked once more."""
    stage = at.case.stages[-1]
    report = next((r for r in (good_report(pod) for pod in pods if pod.ended) if r and r.artifact), None)
    if report:
        return _succeeded(at.told(stage, report, good=True))
    late = seconds_between(job.completed_at, at.case.now)
    if late < GRACE_SECONDS:
        return _publishing(at, (), look_again=GRACE_SECONDS - late)
    if job.failed:
        return failed(at, stage, of_job(job, pods), None, pods)
    return _publishing(at, (DeleteJob(job.name, job.uid),))


def _publishing(
    at: Standing, then: tuple[Action, ...], *, fenced: bool = False, look_again: float | None = None
) -> Decision:
    state = state_of(at, "Running", "Publishing", "all stages are done; reading back what was published")
    return Decision(decided(at, state).status, then, fenced, look_again)


def _await(at: Standing, stage: Stage, late: float) -> Decision:
    """The Job has ended, and what its pod said may still be on its way."""
    state = state_of(at, "Running", "StageRunning", f"{name_of(at.case, stage)} has ended")
    entry = known(at.case)[stage.index]
    kept = at.entered(stage.index, **entry.model_dump(by_alias=False))
    return Decision(decided(kept, state).status, look_again=max(0.1, GRACE_SECONDS - late))


def _succeeded(at: Standing) -> Decision:
    case, made = at.case, at.artifacts[0]
    state = state_of(at, "Succeeded", "Succeeded", f"published {made.format} to {made.uri}")
    state = replace(state, judged=judged.verdict(case.spec, at.evaluation, published=True))
    status = decided(at, state).status.model_copy(update={"completion_time": written(case.now)})
    progress = passes.done(status, [step.name for step in at.passes])
    return Decision(status.model_copy(update={"progress": progress}))
