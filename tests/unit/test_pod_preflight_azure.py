"""The preflight of a job with Azure in it: datastores and Blob Storage as it looks at S3, and, with execution.azureML, the
workspace. Azure's own SDKs against the stub."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.azureml.stub import Azure
from tests.podground import DATA, LORA, PodGround, Word, obey
from tests.submitground import EXECUTION
from tests.warm import AZURE

GIB = 2**30


@dataclass
class Ground:
    """A pod, and a container whose datastore `team` has the model and the rows."""

    pod: PodGround
    azure: Azure
    container: str
    uri: str

    def write(self, azure_ml: dict[str, Any] | None = None, **spec: Any) -> None:
        """Writes a job whose sources lie in the datastore and which runs on the compute gpu."""
        source = {"azureML": {"datastore": "team", "path": "rows.jsonl"}}
        whole = {
            "model": {"azureML": {"datastore": "team", "path": "model"}},
            "data": [{**DATA, "source": source}],
            "output": {"azureBlob": {"uri": f"{self.uri}/out"}},
            "execution": {"azureML": EXECUTION | (azure_ml or {})},
        }
        self.pod.write(**whole | spec)

    def look(self, **environment: str) -> Word:
        return self.pod.run("preflight", **self.azure.env | environment)


@pytest.fixture
def ground(tmp_path: Path, azure: Azure) -> Ground:
    pod = PodGround.make(tmp_path / "pod", loaded=AZURE)
    container = f"preflight-{uuid.uuid4().hex[:12]}"
    uri = azure.datastore("team", container=container).rstrip("/")
    for file in (pod.claim / "model").iterdir():
        azure.blobs.put(container, f"model/{file.name}", file.read_bytes())
    azure.blobs.put(container, "rows.jsonl", (pod.claim / "rows.jsonl").read_bytes())
    azure.compute("gpu")
    made = Ground(pod, azure, container, uri)
    made.write()
    return made


def refused(word: Word, reason: str, *words: str) -> None:
    assert (word.code, word.report.outcome, word.report.reason) == (2, "Failed", reason), word.out + word.err
    for expected in words:
        assert expected in word.report.message


def test_a_good_job_is_told_with_what_it_needs_and_where_it_would_run(ground: Ground) -> None:
    word = ground.look()

    assert word.code == 0, word.out + word.err
    assert word.report.message.startswith("needs about 513 MiB of memory, 1 MiB of disk; ")
    assert "gpu" in word.report.message
    assert len(ground.azure.jobs) == 0


def test_writing_to_the_output_is_tried_and_nothing_left(ground: Ground) -> None:
    ground.look()

    assert [name for name in ground.azure.blobs.names(ground.container) if name.startswith("out")] == []


def test_what_pods_of_the_cluster_may_use_says_nothing_about_azure_ml(ground: Ground) -> None:
    word = ground.look(MILLWRIGHT_LIMITS=json.dumps([{"steps": "0:3", "memory": 64 << 20}]))

    assert word.code == 0, word.report.message


def test_all_that_is_wrong_here_and_there_is_told_at_once(ground: Ground) -> None:
    data = {**DATA, "source": {"azureML": {"datastore": "team", "path": "rows.jsonl"}}, "text": {"columns": ["phrse"]}}
    ground.write({"compute": "gpuu"}, data=[data], output={"azureBlob": {"uri": f"{ground.uri}-none/out"}})

    word = ground.look()

    refused(word, "InvalidData", "did you mean 'phrase'?", "did you mean 'gpu'?")
    assert [line.split(": ")[0] for line in word.report.message.splitlines()] == [
        "spec.data[0].source.azureML",
        "spec.output.azureBlob",
        "spec.execution.azureML.compute",
    ]


def test_a_workspace_that_is_not_there_is_the_executions(ground: Ground) -> None:
    refused(
        ground.look(AZUREML_WORKSPACE_NAME="workspce"), "WorkspaceNotFound", "workspce", "did you mean 'workspace'?"
    )


def test_paths_are_of_the_environments_image_and_not_looked_at(ground: Ground) -> None:
    ground.write(model={"path": "/models/phi"}, data=[{**DATA, "source": {"path": "/data/rows.jsonl"}}])

    word = ground.look()

    assert word.code == 0, word.report.message
    for path in ("spec.model.path", "spec.data[0].source.path"):
        assert f"{path}: looked at by the job on Azure ML, in whose image it lies" in word.report.message


def test_a_relative_path_is_no_place_there_either(ground: Ground) -> None:
    ground.write(model={"path": "model"})

    refused(ground.look(), "InvalidManifest", "spec.model.path: 'model' is relative", "millwright submit")


def test_a_folder_as_output_is_gone_with_the_machine(ground: Ground) -> None:
    ground.write(output={"path": "/out"})

    word = ground.look()

    refused(word, "InvalidManifest", "spec.output.path", "millwright submit")
    assert word.report.message.count("spec.output.path") == 1


def test_a_plug_in_that_only_the_environments_image_has_is_left_to_it(ground: Ground) -> None:
    unknown = {"name": "own", "custom": {"pass": "theirs", "options": {"depth": 3}}}
    counted = {"name": "count", "custom": {"metric": "theirs"}}
    ground.write(passes=[LORA, {"merge": {}}, unknown], evaluation={"metrics": [counted]})

    word = ground.look()

    assert word.code == 0, word.report.message
    assert "spec.passes[2]: a plug-in's, looked at by the job on Azure ML" in word.report.message
    assert "spec.evaluation.metrics[0]: a plug-in's" in word.report.message


def test_a_plug_in_that_is_here_is_looked_at_here(ground: Ground) -> None:
    ground.write(passes=[obey("one", stepps=3)])

    refused(ground.look(), "InvalidManifest", "spec.passes[0].custom.options.stepps", "did you mean 'steps'?")


def test_without_execution_there_azure_ml_is_asked_for_sources_only(ground: Ground) -> None:
    ground.write(execution={})

    word = ground.look(MILLWRIGHT_LIMITS=json.dumps([{"steps": "0:3", "memory": 4 * GIB}]))

    assert word.report.message == "needs about 513 MiB of memory (limit 4.0 GiB), 1 MiB of disk"
    assert ground.azure.asked("/computes/") == 0


def test_a_service_that_is_away_is_asked_again_later(ground: Ground) -> None:
    ground.azure.faults.error(503, times=None, path="GET .*/computes/")

    word = ground.look()

    assert (word.code, word.report.reason) == (75, "AzureUnavailable")
    assert word.report.message.startswith("spec.execution.azureML: ")
