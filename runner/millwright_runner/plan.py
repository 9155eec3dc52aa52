"""What a job would do: its steps, their cache keys, hits and misses, and what it needs. Imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from millwright_api.v1alpha1 import OptimizationJob, S3Location
from millwright_runner.data import FoundData
from millwright_runner.models import FoundModel
from millwright_runner.passes import Estimate
from millwright_runner.registry import BoundStep
from millwright_runner.stores import Store


@dataclass(frozen=True)
class Settings:
    """What a run needs besides its manifest.

    Attributes:
        base: the manifest's folder; relative paths start there.
        home: this machine's folder for downloads, remembered digests and scratch.
        cache: where results of passes are kept; None: in the output's store.
    """

    base: Path
    home: Path
    cache: S3Location | Path | None = None


@dataclass(frozen=True)
class StepPlan:
    """One step as it would run.

    Attributes:
        step: the step and its pass.
        key: its cache key, 64 hex digits.
        hit: whether the cache has its result.
        estimate: memory and disk it is expected to need, in bytes.
    """

    step: BoundStep
    key: str
    hit: bool
    estimate: Estimate


@dataclass(frozen=True)
class Plan:
    """What a job would do.

    Attributes:
        job: the manifest.
        model: where it starts.
        data: the data sets that passes refer to, by name.
        steps: in order.
        output: the store that the model goes to.
        cache: the store that results are kept in; None when the cache is off.
        fingerprint: names the result: the last step's key.
        published: whether the output already holds this very result.
    """

    job: OptimizationJob
    model: FoundModel
    data: dict[str, FoundData]
    steps: list[StepPlan]
    output: Store
    cache: Store | None
    fingerprint: str
    published: bool

    @property
    def memory(self) -> int:
        """Peak memory expected, in bytes: of the hungriest step that would run."""
        return max((s.estimate.memory for s in self.steps if not s.hit), default=0)

    @property
    def disk(self) -> int:
        """Bytes expected to be written on this machine."""
        return sum(s.estimate.disk for s in self.steps if not s.hit)


def make_plan(job: OptimizationJob, settings: Settings) -> Plan:
    """Looks at everything a job names, and writes nothing to the output.

    Raises:
        UserError: anything that would make the run fail and can be known now.
    """
    raise NotImplementedError
