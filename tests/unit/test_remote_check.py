"""What is looked at before a job goes to Azure ML: each thing that is wrong has its reason, its place, and what is possible."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.azureml.stub import Azure
from tests.courierground import UID, CourierGround

from millwright_api.errors import AzureUnavailable, MillwrightError

WHERE = "spec.execution.azureML"


@pytest.fixture
def ground(azure: Azure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CourierGround:
    return CourierGround.make(azure, tmp_path, monkeypatch)


def only(ground: CourierGround, **execution: Any) -> MillwrightError:
    """The one thing that is wrong."""
    ground.execution = execution
    (problem,) = ground.courier().check().problems
    return problem


class TestWhatIsWell:
    def test_says_where_it_would_run(self, ground: CourierGround) -> None:
        found = ground.courier().check()

        assert found.problems == []
        assert found.notes == [
            "Azure ML: gpu (cluster, Standard_NC24ads_A100_v4) in workspace workspace (resource group tests, subscription "
            "11111111-1111-1111-1111-111111111111)"
        ]

    def test_changes_nothing(self, ground: CourierGround) -> None:
        ground.courier().check()

        assert not [line for line in ground.azure.requests if line.split()[0] not in {"GET", "POST"} or "/jobs" in line]

    def test_a_serverless_machine_is_not_looked_for(self, ground: CourierGround) -> None:
        ground.execution = {"compute": None, "instanceType": "Standard_NC24ads_A100_v4"}

        assert ground.courier().check().problems == []
        assert ground.azure.asked("/computes") == 0

    @pytest.mark.parametrize("kind", ["AmlCompute", "ComputeInstance", "Kubernetes"])
    def test_each_kind_that_runs_jobs_is_taken(self, ground: CourierGround, kind: str) -> None:
        ground.azure.compute("other", kind)
        ground.execution = {"compute": "other"}

        assert ground.courier().check().problems == []


class TestTheCompute:
    def test_that_is_absent_is_told_with_a_near_one(self, ground: CourierGround) -> None:
        problem = only(ground, compute="gpuu")

        assert (problem.reason, problem.where) == ("ComputeNotFound", f"{WHERE}.compute")
        assert str(problem).endswith("the workspace has no compute 'gpuu' (did you mean 'gpu'?)")

    def test_that_is_a_placeholder_is_told_with_those_that_there_are(self, ground: CourierGround) -> None:
        problem = only(ground, compute="Your Azure AI Studio / Azure Machine Learning Service Compute Name")

        assert (problem.reason, problem.where) == ("ComputeNotFound", f"{WHERE}.compute")
        assert str(problem).endswith("Compute Name' (possible: gpu)")

    def test_that_is_stopped_is_told_with_how_to_start_it(self, ground: CourierGround) -> None:
        ground.azure.compute("mine", "ComputeInstance", state="Stopped")

        problem = only(ground, compute="mine")

        assert (problem.reason, problem.where) == ("ComputeStopped", f"{WHERE}.compute")
        assert "is Stopped (az ml compute start --name mine)" in str(problem)

    def test_that_failed_is_told_with_the_services_code(self, ground: CourierGround) -> None:
        ground.azure.compute("broken", state="Failed")

        problem = only(ground, compute="broken")

        assert problem.reason == "ComputeStopped"
        assert problem.message == "the compute 'broken' runs no jobs, its state is Failed: ProvisioningFailed"

    def test_that_may_have_no_nodes_is_told(self, ground: CourierGround) -> None:
        ground.azure.compute("empty", nodes=0)

        assert (
            only(ground, compute="empty").message == "the compute cluster 'empty' may have no nodes (its maximum is 0)"
        )

    @pytest.mark.parametrize("kind", ["SynapseSpark", "Databricks"])
    def test_of_a_kind_that_runs_no_jobs_is_refused(self, ground: CourierGround, kind: str) -> None:
        ground.azure.compute("other", kind)

        problem = only(ground, compute="other")

        assert problem.reason == "AzureMLRefused"
        assert "a compute cluster, a compute instance or an attached Kubernetes cluster does" in str(problem)


class TestAnAttachedCluster:
    def test_has_the_instance_type_that_is_asked_for(self, ground: CourierGround) -> None:
        ground.azure.compute("arc", "Kubernetes", instance_types={"small": {}, "gpularge": {}})
        ground.execution = {"compute": "arc", "instanceType": "gpularge"}

        found = ground.courier().check()

        assert found.problems == []
        assert found.notes[0].startswith("Azure ML: arc (Kubernetes, gpularge)")

    def test_without_it_is_told_with_those_it_has(self, ground: CourierGround) -> None:
        ground.azure.compute("arc", "Kubernetes", instance_types={"small": {}, "gpularge": {}})

        problem = only(ground, compute="arc", instanceType="gpu-large")

        assert (problem.reason, problem.where) == ("InstanceTypeNotFound", f"{WHERE}.instanceType")
        assert str(problem).endswith("(did you mean 'gpularge'?; it has gpularge, small)")

    def test_is_the_only_compute_that_has_instance_types(self, ground: CourierGround) -> None:
        problem = only(ground, instanceType="Standard_NC6")

        assert (problem.reason, problem.where) == ("AzureMLRefused", f"{WHERE}.instanceType")


class TestTheEnvironment:
    def test_that_is_absent_is_told_with_a_near_one(self, ground: CourierGround) -> None:
        problem = only(ground, environment={"name": "runnr"})

        assert (problem.reason, problem.where) == ("EnvironmentNotFound", f"{WHERE}.environment")
        assert str(problem).endswith("(did you mean 'runner'?)")

    def test_whose_image_is_a_placeholder_is_refused(self, ground: CourierGround) -> None:
        problem = only(ground, environment={"image": "Your Azure Machine Learning Service docker"})

        assert (problem.reason, problem.where) == ("InvalidManifest", f"{WHERE}.environment.image")
        assert problem.message == "'Your Azure Machine Learning Service docker' is no image's name"

    def test_of_a_version_that_is_absent_is_told_with_its_versions(self, ground: CourierGround) -> None:
        problem = only(ground, environment={"name": "runner", "version": "9"})

        assert problem.message == "there is no environment 'runner' of version 9 in workspace workspace"
        assert problem.hint == "its versions: 1"

    def test_of_a_registry_is_looked_for_there(self, ground: CourierGround) -> None:
        ground.azure.registry("azureml").environment("curated", ("7",))
        ground.execution = {"environment": {"name": "curated", "registry": "azureml"}}

        assert ground.courier().check().problems == []

    def test_of_a_registry_that_is_absent_is_told(self, ground: CourierGround) -> None:
        problem = only(ground, environment={"name": "curated", "registry": "nowhere"})

        assert (problem.reason, problem.where) == ("EnvironmentNotFound", f"{WHERE}.environment.registry")

    @pytest.mark.parametrize(
        "environment, said",
        [
            ({"condaFile": "absent.yaml"}, "condaFile: absent.yaml cannot be read: No such file or directory"),
            ({"conda": "- torch"}, "conda: this is no conda file: it has no list of dependencies"),
            ({"conda": "a: [b"}, "conda: this is no YAML"),
        ],
    )
    def test_with_a_conda_file_that_is_none_is_refused(
        self, ground: CourierGround, environment: dict[str, str], said: str
    ) -> None:
        problem = only(ground, environment={"image": "registry.example/base:1", **environment})

        assert str(problem).startswith(f"{WHERE}.environment.{said}")

    def test_with_a_build_that_has_no_dockerfile_is_refused(self, ground: CourierGround) -> None:
        (ground.folder / "build").mkdir()

        assert only(ground, environment={"build": {"path": "build"}}).message == "there is no Dockerfile"


class TestSecrets:
    def test_that_the_vault_does_not_have_are_told(self, ground: CourierGround) -> None:
        problem = only(ground, secrets=[{"name": "HF_TOKEN", "keyVault": {"vault": "team", "secret": "hf"}}])

        assert (problem.reason, problem.where) == ("SecretNotFound", f"{WHERE}.secrets[0].keyVault")

    def test_that_only_the_job_may_read_are_taken(self, ground: CourierGround) -> None:
        ground.azure.vault("team").forbidden = True
        ground.execution = {"secrets": [{"name": "HF_TOKEN", "keyVault": {"vault": "team", "secret": "hf"}}]}

        assert ground.courier().check().problems == []


class TestTheWhole:
    def test_all_that_is_wrong_is_told_at_once(self, ground: CourierGround) -> None:
        ground.execution = {
            "compute": "gpuu",
            "environment": {"name": "runnr"},
            "secrets": [{"name": "HF_TOKEN", "fromCredentials": True}],
        }
        ground.spec = {"output": {"path": "/out"}}

        problems = ground.courier(uid=UID).check().problems

        assert [problem.reason for problem in problems] == [
            "ComputeNotFound",
            "EnvironmentNotFound",
            "SecretNotFound",
            "InvalidManifest",
        ]
        assert problems[2].message == "spec.credentials have no variable HF_TOKEN"
        assert problems[3].where == "spec.output.path"

    def test_without_a_workspace_nothing_else_is_looked_at(self, ground: CourierGround) -> None:
        problem = only(
            ground, subscriptionId="11111111-1111-1111-1111-111111111111", resourceGroup="tests", workspace="absent"
        )

        assert problem.reason == "WorkspaceNotFound"

    def test_nobody_says_which_workspace(self, ground: CourierGround, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("AZUREML_WORKSPACE_NAME")

        assert only(ground).reason == "WorkspaceNotFound"

    @pytest.mark.parametrize(
        "variable, value, reason",
        [
            ("AZURE_CLIENT_SECRET", "wrong", "LoginFailed"),
            ("AZURE_TENANT_ID", "99999999-9999-9999-9999-999999999999", "WrongTenant"),
        ],
    )
    def test_a_login_that_is_refused_says_why(
        self, ground: CourierGround, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, reason: str
    ) -> None:
        monkeypatch.setenv(variable, value)

        assert only(ground).reason == reason

    def test_a_service_that_is_away_is_no_finding(self, ground: CourierGround) -> None:
        ground.azure.faults.error(503, times=None)

        with pytest.raises(AzureUnavailable):
            ground.courier().check()
