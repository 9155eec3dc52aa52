"""What the operator says of a job: `status` of OptimizationJob. At most 64 KiB in any state.

Conditions after kstatus: Ready, Reconciling, Stalled. Ours: Validated, Running, Suspended, Finished (either way: one
`kubectl wait`), Complete, Failed, ConstraintsMet, ArtifactsPublished.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer
from pydantic.alias_generators import to_camel

from millwright_api.report import HitOrMiss
from millwright_api.report import Phase as PassPhase

STATUS_BYTES = 64 * 1024
"""No status is larger, as JSON in UTF-8."""

MESSAGE_BYTES = 1024
"""Longest message of a condition, in UTF-8 bytes."""

Time = Annotated[str, Field(max_length=35, json_schema_extra={"format": "date-time"})]
"""A point in time after RFC 3339, in UTC: 2026-11-21T08:22:00Z."""

JobPhase = Literal["Pending", "Validating", "Queued", "Running", "Suspended", "Stalled", "Succeeded", "Failed"]
"""A summary for people; programs read conditions. Stalled: waits for an edit."""

ConditionType = Literal[
    "Ready",
    "Reconciling",
    "Stalled",
    "Validated",
    "Running",
    "Suspended",
    "Finished",
    "Complete",
    "Failed",
    "ConstraintsMet",
    "ArtifactsPublished",
]


class _Said(BaseModel):
    """Of the operator's making: what an older operator wrote is read too, so unknown keys are passed over."""

    model_config = ConfigDict(
        extra="ignore", alias_generator=to_camel, populate_by_name=True, serialize_by_alias=True, frozen=True
    )


class Condition(_Said):
    """A metav1.Condition."""

    type: ConditionType = Field(description="What it is about.")
    status: Literal["True", "False", "Unknown"] = Field(description="Whether it holds.")
    reason: str = Field(max_length=128, description="CamelCase; stable, for programs.")
    message: str = Field(default="", max_length=MESSAGE_BYTES, description="For people.")
    last_transition_time: Time = Field(description="When `status` last changed; RFC 3339, UTC.")
    observed_generation: int = Field(description="The generation that it was found for.")


class JobProgress(_Said):
    """Where the running pass stands."""

    pass_: str = Field(alias="pass", max_length=63, description="Name of the step that runs.")
    message: str = Field(default="", max_length=256, description="What it is doing.")
    percent: int | None = Field(default=None, ge=0, le=100, description="How much of this pass is done.")
    step: int | None = Field(default=None, description="Units of work done: optimizer steps, files.")
    total_steps: int | None = Field(default=None, description="Units of work in all.")
    loss: float | None = Field(default=None, description="Training loss.")
    eta: str | None = Field(default=None, max_length=32, description="Time until this pass is done, as 1h20m.")
    summary: str = Field(default="", max_length=64, description="For the column: 1/3 41%.")
    reported_time: Time = Field(description="When the runner said so.")


class PassStatus(_Said):
    """What became of one step."""

    name: str = Field(max_length=63, description="The step's name.")
    phase: PassPhase = Field(description="Pending, Running, Succeeded, Failed or Stopped.")
    stage: int = Field(description="The stage (Job) that it runs in, from 0.")
    cache: HitOrMiss | None = Field(default=None, description="Whether its result was there.")
    seconds: float | None = Field(default=None, description="Seconds that it took.")
    resumed_from: int | None = Field(default=None, description="Optimizer step of the checkpoint that it went on from.")
    metrics: dict[str, float] = Field(default={}, description="What the pass measured, e.g. trainLoss.")


class StageStatus(_Said):
    """One Job: consecutive passes with equal resources."""

    name: str = Field(max_length=63, description="Name of the Job.")
    phase: Literal["Pending", "Queued", "Running", "Suspended", "Succeeded", "Failed"] = Field(description="Summary.")
    attempts: int = Field(default=0, description="Attempts that have failed or run; evictions and pauses do not count.")
    failures: int = Field(default=0, description="Attempts of its present Job that have failed.")
    earlier_failures: int = Field(default=0, description="Attempts that failed in Jobs it had before.")
    job_uid: str | None = Field(default=None, max_length=64, description="The Job that failures were counted on.")
    pod: str | None = Field(default=None, max_length=253, description="The pod that runs.")
    active_seconds: int = Field(default=0, description="Seconds that it ran before its present start; pauses left out.")
    active_since: Time | None = Field(default=None, description="Its present start; unset when it does not run.")


class ArtifactStatus(_Said):
    """A published model."""

    uri: str = Field(max_length=1280, description="Where it lies.")
    format: str = Field(max_length=64, description="hf, hf+adapter, onnx-genai …")
    sha256: str = Field(max_length=64, description="Digest over all of its files.")
    bytes: int = Field(description="Size.")
    files: int = Field(description="Number of files.")


class MetricStatus(_Said):
    """What one metric found."""

    name: str = Field(max_length=63, description="The metric's name in the manifest.")
    value: float | None = Field(default=None, description="In its unit; unset where no number came out.")
    low: float | None = Field(default=None, description="Lower end of the 95 % interval.")
    high: float | None = Field(default=None, description="Upper end of the 95 % interval.")
    n: int | None = Field(default=None, description="Examples, or repetitions, that it is of.")
    unit: str = Field(default="", max_length=32, description="share, perplexity, ms, tokens/s, bytes …")


