"""Rows of files, one after the other, in memory that does not grow with the file.

JSON (one array, or objects one after the other), JSON lines and CSV, each also gzipped, and Parquet; told by suffix.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

from millwright_api.errors import AccessDenied, DataNotFound, InvalidData
from millwright_runner.data.csv_rows import read_csv
from millwright_runner.data.json_rows import read_json, read_json_lines

FORMATS = {".json": "json", ".jsonl": "jsonl", ".csv": "csv", ".parquet": "parquet"}
"""Suffix → format."""

_READERS: dict[str, Callable[[IO[bytes], Callable[[int], str]], Iterator[tuple[int, dict[str, Any]]]]] = {
    "json": read_json,
    "jsonl": read_json_lines,
    "csv": read_csv,
}


@dataclass(frozen=True)
class RowFormat:
    """How a file of rows is read.

    Attributes:
        where: its name as a person knows it, for messages.
        format: json, jsonl, csv or parquet.
        gzipped: whether it is compressed as a whole.
    """

    where: str
    format: str
    gzipped: bool

    def place(self, number: int) -> str:
        """Returns how a message names a row: its line, or its number from 1 in formats without lines."""
        return f"{self.where}, {'row' if self.format == 'parquet' else 'line'} {number}"


@dataclass(frozen=True)
class RowFile(RowFormat):
    """A file of rows on this machine.

    Attributes:
        path: where it lies.
        size: in bytes, when it was looked at.
        mtime_ns: when it was changed last, in nanoseconds, as it was then.
    """

    path: Path
    size: int
    mtime_ns: int

    def check_unchanged(self) -> None:
        """Refuses to go on with a file that somebody writes to: its digest would name other rows.

        Raises:
            InvalidData: size or time are not what they were.
        """
        now = self.path.stat()
        if (now.st_size, now.st_mtime_ns) != (self.size, self.mtime_ns):
            raise InvalidData("the file was changed while it was read", where=self.where, hint="run it again")


def format_of(name: str, where: str) -> RowFormat:
    """Returns how a file is read, by its name's suffix.

    Args:
        name: the name.
        where: the same with its place, for messages.

    Raises:
        InvalidData: the suffix is none of those known.
    """
    gzipped = name.lower().endswith(".gz")
    suffix = Path(name.lower().removesuffix(".gz")).suffix
    if suffix not in FORMATS or (gzipped and suffix == ".parquet"):
        found = "".join(Path(name).suffixes[-2:] if gzipped else Path(name).suffixes[-1:])
        raise InvalidData(
            f"the suffix {found!r} is no format of rows"
            if found
            else "a file of rows has a suffix that names its format",
            where=where,
            hint=f"possible: {', '.join(FORMATS)}, and .json.gz, .jsonl.gz, .csv.gz",
        )
    return RowFormat(where, FORMATS[suffix], gzipped)


def look(path: Path, where: str) -> RowFile:
    """Returns a file's format and state.

    Raises:
        DataNotFound: it is no file.
        InvalidData: it is empty or of no known format.
    """
    read = format_of(path.name, where)
    try:
        stat = path.stat()
    except OSError as error:
        raise DataNotFound(f"cannot be looked at: {error.strerror}", where=where) from error
    if stat.st_size == 0:
        raise InvalidData("the file is empty", where=where)
    return RowFile(where, read.format, read.gzipped, path, stat.st_size, stat.st_mtime_ns)


def rows_of(stream: IO[bytes], how: RowFormat, columns: Sequence[str] | None) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yields each row of an open file with its line, or with its number from 1 in formats without lines.

    Args:
        stream: the file; Parquet is read from its end, so it must be able to seek.
        how: how it is read, and its name for messages.
        columns: the columns that are wanted; a row may have others too. None: all.

    Raises:
        InvalidData: a row that is malformed, with its place.
    """
    try:
        if how.format == "parquet":
            from millwright_runner.data.parquet_rows import read_parquet  # pyarrow: a fifth of a second

            yield from read_parquet(stream, how.where, columns)
        else:
            text = cast(IO[bytes], gzip.GzipFile(fileobj=stream)) if how.gzipped else stream
            yield from _READERS[how.format](text, how.place)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise InvalidData(f"not a whole gzip file: {error}", where=how.where) from error


class RowReader:
    """Reads one file's rows; `done` is how many of its bytes have been read so far.

    Args:
        file: the file.
        columns: the columns that are wanted; a row may have others too. None: all.
    """

    def __init__(self, file: RowFile, columns: Sequence[str] | None) -> None:
        self._file, self._columns = file, columns
        self._position: Callable[[], int] = lambda: 0

    @property
    def done(self) -> int:
        """Bytes of the file that have been read; of a gzipped one, compressed bytes."""
        return self._position()

    def __iter__(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yields each row with its line, or with its number from 1 in formats without lines.

        Raises:
            InvalidData: a row that is malformed, with its place.
            AccessDenied: the file may not be read.
        """
        file = self._file
        try:
            with file.path.open("rb") as raw:
                self._position = raw.tell
                yield from rows_of(raw, file, self._columns)
        except PermissionError as error:
            raise AccessDenied("the file may not be read by this user", where=file.where) from error
        except FileNotFoundError as error:
            raise DataNotFound("the file is gone", where=file.where) from error
        finally:
            self._position = lambda: file.size
