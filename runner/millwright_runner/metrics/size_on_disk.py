"""sizeOnDisk: how large a model's files are."""

from __future__ import annotations

import os
from pathlib import Path
from typing import ClassVar

from millwright_runner.metrics import Measured, Metric, MetricContext
from millwright_runner.published import CARD, CLAIM, PROVENANCE
from millwright_runner.subjects import Subject
from millwright_runner.trees import MANIFEST

NOTES = (MANIFEST, CLAIM, CARD, PROVENANCE)
"""Files that an output has beside the model's."""


class SizeOnDisk(Metric):
    """Size of the model's files: all that its folder holds. `sizeOnDisk: {}`

    What only tells of the model does not count: README.md, provenance.json, an output's manifest. Of an adapter its own
    files count, and not those of the model that it sits on.
    """

    name: ClassVar[str] = "sizeOnDisk"
    unit: ClassVar[str] = "bytes"
    higher_is_better: ClassVar[bool] = False
    asks: ClassVar[bool] = False
    libraries: ClassVar[tuple[str, ...]] = ()

    def measure(self, model: Subject, context: MetricContext) -> Measured:
        """Adds up the files' sizes; the model is not loaded."""
        sizes = [path.stat().st_size for path in files_of(model.artifact.folder)]
        return Measured(value=float(sum(sizes)), details={"files": float(len(sizes))})


def files_of(folder: Path) -> list[Path]:
    """Returns the files of a model's folder, in path order; links to files count as what they lead to."""
    found = (Path(parent) / name for parent, _, names in os.walk(folder) for name in names)
    return sorted(path for path in found if path.parent != folder or path.name not in NOTES)