class MeasurementStatus(_Said):
    """What was measured of one model."""

    after: str = Field(max_length=63, description="The step that made it; input: the model that the job starts with.")
    metrics: list[MetricStatus] = Field(description="In the manifest's order.")


class ConstraintStatus(_Said):
    """What became of one constraint."""

    metric: str = Field(max_length=63, description="The metric that it is about.")
    met: bool = Field(description="Whether the value as measured keeps to the bound.")
    decided: bool = Field(default=True, description="Whether it would, or would not, at both ends of the interval.")
    message: str = Field(default="", max_length=512, description="The value, the bound, how far off.")


class EvaluationStatus(_Said):
    """What was measured, and what became of the constraints."""

    results: list[MeasurementStatus] = Field(default=[], description="In the recipe's order.")
    constraints: list[ConstraintStatus] = Field(default=[], description="In the manifest's order.")


class TrialStatus(_Said):
    """One trial of a search."""

    number: int = Field(description="From 0, in the order that trials were asked for.")
    phase: Literal["Pending", "Running", "Succeeded", "ConstraintsNotMet", "Pruned", "Failed"] = Field(
        description="ConstraintsNotMet: measured, and not to be published. Pruned: not carried through."
    )
    at: str = Field(
        default="",
        max_length=1024,
        description="Its values in the order of search.parameters, as JSON; where that is too long, # and the same with "
        "places, from 0, instead of the values of choice and oneOf.",
    )
    values: list[float] = Field(default=[], description="Of the objectives, in the manifest's order.")
    figures: dict[str, float] = Field(
        default={}, description="With earlyStopping: the first objective after each step."
    )
    violated: int = Field(default=0, description="How many constraints it does not meet.")
    reason: str = Field(default="", max_length=64, description="Of a failure.")
    message: str = Field(default="", max_length=128, description="Of a failure, or why it was not carried through.")
    failed_segment: int | None = Field(default=None, description="Of a failure: which of its Jobs failed, from 0.")

    @model_serializer(mode="wrap")
    def _without_what_is_empty(self, plain: SerializerFunctionWrapHandler) -> dict[str, Any]:
        told: dict[str, Any] = plain(self)
        empty = {"violated": 0, "values": [], "figures": {}, "reason": "", "message": "", "at": ""}
        return {key: value for key, value in told.items() if value != empty.get(key)}


class BestTrial(_Said):
    """The best trial so far; at the end, the one that is published."""

    number: int = Field(description="Its number.")
    parameters: dict[str, str] = Field(description="What it was made with: finetune.learningRate: 0.0001.")
    values: dict[str, float] = Field(description="Objectives, by the metric's name.")


class SearchStatus(_Said):
    """Where a search stands. All there is about its trials lies in trials.jsonl beside the model."""

    summary: str = Field(default="", max_length=32, description="For the column: trials that ended, of how many: 5/12.")
    space: int | None = Field(default=None, description="Different points there are; unset: a continuous range.")
    reason: str = Field(
        default="",
        max_length=64,
        description="Why it is over: AllTrialsDone, SpaceExhausted, OutOfTime, TooManyFailedTrials or NoTrialSucceeded.",
    )
    message: str = Field(default="", max_length=256, description="The same for people, with counts.")
    running: int = Field(default=0, description="Jobs that run for trials.")
    succeeded: int = Field(default=0, description="Trials that met the constraints.")
    constraints_not_met: int = Field(default=0, description="Trials that did not.")
    pruned: int = Field(default=0, description="Trials that were not carried through.")
    failed: int = Field(default=0, description="Trials that failed.")
    best: BestTrial | None = Field(default=None, description="The best so far.")
    front: list[int] = Field(default=[], description="The Pareto front, by number.")
    trials: list[TrialStatus] = Field(default=[], description="By number.")


class RemoteStatus(_Said):
    """The job of another service that does the work."""

    service: Literal["AzureML"] = Field(description="Which.")
    name: str = Field(max_length=256, description="The job's name there.")
    state: str = Field(max_length=64, description="As the service calls it: Queued, Preparing, Running, Completed …")
    url: str | None = Field(default=None, max_length=1024, description="Where people look at it.")


class Status(_Said):
    """Truth about a job, as last observed."""

    observed_generation: int = Field(default=-1, description="The generation that all of this is about.")
    phase: JobPhase | None = Field(default=None, description="Summary.")
    conditions: list[Condition] = Field(default=[], description="One of each type.")
    start_time: Time | None = Field(
        default=None, description="When the first stage started; from then on the recipe is frozen. RFC 3339, UTC."
    )
    completion_time: Time | None = Field(default=None, description="When it ended, either way.")
    fingerprint: str | None = Field(default=None, max_length=64, description="Names the result.")
    preflight: str | None = Field(
        default=None, max_length=63, description="The Job whose finding Validated tells; an edit makes another."
    )
    attempts: int | None = Field(default=None, description="Attempts of all stages together.")
    progress: JobProgress | None = Field(default=None, description="Where the running pass stands.")
    passes: list[PassStatus] = Field(default=[], description="In the recipe's order.")
    stages: list[StageStatus] = Field(default=[], description="In order.")
    evaluation: EvaluationStatus | None = Field(default=None, description="What was measured of the model.")
    search: SearchStatus | None = Field(default=None, description="Where the search stands.")
    artifacts: list[ArtifactStatus] = Field(default=[], description="What was published.")
    remote: RemoteStatus | None = Field(default=None, description="With execution.azureML: the latest job there.")
