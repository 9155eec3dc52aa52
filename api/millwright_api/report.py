"""What a runner tells: `Progress` while it works, `RunReport` when it is done.

The RunReport also has to fit into a container's termination message, of which Kubernetes keeps 4,096 bytes.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

TERMINATION_MESSAGE_BYTES = 4096
"""What the kubelet keeps of a termination message: its tail, counted in UTF-8 bytes."""

Phase = Literal["Pending", "Running", "Succeeded", "Failed", "Stopped"]
HitOrMiss = Literal["Hit", "Miss", "Off"]


class _Told(BaseModel):
    model_config = ConfigDict(extra="forbid", alias_generator=to_camel, populate_by_name=True, serialize_by_alias=True)


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


class PassReport(_Told):
    """What became of one step."""

    name: str
    pass_: str = Field(alias="pass")
    phase: Phase
    cache: HitOrMiss
    key: str = Field(description="The step's cache key, 64 hex digits.")
    digest: str | None = Field(default=None, description="Digest of what it made.")
    bytes: int | None = Field(default=None, description="Size of what it made.")
    seconds: float = 0.0
    resumed_from: int | None = Field(default=None, description="Optimizer step of the checkpoint it went on from.")
    metrics: dict[str, float] = Field(default_factory=dict, description="What the pass measured, e.g. trainLoss.")


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
    seconds: float = 0.0
    peak_memory_bytes: int | None = Field(default=None, description="Largest resident set of the run's process.")
    versions: dict[str, str] = Field(default_factory=dict, description="Distributions that took part, by name.")

    def termination_message(self) -> str:
        """Returns the report as JSON of at most 4,096 UTF-8 bytes: versions go first, then pass details, then text."""
        whole = self.model_copy(deep=True)
        bare = [p.model_copy(update={"metrics": {}}) for p in whole.passes]
        changes: tuple[dict[str, object], ...] = (
            {},
            {"versions": {}},
            {"passes": bare},
            {"message": _cut(self.message, 1024)},
            {"passes": []},
            {"message": _cut(self.message, 256)},
        )
        for change in changes:
            whole = whole.model_copy(update=change)
            text = whole.model_dump_json(exclude_none=True)
            if len(text.encode()) <= TERMINATION_MESSAGE_BYTES:
                return text
        return whole.model_copy(update={"artifact": None, "message": ""}).model_dump_json(exclude_none=True)


def _cut(text: str, limit: int) -> str:
    """Cuts to `limit` UTF-8 bytes without tearing a character, keeping the start."""
    raw = text.encode()
    return text if len(raw) <= limit else raw[: limit - 3].decode(errors="ignore") + "…"
