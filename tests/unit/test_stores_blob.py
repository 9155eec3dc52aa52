"""What only Blob Storage does: its addresses, by what it is opened, copies that take their time, accounts with folders."""

from __future__ import annotations

import datetime
import sys
import traceback
from pathlib import Path
from typing import Any

import pytest
from azure.core.credentials import AzureNamedKeyCredential, AzureSasCredential
from azure.storage.blob import BlobClient, ContainerSasPermissions, generate_container_sas
from tests.azureml.stub import Azure
from tests.azurite import ACCOUNT, KEY, Azurite, BlobContainer
from tests.brokenwire import Proxy
from tests.storeground import MIB, BlobGround, make

from millwright_api.errors import (
    AccessDenied,
    AzureUnavailable,
    CredentialsMissing,
    LoginFailed,
    MillwrightError,
    StoreNotFound,
    UserError,
    WrongTenant,
)
from millwright_api.v1alpha1 import AzureBlobLocation
from millwright_runner.stores import Entry, open_store
from millwright_runner.stores.locations import BlobPlace, below, folder_and_name

WRONG_KEY = "d3Jvbmcta2V5LXRoYXQtbm8tbWVzc2FnZS1tYXktc2hvdw=="


def signature(container: BlobContainer, hours: float = 1, permission: str = "racwdl") -> str:
    """A shared access signature of the container."""
    until = datetime.datetime.now(datetime.UTC) + datetime.timedelta(hours=hours)
    allowed = ContainerSasPermissions.from_string(permission)
    return generate_container_sas(ACCOUNT, container.name, KEY, permission=allowed, expiry=until)


@pytest.fixture
def bare(blob: BlobContainer, monkeypatch: pytest.MonkeyPatch) -> BlobContainer:
    """A container, and nothing in the environment that opens it."""
    monkeypatch.delenv("AZURE_STORAGE_KEY")
    monkeypatch.delenv("AZURE_STORAGE_ACCOUNT")
    return blob


def opens(location: AzureBlobLocation, credential: Any = None) -> None:
    """Writes, copies and reads."""
    store = open_store(location, credential=credential)
    store.check(write=True)
    store.write("f", b"x")
    store.copy("f", "g")
    assert list(store.list("")) == [Entry("f", 1), Entry("g", 1)]


def refused(location: AzureBlobLocation, *secrets: str, credential: Any = None) -> MillwrightError:
    """What a check raises; nothing of it may show a secret, the traceback included."""
    with pytest.raises(MillwrightError) as caught:
        open_store(location, credential=credential).check(write=True)
    shown = "".join(traceback.format_exception(caught.value)) + repr(caught.value)
    for secret in (*secrets, KEY, WRONG_KEY):
        assert secret not in shown
    return caught.value


