"""Copies inside a bucket: the server moves the bytes."""

from __future__ import annotations

from contextlib import closing
from typing import Any

from millwright_api.errors import Damaged
from millwright_runner.stores.ahead import ahead
from millwright_runner.stores.line import Absent
from millwright_runner.stores.s3_line import Line

MOST_PARTS = 10_000
"""S3's limit."""

PART_SIZE = 256 * 1024**2
"""Bytes of a part; S3 allows 5 MiB to 5 GiB."""


def copy_object(line: Line, source: str, key: str, whole_up_to: int, part_size: int = PART_SIZE) -> None:
    """Makes `key` the same as `source`, metadata included; does nothing when it is already.

    Args:
        source, key: within the bucket.
        whole_up_to: bytes up to which one call is used.
        part_size: bytes of a part, above that.

    Raises:
        Damaged: the source is not there.
    """
    place = {"Bucket": line.bucket, "Key": source}
    try:
        head = line.call("head_object", Key=source)
        if _is_same(line, key, head):
            return
        if head["ContentLength"] <= whole_up_to:
            line.call("copy_object", Key=key, CopySource=place, MetadataDirective="COPY")
            return
    except Absent as error:
        raise Damaged("it is not there, or no longer", where=f"s3://{line.bucket}/{source}") from error
    _copy_parts(line, place, key, head, max(part_size, -(-head["ContentLength"] // MOST_PARTS)))


def _is_same(line: Line, key: str, head: dict[str, Any]) -> bool:
    try:
        there = line.call("head_object", Key=key)
    except Absent:
        return False
    known = head.get("Metadata", {}).get("sha256")
    same = there["ContentLength"] == head["ContentLength"] and there.get("Metadata", {}).get("sha256") == known
    return known is not None and same


def _copy_parts(line: Line, place: dict[str, str], key: str, head: dict[str, Any], part_size: int) -> None:
    begun = line.call("create_multipart_upload", Key=key, Metadata=head.get("Metadata", {}))
    size, upload_id = head["ContentLength"], begun["UploadId"]

    def copy_part(number: int) -> dict[str, Any]:
        """Copies one part, counted from 1."""
        first = (number - 1) * part_size
        last = min(first + part_size, size) - 1
        answer = line.call(
            "upload_part_copy", Key=key, UploadId=upload_id, PartNumber=number, CopySource=place,
            CopySourceRange=f"bytes={first}-{last}", CopySourceIfMatch=head["ETag"],
        )  # fmt: skip
        return {"PartNumber": number, "ETag": answer["CopyPartResult"]["ETag"]}

    try:
        with closing(ahead(copy_part, range(1, -(-size // part_size) + 1))) as copied:
            parts = list(copied)
        line.call("complete_multipart_upload", Key=key, UploadId=upload_id, MultipartUpload={"Parts": parts})
    except Absent as error:
        if not _is_same(line, key, head):  # else it was completed, and only the answer was lost
            raise Damaged("the copy was ended by another process", where=f"s3://{line.bucket}/{key}") from error
    except BaseException:
        line.call("abort_multipart_upload", Key=key, UploadId=upload_id)
        raise
