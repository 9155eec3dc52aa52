"""Loads models with torch, and leaves alone what a job does not need."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from millwright_api.errors import InvalidModel

HEAVY_OPTIONALS = ("bitsandbytes", "boto3", "datasets", "pandas", "scipy", "sklearn")
"""Distributions that transformers, peft and accelerate import when they find them; together more than five seconds of
start-up. Stores in S3 are opened before, and have boto3 by then."""


def hide_unneeded(needed: set[str]) -> None:
    """Makes transformers and peft not find the optional libraries that this run has no use for.

    Must come before either is imported. A None in sys.modules is Python's own way to say that a module is not to be
    found: `find_spec` then gives None, and an import raises ModuleNotFoundError.
    """
    for name in HEAVY_OPTIONALS:
        if name not in needed and name not in sys.modules:
            sys.modules[name] = None  # type: ignore[assignment]


def show_hidden() -> None:
    """Lets what was hidden be found again, for a library that cannot do without: transformers itself looks only once."""
    for name in HEAVY_OPTIONALS:
        if name in sys.modules and sys.modules[name] is None:
            del sys.modules[name]


@contextlib.contextmanager
def heavy_imports() -> Iterator[None]:
    """Imports within run with the garbage collector paused, and what they made is set apart from it afterwards.

    torch, transformers and peft make about four million objects that live as long as the process: collecting among
    them costs a sixth of the import, and 0.2 s in every full collection later on (measured).
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
        gc.freeze()
    finally:
        if was_on:
            gc.enable()


def device_name() -> str:
    """Returns the device that training uses: cuda when there is one, else cpu."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def load_model(
    folder: Path, dtype: str, trust_remote_code: bool, *, device: str, quantization: dict[str, Any] | None = None
) -> Any:
    """Returns the causal language model of a folder; nothing is asked of any hub.

    Args:
        folder: config.json and safetensors.
        dtype: float32, bfloat16, float16, or auto for the type it was saved in.
        trust_remote_code: whether code that comes with the model may run.
        device: cpu or cuda.
        quantization: keyword arguments of BitsAndBytesConfig, or None.

    Raises:
        InvalidModel: the weights are not those that config.json asks for.
    """
    with heavy_imports():
        from transformers import AutoModelForCausalLM
        from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    options: dict[str, Any] = {"dtype": dtype}
    if quantization is not None:
        from transformers import BitsAndBytesConfig

        options["quantization_config"] = BitsAndBytesConfig(**quantization)
    if device != "cpu" or quantization is not None:
        options["device_map"] = {"": device}
    model, found = AutoModelForCausalLM.from_pretrained(
        str(folder), trust_remote_code=trust_remote_code, local_files_only=True,
        ignore_mismatched_sizes=True, output_loading_info=True, **options,
    )  # fmt: skip
    _check_whole(found, folder)
    return model


def _check_whole(found: dict[str, Any], folder: Path) -> None:
    """Refuses what transformers would fill with random numbers."""
    missing, other = sorted(found["missing_keys"]), sorted(found["mismatched_keys"])
    if other:
        name, there, wanted = other[0]
        text = f"{name} has the shape {list(there)}, and config.json asks for {list(wanted)}"
        raise InvalidModel(
            f"{text}; {len(other)} such weights", where=str(folder), hint="put the weights' own config.json beside them"
        )
    if missing:
        raise InvalidModel(
            f"config.json asks for {len(missing)} weights that are not there, such as {missing[0]}",
            where=str(folder),
            hint="copy or download the model again",
        )


def release_memory() -> None:
    """Gives memory back to the system between two passes: what torch freed stays with the C library otherwise."""
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:  # glibc only
        trim(0)
