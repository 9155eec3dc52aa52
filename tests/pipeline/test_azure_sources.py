"""A run whose model is a registry's and whose data are a datastore's: real training of a small model, and Azure's own SDKs
against the protocol stub."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.azureml.stub import Azure
from tests.mlflowform import as_azure
from tests.pipeline.jobs import Here, Mill, job, lora

REGISTRY = {"azureML": {"registry": "azureml", "name": "phi"}}
DATASTORE = {"azureML": {"datastore": "team", "path": "emotion/train.jsonl"}}

HEADER = 2
"""Reads that the header of a file of weights takes: of its length, and of itself."""


@pytest.fixture
def cloud(azure: Azure, monkeypatch: pytest.MonkeyPatch, phi3: Path, rows: Path, tmp_path: Path) -> Azure:
    """A registry with a model in MLflow's form, and a datastore with rows."""
    azure.use(monkeypatch)
    azure.registry("azureml").model("phi", "7", as_azure(phi3, tmp_path / "asset" / "mlflow_model_folder"))
    azure.datastore("team", container="emotion-rows")
    azure.blobs.put("emotion-rows", "emotion/train.jsonl", rows.read_bytes())
    return azure


def weights(folder: Path) -> bytes:
    return (folder / "model" / "model.safetensors").read_bytes()


def inputs(output: Path) -> dict[str, str]:
    """What the provenance says that a model was made of, by name."""
    provenance = json.loads((output / "model" / "provenance.json").read_text())
    found = {one["name"]: one["uri"] for one in provenance["predicate"]["buildDefinition"]["resolvedDependencies"]}
    return {name: found[name] for name in ("model", "data/train")}


def reads(cloud: Azure) -> dict[str, int]:
    """How often the bytes of the large files were asked for."""
    paths = [line.split("?")[0] for line in cloud.requests if line.startswith("GET https://")]
    return {name: sum(path.endswith(f"/{name}") for path in paths) for name in ("model.safetensors", "train.jsonl")}


def from_azure(manifest: dict[str, Any]) -> dict[str, Any]:
    """Returns a manifest with the sources in Azure in place of folders."""
    spec = manifest["spec"]
    return manifest | {"spec": spec | {"model": REGISTRY, "data": [spec["data"][0] | {"source": DATASTORE}]}}


def test_what_lies_in_azure_makes_the_same_model_as_what_lies_here_and_is_fetched_once(
    cloud: Azure, mill: Mill, here: Here, phi3: Path, rows: Path, tmp_path: Path
) -> None:
    local = job(phi3, rows, tmp_path / "here", lora(), {"merge": {}})
    azure = from_azure(job(phi3, rows, tmp_path / "azure", lora(), {"merge": {}}))
    here.run(local)

    done = mill.run(azure)
    read_first = reads(cloud)
    again = here.run(azure)

    assert done.code == 0, done.err
    assert weights(tmp_path / "azure") == weights(tmp_path / "here")
    assert inputs(tmp_path / "azure") == {
        "model": "azureml://registries/azureml/models/phi/versions/7",
        "data/train": "azureml://datastores/team/paths/emotion/train.jsonl",
    }
    assert read_first == {"model.safetensors": HEADER + 1, "train.jsonl": 1}
    assert [entry.cache for entry in again.passes] == ["Hit", "Hit"]
    assert reads(cloud) == {"model.safetensors": HEADER + 1 + HEADER, "train.jsonl": 1}
