"""What is searched: options of passes, and which passes run; how trials are chosen, how many, and what is kept of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from millwright_api.base import Name, Strict, unique
from millwright_api.errors import suggest
from millwright_api.sources import ExactlyOne

MAX_PARAMETERS, MAX_CHOICES, MAX_OBJECTIVES, MAX_TRIALS = 12, 32, 4, 200
"""Bounds on lists, so that the API server's cost budget for CEL rules holds, and a status its 64 KiB."""

Scalar = (
    bool
    | Annotated[int, Field(ge=-(2**53), le=2**53)]
    | Annotated[float, Field(allow_inf_nan=False)]
    | Annotated[str, Field(max_length=64)]
)
Number = Annotated[float, Field(ge=-1e15, le=1e15, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, le=1e15, allow_inf_nan=False)]
Whole = Annotated[int, Field(ge=-(10**9), le=10**9)]

Point = tuple[bool | int | float | str | None, ...]
"""A trial's values, in the order of `search.parameters`: of `onOff` true or false, of `oneOf` a step's name, else an
option's value; None where the pass that it is about does not run in this trial."""

Option = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9]*(\.[A-Za-z][A-Za-z0-9]*){0,3}$", max_length=128)
]
"""An option of a pass: its name, or the path to it (training.learningRate); the name alone where it is the only one."""

RANGES = ("choice", "uniform", "log_uniform", "integer")


class _Range(Strict):
    @model_validator(mode="after")
    def _rises(self) -> Self:
        low, high = getattr(self, "min"), getattr(self, "max")  # noqa: B009  every subclass has both
        if low >= high:
            raise ValueError(f"min is below max; found {low:g} and {high:g}")
        return self


class Uniform(_Range):
    """Any number between two, all equally likely."""

    min: Number = Field(description="The smallest value.")
    max: Number = Field(description="The largest value.")


class LogUniform(_Range):
    """Any number between two, all orders of magnitude equally likely: learning rates."""

    min: Positive = Field(description="The smallest value; above 0.")
    max: Positive = Field(description="The largest value.")


class Integer(_Range):
    """Whole numbers between two."""

    min: Whole = Field(description="The smallest value.")
    max: Whole = Field(description="The largest value.")
    step: Annotated[int, Field(ge=1, le=10**9)] = Field(
        default=1, description="Distance between two values. Default: 1."
    )


class Parameter(Strict):
    """One thing that differs between trials: an option of a pass, whether a pass runs, or which of several does."""

    pass_: Name | None = Field(
        default=None, alias="pass", description="Name of the step that option, or onOff, is about."
    )
    option: Option | None = Field(
        default=None, description="Option of that pass, by name or path: precision, training.learningRate."
    )
    choice: list[Scalar] | None = Field(
        default=None,
        min_length=1,
        max_length=MAX_CHOICES,
        description="One of these values: numbers, texts, true or false.",
    )
    uniform: Uniform | None = Field(default=None, description="A number between two.")
    log_uniform: LogUniform | None = Field(default=None, description="A number between two, by order of magnitude.")
    integer: Integer | None = Field(default=None, description="A whole number between two.")
    on_off: Literal[True] | None = Field(
        default=None, description="The pass runs in some trials and is left out in others."
    )
    one_of: list[Name] | None = Field(
        default=None, min_length=2, max_length=8, description="Names of steps; in each trial exactly one of them runs."
    )

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        ranges = [name for name in RANGES if getattr(self, name) is not None]
        whole = {"onOff": self.on_off, "oneOf": self.one_of}
        given = [name for name, value in whole.items() if value is not None]
        if len(given) > 1 or (given and (ranges or self.option is not None)):
            raise ValueError("a parameter is of one kind: an option with its values, onOff, or oneOf")
        if self.one_of is not None:
            if self.pass_ is not None:
                raise ValueError("oneOf names the steps itself; leave pass out")
            unique("oneOf", "step", self.one_of)
        elif self.pass_ is None:
            raise ValueError("pass is needed: the name of a step (or oneOf, with the names of several)")
        elif self.on_off is None:
            self._has_values(ranges)
        return self

    def _has_values(self, ranges: list[str]) -> None:
        if self.option is None:
            raise ValueError("option is needed (or onOff: true, for the whole pass)")
        if len(ranges) != 1:
            found = f"{' and '.join(ranges)} are given" if ranges else "none is given"
            raise ValueError(f"exactly one of choice, uniform, logUniform, integer is needed; {found}")
        # 1.0 is told as 1: the API server makes that of it
        told = [json.dumps(int(v) if isinstance(v, float) and v.is_integer() else v) for v in self.choice or ()]
        unique("choice", "value", told)

    @property
    def label(self) -> str:
        """What people call it: finetune.learningRate, prune on/off, lora|qlora."""
        if self.one_of is not None:
            return "|".join(self.one_of)
        return f"{self.pass_}.{self.option}" if self.option is not None else f"{self.pass_} on/off"

    @property
    def steps(self) -> list[str]:
        """The names of the steps that it is about."""
        return self.one_of if self.one_of is not None else [self.pass_ or ""]

    @property
    def switches(self) -> bool:
        """Whether it says which passes run, not how."""
        return self.option is None


class Grid(Strict):
    """Every combination, in order: the last parameter changes fastest."""


class Random(Strict):
    """Points drawn at random."""

    seed: Annotated[int, Field(ge=0, le=2**31 - 1)] = Field(
        default=0, description="Same seed, same trials. Default: 0."
    )


