"""Where a step works on this machine: one folder per cache key, one process at a time."""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from millwright_api.errors import NoSpaceLeft, UserError
from millwright_runner.stores.disk import nearest_folder

POLL_SECONDS = 0.1
"""Between two looks at a lock that another process has."""

PRIVATE = "process-"
"""Begins the names of folders of one process alone."""

YOUNG_SECONDS = 1.0
"""A lock's file may be there a moment before it is locked."""


@dataclass(frozen=True)
class Workplace:
    """A step's folders.

    Attributes:
        result: empty at the start; the pass fills it.
        scratch: kept when the step is stopped or killed, so that it need not begin anew.
    """

    result: Path
    scratch: Path


@contextlib.contextmanager
def workplace(root: Path, key: str, waiting: Callable[[], None]) -> Iterator[Workplace]:
    """Locks a key's folder for this process and clears what a killed one left half-made.

    The lock goes with the process, however it ends: nothing has to be tidied up after a kill. The folders go when the
    block ends; when it raises, the scratch folder stays for the next try, unless the input is at fault: then no trace
    is left.

    Args:
        root: the folder that all keys' folders lie in.
        key: the step's cache key.
        waiting: called several times a second while another process has the lock; what it raises ends the wait.
    """
    lock_file = root / f"{key}.lock"
    with _locked(lock_file, waiting) as made:
        place = Workplace(root / key / "result", root / key / "scratch")
        shutil.rmtree(place.result, ignore_errors=True)
        place.result.mkdir(parents=True)
        place.scratch.mkdir(parents=True, exist_ok=True)
        try:
            yield place
        except UserError:
            shutil.rmtree(root / key)
            lock_file.unlink()
            for folder in made:
                with contextlib.suppress(OSError):  # another process works there
                    folder.rmdir()
            raise
        shutil.rmtree(root / key)
        lock_file.unlink()


@contextlib.contextmanager
def _locked(file: Path, waiting: Callable[[], None]) -> Iterator[list[Path]]:
    """Holds a lock on a file; yields the folders that were made for it, the innermost first."""
    made: list[Path] = []
    while True:
        made += [folder for folder in file.parents if not folder.exists()]
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("w") as lock:
            while not _taken(lock):
                waiting()
                time.sleep(POLL_SECONDS)
            # The one who had it may have removed the file: a lock on what has no name keeps nobody out.
            if file.exists() and os.path.samestat(os.fstat(lock.fileno()), file.stat()):
                yield made
                return


def _taken(lock: IO[str]) -> bool:
    """Never blocks: a signal would be handled and flock begun anew, so that nobody could stop the wait."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


class PrivateFolder:
    """An empty folder for this process alone; those of processes that are gone are removed first.

    For results that later steps read after the lock on their key is free again. Whose folder it is is told by a lock,
    which goes with the process, and not by its number: in containers, all processes have the same one.

    Args:
        root: the folder that all of them lie in; made when it is not there.

    Attributes:
        path: the folder.
    """

    def __init__(self, root: Path) -> None:
        root.mkdir(parents=True, exist_ok=True)
        for other in root.glob(f"{PRIVATE}*"):
            _remove_if_abandoned(other.with_suffix(""))
        self.path = root / f"{PRIVATE}{secrets.token_hex(8)}"
        self._lock = _lock_of(self.path).open("w")
        with contextlib.suppress(OSError):  # a file system without locks: then nobody removes anybody's
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self.path.mkdir()

    def close(self) -> None:
        """Removes it."""
        shutil.rmtree(self.path, ignore_errors=True)
        _lock_of(self.path).unlink(missing_ok=True)
        self._lock.close()


def _lock_of(folder: Path) -> Path:
    return folder.with_suffix(".lock")


def _remove_if_abandoned(folder: Path) -> None:
    lock = _lock_of(folder)
    with contextlib.suppress(OSError):  # its process is alive, or another one removes it just now
        if lock.exists():
            if time.time() - lock.stat().st_mtime < YOUNG_SECONDS:
                return
            with lock.open("r") as stream:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
                lock.unlink()
        else:
            shutil.rmtree(folder)


def check_space(root: Path, needed: int) -> None:
    """Refuses work that the disk cannot hold.

    Args:
        root: the folder to be written to; it need not exist yet.
        needed: bytes expected to be written.

    Raises:
        NoSpaceLeft: with what is needed and what is there.
    """
    free = shutil.disk_usage(nearest_folder(root)).free
    if free < needed:
        raise NoSpaceLeft(
            f"{needed / 1e6:,.0f} MB are needed and {free / 1e6:,.0f} MB are free",
            where=str(root),
            hint="free some, or set MILLWRIGHT_HOME or the output to a larger disk",
        )
