"""The stub of Azure ML under the real SDKs: what tests of Azure rest on."""

from __future__ import annotations

import json
import os
import signal
import ssl
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.azureml.login import CLIENT
from tests.azureml.stub import Azure

PREVIEW = "api-version=2025-01-01-preview"


def login(**more: Any) -> Any:
    from azure.identity import EnvironmentCredential

    return EnvironmentCredential(disable_instance_discovery=True, **more)


def client(azure: Azure, credential: Any = None, **more: Any) -> Any:
    from azure.ai.ml import MLClient

    names = ("AZURE_SUBSCRIPTION_ID", "AZURE_RESOURCE_GROUP", "AZUREML_WORKSPACE_NAME")
    place = [] if more else [azure.env[name] for name in names]
    return MLClient(credential or login(), *place, **more, enable_telemetry=False, show_progress=False)


@pytest.fixture
def ml(azure: Azure, monkeypatch: pytest.MonkeyPatch) -> Any:
    azure.use(monkeypatch)
    monkeypatch.chdir("/")  # the SDK tells the service about the repository that it is called in
    azure.compute("gpu")
    azure.environment("runner", ("1", "2"))
    return client(azure)


def submit(ml: Any, name: str, command: str = "echo hello", **more: Any) -> Any:
    from azure.ai.ml import command as job

    known = {"environment": "azureml:runner:2", "compute": "gpu", "experiment_name": "exp"}
    return ml.jobs.create_or_update(job(**{"name": name, "command": command, **known, **more}))


def ask(azure: Azure, method: str, path: str, body: Any = None, scope: str | None = None) -> tuple[int, Any]:
    """Asks below the workspace, or at an absolute path, with a token of the stub's login."""
    token = azure.login.issue(scope or f"{azure.base}/.default", CLIENT)["access_token"]
    url = f"{azure.base}{path if path.startswith('//') else azure.jobs.scope + path}".replace("//", "/").replace(
        ":/", "://"
    )
    request = urllib.request.Request(url, json.dumps(body).encode() if body is not None else None, method=method)
    request.add_header("Authorization", f"Bearer {token}")
    try:
        with urllib.request.urlopen(
            request, context=ssl.create_default_context(cafile=azure.env["SSL_CERT_FILE"])
        ) as answer:
            return answer.status, json.loads(answer.read() or b"null")
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read() or b"null")


def command_job(azure: Azure, **more: Any) -> dict[str, Any]:
    environment = f"{azure.jobs.scope}/environments/runner/versions/1"
    return {"properties": {"jobType": "Command", "command": "echo hello", "environmentId": environment, **more}}


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


