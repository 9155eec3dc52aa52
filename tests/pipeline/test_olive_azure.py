"""Olive's old workflows from their JSON to a model: imported, submitted to the stub of Azure ML with its own SDKs, really run there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.azureml.stub import Azure
from tests.mlflowform import as_azure
from tests.olive.samples import sample
from tests.pipeline.jobs import write_rows
from tests.submitground import SOON
from tests.tiny import make_model
from tests.warm import COMMAND, WarmProcess

from millwright_runner.published import read_published
from millwright_runner.stores import open_store

TOKEN = "not-a-real-token"
MODEL = {"model.onnx", "model.onnx.data", "genai_config.json", "tokenizer.json"}


@pytest.fixture(scope="session")
def long_phi3(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Phi-3 of 0.2 M parameters that reads 2048 tokens at once, as the published workflow has it."""
    folder = tmp_path_factory.mktemp("models") / "tiny-phi3"
    return make_model(folder, max_position_embeddings=2048, original_max_position_embeddings=2048)


class Desk:
    """Where somebody works who comes from Olive: a folder with the workflow and what it names."""

    def __init__(self, folder: Path, azure: Azure) -> None:
        self.folder, self.azure = folder, azure
        (folder / "soon").mkdir(parents=True)
        (folder / "soon" / "sitecustomize.py").write_text(SOON)
        (folder / "conda.yaml").write_text("channels: [conda-forge]\ndependencies: [python=3.11]\n")
        azure.executor.environment |= {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE", "HF_HUB_OFFLINE": "1"}
        azure.execute = True

    def bring(self, workflow: dict[str, Any]) -> str:
        """Imports a workflow and returns what was not taken over."""
        (self.folder / "olive.json").write_text(json.dumps(workflow))
        return self.call("import", "olive.json", "-o", "job.yaml")[1]

    def submit(self, *arguments: str) -> dict[str, Any]:
        """Submits the imported job, waits for its end and returns its report."""
        report: dict[str, Any] = json.loads(self.call("submit", "job.yaml", "--json", *arguments)[0])
        return report

    def call(self, *arguments: str) -> tuple[str, str]:
        """Calls the command line, which has to succeed; returns what it printed, and what it said on stderr."""
        path = {"MILLWRIGHT_HOME": str(self.folder / "home"), "PYTHONPATH": str(self.folder / "soon")}
        process = WarmProcess(
            "millwright_runner",
            arguments,
            self.azure.env | path | {"PATH": "/usr/bin:/bin"},
            self.folder,
            loaded=COMMAND,
        )
        out, err = process.communicate(timeout=300)
        logs = "".join(text for job in self.azure.jobs.values() for text in job.logs.values())
        assert process.returncode == 0, f"{err}\n{logs}"
        return out, err


@pytest.fixture
def desk(tmp_path: Path, azure: Azure) -> Desk:
    return Desk(tmp_path / "desk", azure)


def test_the_published_workflow_becomes_a_model_in_blob_storage(desk: Desk, azure: Azure, long_phi3: Path) -> None:
    (desk.folder / "models").mkdir()
    (desk.folder / "models/tiny-phi3").symlink_to(long_phi3)
    (desk.folder / "dataset").mkdir()
    write_rows(desk.folder / "dataset/dataset-classification.json", 80)
    azure.compute("gpu")
    azure.vault().secrets["hf-token"] = TOKEN
    azure.blobs.make("models")
    workflow = sample("seed")
    workflow["systems"]["aml"]["config"]["aml_compute"] = "gpu"
    workflow["systems"]["aml"]["config"]["aml_docker_config"]["base_image"] = "runner:1"

    left_over = desk.bring(workflow)
    place = f"https://{azure.blobs.account}.blob.core.windows.net/models/phi3"
    report = desk.submit("--set", f"output={{azureBlob: {{uri: {place}}}}}")

    assert left_over == ""
    manifest = json.loads(azure.blobs.get("models", "phi3/manifest.json"))
    folder = report["artifact"]["uri"].removeprefix(f"{place}/").rstrip("/")
    published = {name.removeprefix(f"phi3/{folder}/") for name in azure.blobs.names("models", f"phi3/{folder}/")}
    assert published >= MODEL
    assert {file["path"] for file in manifest["files"]} >= MODEL
    job = azure.jobs.only
    assert (job.status, job.definition["identity"]["identityType"]) == ("Completed", "UserIdentity")
    assert TOKEN not in json.dumps(job.definition)


def test_the_workflow_may_be_submitted_as_it_is(desk: Desk, azure: Azure, phi3: Path) -> None:
    (desk.folder / "models").mkdir()
    (desk.folder / "models/tiny-phi3").symlink_to(phi3)
    (desk.folder / "dataset").mkdir()
    write_rows(desk.folder / "dataset/dataset-classification.json")
    azure.compute("gpu")
    azure.vault().secrets["hf-token"] = TOKEN
    azure.execute = False
    (desk.folder / "seed.json").write_text(json.dumps(sample("seed")))
    place = "execution.azureML"

    name, _ = desk.call(
        "submit", "seed.json", "--detach", "--quiet",
        "--set", f"{place}.compute=gpu", "--set", f"{place}.environment.image=runner:1",
    )  # fmt: skip

    assert name.strip() == azure.jobs.only.name
    assert azure.jobs.only.definition["computeId"].endswith("/computes/gpu")


def test_a_workflow_all_on_azure_becomes_a_model_in_a_folder_here(
    desk: Desk, azure: Azure, phi3: Path, rows: Path
) -> None:
    azure.compute("arc", kind="Kubernetes", instance_types={"gpu-large": {"resources": {}}, "small": {"resources": {}}})
    as_azure(phi3, desk.folder / "asset")
    azure.registry("azureml").model("Phi-3-tiny", "7", desk.folder / "asset", kind="mlflow_model", flavors={})
    azure.datastore("phrases", container="phrases")
    azure.blobs.put("phrases", "sets/train.jsonl", rows.read_bytes())
    azure.vault("team-keys").secrets["hf-token"] = TOKEN
    (desk.folder / "docker").mkdir()
    (desk.folder / "docker/Dockerfile").write_text("FROM python:3.11\n")
    env = azure.env
    workflow = sample("old_azure")
    client = {
        "subscription_id": env["AZURE_SUBSCRIPTION_ID"],
        "resource_group": env["AZURE_RESOURCE_GROUP"],
        "workspace_name": env["AZUREML_WORKSPACE_NAME"],
        "keyvault_name": "team-keys",
    }
    workflow["azureml_client"] = client
    workflow["input_model"]["config"]["model_path"]["config"]["name"] = "Phi-3-tiny"
    load = workflow["data_configs"][0]["load_dataset_config"]["params"]
    load["data_files"]["config"]["azureml_client"] = client
    words = workflow["data_configs"][0]["pre_process_data_config"]["params"]
    words |= {"text_cols": ["phrase", "tone"], "source_max_len": 64}
    workflow["systems"]["azure_arc"]["config"] |= {"hf_token": True, "resources": {"instance_type": "gpu-large"}}
    workflow["passes"]["lora"]["config"]["training_args"] = {"max_steps": 2, "gradient_accumulation_steps": 1}
    workflow["passes"]["builder"]["config"]["precision"] = "int4"
    workflow["engine"] |= {"host": "azure_arc", "target": "aml", "output_dir": "models/out"}

    left_over = desk.bring(workflow)
    report = desk.submit()

    published = read_published(open_store(desk.folder / "models/out"))
    assert published is not None
    assert {file.path for file in published.files} >= MODEL
    assert report["artifact"]["uri"].startswith(str(desk.folder / "models/out"))
    assert "azureml" not in left_over
    definition = azure.jobs.only.definition
    assert definition["resources"]["instanceType"] == "gpu-large"
    assert TOKEN not in json.dumps(definition)
    assert azure.asked("GET https://team-keys.vault.azure.net/secrets/hf-token") > 0, (
        "the job reads it, with its identity"
    )
