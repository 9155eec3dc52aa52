"""Models that load and are wrong: refused, where torch and transformers alone would go on with random numbers or break."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from tests import tiny
from tests.pipeline.jobs import Here, job, lora, write_rows

from millwright_api.errors import InvalidData, InvalidModel


@pytest.fixture
def model(phi3: Path, tmp_path: Path) -> Path:
    """A copy to spoil."""
    return Path(shutil.copytree(phi3, tmp_path / "model"))


def change_weights(model: Path, name: str, shape: tuple[int, ...] | None, fill: float = 0.0) -> None:
    """Replaces one of the weights, or takes it out."""
    import torch
    from safetensors.torch import load_file, save_file

    weights = load_file(model / "model.safetensors")
    del weights[name]
    if shape is not None:
        weights[name] = torch.full(shape, fill)
    save_file(weights, model / "model.safetensors", metadata={"format": "pt"})


@pytest.mark.parametrize("steps", [[lora(), {"merge": {}}], [{"genai": {}}]], ids=["trained", "built"])
def test_weights_of_another_shape_than_config_says(steps: list[dict], model: Path, rows: Path, here: Here) -> None:  # type: ignore[type-arg]
    change_weights(model, "model.layers.1.mlp.down_proj.weight", (64, 64))

    with pytest.raises(InvalidModel, match=r"shape.*config\.json asks for"):
        here.run(job(model, rows, here.folder / "out", *steps))

    assert not (here.folder / "out").exists()


def test_a_weight_that_is_missing_is_not_made_up(model: Path, rows: Path, here: Here) -> None:
    change_weights(model, "model.layers.1.mlp.down_proj.weight", None)

    with pytest.raises(
        InvalidModel, match=r"asks for 1 weights that are not there, such as model\.layers\.1\.mlp\.down_proj\.weight"
    ):
        here.run(job(model, rows, here.folder / "out", lora()))


def test_weights_that_are_no_numbers_end_the_training_also_when_no_loss_was_logged(
    model: Path, rows: Path, here: Here
) -> None:
    change_weights(model, "model.norm.weight", (64,), float("nan"))
    steps = lora(training={"maxSteps": 1, "loggingSteps": 100})

    with pytest.raises(InvalidData, match="diverged: the loss is nan at step 1"):
        here.run(job(model, rows, here.folder / "out", steps))


def test_a_tokenizer_of_another_model_is_noticed_by_its_tokens(here: Here) -> None:
    model = tiny.make_model(here.folder / "model", vocab=300)
    tiny.make_tokenizer(model, vocab=512)
    rows = write_rows(here.folder / "rows.jsonl")

    with pytest.raises(InvalidModel, match=r"the model knows 300 \(vocab_size in config\.json\)"):
        here.run(job(model, rows, here.folder / "out", lora()))

    assert json.loads((model / "config.json").read_text())["vocab_size"] == 300
