"""Constraints on what was measured. Pure: values in, verdicts out.

Two models that were asked the same questions are compared question by question (`intervals.paired_difference`): their
difference is known better than either value. Where a metric has no score for each question, the interval of a difference
is that of independent values: G. Y. Zou, A. Donner, "Construction of confidence limits about effect measures: a general
approach", Statistics in Medicine 27 (2008).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from millwright_api.evaluation import INPUT, Constraint
from millwright_api.report import ConstraintReport
from millwright_runner.evaluation.bound import BoundMetric
from millwright_runner.evaluation.points import EvaluationPlan, Point
from millwright_runner.metrics import Measured
from millwright_runner.metrics.intervals import paired_difference


@dataclass(frozen=True)
class _Quantity:
    """What is compared with the bound: a value and its 95 % interval; where it is exact, low and high are the value."""

    value: float
    low: float
    high: float

    def mirrored(self) -> _Quantity:
        """Returns its negative."""
        return _Quantity(-self.value, -self.high, -self.low)

    def scaled(self, factor: float) -> _Quantity:
        """Returns it times a factor above zero, which may be infinite: nothing stays nothing."""
        return _Quantity(*(part and part * factor for part in (self.value, self.low, self.high)))


@dataclass(frozen=True)
class _Comparison:
    """A quantity and its bound.

    Attributes:
        seen: what is compared.
        limit: the bound.
        at_most: whether that is the largest allowed, or the smallest.
        option: the bound's name in the manifest.
        unit: of both.
    """

    seen: _Quantity
    limit: float
    at_most: bool
    option: str
    unit: str

    def keeps(self, value: float) -> bool:
        """Whether a value is allowed. The bound is; a last digit of rounding does not decide."""
        slack = 1e-9 * max(1.0, abs(self.limit))
        return value <= self.limit + slack if self.at_most else value >= self.limit - slack

    @property
    def met(self) -> bool:
        """Whether the value as measured is allowed."""
        return self.keeps(self.seen.value)

    @property
    def decided(self) -> bool:
        """Whether it would be, or would not be, anywhere in the interval."""
        return self.keeps(self.seen.low) == self.keeps(self.seen.high) == self.met


def judged(plan: EvaluationPlan, last: int) -> list[ConstraintReport]:
    """Returns what became of each constraint.

    Args:
        plan: with everything measured that its constraints need.
        last: the last step's index; what it made is judged.
    """
    metrics = {metric.name: metric for metric in plan.metrics}
    final = plan.at(last)
    assert final is not None or not plan.constraints  # where there are constraints the last model is measured
    reports = []
    for constraint in plan.constraints:
        assert final is not None
        reference = None
        if constraint.relative:
            reference = plan.at(-1 if constraint.relative_to == INPUT else last - 1)
            assert reference is not None  # Evaluation.measured has it
        reports.append(_judge(constraint, metrics[constraint.metric], final, reference))
    return reports


def violated(reports: Sequence[ConstraintReport]) -> str:
    """Returns what is wrong, for people; empty when every constraint is met."""
    return "; ".join(report.message for report in reports if not report.met)


def _judge(constraint: Constraint, bound: BoundMetric, final: Point, reference: Point | None) -> ConstraintReport:
    measured = final.found[bound.name]
    before = reference.found[bound.name] if reference is not None else None
    for found, point in ((measured, final), (before, reference)):
        if found is not None and not math.isfinite(found.value):
            of = "" if point is final else f" {_of(point)}"
            message = f"{bound.name}{of} is no number, and cannot be compared with a bound"
            return ConstraintReport(metric=bound.name, met=False, message=message)
    compared = _compared(constraint, bound, measured, before)
    message = f"{bound.name} is {shown(measured.value, bound.metric.unit)}{_interval(measured)}"
    if before is not None:
        message += f", {shown(before.value, bound.metric.unit)} {_of(reference)}"
    message += f"; {compared.option} {_number(compared.limit)}"
    if not compared.met:
        message += f": off by {_distance(compared)}"
    if not compared.decided:
        verdict = "kept" if compared.met else "broken"
        many = f"{measured.n or 'so few'} {'examples' if _counts_examples(bound) else 'repetitions'}"
        message += f"; {verdict} by a hair: {many} cannot decide it, more would"
    return ConstraintReport(metric=bound.name, met=compared.met, decided=compared.decided, message=message)


def _compared(constraint: Constraint, bound: BoundMetric, measured: Measured, before: Measured | None) -> _Comparison:
    unit = bound.metric.unit
    own = _quantity(bound, measured)
    if constraint.max is not None:
        return _Comparison(own, constraint.max, True, "max", unit)
    if constraint.min is not None:
        return _Comparison(own, constraint.min, False, "min", unit)
    assert before is not None  # the others compare
    change = _change(measured, before, own, _quantity(bound, before))
    gain = change if bound.metric.higher_is_better else change.mirrored()
    if constraint.max_drop is not None:
        return _Comparison(gain.mirrored(), constraint.max_drop, True, "maxDrop", unit)
    if constraint.max_drop_percent is not None:
        percent = 100 / abs(before.value) if before.value else math.inf
        return _Comparison(gain.mirrored().scaled(percent), constraint.max_drop_percent, True, "maxDropPercent", "%")
    assert constraint.min_improvement is not None  # the contract: exactly one bound
    return _Comparison(gain, constraint.min_improvement, False, "minImprovement", unit)


def _quantity(bound: BoundMetric, measured: Measured) -> _Quantity:
    """A value with its interval. Of a single example without one nothing is known; a metric without examples is exact."""
    value, low, high = measured.value, measured.low, measured.high
    if low is not None and high is not None and not math.isnan(low) and not math.isnan(high):
        return _Quantity(value, low, high)
    if _counts_examples(bound) and measured.n == 1:
        return _Quantity(value, -math.inf, math.inf)
    return _Quantity(value, value, value)


def _counts_examples(bound: BoundMetric) -> bool:
    """Whether n counts questions that were asked, not repetitions."""
    return bound.metric.needs_examples or bound.metric.takes_examples


def _change(measured: Measured, before: Measured, now: _Quantity, then: _Quantity) -> _Quantity:
    """Returns by how much the value has grown, with its interval."""
    if measured.scores and len(measured.scores) == len(before.scores):
        return _Quantity(*paired_difference(measured.scores, before.scores))
    change = now.value - then.value
    down = math.hypot(now.value - now.low, then.high - then.value)
    up = math.hypot(now.high - now.value, then.value - then.low)
    return _Quantity(change, change - down, change + up)


def _of(point: Point | None) -> str:
    """Names the model that is compared with."""
    assert point is not None  # where a value of before is known, its model is
    return "of the model it started from" if point.index < 0 else f"after {point.after}"


def _interval(measured: Measured) -> str:
    if measured.low is None or measured.high is None:
        return ""
    return f" ({_number(measured.low, 4)} to {_number(measured.high, 4)})"


def _distance(compared: _Comparison) -> str:
    distance = abs(compared.seen.value - compared.limit)
    if math.isinf(distance):  # it was nothing before, and any change is more than every percentage of that
        return "any percentage: it was 0"
    return shown(distance, compared.unit)


def shown(value: float, unit: str) -> str:
    """Returns a value with its unit, as people read it: `0.925`, `38.2 ms`, `4.1 %`, `12,345,678 bytes`."""
    number = _number(value, 4)
    return number if unit in ("share", "perplexity", "") else f"{number} {unit}"


def _number(value: float, digits: int = 15) -> str:
    """A number to so many digits; large ones whole, their thousands apart."""
    return f"{value:,.0f}" if 9999.5 <= abs(value) < math.inf else f"{value:.{digits}g}"
