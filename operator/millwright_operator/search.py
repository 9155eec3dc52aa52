"""A search's trials: Jobs for their segments, as many at once as the manifest allows, until its course says that it is over.

What the course is asked with is in status and in what is seen; what it answers is stored in status before any Job is made.
So an operator that restarts asks the same, and trials that have ended stay so when their Jobs are deleted.
"""

from __future__ import annotations

from dataclasses import replace

from millwright_api.status import JobPhase
from millwright_operator import judged, manifests, passes, podless
from millwright_operator.actions import Action, CreateJob, DeleteJob, PatchJob
from millwright_operator.asking import Question
from millwright_operator.case import Case, Decision, applied, room
from millwright_operator.clock import remaining
from millwright_operator.conditions import State
from millwright_operator.failures import Finding, waits_for
from millwright_operator.manifests import label
from millwright_operator.observed import SeenJob
from millwright_operator.remote import waits_there
from millwright_operator.searchstages import stages_at
from millwright_operator.segmentjobs import Look, look
from millwright_operator.stages import Stage, trial_name
from millwright_operator.standing import Standing, decided, failed, state_of, too_late
from millwright_operator.trialstatus import asked, best_of, ended
from millwright_search import space
from millwright_search.trials import Course, Outcome, Over, Segment, Trial


def search(at: Standing, stage: Stage) -> Decision:
    """Returns what follows while a search's trials run."""
    case = at.case
    assert case.spec.search is not None  # else there is no such stage
    trials = asked(case.spec.search, case.status.search)
    outcomes = ended(case.status.search, trials)
    seen = _look(case, trials, outcomes)
    if seen.too_late:
        return failed(at, stage, too_late(case, seen.too_late), None, [])
    if case.spec.suspend:
        return _suspend(at, stage, seen)
    left = remaining(case.spec.search.max_seconds, at.entries[:1], case.now)
    question = Question(trials, outcomes, seen.seen, late=left is not None and left <= 0)
    course, status = case.memory.ask(case.spec, question)
    at = replace(at, search=status.model_copy(update={"running": len(seen.running)}))
    return _over(at, stage, course.over) if course.over else _go_on(at, stage, course, seen)


def _look(case: Case, trials: dict[int, Trial], outcomes: dict[int, Outcome]) -> Look:
    wanted: dict[str, Segment] = {}
    others: dict[str, Segment] = {}
    for number, trial in trials.items():
        for segment in case.memory.segments(case.spec, trial.at):
            (others if number in outcomes else wanted)[label(segment)] = segment
    return look(case, wanted, others)


def _go_on(at: Standing, stage: Stage, course: Course, seen: Look) -> Decision:
    """Starts what is to start, lets go on what was suspended, and says how it stands."""
    case = at.case
    left = remaining(case.spec.active_deadline_seconds, at.entries, case.now)
    deadline = {"activeDeadlineSeconds": left} if left is not None else {}
    queued = case.spec.execution.kubernetes.queue is not None
    halted = [job for job in seen.jobs.values() if job.suspended and not queued]
    if left is not None and left <= 0 and (course.start or halted):
        return failed(at, stage, too_late(case), None, [])
    wrong = [DeleteJob(job.name, job.uid) for job in (*seen.strays, *seen.lost)]
    resumed = [PatchJob(job.name, {"suspend": False, **deadline}) for job in halted]
    created = [_create(case, course, segment, left) for segment in course.start]
    freed = room(case, case.children.refused) if created else ()
    then: tuple[Action, ...] = (*applied(case), *wrong, *freed, *_raised(case, seen), *resumed, *created)
    status = _standing(at, stage, course, seen).status
    return Decision(status, then, fenced=bool(wrong or resumed or created), look_again=seen.again)


def _create(case: Case, course: Course, segment: Segment, left: int | None) -> CreateJob:
    spec, first = case.spec, case.memory.segments(case.spec, course.trials[0].at)[0]
    step = space.recipe(spec, segment.at)[segment.first]
    body = manifests.trial_job(
        case.resource,
        spec,
        segment,
        case.platform,
        name=trial_name(case.resource, segment.key),
        resources=step.resources or spec.execution.kubernetes.resources,
        backoff_limit=spec.retry.max_attempts - 1,
        deadline=left,
        baseline=segment.key == first.key,
    )
    return CreateJob(body, alone=manifests.alone_in(case.resource, label(segment)))


def _raised(case: Case, seen: Look) -> list[PatchJob]:
    """Lets Jobs try more often when the manifest now says so."""
    wanted = case.spec.retry.max_attempts - 1
    few = [job for job in seen.jobs.values() if job.backoff_limit is not None and job.backoff_limit < wanted]
    return [PatchJob(job.name, {"backoffLimit": wanted}) for job in few]


