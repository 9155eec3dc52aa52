"""sha256 of files, remembered: a model of 500 MB that is known is not read again.

A digest is remembered by device, inode, size and mtime (ns), not by path: a file that was renamed or hard-linked into
a store is still the same file.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sqlite3
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from millwright_runner.artifact import FileDigest, digest_of

AT_REST_SECONDS = 0.05
"""A file is remembered when it was last written this long ago: kernels stamp mtimes with ticks of up to 10 ms, and a
write within the same tick would not show."""

LOCK_SECONDS = 2.0
"""How long another process's write is waited for; it takes milliseconds."""

MAX_READERS = 4
"""Files hashed at once; hashlib lets go of the interpreter lock."""


CREATE = (  # one row for an inode: the table cannot grow without end
    "CREATE TABLE IF NOT EXISTS digests (device INTEGER, inode INTEGER, size INTEGER, mtime_ns INTEGER, sha256 TEXT, "
    "PRIMARY KEY (device, inode)) WITHOUT ROWID"
)
INSERT = "INSERT OR REPLACE INTO digests VALUES (?, ?, ?, ?, ?)"
SELECT = "SELECT sha256 FROM digests WHERE device=? AND inode=? AND size=? AND mtime_ns=?"


class _Identity(NamedTuple):
    device: int
    inode: int
    size: int
    mtime_ns: int


def sha256_file(path: Path) -> str:
    """Returns the sha256 of a file in hex; reads it in pieces.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


class DigestMemo:
    """Remembers sha256 digests between runs, in `digests.sqlite`; processes may share it.

    It is a help and never a duty: where the database is broken, locked or on a full disk, files are hashed again.

    Args:
        home: folder of this machine that the database lies in; made when something is to be remembered.
    """

    def __init__(self, home: Path) -> None:
        self._file = home / "digests.sqlite"

    def sha256(self, path: Path) -> str:
        """Returns the sha256 of a file in hex, from memory where the file is unchanged.

        Raises:
            OSError: it cannot be read.
        """
        return self.sha256_all([path])[0]

    def sha256_all(self, paths: Sequence[Path]) -> list[str]:
        """Returns the sha256 of each file, in order; those that are not known are hashed side by side.

        Raises:
            OSError: one cannot be read.
        """
        identities = [_identify(path) for path in paths]
        known = self._recall(identities)
        unknown = {identity: path for identity, path in zip(identities, paths, strict=True) if identity not in known}
        if unknown:
            with ThreadPoolExecutor(min(MAX_READERS, os.cpu_count() or 1, len(unknown))) as pool:
                fresh = dict(zip(unknown, pool.map(sha256_file, unknown.values()), strict=True))
            now = time.time_ns()
            self._remember([(i, digest) for i, digest in fresh.items() if _is_at_rest(unknown[i], i, now)])
            known |= fresh
        return [known[identity] for identity in identities]

    def remember(self, path: Path, sha256: str) -> None:
        """Notes the digest of a file that was just written whole, so that it need not be read once more."""
        identity = _identify(path)
        if _is_at_rest(path, identity, time.time_ns()):
            self._remember([(identity, sha256)])

    def remember_tree(self, folder: Path | None, files: Sequence[FileDigest]) -> None:
        """Notes the digests of files that were just written where only we write, however young they are.

        Args:
            folder: where they lie; None when that is not on this machine.
            files: their paths in it.
        """
        if folder is not None:
            self._remember([(_identify(folder / file.path), file.sha256) for file in files])

    def _recall(self, identities: list[_Identity]) -> dict[_Identity, str]:
        found: dict[_Identity, str] = {}
        if not self._file.exists():
            return found
        try:
            with self._open() as database:
                for identity in identities:
                    row = database.execute(SELECT, identity).fetchone()
                    if row is not None:
                        found[identity] = row[0]
        except sqlite3.DatabaseError as error:
            self._start_anew_if_broken(error)
        return found

    def _remember(self, facts: list[tuple[_Identity, str]]) -> None:
        if not facts:
            return
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            with self._open() as database, database:
                database.execute(CREATE)
                database.executemany(INSERT, [(*identity, digest) for identity, digest in facts])
        except sqlite3.DatabaseError as error:
            self._start_anew_if_broken(error)
        except OSError:
            return  # a home that cannot be written to: nothing is remembered

    @contextlib.contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        database = sqlite3.connect(self._file, timeout=LOCK_SECONDS)
        try:
            database.execute("PRAGMA synchronous=OFF")  # what is lost in a power cut is only hashed again
            yield database
        finally:
            database.close()

    def _start_anew_if_broken(self, error: sqlite3.DatabaseError) -> None:
        """Removes a file that is no database; OperationalError is a lock, a full disk, a missing table: these pass."""
        if isinstance(error, sqlite3.OperationalError):
            return
        for suffix in ("", "-journal"):
            with contextlib.suppress(OSError):
                self._file.with_name(self._file.name + suffix).unlink()


def digest_folder(folder: Path, memo: DigestMemo) -> tuple[list[FileDigest], str]:
    """Returns the files of a folder, in path order, and the digest over them.

    Links to files count as what they point to (a hub's download is made of them); links to folders are not followed.

    Raises:
        OSError: a file cannot be read.
    """
    paths = [Path(parent) / name for parent, _, names in os.walk(folder, onerror=_raise) for name in names]
    digests = memo.sha256_all(paths)
    files = sorted(
        (
            FileDigest(path.relative_to(folder).as_posix(), path.stat().st_size, digest)
            for path, digest in zip(paths, digests, strict=True)
        ),
        key=lambda file: file.path,
    )
    return files, digest_of(files)


def _raise(error: OSError) -> None:
    raise error


def _identify(path: Path) -> _Identity:
    stat = path.stat()
    return _Identity(_signed(stat.st_dev), _signed(stat.st_ino), stat.st_size, stat.st_mtime_ns)


def _signed(number: int) -> int:
    """Fits an unsigned 64-bit number into SQLite's signed one."""
    return number - 2**64 if number >= 2**63 else number


def _is_at_rest(path: Path, identity: _Identity, now_ns: int) -> bool:
    """Whether a file is still what was hashed, and old enough for a later write to show in its mtime."""
    return _identify(path) == identity and abs(now_ns - identity.mtime_ns) > AT_REST_SECONDS * 1e9
