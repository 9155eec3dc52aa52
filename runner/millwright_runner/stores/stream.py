"""A file of a store as a stream that can seek: for looking into large files without fetching them."""

from __future__ import annotations

import io
import os

from millwright_api.errors import Damaged
from millwright_runner.stores import Store


class StoredFile(io.RawIOBase):
    """Each read asks the store for that range: put an io.BufferedReader around it.

    Args:
        store: the store.
        key: the file.
        size: its size in bytes.
    """

    def __init__(self, store: Store, key: str, size: int) -> None:
        super().__init__()
        self._store, self._key, self._size, self._at = store, key, size, 0

    def readable(self) -> bool:
        """It is read."""
        return True

    def seekable(self) -> bool:
        """It can seek."""
        return True

    def tell(self) -> int:
        """Returns the place of the next byte."""
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Moves; nothing is asked of the store."""
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        self._at = max(start + offset, 0)
        return self._at

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        """Reads from here on.

        Raises:
            Damaged: the file is gone.
        """
        wanted = min(len(buffer), self._size - self._at)
        if wanted <= 0:
            return 0
        blob = self._store.read(self._key, first=wanted, start=self._at)
        if blob is None:
            raise Damaged("the file was there a moment ago and is gone", where=f"{self._store.uri}{self._key}")
        buffer[: len(blob.data)] = blob.data
        self._at += len(blob.data)
        return len(blob.data)
