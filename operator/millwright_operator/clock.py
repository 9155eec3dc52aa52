"""Times as Kubernetes writes them (RFC 3339, UTC), and how long stages have run."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from millwright_api.status import StageStatus
from millwright_operator.observed import SeenJob


def written(moment: datetime) -> str:
    """Returns a time as Kubernetes writes it: whole seconds, UTC."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def read(text: str | None) -> datetime | None:
    """Returns the time that was written; None where there is none."""
    try:
        moment = datetime.fromisoformat(text) if text else None
    except ValueError:
        return None
    return moment.replace(tzinfo=UTC) if moment and moment.tzinfo is None else moment


def seconds_between(start: str | None, end: str | datetime | None) -> float:
    """Returns how long it took, never less than nothing; 0 where one end is unknown."""
    first, last = read(start), end if isinstance(end, datetime) else read(end)
    return max(0.0, (last - first).total_seconds()) if first and last else 0.0


def ran(entry: StageStatus, job: SeenJob | None, now: datetime) -> tuple[int, str | None]:
    """Returns how long a stage ran before its present start, in seconds, and that start, from what status knew and how
    its Job stands. A Job that was told to suspend runs on until Kubernetes says that it is.

    A Job counts its deadline anew at each resume, so the time used is added up here; pauses are left out. A start whose
    end nobody saw (suspended and resumed while no operator ran) counts as nothing.

    Args:
        entry: what status says.
        job: its Job; None when it is gone or about to be.
        now: the end of a run whose Job is gone.
    """
    alive = job is not None and not job.suspended and not job.finished
    start = job.started_at if job and alive else None
    since, used = entry.active_since, entry.active_seconds
    if job and job.suspended and job.suspended_at is None:
        return used, since
    if job and job.finished and since is None and entry.phase not in ("Succeeded", "Failed"):
        since = job.started_at
    if since and since != start:
        end = now if job is None else job.completed_at if job.finished else job.suspended_at if job.suspended else None
        used += round(seconds_between(since, end))
    return used, start


def remaining(limit: int | None, stages: Sequence[StageStatus], now: datetime) -> int | None:
    """Returns the seconds that all stages together may still run, 0 or less when they are used up; None: no limit."""
    if limit is None:
        return None
    used = sum(s.active_seconds + round(seconds_between(s.active_since, now)) for s in stages)
    return limit - used
