"""Where a step works on this machine: one folder per cache key, one process at a time."""

from __future__ import annotations

import contextlib
import fcntl
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from millwright_api.errors import NoSpaceLeft


@dataclass(frozen=True)
class Workplace:
    """A step's folders.

    Attributes:
        result: empty at the start; the pass fills it.
        scratch: kept when the step is stopped or killed, so that it need not begin anew; removed after success.
    """

    result: Path
    scratch: Path


@contextlib.contextmanager
def workplace(root: Path, key: str, waiting: Callable[[], None]) -> Iterator[Workplace]:
    """Locks a key's folder for this process and clears what a killed one left half-made.

    The lock goes with the process, however it ends: nothing has to be tidied up after a kill.

    Args:
        root: the folder that all keys' folders lie in.
        key: the step's cache key.
        waiting: called once when another process has the lock.
    """
    root.mkdir(parents=True, exist_ok=True)
    with (root / f"{key}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            waiting()
            fcntl.flock(lock, fcntl.LOCK_EX)
        place = Workplace(root / key / "result", root / key / "scratch")
        shutil.rmtree(place.result, ignore_errors=True)
        place.result.mkdir(parents=True)
        place.scratch.mkdir(parents=True, exist_ok=True)
        yield place


def clear(root: Path, key: str) -> None:
    """Removes a key's folders; to be called by the process that has its lock."""
    shutil.rmtree(root / key, ignore_errors=True)
    (root / f"{key}.lock").unlink(missing_ok=True)


def check_space(root: Path, needed: int) -> None:
    """Refuses work that the disk cannot hold.

    Args:
        root: the folder to be written to; it need not exist yet.
        needed: bytes expected to be written.

    Raises:
        NoSpaceLeft: with what is needed and what is there.
    """
    there = next(parent for parent in [root, *root.parents] if parent.exists())
    free = shutil.disk_usage(there).free
    if free < needed:
        raise NoSpaceLeft(
            f"{needed / 1e6:,.0f} MB are needed and {free / 1e6:,.0f} MB are free", where=str(root),
            hint="free some, or set MILLWRIGHT_HOME or the output to a larger disk",
        )
