"""Stores: where artifacts, cache entries and checkpoints lie. One protocol, one module for each kind.

Keys are relative paths with slashes. A store makes single files durable and whole; `trees.py` makes folders of them
appear all at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from millwright_api.errors import UserError
from millwright_api.v1alpha1 import AzureBlobLocation
from millwright_runner.stores.locations import Location

__all__ = ["Blob", "Conflict", "Entry", "Location", "Stat", "Store", "is_safe_key", "open_store"]


@dataclass(frozen=True)
class Entry:
    """A file in a store: its key and its size in bytes."""

    key: str
    size: int


@dataclass(frozen=True)
class Stat:
    """What a store knows of a file without reading it.

    Attributes:
        size: in bytes.
        etag: changes whenever the content does.
        sha256: in hex, when the store was told it with the file; a file store keeps none.
    """

    size: int
    etag: str
    sha256: str | None = None


@dataclass(frozen=True)
class Blob:
    """A small file's content, or the first bytes of any file.

    Attributes:
        data: the bytes.
        etag: what a conditional write compares; of the whole file also when only its first bytes were read.
    """

    data: bytes
    etag: str


class Conflict(Exception):
    """A conditional write found something else in its place than it was told."""


def is_safe_key(key: str) -> bool:
    """Whether a key stays inside its store: relative, without empty parts, `.` and `..`."""
    return "\0" not in key and all(part not in {"", ".", ".."} for part in key.split("/"))


class Store(Protocol):
    """What every kind of store does.

    All methods raise the exceptions of `millwright_api.errors`: StoreNotFound, AccessDenied, StoreUnreachable (never
    answered), StoreUnavailable (answered before; after retries with back-off), NoSpaceLeft.
    """

    uri: str
    """What a person would type to find it, ending in a slash."""

    def check(self, *, write: bool) -> None:
        """Asks the store one cheap question, so that a wrong address or credential is known before any work.

        With `write`, also that it may be written to; nothing is left behind.
        """

    def list(self, prefix: str) -> Iterator[Entry]:
        """Yields all files whose key starts with `prefix`, in key order."""

    def stat(self, key: str) -> Stat | None:
        """Returns what is known of a file without reading it, or None when there is none."""

    def read(self, key: str, *, first: int | None = None, start: int = 0) -> Blob | None:
        """Returns a small file, or so many bytes of any file from `start` on, or None when there is none."""

    def write(self, key: str, data: bytes, *, if_absent: bool = False, if_match: str | None = None) -> None:
        """Writes a small file at once: a reader sees the old one or the new one.

        Args:
            if_absent: only when there is none yet.
            if_match: only when it still has this etag.

        Raises:
            Conflict: the condition did not hold.
        """

    def put(self, key: str, file: Path, sha256: str, on_bytes: Callable[[int], None] | None = None) -> None:
        """Stores a file of any size, streaming; goes on with an upload that was interrupted.

        Args:
            sha256: the file's digest in hex; what arrives is compared with it.
            on_bytes: told the bytes moved since it was last told.
        """

    def get(self, key: str, file: Path, sha256: str | None, on_bytes: Callable[[int], None] | None = None) -> str:
        """Fetches a file of any size, streaming; `file` appears only when it is whole. Returns its sha256 in hex.

        Goes on with a download that was interrupted.

        Args:
            sha256: what it must be; None when nobody knows: then the store's own record, where it has one.
            on_bytes: told the bytes moved since it was last told.

        Raises:
            Damaged: its sha256 is another one, also when read again; or there is no such file.
        """

    def copy(self, source: str, key: str) -> None:
        """Makes `key` the same file as `source`, without moving its bytes through this machine."""

    def delete(self, keys: Iterable[str]) -> None:
        """Removes files; those that are not there are passed over."""

    def local(self, key: str) -> Path | None:
        """Returns the path of a key or folder when the store lies on this machine's disk, else None."""


def open_store(location: Location | Path, uri: str | None = None, *, credential: Any = None) -> Store:
    """Returns the store at a location; nothing is asked of it yet (see `Store.check`).

    Args:
        location: where it is.
        uri: of a folder: what a person calls it, when that is not its path.
        credential: of a place in Azure Blob Storage: what opens it, as azure-storage-blob takes it (AzureNamedKeyCredential,
            AzureSasCredential or TokenCredential); None: what the environment has.

    Raises:
        UserError: this place cannot be opened: malformed, no credentials for it, or without the libraries that it takes.
    """
    if isinstance(location, Path):
        from millwright_runner.stores.file import FileStore

        return FileStore(location, uri)
    if isinstance(location, AzureBlobLocation):
        try:
            from millwright_runner.stores.azure_blob import AzureBlobStore  # takes a second: only for Azure
        except ModuleNotFoundError as error:
            raise UserError(
                f"Azure's SDKs are not installed here ({error})",
                where=location.uri,
                hint="pip install -c requirements.lock '.[runner,azure]'; of the images, azure and runner have them",
            ) from error

        return AzureBlobStore(location, credential=credential)
    from millwright_runner.stores.s3 import S3Store  # boto3 takes half a second: only for S3

    return S3Store(location)
