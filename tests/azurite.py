"""A real Blob server for tests: Azurite on loopback. Installed with npm when it is not there yet, once for each machine."""

from __future__ import annotations

import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.azureml.tls import server_context
from tests.cluster.ground.settings import HOME, PROJECT
from tests.cluster.ground.shell import GroundError, locked, run, say
from tests.localserver import LocalServer

from millwright_api.v1alpha1 import AzureBlobLocation

if TYPE_CHECKING:
    from azure.storage.blob import ContainerClient

VERSION = "3.35.0"
FOLDER = HOME / f"azurite-{VERSION}"
PROGRAM = FOLDER / "node_modules" / "azurite" / "dist" / "src" / "blob" / "main.js"
STAMP = FOLDER / "installed"

ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
"""Of the emulator's one account, as its documentation has it: worth nothing elsewhere."""


def install() -> None:
    """Installs Azurite, where it is not there yet."""
    if STAMP.exists():
        return
    HOME.mkdir(parents=True, exist_ok=True)
    with locked(HOME / "azurite.lock"):
        if STAMP.exists():
            return
        if shutil.which("npm") is None:
            run(PROJECT / "tools" / "apt.sh", "npm, for Azurite,", "nodejs", "npm")
        say("installing Azurite, about 1 min, once per machine")
        shutil.rmtree(FOLDER, ignore_errors=True)
        FOLDER.mkdir()
        run("npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", FOLDER, f"azurite@{VERSION}")
        STAMP.touch()


class Azurite(LocalServer):
    """One server, which keeps what it has in memory.

    Args:
        folder: of its log, and of its certificate.
        tls: whether it speaks https, with a certificate of its own, and takes tokens.
    """

    def __init__(self, folder: Path, *, tls: bool = False) -> None:
        super().__init__(folder)
        self._tls = tls
        folder.mkdir(parents=True, exist_ok=True)
        if tls:
            server_context(folder)

    @property
    def endpoint(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}/{ACCOUNT}"

    @property
    def certificate(self) -> Path:
        """What a client has to trust, with tls."""
        return self._pair[0]

    @property
    def connection_string(self) -> str:
        return f"AccountName={ACCOUNT};AccountKey={KEY};BlobEndpoint={self.endpoint};"

    @property
    def environment(self) -> dict[str, str]:
        """What a client's process needs: the account's key; no other login is looked for."""
        return {
            "AZURE_STORAGE_ACCOUNT": ACCOUNT, "AZURE_STORAGE_KEY": KEY, "AZURE_TOKEN_CREDENTIALS": "EnvironmentCredential",
            **({"REQUESTS_CA_BUNDLE": str(self.certificate)} if self._tls else {}),
        }  # fmt: skip

    @property
    def _pair(self) -> tuple[Path, Path]:
        return self.folder / "ca.pem", self.folder / "key.pem"

    def command(self) -> list[str]:
        install()
        certificate, key = map(str, self._pair)
        secured = ["--cert", certificate, "--key", key, "--oauth", "basic"] if self._tls else []
        return [
            "node", str(PROGRAM), "--blobHost", "127.0.0.1", "--blobPort", str(self.port), *secured, "--silent",
            "--inMemoryPersistence", "--skipApiVersionCheck", "--disableProductStyleUrl", "--disableTelemetry",
        ]  # fmt: skip

    def container(self, name: str) -> str:
        """Makes a container."""
        with self.client(name) as client:
            client.create_container()
        return name

    def client(self, container: str) -> ContainerClient:
        """Returns Azure's own client of a container: for tests that look behind ours."""
        from azure.storage.blob import ContainerClient

        verified = str(self.certificate) if self._tls else True
        return ContainerClient(self.endpoint, container, credential=KEY, connection_verify=verified)


@dataclass(frozen=True)
class BlobContainer:
    """A container on a server, whose credentials are in the environment."""

    server: Azurite
    name: str

    @property
    def uri(self) -> str:
        return f"{self.server.endpoint}/{self.name}/"

    def location(self, key: str = "") -> AzureBlobLocation:
        return AzureBlobLocation(uri=f"{self.uri}{key}")

    def client(self) -> ContainerClient:
        return self.server.client(self.name)


if __name__ == "__main__":  # tools/testtools.sh
    try:
        install()
    except GroundError as failed:
        sys.exit(f"setup: {failed}")
