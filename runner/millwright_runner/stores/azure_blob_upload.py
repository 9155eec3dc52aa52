"""Uploads to Azure Blob Storage: in blocks, several at once, going on where an interrupted one stopped.

A block is named by its number and its content: what the service still has of an interrupted upload is found by name, and what
another upload left there is never taken for ours.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from functools import cached_property
from itertools import count
from pathlib import Path
from typing import Any

from azure.storage.blob import BlobBlock, BlobType

from millwright_api.errors import Damaged, StoreUnavailable
from millwright_runner.stores.ahead import ahead
from millwright_runner.stores.azure_blob_line import BlobLine
from millwright_runner.stores.disk import told
from millwright_runner.stores.line import Absent

MOST_BLOCKS = 50_000
"""The service's limit."""

STARTS = 4
"""How often an upload is begun anew when another process has ended it."""


@dataclass(frozen=True)
class Block:
    """A part as it lies in the local file; counted from 1."""

    number: int
    data: bytes

    @cached_property
    def md5(self) -> bytes:
        """What the service compares with what arrives; the whole file's sha256 is compared by whoever fetches it."""
        return hashlib.md5(self.data, usedforsecurity=False).digest()

    @property
    def name(self) -> str:
        """Its name for the service: of one length for all blocks, as the service wants it."""
        return f"{self.number:05d}-{self.md5.hex()}"


@dataclass
class BlobUpload:
    """One file on its way to one key.

    Attributes:
        line: to the container.
        key: within the container.
        file: what is sent.
        sha256: its digest in hex.
        block_size: bytes of a block, and the size up to which a file is sent in one call.
        tell: told the bytes moved, less when some have to be moved again.
    """

    line: BlobLine
    key: str
    file: Path
    sha256: str
    block_size: int
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
        elif self._size <= self.block_size:
            self._send_whole()
        else:
            self.block_size = max(self.block_size, -(-self._size // MOST_BLOCKS))
            self._send_until_there()

    def _is_there(self) -> bool:
        try:
            there = self.line.call(self.key, lambda blob: blob.get_blob_properties())
        except Absent:
            return False
        same = there.size == self._size and (there.metadata or {}).get("sha256") == self.sha256
        return same and there.copy.status in {None, "success"}

    def _send_whole(self) -> None:
        with told(self.file):
            data = self.file.read_bytes()
        self._must_match(hashlib.sha256(data).hexdigest())
        send_whole(self.line, self.key, data, self.sha256)
        self.tell(self._size)

    def _send_until_there(self) -> None:
        for _ in range(STARTS):
            self._moved = 0
            try:
                self._send_blocks(self._there())
            except Absent:  # the blocks are gone: another process has written the key meanwhile
                self.tell(-self._moved)
            if self._is_there():
                return
        raise StoreUnavailable("another process ends this upload again and again", where=self.line.address(self.key))

    def _there(self) -> dict[str, int]:
        """Returns sizes of the blocks that an interrupted upload left, by name."""
        try:
            _, waiting = self.line.call(self.key, lambda blob: blob.get_block_list("uncommitted"))
        except Absent:
            return {}
        return {str(block.id): int(block.size) for block in waiting}

    def _send_blocks(self, there: dict[str, int]) -> None:
        """Sends what the service has not, and commits. An interruption leaves the blocks, for the next time."""
        digest, names = hashlib.sha256(), []

        def blocks() -> Iterator[Block]:
            """Reads the file once, with its digest."""
            with told(self.file), self.file.open("rb") as stream:
                for number in count(1):
                    if not (data := stream.read(self.block_size)):
                        return
                    digest.update(data)
                    yield Block(number, data)

        def send(block: Block) -> tuple[str, int]:
            """Sends one block, unless the service has it."""
            size = len(block.data)
            if there.get(block.name) != size:
                self.line.call(
                    self.key,
                    lambda blob: blob.stage_block(block.name, block.data, size, transactional_content_md5=block.md5),
                )
            return block.name, size

        with closing(ahead(send, blocks())) as sent:
            for name, size in sent:
                names.append(name)
                self._moved += size
                self.tell(size)
        self._must_match(digest.hexdigest())
        listed = [BlobBlock(name) for name in names]
        self.line.call(self.key, lambda blob: blob.commit_block_list(listed, metadata={"sha256": self.sha256}))

    def _must_match(self, found: str) -> None:
        if found != self.sha256:
            raise Damaged(
                f"its sha256 is {found}, not {self.sha256}: it was written to meanwhile", where=str(self.file)
            )


def send_whole(line: BlobLine, key: str, data: bytes, sha256: str, **condition: object) -> None:
    """Writes a blob in one call.

    Args:
        line: to the container.
        key: within the container.
        data: all of it.
        sha256: its digest, kept with it.
        condition: azure-storage-blob's arguments for when it may be written; none: always.
    """
    arguments: dict[str, Any] = {
        "overwrite": True,
        "metadata": {"sha256": sha256},
        "validate_content": True,
    } | condition
    line.call(key, lambda blob: blob.upload_blob(data, BlobType.BLOCKBLOB, len(data), **arguments))
