"""What a runner tells: `Progress` while it works, `RunReport` when it is done.

The RunReport also has to fit into a container's termination message, of which Kubernetes keeps 4,096 bytes.
"""

from __future__ import annotations

import math
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from millwright_api.quantities import figure

TERMINATION_MESSAGE_BYTES = 4096
"""What the kubelet keeps of a termination message: its tail, counted in UTF-8 bytes."""

MISSED = 12
"""Constraints that are named where there is room for nothing else."""

Phase = Literal["Pending", "Running", "Succeeded", "Failed", "Stopped"]
HitOrMiss = Literal["Hit", "Miss", "Off"]


class _Told(BaseModel):
    model_config = ConfigDict(extra="forbid", alias_generator=to_camel, populate_by_name=True, serialize_by_alias=True)


class Remote(_Told):
    """The job of another service that does the work."""

    service: Literal["AzureML"] = "AzureML"
    name: str = Field(max_length=256, description="The job's name there.")
    state: str = Field(max_length=64, description="As the service calls it: Queued, Preparing, Running, Completed …")
    url: str | None = Field(default=None, max_length=1024, description="Where people look at it.")


class Progress(_Told):
    """Where a run stands; sent often, kept nowhere."""

    step_name: str = Field(description="Name of the step that is running.")
    step_index: int = Field(description="Its place in spec.passes, from 0.")
    steps: int = Field(description="How many steps the job has.")
    message: str = Field(default="", description="What it is doing: loading, training, merging, building, publishing.")
    done: int | None = Field(default=None, description="Units of work done: optimizer steps, files, bytes.")
    total: int | None = Field(default=None, description="Units of work in all.")
    loss: float | None = Field(default=None, description="Training loss, mean over the last logging interval.")
    eta_seconds: float | None = Field(default=None, description="Seconds until this step is done, as estimated now.")
    remote: Remote | None = Field(default=None, description="Where it runs, when that is not here.")


class PassReport(_Told):
    """What became of one step."""

    name: str
    pass_: str = Field(alias="pass")
    phase: Phase
    cache: HitOrMiss
    key: str = Field(default="", description="The step's cache key, 64 hex digits; empty where there was no room.")
    digest: str | None = Field(default=None, description="Digest of what it made.")
    bytes: int | None = Field(default=None, description="Size of what it made.")
    seconds: float = 0.0
    resumed_from: int | None = Field(default=None, description="Optimizer step of the checkpoint it went on from.")
    metrics: dict[str, float] = Field(default_factory=dict, description="What the pass measured, e.g. trainLoss.")


class MetricReport(_Told):
    """What one metric found."""

    name: str
    value: float | None = Field(default=None, description="In its unit; None: no number came out.")
    low: float | None = Field(default=None, description="Lower end of the 95 % interval.")
    high: float | None = Field(default=None, description="Upper end of the 95 % interval.")
    n: int | None = Field(default=None, description="Examples, or repetitions, that it is of.")
    unit: str = ""


class EvaluationReport(_Told):
    """What was measured of one model."""

    after: str = Field(description="The step that made it; input: the model that the job starts with.")
    metrics: list[MetricReport]
    overlap: dict[str, int] | None = Field(
        default=None, description="Data set that was measured on → rows of it that the job trains on as well."
    )


class ConstraintReport(_Told):
    """What became of one constraint."""

    metric: str
    met: bool = Field(description="Whether the value as measured keeps to the bound.")
    decided: bool = Field(default=True, description="Whether it would, or would not, at both ends of the interval.")
    message: str = Field(description="Figures: the value, the bound, how far off.")


class ArtifactReport(_Told):
    """The model that was published."""

    uri: str
    format: str
    digest: str = Field(description="Digest over all files; see the runner's artifact module.")
    bytes: int
    files: int


