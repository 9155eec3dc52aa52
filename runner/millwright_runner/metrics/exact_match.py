"""exactMatch: the share of answers that are right to the letter."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from millwright_runner.metrics import Measured, MetricContext
from millwright_runner.metrics.asking import AskingMetric, share_empty
from millwright_runner.metrics.intervals import estimate
from millwright_runner.subjects import Subject


class ExactMatch(AskingMetric):
    """Share of answers equal to the right one: with labels, the accuracy of a classifier. `exactMatch: {labels: [joy, fear]}`"""

    name: ClassVar[str] = "exactMatch"
    unit: ClassVar[str] = "share"
    higher_is_better: ClassVar[bool] = True

    def measure(self, model: Subject, context: MetricContext) -> Measured:
        """Asks greedily, or for the most probable label; Wilson's interval."""
        pairs = self.pairs(context)
        found = estimate([float(right == answer) for right, answer in pairs])
        return replace(found, details={"empty": share_empty(pairs)}, samples=self.samples(context))
