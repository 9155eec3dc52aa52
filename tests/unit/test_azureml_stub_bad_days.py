"""The stub of Azure ML on bad days: logins, faults, refusals. What tests of Azure rest on."""

from __future__ import annotations

import json
import os
import signal
import ssl
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.azureml.asking import PREVIEW, ask, client, command_job, login
from tests.azureml.stub import Azure


class TestLogins:
    def test_blobs_are_read_by_their_azure_address_with_key_signature_and_token(
        self, azure: Azure, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from azure.storage.blob import ContainerClient

        azure.use(monkeypatch)
        address = azure.datastore("team", container="rows")
        azure.blobs.put("rows", "a folder/train.jsonl", b"{}\n")

        for credential in (azure.blobs.key, azure.blobs.sas("rows"), login()):
            with ContainerClient.from_container_url(address, credential=credential) as container:
                assert container.download_blob("a folder/train.jsonl").readall() == b"{}\n"
                assert [each.name for each in container.list_blobs()] == ["a folder/train.jsonl"]
                container.upload_blob("b/ö.txt", b"x" * 10, overwrite=True)
                copied = container.get_blob_client("c.txt")
                copied.start_copy_from_url(f"{address}/b/%C3%B6.txt", requires_sync=True)
                assert copied.download_blob().readall() == b"x" * 10
                container.delete_blob("b/ö.txt")
                copied.delete_blob()

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
        with pytest.raises(AssertionError, match="no service would understand"):
            azure.verify()
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

    def test_the_sdk_goes_on_after_errors_of_the_server(self, azure: Azure, monkeypatch: pytest.MonkeyPatch) -> None:
        azure.use(monkeypatch)
        azure.compute("gpu")
        azure.faults.error(503, times=2, path="GET .*/computes/gpu")

        assert client(azure).compute.get("gpu").name == "gpu"
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
        with pytest.raises(AssertionError, match="no service would understand"):
            azure.verify()
        azure.wrong.clear()

    @pytest.mark.parametrize(
        ("call", "below", "status", "code"),
        [
            ("/computes", None, 400, "MissingApiVersionParameter"),
            ("/computes?api-version=2019-01-01", None, 400, "InvalidApiVersionParameter"),
            (f"/sorcery?{PREVIEW}", None, 501, "NotImplemented"),
            (f"/sorcery?{PREVIEW}", "", 501, "NotImplemented"),
        ],
    )
    def test_an_unknown_call_fails_the_test(
        self, azure: Azure, call: str, below: str | None, status: int, code: str
    ) -> None:
        answered, answer = ask(azure, "GET", call, below=below)

        assert (answered, answer["error"]["code"]) == (status, code)
        with pytest.raises(AssertionError, match="no service would understand"):
            azure.verify()
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
