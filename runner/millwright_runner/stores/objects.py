"""What stores of objects share, whoever serves them: a bucket or a container is asked over a network, in parts."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path

from millwright_api.errors import AccessDenied, Damaged
from millwright_runner.stores import Blob, Conflict, Stat, is_safe_key
from millwright_runner.stores.download import Download
from millwright_runner.stores.line import Absent, Taken


class ObjectStore(ABC):
    """The part of `stores.Store` that is the same for each kind.

    Args:
        uri: what a person would type to find it, ending in a slash.
        prefix: what all its keys start with on the server.
        part_size: bytes that are moved in one call.
    """

    def __init__(self, uri: str, prefix: str, part_size: int) -> None:
        self.uri, self._prefix, self._part_size = uri, prefix, part_size

    @abstractmethod
    def stat(self, key: str) -> Stat | None:
        """See `Store.stat`."""

    @abstractmethod
    def _read(self, key: str, start: int, length: int | None) -> Blob:
        """Reads an object, or so many bytes of it, which there are; the key is the server's. Raises Absent."""

    @abstractmethod
    def _write(self, key: str, data: bytes, *, if_absent: bool, if_match: str | None) -> None:
        """Writes an object in one call; the key is the server's. Raises Absent or Taken when the condition does not hold."""

    @abstractmethod
    def _range(self, key: str, etag: str, first: int, last: int) -> bytes:
        """Reads from a byte to another one, that included; raises Absent or Taken when it is another object by now."""

    def read(self, key: str, *, first: int | None = None, start: int = 0) -> Blob | None:
        """See `Store.read`."""
        known = self.stat(key) if first is not None else None
        if first is not None and (known is None or known.size <= start or first == 0):
            return None if known is None else Blob(b"", known.etag)  # servers have no range of nothing
        try:
            return self._read(self._key(key), start, first)
        except Absent:
            return None

    def write(self, key: str, data: bytes, *, if_absent: bool = False, if_match: str | None = None) -> None:
        """See `Store.write`."""
        try:
            self._write(self._key(key), data, if_absent=if_absent, if_match=if_match)
        except (Absent, Taken) as error:
            lost_answer = isinstance(error, Taken) and error.retried
            if lost_answer and (there := self.read(key)) is not None and there.data == data:
                return  # ours: it arrived, and only the answer did not
            raise Conflict(key) from error

    def get(self, key: str, file: Path, sha256: str | None, on_bytes: Callable[[int], None] | None = None) -> str:
        """See `Store.get`."""
        stat = self.stat(key)
        if stat is None:
            raise Damaged("it is not there, or no longer", where=self.uri + key)

        def read(first: int, last: int) -> bytes:
            """Reads a range of what was there when it began."""
            return self._range(self._key(key), stat.etag, first, last)

        expected, tell = sha256 or stat.sha256, on_bytes or tell_nobody
        return Download(read, self.uri + key, stat, file, expected, self._part_size, tell).run()

    def local(self, key: str) -> Path | None:
        """See `Store.local`: None, it lies elsewhere."""
        return None

    def _key(self, key: str) -> str:
        if not is_safe_key(key):
            raise AccessDenied(f"{key!r} leads out of the store or names no file", where=self.uri)
        return self._prefix + key


def tell_nobody(moved: int) -> None:
    """Takes the place of an `on_bytes` that was not given."""
