"""From the first stage's start to the end: one Job per stage, one after the other.

A stage's Job is created only when status says so on the very object that was seen, and when no pod of that stage is
left that might still write. A stage that has ended is so for good: it is not run again when its Job is deleted.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from millwright_api.report import RunReport
from millwright_api.status import ArtifactStatus, EvaluationStatus, JobPhase, PassStatus, StageStatus
from millwright_operator import judged, manifests, passes, stages
from millwright_operator.account import account, attempt, backoff_limit, known
from millwright_operator.actions import Action, CreateJob, DeleteJob, PatchJob
from millwright_operator.case import GRACE_SECONDS, Case, Decision, applied
from millwright_operator.clock import remaining, seconds_between, written
from millwright_operator.conditions import Said, State, condition, conditions
from millwright_operator.failures import WAITING, Finding, end_of, good_report, of_job, report_of, waits_for
from millwright_operator.observed import SeenJob, SeenPod
from millwright_operator.stages import Stage


@dataclass(frozen=True)
class _Work:
    """A look, with what its stages have come to."""

    case: Case
    entries: list[StageStatus]
    passes: list[PassStatus]
    fingerprint: str | None
    artifacts: list[ArtifactStatus]
    evaluation: EvaluationStatus | None

    def entered(self, index: int, **changes: object) -> _Work:
        """Returns the same with a stage's entry changed."""
        entries = [e.model_copy(update=changes) if i == index else e for i, e in enumerate(self.entries)]
        return replace(self, entries=entries)

    def told(self, stage: Stage, report: RunReport | None, good: bool) -> _Work:
        """Returns the same with what a stage's report says."""
        steps = passes.reported(self.passes, stage, report, good)
        made = passes.artifact(report) if report and good else []
        name = report.fingerprint[:64] if report and report.fingerprint and good else None
        return replace(
            self,
            passes=steps,
            fingerprint=name or self.fingerprint,
            artifacts=made or self.artifacts,
            evaluation=judged.evaluated(self.evaluation, report, [step.name for step in self.case.spec.passes]),
        )


def work(case: Case) -> Decision:
    """Returns what follows once the job has started."""
    at = _Work(
        case,
        account(case),
        passes.planned(case.stages, case.status.passes),
        case.status.fingerprint,
        case.status.artifacts,
        case.status.evaluation,
    )
    for stage in case.stages:
        entry = at.entries[stage.index]
        if entry.phase == "Succeeded":
            continue
        job = case.job(entry.name)
        if job is None or not job.finished or job.deleting:
            return _drive(at, stage, job)
        pods = case.pods_of(job.name)
        ended = [pod for pod in pods if pod.ended]
        late = seconds_between(job.completed_at, case.now)
        if job.failed:
            if not ended and late < GRACE_SECONDS and job.failed[0] != "DeadlineExceeded":
                return _await(at, stage, late)
            return _failed(at, stage, _after_waiting(case, of_job(job, pods)), job, pods)
        report = next((report for report in map(good_report, ended) if report), None)
        if report is None and late < GRACE_SECONDS:
            return _await(at, stage, late)
        at = at.told(stage, report, good=True).entered(stage.index, phase="Succeeded", pod=None)
    if not at.artifacts:
        return _ask_again(at)
    return _succeeded(at)


def _drive(at: _Work, stage: Stage, job: SeenJob | None) -> Decision:
    """A stage that has not ended: starts, stops or watches its Job."""
    case, queue = at.case, at.case.spec.execution.kubernetes.queue
    pods = case.unfinished(stage.index)
    if case.spec.suspend:
        return _suspend(at, stage, job, pods)
    if job and not job.deleting:
        if not job.suspended:
            return _watch(at, stage, job)
        if queue:
            message = f"{_name(case, stage)} waits for quota in the queue {queue}"
            return _told(at.entered(stage.index, phase="Queued"), _state(at, "Queued", "QueuedForQuota", message))
    elif job or pods:
        return _pending(at, stage, "waiting for its former pod to end")
    return _let_run(at, stage, job)


def _let_run(at: _Work, stage: Stage, job: SeenJob | None) -> Decision:
    """Creates a stage's Job, or lets a suspended one go on, for the time that is left."""
    case, limit = at.case, at.case.spec.active_deadline_seconds
    left = remaining(limit, at.entries, case.now)
    if left is not None and left <= 0:
        used_up = Finding("DeadlineExceeded", f"spec.activeDeadlineSeconds ({limit} s) is used up")
        return _failed(at, stage, _after_waiting(case, used_up), None, [])
    if job is None:
        return _create(at, stage, left)
    change = {"suspend": False} | ({"activeDeadlineSeconds": left} if left is not None else {})
    return Decision(_pending(at, stage, "going on").status, then=(PatchJob(job.name, change),), fenced=True)


