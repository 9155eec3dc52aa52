"""A store in an S3 bucket: any server that speaks S3, with boto3's standard chain of credentials."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from millwright_api.errors import AccessDenied, StoreUnavailable, StoreUnreachable
from millwright_api.v1alpha1 import S3Location
from millwright_runner.stores import Blob, Entry, Stat
from millwright_runner.stores.line import Absent, Patience
from millwright_runner.stores.objects import ObjectStore, tell_nobody
from millwright_runner.stores.s3_copy import copy_object
from millwright_runner.stores.s3_line import DENIED, Line
from millwright_runner.stores.s3_upload import S3Upload

PART_SIZE = 8 * 1024 * 1024
"""Bytes of a part, up and down; four are under way at once. S3 wants at least 5 MiB."""

COPY_WHOLE_UP_TO = 1024**3
"""Bytes up to which the server copies in one call; S3 refuses above 5 GB, and long before that a call outlasts timeouts."""

UNTAGGED = "changed "
"""Begins what stands for an etag where the server is a gateway over files that came there another way."""

DELETED_AT_ONCE = 1000
"""S3's limit for one call."""


class S3Store(ObjectStore):
    """Satisfies `stores.Store` with a bucket.

    Args:
        location: bucket and prefix, and where the server is.
        patience: how long a server that had answered is waited for.
        part_size: bytes of a part.
        copy_whole_up_to: bytes up to which the server copies in one call.

    Raises:
        AccessDenied: the profile that is named does not exist.
        StoreUnreachable: the endpoint is no URL.
    """

    def __init__(
        self,
        location: S3Location,
        *,
        patience: Patience | None = None,
        part_size: int = PART_SIZE,
        copy_whole_up_to: int = COPY_WHOLE_UP_TO,
    ) -> None:
        self._line = Line(location, patience or Patience())
        self._copy_whole_up_to = copy_whole_up_to
        super().__init__(self._line.uri, self._line.prefix, part_size)

    def check(self, *, write: bool) -> None:
        """See `Store.check`. Writing is asked about by a multipart upload that is begun and dropped: it leaves nothing."""
        if "Name" not in self._line.call("list_objects_v2", Prefix=self._line.prefix, MaxKeys=1):  # a web page, say
            raise StoreUnreachable(
                f"{self._line.endpoint} answers, but not as S3", where=self.uri, hint="is the endpoint right?"
            )
        if write:
            key = f"{self._line.prefix}.mw-check"
            begun = self._line.call("create_multipart_upload", Key=key)
            try:
                self._line.call("abort_multipart_upload", Key=key, UploadId=begun["UploadId"])
            except Absent:
                return  # an abort whose first answer was lost

    def list(self, prefix: str) -> Iterator[Entry]:
        """See `Store.list`."""
        arguments: dict[str, Any] = {"Prefix": self._line.prefix + prefix}
        while True:
            page = self._line.call("list_objects_v2", **arguments)
            for found in page.get("Contents", []):
                if not found["Key"].endswith("/"):  # consoles make empty keys to show folders
                    yield Entry(found["Key"].removeprefix(self._line.prefix), found["Size"])
            if not page.get("IsTruncated"):
                return
            arguments["ContinuationToken"] = page["NextContinuationToken"]

    def stat(self, key: str) -> Stat | None:
        """See `Store.stat`."""
        try:
            head = self._line.call("head_object", Key=self._key(key))
        except Absent:
            return None
        return Stat(head["ContentLength"], _etag(head), head.get("Metadata", {}).get("sha256"))

    def _read(self, key: str, start: int, length: int | None) -> Blob:
        arguments: dict[str, Any] = {"Key": key}
        if length is not None:
            arguments["Range"] = f"bytes={start}-{start + length - 1}"

        def attempt() -> Blob:
            """Reads the whole answer, or fails as a whole."""
            answer = self._line.ask("get_object", **arguments)
            return Blob(answer["Body"].read(), _etag(answer))

        return self._line.patiently(attempt)

    def put(self, key: str, file: Path, sha256: str, on_bytes: Callable[[int], None] | None = None) -> None:
        """See `Store.put`."""
        tell = on_bytes or tell_nobody
        S3Upload(self._key(key), self.uri + key, file, sha256, self._part_size, tell, self._line).run()

    def copy(self, source: str, key: str) -> None:
        """See `Store.copy`."""
        copy_object(self._line, self._key(source), self._key(key), self._copy_whole_up_to)

    def delete(self, keys: Iterable[str]) -> None:
        """See `Store.delete`."""
        remaining = iter(keys)
        while batch := [{"Key": self._key(key)} for key in islice(remaining, DELETED_AT_ONCE)]:
            answer = self._line.call("delete_objects", Delete={"Objects": batch, "Quiet": True})
            for refused in answer.get("Errors", []):
                code, where = refused.get("Code"), f"s3://{self._line.bucket}/{refused.get('Key')}"
                if code != "NoSuchKey":
                    kind = AccessDenied if code in DENIED else StoreUnavailable
                    raise kind(f"it cannot be removed ({code}: {refused.get('Message', '')})", where=where)

    def _write(self, key: str, data: bytes, *, if_absent: bool, if_match: str | None) -> None:
        digest = hashlib.sha256(data)
        condition = {"IfNoneMatch": "*"} if if_absent else {"IfMatch": f'"{if_match}"'} if if_match is not None else {}
        self._line.call(
            "put_object", Key=key, Body=data, Metadata={"sha256": digest.hexdigest()},
            ChecksumSHA256=base64.b64encode(digest.digest()).decode(), **condition,
        )  # fmt: skip

    def _range(self, key: str, etag: str, first: int, last: int) -> bytes:
        asked = {"Key": key, "Range": f"bytes={first}-{last}"}
        if not etag.startswith(UNTAGGED):
            asked["IfMatch"] = f'"{etag}"'
        return self._line.patiently(lambda: bytes(self._line.ask("get_object", **asked)["Body"].read()))


def _etag(answer: dict[str, Any]) -> str:
    return str(answer["ETag"]).strip('"') if "ETag" in answer else f"{UNTAGGED}{answer['LastModified'].isoformat()}"
