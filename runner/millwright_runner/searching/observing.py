"""Who watches a search."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from millwright_api.search import Search
from millwright_runner.plan import Plan
from millwright_runner.steps import Observer
from millwright_search.trials import Outcome, Over, Segment, Trial


@dataclass(frozen=True)
class SearchOutline:
    """What is known of a search before it begins.

    Attributes:
        search: as the manifest has it.
        plan: of its first trial.
        trials: how many there are at most.
        points: how many different ones there are; None: a continuous range.
    """

    search: Search
    plan: Plan
    trials: int
    points: int | None

    def units(self) -> Mapping[str, str]:
        """Returns each metric's unit, by the metric's name."""
        return {metric.name: metric.metric.unit for metric in self.plan.evaluation.metrics}


class SearchObserver(Observer, Protocol):
    """Watches a search; as an ordinary observer, the run at its end that publishes the best."""

    def searching(self, outline: SearchOutline) -> None:
        """Told once, before anything runs."""

    def asked(self, trial: Trial) -> None:
        """Told of each trial, by number, before it runs."""

    def segment(self, trial: Trial, segment: Segment) -> Observer:
        """Told that passes of a trial begin, which others may share; returns who watches them."""

    def segment_ended(self, trial: Trial, segment: Segment) -> None:
        """Told that they have ended, either way."""

    def ended(self, trial: Trial, outcome: Outcome) -> None:
        """Told of each trial that has ended."""

    def over(self, over: Over) -> None:
        """Told once, when no trial comes any more."""
