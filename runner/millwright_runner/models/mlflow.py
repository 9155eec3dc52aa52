"""MLflow's form of a model, as far as it says where inside it a model in Hugging Face's form and its tokenizer lie. Pure.

Known are the flavors `transformers` (MLflow's own: `model`, `components/tokenizer`), and `hftransformersv2` and
`hftransformers` (Azure ML's: `data/model`, `data/tokenizer`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from millwright_api.errors import InvalidModel

DESCRIPTION = "MLmodel"
"""The file that says that a folder is in MLflow's form, and how."""

LARGEST = 1 << 20
"""Bytes of an MLmodel; real ones have some thousand."""

LISTED = 6


@dataclass(frozen=True)
class Described:
    """What an MLmodel says.

    Attributes:
        flavors: their names.
        models: folders that may have the model, the likeliest first; relative to the MLmodel's own.
        tokenizers: the same for its tokenizer.
        named: the model on the hub that it only names, where it holds none.
    """

    flavors: tuple[str, ...]
    models: tuple[str, ...]
    tokenizers: tuple[str, ...]
    named: str | None = None

    def nothing(self, files: Mapping[str, int], whole: list[str], where: str) -> InvalidModel:
        """Returns the exception for one that holds no model, or several of which it does not say which.

        Args:
            files: all that is there.
            whole: folders that hold a model.
            where: the MLmodel's place.
        """
        flavors = ", ".join(self.flavors) or "none"
        if whole:
            return InvalidModel(
                f"it does not say which of these is the model: {', '.join(whole[:LISTED])} (its flavors: {flavors})",
                where=where,
            )
        looked = ", ".join(name or "beside MLmodel" for name in self.models)
        others = sorted(
            path for path in files if path.endswith((".bin", ".pt", ".pth", ".pkl", ".gguf", ".onnx", ".h5"))
        )
        return InvalidModel(
            "it holds no model that can be loaded: config.json with model.safetensors or its index was looked for in "
            f"{looked}; its flavors are {flavors}",
            where=where,
            hint=self._instead(others),
        )

    def _instead(self, others: list[str]) -> str:
        if self.named:
            return (
                f"it only names {self.named}, which is on the hub: take that as `huggingFace: {{repo: {self.named}}}`"
            )
        if others:
            return (
                f"there is {', '.join(others[:LISTED])}; save the model with save_pretrained, which writes safetensors"
            )
        return "a model that `mlflow.transformers` or Azure ML's fine-tuning has saved is one"


def look(content: bytes, where: str) -> Described:
    """Reads an MLmodel.

    Raises:
        InvalidModel: it is malformed.
    """
    try:
        value = yaml.safe_load(content)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InvalidModel(f"malformed YAML: {str(error).splitlines()[0]}", where=where) from error
    flavors = value.get("flavors") if isinstance(value, dict) else None
    if not isinstance(flavors, dict):
        raise InvalidModel("there are no flavors, so this is no description of a model", where=where)
    own, function = _mapping(flavors.get("transformers")), _mapping(flavors.get("python_function"))
    data = str(function.get("data") or "data")
    parts = _strings(own.get("model_binary"), own.get("pipeline_binary"))
    named = own.get("source_model_name") or next((_mapping(f).get("huggingface_id") for f in flavors.values()), None)
    return Described(
        tuple(map(str, flavors)),
        _once([*parts, f"{data}/model", data, "data/model", "model", "pipeline", ""]),
        _once(["components/tokenizer", f"{data}/tokenizer", "data/tokenizer", "tokenizer"]),
        str(named) if named else None,
    )


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _strings(*values: Any) -> list[str]:
    return [value for value in values if isinstance(value, str)]


def _once(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name.strip("/") for name in names))
