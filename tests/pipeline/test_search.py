"""A search on real models: two learning rates, two int4 variants of each, by the real command line."""

from __future__ import annotations

import json
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from tests.pipeline.jobs import Mill, Result, job, lora

RATES, BLOCKS = [1e-3, 1e-2], [32, 128]
TUNE = lora(r=4, modulesToSave=["lm_head"], training={"maxSteps": 4, "gradientAccumulationSteps": 1})
STEPS = ({"name": "tune", **TUNE}, {"merge": {}}, {"genai": {"precision": "int4"}})
EVALUATION = {"data": "train", "after": ["input", "last"], "metrics": [{"perplexity": {}}, {"sizeOnDisk": {}}]}


def searched(model: Path, rows: Path, **search: Any) -> dict[str, Any]:
    """The grid of four trials."""
    return job(model, rows, "out", *STEPS, evaluation=EVALUATION, search={
        "algorithm": {"grid": {}},
        "parameters": [
            {"pass": "tune", "option": "training.learningRate", "choice": RATES},
            {"pass": "genai", "option": "blockSize", "choice": BLOCKS},
        ],
        "objectives": [{"metric": "perplexity", "direction": "Minimize"}],
        "maxTrials": 4,
        **search,
    })  # fmt: skip


def trials(mill: Mill) -> list[dict[str, Any]]:
    """The lines of trials.jsonl beside the published model."""
    file = next((mill.folder / "out").glob("*/trials.jsonl"))
    return [json.loads(line) for line in file.read_text().splitlines()]


def figures(mill: Mill) -> list[tuple[Any, ...]]:
    """What has to be the same of a search's trials, however they were run."""
    return [(row["number"], row["at"], row["values"], row["digest"], row["best"]) for row in trials(mill)]


def made(mill: Mill) -> dict[str, int]:
    """How many results of each pass the cache has."""
    found = (
        json.loads(path.read_text()) for path in (mill.folder / "out" / ".millwright" / "cache").rglob("manifest.json")
    )
    return dict(Counter(entry["meta"]["pass"] for entry in found))


@pytest.fixture(scope="module")
def alone(phi3: Path, rows: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Mill, Result]:
    """The search, its trials one after the other."""
    mill = Mill(tmp_path_factory.mktemp("alone"))
    result = mill.run(searched(phi3, rows))
    assert result.code == 0, result.err
    return mill, result


class TestAGrid:
    def test_each_fine_tune_is_trained_once(self, alone: tuple[Mill, Result]) -> None:
        mill, _ = alone

        assert made(mill) == {"lora": 2, "merge": 2, "genai": 4}

    def test_the_best_of_its_trials_is_published(self, alone: tuple[Mill, Result]) -> None:
        mill, result = alone

        rows = trials(mill)
        best = min(rows, key=lambda row: row["values"]["perplexity"])
        assert [row["best"] for row in rows] == [row is best for row in rows]
        assert result.report["artifact"]["digest"] == best["digest"]
        assert len({row["digest"] for row in rows}) == 4

    def test_it_is_the_model_of_a_manifest_written_by_hand(
        self, alone: tuple[Mill, Result], phi3: Path, rows: Path, mill: Mill
    ) -> None:
        rate, block = next(row["at"].values() for row in trials(alone[0]) if row["best"])
        tune = json.loads(json.dumps(STEPS[0]))
        tune["lora"]["training"]["learningRate"] = rate
        steps = (tune, STEPS[1], {"genai": {"precision": "int4", "blockSize": block}})

        by_hand = mill.run(job(phi3, rows, "out", *steps))

        assert by_hand.code == 0, by_hand.err
        assert by_hand.report["artifact"]["digest"] == alone[1].report["artifact"]["digest"]

    def test_a_second_run_finds_everything(self, alone: tuple[Mill, Result], phi3: Path, rows: Path) -> None:
        mill, first = alone
        before = figures(mill)

        again = mill.run(searched(phi3, rows))

        assert again.code == 0, again.err
        assert {step["cache"] for step in again.report["passes"]} == {"Hit"}
        assert again.report["artifact"] == first.report["artifact"]
        assert figures(mill) == before


class TestInParallel:
    def test_two_at_once_make_the_same_trials_and_the_same_model(
        self, alone: tuple[Mill, Result], phi3: Path, rows: Path, mill: Mill
    ) -> None:
        result = mill.run(searched(phi3, rows), "--parallel", "2")

        assert result.code == 0, result.err
        assert figures(mill) == figures(alone[0])
        assert made(mill) == made(alone[0])


class TestStops:
    def test_terminated_in_the_middle_the_same_command_ends_in_the_same_search(
        self, alone: tuple[Mill, Result], phi3: Path, rows: Path, mill: Mill
    ) -> None:
        manifest = searched(phi3, rows)

        ended = mill.run_until(manifest, lambda: "trial 1 (2/4): perplexity" in mill.said(), signal.SIGTERM)
        again = mill.run(manifest)

        assert (ended.code, ended.report["reason"]) == (143, "Stopped")
        assert again.code == 0, again.err
        assert figures(mill) == figures(alone[0])
        assert made(mill) == made(alone[0])
