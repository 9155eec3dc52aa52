"""A real S3 server for tests: versitygw on loopback, over a folder. Built when it is not there yet."""

from __future__ import annotations

from pathlib import Path

from tests.cluster.ground import install
from tests.localserver import LocalServer

ACCESS, SECRET = "millwright-tests", "a-secret-that-no-message-may-show"


class S3Server(LocalServer):
    """One server over one folder, which outlives it: killed and started again, it has what was acknowledged."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        (folder / "iam").mkdir(parents=True)
        (folder / "data").mkdir()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        """What a client's process needs: credentials, and nothing of the machine's own AWS configuration."""
        nowhere = str(self.folder / "no-such-file")
        return {
            "AWS_ENDPOINT_URL": self.endpoint, "AWS_ACCESS_KEY_ID": ACCESS, "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_CONFIG_FILE": nowhere, "AWS_SHARED_CREDENTIALS_FILE": nowhere, "AWS_EC2_METADATA_DISABLED": "true",
        }  # fmt: skip

    def command(self) -> list[str]:
        return [
            str(install.program("versitygw")), "--port", f"127.0.0.1:{self.port}", "--iam-dir", str(self.folder / "iam"),
            "--access", ACCESS, "--secret", SECRET, "--quiet", "posix", str(self.folder / "data"),
        ]  # fmt: skip

    def bucket(self, name: str) -> str:
        """Makes a bucket: a folder, for this server."""
        (self.folder / "data" / name).mkdir(exist_ok=True)
        return name