def _watch(at: _Work, stage: Stage, job: SeenJob) -> Decision:
    """A Job that is let run: says how its pod stands, and lets it try more often when the manifest now says so."""
    case, entry = at.case, at.entries[stage.index]
    wanted = backoff_limit(case.spec.retry.max_attempts, entry)
    raised = job.backoff_limit is not None and job.backoff_limit < wanted
    then: tuple[Action, ...] = (*applied(case), *((PatchJob(job.name, {"backoffLimit": wanted}),) if raised else ()))
    pods = case.pods_of(job.name)
    if attempt(pods):
        message = f"{_name(case, stage)}, attempt {entry.attempts} of {case.spec.retry.max_attempts}"
        decision = _told(
            at.entered(stage.index, phase="Running"), _state(at, "Running", "StageRunning", message), stage
        )
        return Decision(decision.status, then)
    fresh = [pod for pod in pods if not pod.finished and not pod.deleting and not pod.ended]
    waiting = next((finding for finding in (waits_for(pod, case.spec) for pod in fresh) if finding), None)
    if waiting:
        phase: JobPhase = "Stalled" if waiting.mended_by_person else "Pending"
        state = replace(_state(at, phase, waiting.reason, waiting.message), stalled=waiting.mended_by_person)
        return Decision(_told(at.entered(stage.index, phase="Pending"), state).status, then)
    broken = [pod for pod in pods if pod.ended and not pod.disrupted and pod.ended.exit_code != 0]
    after = ""
    if broken:
        last = end_of(max(broken, key=lambda pod: (pod.ended.finished_at if pod.ended else "") or ""))
        after = f"; attempt {entry.failures + entry.earlier_failures} ended with {last.reason}: {last.message}"
    return Decision(_pending(at, stage, f"waiting for its pod{after}").status, then)


def _create(at: _Work, stage: Stage, left: int | None) -> Decision:
    case, entry = at.case, at.entries[stage.index]
    body = manifests.stage_job(
        case.resource,
        case.spec,
        stage,
        case.platform,
        name=entry.name,
        backoff_limit=backoff_limit(case.spec.retry.max_attempts, entry),
        deadline=left,
    )
    create = CreateJob(body, alone=manifests.alone(case.resource, stage.index))
    refused = case.children.refused
    if refused is None:
        decision = _pending(at, stage, "waiting for its pod")
    else:
        state = _state(at, "Stalled" if refused.for_good else "Pending", "JobNotCreated", refused.message)
        decision = _told(at.entered(stage.index, phase="Pending"), replace(state, stalled=refused.for_good))
    return Decision(decision.status, then=(*applied(case), create), fenced=True)


def _suspend(at: _Work, stage: Stage, job: SeenJob | None, pods: list[SeenPod]) -> Decision:
    """With a queue the Job goes, for Kueue would start it again; without one Kubernetes' own suspension does it."""
    queued = at.case.spec.execution.kubernetes.queue is not None
    then: tuple[Action, ...] = ()
    if job and queued and not job.deleting:
        then = (DeleteJob(job.name, job.uid),)
    elif job and not queued and not job.suspended and not job.deleting:
        then = (PatchJob(job.name, {"suspend": True}),)
    if pods:
        decision = _pending(at, stage, "suspending: its pod stores a checkpoint and ends")
        return Decision(decision.status, then)
    state = _state(
        at, "Suspended", "SuspendedByUser", f"spec.suspend is true; {_name(at.case, stage)} goes on from here"
    )
    return Decision(_told(at.entered(stage.index, phase="Suspended"), state).status, then)


def _ask_again(at: _Work) -> Decision:
    """All stages are done and nobody is left who says what was published: a small Job reads it from the output."""
    case, name = at.case, stages.report_name(at.case.resource)
    job = case.job(name)
    if job and job.finished and not job.deleting:
        return _answered(at, job, case.pods_of(name))
    if case.spec.suspend:
        gone = (DeleteJob(job.name, job.uid),) if job and not job.deleting else ()
        state = _state(at, "Suspended", "SuspendedByUser", "spec.suspend is true; all stages are done")
        return Decision(_told(at, state).status, then=gone)
    if job is None:
        create = CreateJob(manifests.report_job(case.resource, case.spec, case.platform))
        return _publishing(at, (*applied(case), create), fenced=True)
    return _publishing(at, ())


