"""Rows in a store, S3 or Blob, on a real server: fetched once for each content they have."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.azurite import BlobContainer
from tests.conftest import S3Bucket
from tests.rows import Words, json_lines
from tests.tiny import make_tokenizer

from millwright_api.errors import DataNotFound, InvalidData, StoreNotFound
from millwright_api.v1alpha1 import Data
from millwright_runner.data import FoundData, find_data, pack
from millwright_runner.stores import open_store

ROWS = [{"text": f"row {n}"} for n in range(20)]


@pytest.fixture(params=["s3", "blob"])
def bucket(request: pytest.FixtureRequest) -> S3Bucket | BlobContainer:
    made: S3Bucket | BlobContainer = request.getfixturevalue(request.param)
    open_store(made.location("team/")).write("train.jsonl", json_lines(ROWS))
    return made


def find(uri: str, home: Path) -> FoundData:
    kind = "s3" if uri.startswith("s3:") else "azureBlob"
    data = {"name": "train", "source": {kind: {"uri": uri}}, "text": {"strategy": "line-by-line"}}
    return find_data(Data.model_validate(data), Path("/nowhere"), home)


def test_rows_are_those_of_the_object(bucket: S3Bucket | BlobContainer, tmp_path: Path) -> None:
    tokenizer = make_tokenizer(tmp_path / "tokenizer")
    found = find(f"{bucket.uri}team/train.jsonl", tmp_path / "home")

    sequences = pack(found, tokenizer, tmp_path / "packed", lambda done, total: None)

    words = Words(tokenizer)
    assert [words.text(s["input_ids"]) for s in sequences] == [f"{row['text']}<|endoftext|>" for row in ROWS]
    assert found.where == f"{bucket.uri}team/train.jsonl"


def test_a_file_and_an_object_of_the_same_content_have_the_same_digest(
    bucket: S3Bucket | BlobContainer, tmp_path: Path
) -> None:
    (tmp_path / "other.jsonl").write_bytes(json_lines(ROWS))
    local = Data.model_validate({"name": "x", "source": {"path": "other.jsonl"}, "text": {"strategy": "line-by-line"}})

    assert (
        find(f"{bucket.uri}team/train.jsonl", tmp_path / "home").digest
        == find_data(local, tmp_path, tmp_path / "home").digest
    )


def test_the_same_content_is_fetched_once(bucket: S3Bucket | BlobContainer, tmp_path: Path) -> None:
    first = find(f"{bucket.uri}team/train.jsonl", tmp_path / "home").files()[0]

    again = find(f"{bucket.uri}team/train.jsonl", tmp_path / "home").files()[0]

    assert again == first  # also its time of writing


def test_another_content_is_fetched_and_has_another_digest(bucket: S3Bucket | BlobContainer, tmp_path: Path) -> None:
    before = find(f"{bucket.uri}team/train.jsonl", tmp_path / "home")
    open_store(bucket.location("team/")).write("train.jsonl", json_lines(ROWS[:5]))

    after = find(f"{bucket.uri}team/train.jsonl", tmp_path / "home")

    assert after.digest != before.digest
    assert after.files()[0].path != before.files()[0].path


def test_a_missing_object_names_one_that_is_spelt_alike(bucket: S3Bucket | BlobContainer, tmp_path: Path) -> None:
    with pytest.raises(DataNotFound) as caught:
        find(f"{bucket.uri}team/trian.jsonl", tmp_path / "home")

    assert caught.value.where == f"{bucket.uri}team/trian.jsonl"
    assert caught.value.hint == "did you mean 'train.jsonl'?"


def test_a_missing_bucket_is_named(bucket: S3Bucket | BlobContainer, tmp_path: Path) -> None:
    with pytest.raises(StoreNotFound, match="no-such-bucket-here"):
        find(f"{bucket.uri.rstrip('/').rpartition('/')[0]}/no-such-bucket-here/train.jsonl", tmp_path / "home")


def test_an_empty_object_is_refused(bucket: S3Bucket | BlobContainer, tmp_path: Path) -> None:
    open_store(bucket.location()).write("empty.jsonl", b"")

    with pytest.raises(InvalidData, match="the file is empty"):
        find(f"{bucket.uri}empty.jsonl", tmp_path / "home")


@pytest.mark.parametrize("key", ["", "team/"])
def test_a_folder_is_no_file_of_rows(bucket: S3Bucket | BlobContainer, tmp_path: Path, key: str) -> None:
    with pytest.raises(DataNotFound, match="names no file"):
        find(f"{bucket.uri}{key}", tmp_path / "home")


def test_an_unknown_suffix_is_refused_before_anything_is_fetched(
    bucket: S3Bucket | BlobContainer, tmp_path: Path
) -> None:
    with pytest.raises(InvalidData, match=r"'\.txt' is no format of rows"):
        find(f"{bucket.uri}team/train.txt", tmp_path / "home")

    assert not (tmp_path / "home").exists()


def test_a_malformed_line_is_named_by_the_objects_uri(bucket: S3Bucket | BlobContainer, tmp_path: Path) -> None:
    open_store(bucket.location()).write("bad.jsonl", b'{"text": "x"}\n{oops}\n')

    with pytest.raises(InvalidData) as caught:
        find(f"{bucket.uri}bad.jsonl", tmp_path / "home")

    assert str(caught.value.where).startswith(f"{bucket.uri}bad.jsonl, line 2")
