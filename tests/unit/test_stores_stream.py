"""A store's file as a stream: any part of it, without fetching the rest."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest
from tests.conftest import S3Bucket

from millwright_api.errors import Damaged
from millwright_api.v1alpha1 import Data
from millwright_runner.data import find_data
from millwright_runner.stores import Store, open_store
from millwright_runner.stores.stream import StoredFile

CONTENT = bytes(range(256)) * 20


@pytest.fixture(params=["folder", "s3", "blob"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    made = open_store(tmp_path if request.param == "folder" else request.getfixturevalue(request.param).location())
    made.write("rows", CONTENT)
    return made


class TestReading:
    def test_read_to_its_end_it_is_the_file(self, store: Store) -> None:
        assert io.BufferedReader(StoredFile(store, "rows", len(CONTENT)), 1000).read() == CONTENT

    def test_it_reads_from_where_it_was_moved_to(self, store: Store) -> None:
        stream = StoredFile(store, "rows", len(CONTENT))

        stream.seek(-10, os.SEEK_END)
        end = stream.read(100)
        stream.seek(300)
        stream.seek(-44, os.SEEK_CUR)

        assert end == CONTENT[-10:]
        assert (stream.tell(), stream.read(3)) == (256, b"\x00\x01\x02")

    def test_behind_its_end_there_is_nothing(self, store: Store) -> None:
        stream = StoredFile(store, "rows", len(CONTENT))
        stream.seek(10_000)

        assert stream.read(10) == b""

    def test_a_file_that_is_gone_is_told(self, store: Store) -> None:
        stream = StoredFile(store, "rows", len(CONTENT))
        store.delete(["rows"])

        with pytest.raises(Damaged, match="gone"):
            stream.read(10)

    def test_a_store_gives_any_range(self, store: Store) -> None:
        blob = store.read("rows", first=4, start=256 * 19 + 250)

        assert blob is not None
        assert blob.data == b"\xfa\xfb\xfc\xfd"


class TestLargeFiles:
    def test_the_columns_of_a_large_parquet_file_in_s3_are_seen_in_its_footer(
        self, s3: S3Bucket, tmp_path: Path
    ) -> None:
        import pyarrow
        import pyarrow.parquet

        noise = [os.urandom(1000).hex() for _ in range(3000)]
        table = pyarrow.table({"phrase": [f"row {n}" for n in range(3000)], "noise": noise})
        pyarrow.parquet.write_table(table, s3.folder / "rows.parquet", row_group_size=100)
        source = {"s3": {"uri": f"{s3.uri}rows.parquet"}}
        data = Data.model_validate({"name": "train", "source": source, "text": {"columns": ["phrase"]}})

        found = find_data(data, tmp_path, tmp_path / "home", read_up_to=1024)

        assert (s3.folder / "rows.parquet").stat().st_size > 3_000_000
        assert found.sample[0] == (f"{s3.uri}rows.parquet, row 1", {"phrase": "row 0"})
        assert found.digest == ""
        assert not (tmp_path / "home").exists()
