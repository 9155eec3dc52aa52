"""Uploads to S3: in parts, several at once, going on where an interrupted one stopped."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from millwright_api.errors import AccessDenied, Damaged, StoreUnavailable
from millwright_runner.stores.ahead import ahead
from millwright_runner.stores.disk import told
from millwright_runner.stores.line import Absent
from millwright_runner.stores.s3_line import Line

MOST_PARTS = 10_000
"""S3's limit."""

STARTS = 4
"""How often an upload is begun anew when another process has ended it."""


@dataclass(frozen=True)
class Piece:
    """A part as it lies in the local file; S3 counts from 1."""

    number: int
    data: bytes

    @property
    def sha256(self) -> str:
        """The sha256 as S3 writes it, in base64."""
        return base64.b64encode(hashlib.sha256(self.data).digest()).decode()

    def matches(self, part: dict[str, Any]) -> bool:
        """Whether a part that the server lists has this content, by sha256 or else by its etag, an MD5."""
        if part["Size"] != len(self.data):
            return False
        if "ChecksumSHA256" in part:
            return bool(part["ChecksumSHA256"] == self.sha256)
        return bool(part["ETag"].strip('"') == hashlib.md5(self.data, usedforsecurity=False).hexdigest())


@dataclass
class Upload:
    """One file on its way to one key.

    Attributes:
        line: to the bucket.
        key: within the bucket.
        file: what is sent.
        sha256: its digest in hex.
        part_size: bytes of a part, and the size up to which a file is sent in one call.
        tell: told the bytes moved, less when some have to be moved again.
    """

    line: Line
    key: str
    file: Path
    sha256: str
    part_size: int
    tell: Callable[[int], None]
    _size: int = field(init=False)

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
            self.part_size = max(self.part_size, -(-self._size // MOST_PARTS))
            self._send_until_there()

    def _is_there(self) -> bool:
        try:
            head = self.line.call("head_object", Key=self.key)
        except Absent:
            return False
        return bool(head["ContentLength"] == self._size and head.get("Metadata", {}).get("sha256") == self.sha256)

    def _send_whole(self) -> None:
        with told(self.file):
            piece = Piece(1, self.file.read_bytes())
        self._must_match(hashlib.sha256(piece.data).hexdigest())
        metadata = {"sha256": self.sha256}
        self.line.call("put_object", Key=self.key, Body=piece.data, Metadata=metadata, ChecksumSHA256=piece.sha256)
        self.tell(self._size)

    def _send_until_there(self) -> None:
        for start in range(STARTS):
            found = self._find_interrupted() if start == 0 else None
            upload_id, there = found or (self._begin(), {})
            self._moved = 0
            try:
                self._send_parts(upload_id, there)
            except Absent:  # the upload is gone: completed with its answer lost, or ended by another process
                self.tell(-self._moved)
            if self._is_there():
                self._abort_others()
                return
        raise StoreUnavailable("another process ends this upload again and again", where=self._where)

    def _send_parts(self, upload_id: str, there: dict[int, dict[str, Any]]) -> None:
        """Sends what the server has not, and completes. An interruption leaves the parts, for the next time."""
        digest, done = hashlib.sha256(), []

        def pieces() -> Iterator[Piece]:
            """Reads the file once, with its digest."""
            for piece in _pieces(self.file, self.part_size):
                digest.update(piece.data)
                yield piece

        def send(piece: Piece) -> tuple[dict[str, Any], int]:
            """Sends one part, unless the server has it."""
            part = there.get(piece.number)
            if part is None or not piece.matches(part):
                part = self.line.call(
                    "upload_part", Key=self.key, UploadId=upload_id, PartNumber=piece.number,
                    Body=piece.data, ChecksumSHA256=piece.sha256,
                )  # fmt: skip
            return _reference(piece.number, part), len(piece.data)

        with closing(ahead(send, pieces())) as sent:
            for reference, size in sent:
                done.append(reference)
                self._moved += size
                self.tell(size)
        if digest.hexdigest() != self.sha256:
            self._abort(upload_id)
        self._must_match(digest.hexdigest())
        self.line.call("complete_multipart_upload", Key=self.key, UploadId=upload_id, MultipartUpload={"Parts": done})

    def _begin(self) -> str:
        metadata = {"sha256": self.sha256}
        begun = self.line.call("create_multipart_upload", Key=self.key, Metadata=metadata, ChecksumAlgorithm="SHA256")
        return str(begun["UploadId"])

    def _find_interrupted(self) -> tuple[str, dict[int, dict[str, Any]]] | None:
        """Returns an upload of this very file and its parts: the first part there is ours. Others are left for later."""
        for upload_id in self._uploads():
            there = {part["PartNumber"]: part for part in self._parts(upload_id)}
            if there and self._piece(min(there)).matches(there[min(there)]):
                return upload_id, there
        return None

    def _piece(self, number: int) -> Piece:
        with told(self.file), self.file.open("rb") as stream:
            stream.seek((number - 1) * self.part_size)
            return Piece(number, stream.read(self.part_size))

    def _uploads(self) -> list[str]:
        """Returns the ids of the key's uploads that are under way, the newest first."""
        arguments: dict[str, Any] = {"Prefix": self.key}
        found: list[dict[str, Any]] = []
        while True:
            try:
                page = self.line.call("list_multipart_uploads", **arguments)
            except AccessDenied:  # a right of its own: without it uploads work and begin from the start
                return []
            found += [upload for upload in page.get("Uploads", []) if upload["Key"] == self.key]
            if not page.get("IsTruncated"):
                return [u["UploadId"] for u in sorted(found, key=lambda u: u["Initiated"], reverse=True)]
            arguments |= {"KeyMarker": page["NextKeyMarker"], "UploadIdMarker": page["NextUploadIdMarker"]}

    def _parts(self, upload_id: str) -> Iterator[dict[str, Any]]:
        arguments: dict[str, Any] = {"Key": self.key, "UploadId": upload_id}
        while True:
            try:
                page = self.line.call("list_parts", **arguments)
            except Absent:  # ended since it was listed
                return
            yield from page.get("Parts", [])
            if not page.get("IsTruncated"):
                return
            arguments["PartNumberMarker"] = page["NextPartNumberMarker"]

    def _abort_others(self) -> None:
        """Drops what is left of uploads of a key that is there now: nobody would go on with them, and they cost."""
        for upload_id in self._uploads():
            self._abort(upload_id)

    def _abort(self, upload_id: str) -> None:
        try:
            self.line.call("abort_multipart_upload", Key=self.key, UploadId=upload_id)
        except Absent:
            return  # already ended

    def _must_match(self, found: str) -> None:
        if found != self.sha256:
            raise Damaged(
                f"its sha256 is {found}, not {self.sha256}: it was written to meanwhile", where=str(self.file)
            )

    @property
    def _where(self) -> str:
        return f"s3://{self.line.bucket}/{self.key}"


def _pieces(file: Path, part_size: int) -> Iterator[Piece]:
    with told(file), file.open("rb") as stream:
        number = 0
        while data := stream.read(part_size):
            number += 1
            yield Piece(number, data)


def _reference(number: int, part: dict[str, Any]) -> dict[str, Any]:
    reference = {"PartNumber": number, "ETag": part["ETag"]}
    return reference | ({"ChecksumSHA256": part["ChecksumSHA256"]} if "ChecksumSHA256" in part else {})
