"""What report.json says, read: a run's report, and what only the file has. Older files lack parts; newer ones have more."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from millwright_api.errors import UserError
from millwright_api.report import RunReport


class NotAReport(UserError):
    """Something else than a run's report.json, or a broken one."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="ignore", alias_generator=to_camel, populate_by_name=True)


class Sample(_Part):
    """A question, what is right, and what a model said."""

    prompt: str = ""
    expected: str | None = None
    answer: str = ""


class Kept(_Part):
    """What a metric found besides its value."""

    samples: list[Sample] = Field(default=[])


class MetricNote(_Part):
    """A metric of the job: which one it is, and which way is better."""

    metric: str = ""
    higher_is_better: bool | None = None
    of_machine: bool = False


class Figure(_Part):
    """What a metric found of a trial's model."""

    value: float | None = None
    low: float | None = None
    high: float | None = None
    unit: str = ""


class Judged(_Part):
    """What became of a constraint."""

    met: bool = True
    message: str = ""


class Aim(_Part):
    """An objective of a search."""

    metric: str
    direction: str = "Maximize"


class Trial(_Part):
    """A trial of a search, as trials.jsonl has it."""

    number: int
    at: dict[str, Any] = Field(default={})
    phase: str = ""
    values: dict[str, float | None] = Field(default={})
    metrics: dict[str, Figure] = Field(default={})
    constraints: list[Judged] = Field(default=[])
    uri: str | None = None
    bytes: int | None = None
    seconds: float | None = None
    reason: str | None = None
    message: str | None = None
    best: bool = False
    front: bool = False


class Searched(_Part):
    """A search that is over."""

    objectives: list[Aim] = Field(default=[])
    parameters: list[str] = Field(default=[])
    reason: str | None = None
    trials: list[Trial] = Field(default=[])


class Document(RunReport):
    """report.json."""

    model_config = ConfigDict(extra="ignore")

    job: str = Field(default="", description="The job's name.")
    history: dict[str, list[dict[str, float | None]]] = Field(
        default={}, description="Step's name → what training measured on the way."
    )
    measurements: dict[str, dict[str, Kept]] = Field(default={}, description="Model → metric → what it found besides.")
    metrics: dict[str, MetricNote] = Field(default={}, description="The job's metrics, by their names.")
    formats: dict[str, str] = Field(default={}, description="Model → its format.")
    spec: dict[str, Any] = Field(default={}, description="The manifest's part that everybody may read.")
    recipe: list[Any] | None = Field(
        default=None, description="With a search: the passes of the trial that is the best."
    )
    search: Searched | None = Field(default=None, description="The search that the model came of.")


class File(_Part):
    """A file of the published model."""

    path: str
    size: int
    sha256: str


class Manifest(_Part):
    """manifest.json of the output: the files that were published."""

    files: list[File] = Field(default=[])
    digest: str = ""


def read_document(document: object) -> Document:
    """Returns a report.

    Raises:
        NotAReport: with what is wrong.
    """
    if not isinstance(document, Mapping) or "outcome" not in document:
        found = f"an object with {', '.join(map(repr, list(document)[:4]))}" if isinstance(document, Mapping) else ""
        raise NotAReport(
            f"this is no run's report: found {found or type(document).__name__}, expected outcome, reason, passes",
            hint="a run writes report.json beside manifest.json",
        )
    try:
        return Document.model_validate(document)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise NotAReport(f"this is no run's report: {where}: {first['msg'].lower()}") from error


def read_manifest(manifest: object) -> Manifest:
    """Returns what an output's manifest says; nothing where it is none or of another release."""
    try:
        return Manifest.model_validate(manifest)
    except ValidationError:
        return Manifest()
