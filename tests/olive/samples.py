"""Workflows of Olive's that the tests convert: the files beside this one, and small ones made in place."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

from millwright_runner.olive import Imported, convert

SAMPLES = Path(__file__).parent
NAMES = sorted(path.stem for path in SAMPLES.glob("*.json"))


def sample(name: str) -> dict[str, Any]:
    """Returns a fresh copy of a sample's JSON."""
    loaded: dict[str, Any] = json.loads((SAMPLES / f"{name}.json").read_text())
    return loaded


def imported(name: str, **options: Any) -> Imported:
    """Converts a sample from a folder where none of its files are."""
    return convert(sample(name), config_path=SAMPLES / f"{name}.json", **options)


def workflow(**changes: Any) -> dict[str, Any]:
    """Returns a small workflow of the new format; the changes replace whole top-level keys."""
    small: dict[str, Any] = {
        "input_model": {"type": "HfModel", "model_path": "acme/small"},
        "data_configs": [rows()],
        "passes": {"lora": lora(), "merge": {"type": "MergeAdapterWeights"}, "genai": genai()},
        "output_dir": "out",
    }
    return copy.deepcopy({**small, **changes})


def rows(load: dict[str, Any] | None = None, words: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    """Returns a data set of the new format."""
    return {
        "name": "train",
        "type": "HuggingfaceContainer",
        "load_dataset_config": load or {"data_name": "json", "data_files": "train.jsonl", "split": "train"},
        "pre_process_data_config": {"strategy": "join", "max_seq_len": 512, **(words or {})},
        **more,
    }


def lora(training: dict[str, Any] | None = None, **options: Any) -> dict[str, Any]:
    """Returns a LoRA pass of the new format."""
    return {"type": "LoRA", "train_data_config": "train", "training_args": training or {}, **options}


def genai(**options: Any) -> dict[str, Any]:
    """Returns a ModelBuilder pass."""
    return {"type": "ModelBuilder", "precision": "int4", **options}


def spec_of(config: dict[str, Any], **options: Any) -> dict[str, Any]:
    """Converts, and returns the manifest's spec."""
    found: dict[str, Any] = convert(config, **options).manifest["spec"]
    return found


def lora_of(config: dict[str, Any]) -> dict[str, Any]:
    """Converts, and returns the options of the first step, which is lora's."""
    found: dict[str, Any] = spec_of(config)["passes"][0]["lora"]
    return found


def lines(found: Imported) -> dict[str, bool]:
    """Returns path → blocks of all lines that were not taken over."""
    return {line.path: line.blocks for line in found.unmapped}


def note_on(found: Imported, path: str) -> str:
    """Returns the notes on a path, one after the other."""
    return " ".join(note.text for note in found.notes if note.path == path)
