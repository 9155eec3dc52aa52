"""A real Blob server for tests: Azurite on loopback. Installed with npm when it is not there yet, once for each machine."""

from __future__ import annotations

import datetime
import ipaddress
import shutil
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from tests.cluster.ground.settings import HOME, PROJECT
from tests.cluster.ground.shell import GroundError, locked, run, say

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

START_SECONDS = 60


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


def command(
    port: int, folder: Path | None = None, *, host: str = "127.0.0.1", tls: tuple[Path, Path] | None = None
) -> list[str]:
    """Returns the command line of a server; Azurite must be installed.

    Args:
        port: where it listens.
        folder: where it keeps what it is given; None: in memory.
        host: the address that it listens on.
        tls: certificate and key, as PEM files; then tokens are taken as well.
    """
    kept = ["--location", str(folder)] if folder else ["--inMemoryPersistence"]
    secured = ["--cert", str(tls[0]), "--key", str(tls[1]), "--oauth", "basic"] if tls else []
    return [
        "node", str(PROGRAM), "--blobHost", host, "--blobPort", str(port), *kept, *secured, "--silent",
        "--skipApiVersionCheck", "--disableProductStyleUrl", "--disableTelemetry",
    ]  # fmt: skip


class Azurite:
    """One server, which keeps what it has in memory, or in a folder that outlives it.

    Args:
        folder: of its log, and of its certificate.
        kept: whether it keeps what it has in that folder.
        tls: whether it speaks https, with a certificate of its own, and takes tokens.
    """

    def __init__(self, folder: Path, *, kept: bool = False, tls: bool = False) -> None:
        self.folder, self._kept, self._tls = folder, kept, tls
        self.port = _free_port()
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)
        if tls:
            make_certificate(*self._pair)

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
        return self.folder / "certificate.pem", self.folder / "key.pem"

    def start(self) -> None:
        install()
        words = command(self.port, self.folder / "data" if self._kept else None, tls=self._pair if self._tls else None)
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(words, stdout=log, stderr=log, cwd=self.folder)
        deadline = time.monotonic() + START_SECONDS
        while not _answers(self.port):
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"Azurite did not start: {(self.folder / 'log').read_text()[-2000:]}")
            time.sleep(0.02)

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

    def kill(self) -> None:
        """kill -9, as a power cut would."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def _end(self, how: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait()
            self._process = None


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


def make_certificate(certificate: Path, key: Path) -> None:
    """Makes a certificate for 127.0.0.1 and localhost that signs itself, and its key."""
    secret = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1")), x509.DNSName("localhost")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(secret.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=30))
        .add_extension(names, critical=False)
        .sign(secret, hashes.SHA256())
    )
    encoding = serialization.Encoding.PEM
    certificate.write_bytes(made.public_bytes(encoding))
    key.write_bytes(secret.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


if __name__ == "__main__":  # tools/testtools.sh
    try:
        install()
    except GroundError as failed:
        sys.exit(f"setup: {failed}")
