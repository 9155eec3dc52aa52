"""The loop: asks the course what follows, has it done, tells the course, until the search is over."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from millwright_api.errors import ConstraintsNotMet, TrialsFailed
from millwright_api.search import Search
from millwright_api.v1alpha1 import Spec
from millwright_runner.passes import StopFlag
from millwright_runner.searching.crew import Crew
from millwright_runner.searching.observing import SearchObserver
from millwright_search import verdict
from millwright_search.course import course
from millwright_search.segments import segments
from millwright_search.trials import Course, Outcome, Seen, Segment, Trial


@dataclass
class Loop:
    """A search that runs.

    Attributes:
        spec: the job's, with a search.
        crew: does segments.
        observer: told what happens.
        stop: asks for a stop.
        clock: seconds, monotonic.
        seconds: that trials took, by number; what several share counts for the first.
    """

    spec: Spec
    crew: Crew
    observer: SearchObserver
    stop: StopFlag
    clock: Callable[[], float]
    _known: Course = field(default_factory=lambda: Course({}, {}))
    _seen: dict[str, Seen] = field(default_factory=dict)
    seconds: dict[int, float] = field(default_factory=dict)
    _active: dict[str, tuple[Trial, Segment, float]] = field(default_factory=dict)
    _keys: dict[int, frozenset[str]] = field(default_factory=dict)

    def run(self) -> Course:
        """Returns the search's last word, its `over` included.

        Raises:
            Stopped: a stop was asked for; all that ran has saved a checkpoint.
            TryAgain: something outside failed: the same command goes on.
        """
        search = self.spec.search
        assert search is not None  # who has none is not searched
        began = self.clock()
        while True:
            self.stop.check("between two trials")
            late = search.max_seconds is not None and self.clock() - began >= search.max_seconds
            self._ask(late)
            if self._known.over is not None:
                self.observer.over(self._known.over)
                return self._known
            for segment in self._known.start:
                trial = self._first(segment)
                self._seen[segment.key] = Seen("Active")
                self._active[segment.key] = (trial, segment, self.clock())
                self.crew.start(trial, segment, self.observer.segment(trial, segment))
            key, seen = self.crew.wait()
            self._seen[key] = seen
            trial, segment, started = self._active.pop(key)
            self.seconds[trial.number] = self.seconds.get(trial.number, 0.0) + self.clock() - started
            self.observer.segment_ended(trial, segment)

    def _ask(self, late: bool) -> None:
        before = self._known
        known = course(self.spec, before.trials, before.outcomes, self._seen, limit=self.crew.limit, late=late)
        self._known = known
        new, ended = known.trials.keys() - before.trials.keys(), known.outcomes.keys() - before.outcomes.keys()
        for number in sorted(ended - new):
            self.observer.ended(known.trials[number], known.outcomes[number])
        for number in sorted(new):
            self.observer.asked(known.trials[number])
        for number in sorted(ended & new):  # a failure that it shares
            self.observer.ended(known.trials[number], known.outcomes[number])

    def _first(self, segment: Segment) -> Trial:
        """Returns the earliest trial that needs a segment."""
        for number, trial in sorted(self._known.trials.items()):
            if number not in self._keys:
                self._keys[number] = frozenset(one.key for one in segments(self.spec, trial.at))
            if number not in self._known.outcomes and segment.key in self._keys[number]:
                return trial
        raise AssertionError("the course starts what a trial needs")


def failure(search: Search, known: Course) -> TrialsFailed | ConstraintsNotMet:
    """Returns why a search found no model to publish.

    Args:
        search: as the manifest has it.
        known: its last word.
    """
    assert known.over is not None  # it has ended
    measured = {n: one for n, one in known.outcomes.items() if one.phase == "ConstraintsNotMet"}
    if known.over.reason == "TooManyFailedTrials" or not measured:
        return TrialsFailed(known.over.message, where="spec.search")
    number = nearest(search, measured)
    message = f"{known.over.message}; nearest was trial {number}: {measured[number].message}"
    return ConstraintsNotMet(message, where="spec.evaluation.constraints", hint="nothing was published")


def nearest(search: Search, measured: dict[int, Outcome]) -> int:
    """Returns, of trials that do not meet the constraints, the one that misses fewest; of equals, the best of them."""
    fewest = min(one.violated for one in measured.values())
    equals = {number: Outcome("Succeeded", one.values) for number, one in measured.items() if one.violated == fewest}
    best = verdict.best(search, equals)
    return min(equals) if best is None else best
