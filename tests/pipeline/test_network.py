"""No telemetry, and no network but what the manifest names: seen from outside, by the system calls of a whole run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import S3Bucket
from tests.pipeline.jobs import COMMAND, Mill, job
from tests.strace import addresses, strace

CALLS = "connect,sendto,sendmsg,sendmmsg"

QUIETENED = (
    "ORT_DISABLE_TELEMETRY",
    "HF_HUB_OFFLINE",
    "HF_HUB_DISABLE_TELEMETRY",
    "TRANSFORMERS_OFFLINE",
    "DO_NOT_TRACK",
    "AWS_EC2_METADATA_DISABLED",
    "CI",
)
"""What a machine may have set, and what would make this test say more than is true of a machine that has not."""


def watched_run(
    mill: Mill, manifest: dict[str, Any], *options: str
) -> tuple[subprocess.CompletedProcess[str], set[tuple[str, int]]]:
    """Runs a job; returns what it said, and the addresses that it turned to."""
    environment = {name: value for name, value in mill.environment.items() if name not in QUIETENED}
    log = mill.folder / "calls"
    done = strace(
        CALLS, log, [*COMMAND, "run", str(mill.write(manifest)), "--json", *options], environment, mill.folder
    )
    return done, addresses(log)


def test_the_watch_sees_a_connection_that_is_made_and_one_that_fails(tmp_path: Path) -> None:
    code = "import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.sendto(b'x', ('127.0.0.1', 9)); "
    code += "t = socket.socket(); t.connect_ex(('127.0.0.1', 1)); u = socket.socket(socket.AF_INET6); u.connect_ex(('::1', 2))"

    done = strace(CALLS, tmp_path / "calls", [sys.executable, "-c", code], os.environ, tmp_path)

    assert done.returncode == 0, done.stderr
    assert addresses(tmp_path / "calls") == {("127.0.0.1", 9), ("127.0.0.1", 1), ("::1", 2)}


def test_a_run_from_folder_to_folder_makes_no_connection_at_all(mill: Mill, phi3: Path, rows: Path) -> None:
    done, turned_to = watched_run(mill, job(phi3, rows, mill.folder / "out"))

    assert done.returncode == 0, done.stderr
    assert (mill.folder / "out" / "model" / "model.onnx").is_file()
    assert turned_to == set()


def test_a_run_that_fails_makes_no_connection_either(mill: Mill, phi3: Path, rows: Path) -> None:
    done, turned_to = watched_run(
        mill, job(phi3, rows, mill.folder / "out"), "--set", "passes.lora.targetModules=[nothing]"
    )

    assert done.returncode == 2
    assert turned_to == set()


def test_a_run_into_a_bucket_turns_to_that_server_alone(
    mill: Mill, phi3: Path, rows: Path, s3: S3Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_that_nobody_may_see")

    done, turned_to = watched_run(mill, job(phi3, rows, f"{s3.uri}tiny/"))

    assert done.returncode == 0, done.stderr
    assert turned_to == {("127.0.0.1", s3.server.port)}
