"""`OptimizationJob`, version v1alpha1: the manifest's contract as pydantic models.

camelCase in YAML, snake_case in Python; unknown keys are errors everywhere. Every field described here does what it
says: what this version does not do yet is not accepted. A step's options are data here; the runner's registry, which
has the pass classes, gives them their types.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_serializer, model_validator

from millwright_api.azureml import AzureML
from millwright_api.base import DNS_LABEL, SECONDS, Name, Strict, unique
from millwright_api.data import ChatFormat, Data, TextFormat
from millwright_api.errors import suggest
from millwright_api.evaluation import INPUT, Evaluation
from millwright_api.execution import MAX_CREDENTIALS, Credential, Execution, Resources, Retry
from millwright_api.search import Search
from millwright_api.sources import (
    AzureBlobLocation,
    AzureMLDatastore,
    AzureMLModel,
    AzureMLWorkspace,
    DataSource,
    HuggingFaceData,
    HuggingFaceModel,
    Model,
    Output,
    S3Location,
    S3Uri,
    VolumeLocation,
)
from millwright_api.unions import folded, unfolded

ExecutionProvider = Literal[
    "CPUExecutionProvider", "CUDAExecutionProvider", "DmlExecutionProvider", "WebGpuExecutionProvider"
]

MAX_DATA, MAX_PASSES = 16, 32
"""Bounds on lists, so that the API server's cost budget for CEL rules holds."""


class Step(BaseModel):
    """One step of the recipe: a pass by its name, with its options: `- lora: {r: 16}`; a plug-in's is
    `- custom: {pass: NAME, options: {...}}`.

    Attributes:
        name: what others call it; the pass's name unless given.
        pass_name: the pass.
        options: the pass's options, as data.
        custom: whether it was written in the plug-in form.
        resources: what its pod asks for, when that is not what the others' ask for: it gets a stage of its own.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Name
    pass_name: str
    options: dict[str, Any]
    custom: bool = False
    resources: Resources | None = None

    @model_validator(mode="before")
    @classmethod
    def _from_union(cls, value: Any) -> Any:
        return unfolded(value, kind="pass", holder="step", example="lora: {r: 16}", beside=("resources",))

    @model_serializer
    def _to_union(self) -> dict[str, Any]:
        own = {"resources": self.resources.model_dump()} if self.resources else {}
        return {"name": self.name, **folded("pass", self.pass_name, self.options, custom=self.custom), **own}


class Target(Strict):
    """What the finished model shall run on."""

    execution_provider: ExecutionProvider = Field(
        default="CPUExecutionProvider", description="onnxruntime's execution provider. Default: CPUExecutionProvider."
    )


class Cache(Strict):
    """Whether results of passes are reused; they lie in the output's store."""

    mode: Literal["Off", "ReadOnly", "ReadWrite"] = Field(
        default="ReadWrite",
        description="ReadWrite: a result that is there is taken, a new one is kept. ReadOnly: taken, none kept. Off: every "
        "pass runs. With several stages, and with search, ReadWrite. Default: ReadWrite.",
    )


class Checkpoint(Strict):
    """How often training is saved, so that it can go on after a stop."""

    every_steps: int = Field(
        default=200, ge=1, le=1_000_000, description="Optimizer steps between two checkpoints. Default: 200."
    )


