"""Uploads: in parts, several at once, going on where an interrupted one stopped."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, TypeVar

from millwright_api.errors import Damaged, StoreUnavailable
from millwright_runner.stores.ahead import ahead
from millwright_runner.stores.disk import told
from millwright_runner.stores.line import Absent

T = TypeVar("T")

STARTS = 4
"""How often an upload is begun anew when another process has ended it."""


@dataclass
class Upload(ABC):
    """One file on its way to one object.

    Attributes:
        key: the object's, on its server.
        where: what the object is called.
        file: what is sent.
        sha256: its digest in hex.
        part_size: bytes of a part, and the size up to which a file is sent in one call.
        tell: told the bytes moved, less when some have to be moved again.
    """

    most_parts: ClassVar[int]
    """The server's limit."""

    key: str
    where: str
    file: Path
    sha256: str
    part_size: int
    tell: Callable[[int], None]
    _size: int = field(init=False)
    _moved: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        with told(self.file):
            self._size = self.file.stat().st_size

    def run(self) -> None:
        """Makes the key hold the file; does nothing when it does already. See `Store.put`.

        Raises:
            Damaged: the file's sha256 is not the one given.
        """
        if self._is_there():
            self.tell(self._size)
        elif self._size <= self.part_size:
            self._send_whole()
        else:
            self.part_size = max(self.part_size, -(-self._size // self.most_parts))
            self._send_until_there()

    @abstractmethod
    def _is_there(self) -> bool:
        """Whether the object is this file already."""

    @abstractmethod
    def _write(self, data: bytes) -> None:
        """Sends the whole file in one call."""

    @abstractmethod
    def _send_parts(self, start: int) -> None:
        """Sends what the server has not, and makes an object of it; `start` counts attempts from 0.

        Raises:
            Absent: the parts are gone: another process has ended the upload.
        """

    @abstractmethod
    def _tidy(self) -> None:
        """Does what is left to be done when the object is there."""

    def _send_whole(self) -> None:
        with told(self.file):
            data = self.file.read_bytes()
        self._must_match(hashlib.sha256(data).hexdigest())
        self._write(data)
        self.tell(self._size)

    def _send_until_there(self) -> None:
        for start in range(STARTS):
            self._moved = 0
            try:
                self._send_parts(start)
            except Absent:  # they are gone: made an object with its answer lost, or ended by another process
                self.tell(-self._moved)
            if self._is_there():
                self._tidy()
                return
        raise StoreUnavailable("another process ends this upload again and again", where=self.where)

    def _send_each(self, send: Callable[[int, bytes], T]) -> tuple[list[T], str]:
        """Sends all parts, several at once; returns what `send` did in order, and the sha256 of what was read.

        Args:
            send: sends a part, by its number, counted from 1, and its bytes.
        """
        digest, done = hashlib.sha256(), []

        def numbered() -> Iterator[tuple[int, bytes]]:
            """Reads the file once, with its digest."""
            with told(self.file), self.file.open("rb") as stream:
                number = 0
                while data := stream.read(self.part_size):
                    digest.update(data)
                    number += 1
                    yield number, data

        def work(part: tuple[int, bytes]) -> tuple[T, int]:
            """Sends a part."""
            return send(*part), len(part[1])

        with closing(ahead(work, numbered())) as sent:
            for result, size in sent:
                done.append(result)
                self._moved += size
                self.tell(size)
        return done, digest.hexdigest()

    def _must_match(self, found: str) -> None:
        if found != self.sha256:
            raise Damaged(
                f"its sha256 is {found}, not {self.sha256}: it was written to meanwhile", where=str(self.file)
            )
