"""What was measured, as people read it: a figure, a line. Of a run on this machine and of a job on a cluster: reports and
statuses have the same fields. Pods say it too: nothing is imported for it."""

from __future__ import annotations

from collections.abc import Sequence

from millwright_api.report import ConstraintReport, EvaluationReport, MetricReport
from millwright_api.status import ConstraintStatus, MeasurementStatus, MetricStatus
from millwright_runner.words import plural, size

Metric = MetricReport | MetricStatus
Measurement = EvaluationReport | MeasurementStatus
Constraint = ConstraintReport | ConstraintStatus


def figure(metric: Metric) -> str:
    """Returns a value with its unit: `0.925`, `38.2 ms`, `4.1 MB`, `no number`."""
    if metric.value is None:
        return "no number"
    if metric.unit == "bytes":
        return size(metric.value)
    unit = "" if metric.unit in ("share", "perplexity") else f" {metric.unit}"
    return f"{metric.value:.4g}{unit}".rstrip()


def interval(metric: Metric) -> str:
    """Returns the ends of the 95 % interval: `0.864 to 0.960`; nothing where there is none."""
    return "" if metric.low is None or metric.high is None else f"{metric.low:.4g} to {metric.high:.4g}"


def line(measurement: Measurement) -> str:
    """Returns what was measured of one model: `accuracy 0.925 (0.864 to 0.960, n 120), latency 4.1 ms`."""
    return ", ".join(map(_in_line, measurement.metrics))


def verdicts(constraints: Sequence[Constraint]) -> list[str]:
    """Returns a line for each constraint that is not met, or that its data cannot decide."""
    return [
        f"constraint {'kept' if entry.met else 'NOT met'}: {entry.message}"
        for entry in constraints
        if not (entry.met and entry.decided)
    ]


def warnings(results: Sequence[Measurement]) -> list[str]:
    """Returns a line for each data set that shares rows with those that the job trains on."""
    shared: dict[str, int] = {}
    for result in results:
        if isinstance(result, EvaluationReport):  # a status has no room for it
            shared |= result.overlap or {}
    return [
        f"{plural(count, 'row')} of {name} {'is' if count == 1 else 'are'} trained on as well: the figures flatter the model"
        for name, count in shared.items()
    ]


def _in_line(metric: Metric) -> str:
    if metric.value is None:
        return f"{metric.name} is no number"
    ends = interval(metric)
    counted = f" ({ends}, n {metric.n})" if ends else ""
    return f"{metric.name} {figure(metric)}{counted}"
