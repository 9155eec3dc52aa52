"""All rows of a data set, over its files: the slice, then the limit."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

from millwright_runner.data.find import FoundData, columns_of
from millwright_runner.data.rows import RowFile, RowReader


class DataReader:
    """Reads a data set's rows once, in order; `done` of `total` bytes have been read.

    Args:
        found: the data set; its files are brought to this machine here.
        every_column: whether rows have all columns that there are; else those of the format, and maybe others.
    """

    def __init__(self, found: FoundData, *, every_column: bool = False) -> None:
        self._found = found
        self._columns = None if every_column else columns_of(found.spec)
        self._files = found.files()
        self.total = sum(file.size for file in self._files)
        self._before = 0
        self._reader: RowReader | None = None

    @property
    def done(self) -> int:
        """Bytes read so far."""
        return self._before + (self._reader.done if self._reader else 0)

    def __iter__(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yields each row with its place as a message names it.

        Raises:
            InvalidData: a malformed row, or a file that changed since it was looked at.
        """
        for file in self._files:
            file.check_unchanged()
        slice_ = self._found.slice
        start, stop = slice_.rows(self._count() if slice_.needs_total else None)
        yield from itertools.islice(itertools.islice(self._rows(), start, stop), self._found.spec.limit)
        for file in self._files:
            file.check_unchanged()

    def _rows(self) -> Iterator[tuple[str, dict[str, Any]]]:
        for file in self._files:
            self._reader = RowReader(file, self._columns)
            for number, row in self._reader:
                yield file.place(number), row
            self._before, self._reader = self._before + file.size, None

    def _count(self) -> int:
        return sum(_count(file) for file in self._files)


def _count(file: RowFile) -> int:
    if file.format == "parquet":
        from millwright_runner.data.parquet_rows import count_parquet

        return count_parquet(file.path)
    return sum(1 for _ in RowReader(file, []))


Tell = Callable[[int, int | None], None]
"""Told how many bytes of how many have been read."""
