"""Training: options do what they say, on a real model."""

from __future__ import annotations

import math
import shutil
from pathlib import Path
from typing import Any

import pytest
from tests.pipeline.jobs import Here, job, lora

from millwright_api.errors import InvalidData, InvalidManifest
from millwright_runner.training.batches import IGNORED, collator, micro_batch


def weights(folder: Path) -> dict[str, Any]:
    from safetensors.numpy import load_file

    return dict(load_file(str(folder / "out" / "model" / "adapter_model.safetensors")))


def trained(
    here: Here, phi3: Path, rows: Path, name: str, **options: Any
) -> tuple[dict[str, float], list[dict[str, float]], dict[str, Any]]:
    """Runs lora alone; returns its metrics, the course of its loss, and the adapter's weights."""
    import json

    place = Here(here.folder / name)
    place.folder.mkdir()
    report = place.run(job(phi3, rows, "out", lora(**options)))
    history = json.loads((place.folder / "out" / "report.json").read_text())["history"]["lora"]
    return report.passes[0].metrics, history, weights(place.folder)


def same(one: dict[str, Any], other: dict[str, Any], tolerance: float = 1e-6) -> bool:
    return all(one[name] == pytest.approx(other[name], abs=tolerance) for name in one)


def test_the_loss_falls(phi3: Path, rows: Path, here: Here) -> None:
    metrics, history, _ = trained(
        here, phi3, rows, "a", modulesToSave=["lm_head"], training={"maxSteps": 30, "learningRate": 1e-2}
    )

    assert metrics["optimizerSteps"] == 30
    assert history[-1]["loss"] < history[0]["loss"] / 2


def test_an_automatic_micro_batch_gives_the_same_weights_as_single_sequences(
    phi3: Path, rows: Path, here: Here
) -> None:
    auto, _, one = trained(here, phi3, rows, "auto", dropout=0.0)
    single, _, other = trained(here, phi3, rows, "single", dropout=0.0, training={"perDeviceTrainBatchSize": 1})

    assert (auto["microBatch"], single["microBatch"]) == (4, 1)
    assert same(one, other, 1e-4)


def test_the_seed_decides(phi3: Path, rows: Path, here: Here) -> None:
    _, _, zero = trained(here, phi3, rows, "zero")
    _, _, again = trained(here, phi3, rows, "again")
    _, _, one = trained(here, phi3, rows, "one", training={"seed": 1})

    assert same(zero, again, 0)
    assert not same(zero, one, 1e-3)


def test_epochs_count_when_no_number_of_steps_is_given(phi3: Path, rows: Path, here: Here) -> None:
    metrics, _, _ = trained(here, phi3, rows, "a", training={"maxSteps": None, "epochs": 0.5})

    assert metrics["optimizerSteps"] == 8  # half of 64 rows, four a step


@pytest.mark.parametrize("held", [{"evalFraction": 0.25}, {"evalSize": 16}, {"evalData": "train"}])
def test_evaluation_every_n_steps(held: dict[str, Any], phi3: Path, rows: Path, here: Here) -> None:
    metrics, history, _ = trained(here, phi3, rows, "a", **held, training={"evalSteps": 4})

    evaluated = [entry for entry in history if "eval_loss" in entry]
    assert [entry["step"] for entry in evaluated] == [4, 8]
    assert metrics["evalLoss"] == evaluated[-1]["eval_loss"]


def test_early_stopping_ends_the_training_and_keeps_the_best_adapter(phi3: Path, rows: Path, here: Here) -> None:
    rising = {
        "learningRate": 0.5,
        "maxSteps": 200,
        "evalSteps": 2,
        "scheduler": "constant",
        "earlyStopping": {"patience": 2},
    }

    metrics, history, kept = trained(here, phi3, rows, "a", evalFraction=0.25, training=rising)

    losses = [entry["eval_loss"] for entry in history if "eval_loss" in entry]
    best_step = 2 * (1 + losses.index(min(losses)))
    assert metrics["optimizerSteps"] == best_step + 4
    _, _, short = trained(
        here, phi3, rows, "b", evalFraction=0.25, training=rising | {"maxSteps": best_step, "earlyStopping": None}
    )
    assert same(kept, short, 1e-5)


