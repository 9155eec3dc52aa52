"""What was measured of a job's models, and what became of its constraints: from reports to status."""

from __future__ import annotations

import math
from collections.abc import Sequence

from millwright_api.evaluation import INPUT
from millwright_api.report import ConstraintReport, EvaluationReport, MetricReport, RunReport, cut
from millwright_api.status import (
    MESSAGE_BYTES,
    ConstraintStatus,
    EvaluationStatus,
    MeasurementStatus,
    MetricStatus,
)
from millwright_api.v1alpha1 import Spec
from millwright_operator.conditions import Said
from millwright_operator.text import shown

MET, NOT_MET, LOST = "ConstraintsMet", "ConstraintsNotMet", "FiguresLost"
"""Reasons of the condition ConstraintsMet."""


def evaluated(
    before: EvaluationStatus | None, report: RunReport | None, steps: Sequence[str]
) -> EvaluationStatus | None:
    """Returns what is known after a report: of the same model, the later figures count; what a report does not speak of
    stays as it was.

    Args:
        before: what stages before this one said.
        report: of a stage; None when its pod left none.
        steps: names of the job's steps, in order.
    """
    if report is None or not (report.evaluation or report.constraints):
        return before
    known = {result.after: result for result in before.results} if before else {}
    known |= {told.after: _measurement(told) for told in report.evaluation}
    constraints = [_constraint(told) for told in report.constraints]
    return EvaluationStatus(
        results=[known[name] for name in (INPUT, *steps) if name in known],
        constraints=constraints or (before.constraints if before else []),
    )


def verdict(spec: Spec, known: EvaluationStatus | None, *, published: bool = False) -> Said | None:
    """Returns the condition ConstraintsMet; None where there are no constraints, or nobody has judged yet.

    Args:
        spec: the job's.
        known: what is known.
        published: whether the last stage ended well.
    """
    if spec.evaluation is None or not spec.evaluation.constraints:
        return None
    constraints = known.constraints if known else []
    wrong = [entry.message for entry in constraints if not entry.met]
    if wrong:
        return Said("False", NOT_MET, shown("; ".join(wrong), MESSAGE_BYTES))
    if constraints:
        return Said("True", MET, shown("; ".join(entry.message for entry in constraints), MESSAGE_BYTES))
    if not published:
        return None
    if spec.evaluation.on_violation == "Fail":
        return Said("True", MET, "a model that does not meet them is not published; the figures did not arrive here")
    return Said("Unknown", LOST, "the figures did not arrive here; report.json beside the model has them")


def _measurement(told: EvaluationReport) -> MeasurementStatus:
    return MeasurementStatus(after=told.after, metrics=[_metric(metric) for metric in told.metrics])


def _metric(told: MetricReport) -> MetricStatus:
    return MetricStatus(
        name=cut(told.name, 63),
        value=_finite(told.value),
        low=_finite(told.low),
        high=_finite(told.high),
        n=told.n,
        unit=cut(told.unit, 32),
    )


def _constraint(told: ConstraintReport) -> ConstraintStatus:
    return ConstraintStatus(
        metric=cut(told.metric, 63), met=told.met, decided=told.decided, message=shown(told.message, 512)
    )


def _finite(number: float | None) -> float | None:
    return number if number is not None and math.isfinite(number) else None
