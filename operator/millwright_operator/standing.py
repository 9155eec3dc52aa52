"""What a job's stages have come to, and the status that says so."""

from __future__ import annotations

from dataclasses import dataclass, replace

from millwright_api.report import RunReport
from millwright_api.status import ArtifactStatus, EvaluationStatus, JobPhase, PassStatus, SearchStatus, StageStatus
from millwright_operator import judged, passes, podless
from millwright_operator.account import account
from millwright_operator.case import Case, Decision
from millwright_operator.clock import written
from millwright_operator.conditions import Said, State, condition, conditions
from millwright_operator.failures import WAITING, Finding, report_of, waits_for
from millwright_operator.observed import SeenJob, SeenPod
from millwright_operator.remote import known_of
from millwright_operator.stages import Stage


@dataclass(frozen=True)
class Standing:
    """A look, with what its stages have come to.

    Attributes:
        case: the look.
        entries: of the stages, in order.
        passes: of the recipe, in order.
        fingerprint, artifacts, evaluation: what reports have said so far.
        search: where the search stands; None for a job without one.
    """

    case: Case
    entries: list[StageStatus]
    passes: list[PassStatus]
    fingerprint: str | None
    artifacts: list[ArtifactStatus]
    evaluation: EvaluationStatus | None
    search: SearchStatus | None

    @classmethod
    def of(cls, case: Case) -> Standing:
        """Returns what status says, with what is seen of the stages' Jobs counted in."""
        status = case.status
        steps = passes.planned(case.stages, status.passes)
        return cls(case, account(case), steps, status.fingerprint, status.artifacts, status.evaluation, status.search)

    def entered(self, index: int, **changes: object) -> Standing:
        """Returns the same with a stage's entry changed."""
        entries = [e.model_copy(update=changes) if i == index else e for i, e in enumerate(self.entries)]
        return replace(self, entries=entries)

    def told(self, stage: Stage, report: RunReport | None, good: bool) -> Standing:
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


def decided(at: Standing, state: State, running: Stage | None = None) -> Decision:
    """Returns the status for a state; with where the running pass of a stage stands, when one runs."""
    case, resource = at.case, at.case.resource
    if running:
        progress, steps = passes.running(case, running, at.passes)
    else:
        progress, steps = case.status.progress, at.passes
        if state.phase != "Running":
            progress, steps = passes.stopped(progress), passes.paused(steps)
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
                "search": at.search,
                "remote": known_of(case),
            }
        )
    )


def pending(at: Standing, stage: Stage, message: str) -> Decision:
    """Returns what is said of a stage that is about to run."""
    state = state_of(at, "Pending", "StagePending", f"{name_of(at.case, stage)}: {message}")
    return decided(at.entered(stage.index, phase="Pending"), state)


def failed(at: Standing, stage: Stage, finding: Finding, job: SeenJob | None, pods: list[SeenPod]) -> Decision:
    """Returns the end of a job whose stage has failed.

    Args:
        at: what is known.
        stage: which has failed.
        finding: why.
        job: its Job; None where it was none that failed.
        pods: the Job's.
    """
    case, entry = at.case, at.entries[stage.index]
    tries = entry.failures + entry.earlier_failures
    several = f"attempt {tries} of {case.spec.retry.max_attempts}: " if job and tries > 1 else ""
    last = max((p for p in pods if p.ended), key=lambda p: (p.created_at, p.name), default=None)
    report = None if last is None else report_of(last)
    at = at.told(stage, report, good=False).entered(stage.index, phase="Failed", pod=None)
    state = state_of(at, "Failed", finding.reason, several + finding.message)
    if finding.reason == judged.NOT_MET and state.judged is None:  # the figures are lost
        state = replace(state, judged=Said("False", judged.NOT_MET, finding.message))
    status = decided(at, state).status
    progress = passes.stopped(case.status.progress)
    return Decision(status.model_copy(update={"completion_time": written(case.now), "progress": progress}))


def held_up(case: Case, name: str) -> Finding | None:
    """Returns what keeps a Job's pods from starting, if it is more than the time it takes."""
    fresh = [pod for pod in case.pods_of(name) if not pod.finished and not pod.ended]
    found = next((finding for finding in (waits_for(pod, case.spec) for pod in fresh) if finding), None)
    return found or podless.refused(case.children, name) or _still_waits(case, name)


def _still_waits(case: Case, name: str) -> Finding | None:
    """Returns what kept the pods of a Job from starting that is about to fail: its deadline has deleted them, and status
    has it still. It says so until the end, which tells it."""
    job, ready = case.job(name), condition(case.status, "Ready")
    if job is None or not job.failing or ready is None or ready.reason not in WAITING:
        return None
    return Finding(ready.reason, ready.message, mended_by_person=case.status.phase == "Stalled")


def too_late(case: Case, job: SeenJob | None = None) -> Finding:
    """Returns why a Job was stopped, or does not start: the job's time is over. With what kept the pods from starting: a
    deadline wipes them, and it is still in status."""
    message = f"spec.activeDeadlineSeconds ({case.spec.active_deadline_seconds} s) is used up"
    if job:
        message += f": Job {job.name} ran longer than the {job.active_deadline} s that it had"
    ready = condition(case.status, "Ready")
    if ready and ready.reason in WAITING:
        message += f"; it waited: {ready.reason}: {ready.message}"
    return Finding("DeadlineExceeded", message)


def state_of(at: Standing, phase: JobPhase, reason: str, message: str) -> State:
    """Returns where a job stands that has started."""
    return State(phase, reason, message, _valid(at.case), judged=judged.verdict(at.case.spec, at.evaluation))


def name_of(case: Case, stage: Stage) -> str:
    """Returns a stage for people: stage 1 of 2 (finetune, merge)."""
    return f"stage {stage.index + 1} of {len(case.stages)} ({stage.title or ', '.join(stage.steps)})"


def _valid(case: Case) -> Said:
    """The job could not have started otherwise."""
    return case.validated if case.validated.status == "True" else Said("True", "SpecValid")
