"""The stub of Azure ML under the real SDK: the walk that reference/azureml/cli.py made by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.azureml.stub import Azure


def client(azure: Azure, **more: Any) -> Any:
    from azure.ai.ml import MLClient
    from azure.identity import EnvironmentCredential

    names = {} if more else {
        "subscription_id": azure.env["AZURE_SUBSCRIPTION_ID"], "resource_group_name": azure.env["AZURE_RESOURCE_GROUP"],
        "workspace_name": azure.env["AZUREML_WORKSPACE_NAME"],
    }  # fmt: skip
    credential = EnvironmentCredential(disable_instance_discovery=True)
    return MLClient(credential, **names, **more, enable_telemetry=False, show_progress=False)


@pytest.fixture
def ml(azure: Azure, monkeypatch: pytest.MonkeyPatch) -> Any:
    azure.use(monkeypatch)
    azure.compute("gpu")
    azure.environment("runner", ("1", "2"))
    return client(azure)


def submit(ml: Any, name: str, command: str = "echo hello", **more: Any) -> Any:
    from azure.ai.ml import command as job

    return ml.jobs.create_or_update(job(**{
        "name": name, "command": command, "environment": "azureml:runner:2", "compute": "gpu", "experiment_name": "exp", **more,
    }))  # fmt: skip


def test_a_job_that_the_test_drives_goes_through_its_states(azure: Azure, ml: Any, capsys: Any) -> None:
    submitted = submit(ml, "one", tags={"a": "b"}, environment_variables={"X": "1"}, shm_size="2g")
    azure.jobs["one"].state("Queued").state("Running").log("hello from the run\n").complete()
    ml.jobs.stream("one")

    assert submitted.status == "Starting"
    assert ml.jobs.get("one").status == "Completed"
    assert azure.jobs["one"].environment == {"X": "1"}
    assert "RunId: one" in capsys.readouterr().out


def test_a_submitted_job_is_run_with_its_snapshot_and_a_login_of_its_own(azure: Azure, ml: Any, tmp_path: Path) -> None:
    azure.execute = True
    code = tmp_path / "code"
    (code / "below").mkdir(parents=True)
    (code / "below" / "hello.py").write_text("import os; print('hello', os.environ['X'], os.environ['AZUREML_RUN_ID'])")

    submit(ml, "runs", "python below/hello.py", code=str(code), environment_variables={"X": "1"})

    job = azure.jobs["runs"].wait("Completed", "Failed")
    assert job.states == ["Starting", "Queued", "Preparing", "Running", "Finalizing", "Completed"]
    assert job.logs == {"user_logs/std_log.txt": "hello 1 runs\n"}
