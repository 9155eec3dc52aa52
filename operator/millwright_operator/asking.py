"""Asking a search's course, once for each new thing that is seen: to ask for a trial takes TPE tenths of a second.

What is remembered here is a function of what is asked; a process that forgot it asks again and gets the same answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from millwright_api.search import Point
from millwright_api.status import SearchStatus
from millwright_api.v1alpha1 import Spec
from millwright_operator.observed import Resource
from millwright_operator.trialstatus import told
from millwright_search import space
from millwright_search.course import course
from millwright_search.segments import segments
from millwright_search.trials import Course, Outcome, Seen, Segment, Trial


@dataclass(frozen=True)
class Question:
    """What a course is asked with; see `millwright_search.course`."""

    trials: Mapping[int, Trial]
    outcomes: Mapping[int, Outcome]
    seen: Mapping[str, Seen]
    late: bool


@dataclass
class Memory:
    """What was found out about one search.

    Attributes:
        ends: how Jobs ended, by their uid.
    """

    ends: dict[str, Seen] = field(default_factory=dict)
    _about: tuple[str, int] | None = None
    _segments: dict[str, tuple[Segment, ...]] = field(default_factory=dict)
    _size: list[int | None] = field(default_factory=list)
    _last: tuple[Question, Course, SearchStatus] | None = None

    def begin(self, resource: Resource) -> None:
        """Forgets what is about another spec, or another object of the same name."""
        if self._about != (resource.uid, resource.generation):
            self._about = (resource.uid, resource.generation)
            self._segments, self._size, self._last = {}, [], None

    def segments(self, spec: Spec, at: Point) -> tuple[Segment, ...]:
        """Returns a trial's segments."""
        mark = repr(at)  # 1, 1.0 and True are equal to Python
        if mark not in self._segments:
            self._segments[mark] = segments(spec, at)
        return self._segments[mark]

    def size(self, spec: Spec) -> int | None:
        """Returns how many points there are; None: more than can be counted."""
        assert spec.search is not None  # the callers have one
        if not self._size:
            self._size.append(space.size(spec.search))
        return self._size[0]

    def ask(self, spec: Spec, question: Question) -> tuple[Course, SearchStatus]:
        """Returns what follows from what is known, and what status says of it."""
        assert spec.search is not None  # the callers have one
        if self._last is None or self._last[0] != question:
            answer = course(
                spec,
                question.trials,
                question.outcomes,
                question.seen,
                limit=spec.search.parallel_trials,
                late=question.late,
            )
            self._last = (question, answer, told(spec, answer, self._running(spec, question, answer), self.size(spec)))
        return self._last[1], self._last[2]

    def _running(self, spec: Spec, question: Question, answer: Course) -> frozenset[int]:
        active = {key for key, seen in question.seen.items() if seen.state == "Active"}
        active |= {segment.key for segment in answer.start}
        open_ = [trial for number, trial in answer.trials.items() if number not in answer.outcomes]
        return frozenset(t.number for t in open_ if any(s.key in active for s in self.segments(spec, t.at)))
