"""What a stage has used: attempts and time, counted from its Job, kept in status when the Job is gone.

Idempotent: the same look twice counts once. Kubernetes' own counts are taken as they are: evictions, preemptions and
suspensions are no failures (podFailurePolicy).
"""

from __future__ import annotations

from datetime import datetime

from millwright_api.status import StageStatus
from millwright_operator.case import Case
from millwright_operator.clock import ran, seconds_between, written
from millwright_operator.observed import SeenJob, SeenPod
from millwright_operator.stages import TRIALS, entry_name


def account(case: Case) -> list[StageStatus]:
    """Returns the stages with what is seen of their Jobs counted in; those that have ended stay as they are.

    One that status does not have (another version wrote it, or somebody by hand) has not begun.
    """
    return [
        trials(case, entry) if stage.title == TRIALS else _counted(case, entry)
        for stage, entry in zip(case.stages, known(case), strict=True)
    ]


def known(case: Case) -> list[StageStatus]:
    """Returns what status says of each stage."""
    missing = case.stages[len(case.status.stages) :]
    return [
        *case.status.stages[: len(case.stages)],
        *(StageStatus(name=entry_name(case.resource, stage), phase="Pending") for stage in missing),
    ]


def attempt(pods: list[SeenPod]) -> SeenPod | None:
    """Returns the pod whose container runs; None when none does."""
    running = [p for p in pods if p.started_at and not p.ended and not p.finished and not p.deleting]
    return max(running, key=lambda pod: (pod.created_at, pod.name), default=None)


def backoff_limit(attempts: int, entry: StageStatus) -> int:
    """Returns the failures that a stage's Job may still have and go on, after those of Jobs it had before."""
    return max(0, attempts - 1 - entry.earlier_failures)


def trials(case: Case, entry: StageStatus) -> StageStatus:
    """Returns what the trials of a search have used together: time counts while at least one of their Jobs runs."""
    if entry.phase in ("Succeeded", "Failed"):
        return entry
    jobs = [job for job in case.children.jobs if job.role == "trial" and not job.deleting]
    pods = {job.name: attempt(case.pods_of(job.name)) if not job.finished else None for job in jobs}
    tries = sum(job.failures + (1 if pods[job.name] or job.complete else 0) for job in jobs)
    starts = [job.started_at for job in jobs if job.started_at and pods[job.name] and not job.suspended]
    since, used = entry.active_since, entry.active_seconds
    if since is None and starts:
        since = min(starts)
    elif since is not None and not starts and not _still(jobs, since):
        ends = [end for job in jobs for end in (job.completed_at, job.suspended_at) if end and end >= since]
        used, since = used + round(seconds_between(since, max(ends, default=written(case.now)))), None
    return entry.model_copy(
        update={"attempts": max(entry.attempts, tries), "active_seconds": used, "active_since": since}
    )


def _still(jobs: list[SeenJob], since: str) -> bool:
    """Whether a Job runs between two pods of its own: the time counts on, as Kubernetes counts it."""
    return any(job.started_at and not job.finished and not job.suspended and job.started_at <= since for job in jobs)


def _counted(case: Case, entry: StageStatus) -> StageStatus:
    if entry.phase in ("Succeeded", "Failed"):
        return entry
    job = case.job(entry.name)
    if job is None or job.deleting:
        return _without(entry, case.now)
    other = entry.job_uid is not None and entry.job_uid != job.uid
    earlier = entry.earlier_failures + (entry.failures if other else 0)
    failures = job.failures if other else max(entry.failures, job.failures)
    pod = attempt(case.pods_of(job.name)) if not job.finished else None
    seconds, since = ran(entry, job, case.now)
    running = since is not None and (pod is not None or entry.active_since == since)
    return entry.model_copy(
        update={
            "job_uid": job.uid if pod or failures or job.finished else entry.job_uid,
            "earlier_failures": earlier,
            "failures": failures,
            "attempts": earlier + failures + (1 if pod or job.complete else 0),
            "active_seconds": seconds,
            # not before a container runs: a start alone is not worth a write
            "active_since": since if running else None,
            "pod": pod.name if pod else None,
        }
    )


def _without(entry: StageStatus, now: datetime) -> StageStatus:
    """Its Job is gone or about to be: what it counted is kept for the next one's."""
    seconds, _ = ran(entry, None, now)
    earlier = entry.earlier_failures + entry.failures
    return entry.model_copy(
        update={
            "job_uid": None,
            "earlier_failures": earlier,
            "failures": 0,
            "attempts": earlier,
            "active_seconds": seconds,
            "active_since": None,
            "pod": None,
        }
    )
