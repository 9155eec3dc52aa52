"""Uploads to S3: parts, and what an interrupted upload has left of them."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from millwright_api.errors import AccessDenied
from millwright_runner.stores.disk import told
from millwright_runner.stores.line import Absent
from millwright_runner.stores.s3_line import Line
from millwright_runner.stores.upload import Upload


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
class S3Upload(Upload):
    """One file on its way to one key.

    Attributes:
        line: to the bucket.
    """

    most_parts: ClassVar[int] = 10_000

    line: Line

    def _is_there(self) -> bool:
        try:
            head = self.line.call("head_object", Key=self.key)
        except Absent:
            return False
        return bool(head["ContentLength"] == self._size and head.get("Metadata", {}).get("sha256") == self.sha256)

    def _write(self, data: bytes) -> None:
        metadata = {"sha256": self.sha256}
        checksum = Piece(1, data).sha256
        self.line.call("put_object", Key=self.key, Body=data, Metadata=metadata, ChecksumSHA256=checksum)

    def _send_parts(self, start: int) -> None:
        found = self._find_interrupted() if start == 0 else None
        upload_id, there = found or (self._begin(), {})

        def send(number: int, data: bytes) -> dict[str, Any]:
            """Sends one part, unless the server has it."""
            piece, part = Piece(number, data), there.get(number)
            if part is None or not piece.matches(part):
                part = self.line.call(
                    "upload_part", Key=self.key, UploadId=upload_id, PartNumber=number, Body=data,
                    ChecksumSHA256=piece.sha256,
                )  # fmt: skip
            return _reference(number, part)

        done, digest = self._send_each(send)
        if digest != self.sha256:
            self._abort(upload_id)
        self._must_match(digest)
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

    def _tidy(self) -> None:
        """Drops what is left of uploads of a key that is there now: nobody would go on with them, and they cost."""
        for upload_id in self._uploads():
            self._abort(upload_id)

    def _abort(self, upload_id: str) -> None:
        try:
            self.line.call("abort_multipart_upload", Key=self.key, UploadId=upload_id)
        except Absent:
            return  # already ended


def _reference(number: int, part: dict[str, Any]) -> dict[str, Any]:
    reference = {"PartNumber": number, "ETag": part["ETag"]}
    return reference | ({"ChecksumSHA256": part["ChecksumSHA256"]} if "ChecksumSHA256" in part else {})
