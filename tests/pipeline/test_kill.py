"""Killed anywhere: nothing half-made is seen, and the same command ends in the same model."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest
from tests.azurite import BlobContainer
from tests.conftest import S3Bucket
from tests.pipeline.jobs import Mill, Result, job

from millwright_runner.digests import DigestMemo
from millwright_runner.published import damaged_files, read_published
from millwright_runner.stores import open_store

PHASES = (
    "lora (1/3): tokenizing",
    "lora (1/3): training",
    "lora (1/3): storing",
    "merge (2/3): merging",
    "genai (3/3): building",
    "genai (3/3): publishing",
)


@pytest.fixture(scope="module")
def undisturbed(phi3: Path, rows: Path, tmp_path_factory: pytest.TempPathFactory) -> Result:
    """The job, left alone."""
    result = Mill(tmp_path_factory.mktemp("undisturbed")).run(job(phi3, rows, "out"))
    assert result.code == 0, result.err
    return result


@pytest.mark.parametrize("phase", PHASES)
def test_killed_in_any_phase_the_same_command_ends_in_the_same_model(
    phi3: Path, rows: Path, undisturbed: Result, mill: Mill, phase: str
) -> None:
    manifest = job(phi3, rows, "out")

    killed = mill.run_until(manifest, lambda: phase in mill.said(), signal.SIGKILL)
    there = read_published(open_store(mill.folder / "out"))
    again = mill.run(manifest)

    # Publishing takes some milliseconds: there it may have been done before the signal came.
    assert killed.code in {-signal.SIGKILL, 0 if "publishing" in phase else -signal.SIGKILL}
    assert (
        there is None or damaged_files(open_store(mill.folder / "out"), there, DigestMemo(mill.folder / "memo")) == []
    )
    assert again.code == 0, again.err
    assert digests(again) == digests(undisturbed)
    assert leftovers(mill.folder / "out") == []


@pytest.mark.parametrize(
    ("kind", "phase"),
    [("s3", "lora (1/3): storing"), ("s3", "genai (3/3): publishing"), ("blob", "genai (3/3): publishing")],
)
def test_killed_while_it_uploads_the_same_command_ends_in_the_same_model(
    phi3: Path, rows: Path, undisturbed: Result, mill: Mill, request: pytest.FixtureRequest, kind: str, phase: str
) -> None:
    bucket: S3Bucket | BlobContainer = request.getfixturevalue(kind)
    manifest: dict[str, Any] = job(phi3, rows, f"{bucket.uri}models/x/")

    mill.run_until(manifest, lambda: phase in mill.said(), signal.SIGKILL)
    again = mill.run(manifest)

    assert again.code == 0, again.err
    assert digests(again) == digests(undisturbed)
    published = read_published(open_store(bucket.location("models/x/")))
    assert published is not None
    assert published.tree.digest == undisturbed.report["artifact"]["digest"]


def digests(result: Result) -> dict[str, str]:
    """What each step has made."""
    return {entry["name"]: entry["digest"] for entry in result.report["passes"]}


def leftovers(output: Path) -> list[Path]:
    """Files of interrupted work that nobody will ever read."""
    return [
        path
        for path in (output / ".millwright").rglob("*")
        if path.is_file() and ("work" in path.parts or "checkpoints" in path.parts)
    ]
