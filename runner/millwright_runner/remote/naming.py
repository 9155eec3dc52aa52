"""Names of jobs on Azure ML: whoever comes next makes the same one, and so finds the job that is there. Pure."""

from __future__ import annotations

from millwright_api.names import fingerprint
from millwright_runner.remote.errand import Errand

RECIPE = ("model", "data", "passes", "evaluation", "search", "target", "checkpoint")
"""Of a manifest's spec: what changes the work. Where it runs does not."""

DIGITS = 10


def identity_of(errand: Errand) -> str:
    """Returns whose jobs they are, 10 hex digits: the OptimizationJob's; without a cluster those of a manifest's name and output."""
    if errand.uid is not None:
        return fingerprint(["uid", errand.uid])[:DIGITS]
    job = errand.job
    output = job.spec.output.model_dump(mode="json", by_alias=True, exclude_none=True)
    place = str(errand.base.resolve()) if job.spec.output.path is not None else ""
    return fingerprint(["manifest", job.metadata.name, output, place])[:DIGITS]


def family(errand: Errand) -> str:
    """Returns what the names of all jobs of an OptimizationJob begin with."""
    return f"{errand.job.metadata.name[:32].rstrip('-')}-{identity_of(errand)}-"


def stem(errand: Errand) -> str:
    """Returns the name of a part's jobs, without their number."""
    spec = errand.job.spec.model_dump(mode="json", by_alias=True, exclude_none=True)
    recipe = {key: spec[key] for key in RECIPE if key in spec}
    return f"{family(errand)}{fingerprint([recipe, dict(errand.part)])[:DIGITS]}"


def numbered(name: str, number: int) -> str:
    """Returns the name of a part's job: numbers count from 1, each after the one before has ended and been told."""
    return f"{name}-{number}"


def number_of(name: str, stem_: str) -> int | None:
    """Returns the number of a job; None where it is of another part."""
    head, _, tail = name.rpartition("-")
    return int(tail) if head == stem_ and tail.isdecimal() else None


def tag_of(errand: Errand) -> str:
    """Returns the tag that all jobs of an OptimizationJob have, and no others: the service lists jobs by the keys of their tags."""
    return f"millwright-{identity_of(errand)}"
