"""A search without models: trials whose results are known, run to the end in any order, with all that is kept between two looks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from millwright_api.search import Point, Search
from millwright_api.v1alpha1 import Spec
from millwright_search.course import course
from millwright_search.trials import Course, Outcome, Over, Seen, Segment, Trial

LEARNING_RATES = {"pass": "finetune", "option": "learningRate", "choice": [1e-4, 1e-3]}
VARIANTS = {"pass": "genai", "option": "blockSize", "choice": [16, 32, 64, 128, 256, 512]}
STEPS = ("finetune", "merge", "genai")

Result = float | tuple[float | None, ...] | Seen
"""What becomes of a finished trial: its objectives, or all that is seen."""


def spec(
    *parameters: dict[str, Any],
    steps: tuple[Any, ...] = STEPS,
    violation: str = "Fail",
    metrics: int = 1,
    **search: Any,
) -> Spec:
    """A job that is searched.

    Args:
        parameters: what differs between trials.
        steps: names, or whole steps.
        violation: evaluation.onViolation.
        metrics: how many objectives there are, all to be small: loss, loss1, …
        search: the rest of spec.search.
    """
    names = ["loss", *(f"loss{at}" for at in range(1, metrics))]
    return Spec.model_validate(
        {
            "model": {"path": "/model"},
            "passes": [{"name": one, "custom": {"pass": one}} if isinstance(one, str) else one for one in steps],
            "evaluation": {
                "after": ["each"],
                "metrics": [{"name": name, "custom": {"metric": name}} for name in names],
                "onViolation": violation,
            },
            "search": {
                "parameters": list(parameters),
                "objectives": [{"metric": name, "direction": "Minimize"} for name in names],
                **search,
            },
            "output": {"path": "/out"},
        }
    )


def search_of(*parameters: dict[str, Any], **more: Any) -> Search:
    """The search alone."""
    found = spec(*parameters, **more).search
    assert found is not None
    return found


@dataclass
class World:
    """Segments that run, and a caller that keeps what `course` says between two looks.

    Attributes:
        result: a trial's values → what its finished model is found to be.
        after: a segment → the first objective's value after its steps.
        fails: a segment → why it fails; None: it does not.
        started: all that ever started, in order.
    """

    spec: Spec
    result: Callable[[Point], Result] = lambda at: 0.0
    limit: int = 1
    after: Callable[[Segment], Mapping[str, float]] = lambda segment: {}
    fails: Callable[[Segment], str | None] = lambda segment: None
    trials: dict[int, Trial] = field(default_factory=dict)
    outcomes: dict[int, Outcome] = field(default_factory=dict)
    seen: dict[str, Seen] = field(default_factory=dict)
    active: dict[str, Segment] = field(default_factory=dict)
    started: list[Segment] = field(default_factory=list)
    over: Over | None = None

    def look(self, *, late: bool = False) -> Course:
        """Asks, keeps the answer, and starts what it says."""
        found = course(self.spec, self.trials, self.outcomes, self.seen, limit=self.limit, late=late)
        self.trials, self.outcomes, self.over = dict(found.trials), dict(found.outcomes), found.over
        for segment in found.start:
            assert segment.key not in self.active, "what runs is not started again"
            self.seen[segment.key], self.active[segment.key] = Seen("Active"), segment
            self.started.append(segment)
        assert len(self.active) <= self.limit
        return found

    def end(self, key: str) -> None:
        """Ends a segment that runs."""
        segment = self.active.pop(key)
        if why := self.fails(segment):
            self.seen[key] = Seen("Failed", reason=why, message=f"{segment.steps[-1]} broke")
            return
        result = self.result(segment.at) if segment.last else 0.0
        if not isinstance(result, Seen):
            values = result if isinstance(result, tuple) else (result,)
            result = Seen("Succeeded", values=values if segment.last else ())
        self.seen[key] = Seen(
            "Succeeded", self.after(segment), result.values, result.violated, result.reason, result.message
        )

    def run(self, *, late: bool = False) -> Over:
        """Runs to the end; what started first ends first."""
        self.look(late=late)
        while self.over is None:
            self.end(next(iter(self.active)))
            self.look(late=late)
        return self.over

    def points(self) -> list[Point]:
        """The trials' points, by number."""
        return [self.trials[number].at for number in sorted(self.trials)]

    def phases(self) -> list[str]:
        """How the trials ended, by number."""
        return [self.outcomes[number].phase for number in sorted(self.outcomes)]