class TestAddresses:
    @pytest.mark.parametrize(
        ("uri", "place"),
        [
            (
                "https://team.blob.core.windows.net/models/a/b/",
                ("https://team.blob.core.windows.net", "team", "models", "a/b"),
            ),
            ("https://team.blob.core.windows.net/models", ("https://team.blob.core.windows.net", "team", "models", "")),
            ("https://team.blob.example.local:8443/c/k", ("https://team.blob.example.local:8443", "team", "c", "k")),
            ("http://127.0.0.1:10000/devstore/c/k", ("http://127.0.0.1:10000/devstore", "devstore", "c", "k")),
            ("http://localhost:10000/devstore/c", ("http://localhost:10000/devstore", "devstore", "c", "")),
            ("http://[::1]:10000/devstore/c", ("http://[::1]:10000/devstore", "devstore", "c", "")),
            ("https://azurite.store.svc:10000/dev/c/k", ("https://azurite.store.svc:10000/dev", "dev", "c", "k")),
            ("https://t.blob.core.windows.net/c/a%20b%25", ("https://t.blob.core.windows.net", "t", "c", "a b%")),
        ],
    )
    def test_account_and_container_are_where_azure_and_emulators_have_them(
        self, uri: str, place: tuple[str, str, str, str]
    ) -> None:
        assert BlobPlace.of(uri) == BlobPlace(*place)

    @pytest.mark.parametrize("key", ["a b%c#d", "größe-模型", "a+b&c=d", "x/y"])
    def test_what_a_store_is_called_leads_to_it_again(self, key: str) -> None:
        place = BlobPlace("https://t.blob.core.windows.net", "t", "c", key)

        assert BlobPlace.of(AzureBlobLocation(uri=place.folder).uri) == place

    def test_an_account_alone_is_no_place(self) -> None:
        with pytest.raises(StoreNotFound, match="no container"):
            BlobPlace.of("http://127.0.0.1:10000/devstore/")

    def test_a_file_is_known_by_its_folder_and_its_decoded_name(self) -> None:
        location = AzureBlobLocation(uri="https://t.blob.core.windows.net/c/team/my%20rows.jsonl")

        assert folder_and_name(location) == (
            AzureBlobLocation(uri="https://t.blob.core.windows.net/c/team/"),
            "my rows.jsonl",
        )

    def test_a_container_is_no_file(self) -> None:
        assert folder_and_name(AzureBlobLocation(uri="https://t.blob.core.windows.net/c")) is None

    def test_a_place_below_keeps_its_account(self) -> None:
        location = AzureBlobLocation(uri="https://t.blob.core.windows.net/c/out")

        assert below(location, "trials/3").uri == "https://t.blob.core.windows.net/c/out/trials/3/"


