"""Which workspace of Azure ML is meant: by the manifest, the environment, or a config.json."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from millwright_api.errors import InvalidManifest, WorkspaceNotFound
from millwright_api.v1alpha1 import AzureMLWorkspace, OptimizationJob
from millwright_runner.azure.coordinates import ENVIRONMENTS, Coordinates, coordinates, settled

OWN = {"subscriptionId": "sub", "resourceGroup": "group", "workspace": "own"}
HOME = {"subscriptionId": "sub", "resourceGroup": "group", "workspace": "home"}


def workspace(**said: Any) -> AzureMLWorkspace:
    return AzureMLWorkspace.model_validate(said)


def write_config(path: Path, name: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"subscription_id": "sub", "resource_group": "group", "workspace_name": name}))


@pytest.fixture(autouse=True)
def nothing_said(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (name for names in ENVIRONMENTS for name in names):
        monkeypatch.delenv(name, raising=False)


def say(monkeypatch: pytest.MonkeyPatch, names: tuple[str, ...], *values: str) -> None:
    for name, value in zip(names, values, strict=False):
        monkeypatch.setenv(name, value)


class TestOrder:
    """Each one is used only where those before it say nothing."""

    def test_a_sources_own_names_come_first(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        say(monkeypatch, ENVIRONMENTS[0], "sub", "group", "said")

        assert coordinates(workspace(**OWN), tmp_path, workspace(**HOME)) == Coordinates("sub", "group", "own")

    def test_then_the_executions(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        say(monkeypatch, ENVIRONMENTS[0], "sub", "group", "said")

        assert coordinates(workspace(), tmp_path, workspace(**HOME)).workspace == "home"

    def test_then_the_users_variables(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        say(monkeypatch, ENVIRONMENTS[0], "sub", "group", "said")
        say(monkeypatch, ENVIRONMENTS[1], "sub", "group", "inside")
        write_config(tmp_path / "config.json", "file")

        assert coordinates(workspace(), tmp_path).workspace == "said"

    def test_then_those_that_azure_ml_sets_inside_its_jobs(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        say(monkeypatch, ENVIRONMENTS[0], "sub")
        say(monkeypatch, ENVIRONMENTS[1], "sub", "group", "inside")
        write_config(tmp_path / "config.json", "file")

        assert coordinates(None, tmp_path).workspace == "inside"

    @pytest.mark.parametrize("name", ["config.json", ".azureml/config.json"])
    def test_then_a_file_beside_the_manifest_or_above_it(self, tmp_path: Path, name: str) -> None:
        write_config(tmp_path / name, "file")

        assert coordinates(None, tmp_path / "jobs" / "deep").workspace == "file"

    def test_a_models_config_json_is_passed_over(self, tmp_path: Path) -> None:
        write_config(tmp_path / "config.json", "above")
        (tmp_path / "model").mkdir()
        (tmp_path / "model" / "config.json").write_text('{"model_type": "phi3"}')

        assert coordinates(None, tmp_path / "model").workspace == "above"


class TestConfigFile:
    def test_it_stands_for_the_names_and_is_relative_to_the_manifest(self, tmp_path: Path) -> None:
        write_config(tmp_path / "azure" / "team.json", "team")

        assert coordinates(workspace(configFile="azure/team.json"), tmp_path).workspace == "team"

    def test_one_that_is_not_there(self, tmp_path: Path) -> None:
        write_config(tmp_path / "config.json", "team")

        with pytest.raises(InvalidManifest) as caught:
            coordinates(workspace(configFile="confg.json"), tmp_path, where="spec.model.azureML")

        assert str(caught.value) == (
            "spec.model.azureML.configFile: there is no file confg.json (did you mean 'config.json'?)"
        )

    @pytest.mark.parametrize("content", ["{", "[]", '{"subscription_id": "sub", "workspace_name": ""}'])
    def test_one_that_does_not_say_which(self, tmp_path: Path, content: str) -> None:
        (tmp_path / "config.json").write_text(content)

        with pytest.raises(InvalidManifest, match=r"does not say which workspace \(it is JSON with subscription_id, "):
            coordinates(workspace(configFile="config.json"), tmp_path)


class TestNobodySays:
    def test_the_message_lists_what_is_possible(self, tmp_path: Path) -> None:
        with pytest.raises(WorkspaceNotFound) as caught:
            coordinates(None, tmp_path, where="spec.data[train].source.azureML")

        said = str(caught.value)
        assert said.startswith(
            "spec.data[train].source.azureML: nobody says which workspace of Azure ML (subscriptionId"
        )
        assert all(name in said for name in (*ENVIRONMENTS[0], "config.json", "spec.execution.azureML"))

    def test_half_of_the_variables_are_told(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        say(monkeypatch, ENVIRONMENTS[0], "sub")

        with pytest.raises(WorkspaceNotFound) as caught:
            coordinates(None, tmp_path)

        assert "AZURE_SUBSCRIPTION_ID is set, and AZURE_RESOURCE_GROUP and AZUREML_WORKSPACE_NAME not" in str(
            caught.value
        )


class TestSettled:
    def job(self, execution: dict[str, Any], **model: Any) -> OptimizationJob:
        source = {"azureML": {"datastore": "store", "path": "train.jsonl"}}
        text = {"columns": ["text"], "template": "{text}", "strategy": "join"}
        return OptimizationJob.model_validate(
            {
                "apiVersion": "millwright.dev/v1alpha1",
                "kind": "OptimizationJob",
                "metadata": {"name": "job"},
                "spec": {
                    "model": {"azureML": model},
                    "data": [{"name": "train", "source": source, "text": text}],
                    "passes": [{"merge": {}}],
                    "execution": {"azureML": {"compute": "gpu", "environment": {"image": "x"}, **execution}},
                    "output": {"path": "out"},
                },
            }
        )

    def test_sources_without_a_workspace_lie_in_the_one_that_the_job_runs_in(self) -> None:
        spec = settled(self.job(HOME, name="phi")).spec

        assert spec.model.azure_ml is not None
        assert spec.data[0].source.azure_ml is not None
        assert spec.model.azure_ml.workspace == "home"
        assert spec.data[0].source.azure_ml.workspace == "home"
        assert spec.data[0].source.azure_ml.path == "train.jsonl"

    def test_a_configfile_of_the_execution_is_theirs_too(self) -> None:
        spec = settled(self.job({"configFile": "team.json"}, name="phi")).spec

        assert spec.model.azure_ml is not None
        assert spec.model.azure_ml.config_file == "team.json"

    def test_a_source_that_says_where_it_lies_stays_there(self) -> None:
        spec = settled(self.job(HOME, name="phi", **OWN)).spec

        assert spec.model.azure_ml is not None
        assert spec.model.azure_ml.workspace == "own"

    def test_a_registry_is_of_no_workspace(self) -> None:
        spec = settled(self.job(HOME, name="phi", registry="azureml")).spec

        assert spec.model.azure_ml is not None
        assert spec.model.azure_ml.workspace is None

    def test_where_the_execution_says_nothing_all_stays_as_it_is(self) -> None:
        job = self.job({}, name="phi")

        assert settled(job) is job
