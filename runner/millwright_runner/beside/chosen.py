"""A search's trial as the model knows it that was made by it: what its card and its provenance say of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from millwright_api.v1alpha1 import OptimizationJob


@dataclass(frozen=True)
class Chosen:
    """The trial that a published model is of.

    Attributes:
        job: the manifest as it was written, with its search.
        number: the trial's, from 0.
        at: what it was made with: parameter's label → value.
        phases: how the search's trials ended → how many of them; all trials are counted.
        best: whether it is the best of them, not one that is kept beside it.
    """

    job: OptimizationJob
    number: int
    at: Mapping[str, Any]
    phases: Mapping[str, int]
    best: bool = True

    @property
    def trials(self) -> int:
        """How many there were."""
        return sum(self.phases.values())
