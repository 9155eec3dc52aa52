"""What a run has told so far, to be told again in its report."""

from __future__ import annotations

from dataclasses import dataclass, field

from millwright_api.report import ConstraintReport, EvaluationReport, PassReport


@dataclass
class Told:
    """What a run has told so far.

    Attributes:
        passes: of each step that ended.
        evaluation: of each model that was measured, now or before.
        constraints: what became of them; empty before they were judged.
    """

    passes: list[PassReport] = field(default_factory=list)
    evaluation: list[EvaluationReport] = field(default_factory=list)
    constraints: list[ConstraintReport] = field(default_factory=list)
