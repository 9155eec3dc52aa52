"""Looks at data sets, as a process of its own: `python -m tests.hub_look FOLDER DATA_AS_JSON find|pack|sample|light`; what it
found, and which libraries it loaded for that, is its last line. `light` is `sample` as an image without `datasets` does it."""

from __future__ import annotations

import importlib.util
import json
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

from millwright_api.errors import MillwrightError
from millwright_api.v1alpha1 import Data
from millwright_runner.data import find_data, pack

FIND_SPEC = importlib.util.find_spec


def without_datasets(name: str, package: str | None = None) -> ModuleSpec | None:
    """`find_spec` where `datasets` is not installed."""
    return None if name == "datasets" else FIND_SPEC(name, package)


def look(data: dict[str, Any], base: Path, do: str) -> dict[str, Any]:
    """What one data set is, or why it cannot be read."""
    samples = do in ("sample", "light")
    try:
        found = find_data(Data.model_validate(data), base, base / "home", **({"read_up_to": 1} if samples else {}))
        told: dict[str, Any] = {"digest": found.digest, "where": found.where}
        if samples:
            told["rows"] = [row for _, row in found.sample]
        if do == "pack":
            sequences = pack(found, base / "tokenizer", base / "packed", lambda done, total: None)
            from tokenizers import Tokenizer

            words = Tokenizer.from_file(str(base / "tokenizer" / "tokenizer.json"))
            told["texts"] = [words.decode(s["input_ids"]) for s in sequences]
    except MillwrightError as error:
        told = {"error": error.reason, "message": str(error), "exit": error.exit_code}
    return told | {"datasets": "datasets" in sys.modules, "torch": "torch" in sys.modules}


if __name__ == "__main__":
    folder, entries, do = sys.argv[1:]
    if do == "light":
        importlib.util.find_spec = without_datasets
    print(json.dumps([look(data, Path(folder), do) for data in json.loads(entries)]))
