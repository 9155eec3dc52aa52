"""Between the steps: measures models as they are made, and lets only a good enough one be published."""

from __future__ import annotations

import functools

from millwright_api.errors import ConstraintsNotMet
from millwright_api.evaluation import INPUT
from millwright_api.report import Progress
from millwright_runner.artifact import Artifact
from millwright_runner.evaluation import Point, judged, violated
from millwright_runner.evaluation.measure import Judge, report_of
from millwright_runner.evaluation.overlap import trained_on
from millwright_runner.steps import Run
from millwright_runner.subjects.opening import open_subject


class Judging:
    """The evaluation of one run.

    Args:
        state: the run.
    """

    def __init__(self, state: Run) -> None:
        self._state, self._plan = state, state.plan.evaluation

    def tell_known(self, index: int) -> None:
        """Tells what is known of a model that need not be measured."""
        point = self._plan.at(index)
        if point is not None and not point.missing:
            self._tell(point)

    def measure(self, index: int, artifact: Artifact) -> None:
        """Measures what a step has made, as far as that is asked for and not known."""
        point = self._plan.at(index)
        if point is None:
            return
        if point.missing:
            self._judge.measure(point, artifact, lambda message: self._progress(point, message))
        self._tell(point)

    def verdict(self, *, final: bool = True) -> None:
        """Judges the finished model.

        Args:
            final: whether it is about to be published; else the verdict is only told.

        Raises:
            ConstraintsNotMet: it is not good enough, and the manifest says that it fails then.
        """
        reports = judged(self._plan, len(self._state.plan.steps) - 1)
        self._state.told.constraints = reports
        if reports:
            self._state.observer.judged(reports)
        wrong = violated(reports)
        if wrong and final and self._plan.fails:
            left = "what is published stays as it was" if self._state.plan.published else "nothing was published"
            raise ConstraintsNotMet(wrong, where="spec.evaluation.constraints", hint=left)

    @functools.cached_property
    def _judge(self) -> Judge:
        state = self._state
        plan = state.plan
        trust = plan.job.spec.model.trust_remote_code
        return Judge(
            data=plan.data,
            tokenizer=plan.model.tokenizer,
            open=lambda artifact: open_subject(
                artifact, provider=plan.job.spec.target.execution_provider, trust_remote_code=trust
            ),
            cache=plan.cache,
            scratch=state.private / "metrics",
            stop=state.stop,
            trust_remote_code=trust,
            trained_on=trained_on([step.step for step in plan.steps]),
        )

    def _tell(self, point: Point) -> None:
        report = report_of(point).model_copy(update={"overlap": self._judge.overlap(point) or None})
        self._state.told.evaluation.append(report)
        self._state.observer.measured(report)

    def _progress(self, point: Point, message: str) -> None:
        """Told as a part of the step that made the model; of the input, of the first step."""
        plan = self._state.plan
        index = max(point.index, 0)
        which = " of the input" if point.after == INPUT else ""
        self._state.observer.progress(
            Progress(
                step_name=plan.steps[index].step.name,
                step_index=index,
                steps=len(plan.steps),
                message=f"{message}{which}",
            )
        )
