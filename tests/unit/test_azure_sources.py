"""Datastores, workspaces and registries of Azure ML as sources: Azure's own SDK against the protocol stub, bytes in Azurite."""

from __future__ import annotations

import json
import logging
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.azureml.stub import Azure
from tests.azureml.wire import Answer, Refused, Request
from tests.azurite import KEY
from tests.mlflowform import TRANSFORMERS, as_azure, as_transformers, describe
from tests.tiny import TENSORS, make_model_files

from millwright_api.errors import (
    AccessDenied,
    AzureUnavailable,
    CredentialsMissing,
    DatastoreNotFound,
    DatastoreNotSupported,
    InvalidModel,
    LoginFailed,
    ModelNotFound,
    WorkspaceNotFound,
    WrongTenant,
)
from millwright_api.v1alpha1 import AzureMLDatastore, Model
from millwright_runner.azure import patience, sas
from millwright_runner.azure.datastores import Place, find_datastore
from millwright_runner.models import FoundModel, find_model
from millwright_runner.stores import open_store
from millwright_runner.stores.azure_blob import BLOCK_SIZE
from millwright_runner.stores.locations import folder_and_name


@pytest.fixture
def cloud(azure: Azure, monkeypatch: pytest.MonkeyPatch) -> Azure:
    azure.use(monkeypatch)
    return azure


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small model in Hugging Face's form."""
    return make_model_files(tmp_path_factory.mktemp("azure") / "model")


def datastore(name: str = "workspaceblobstore", path: str = "folder/rows.jsonl", **place: str) -> Place:
    source = AzureMLDatastore.model_validate({"datastore": name, "path": path, **place})
    return find_datastore(source, Path("/"), "spec.data[train].source.azureML")


def model(home: Path, *, trusted: bool = False, **source: Any) -> FoundModel:
    return find_model(Model.model_validate({"azureML": source, "trustRemoteCode": trusted}), Path("/"), home)


def content(place: Place) -> bytes | None:
    found = folder_and_name(place.location)
    assert found is not None
    blob = open_store(found[0], credential=place.credential).read(found[1])
    return None if blob is None else blob.data


class Cut:
    """Refuses a file's bytes from one of them on, until it is mended; counts what was sent."""

    def __init__(self, cloud: Azure, monkeypatch: pytest.MonkeyPatch, file: str, at: int) -> None:
        self._at: float = at
        self._file, self._forward, self.bytes_sent = file, cloud.blobs.forward, 0
        monkeypatch.setattr(cloud.room, "_forward", self._serve)

    def _serve(self, request: Request) -> Answer:
        if request.method != "GET" or not request.path.endswith(self._file):
            return self._forward(request)
        asked = request.headers.get("x-ms-range") or request.headers["range"]
        if int(asked.removeprefix("bytes=").partition("-")[0]) >= self._at:
            return Refused(403, "AuthorizationFailure", "This request is not authorized.").answer()
        answer = self._forward(request)
        self.bytes_sent += len(answer.content())
        return answer

    def mend(self) -> None:
        self._at = float("inf")


class TestDatastores:
    @pytest.mark.parametrize("kind", ["AzureBlob", "AzureDataLakeGen2"])
    @pytest.mark.parametrize("credentials", ["AccountKey", "Sas", "ServicePrincipal", "None"])
    def test_what_lies_in_blob_storage_is_read_with_what_the_workspace_keeps(
        self, cloud: Azure, kind: str, credentials: str
    ) -> None:
        cloud.datastore("team", kind, container="rows", credentials=credentials)
        cloud.blobs.put("rows", "folder/rows.jsonl", b'{"text": "a"}\n')

        place = datastore("team")

        assert content(place) == b'{"text": "a"}\n'
        assert place.where == "azureml://datastores/team/paths/folder/rows.jsonl"

    def test_a_service_that_hands_out_the_accounts_key_itself(self, cloud: Azure) -> None:
        cloud.datastore("team", container="rows", hands_out_key=True)
        cloud.blobs.put("rows", "folder/rows.jsonl", b"{}")

        place = datastore("team")

        assert content(place) == b"{}"
        assert KEY not in f"{place!r} {place.credential!r} {vars(place.location)}"

    def test_a_path_may_have_any_characters(self, cloud: Azure) -> None:
        cloud.datastore("team", container="rows")
        cloud.blobs.put("rows", "größe 100%/a+b.jsonl", b"1")

        assert content(datastore("team", "größe 100%/a+b.jsonl")) == b"1"

    def test_nothing_secret_shows(self, cloud: Azure) -> None:
        cloud.datastore("team", container="rows")

        place = datastore("team")

        assert "sig=" not in f"{place!r} {place.location.uri} {place.where} {place.credential!r}"

    @pytest.mark.parametrize("kind", ["AzureFile", "OneLake", "AzureDataLakeGen1"])
    def test_other_kinds_are_refused_by_their_name(self, cloud: Azure, kind: str) -> None:
        cloud.datastore("share", kind)

        with pytest.raises(DatastoreNotSupported) as caught:
            datastore("share")

        assert str(caught.value) == (
            f"azureml://datastores/share/paths/folder/rows.jsonl: the datastore 'share' is of kind {kind}, which cannot be "
            "read (AzureBlob and AzureDataLakeGen2 can; copy the files into one of these)"
        )

    def test_one_that_is_not_there(self, cloud: Azure) -> None:
        cloud.datastore("training")

        with pytest.raises(DatastoreNotFound, match=r"there is no datastore 'trainig' \(did you mean 'training'\?\)"):
            datastore("trainig")