class RunReport(_Told):
    """A run's last word."""

    outcome: Literal["Succeeded", "Failed", "Stopped"]
    reason: str = Field(description="CamelCase, from the exception tree; Succeeded when it did.")
    message: str = ""
    exit_code: int
    fingerprint: str | None = Field(default=None, description="Names the result: the last step's cache key.")
    passes: list[PassReport] = Field(default_factory=list)
    artifact: ArtifactReport | None = None
    evaluation: list[EvaluationReport] = Field(default_factory=list)
    constraints: list[ConstraintReport] = Field(default_factory=list)
    seconds: float = 0.0
    peak_memory_bytes: int | None = Field(default=None, description="Largest resident set of the run's process.")
    versions: dict[str, str] = Field(default_factory=dict, description="Distributions that took part, by name.")
    remote: Remote | None = Field(default=None, description="The last job of another service that did it.")

    def termination_message(self) -> str:
        """Returns the report as JSON of at most 4,096 UTF-8 bytes: versions go first, then pass details, then what was
        measured in between, then text. Values of the last model, and which constraints it misses, stay to the last: a search
        decides by them.

        Metrics of passes that are no numbers are left out: JSON has no form for them. Of what was measured, six
        significant digits are told, and counts as they are.
        """
        whole = self.model_copy(update={"evaluation": _rounded(self.evaluation)}, deep=True)
        told = [p.model_copy(update={"metrics": _finite(p.metrics)}) for p in whole.passes]
        bare = [p.model_copy(update={"metrics": {}}) for p in whole.passes]
        short = [p.model_copy(update={"key": "", "digest": None}) for p in bare]
        changes: tuple[dict[str, object], ...] = (
            {"passes": told},
            {"versions": {}},
            {"message": cut(self.message, 2048)},
            {"passes": bare},
            {"evaluation": _ends(whole.evaluation)},
            {"message": cut(self.message, 1024)},
            {"passes": short},
            {
                "constraints": [
                    c.model_copy(update={"message": cut(c.message, 64)}) for c in self.constraints if not c.met
                ]
            },
            {"evaluation": whole.evaluation[-1:]},
            {"passes": []},
            {"message": cut(self.message, 256)},
            {"evaluation": [_values(one) for one in whole.evaluation[-1:]]},
            {"constraints": [c.model_copy(update={"message": ""}) for c in self.constraints if not c.met][:MISSED]},
        )
        for change in changes:
            whole = whole.model_copy(update=change)
            text = whole.model_dump_json(exclude_none=True)
            if len(text.encode()) <= TERMINATION_MESSAGE_BYTES:
                return text
        least: dict[str, object] = {"artifact": None, "message": ""}
        return whole.model_copy(update=least).model_dump_json(exclude_none=True)


def _finite(metrics: dict[str, float]) -> dict[str, float]:
    return {name: value for name, value in metrics.items() if math.isfinite(value)}


def _rounded(evaluation: list[EvaluationReport]) -> list[EvaluationReport]:
    def short(metric: MetricReport) -> MetricReport:
        """The same with four digits."""
        ends = {name: getattr(metric, name) for name in ("value", "low", "high")}
        return metric.model_copy(update={name: figure(number) for name, number in ends.items()})

    return [one.model_copy(update={"metrics": list(map(short, one.metrics))}) for one in evaluation]


def _ends(evaluation: list[EvaluationReport]) -> list[EvaluationReport]:
    """What a person asks first: the model before and after."""
    return evaluation if len(evaluation) < 3 else [evaluation[0], evaluation[-1]]


def _values(evaluation: EvaluationReport) -> EvaluationReport:
    """Without intervals, and without a count of rows: what a search compares."""
    bare = [MetricReport(name=metric.name, value=metric.value) for metric in evaluation.metrics]
    return EvaluationReport(after=evaluation.after, metrics=bare)


def cut(text: str, limit: int) -> str:
    """Returns at most `limit` UTF-8 bytes of a text's start, with an ellipsis where it was longer; no character is torn."""
    raw = text.encode(errors="replace")
    return raw.decode() if len(raw) <= limit else raw[: limit - 3].decode(errors="ignore") + "…"
