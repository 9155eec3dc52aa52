"""Small models, made once for all pipeline tests."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests import tiny
from tests.pipeline.jobs import Here, Mill, write_rows

from millwright_runner import pipeline


@pytest.fixture(scope="session")
def phi3(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Phi-3 of 0.2 M parameters."""
    return tiny.make_model(tmp_path_factory.mktemp("models") / "phi3")


@pytest.fixture(scope="session")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """64 phrases with tones."""
    return write_rows(tmp_path_factory.mktemp("data") / "train.jsonl")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Here:
    """Runs jobs in this process, where torch is imported once for all tests."""
    monkeypatch.setattr(pipeline, "hide_unneeded", lambda needed: None)  # it is for good, and other tests need them
    return Here(tmp_path)


@pytest.fixture
def mill(tmp_path: Path) -> Mill:
    """The command line, with a home of its own."""
    return Mill(tmp_path)