class TestWorkspaces:
    def own(self, cloud: Azure, **other: str) -> dict[str, str]:
        names = {"subscriptionId": "AZURE_SUBSCRIPTION_ID", "resourceGroup": "AZURE_RESOURCE_GROUP"}
        return {key: cloud.env[name] for key, name in names.items()} | {"workspace": "workspace", **other}

    def test_one_that_is_not_there(self, cloud: Azure) -> None:
        with pytest.raises(WorkspaceNotFound, match=r"no workspace 'worksapce' \(did you mean 'workspace'\?\)"):
            datastore(**self.own(cloud, workspace="worksapce"))

    @pytest.mark.parametrize("version", [{}, {"version": "1"}])
    def test_one_that_is_not_there_is_no_missing_model(
        self, cloud: Azure, tmp_path: Path, version: dict[str, str]
    ) -> None:
        with pytest.raises(WorkspaceNotFound, match=r"no workspace 'worksapce'"):
            model(tmp_path, name="phi", **version, **self.own(cloud, workspace="worksapce"))

    def test_a_resource_group_that_is_not_there(self, cloud: Azure) -> None:
        with pytest.raises(WorkspaceNotFound, match="the subscription has no resource group 'tset'"):
            datastore(**self.own(cloud, resourceGroup="tset"))

    def test_a_subscription_that_is_not_there(self, cloud: Azure) -> None:
        with pytest.raises(WorkspaceNotFound, match="there is no subscription 99, or these credentials do not see it"):
            datastore(**self.own(cloud, subscriptionId="99"))

    def test_a_config_json_says_which(self, cloud: Azure, tmp_path: Path) -> None:
        cloud.datastore("team")
        (tmp_path / "team.json").write_text(
            json.dumps(
                {
                    "subscription_id": cloud.env["AZURE_SUBSCRIPTION_ID"],
                    "resource_group": cloud.env["AZURE_RESOURCE_GROUP"],
                    "workspace_name": "workspace",
                }
            )
        )
        source = AzureMLDatastore.model_validate({"datastore": "team", "path": "x", "configFile": "team.json"})

        assert find_datastore(source, tmp_path, "").where == "azureml://datastores/team/paths/x"