class TestLogins:
    def test_blobs_are_read_by_their_azure_address_with_key_signature_and_token(self, azure: Azure, ml: Any) -> None:
        from azure.storage.blob import ContainerClient

        address = azure.datastore("team", container="rows")
        azure.blobs.put("rows", "a folder/train.jsonl", b"{}\n")

        for credential in (azure.blobs.key, azure.blobs.sas("rows"), login()):
            with ContainerClient.from_container_url(address, credential=credential) as container:
                assert container.download_blob("a folder/train.jsonl").readall() == b"{}\n"
                assert [each.name for each in container.list_blobs()] == ["a folder/train.jsonl"]
                container.upload_blob("b/ö.txt", b"x" * 10, overwrite=True)
                container.delete_blob("b/ö.txt")

    def test_a_wrong_key_is_refused(self, azure: Azure, monkeypatch: pytest.MonkeyPatch) -> None:
        from azure.core.exceptions import ClientAuthenticationError
        from azure.storage.blob import ContainerClient

        azure.use(monkeypatch)
        container = ContainerClient.from_container_url(azure.datastore("team"), credential="d3Jvbmc=")

        with pytest.raises(ClientAuthenticationError, match="AuthenticationFailed"):
            container.get_container_properties()

    def test_workload_identity_logs_in_too(self, azure: Azure, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        from azure.identity import DefaultAzureCredential

        azure.use(monkeypatch, azure.federated(tmp_path))

        assert (
            client(azure, DefaultAzureCredential()).workspaces.get(azure.env["AZUREML_WORKSPACE_NAME"]).location
            == "local"
        )

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            ({"AZURE_CLIENT_SECRET": "wrong"}, "AADSTS7000215"),
            ({"AZURE_CLIENT_ID": "66666666-6666-6666-6666-666666666666"}, "AADSTS700016"),
            ({"AZURE_TENANT_ID": "contoso.example"}, "AADSTS90002|Unable to get authority configuration"),
            ({"AZURE_TENANT_ID": "77777777-7777-7777-7777-777777777777"}, "InvalidAuthenticationTokenTenant"),
        ],
    )
    def test_a_login_that_is_wrong_is_told_as_azure_tells_it(
        self, azure: Azure, monkeypatch: pytest.MonkeyPatch, change: dict[str, str], words: str
    ) -> None:
        from azure.core.exceptions import ClientAuthenticationError

        azure.use(monkeypatch, {**azure.env, **change})

        with pytest.raises((ClientAuthenticationError, ValueError), match=words):
            client(azure).workspaces.get("workspace")

    def test_a_token_for_something_else_is_refused_and_fails_the_test(self, azure: Azure) -> None:
        status, answer = ask(azure, "GET", f"/computes?{PREVIEW}", scope="https://storage.azure.com/.default")

        assert (status, answer["error"]["code"]) == (401, "InvalidAuthenticationTokenAudience")
        assert len(azure.wrong) == 1
        azure.wrong.clear()

    def test_a_vault_keeps_lists_and_deletes_secrets(self, azure: Azure, monkeypatch: pytest.MonkeyPatch) -> None:
        from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
        from azure.keyvault.secrets import SecretClient

        azure.use(monkeypatch)
        vault = azure.vault("team")
        vault.secrets.update({"a": "1", "b": "2"})
        secrets = SecretClient(vault.url, login())

        written = secrets.set_secret("hf-token", "hidden", content_type="text/plain")
        assert (written.name, secrets.get_secret("hf-token").value, vault.written) == (
            "hf-token",
            "hidden",
            ["hf-token"],
        )
        assert [each.name for each in secrets.list_properties_of_secrets()] == ["a", "b", "hf-token"]
        assert len(list(secrets.list_properties_of_secret_versions("hf-token"))) == 1

        secrets.begin_delete_secret("hf-token").wait()
        secrets.purge_deleted_secret("hf-token")
        assert (sorted(vault.secrets), vault.deleted, vault.purged) == (["a", "b"], ["hf-token"], ["hf-token"])
        with pytest.raises(ResourceNotFoundError, match="SecretNotFound"):
            secrets.get_secret("hf-token")

        vault.forbidden = True
        with pytest.raises(HttpResponseError, match="not authorized to perform action"):
            secrets.get_secret("a")


