"""MLflow's form of a model, as MLflow's transformers flavor and Azure ML's fine-tuning write it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import yaml

TRANSFORMERS: dict[str, Any] = {
    "python_function": {"loader_module": "mlflow.transformers", "env": {"conda": "conda.yaml"}},
    "transformers": {
        "code": None, "components": ["tokenizer"], "framework": "pt", "instance_type": "TextGenerationPipeline",
        "model_binary": "model", "pipeline_model_type": "Phi3ForCausalLM", "source_model_name": "owner/phi",
        "task": "text-generation", "tokenizer_type": "PreTrainedTokenizerFast", "transformers_version": "4.44.0",
    },
}  # fmt: skip
"""What `mlflow.transformers.save_model` writes, shortened."""

AZURE: dict[str, Any] = {
    "hftransformersv2": {
        "code": None, "config_hf_load_kwargs": {}, "hf_pretrained_class": "AutoModelForCausalLM", "model_data": "data",
        "huggingface_id": "owner/phi", "task_type": "text-generation", "tokenizer_hf_load_kwargs": {},
    },
    "python_function": {"data": "data", "loader_module": "azureml.evaluate.mlflow.hftransformers"},
}  # fmt: skip
"""What Azure ML's registries have."""


def describe(folder: Path, flavors: dict[str, Any]) -> Path:
    """Writes an MLmodel; returns its folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "MLmodel").write_text(yaml.safe_dump({"flavors": flavors, "mlflow_version": "2.14.1"}))
    return folder


def as_transformers(model: Path, folder: Path) -> Path:
    """Copies a model in Hugging Face's form into the form of MLflow's own flavor."""
    return _split(model, describe(folder, TRANSFORMERS), "model", "components/tokenizer")


def as_azure(model: Path, folder: Path) -> Path:
    """Copies a model in Hugging Face's form into the form of Azure ML's flavor, with the configuration once more."""
    _split(model, describe(folder, AZURE), "data/model", "data/tokenizer")
    (folder / "data" / "config").mkdir()
    shutil.copy(model / "config.json", folder / "data" / "config")
    return folder


def _split(model: Path, folder: Path, weights: str, tokenizer: str) -> Path:
    for place in (weights, tokenizer):
        (folder / place).mkdir(parents=True)
    for path in model.iterdir():
        theirs = path.name.endswith(".safetensors") or ("config.json" in path.name and "tokenizer" not in path.name)
        shutil.copy(path, folder / (weights if theirs else tokenizer))
    return folder
