"""Stores of objects on real servers of this machine, for tests that break them: one ground for each kind."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Protocol

from tests.azurite import ACCOUNT, BlobContainer
from tests.conftest import S3Bucket

from millwright_api.v1alpha1 import AzureBlobLocation, S3Location
from millwright_runner.stores import Location, Store
from millwright_runner.stores.line import Patience

MIB = 1024 * 1024
QUICK = Patience(seconds=60, first_pause=0.02, longest_pause=0.2)


class Ground(Protocol):
    """A store `x/` on a server."""

    part: int
    """Bytes that it sends at a time."""

    code: str
    """Python that defines `open_store(uri, part)`, for another process."""

    commit: str
    """How the first line of the request begins that ends an upload in parts, and what it has besides."""

    @property
    def port(self) -> int:
        """The server's, on loopback."""

    @property
    def uri(self) -> str:
        """Of the bucket or container, ending in a slash."""

    def location(self, uri: str, endpoint: str | None = None) -> Location:
        """Returns a place, by its address."""

    def open(self, endpoint: str | None = None, patience: Patience = QUICK, *, uri: str | None = None) -> Store:
        """Returns the store, at the server itself or behind something else."""

    def leftovers(self) -> list[str]:
        """Returns keys of uploads that were begun and not ended."""

    def damage(self, key: str) -> None:
        """Changes some bytes of an object, and nothing that is known of it."""


class S3Ground:
    part = 5 * MIB
    commit = "POST / uploadId="
    code = (
        "from millwright_api.v1alpha1 import S3Location\nfrom millwright_runner.stores.s3 import S3Store\n"
        "def open_store(uri, part): return S3Store(S3Location(uri=uri), part_size=part)\n"
    )

    def __init__(self, bucket: S3Bucket) -> None:
        self.bucket, self.uri, self.port = bucket, bucket.uri, bucket.server.port

    def location(self, uri: str, endpoint: str | None = None) -> S3Location:
        return S3Location(uri=uri, endpoint=endpoint)

    def open(self, endpoint: str | None = None, patience: Patience = QUICK, *, uri: str | None = None) -> Store:
        from millwright_runner.stores.s3 import S3Store

        return S3Store(self.location(uri or f"{self.uri}x", endpoint), patience=patience, part_size=self.part)

    def leftovers(self) -> list[str]:
        import boto3

        client = boto3.client("s3", endpoint_url=self.bucket.server.endpoint, region_name="us-east-1")
        return [upload["Key"] for upload in client.list_multipart_uploads(Bucket=self.bucket.name).get("Uploads", [])]

    def damage(self, key: str) -> None:
        with (self.bucket.folder / "x" / key).open("r+b") as stream:
            stream.seek(6 * MIB)
            stream.write(b"damaged")


class BlobGround:
    part = MIB
    commit = "PUT / comp=blocklist"
    code = (
        "from millwright_api.v1alpha1 import AzureBlobLocation\nfrom millwright_runner.stores.azure_blob import AzureBlobStore\n"
        "def open_store(uri, part): return AzureBlobStore(AzureBlobLocation(uri=uri), block_size=part)\n"
    )

    def __init__(self, container: BlobContainer) -> None:
        self.container, self.uri, self.port = container, container.uri, container.server.port

    def location(self, uri: str, endpoint: str | None = None) -> AzureBlobLocation:
        if endpoint is not None:
            uri = f"{endpoint}/{ACCOUNT}/{uri.partition(f'/{ACCOUNT}/')[2]}"
        return AzureBlobLocation(uri=uri)

    def open(self, endpoint: str | None = None, patience: Patience = QUICK, *, uri: str | None = None) -> Store:
        from millwright_runner.stores.azure_blob import AzureBlobStore

        location = self.location(uri or f"{self.uri}x", endpoint)
        return AzureBlobStore(location, patience=patience, block_size=self.part)

    def leftovers(self) -> list[str]:
        with self.container.client() as client:
            begun = client.list_blobs(include=["uncommittedblobs"])
            return sorted({blob.name for blob in begun} - {blob.name for blob in client.list_blobs()})

    def damage(self, key: str) -> None:
        with self.container.client() as client:
            blob = client.get_blob_client(f"x/{key}")
            data = bytearray(blob.download_blob().readall())
            data[6 * MIB : 6 * MIB + 7] = b"damaged"
            blob.upload_blob(bytes(data), overwrite=True, metadata=blob.get_blob_properties().metadata)


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def make(path: Path, size: int) -> tuple[Path, str]:
    """Makes a file of noise; returns it and its sha256. Every megabyte has its number: no two parts are alike."""
    noise = os.urandom(MIB - 8)
    data = b"".join(noise + number.to_bytes(8, "big") for number in range(size // MIB + 1))[:size]
    path.write_bytes(data)
    return path, sha(data)
