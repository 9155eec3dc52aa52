"""The Jobs of a search's segments → what its course is told of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from millwright_operator.account import attempt
from millwright_operator.case import GRACE_SECONDS, Case
from millwright_operator.clock import seconds_between
from millwright_operator.failures import end_of, good_report, of_job
from millwright_operator.observed import SeenJob, SeenPod
from millwright_operator.text import shown
from millwright_search.trials import Seen, Segment

ACTIVE = Seen("Active")


@dataclass
class Look:
    """What is seen of a search's segments.

    Attributes:
        seen: by the segment's key; those that nobody started are not in it.
        jobs: Jobs that run, wait or are suspended, by the segment's key.
        running: pods whose container runs, by the segment's key.
        waiting: pods that have not started, of Jobs that are let run.
        lost: Jobs whose pods are gone with what they had to say: they are to run again.
        strays: unfinished Jobs that no trial waits for.
        too_late: a Job that ran into the job's deadline.
        again: seconds after which to look again: a pod's end may still be on its way.
    """

    seen: dict[str, Seen] = field(default_factory=dict)
    jobs: dict[str, SeenJob] = field(default_factory=dict)
    running: dict[str, SeenPod] = field(default_factory=dict)
    waiting: list[SeenPod] = field(default_factory=list)
    lost: list[SeenJob] = field(default_factory=list)
    strays: list[SeenJob] = field(default_factory=list)
    too_late: SeenJob | None = None
    again: float | None = None


def look(case: Case, wanted: Mapping[str, Segment], others: Mapping[str, Segment]) -> Look:
    """Returns what is seen.

    Args:
        case: the look.
        wanted: segments of trials that have not ended, by label.
        others: those of trials that have: a later trial may begin like one of them.
    """
    found, pods = Look(), defaultdict[str, list[SeenPod]](list)
    for pod in case.children.pods:
        if pod.role == "trial":
            pods[pod.job].append(pod)
            if pod.segment and pod.segment in wanted and not pod.finished:
                found.seen[wanted[pod.segment].key] = ACTIVE  # it may still write, whoever's it is
    for job in case.children.jobs:
        if job.role != "trial" or job.segment is None:
            continue
        if job.segment in wanted:
            _wanted(case, found, wanted[job.segment], job, pods[job.name])
        elif not job.finished and not job.deleting:
            found.strays.append(job)
        elif job.segment in others and job.uid in case.memory.ends:
            found.seen[others[job.segment].key] = case.memory.ends[job.uid]
        elif job.segment in others and job.complete and not job.deleting:
            _other(case, found, others[job.segment], job, pods[job.name])
    return found


def _wanted(case: Case, found: Look, segment: Segment, job: SeenJob, pods: Sequence[SeenPod]) -> None:
    found.seen[segment.key] = ACTIVE
    if job.deleting:
        return
    if not job.finished:
        found.jobs[segment.key] = job
        if (pod := attempt(list(pods))) is not None:
            found.running[segment.key] = pod
        elif not job.suspended:
            found.waiting += [pod for pod in pods if not pod.finished and not pod.deleting and not pod.ended]
        return
    if job.failed and job.failed[0] == "DeadlineExceeded":
        found.too_late = job
        return
    end = case.memory.ends.get(job.uid) or _end(case, segment, job, pods)
    if end is not None:
        case.memory.ends[job.uid] = found.seen[segment.key] = end
        return
    left = GRACE_SECONDS - seconds_between(job.completed_at, case.now)
    if left > 0:
        found.again = min(left, found.again or left)
    else:
        found.lost.append(job)


def _other(case: Case, found: Look, segment: Segment, job: SeenJob, pods: Sequence[SeenPod]) -> None:
    """What a segment of an ended trial has left behind, as far as its pod is still there to tell."""
    if (end := _end(case, segment, job, pods)) is not None:
        case.memory.ends[job.uid] = found.seen[segment.key] = end


def _end(case: Case, segment: Segment, job: SeenJob, pods: Sequence[SeenPod]) -> Seen | None:
    """How a Job ended; None while its pod's words are missing, and are needed."""
    ended = [pod for pod in pods if pod.ended]
    late = seconds_between(job.completed_at, case.now) >= GRACE_SECONDS
    if job.failed:
        if not ended and not late:
            return None
        finding = of_job(job, list(pods))
        return Seen("Failed", reason=finding.reason, message=finding.message)
    report = next((report for report in map(good_report, ended) if report), None)
    if report is not None:
        assert case.spec.search is not None  # there are segments
        good = Seen.of(case.spec.search, segment, report)
        return replace(good, message=shown(good.message, 512))
    silent = [pod for pod in ended if pod.ended and pod.ended.exit_code == 0]
    if silent:
        finding = end_of(silent[0])
        return Seen("Failed", reason=finding.reason, message=finding.message)
    plain = not segment.last and case.spec.search is not None and case.spec.search.early_stopping is None
    return Seen("Succeeded") if plain and late else None
