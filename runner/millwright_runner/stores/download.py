"""Downloads: in ranges, several at once, going on where an interrupted one stopped."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from millwright_api.errors import Damaged
from millwright_runner.stores import Stat
from millwright_runner.stores.ahead import ahead
from millwright_runner.stores.disk import check_free, told
from millwright_runner.stores.line import Absent, Taken

PIECE = 1024 * 1024
"""Bytes hashed at a time of what an earlier run had fetched."""


@dataclass(frozen=True)
class Download:
    """One object on its way to one file.

    What has arrived lies beside the file as `.NAME.TAG.part`, a beginning without gaps; the tag names the content.

    Attributes:
        read: reads the object from a byte to another one, that included, patiently; raises Absent or Taken when it is another
            one by now, or gone.
        where: what the object is called.
        stat: what the server says of it.
        file: where it goes.
        sha256: what its digest must be, in hex; None when nobody knows.
        part_size: bytes of a range.
        tell: told the bytes moved, less when some have to be moved again.
    """

    read: Callable[[int, int], bytes]
    where: str
    stat: Stat
    file: Path
    sha256: str | None
    part_size: int
    tell: Callable[[int], None]

    def run(self) -> str:
        """Fetches the object; returns its sha256 in hex. See `Store.get`.

        Raises:
            Damaged: its sha256 is another one, twice; or it was replaced meanwhile.
        """
        found = ""
        with told(self.file, self.stat.size):
            for _ in range(2):
                with self._part_file() as (part, stream):
                    found = self._complete(stream)
                    if self.sha256 in {None, found}:
                        part.replace(self.file)
                        return found
                    part.unlink()  # damaged on the way, or left by a power cut: once more, from the start
                    self.tell(-self.stat.size)
        raise Damaged(f"its sha256 is {found}, not {self.sha256}", where=self.where)

    @contextlib.contextmanager
    def _part_file(self) -> Iterator[tuple[Path, BinaryIO]]:
        """Opens what has arrived so far; two processes never write into the same one."""
        self.file.parent.mkdir(parents=True, exist_ok=True)
        tag = (self.sha256 or hashlib.sha256(self.stat.etag.encode()).hexdigest())[:16]
        part = self.file.parent / f".{self.file.name}.{tag}.part"
        stream = part.open("a+b")
        try:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                stream.close()
                part = part.with_suffix(f".{secrets.token_hex(4)}.part")
                stream = part.open("a+b")
            yield part, stream
        finally:
            stream.close()

    def _complete(self, stream: BinaryIO) -> str:
        digest = hashlib.sha256()
        there = self._hash_beginning(stream, digest)
        self.tell(there)
        check_free(self.file, self.stat.size - there)
        with closing(ahead(self._range, range(there, self.stat.size, self.part_size))) as ranges:
            for data in ranges:
                stream.write(data)
                digest.update(data)
                self.tell(len(data))
        stream.flush()
        os.fsync(stream.fileno())
        return digest.hexdigest()

    def _hash_beginning(self, stream: BinaryIO, digest: hashlib._Hash) -> int:
        """Hashes what had arrived before; returns its length in bytes."""
        if os.fstat(stream.fileno()).st_size > self.stat.size:
            stream.truncate(0)
        stream.seek(0)
        there = 0
        while piece := stream.read(PIECE):
            digest.update(piece)
            there += len(piece)
        return there

    def _range(self, first: int) -> bytes:
        last = min(first + self.part_size, self.stat.size) - 1
        try:
            return self.read(first, last)
        except (Absent, Taken) as error:
            raise Damaged("it was replaced or removed while it was read", where=self.where) from error
