"""A store in a folder of this machine: hard links instead of copies, wherever the disk allows it."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from millwright_api.errors import AccessDenied, Damaged, StoreNotFound, suggest
from millwright_runner.stores import Blob, Conflict, Entry, Stat, is_safe_key
from millwright_runner.stores.disk import (
    TEMP_PREFIX,
    blocking_file,
    clone_whole,
    copy_whole,
    link_whole,
    nearest_folder,
    sweep,
    told,
    write_whole,
)

LINK_FROM = 1024 * 1024
"""Bytes from which files are linked, not copied: small ones are configuration, which people edit in place."""

HASHED_UP_TO = 1024 * 1024
"""Bytes up to which an etag is made of the content; above, of inode, size and mtime."""

LOCK = ".millwright/lock"
"""Held by whoever writes a small file, so that a conditional write compares and writes in one go."""


class FileStore:
    """Satisfies `stores.Store` with a folder.

    Args:
        root: the folder; made when something is written.
        uri: what a person would type to find it; the folder's path unless given.
    """

    def __init__(self, root: Path, uri: str | None = None) -> None:
        self.root = Path(os.path.abspath(root))  # noqa: PTH100 - resolve() would follow links, absolute() keeps ".."
        self.uri = f"{self.root}/".replace("//", "/") if uri is None else f"{uri.rstrip('/')}/"
        self._swept: set[Path] = set()

    def check(self, *, write: bool) -> None:
        """See `Store.check`: a folder that is not there yet is fine for writing when it can be made."""
        with told(self.root):
            place = nearest_folder(self.root)
            blocking = blocking_file(self.root)
            if blocking is not None:
                raise StoreNotFound(f"{blocking} is a file, not a folder", where=self.uri)
            if place != self.root and not write:
                missing = self.root.relative_to(place).parts[0]
                raise StoreNotFound(
                    "no such folder",
                    where=self.uri,
                    hint=suggest(missing, (p.name for p in place.iterdir() if p.is_dir())),
                )
            if write:
                _try_to_write(place)

    def list(self, prefix: str) -> Iterator[Entry]:
        """See `Store.list`. Links to folders are not followed."""
        folder = prefix.rpartition("/")[0]
        top = self._path(folder) if folder else self.root
        with told(top):
            found = {
                path.relative_to(self.root).as_posix(): _size(path)
                for parent, _, names in os.walk(top, onerror=_raise_unless_absent)
                for path in (Path(parent) / name for name in names if not name.startswith(TEMP_PREFIX))
            }
        for key, size in sorted(found.items()):
            if size is not None and key.startswith(prefix) and key != LOCK:
                yield Entry(key, size)

    def stat(self, key: str) -> Stat | None:
        """See `Store.stat`."""
        blob = self.read(key, first=0)
        return None if blob is None else Stat(self._path(key).stat().st_size, blob.etag)

    def read(self, key: str, *, first: int | None = None, start: int = 0) -> Blob | None:
        """See `Store.read`."""
        path = self._path(key)
        try:
            with told(path), path.open("rb") as stream:
                size = os.fstat(stream.fileno()).st_size
                data = stream.read() if size <= HASHED_UP_TO or first is None else b""
                etag = _etag(stream, size, data)
                if first is not None:
                    stream.seek(start)
                    data = stream.read(first)
                return Blob(data, etag)
        except StoreNotFound:
            return None

    def write(self, key: str, data: bytes, *, if_absent: bool = False, if_match: str | None = None) -> None:
        """See `Store.write`."""
        path = self._path(key)

        def fill(stream: BinaryIO) -> None:
            """Writes it all."""
            stream.write(data)

        with told(path, len(data)), self._locked():
            self._sweep_once(path.parent)
            if if_match is not None:
                found = self.read(key, first=0)
                if found is None or found.etag != if_match:
                    raise Conflict(key)
            try:
                write_whole(path, fill, if_absent=if_absent)
            except FileExistsError as error:
                if not if_absent or not path.is_file():
                    raise
                raise Conflict(key) from error

    def put(self, key: str, file: Path, sha256: str, on_bytes: Callable[[int], None] | None = None) -> None:
        """See `Store.put`: a hard link where possible; then the two are one file, and nobody may write into it."""
        self._take(file, key, sha256, on_bytes)

    def get(self, key: str, file: Path, sha256: str | None, on_bytes: Callable[[int], None] | None = None) -> str:
        """See `Store.get`: always a copy, which may be written into."""
        source = self._path(key)
        self._must_be_there(source)
        with told(file):
            return copy_whole(source, file, sha256, on_bytes)

    def copy(self, source: str, key: str) -> None:
        """See `Store.copy`."""
        self._must_be_there(self._path(source))
        self._take(self._path(source), key, None, None)

    def delete(self, keys: Iterable[str]) -> None:
        """See `Store.delete`; folders that become empty go as well."""
        for key in keys:
            path = self._path(key)
            with told(path):
                path.unlink(missing_ok=True)
                self._prune(path.parent)

    def local(self, key: str) -> Path | None:
        """See `Store.local`."""
        return self._path(key) if key else self.root

    def _path(self, key: str) -> Path:
        if not is_safe_key(key):
            raise AccessDenied(f"{key!r} leads out of the store or names no file", where=self.uri)
        return self.root / key

    def _must_be_there(self, path: Path) -> None:
        if not path.is_file():
            raise Damaged("it is not there, or no longer", where=str(path))

    def _take(self, file: Path, key: str, sha256: str | None, on_bytes: Callable[[int], None] | None) -> None:
        path = self._path(key)
        with told(file):
            size = file.stat().st_size
        with told(path, size):
            self._sweep_once(path.parent)
            if size >= LINK_FROM and (link_whole(file, path) or clone_whole(file, path)):
                if on_bytes:
                    on_bytes(size)
            else:
                copy_whole(file, path, sha256, on_bytes)

    def _sweep_once(self, folder: Path) -> None:
        """Removes what a killed process left in a folder, the first time that something is written there."""
        if folder not in self._swept:
            self._swept.add(folder)
            sweep(folder)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        lock = self.root / LOCK
        lock.parent.mkdir(parents=True, exist_ok=True)
        with lock.open("ab") as stream:
            with contextlib.suppress(OSError):  # a file system without locks: links alone make `if_absent` safe
                fcntl.flock(stream, fcntl.LOCK_EX)
            yield

    def _prune(self, folder: Path) -> None:
        while folder != self.root and self.root in folder.parents:
            try:
                sweep(folder)
                folder.rmdir()
            except OSError:
                return  # not empty, or another process was faster
            folder = folder.parent


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except FileNotFoundError:  # removed meanwhile, or a link to nothing
        return None


def _try_to_write(folder: Path) -> None:
    """Makes a file and removes it: the only question that read-only mounts and quotas answer truly."""
    probe = folder / f"{TEMP_PREFIX}check-{os.getpid()}"
    probe.touch()
    probe.unlink(missing_ok=True)


def _etag(stream: BinaryIO, size: int, data: bytes) -> str:
    if size <= HASHED_UP_TO:
        return hashlib.sha256(data).hexdigest()
    stat = os.fstat(stream.fileno())
    return f"{stat.st_ino:x}-{size:x}-{stat.st_mtime_ns:x}"


def _raise_unless_absent(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError | NotADirectoryError):
        raise error
