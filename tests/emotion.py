"""The demo's small Phi-3 and its phrases, made by the one demo of a test run and taken by the other, when it comes later."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

MADE = ("model", "train.jsonl", "holdout.jsonl")


def lend(factory: pytest.TempPathFactory, build: Path) -> None:
    """Leaves what was made for the other workers of this run."""
    shared = _shared(factory)
    if shared is None:
        return
    part = shared.with_suffix(".part")
    part.mkdir()
    for name in MADE:
        (shutil.copytree if (build / name).is_dir() else shutil.copy2)(build / name, part / name)
    part.rename(shared)


def borrow(factory: pytest.TempPathFactory, build: Path) -> None:
    """Copies it into a demo's folder, if it is there already; the demo makes it otherwise."""
    shared = _shared(factory)
    if shared is not None and shared.exists():
        shutil.copytree(shared, build)


def _shared(factory: pytest.TempPathFactory) -> Path | None:
    """A folder of this test run; only a run with several workers has one."""
    return factory.getbasetemp().parent / "emotion-build" if "PYTEST_XDIST_WORKER" in os.environ else None