class Spec(Strict):
    """What is wanted."""

    model: Model
    data: list[Data] = Field(default=[], max_length=MAX_DATA, description="Named data sets that passes refer to.")
    passes: list[Step] = Field(min_length=1, max_length=MAX_PASSES, description="The recipe, in order.")
    evaluation: Evaluation | None = Field(
        default=None, description="What is measured of the model, and what it has to reach. Default: nothing."
    )
    search: Search | None = Field(
        default=None, description="Trials with other options or passes, of which the best is published. Default: none."
    )
    target: Target = Target()
    output: Output
    cache: Cache = Cache()
    checkpoint: Checkpoint = Checkpoint()
    execution: Execution = Field(default=Execution(), description="Where it runs; `millwright run` ignores it.")
    credentials: list[Credential] = Field(
        default=[], max_length=MAX_CREDENTIALS, description="Secrets that become environment of the job's pods."
    )
    retry: Retry = Field(default=Retry(), description="How often a stage is tried.")
    suspend: bool = Field(
        default=False,
        description="Stop, keep a checkpoint, hold no resources; false goes on from there. Default: false.",
    )
    active_deadline_seconds: int | None = Field(
        default=None,
        ge=1,
        le=SECONDS,
        description="Seconds that all stages together may run; suspended time does not count. Default: no limit.",
    )
    ttl_seconds_after_finished: int | None = Field(
        default=None,
        ge=0,
        le=SECONDS,
        description="Seconds after the end until Jobs and pods are removed; the resource stays. Default: kept with it.",
    )

    @model_validator(mode="after")
    def _names_are_unique(self) -> Self:
        unique("data", "name", [entry.name for entry in self.data])
        unique("passes", "name", [step.name for step in self.passes])
        unique("credentials", "secretName", [entry.secret_name for entry in self.credentials])
        return self

    @model_validator(mode="after")
    def _evaluation_names_what_is_there(self) -> Self:
        named = {entry.name for entry in self.data}
        for where, name in self.evaluation.data_named() if self.evaluation else ():
            if name not in named:
                raise ValueError(f"evaluation.{where} names the data set {name!r}; {suggest(name, named)}")
        if self.evaluation and any(step.name == INPUT for step in self.passes):
            raise ValueError(f"a step is called {INPUT!r}, as evaluation calls the model that the job starts with")
        return self

    @model_validator(mode="after")
    def _stages_hand_over_through_the_cache(self) -> Self:
        if self.cache.mode != "ReadWrite" and len(self.passes) > 1 and any(step.resources for step in self.passes):
            raise ValueError(
                f"cache.mode {self.cache.mode} goes with one stage, and a pass has resources of its own: stages hand over "
                "through the cache (take ReadWrite, or give all passes what execution.kubernetes.resources says)"
            )
        return self

    @model_validator(mode="after")
    def _azure_ml_reaches_what_is_named(self) -> Self:
        if self.execution.azure_ml is None:
            return self
        volumes = {"model": self.model.volume, "output": self.output.volume}
        volumes |= {f"data[{entry.name}].source": entry.source.volume for entry in self.data}
        for where, volume in volumes.items():
            if volume is not None:
                raise ValueError(
                    f"{where}.volume is a claim of the cluster, which Azure ML does not reach (execution.azureML)"
                )
        for step in self.passes:
            if step.resources is not None:
                raise ValueError(
                    f"the step {step.name!r} has resources of its own; on Azure ML all run on execution.azureML's compute"
                )
        return self

    @model_validator(mode="after")
    def _search_names_what_is_there(self) -> Self:
        if self.search is None:
            return self
        if self.evaluation is None:
            raise ValueError("search compares trials by metrics: evaluation is needed")
        steps, metrics = [step.name for step in self.passes], [metric.name for metric in self.evaluation.metrics]
        if problem := self.search.problem(steps, metrics):
            raise ValueError(problem)
        if self.search.early_stopping is not None and "each" not in self.evaluation.after:
            raise ValueError(
                "search.earlyStopping looks at figures after each pass: evaluation.after: [each] is needed"
            )
        if self.cache.mode != "ReadWrite":
            raise ValueError(
                f"cache.mode {self.cache.mode} does not go with search: trials share passes, and the best is published, "
                "through the cache (take ReadWrite)"
            )
        return self


class Metadata(BaseModel):
    """Kubernetes' object metadata: the name is ours, the rest passes through untouched."""

    model_config = ConfigDict(extra="allow", frozen=True)

    name: Annotated[str, StringConstraints(pattern=DNS_LABEL, max_length=52)] = Field(
        description="DNS label of at most 52 characters, so that children's names fit into 63."
    )


class OptimizationJob(Strict):
    """A model, data, passes and a place for the result."""

    api_version: Literal["millwright.dev/v1alpha1"]
    kind: Literal["OptimizationJob"]
    metadata: Metadata
    spec: Spec


__all__ = [
    "MAX_DATA",
    "MAX_PASSES",
    "AzureBlobLocation",
    "AzureML",
    "AzureMLDatastore",
    "AzureMLModel",
    "AzureMLWorkspace",
    "Cache",
    "ChatFormat",
    "Checkpoint",
    "Data",
    "DataSource",
    "ExecutionProvider",
    "HuggingFaceData",
    "HuggingFaceModel",
    "Metadata",
    "Model",
    "Name",
    "OptimizationJob",
    "Output",
    "S3Location",
    "S3Uri",
    "Spec",
    "Step",
    "Target",
    "TextFormat",
    "VolumeLocation",
]
