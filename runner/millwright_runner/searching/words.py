"""What a search's process and its workers say to each other, over a pipe."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from millwright_api.errors import MillwrightError
from millwright_api.v1alpha1 import OptimizationJob
from millwright_runner.plan import Settings
from millwright_search.trials import Seen, Segment, Trial


@dataclass(frozen=True)
class Begin:
    """To a worker, first: what it works on."""

    job: OptimizationJob
    settings: Settings


@dataclass(frozen=True)
class Do:
    """To a worker that has nothing to do."""

    trial: Trial
    segment: Segment


@dataclass(frozen=True)
class Stop:
    """To a worker: save a checkpoint and end what you do, because of this signal."""

    signal: int


@dataclass(frozen=True)
class Told:
    """From a worker: what an observer is told."""

    method: Literal["progress", "finished", "measured", "judged"]
    what: Any


@dataclass(frozen=True)
class Done:
    """From a worker: how a segment ended."""

    seen: Seen


@dataclass(frozen=True)
class Raised:
    """From a worker: what ends the search."""

    error: MillwrightError
