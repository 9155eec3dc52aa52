"""The stub of Azure ML under the real SDK: jobs, and what they need. What tests of Azure rest on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.azureml.asking import PREVIEW, ask, client, command_job, shared_client, submit
from tests.azureml.stub import Azure


@pytest.fixture
def ml(azure: Azure, monkeypatch: pytest.MonkeyPatch) -> Any:
    azure.use(monkeypatch)
    monkeypatch.chdir("/")  # the SDK tells the service about the repository that it is called in
    azure.compute("gpu")
    azure.environment("runner", ("1", "2"))
    return shared_client(azure.base)


class TestJobs:
    def test_one_that_the_test_drives_goes_through_its_states(self, azure: Azure, ml: Any, capsys: Any) -> None:
        from azure.ai.ml import ManagedIdentityConfiguration

        submitted = submit(
            ml, "one", tags={"a": "b"}, environment_variables={"X": "1"}, shm_size="2g", timeout=3600,
            identity=ManagedIdentityConfiguration(client_id="c"), instance_count=1,
        )  # fmt: skip
        azure.jobs["one"].state("Queued").state("Running").log("hello from the run\n").complete()
        ml.jobs.stream("one")

        assert submitted.status == "Starting"
        assert ml.jobs.get("one").status == "Completed"
        assert azure.jobs["one"].environment == {"X": "1"}
        assert azure.jobs["one"].definition["limits"] == {"jobLimitsType": "Command", "timeout": "PT1H"}
        assert "RunId: one" in capsys.readouterr().out

    def test_who_submitted_it_may_be_who_it_runs_as(self, azure: Azure, ml: Any) -> None:
        from azure.ai.ml import UserIdentityConfiguration

        submit(ml, "mine", identity=UserIdentityConfiguration())

        assert azure.jobs["mine"].definition["identity"] == {"identityType": "UserIdentity"}

    def test_one_runs_serverless_in_a_registrys_environment(self, azure: Azure, ml: Any) -> None:
        azure.registry("shared").environment("curated", ("1", "2"))

        submit(
            ml, "serverless", compute=None, environment="azureml://registries/shared/environments/curated/labels/latest",
            instance_type="Standard_NC24ads_A100_v4", instance_count=1, queue_settings={"job_tier": "spot"},
        )  # fmt: skip

        job = azure.jobs["serverless"].definition
        assert job["resources"]["instanceType"] == "Standard_NC24ads_A100_v4"
        assert job["queueSettings"] == {"jobTier": "Spot"}
        assert "computeId" not in job

    def test_one_that_is_run_longer_than_it_may_is_canceled(self, azure: Azure) -> None:
        azure.execute = True
        azure.environment("runner")
        limits = {"jobLimitsType": "Command", "timeout": "PT0.2S"}

        ask(azure, "PUT", f"/jobs/endless?{PREVIEW}", command_job(azure, command="exec sleep 600", limits=limits))

        assert azure.jobs["endless"].wait("Canceled", "Failed", "Completed").status == "Canceled"

    def test_one_that_failed_says_why_in_run_history(self, azure: Azure, ml: Any) -> None:
        submit(ml, "bad")
        azure.jobs["bad"].state("Running").fail("UserError", "it broke", log="boom\n")

        details = ml.jobs._runs_operations.get_run_details("bad")

        assert ml.jobs.get("bad").status == "Failed"
        assert details.error.error.message == "it broke"
        assert set(details.log_files) == {"user_logs/std_log.txt"}

    def test_one_whose_image_cannot_be_built_fails_with_the_builds_log(self, azure: Azure, ml: Any) -> None:
        from azure.ai.ml.entities import Environment

        azure.jobs.builds = "Step 3\nERROR: No matching distribution found for torch==99\n"
        submit(ml, "built", environment=Environment(image="i", conda_file={"dependencies": ["torch=99"]}))

        details = ml.jobs._runs_operations.get_run_details("built")

        assert details.error.error.code == "ImageBuildFailure"
        assert "torch==99" in details.error.error.message
        assert list(details.log_files) == ["azureml-logs/20_image_build_log.txt"]

    def test_one_is_run_with_its_snapshot_and_a_login_of_its_own(self, azure: Azure, ml: Any, tmp_path: Path) -> None:
        azure.execute = True
        azure.vault("team").secrets["token"] = "hidden"
        code = tmp_path / "code"
        (code / "below").mkdir(parents=True)
        (code / "below" / "hello.py").write_text(
            "import os; from azure.identity import DefaultAzureCredential; from azure.keyvault.secrets import SecretClient\n"
            "client = SecretClient('https://team.vault.azure.net', DefaultAzureCredential())\n"
            "print(len(client.get_secret('token').value), os.environ['X'], os.environ['AZUREML_RUN_ID'])\n"
        )

        submit(ml, "runs", "python below/hello.py", code=str(code), environment_variables={"X": "1"})

        job = azure.jobs["runs"].wait("Completed", "Failed")
        assert job.logs == {"user_logs/std_log.txt": "6 1 runs\n"}
        assert job.states == ["Starting", "Queued", "Preparing", "Running", "Finalizing", "Completed"]

    def test_one_that_is_run_and_ends_badly_has_failed(self, azure: Azure, ml: Any) -> None:
        azure.execute = True
        submit(ml, "worse", "echo last words; exit 7")

        job = azure.jobs["worse"].wait("Completed", "Failed")

        assert job.status == "Failed"
        assert job.error is not None and "status code 7" in job.error["error"]["message"]

    def test_one_that_is_run_is_asked_to_stop_and_then_canceled(self, azure: Azure, ml: Any) -> None:
        azure.execute = True
        submit(ml, "long", "trap 'echo asked; exit 0' TERM; echo begun; while :; do read x < /dev/zero & wait; done")
        job = azure.jobs["long"].wait_log("begun")

        ml.jobs.begin_cancel("long").result()

        assert job.states[-2:] == ["CancelRequested", "Canceled"]
        assert "asked" in job.logs["user_logs/std_log.txt"]

    def test_one_that_the_test_drives_is_canceled_some_time_after_it_was_asked_for(self, azure: Azure, ml: Any) -> None:
        submit(ml, "slow")
        azure.jobs["slow"].state("Running").cancels_by_itself = False

        poller = ml.jobs.begin_cancel("slow")
        asked = ml.jobs.get("slow").status
        azure.jobs["slow"].state("Canceled")
        poller.result()

        assert asked == "CancelRequested"
        assert ml.jobs.get("slow").status == "Canceled"

    def test_the_same_name_with_something_else_is_refused_and_with_the_same_is_the_same_job(self, azure: Azure) -> None:
        azure.environment("runner")
        first = ask(azure, "PUT", f"/jobs/twice?{PREVIEW}", command_job(azure))
        again = ask(azure, "PUT", f"/jobs/twice?{PREVIEW}", command_job(azure, tags={"a": "b"}))
        other = ask(azure, "PUT", f"/jobs/twice?{PREVIEW}", command_job(azure, command="echo other"))

        assert (first[0], again[0], other[0]) == (201, 200, 400)
        assert "already exists" in other[1]["error"]["message"]
        assert azure.jobs.only.definition["tags"] == {"a": "b"}

    def test_all_are_listed_over_more_than_one_page(self, azure: Azure, ml: Any) -> None:
        for number in range(5):
            azure.jobs.add(f"job-{number}", command_job(azure)["properties"])

        assert [job.name for job in ml.jobs.list()] == [f"job-{number}" for number in range(5)]

    @pytest.mark.parametrize(
        ("compute", "words"),
        [
            ({"computeId": "nowhere"}, "Unknown compute target 'nowhere'"),
            ({"computeId": "stopped"}, "is in Stopped state"),
            ({"computeId": "arc", "resources": {"instanceType": "huge"}}, "Instance type huge is not found"),
        ],
    )
    def test_a_compute_that_cannot_run_it_is_refused(self, azure: Azure, compute: dict[str, Any], words: str) -> None:
        azure.environment("runner")
        azure.compute("stopped", "ComputeInstance", "Stopped")
        azure.compute("arc", "Kubernetes", instance_types={"small": {}})
        compute["computeId"] = f"{azure.jobs.scope}/computes/{compute['computeId']}"

        status, answer = ask(azure, "PUT", f"/jobs/j?{PREVIEW}", command_job(azure, **compute))

        assert status == 400
        assert words in answer["error"]["message"]
        assert not azure.jobs


class TestThings:
    def test_computes_are_what_they_are(self, azure: Azure, ml: Any) -> None:
        azure.compute("box", "ComputeInstance", "Stopped")
        azure.compute("arc", "Kubernetes", instance_types={"gpu": {"resources": {"limits": {"nvidia.com/gpu": 1}}}})

        found = {each.name: each for each in ml.compute.list()}

        assert {name: each.type for name, each in found.items()} == {
            "gpu": "amlcompute", "box": "computeinstance", "arc": "kubernetes",
        }  # fmt: skip
        assert found["box"].state == "Stopped"
        assert set(found["arc"].properties["instanceTypes"]) == {"gpu"}

    def test_the_latest_model_of_a_workspace_is_downloaded(self, azure: Azure, ml: Any, tmp_path: Path) -> None:
        for version in ("1", "2", "3"):
            azure.model("tiny", version, {"config.json": version.encode(), "data/x.bin": b"x"}, kind="mlflow_model")

        found = ml.models.get("tiny", label="latest")
        ml.models.download("tiny", found.version, str(tmp_path))

        assert (found.version, found.type) == ("3", "mlflow_model")
        assert [each.version for each in ml.models.list("tiny")] == ["1", "2", "3"]
        assert {path.name: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == {
            "config.json": b"3", "x.bin": b"x",
        }  # fmt: skip

    def test_a_model_of_a_registry_is_downloaded(self, azure: Azure, ml: Any, tmp_path: Path) -> None:
        azure.registry("shared").model("phi", "7", {"config.json": b"{}"})
        registry = client(azure, registry_name="shared")

        registry.models.download("phi", "7", str(tmp_path))

        assert registry.models.get("phi", label="latest").version == "7"
        assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["config.json"]

    def test_a_public_model_of_a_registry_needs_no_signature(self, azure: Azure, ml: Any) -> None:
        from azure.storage.blob import BlobClient

        address = azure.registry("shared").model("phi", "7", {"config.json": b"{}"}, public=True)
        asked = {"assetId": "azureml://registries/shared/models/phi/versions/7", "blobUri": address}
        below = f"/mferp/managementfrontend{azure.registry('shared').scope}"
        path = "/datarefs/phi/versions/7?api-version=2021-10-01-dataplanepreview"

        told = ask(azure, "POST", path, asked, below=below)[1]["blobReferenceForConsumption"]

        assert (told["blobUri"], told["credential"]) == (address, {"credentialType": "NoCredentials"})
        assert BlobClient.from_blob_url(f"{address}/config.json").download_blob().readall() == b"{}"

    @pytest.mark.parametrize(
        ("credentials", "kind"),
        [("AccountKey", "SasTokenConfiguration"), ("Sas", "SasTokenConfiguration"), ("None", "NoneCredentialConfiguration"),
         ("ServicePrincipal", "ServicePrincipalConfiguration")],
    )  # fmt: skip
    def test_a_datastore_has_its_credentials(self, azure: Azure, ml: Any, credentials: str, kind: str) -> None:
        azure.datastore("team", "AzureBlob", container="rows", credentials=credentials)

        found = ml.datastores.get("team", include_secrets=credentials != "None")

        assert (found.account_name, found.container_name) == (azure.blobs.account, "rows")
        assert type(found.credentials).__name__ == kind

    @pytest.mark.parametrize("kind", ["AzureDataLakeGen2", "AzureFile", "OneLake", "AzureDataLakeGen1"])
    def test_datastores_are_of_all_kinds(self, azure: Azure, ml: Any, kind: str) -> None:
        azure.datastore("team", kind, credentials="ServicePrincipal" if kind.endswith("Gen1") else "None")

        assert ml.datastores.get("team").name == "team"

    def test_who_is_absent_is_named_in_the_services_words(self, azure: Azure, ml: Any) -> None:
        from azure.core.exceptions import ResourceNotFoundError

        for look, words in (
            (lambda: ml.compute.get("no"), "Compute with name no not found"),
            (lambda: ml.datastores.get("no"), "Could not find datastore with name: no"),
            (lambda: ml.jobs.get("no"), "Job no not found"),
            (lambda: ml.workspaces.get("no"), "'Microsoft.MachineLearningServices/workspaces/no' under resource group"),
        ):
            with pytest.raises(ResourceNotFoundError, match=words):
                look()
