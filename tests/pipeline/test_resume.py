"""Stopped or killed, the same command goes on from the last whole checkpoint, to the same weights."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest
from tests.pipeline.jobs import Mill, Result, job, lora

LONG = {"maxSteps": 70, "loggingSteps": 10}


@pytest.fixture(scope="module")
def manifest(phi3: Path, rows: Path) -> dict[str, Any]:
    """A training long enough to be interrupted, with dropout, so that the state of random numbers matters."""
    return job(
        phi3,
        rows,
        "out",
        lora(dropout=0.1, evalFraction=0.2, training=LONG | {"evalSteps": 30}),
        checkpoint={"everySteps": 10},
    )


@pytest.fixture(scope="module")
def undisturbed(manifest: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Result:
    """The same job, left alone."""
    result = Mill(tmp_path_factory.mktemp("undisturbed")).run(manifest)
    assert result.code == 0, result.err
    return result


def checkpoints(mill: Mill) -> list[Path]:
    """Whole checkpoints in the output's store, oldest first."""
    return sorted(mill.folder.glob("out/.millwright/checkpoints/*/*/manifest.json"))


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_saves_a_checkpoint_and_the_same_command_goes_on(
    manifest: dict[str, Any], undisturbed: Result, mill: Mill, number: signal.Signals, code: int
) -> None:
    stopped = mill.run_until(manifest, lambda: checkpoints(mill), number)
    saved = int(checkpoints(mill)[-1].parent.name)

    assert stopped.code == code
    assert stopped.report["outcome"] == "Stopped"
    assert not (mill.folder / "out" / "manifest.json").exists()

    resumed = mill.run(manifest)

    assert resumed.code == 0, resumed.err
    assert resumed.report["passes"][0]["resumedFrom"] == saved
    assert resumed.report["artifact"]["digest"] == undisturbed.report["artifact"]["digest"]
    assert checkpoints(mill) == []


def test_after_kill_9_it_goes_on_from_the_last_periodic_checkpoint(
    manifest: dict[str, Any], undisturbed: Result, mill: Mill
) -> None:
    killed = mill.run_until(manifest, lambda: len(checkpoints(mill)) == 2, signal.SIGKILL)

    resumed = mill.run(manifest)

    assert killed.code == -signal.SIGKILL
    assert resumed.code == 0, resumed.err
    assert resumed.report["passes"][0]["resumedFrom"] % 10 == 0
    assert resumed.report["artifact"]["digest"] == undisturbed.report["artifact"]["digest"]


@pytest.mark.parametrize("damage", ["torn", "manifest gone"])
def test_a_damaged_checkpoint_is_passed_over_for_the_one_before(
    manifest: dict[str, Any], undisturbed: Result, mill: Mill, damage: str
) -> None:
    mill.run_until(manifest, lambda: len(checkpoints(mill)) == 2, signal.SIGKILL)
    older, newest = checkpoints(mill)
    if damage == "torn":
        (weights,) = newest.parent.glob("*/adapter_model.safetensors")
        weights.write_bytes(weights.read_bytes()[:-100])
    else:
        newest.unlink()

    resumed = mill.run(manifest)

    assert resumed.code == 0, resumed.err
    assert resumed.report["passes"][0]["resumedFrom"] == int(older.parent.name)
    assert resumed.report["artifact"]["digest"] == undisturbed.report["artifact"]["digest"]


def test_other_options_never_go_on_from_a_checkpoint(
    phi3: Path, rows: Path, manifest: dict[str, Any], mill: Mill
) -> None:
    mill.run_until(manifest, lambda: checkpoints(mill), signal.SIGTERM)
    other = job(phi3, rows, "out", lora(dropout=0.2, training={"maxSteps": 4}))

    assert "resumedFrom" not in mill.run(other).report["passes"][0]
