"""The judge: what a job measures of its models, and whether the finished one is good enough to be published."""

from __future__ import annotations

from millwright_runner.evaluation.bound import BoundMetric, bind_metrics
from millwright_runner.evaluation.gates import judged, violated
from millwright_runner.evaluation.kept import FindMeasured, as_data, find_measured
from millwright_runner.evaluation.points import (
    PROCESS_BYTES,
    EvaluationPlan,
    Measurement,
    Point,
    check_formats,
    measured_steps,
    memory_to_measure,
    plan_evaluation,
)

__all__ = [
    "PROCESS_BYTES",
    "BoundMetric",
    "EvaluationPlan",
    "FindMeasured",
    "Measurement",
    "Point",
    "as_data",
    "bind_metrics",
    "check_formats",
    "find_measured",
    "judged",
    "measured_steps",
    "memory_to_measure",
    "plan_evaluation",
    "violated",
]