class TestFaults:
    @pytest.fixture
    def once(self, azure: Azure, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
        """A client that asks once, whatever the answer."""
        from azure.storage.blob import ContainerClient

        azure.use(monkeypatch)
        address = azure.datastore("team")
        with ContainerClient.from_container_url(address, credential=azure.blobs.key, retry_total=0) as container:
            yield container.get_container_properties

    def test_throttling_says_when_to_ask_again_and_passes(self, azure: Azure) -> None:
        azure.faults.throttle(2)

        assert [ask(azure, "GET", f"/computes?{PREVIEW}")[0] for _ in range(3)] == [429, 429, 200]

    def test_the_sdk_goes_on_after_errors_of_the_server(self, azure: Azure, ml: Any) -> None:
        azure.faults.error(503, times=2, path="GET .*/computes/gpu")

        assert ml.compute.get("gpu").name == "gpu"
        assert azure.asked("/computes/gpu") == 3

    @pytest.mark.parametrize(
        ("fault", "status", "code"),
        [("forbid", 403, "AuthorizationFailed"), ("quota", 400, "ClusterCoreQuotaReached")],
    )
    def test_refusals_have_the_services_code(self, azure: Azure, fault: str, status: int, code: str) -> None:
        getattr(azure.faults, fault)()

        answered, answer = ask(azure, "PUT", f"/jobs/j?{PREVIEW}", command_job(azure))

        assert (answered, answer["error"]["code"]) == (status, code)
        assert not azure.jobs

    def test_a_dropped_connection_is_no_answer(self, azure: Azure, once: Any) -> None:
        from azure.core.exceptions import ServiceRequestError

        azure.faults.drop("blob.core")

        with pytest.raises(ServiceRequestError, match="Remote end closed connection"):
            once()
        assert once().name == "data"

    def test_who_hangs_is_let_go_when_all_is_well_again(self, azure: Azure, once: Any) -> None:
        from azure.core.exceptions import AzureError

        azure.faults.hang("blob.core", times=1)
        ended: list[object] = []

        def call() -> None:
            try:
                once()
            except AzureError as error:
                ended.append(error)

        thread = threading.Thread(target=call)
        thread.start()
        azure.room.arrive("blob.core")
        assert not ended
        azure.faults.clear()
        thread.join(30)

        assert len(ended) == 1

    def test_a_delayed_answer_comes_and_the_call_was_carried_out(self, azure: Azure) -> None:
        azure.environment("runner")
        azure.faults.delay(3600, "PUT .*/jobs/")
        answers: list[int] = []
        thread = threading.Thread(
            target=lambda: answers.append(ask(azure, "PUT", f"/jobs/j?{PREVIEW}", command_job(azure))[0])
        )
        thread.start()
        azure.jobs.arrive()
        assert not answers
        azure.faults.clear()
        thread.join(30)

        assert answers == [201]


class TestRefusals:
    @pytest.mark.parametrize(
        ("change", "field"),
        [
            ({"priority": "High"}, "priority"),
            ({"environmentVariables": {"X": 1}}, "environmentVariables"),
            ({"limits": {"jobLimitsType": "Command", "timeout": "1h"}}, "limits.timeout"),
            ({"identity": {"identityType": "Managed", "client_id": "x"}}, "identity.Managed.client_id"),
            ({"environmentId": "azureml:runner:1"}, "environmentId"),
        ],
    )
    def test_a_shape_that_the_service_does_not_know_is_refused_and_fails_the_test(
        self, azure: Azure, change: dict[str, Any], field: str
    ) -> None:
        azure.environment("runner")

        status, answer = ask(azure, "PUT", f"/jobs/j?{PREVIEW}", command_job(azure, **change))

        assert status == 400
        assert field in answer["error"]["message"]
        assert len(azure.wrong) == 1
        azure.wrong.clear()

    @pytest.mark.parametrize(
        ("call", "status", "code"),
        [
            ("/computes", 400, "MissingApiVersionParameter"),
            ("/computes?api-version=2019-01-01", 400, "InvalidApiVersionParameter"),
            (f"/sorcery?{PREVIEW}", 501, "NotImplemented"),
            (f"//sorcery?{PREVIEW}", 501, "NotImplemented"),
        ],
    )
    def test_an_unknown_call_fails_the_test(self, azure: Azure, call: str, status: int, code: str) -> None:
        answered, answer = ask(azure, "GET", call)

        assert (answered, answer["error"]["code"]) == (status, code)
        assert len(azure.wrong) == 1
        azure.wrong.clear()

    def test_a_call_that_would_leave_the_machine_fails_the_test(
        self, azure: Azure, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        azure.use(monkeypatch)

        with pytest.raises(OSError, match="403"):
            urllib.request.urlopen("https://outside.example/", timeout=10)
        assert azure.wrong == ["a call left for outside.example:443"]
        azure.wrong.clear()


def test_by_hand_it_prints_the_variables_and_is_driven_from_outside(azure: Azure, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.azureml", "--blob", azure.blobs.endpoint, "--folder", str(tmp_path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": "."})
    try:
        assert process.stdout is not None
        printed = dict(line.rstrip("\n").split("=", 1) for line in iter(process.stdout.readline, "\n"))
        base = printed["AZURE_AUTHORITY_HOST"]
        context = ssl.create_default_context(cafile=printed["SSL_CERT_FILE"])
        for path, body in (("compute", {"name": "gpu"}), ("fault", {"kind": "throttle"})):
            request = urllib.request.Request(f"{base}/stub/{path}", json.dumps(body).encode())
            assert urllib.request.urlopen(request, context=context).status == 200
        with urllib.request.urlopen(f"{base}/stub/env", context=context) as answer:
            assert json.load(answer) == printed
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
