"""Runs Python where the disk is too small: on a tmpfs of its own, or under a limit on the size of files."""

from __future__ import annotations

import resource
import shutil
import subprocess
import sys
from pathlib import Path

MEBIBYTES = 1
"""What the disk holds."""

LIMIT = "limit on the size of a file"
TMPFS = "full disk"


def run(kind: str, code: str, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs code with sys.argv[1] = `folder`, which lies on the small disk.

    Where mounting is not allowed, a limit takes the disk's place: the same code meets another errno.
    """
    folder.mkdir(parents=True)
    python = [sys.executable, "-c", code, str(folder), *arguments]
    if kind == TMPFS and _may_mount():
        mount = f'mount -t tmpfs -o size={MEBIBYTES}m none "$0" && exec "$@"'
        command = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", mount, str(folder), *python]
        return subprocess.run(command, capture_output=True, text=True, check=False)
    return subprocess.run(python, capture_output=True, text=True, check=False, preexec_fn=_limit)


def _limit() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (MEBIBYTES * 1024 * 1024, MEBIBYTES * 1024 * 1024))


def _may_mount() -> bool:
    if shutil.which("unshare") is None:
        return False
    probe = ["unshare", "--user", "--map-root-user", "--mount", "mount", "-t", "tmpfs", "none", "/tmp"]
    return subprocess.run(probe, capture_output=True, check=False).returncode == 0
