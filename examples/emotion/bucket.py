"""Copies files between a folder and a bucket, for the demo on a cluster; where and as whom is in AWS_*.

python bucket.py put FOLDER s3://bucket/prefix/     makes the bucket if need be; what is there already stays
python bucket.py get s3://bucket/prefix/ FOLDER
python bucket.py list s3://bucket/prefix/
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3


def split(uri: str) -> tuple[str, str]:
    """Returns the bucket and the prefix of s3://bucket/prefix/."""
    bucket, _, prefix = uri.removeprefix("s3://").partition("/")
    return bucket, prefix


def objects(client: Any, uri: str) -> Iterator[tuple[str, int]]:
    """Yields each key below a prefix, relative to it, and its size in bytes."""
    bucket, prefix = split(uri)
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        for entry in page.get("Contents", []):
            yield entry["Key"].removeprefix(prefix), entry["Size"]


def put(client: Any, folder: Path, uri: str) -> None:
    """Copies a folder's files, those of its folders too; a file that is there with the same size is left alone."""
    bucket, prefix = split(uri)
    with contextlib.suppress(client.exceptions.BucketAlreadyOwnedByYou, client.exceptions.BucketAlreadyExists):
        client.create_bucket(Bucket=bucket)
    there = dict(objects(client, uri))
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = path.relative_to(folder).as_posix()
        if there.get(name) != path.stat().st_size:
            client.upload_file(str(path), bucket, prefix + name)


def get(client: Any, uri: str, folder: Path) -> None:
    """Copies all files below a prefix into a folder."""
    bucket, prefix = split(uri)
    for name, _ in objects(client, uri):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        client.download_file(bucket, prefix + name, str(folder / name))


def main(arguments: list[str]) -> None:
    """Does what the command line says."""
    client = boto3.client("s3")
    match arguments:
        case ["put", folder, uri]:
            put(client, Path(folder), uri)
        case ["get", uri, folder]:
            get(client, uri, Path(folder))
        case ["list", uri]:
            for name, size in objects(client, uri):
                print(f"{size:>12,}  {uri}{name}")
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
