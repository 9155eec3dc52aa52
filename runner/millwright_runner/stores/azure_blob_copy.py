"""Copies inside a container: the service moves the bytes, and says when it has."""

from __future__ import annotations

import time

from azure.core import MatchConditions
from azure.core.credentials import AzureSasCredential
from azure.storage.blob import BlobProperties

from millwright_api.errors import Damaged, StoreUnavailable
from millwright_runner.stores.azure_blob_line import BlobLine
from millwright_runner.stores.line import Absent

PENDING = "pending"
FIRST_PAUSE, LONGEST_PAUSE = 0.05, 5.0
"""Seconds between questions after a copy that takes longer than its answer."""


def copy_blob(line: BlobLine, source: str, key: str) -> None:
    """Makes `key` the same as `source`, metadata included; does nothing when it is already.

    Args:
        line: to the container.
        source, key: within the container.

    Raises:
        Damaged: the source is not there.
        StoreUnavailable: the service gave the copy up.
    """
    try:
        original = line.call(source, lambda blob: blob.get_blob_properties())
        if _is_same(line, key, original):
            return
        address = line.blob(source).url
        if isinstance(line.login.credential, AzureSasCredential):  # which the source needs as well
            address = f"{address}?{line.login.credential.signature}"
        begun = line.call(
            key,
            lambda blob: blob.start_copy_from_url(
                address, source_etag=original.etag, source_match_condition=MatchConditions.IfNotModified
            ),
        )
    except Absent as error:
        raise Damaged("it is not there, or no longer", where=line.address(source)) from error
    if begun.get("copy_status") == PENDING:
        _wait(line, key, str(begun["copy_id"]))


def _wait(line: BlobLine, key: str, copy_id: str) -> None:
    """Waits until a copy is made; given up by us, it is given up by the service."""
    pause = FIRST_PAUSE
    try:
        while (found := line.call(key, lambda blob: blob.get_blob_properties())).copy.status == PENDING:
            time.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE)
    except BaseException:
        line.call(key, lambda blob: blob.abort_copy(copy_id))
        raise
    if found.copy.status not in {None, "success"}:
        raise StoreUnavailable(
            f"the copy was given up ({found.copy.status}: {found.copy.status_description})", where=line.address(key)
        )


def _is_same(line: BlobLine, key: str, original: BlobProperties) -> bool:
    try:
        there = line.call(key, lambda blob: blob.get_blob_properties())
    except Absent:
        return False
    known = (original.metadata or {}).get("sha256")
    same = there.size == original.size and (there.metadata or {}).get("sha256") == known
    return known is not None and same and there.copy.status in {None, "success"}
