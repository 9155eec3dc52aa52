"""A real S3 server for tests: versitygw on loopback, over a folder. Built when it is not there yet."""

from __future__ import annotations

import signal
import socket
import subprocess
import time
from pathlib import Path

from tests.cluster.ground import install

ACCESS, SECRET = "millwright-tests", "a-secret-that-no-message-may-show"
START_SECONDS = 30


class S3Server:
    """One server over one folder, which outlives it: killed and started again, it has what was acknowledged."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = _free_port()
        self._process: subprocess.Popen[bytes] | None = None
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

    def start(self) -> None:
        command = [
            str(install.program("versitygw")), "--port", f"127.0.0.1:{self.port}", "--iam-dir", str(self.folder / "iam"),
            "--access", ACCESS, "--secret", SECRET, "--quiet", "posix", str(self.folder / "data"),
        ]  # fmt: skip
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        deadline = time.monotonic() + START_SECONDS
        while not _answers(self.port):
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the S3 server did not start: {(self.folder / 'log').read_text()[-2000:]}")
            time.sleep(0.02)

    def bucket(self, name: str) -> str:
        """Makes a bucket: a folder, for this server."""
        (self.folder / "data" / name).mkdir(exist_ok=True)
        return name

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


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0
