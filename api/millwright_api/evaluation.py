"""What is measured of a model, and what it has to reach: metrics, and constraints on them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_serializer, model_validator

from millwright_api.base import Name, Strict, unique
from millwright_api.errors import suggest
from millwright_api.unions import folded, unfolded

MAX_METRICS, MAX_CONSTRAINTS = 16, 32
"""Bounds on lists, so that the API server's cost budget for CEL rules holds."""

INPUT = "input"
"""The model that the job starts from, where measurements are named after the step that made what they are of."""

METRIC_NAME = r"^[A-Za-z0-9]([-A-Za-z0-9]*[A-Za-z0-9])?$"
MetricName = Annotated[str, StringConstraints(pattern=METRIC_NAME, max_length=63)]
When = Literal["input", "each", "last"]
Bound = Annotated[float, Field(ge=-1e15, le=1e15, allow_inf_nan=False)]
Distance = Annotated[float, Field(ge=0, le=1e15, allow_inf_nan=False)]

BOUNDS = ("max", "min", "max_drop", "max_drop_percent", "min_improvement")


class MetricUse(BaseModel):
    """One metric with its options: `- {name: accuracy, exactMatch: {labels: [joy, fear]}}`; a plug-in's is
    `- custom: {metric: NAME, options: {...}}`.

    Attributes:
        name: what constraints call it; the metric's name unless given.
        metric_name: the metric.
        options: the metric's options, as data.
        custom: whether it was written in the plug-in form.
        data: the data set it is measured on, when that is not evaluation.data.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: MetricName
    metric_name: str
    options: dict[str, Any]
    custom: bool = False
    data: Name | None = None

    @model_validator(mode="before")
    @classmethod
    def _from_union(cls, value: Any) -> Any:
        return unfolded(value, kind="metric", holder="metric", example="exactMatch: {}", beside=("data",))

    @model_serializer
    def _to_union(self) -> dict[str, Any]:
        own = {"data": self.data} if self.data else {}
        return {"name": self.name, **folded("metric", self.metric_name, self.options, custom=self.custom), **own}


class Constraint(Strict):
    """What a metric of the finished model has to reach: exactly one bound."""

    metric: str = Field(min_length=1, max_length=63, description="Name of one of evaluation.metrics.")
    max: Bound | None = Field(default=None, description="The largest value allowed, in the metric's unit.")
    min: Bound | None = Field(default=None, description="The smallest value allowed, in the metric's unit.")
    max_drop: Distance | None = Field(
        default=None, description="How much worse it may be than what relativeTo names, in the metric's unit."
    )
    max_drop_percent: Distance | None = Field(
        default=None, description="How much worse it may be, in percent of what relativeTo names."
    )
    min_improvement: Distance | None = Field(
        default=None, description="How much better it has to be than what relativeTo names, in the metric's unit."
    )
    relative_to: Literal["input", "previous"] = Field(
        default="input",
        description="maxDrop, maxDropPercent, minImprovement: the model that the job starts from, or the result of the "
        "pass before the last. Default: input.",
    )

    @model_validator(mode="after")
    def _exactly_one_bound(self) -> Self:
        given = [name for name in BOUNDS if getattr(self, name) is not None]
        if len(given) != 1:
            names = [_camel(name) for name in given]
            found = f"{' and '.join(names)} are given" if names else "none is given"
            raise ValueError(f"exactly one of {', '.join(map(_camel, BOUNDS))} is needed; {found}")
        return self

    @property
    def relative(self) -> bool:
        """Whether it compares with another model's value."""
        return self.max is None and self.min is None


class Evaluation(Strict):
    """What is measured of the model, and what it has to reach."""

    data: Name | None = Field(
        default=None,
        description="Name of the data set that metrics are measured on, where they have none of their own.",
    )
    after: list[When] = Field(
        default=["last"],
        min_length=1,
        max_length=3,
        description="What is measured: input (the model as the job starts with it), each (every pass's result), last. What "
        "constraints compare with is measured too. Default: [last].",
    )
    metrics: list[MetricUse] = Field(min_length=1, max_length=MAX_METRICS, description="What is measured.")
    constraints: list[Constraint] = Field(
        default=[], max_length=MAX_CONSTRAINTS, description="What the finished model has to reach to be published."
    )
    on_violation: Literal["Fail", "Warn"] = Field(
        default="Fail",
        description="What a constraint that is not met does. Fail: nothing is published, the job fails. Default: Fail.",
    )

    @model_validator(mode="after")
    def _constraints_name_metrics(self) -> Self:
        names = [metric.name for metric in self.metrics]
        unique("metrics", "name", names)
        for index, constraint in enumerate(self.constraints):
            if constraint.metric not in names:
                raise ValueError(
                    f"constraints[{index}] names the metric {constraint.metric!r}; {suggest(constraint.metric, names)}"
                )
        return self

    def data_named(self) -> Iterator[tuple[str, str]]:
        """Yields where a data set is named, and its name."""
        if self.data is not None:
            yield "data", self.data
        for index, metric in enumerate(self.metrics):
            if metric.data is not None:
                yield f"metrics[{index}].data", metric.data

    def measured(self, steps: list[str]) -> list[str]:
        """Returns after what is measured, in order: INPUT and names of steps.

        Args:
            steps: names of the job's steps, in order.
        """
        relative = {constraint.relative_to for constraint in self.constraints if constraint.relative}
        before_last = steps[-2] if len(steps) > 1 else INPUT
        wanted = {steps[-1]} if "last" in self.after or self.constraints else set()
        wanted |= {INPUT} if "input" in (*self.after, *relative) else set()
        wanted |= {before_last} if "previous" in relative else set()
        wanted |= set(steps) if "each" in self.after else set()
        return [name for name in (INPUT, *steps) if name in wanted]


def _camel(name: str) -> str:
    head, *tail = name.split("_")
    return head + "".join(part.capitalize() for part in tail)
