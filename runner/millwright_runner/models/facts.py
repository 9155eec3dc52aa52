"""What is known of a model before anything is loaded. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from millwright_runner.artifact import Artifact


@dataclass(frozen=True)
class ModelFacts:
    """What is known of a model before anything is loaded.

    Attributes:
        where: the source as a person knows it: path, URI or repo, for messages.
        config: config.json.
        tensors: each weight's name and shape, from the headers of the safetensors files.
        bytes: size of the weights.
        files: size of all files that a copy would hold.
    """

    where: str
    config: Mapping[str, Any]
    tensors: Mapping[str, tuple[int, ...]]
    bytes: int
    files: int

    @property
    def parameters(self) -> int:
        """How many numbers the weights are."""
        return sum(math.prod(shape) for shape in self.tensors.values())

    @property
    def model_type(self) -> str:
        """transformers' name of the architecture's family: phi3, llama, qwen2, …"""
        return str(self.config["model_type"])


@dataclass(frozen=True)
class FoundModel:
    """A model that exists and is whole as far as a look at its headers can tell.

    Attributes:
        digest: names its content (64 hex digits), known without fetching it; empty when it was not to be read.
        facts: see ModelFacts.
        tokenizer: a folder on this machine with the tokenizer's files and config.json (fetched now, being small).
        fetch: brings the whole model to this machine and returns it as an artifact of format hf.
        commit: of a repository on the hub: which one it is.
    """

    digest: str
    facts: ModelFacts
    tokenizer: Path
    fetch: Callable[[], Artifact]
    commit: str | None = None


EMBEDDINGS_AND_HEADS = ("embed", "lm_head", "wte", "wpe", "word_emb", "position_emb")
"""How the modules are called that peft's all-linear leaves out: what their names begin with."""


def linear_modules(facts: ModelFacts) -> list[str]:
    """Returns the names of the modules that adapters can sit on: those of two-dimensional weights, but for the
    embeddings and the head (as peft's all-linear has it)."""
    names = (
        name.removesuffix(".weight")
        for name, shape in facts.tensors.items()
        if name.endswith(".weight") and len(shape) == 2
    )
    return [name for name in names if not name.rpartition(".")[2].startswith(EMBEDDINGS_AND_HEADS)]