class TestWhatOpensIt:
    @pytest.mark.parametrize("name", ["AZURE_STORAGE_KEY", "AZURE_STORAGE_ACCOUNT_KEY"])
    def test_the_accounts_key(self, bare: BlobContainer, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
        monkeypatch.setenv(name, KEY)

        opens(bare.location("x"))

    @pytest.mark.parametrize("mark", ["", "?"])
    def test_a_signature(self, bare: BlobContainer, monkeypatch: pytest.MonkeyPatch, mark: str) -> None:
        monkeypatch.setenv("AZURE_STORAGE_SAS_TOKEN", mark + signature(bare))

        opens(bare.location("x"))

    def test_a_connection_string_with_a_key(self, bare: BlobContainer, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", bare.server.connection_string)

        opens(bare.location("x"))

    def test_a_connection_string_with_a_signature(self, bare: BlobContainer, monkeypatch: pytest.MonkeyPatch) -> None:
        text = f"BlobEndpoint={bare.server.endpoint};SharedAccessSignature={signature(bare)}"
        monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", text)

        opens(bare.location("x"))

    def test_a_connection_string_goes_before_a_key(self, bare: BlobContainer, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", bare.server.connection_string)
        monkeypatch.setenv("AZURE_STORAGE_KEY", WRONG_KEY)

        opens(bare.location("x"))

    def test_what_is_of_another_account_is_not_used(self, bare: BlobContainer, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", f"AccountName=other;AccountKey={WRONG_KEY}")
        monkeypatch.setenv("AZURE_STORAGE_ACCOUNT", "other")
        monkeypatch.setenv("AZURE_STORAGE_KEY", WRONG_KEY)
        monkeypatch.setenv("AZURE_STORAGE_SAS_TOKEN", signature(bare))

        opens(bare.location("x"))

    @pytest.mark.parametrize("given", ["key", "signature"])
    def test_what_is_given_goes_before_the_environment(
        self, bare: BlobContainer, monkeypatch: pytest.MonkeyPatch, given: str
    ) -> None:
        monkeypatch.setenv("AZURE_STORAGE_KEY", WRONG_KEY)
        key = AzureNamedKeyCredential(ACCOUNT, KEY)

        opens(bare.location("x"), key if given == "key" else AzureSasCredential(signature(bare)))

    def test_a_login_by_token_needs_https(self, bare: BlobContainer) -> None:
        error = refused(bare.location("x"))

        assert isinstance(error, CredentialsMissing)
        assert "AZURE_STORAGE_KEY" in str(error)


class TestWhatDoesNot:
    @pytest.mark.parametrize("variable", ["AZURE_STORAGE_KEY", "AZURE_STORAGE_CONNECTION_STRING"])
    def test_a_wrong_key_is_denied_and_says_where_it_came_from(
        self, bare: BlobContainer, monkeypatch: pytest.MonkeyPatch, variable: str
    ) -> None:
        text = WRONG_KEY if variable == "AZURE_STORAGE_KEY" else f"AccountName={ACCOUNT};AccountKey={WRONG_KEY}"
        monkeypatch.setenv(variable, text)

        error = refused(bare.location("x"))

        assert isinstance(error, AccessDenied)
        assert error.hint == f"the credentials come from the environment ({variable})"

    def test_a_key_that_is_none_is_told_without_asking(
        self, bare: BlobContainer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("AZURE_STORAGE_KEY", "no key, but a password")

        error = refused(bare.location("x"), "a password")

        assert isinstance(error, AccessDenied)
        assert "AZURE_STORAGE_KEY is none: it is not base64" in str(error)

    @pytest.mark.parametrize(
        ("text", "said"),
        [("hello", "names no account"), (f"AccountName={ACCOUNT}", "neither AccountKey nor SharedAccessSignature")],
    )
    def test_a_torn_connection_string(
        self, bare: BlobContainer, monkeypatch: pytest.MonkeyPatch, text: str, said: str
    ) -> None:
        monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", text)

        assert said in str(refused(bare.location("x")))

    @pytest.mark.parametrize("change", ["torn", "expired", "read only"])
    def test_a_signature_that_does_not_do(
        self, bare: BlobContainer, monkeypatch: pytest.MonkeyPatch, change: str
    ) -> None:
        text = {
            "torn": signature(bare).replace("sig=", "sig=AAAA"),
            "expired": signature(bare, hours=-1),
            "read only": signature(bare, permission="rl"),
        }[change]
        monkeypatch.setenv("AZURE_STORAGE_SAS_TOKEN", text)

        error = refused(bare.location("x"), text, text.partition("sig=")[2])

        assert isinstance(error, AccessDenied)
        assert error.hint == "the credentials come from the environment (AZURE_STORAGE_SAS_TOKEN)"

    def test_a_signature_in_the_address_is_refused_before_it_is_shown(self, bare: BlobContainer) -> None:
        with pytest.raises(ValueError, match="uri"):
            AzureBlobLocation(uri=f"{bare.uri}x?{signature(bare)}")

    def test_a_server_that_is_away_shows_no_signature(
        self, bare: BlobContainer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        text = signature(bare)
        monkeypatch.setenv("AZURE_STORAGE_SAS_TOKEN", text)
        proxy = Proxy(bare.server.port)
        proxy.close()
        location = BlobGround(bare).location(f"{bare.uri}x", proxy.endpoint)

        refused(location, text.partition("sig=")[2])


class TestWithoutTheSdks:
    def test_what_to_install_is_said(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "millwright_runner.stores.azure_blob", None)

        with pytest.raises(UserError, match="Azure's SDKs are not installed here"):
            open_store(AzureBlobLocation(uri="https://t.blob.core.windows.net/c"))


class TestTokens:
    """Logins of Entra: the stub issues the tokens, and checks them; Azurite's own check is asked once."""

    @pytest.fixture
    def address(self, azure: Azure) -> AzureBlobLocation:
        azure.blobs.make("tokens")
        return AzureBlobLocation(uri=f"https://{ACCOUNT}.blob.core.windows.net/tokens/x")

    @pytest.mark.parametrize("kind", ["secret", "federated"])
    def test_a_client_and_a_workload_identity_open_it(
        self, azure: Azure, address: AzureBlobLocation, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kind: str
    ) -> None:
        azure.use(monkeypatch, azure.env if kind == "secret" else azure.federated(tmp_path))
        store = open_store(address)

        store.write("f", b"x")
        store.copy("f", "g")

        assert azure.blobs.get("tokens", "x/g") == b"x"

    @pytest.mark.parametrize(
        ("change", "kind", "said"),
        [
            ({"AZURE_CLIENT_SECRET": "wrong-secret"}, LoginFailed, "AADSTS7000215"),
            ({"AZURE_CLIENT_ID": "11111111-1111-1111-1111-111111111111"}, LoginFailed, "AADSTS700016"),
            ({"AZURE_TENANT_ID": "contoso"}, WrongTenant, "contoso"),
            ({"AZURE_CLIENT_SECRET": ""}, LoginFailed, "cannot be used: secret should be"),
        ],
    )
    def test_a_wrong_login_says_what_is_wrong_with_it(
        self,
        azure: Azure,
        address: AzureBlobLocation,
        monkeypatch: pytest.MonkeyPatch,
        change: dict[str, str],
        kind: type[MillwrightError],
        said: str,
    ) -> None:
        azure.use(monkeypatch, {**azure.env, "AZURE_TOKEN_CREDENTIALS": "EnvironmentCredential", **change})

        error = refused(address, "wrong-secret", azure.env["AZURE_CLIENT_SECRET"])

        assert isinstance(error, kind)
        assert said in str(error)

    def test_azurites_own_check_takes_a_token_of_the_login(
        self, azure: Azure, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        server = Azurite(tmp_path / "azurite", tls=True)
        server.start()
        try:
            container = BlobContainer(server, server.container("tokens"))
            azure.use(monkeypatch)
            both = tmp_path / "both.pem"
            both.write_bytes(Path(azure.env["REQUESTS_CA_BUNDLE"]).read_bytes() + server.certificate.read_bytes())
            monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(both))

            opens(container.location("x"))
        finally:
            server.stop()


class TestCopies:
    def test_a_large_copy_moves_no_byte_through_this_machine(self, blob: BlobContainer, tmp_path: Path) -> None:
        proxy, ground = Proxy(blob.server.port), BlobGround(blob)
        file, digest = make(tmp_path / "f", 8 * MIB)
        store = ground.open(proxy.endpoint)
        store.put("f", file, digest)
        before = proxy.up + proxy.down

        store.copy("f", "g")

        assert proxy.up + proxy.down - before < 10_000
        found = store.stat("g")
        assert found is not None
        assert (found.size, found.sha256) == (8 * MIB, digest)

    def test_a_copy_that_takes_longer_than_its_answer_is_waited_for(
        self, blob: BlobContainer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        ask, begin, left = BlobClient.get_blob_properties, BlobClient.start_copy_from_url, [3]

        def slow(client: BlobClient, *arguments: Any, **options: Any) -> Any:
            found = ask(client, *arguments, **options)
            if client.blob_name == "x/g" and left[0]:
                left[0] -= 1
                found.copy.status = "pending"
            return found

        def begun(client: BlobClient, *arguments: Any, **options: Any) -> Any:
            return {**begin(client, *arguments, **options), "copy_status": "pending"}

        store = open_store(blob.location("x"))
        store.write("f", b"x")
        monkeypatch.setattr(BlobClient, "get_blob_properties", slow)
        monkeypatch.setattr(BlobClient, "start_copy_from_url", begun)

        store.copy("f", "g")

        assert left == [0]
        there = store.read("g")
        assert there is not None
        assert there.data == b"x"


class TestAccountsWithFolders:
    def test_a_folder_is_no_file(self, blob: BlobContainer) -> None:
        with blob.client() as client:
            client.upload_blob("x/models", b"", metadata={"hdi_isfolder": "true"})
            client.upload_blob("x/models/config.json", b"{}")
        store = open_store(blob.location("x"))

        assert list(store.list("")) == [Entry("models/config.json", 2)]
        assert store.stat("models") is None


class TestServicesThatAreBusy:
    def test_a_login_that_does_not_answer_is_tried_again_later(
        self, azure: Azure, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        host = Proxy(1)
        host.close()
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        azure.use(monkeypatch, {**azure.env, "AZURE_AUTHORITY_HOST": host.endpoint.replace("http:", "https:")})

        error = refused(AzureBlobLocation(uri=f"https://{ACCOUNT}.blob.core.windows.net/tokens/x"))

        assert isinstance(error, AzureUnavailable)
        assert error.retryable
