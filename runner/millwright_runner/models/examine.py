"""Examines a model's files by their names, sizes and first bytes, wherever they lie."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Protocol

from millwright_api.errors import InvalidModel
from millwright_runner.models.facts import ModelFacts
from millwright_runner.models.known import check_known
from millwright_runner.models.safetensors import read_header

CONFIG, WEIGHTS, INDEX = "config.json", "model.safetensors", "model.safetensors.index.json"

TOKENIZER_NEEDS = (
    "tokenizer.json",
    "tokenizer.model",
    "*.tiktoken",
    "vocab.json",
    "vocab.txt",
    "spiece.model",
    "sentencepiece*.model",
)
"""A tokenizer has one of these."""

_LAYER = re.compile(r"\.(?:layers|h|blocks)\.(\d+)\.")

SMALL = (
    CONFIG, "generation_config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",
    "chat_template.jinja", "chat_template.json", "vocab.json", "vocab.txt", "merges.txt", "*.model", "*.tiktoken",
)  # fmt: skip
"""What a model is made of besides its weights. A README, pictures or another framework's weights are not."""


TELLS = ("README.md", "LICENSE", "LICENSE.txt", "LICENSE.md", "COPYING")
"""What tells of a model's licence; no part of it, and fetched with its small files where it is there."""


class ModelFiles(Protocol):
    """Files of a model, somewhere.

    Attributes:
        where: the place as a person knows it.
    """

    where: str

    @property
    def sizes(self) -> Mapping[str, int]:
        """Each file's size in bytes, by its name."""

    def first(self, name: str, size: int) -> bytes:
        """Returns the first bytes of a file."""


@dataclass(frozen=True)
class Examined:
    """A model that can be used.

    Attributes:
        facts: see ModelFacts.
        small: names of its files besides the weights.
        weights: names of the weights' files.
    """

    facts: ModelFacts
    small: list[str]
    weights: list[str]

    @property
    def names(self) -> list[str]:
        """Names of all files that make the model, sorted."""
        return sorted([*self.small, *self.weights])


def examine(files: ModelFiles, *, trusted: bool) -> Examined:
    """Looks at a model without reading its weights.

    Args:
        files: where it lies.
        trusted: whether code that comes with it may run; then the code is part of it.

    Raises:
        InvalidModel: no config.json, no tokenizer, torn or missing safetensors, code that is not trusted.
    """
    config = _config(files)
    check_known(config, trusted=trusted, where=_place(files, CONFIG))
    patterns = (*SMALL, "*.py") if trusted else SMALL
    small = [
        name for name in files.sizes if any(fnmatchcase(name, pattern) and "/" not in name for pattern in patterns)
    ]
    if not any(fnmatchcase(name, pattern) for name in small for pattern in TOKENIZER_NEEDS):
        raise InvalidModel(
            "there is no tokenizer",
            where=files.where,
            hint=f"it needs one of {', '.join(TOKENIZER_NEEDS[:4])}; save the tokenizer beside the model",
        )
    listed, index = _weights(files)
    weights = sorted(set(listed.values())) if listed else [WEIGHTS]
    tensors: dict[str, tuple[int, ...]] = {}
    for name in weights:
        tensors |= read_header(lambda size, name=name: files.first(name, size), files.sizes[name], _place(files, name))  # type: ignore[misc]
    lost = [name for name in listed if name not in tensors]
    if lost:
        raise InvalidModel(
            f"the weight {lost[0]} is not in {listed[lost[0]]}, where the index has it", where=_place(files, INDEX)
        )
    _check_whole(config, tensors, files)
    held = sum(files.sizes[name] for name in weights)
    small += index
    facts = ModelFacts(files.where, config, tensors, held, held + sum(files.sizes[name] for name in small))
    return Examined(facts, small, weights)


def _check_whole(config: dict[str, Any], tensors: Mapping[str, tuple[int, ...]], files: ModelFiles) -> None:
    """Refuses a model without some of its layers or without its head: transformers would fill in random numbers."""
    layers = {int(match[1]) for match in map(_LAYER.search, tensors) if match}
    wanted = next((config[key] for key in ("num_hidden_layers", "n_layer") if isinstance(config.get(key), int)), 0)
    missing = sorted(set(range(wanted)) - layers)
    if layers and missing:
        raise InvalidModel(
            f"config.json asks for {wanted} layers, and the weights have none for layer {missing[0]}",
            where=files.where,
            hint="copy or download the model again",
        )
    if (
        config.get("tie_word_embeddings") is False
        and "model.embed_tokens.weight" in tensors
        and "lm_head.weight" not in tensors
    ):
        raise InvalidModel(
            "the weights have no lm_head.weight, and config.json does not tie it to the embedding",
            where=files.where,
            hint="copy or download the model again",
        )


def _place(files: ModelFiles, name: str) -> str:
    return f"{files.where.rstrip('/')}/{name}"


def _config(files: ModelFiles) -> dict[str, Any]:
    if CONFIG not in files.sizes:
        adapter = "adapter_config.json" in files.sizes
        raise InvalidModel(
            "this is an adapter, and a whole model is expected" if adapter else "there is no config.json",
            where=files.where,
            hint="merge it into its base model first"
            if adapter
            else "a model is a folder as save_pretrained writes it",
        )
    config = _json(files, CONFIG)
    if not isinstance(config.get("model_type"), str):
        raise InvalidModel("there is no model_type", where=_place(files, CONFIG))
    return config


def _json(files: ModelFiles, name: str) -> dict[str, Any]:
    try:
        value = json.loads(files.first(name, files.sizes[name]))
    except ValueError as error:
        raise InvalidModel(f"malformed JSON: {error}", where=_place(files, name)) from error
    if not isinstance(value, dict):
        raise InvalidModel("a JSON object is expected", where=_place(files, name))
    return value


def _weights(files: ModelFiles) -> tuple[dict[str, str], list[str]]:
    """Returns each weight's file as the index has it, and the index's name; nothing where one file has them all."""
    if WEIGHTS in files.sizes:
        return {}, []
    if INDEX not in files.sizes:
        others = sorted(name for name in files.sizes if name.endswith((".bin", ".pt", ".pth", ".gguf", ".safetensors")))
        found = f"only {', '.join(others[:4])}" if others else "no weights at all"
        raise InvalidModel(
            f"there is no {WEIGHTS}; found {found}",
            where=files.where,
            hint="load the model with transformers and save it with save_pretrained",
        )
    listed = _json(files, INDEX).get("weight_map")
    if not isinstance(listed, dict) or not listed or not all(isinstance(name, str) for name in listed.values()):
        raise InvalidModel("there is no weight_map", where=_place(files, INDEX))
    missing = sorted(set(listed.values()) - set(files.sizes))
    if missing:
        raise InvalidModel(
            f"{len(missing)} of {len(set(listed.values()))} files are missing: {', '.join(missing[:4])}",
            where=_place(files, INDEX),
            hint="copy or download the model again",
        )
    return listed, [INDEX]
