"""How often status may be written for progress alone: per job, and for all jobs together. Pure: time is passed in."""

from __future__ import annotations

from millwright_operator.observed import Key

PER_JOB_SECONDS = 5.0
"""Least time between two writes of one job's status when the second says nothing but progress."""

PER_SECOND = 20.0
"""Writes of all jobs' progress in one second."""


class Pace:
    """Says how long a write must wait. Whoever must wait is given a place in line: 1,000 jobs all get their turn.

    Times are seconds of any clock that never goes back.
    """

    def __init__(self, per_job: float = PER_JOB_SECONDS, per_second: float = PER_SECOND) -> None:
        self._per_job, self._gap = per_job, 1.0 / per_second
        self._last: dict[Key, float] = {}
        self._places: dict[Key, float] = {}
        self._next = 0.0

    def wait(self, key: Key, now: float) -> float:
        """Returns the seconds that a write for progress alone must wait; 0: it may go, and is counted."""
        place = self._places.get(key)
        if place is None:
            rest = self._last.get(key, now - self._per_job) + self._per_job - now
            if rest > 0:
                return rest
            place = max(now, self._next)
            self._next = place + self._gap
        if place > now:
            self._places[key] = place
            return place - now
        self._places.pop(key, None)
        self._last[key] = now
        return 0.0

    def rest(self, key: Key, now: float) -> float:
        """Returns the seconds until a write for progress may be asked for; nothing is counted."""
        place = self._places.get(key, now)
        return max(0.0, place - now, self._last.get(key, now - self._per_job) + self._per_job - now)

    def wrote(self, key: Key, now: float) -> None:
        """Counts a write that did not wait, since it said more than progress; at most a second's worth delays others."""
        self._last[key] = now
        self._next = min(max(now, self._next) + self._gap, max(now + 1.0, self._next))

    def forget(self, key: Key) -> None:
        """Forgets a job that is gone."""
        self._last.pop(key, None)
        self._places.pop(key, None)