def _answered(at: _Work, job: SeenJob, pods: list[SeenPod]) -> Decision:
    """The small Job has ended: by what its pod said; when that is lost too, it is asked once more."""
    stage = at.case.stages[-1]
    report = next((r for r in (good_report(pod) for pod in pods if pod.ended) if r and r.artifact), None)
    if report:
        return _succeeded(at.told(stage, report, good=True))
    late = seconds_between(job.completed_at, at.case.now)
    if late < GRACE_SECONDS:
        return _publishing(at, (), look_again=GRACE_SECONDS - late)
    if job.failed:
        return _failed(at, stage, of_job(job, pods), None, pods)
    return _publishing(at, (DeleteJob(job.name, job.uid),))


def _publishing(
    at: _Work, then: tuple[Action, ...], *, fenced: bool = False, look_again: float | None = None
) -> Decision:
    state = _state(at, "Running", "Publishing", "all stages are done; reading back what was published")
    return Decision(_told(at, state).status, then, fenced, look_again)


def _await(at: _Work, stage: Stage, late: float) -> Decision:
    """The Job has ended, and what its pod said may still be on its way."""
    state = _state(at, "Running", "StageRunning", f"{_name(at.case, stage)} has ended")
    entry = known(at.case)[stage.index]
    kept = at.entered(stage.index, **entry.model_dump(by_alias=False))
    return Decision(_told(kept, state).status, look_again=max(0.1, GRACE_SECONDS - late))


def _succeeded(at: _Work) -> Decision:
    case, made = at.case, at.artifacts[0]
    state = _state(at, "Succeeded", "Succeeded", f"published {made.format} to {made.uri}")
    state = replace(state, judged=judged.verdict(case.spec, at.evaluation, published=True))
    status = _told(at, state).status.model_copy(update={"completion_time": written(case.now)})
    progress = passes.done(status, [step.name for step in case.spec.passes])
    return Decision(status.model_copy(update={"progress": progress}))


def _failed(at: _Work, stage: Stage, finding: Finding, job: SeenJob | None, pods: list[SeenPod]) -> Decision:
    case, entry = at.case, at.entries[stage.index]
    tries = entry.failures + entry.earlier_failures
    several = f"attempt {tries} of {case.spec.retry.max_attempts}: " if job and tries > 1 else ""
    last = max((p for p in pods if p.ended), key=lambda p: (p.created_at, p.name), default=None)
    report = None if last is None else report_of(last)
    at = at.told(stage, report, good=False).entered(stage.index, phase="Failed", pod=None)
    state = _state(at, "Failed", finding.reason, several + finding.message)
    if finding.reason == judged.NOT_MET and state.judged is None:  # the figures are lost
        state = replace(state, judged=Said("False", judged.NOT_MET, finding.message))
    status = _told(at, state).status
    progress = passes.stopped(case.status.progress)
    return Decision(status.model_copy(update={"completion_time": written(case.now), "progress": progress}))


def _after_waiting(case: Case, finding: Finding) -> Finding:
    """A deadline wipes the pods: what kept them from starting is still in status."""
    ready = condition(case.status, "Ready")
    if finding.reason != "DeadlineExceeded" or ready is None or ready.reason not in WAITING:
        return finding
    return Finding(finding.reason, f"{finding.message}; it waited: {ready.reason}: {ready.message}")


def _pending(at: _Work, stage: Stage, message: str) -> Decision:
    state = _state(at, "Pending", "StagePending", f"{_name(at.case, stage)}: {message}")
    return _told(at.entered(stage.index, phase="Pending"), state)


def _told(at: _Work, state: State, running: Stage | None = None) -> Decision:
    """The status for a state; with where the running pass stands, when one runs."""
    case, resource = at.case, at.case.resource
    if running:
        progress, steps = passes.running(case, running, at.passes)
    else:
        progress, steps = case.status.progress, at.passes if state.phase == "Running" else passes.paused(at.passes)
    return Decision(
        case.status.model_copy(
            update={
                "observed_generation": resource.generation,
                "phase": state.phase,
                "conditions": conditions(state, case.status, resource.generation, case.now),
                "fingerprint": at.fingerprint,
                "attempts": sum(entry.attempts for entry in at.entries),
                "progress": progress,
                "passes": steps,
                "stages": at.entries,
                "artifacts": at.artifacts,
                "evaluation": at.evaluation,
            }
        )
    )


def _state(at: _Work, phase: JobPhase, reason: str, message: str) -> State:
    return State(phase, reason, message, _valid(at.case), judged=judged.verdict(at.case.spec, at.evaluation))


def _valid(case: Case) -> Said:
    """The job could not have started otherwise."""
    return case.validated if case.validated.status == "True" else Said("True", "SpecValid")


def _name(case: Case, stage: Stage) -> str:
    return f"stage {stage.index + 1} of {len(case.stages)} ({', '.join(stage.steps)})"