def _standing(at: Standing, stage: Stage, course: Course, seen: Look) -> Decision:
    """How trials that have not all ended stand."""
    case, refused = at.case, at.case.children.refused
    queue = case.spec.execution.kubernetes.queue
    if seen.running:
        return _running(at, stage, course, seen)
    findings = (
        *(waits_for(pod, case.spec) for pod in seen.waiting),
        *(podless.refused(case.children, job.name) for job in seen.jobs.values()),
    )
    waits = next((finding for finding in findings if finding), None)
    phase: JobPhase = "Pending"
    if refused and course.start:
        stalled = refused.for_good
        state = state_of(at, "Stalled" if stalled else "Pending", "JobNotCreated", refused.message)
    elif waits:
        stalled = waits.mended_by_person
        state = state_of(at, "Stalled" if stalled else "Pending", waits.reason, waits.message)
    elif queue and any(job.suspended for job in seen.jobs.values()):
        stalled, phase = False, "Queued"
        state = state_of(at, "Queued", "QueuedForQuota", f"{_told(at)}; waiting for quota in the queue {queue}")
    else:
        # between two Jobs of trials nothing is pending: it goes on
        stalled, phase = False, "Running" if at.entries[stage.index].attempts else "Pending"
        state = state_of(at, phase, f"Stage{phase}", f"{_told(at)}; waiting for pods")
    return decided(at.entered(stage.index, phase=phase), replace(state, stalled=stalled))


def _running(at: Standing, stage: Stage, course: Course, seen: Look) -> Decision:
    jobs = "1 Job runs" if len(seen.running) == 1 else f"{len(seen.running)} Jobs run"
    best = best_of(at.search) if at.search else ""
    message = f"{_told(at)}, {jobs}" + (f"; best so far: {best}" if best else "")
    heard = at.case.heard
    said = next((pod for pod in seen.running.values() if heard and pod.uid == heard.pod_uid), None)
    pod = said or next(iter(seen.running.values()))
    # of several couriers only the one that spoke last is known: once one has run, the search runs
    there = waits_there(at.case, pod, pod.name) if at.case.status.phase != "Running" else None
    if there:
        state = state_of(at, "Queued", "QueuedOnAzureML", f"{message}; {there}")
        return decided(at.entered(stage.index, phase="Queued"), state)
    at = at.entered(stage.index, phase="Running")
    status = decided(at, state_of(at, "Running", "StageRunning", message)).status
    return Decision(status.model_copy(update=_heard(at, course, seen)))


def _heard(at: Standing, course: Course, seen: Look) -> dict[str, object]:
    """Where the trial stands that was heard last; after a restart nothing was heard yet, and what status says stays."""
    case, heard = at.case, at.case.heard
    key = next((key for key, pod in seen.running.items() if heard and pod.uid == heard.pod_uid), None)
    for number, trial in sorted(course.trials.items()) if key else ():
        steps = space.recipe(case.spec, trial.at)
        for segment in case.memory.segments(case.spec, trial.at) if number not in course.outcomes else ():
            if segment.key == key and heard and segment.first <= heard.progress.step_index < segment.end:
                name, summary = steps[heard.progress.step_index].name, at.search.summary if at.search else ""
                told = passes.of_trial(heard, name, number, summary, case.status.progress)
                phases = [p.model_copy(update={"phase": "Running" if p.name == name else "Pending"}) for p in at.passes]
                return {"progress": told, "passes": phases}
    return {}


def _suspend(at: Standing, stage: Stage, seen: Look) -> Decision:
    """With a queue Jobs go, for Kueue would start them again; without one Kubernetes' own suspension does it."""
    queued = at.case.spec.execution.kubernetes.queue is not None
    then: list[Action] = []
    for job in seen.jobs.values():
        if queued:
            then.append(DeleteJob(job.name, job.uid))
        elif not job.suspended:
            then.append(PatchJob(job.name, {"suspend": True}))
    if at.search:
        at = replace(at, search=at.search.model_copy(update={"running": len(seen.running)}))
    if any(pod.role == "trial" and not pod.finished for pod in at.case.children.pods):
        message = f"{_told(at)}; suspending: pods store checkpoints and end"
        return Decision(decided(at.entered(stage.index, phase="Pending"), _pending(at, message)).status, tuple(then))
    state = state_of(at, "Suspended", "SuspendedByUser", f"spec.suspend is true; {_told(at)}, and it goes on from here")
    return Decision(decided(at.entered(stage.index, phase="Suspended"), state).status, tuple(then))


def _over(at: Standing, stage: Stage, over: Over) -> Decision:
    """No trial comes any more: the best one is published next, or there is none, and the job has failed."""
    case, status = at.case, at.search
    assert status is not None  # the course was asked
    if over.best is None:
        measured = status.constraints_not_met and over.reason == "NoTrialSucceeded"
        return failed(at, stage, Finding(judged.NOT_MET if measured else "TrialsFailed", over.message), None, [])
    unfinished = [job for job in case.children.jobs if _runs(job)]
    stages = stages_at(case.spec, status)
    at = replace(at, passes=passes.planned(stages), case=replace(case, stages=stages))
    at = at.entered(stage.index, phase="Succeeded", pod=None)
    state = state_of(at, "Pending", "StagePending", f"{over.message}; publishing trial {over.best}")
    then = tuple(DeleteJob(job.name, job.uid) for job in unfinished)
    told = decided(at, state).status.model_copy(update={"progress": passes.publishing(case, over.best, status.summary)})
    return Decision(told, then, fenced=bool(then))


def _runs(job: SeenJob) -> bool:
    return job.role == "trial" and not job.finished and not job.deleting


def _pending(at: Standing, message: str) -> State:
    return state_of(at, "Pending", "StagePending", message)


def _told(at: Standing) -> str:
    """How far the search is, for people."""
    done, _, all_ = (at.search.summary if at.search else "").partition("/")
    return f"{done} of {all_} trials ended" if all_ else "no trial has begun"
