"""Secrets of a job on Azure ML: in no definition and no request but the Key Vault's own, and gone when the job has ended."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.azureml.stub import Azure
from tests.azureml.wire import Answer, Request
from tests.courierground import UID, CourierGround

from millwright_api.errors import AccessDenied, SecretNotFound
from millwright_runner.remote.secrets import LONGEST_NAME, handed_name, resolve

SECRET = "hf_AQIDBAUGBwgJ"


@pytest.fixture
def ground(azure: Azure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CourierGround:
    return CourierGround.make(azure, tmp_path, monkeypatch)


class TestSecrets:
    @pytest.fixture
    def bodies(self, azure: Azure, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, bytes]]:
        """All that is sent anywhere."""
        seen: list[tuple[str, bytes]] = []
        answer = azure.room.answer

        def noted(request: Request) -> Answer:
            seen.append((f"{request.host} {request.target}", request.body + repr(request.headers).encode()))
            return answer(request)

        monkeypatch.setattr(azure.room, "answer", noted)
        return seen

    def with_secrets(self, ground: CourierGround, *secrets: dict[str, Any]) -> CourierGround:
        ground.execution = {"secrets": list(secrets)}
        return ground

    def test_of_the_credentials_are_handed_over_in_the_vault_alone_and_removed_at_the_end(
        self, ground: CourierGround, bodies: list[tuple[str, bytes]], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("HF_TOKEN", SECRET)
        self.with_secrets(ground, {"name": "HF_TOKEN", "fromCredentials": True})

        going, job = ground.submitted()
        vault = ground.azure.vault()
        held = dict(vault.secrets)
        job.fail()
        going.end()

        name = handed_name(job.name, "HF_TOKEN")
        assert held == {name: SECRET}
        assert json.loads(job.environment["MILLWRIGHT_SECRETS"]) == {"HF_TOKEN": [vault.url.rstrip("/"), name]}
        showing = [where for where, body in bodies if SECRET.encode() in body]
        assert showing
        assert all(".vault.azure.net" in where for where in showing)
        assert vault.secrets == {}

    def test_of_a_key_vault_are_named_and_never_read_here(
        self, ground: CourierGround, bodies: list[tuple[str, bytes]]
    ) -> None:
        ground.azure.vault("team").secrets["hf"] = SECRET
        self.with_secrets(ground, {"name": "HF_TOKEN", "keyVault": {"vault": "team", "secret": "hf"}})

        job = ground.submit()

        assert json.loads(job.environment["MILLWRIGHT_SECRETS"]) == {"HF_TOKEN": ["https://team.vault.azure.net", "hf"]}
        assert not any(SECRET.encode() in body for _, body in bodies)
        assert ground.azure.asked("team.vault.azure.net") == 0

    def test_that_the_credentials_do_not_have_are_missed_before_anything_is_submitted(
        self, ground: CourierGround
    ) -> None:
        self.with_secrets(ground, {"name": "HF_TOKEN", "fromCredentials": True})

        with pytest.raises(SecretNotFound, match="the environment has no variable HF_TOKEN") as failure:
            ground.submit()
        assert failure.value.where == "spec.execution.azureML.secrets[0]"
        assert not ground.azure.jobs

    def test_reach_the_runner_inside_by_both_ways(
        self, ground: CourierGround, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setenv("HANDED", SECRET)
        ground.azure.vault().secrets["kept"] = "from the vault"
        self.with_secrets(
            ground, {"name": "HANDED", "fromCredentials": True}, {"name": "KEPT", "keyVault": {"secret": "kept"}}
        )
        job = ground.submit()

        found = resolve(job.environment["MILLWRIGHT_SECRETS"])

        assert found == {"HANDED": SECRET, "KEPT": "from the vault"}
        assert SECRET not in "".join(capsys.readouterr())

    def test_that_the_vault_does_not_have_end_the_runner_with_a_near_name(self, ground: CourierGround) -> None:
        vault = ground.azure.vault("team")
        vault.secrets["hf-token"] = SECRET

        with pytest.raises(SecretNotFound) as failure:
            resolve(json.dumps({"HF_TOKEN": [vault.url.rstrip("/"), "hftoken"]}))
        assert str(failure.value) == (
            "https://team.vault.azure.net: the Key Vault has no secret 'hftoken' (for HF_TOKEN) (did you mean 'hf-token'?)"
        )

    def test_that_the_runner_may_not_read_say_so(self, ground: CourierGround) -> None:
        vault = ground.azure.vault("team")
        vault.forbidden = True

        with pytest.raises(AccessDenied, match="getSecret") as failure:
            resolve(json.dumps({"HF_TOKEN": [vault.url.rstrip("/"), "hf"]}))
        assert failure.value.where == "https://team.vault.azure.net"

    def test_that_a_killed_courier_left_are_removed_by_the_next(
        self, ground: CourierGround, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("HF_TOKEN", SECRET)
        self.with_secrets(ground, {"name": "HF_TOKEN", "fromCredentials": True})
        first = ground.submit()
        first.fail()
        ground.box(first.name).tell()  # and killed before it removed them

        second = ground.submit()

        assert list(ground.azure.vault().secrets) == [handed_name(second.name, "HF_TOKEN")]

    def test_are_removed_when_the_job_is_canceled(self, ground: CourierGround, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HF_TOKEN", SECRET)
        self.with_secrets(ground, {"name": "HF_TOKEN", "fromCredentials": True})
        ground.submit(uid=UID)

        ground.courier(uid=UID).cancel()

        assert ground.azure.vault().secrets == {}

    def test_a_key_for_signatures_goes_along_where_the_manifest_wants_one(
        self, ground: CourierGround, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("MILLWRIGHT_SIGNING_KEY", SECRET)
        unsigned = ground.submit()
        ground.spec = {"output": {**ground.document["spec"]["output"], "sign": True}}
        signed = ground.submit()

        assert "MILLWRIGHT_SECRETS" not in unsigned.environment
        assert resolve(signed.environment["MILLWRIGHT_SECRETS"]) == {"MILLWRIGHT_SIGNING_KEY": SECRET}

    def test_have_names_that_a_vault_takes(self) -> None:
        name = handed_name("j" * 200, "HF_TOKEN")

        assert len(name) <= LONGEST_NAME
        assert handed_name("job-1", "A_B") != handed_name("job-1", "A-B")