class Tpe(Strict):
    """Tree-structured Parzen estimator (Bergstra et al., 2011), by optuna: draws where good trials were."""

    seed: Annotated[int, Field(ge=0, le=2**31 - 1)] = Field(
        default=0, description="Same seed, same trials. Default: 0."
    )
    startup_trials: Annotated[int, Field(ge=1, le=MAX_TRIALS)] = Field(
        default=10, description="Trials drawn at random before it learns from them. Default: 10, as optuna's."
    )


class Algorithm(ExactlyOne):
    """How trials are chosen: exactly one."""

    grid: Grid | None = Field(default=None, description="Every combination.")
    random: Random | None = Field(default=None, description="At random.")
    tpe: Tpe | None = Field(default=None, description="By what was good so far.")

    @classmethod
    def choices(cls) -> tuple[str, ...]:
        """One of three algorithms."""
        return ("grid", "random", "tpe")


class Objective(Strict):
    """What is to be as large, or as small, as can be."""

    metric: str = Field(min_length=1, max_length=63, description="Name of one of evaluation.metrics.")
    direction: Literal["Maximize", "Minimize"] = Field(description="Which way is better.")


class Median(Strict):
    """A trial ends early when its figure after a pass is worse than the median of earlier trials' after the same pass."""

    startup_trials: Annotated[int, Field(ge=1, le=MAX_TRIALS)] = Field(
        default=5, description="Trials that have to be finished before any is ended early. Default: 5, as optuna's."
    )


class EarlyStopping(Strict):
    """When a trial that does badly is not carried through."""

    median: Median = Field(default=Median(), description="Against the median of earlier trials.")


class Search(Strict):
    """Trials of the recipe with other options or passes; the best one is published."""

    algorithm: Algorithm = Field(default=Algorithm(tpe=Tpe()), description="How trials are chosen. Default: tpe.")
    parameters: list[Parameter] = Field(
        min_length=1, max_length=MAX_PARAMETERS, description="What differs between trials."
    )
    objectives: list[Objective] = Field(
        min_length=1,
        max_length=MAX_OBJECTIVES,
        description="What is best. Several: no trial of the Pareto front is better in all of them than another; the one "
        "of the front that is best in the first is published.",
    )
    max_trials: Annotated[int, Field(ge=1, le=MAX_TRIALS)] = Field(
        default=20, description="Trials at most; a smaller space is done whole. Default: 20."
    )
    parallel_trials: Annotated[int, Field(ge=1, le=64)] = Field(
        default=1, description="Jobs that run at once at most; `millwright run` has --parallel. Default: 1."
    )
    max_seconds: Annotated[int, Field(ge=1, le=10**8)] | None = Field(
        default=None, description="Seconds after which no trial starts; those that run are finished. Default: no limit."
    )
    max_failed_trials: Annotated[int, Field(ge=0, le=MAX_TRIALS)] = Field(
        default=3, description="Failures that are tolerated; one more, and the job fails. Default: 3."
    )
    early_stopping: EarlyStopping | None = Field(
        default=None, description="When a trial is not carried through; needs evaluation.after: [each]. Default: never."
    )
    keep: Literal["best", "pareto", "all"] = Field(
        default="best",
        description="Whose models are published: of the best trial, at the output itself; pareto, all: also of the front, or "
        "of every trial that met the constraints, below trials/. Default: best.",
    )

    @model_validator(mode="after")
    def _parameters_differ(self) -> Self:
        unique("parameters", "label", [parameter.label for parameter in self.parameters])
        unique("objectives", "metric", [objective.metric for objective in self.objectives])
        switched = [name for parameter in self.parameters if parameter.switches for name in parameter.steps]
        unique("parameters", "step switched by onOff or oneOf", switched)
        if self.early_stopping is not None and len(self.objectives) > 1:
            raise ValueError(
                "earlyStopping goes with one objective: of several, none alone says that a trial does badly"
            )
        return self

    @model_validator(mode="after")
    def _grid_has_an_end(self) -> Self:
        for index, parameter in enumerate(self.parameters):
            if self.algorithm.grid is not None and (parameter.uniform or parameter.log_uniform):
                raise ValueError(
                    f"algorithm.grid tries every value, and parameters[{index}], {parameter.label}, has a continuous range: "
                    "take choice or integer, or the algorithm random or tpe"
                )
        return self

    def steps_named(self) -> Iterator[tuple[str, str]]:
        """Yields where a step is named, and its name."""
        for index, parameter in enumerate(self.parameters):
            if parameter.one_of is not None:
                yield from ((f"parameters[{index}].oneOf[{at}]", name) for at, name in enumerate(parameter.one_of))
            else:
                yield f"parameters[{index}].pass", parameter.pass_ or ""

    def problem(self, steps: list[str], metrics: list[str]) -> str | None:
        """Returns what is wrong with its references; None when nothing is.

        Args:
            steps: names of the job's steps.
            metrics: names of the job's metrics.
        """
        for where, name in self.steps_named():
            if name not in steps:
                return f"search.{where} names the step {name!r}; {suggest(name, steps)}"
        for index, objective in enumerate(self.objectives):
            if objective.metric not in metrics:
                where = f"search.objectives[{index}].metric"
                return f"{where} names the metric {objective.metric!r}; {suggest(objective.metric, metrics)}"
        switched = {name for parameter in self.parameters if parameter.switches for name in parameter.steps}
        always = any(parameter.one_of is not None for parameter in self.parameters) or set(steps) - switched
        return None if always else "search.parameters: every pass is onOff; one has to run in every trial"