@pytest.mark.parametrize(
    "training",
    [{"optimizer": "adafactor"}, {"optimizer": "sgd"}, {"optimizer": "adamw_torch_fused"}, {"scheduler": "cosine", "warmupSteps": 3},
     {"scheduler": "constant_with_warmup", "warmupRatio": 0.25}, {"weightDecay": 0.5}, {"maxGradNorm": 0.01}, {"groupByLength": True},
     {"labelSmoothing": 0.2}, {"adamBeta1": 0.5}, {"dtype": "bfloat16"}, {"dataSeed": 7}],
)  # fmt: skip
def test_every_training_option_changes_what_is_learned(
    training: dict[str, Any], phi3: Path, rows: Path, here: Here
) -> None:
    _, _, plain = trained(here, phi3, rows, "plain")
    metrics, _, changed = trained(here, phi3, rows, "changed", training=training)

    assert math.isfinite(metrics["trainLoss"])
    assert not same(plain, changed, 0)


def test_gradient_checkpointing_changes_nothing_but_memory(phi3: Path, rows: Path, here: Here) -> None:
    _, _, plain = trained(here, phi3, rows, "plain", dropout=0.0)
    _, _, saving = trained(here, phi3, rows, "saving", dropout=0.0, training={"gradientCheckpointing": True})

    assert same(plain, saving, 1e-5)


def test_training_that_diverges_ends_with_the_step_and_a_remedy(
    phi3: Path, rows: Path, here: Here, tmp_path: Path
) -> None:
    from safetensors.numpy import load_file, save_file

    exploding = Path(shutil.copytree(phi3, tmp_path / "exploding"))
    tensors = load_file(exploding / "model.safetensors")
    tensors["lm_head.weight"][3] = math.inf
    save_file(tensors, exploding / "model.safetensors", {"format": "pt"})

    with pytest.raises(InvalidData) as caught:
        trained(here, exploding, rows, "a")

    assert caught.value.where == "spec.passes[0].lora.training.learningRate"
    assert "training diverged: the loss is" in str(caught.value)
    assert "lower it, add warmupSteps" in str(caught.value)


def test_float16_is_refused_without_cuda(phi3: Path, rows: Path, here: Here) -> None:
    with pytest.raises(
        InvalidManifest, match=r"training.dtype: float16 trains on CUDA only \(here: float32 or bfloat16\)"
    ):
        trained(here, phi3, rows, "a", training={"dtype": "float16"})


@pytest.mark.parametrize(("side", "ids"), [("right", [[5, 6, 7], [8, 0, 0]]), ("left", [[5, 6, 7], [0, 0, 8]])])
def test_batches_are_padded_where_no_loss_counts(side: str, ids: list[list[int]]) -> None:
    rows = [{"input_ids": [5, 6, 7], "labels": [IGNORED, 6, 7]}, {"input_ids": [8], "labels": [8]}]

    batch = collator(0, side, None)(rows)

    assert batch["input_ids"].tolist() == ids
    assert batch["attention_mask"].tolist() == [[1, 1, 1], [1, 0, 0] if side == "right" else [0, 0, 1]]
    assert batch["labels"].tolist()[1].count(IGNORED) == 2


def test_batches_can_always_have_one_length() -> None:
    assert collator(0, "right", 8)([{"input_ids": [5], "labels": [5]}])["input_ids"].shape == (1, 8)


@pytest.mark.parametrize(
    ("sequences", "length", "size"), [(4, 64, 4), (16, 256, 8), (6, 1024, 2), (16, 4096, 1), (7, 512, 1)]
)
def test_a_micro_batch_divides_the_step_and_keeps_to_the_devices_tokens(sequences: int, length: int, size: int) -> None:
    assert micro_batch(sequences, length, "cpu") == size


@pytest.mark.parametrize(
    ("losses", "threshold", "since"),
    [
        ([3.0], 0.0, 0),
        ([3.0, 2.0], 0.0, 0),
        ([2.0, 3.0, 2.5], 0.0, 2),
        ([3.0, 2.95, 2.9], 0.2, 2),
        ([2.0, 2.0], 0.0, 1),
    ],
)
def test_evaluations_are_counted_from_the_best(losses: list[float], threshold: float, since: int) -> None:
    from millwright_runner.training.callbacks import (
        evaluations_since_best,
    )  # with transformers: not for whoever collects

    assert evaluations_since_best(losses, threshold) == since
