"""Parquet, a batch of rows at a time; only the wanted columns are read. The only module here that imports pyarrow."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

from millwright_api.errors import InvalidData

ROWS_AT_A_TIME, BYTES_AT_A_TIME = 1024, 1 << 20
"""A batch has at most so many rows, and about so many bytes."""


def read_parquet(raw: IO[bytes], where: str, columns: Sequence[str] | None) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yields each row with its number from 1.

    A file without some of the columns gives rows without them: who uses the row says what is missing.

    Raises:
        InvalidData: the file is torn or no Parquet.
    """
    import pyarrow
    import pyarrow.parquet

    try:
        # Whole row groups are read ahead otherwise, and a file may be one row group.
        file = pyarrow.parquet.ParquetFile(raw, pre_buffer=False, buffer_size=1 << 20)
        names = file.schema_arrow.names
        wanted = names if columns is None else [name for name in columns if name in names]
        if columns and len(wanted) < len(set(columns)):
            wanted = names
        number = 0
        rows = max(min(ROWS_AT_A_TIME, BYTES_AT_A_TIME // max(_bytes_a_row(file.metadata), 1)), 1)
        for batch in file.iter_batches(batch_size=rows, columns=wanted, use_threads=False):
            for row in batch.to_pylist():
                number += 1
                yield number, row
    except (pyarrow.ArrowException, OSError) as error:
        raise InvalidData(f"not a whole Parquet file: {' '.join(str(error).split())}", where=where) from error


def count_parquet(path: Path) -> int:
    """Returns the number of rows, from the file's footer."""
    import pyarrow.parquet

    return int(pyarrow.parquet.read_metadata(path).num_rows)


def _bytes_a_row(metadata: Any) -> int:
    """Returns the mean size of a row before compression, all columns together."""
    groups = (metadata.row_group(number) for number in range(metadata.num_row_groups))
    return int(sum(group.total_byte_size for group in groups) // max(metadata.num_rows, 1))
