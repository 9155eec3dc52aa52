"""Uploads to Azure Blob Storage: blocks, and what an interrupted upload has left of them.

A block is named by its number and its content: what the service still has of an interrupted upload is found by name, and what
another upload left there is never taken for ours.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any, ClassVar

from azure.storage.blob import BlobBlock, BlobType

from millwright_runner.stores.azure_blob_line import BlobLine
from millwright_runner.stores.line import Absent
from millwright_runner.stores.upload import Upload


@dataclass
class BlobUpload(Upload):
    """One file on its way to one blob.

    Attributes:
        line: to the container.
    """

    most_parts: ClassVar[int] = 50_000

    line: BlobLine

    def _is_there(self) -> bool:
        try:
            there = self.line.call(self.key, lambda blob: blob.get_blob_properties())
        except Absent:
            return False
        same = there.size == self._size and (there.metadata or {}).get("sha256") == self.sha256
        return same and there.copy.status in {None, "success"}

    def _write(self, data: bytes) -> None:
        send_whole(self.line, self.key, data, self.sha256)

    def _send_parts(self, start: int) -> None:
        there = self._there()

        def send(number: int, data: bytes) -> str:
            """Sends a block, unless the service has it; returns its name, of one length for all, as the service wants it."""
            # The service compares the MD5 with what arrives; the whole file's sha256 is compared by whoever fetches it.
            md5 = hashlib.md5(data, usedforsecurity=False).digest()
            name = f"{number:05d}-{md5.hex()}"
            if there.get(name) != len(data):
                self.line.call(
                    self.key, lambda blob: blob.stage_block(name, data, len(data), transactional_content_md5=md5)
                )
            return name

        names, found = self._send_each(send)
        self._must_match(found)
        listed = [BlobBlock(name) for name in names]
        self.line.call(self.key, lambda blob: blob.commit_block_list(listed, metadata={"sha256": self.sha256}))

    def _tidy(self) -> None:
        """Nothing: the service drops blocks that are in no blob."""

    def _there(self) -> dict[str, int]:
        """Returns sizes of the blocks that an interrupted upload left, by name."""
        try:
            _, waiting = self.line.call(self.key, lambda blob: blob.get_block_list("uncommitted"))
        except Absent:
            return {}
        return {str(block.id): int(block.size) for block in waiting}


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
