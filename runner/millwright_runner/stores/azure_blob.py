"""A store in a container of Azure Blob Storage, or of an emulator of it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from azure.core import MatchConditions
from azure.storage.blob import BlobProperties

from millwright_api.v1alpha1 import AzureBlobLocation
from millwright_runner.stores import Blob, Entry, Stat
from millwright_runner.stores.ahead import ahead
from millwright_runner.stores.azure_blob_copy import copy_blob
from millwright_runner.stores.azure_blob_line import BlobLine
from millwright_runner.stores.azure_blob_login import BlobCredential
from millwright_runner.stores.azure_blob_upload import BlobUpload, send_whole
from millwright_runner.stores.line import Absent, Patience, Taken
from millwright_runner.stores.objects import ObjectStore, tell_nobody

BLOCK_SIZE = 8 * 1024 * 1024
"""Bytes of a block, up and down; four are under way at once."""

LISTED_AT_ONCE = 5000
"""The service's limit for one answer."""

FOLDER = "hdi_isfolder"
"""What accounts with folders (Data Lake Gen2) note of a folder, which is a blob to everybody else."""

NO_ETAG = '"0x0"'
"""No blob has it."""

_Page = tuple[list[BlobProperties], str | None]


class AzureBlobStore(ObjectStore):
    """Satisfies `stores.Store` with a container.

    Args:
        location: account, container and prefix.
        credential: what opens it, as azure-storage-blob takes it; None: what the environment has.
        patience: how long a server that had answered is waited for.
        block_size: bytes of a block.

    Raises:
        StoreNotFound: the location names no container.
        AccessDenied, CredentialsMissing: what the environment has is no credential.
    """

    def __init__(
        self,
        location: AzureBlobLocation,
        *,
        credential: BlobCredential | None = None,
        patience: Patience | None = None,
        block_size: int = BLOCK_SIZE,
    ) -> None:
        self._line = BlobLine(location, patience or Patience(), credential)
        super().__init__(self._line.uri, self._line.prefix, block_size)

    def check(self, *, write: bool) -> None:
        """See `Store.check`. Writing is asked about by a write under a condition that never holds: it leaves nothing."""
        self._page(self._line.prefix, None, 1)
        if write:
            try:
                send_whole(self._line, f"{self._line.prefix}.mw-check", b"", "", **_if_match(NO_ETAG))
            except (Absent, Taken):
                return  # it may be written to

    def list(self, prefix: str) -> Iterator[Entry]:
        """See `Store.list`."""
        token: str | None = None
        while True:
            found, token = self._page(self._line.prefix + prefix, token, LISTED_AT_ONCE)
            for blob in found:
                if not blob.name.endswith("/") and not _is_folder(blob):
                    yield Entry(blob.name.removeprefix(self._line.prefix), blob.size)
            if not token:
                return

    def stat(self, key: str) -> Stat | None:
        """See `Store.stat`."""
        try:
            found = self._line.call(self._key(key), lambda blob: blob.get_blob_properties())
        except Absent:
            return None
        return None if _is_folder(found) else Stat(found.size, _etag(found), (found.metadata or {}).get("sha256"))

    def _read(self, key: str, start: int, length: int | None) -> Blob:
        part: dict[str, Any] = {} if length is None else {"offset": start, "length": length}

        def attempt() -> Blob:
            """Reads the whole answer, or fails as a whole."""
            answer = self._line.blob(key).download_blob(max_concurrency=1, **part)
            return Blob(bytes(answer.readall()), _etag(answer.properties))

        return self._line.patiently(attempt)

    def put(self, key: str, file: Path, sha256: str, on_bytes: Callable[[int], None] | None = None) -> None:
        """See `Store.put`."""
        tell = on_bytes or tell_nobody
        BlobUpload(self._key(key), self.uri + key, file, sha256, self._part_size, tell, self._line).run()

    def copy(self, source: str, key: str) -> None:
        """See `Store.copy`."""
        copy_blob(self._line, self._key(source), self._key(key))

    def delete(self, keys: Iterable[str]) -> None:
        """See `Store.delete`."""

        def remove(key: str) -> None:
            """Removes one, with its snapshots."""
            try:
                self._line.call(key, lambda blob: blob.delete_blob(delete_snapshots="include"))
            except Absent:
                return

        for _ in ahead(remove, (self._key(key) for key in keys)):
            pass

    def _write(self, key: str, data: bytes, *, if_absent: bool, if_match: str | None) -> None:
        condition = {"overwrite": False} if if_absent else _if_match(f'"{if_match}"') if if_match is not None else {}
        send_whole(self._line, key, data, hashlib.sha256(data).hexdigest(), **condition)

    def _range(self, key: str, etag: str, first: int, last: int) -> bytes:
        condition = _if_match(f'"{etag}"')

        def attempt() -> bytes:
            """Reads the whole range, or fails as a whole."""
            answer = self._line.blob(key).download_blob(first, last + 1 - first, max_concurrency=1, **condition)
            return bytes(answer.readall())

        return self._line.patiently(attempt)

    def _page(self, prefix: str, token: str | None, most: int) -> _Page:
        def attempt() -> _Page:
            """Asks for one page."""
            pages: Any = self._line.container.list_blobs(
                name_starts_with=prefix or None, include=["metadata"], results_per_page=most
            ).by_page(token)
            return [*next(pages, ())], pages.continuation_token or None

        return self._line.patiently(attempt)


def _if_match(etag: str) -> dict[str, Any]:
    return {"etag": etag, "match_condition": MatchConditions.IfNotModified}


def _etag(found: BlobProperties) -> str:
    return str(found.etag).strip('"')


def _is_folder(found: BlobProperties) -> bool:
    return str((found.metadata or {}).get(FOLDER, "")).lower() == "true"