class TestLogins:
    def test_without_any(self, cloud: Azure, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("AZURE_CLIENT_SECRET")
        monkeypatch.setenv("AZURE_TOKEN_CREDENTIALS", "EnvironmentCredential")  # the others look for a machine in Azure

        with pytest.raises(CredentialsMissing, match="AZURE_CLIENT_SECRET"):
            datastore()

    def test_a_wrong_secret(self, cloud: Azure, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AZURE_CLIENT_SECRET", "a-wrong-secret")

        with pytest.raises(LoginFailed, match="AADSTS7000215") as caught:
            datastore()

        assert "a-wrong-secret" not in str(caught.value)

    @pytest.mark.parametrize("tenant", ["contoso", "99999999-9999-9999-9999-999999999999"])
    def test_another_tenant(self, cloud: Azure, monkeypatch: pytest.MonkeyPatch, tenant: str) -> None:
        monkeypatch.setenv("AZURE_TENANT_ID", tenant)

        with pytest.raises(WrongTenant, match="AZURE_TENANT_ID"):
            datastore()

    def test_one_that_may_not_look(self, cloud: Azure) -> None:
        cloud.faults.forbid("/datastores/")

        with pytest.raises(AccessDenied, match="AuthorizationFailed"):
            datastore()


class TestTrouble:
    """The service is slow, busy or away: what heals is asked again, what does not is told soon."""

    @pytest.fixture
    def place(self, cloud: Azure, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
        """A workspace of its own: clients are kept, and this one's is to make short pauses."""
        monkeypatch.setattr(patience, "FIRST_PAUSE", 0.01)
        cloud.workspace("busy")
        return TestWorkspaces().own(cloud, workspace="busy")

    def test_throttling_that_passes_is_not_noticed(self, cloud: Azure, place: dict[str, str]) -> None:
        cloud.faults.throttle(2, path="/datastores/")

        assert datastore(**place).location.uri.endswith("/folder/rows.jsonl")

    def test_throttling_that_does_not_is_told(self, cloud: Azure, place: dict[str, str]) -> None:
        cloud.faults.throttle(None, path="/datastores/")

        with pytest.raises(AzureUnavailable, match="429") as caught:
            datastore(**place)

        assert cloud.asked("/busy/datastores/workspaceblobstore?") == 1 + patience.RETRIES
        assert caught.value.retryable

    def test_a_service_that_says_nothing_is_asked_twice_and_no_more(
        self, cloud: Azure, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(patience, "READ_SECONDS", 1)
        cloud.workspace("silent")
        cloud.faults.hang("/datastores/")

        with pytest.raises(AzureUnavailable, match="no answer from Azure"):
            datastore(**TestWorkspaces().own(cloud, workspace="silent"))

        assert cloud.asked("/silent/datastores/workspaceblobstore?") == 2

    def test_no_pause_is_longer_than_ours_whatever_the_service_asks_for(self) -> None:
        answer = type("Answer", (), {"http_response": type("Http", (), {"headers": {"Retry-After": "3600"}})})

        assert patience.Patience().get_retry_after(answer) == patience.LONGEST_PAUSE

    def test_what_the_sdk_says_of_itself_reaches_nobody(
        self, cloud: Azure, place: dict[str, str], capfd: pytest.CaptureFixture[str]
    ) -> None:
        datastore(**place)
        talk = logging.getLogger("azure.ai.ml")

        talk.getChild("_utils._experimental").warning("Class X: this is an experimental class")

        assert capfd.readouterr() == ("", "")
        assert logging.StreamHandler not in map(type, talk.handlers)  # it prints to the stderr of the SDK's import
        assert not talk.propagate


class TestRegistryModels:
    def test_the_latest_version_where_none_is_named(self, cloud: Azure, weights: Path, tmp_path: Path) -> None:
        registry = cloud.registry("azureml")
        registry.model("phi", "1", {"config.json": b"{}"})
        registry.model("phi", "2", weights)

        found = model(tmp_path, registry="azureml", name="phi")

        assert found.facts.where == "azureml://registries/azureml/models/phi/versions/2"
        assert dict(found.facts.tensors) == TENSORS

    def test_a_look_fetches_no_weights_and_fetching_brings_all(
        self, cloud: Azure, weights: Path, tmp_path: Path
    ) -> None:
        cloud.registry("azureml").model("phi", "1", weights)

        found = model(tmp_path, registry="azureml", name="phi", version="1")
        before = {path.name for path in found.tokenizer.iterdir()}
        folder = found.fetch().folder

        assert before == {"config.json", "tokenizer.json", "tokenizer_config.json"}
        assert {path.name: path.read_bytes() for path in folder.iterdir()} == {
            path.name: path.read_bytes() for path in weights.iterdir()
        }

    def test_one_that_everybody_may_read_is_read_without_a_login(
        self, cloud: Azure, weights: Path, tmp_path: Path
    ) -> None:
        cloud.registry("azureml").model("phi", "1", weights, public=True)

        assert dict(model(tmp_path, registry="azureml", name="phi").facts.tensors) == TENSORS

    def test_the_digest_names_the_content(self, cloud: Azure, weights: Path, tmp_path: Path) -> None:
        registry = cloud.registry("azureml")
        registry.model("phi", "1", weights)
        registry.model("other", "1", make_model_files(tmp_path / "other", vocab_size=256))

        first = model(tmp_path, registry="azureml", name="phi")

        assert model(tmp_path, registry="azureml", name="phi").digest == first.digest
        assert model(tmp_path, registry="azureml", name="other").digest != first.digest

    @pytest.mark.parametrize("form", [as_transformers, as_azure])
    @pytest.mark.parametrize("nested", ["", "mlflow_model_folder"])
    def test_mlflows_form_becomes_a_folder_in_hugging_faces(
        self, cloud: Azure, weights: Path, tmp_path: Path, form: Any, nested: str
    ) -> None:
        form(weights, tmp_path / "asset" / nested)
        cloud.registry("azureml").model("phi", "1", tmp_path / "asset", kind="mlflow_model", flavors={})

        folder = model(tmp_path / "home", registry="azureml", name="phi").fetch().folder

        assert {path.name: path.read_bytes() for path in folder.iterdir()} == {
            path.name: path.read_bytes() for path in weights.iterdir()
        }

    def test_mlflows_form_without_a_model(self, cloud: Azure, tmp_path: Path) -> None:
        describe(tmp_path / "asset", TRANSFORMERS)
        cloud.registry("azureml").model("phi", "1", tmp_path / "asset", kind="mlflow_model")

        with pytest.raises(InvalidModel) as caught:
            model(tmp_path, registry="azureml", name="phi")

        assert str(caught.value).startswith(
            "azureml://registries/azureml/models/phi/versions/1/MLmodel: it holds no model"
        )

    def test_code_that_comes_with_a_model_has_to_be_trusted(self, cloud: Azure, tmp_path: Path) -> None:
        own = {"model_type": "own", "auto_map": {"AutoModelForCausalLM": "modeling.Own"}}
        folder = make_model_files(tmp_path / "own", **own)
        (folder / "modeling.py").write_text("class Own: ...")
        as_azure(folder, tmp_path / "asset")
        (folder / "modeling.py").replace(tmp_path / "asset" / "data" / "model" / "modeling.py")
        cloud.registry("azureml").model("own", "1", tmp_path / "asset")

        with pytest.raises(InvalidModel, match="trustRemoteCode: true"):
            model(tmp_path, registry="azureml", name="own")
        found = model(tmp_path, registry="azureml", name="own", trusted=True)

        assert (found.fetch().folder / "modeling.py").exists()

    def test_a_registry_that_is_not_there(self, cloud: Azure, tmp_path: Path) -> None:
        with pytest.raises(ModelNotFound, match="there is no registry 'azurml', or these credentials do not see it"):
            model(tmp_path, registry="azurml", name="phi")

    def test_a_name_that_is_not_there(self, cloud: Azure, weights: Path, tmp_path: Path) -> None:
        registry = cloud.registry("azureml")
        for name in ("llama", "mistral", "phi-mini", "qwen"):
            registry.model(name, "1", {"x": b""})

        with pytest.raises(ModelNotFound) as caught:
            model(tmp_path, registry="azureml", name="phi-mni")

        assert str(caught.value) == (
            "azureml://registries/azureml/models/phi-mni/versions/latest: the registry azureml has no model 'phi-mni' "
            "(did you mean 'phi-mini'?)"
        )

    def test_a_version_that_is_not_there(self, cloud: Azure, tmp_path: Path) -> None:
        registry = cloud.registry("azureml")
        for version in ("1", "2", "3"):
            registry.model("phi", version, {"x": b""})

        with pytest.raises(ModelNotFound, match=r"there is no version '9' of phi \(its versions are 1, 2, 3\)"):
            model(tmp_path, registry="azureml", name="phi", version="9")

    def test_a_label_that_leads_nowhere(self, cloud: Azure, tmp_path: Path) -> None:
        cloud.registry("azureml").model("phi", "4", {"x": b""})

        with pytest.raises(
            ModelNotFound, match=r"no version of phi has the label 'best' \(the label latest is there; its"
        ):
            model(tmp_path, registry="azureml", name="phi", label="best")

    def test_a_download_that_was_interrupted_goes_on(
        self, cloud: Azure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        folder = make_model_files(tmp_path / "large", {**TENSORS, "large": (5, 1 << 20)})
        cloud.registry("azureml").model("phi", "1", folder)
        found = model(tmp_path / "home", registry="azureml", name="phi")
        cut = Cut(cloud, monkeypatch, "/model.safetensors", at=BLOCK_SIZE)

        with pytest.raises(AccessDenied):
            found.fetch()
        fetched, whole = cut.bytes_sent, (folder / "model.safetensors").stat().st_size
        cut.mend()
        file = found.fetch().folder / "model.safetensors"

        assert fetched == BLOCK_SIZE
        assert cut.bytes_sent == whole
        assert file.read_bytes() == (folder / "model.safetensors").read_bytes()

    def test_a_signature_that_ends_in_the_middle_is_asked_for_again(
        self, cloud: Azure, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        cloud.registry("azureml").model("phi", "1", weights)
        found = model(tmp_path, registry="azureml", name="phi")
        signed = cloud.asked("/datarefs/phi/versions/1")
        now = sas.now()
        monkeypatch.setattr(sas, "now", lambda: now + timedelta(minutes=58))

        found.fetch()

        assert (signed, cloud.asked("/datarefs/phi/versions/1")) == (1, 2)


class TestWorkspaceModels:
    def test_a_models_files_are_found_through_its_datastore(self, cloud: Azure, weights: Path, tmp_path: Path) -> None:
        cloud.model("phi", "3", weights)

        found = model(tmp_path, name="phi")

        assert found.facts.where == "azureml:phi:3"
        assert found.fetch().folder.joinpath("model.safetensors").read_bytes() == (
            (weights / "model.safetensors").read_bytes()
        )

    def at(self, cloud: Azure, uri: str) -> dict[str, str]:
        """Makes a workspace whose model phi lies somewhere; returns what names it."""
        place = cloud.workspace("elsewhere")
        place.assets.add("models", "phi", "1", {"modelType": "custom_model", "modelUri": uri, "flavors": {}})
        return TestWorkspaces().own(cloud, workspace="elsewhere", name="phi")

    def test_the_artifacts_of_a_job(self, cloud: Azure, weights: Path, tmp_path: Path) -> None:
        source = self.at(cloud, "azureml://jobs/brave_tooth/outputs/artifacts/paths/model/")
        for path in weights.iterdir():
            cloud.blobs.put("azureml", f"ExperimentRun/dcid.brave_tooth/model/{path.name}", path.read_bytes())

        assert model(tmp_path, **source).facts.model_type == "phi3"

    def test_a_place_in_blob_storage_is_read_as_one(
        self, cloud: Azure, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("AZURE_STORAGE_KEY", KEY)
        source = self.at(cloud, f"{cloud.datastore('team', container='registered')}/phi")
        for path in weights.iterdir():
            cloud.blobs.put("registered", f"phi/{path.name}", path.read_bytes())

        assert model(tmp_path, **source).facts.model_type == "phi3"

    def test_a_place_that_cannot_be_read_is_told(self, cloud: Azure, tmp_path: Path) -> None:
        source = self.at(cloud, "azureml://jobs/brave_tooth/outputs/trained/paths/model/")

        with pytest.raises(InvalidModel) as caught:
            model(tmp_path, **source)

        assert str(caught.value) == (
            "azureml:phi:1: its files lie at azureml://jobs/brave_tooth/outputs/trained/paths/model/, which cannot be read "
            "(register it from a datastore, or from the artifacts of a job)"
        )

    def test_a_folder_of_a_datastore(self, cloud: Azure, weights: Path, tmp_path: Path) -> None:
        cloud.datastore("team", container="models")
        for path in weights.iterdir():
            cloud.blobs.put("models", f"phi/final/{path.name}", path.read_bytes())

        found = model(tmp_path, datastore="team", path="phi/final/")

        assert found.facts.where == "azureml://datastores/team/paths/phi/final/"
        assert found.facts.model_type == "phi3"

    def test_a_folder_of_a_datastore_that_is_empty(self, cloud: Azure, tmp_path: Path) -> None:
        cloud.datastore("team", container="no-models")

        with pytest.raises(ModelNotFound, match="azureml://datastores/team/paths/phi: nothing lies there"):
            model(tmp_path, datastore="team", path="phi")

    def test_a_name_that_is_not_there(self, cloud: Azure, tmp_path: Path) -> None:
        cloud.model("phi", "1", {"x": b""})

        with pytest.raises(ModelNotFound, match=r"the workspace workspace has no model 'phy' \(did you mean 'phi'\?\)"):
            model(tmp_path, name="phy", version="1")
