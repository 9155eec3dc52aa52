"""CSV as RFC 4180 has it: a header line, commas, double quotes."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from typing import IO, Any

from millwright_api.errors import InvalidData
from millwright_runner.data.json_rows import LARGEST_ROW, not_utf8

LARGEST_FIELD = 16 << 20
"""Characters of the largest field; the csv module holds a field at four bytes a character."""


def read_csv(stream: IO[bytes], place: Callable[[int], str]) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yields the line where each row starts, and the row by the header's names; blank lines are passed over.

    Raises:
        InvalidData: wrong quoting, a row of another length than the header, a header that names a column twice or
            not at all, not UTF-8.
    """
    csv.field_size_limit(LARGEST_FIELD)  # the module's own limit, 128 KiB, is less than a long document
    lines = _Lines(stream, place)
    reader = csv.reader(lines, strict=True)
    header = _header(reader, lines, place)
    while True:
        line = reader.line_num + 1
        fields = _next(reader, line, place)
        if fields is None:
            return
        if not fields:
            continue
        if len(fields) != len(header):
            raise InvalidData(
                f"{_count(len(fields))}, and the header names {len(header)}",
                where=place(line),
                hint="put fields that hold commas or line ends into double quotes",
            )
        yield line, dict(zip(header, fields, strict=True))


class _Lines:
    """The stream's lines as text; csv wants line ends kept."""

    def __init__(self, stream: IO[bytes], place: Callable[[int], str]) -> None:
        self._stream, self._place, self._number = stream, place, 0

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._stream.readline(LARGEST_ROW + 1)
        self._number += 1
        if not line:
            raise StopIteration
        if len(line) > LARGEST_ROW:
            raise InvalidData(f"the line is longer than {LARGEST_ROW >> 20} MiB", where=self._place(self._number))
        try:
            return line.decode("utf-8-sig" if self._number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            raise not_utf8(error, self._place(self._number)) from error


def _header(reader: Any, lines: _Lines, place: Callable[[int], str]) -> list[str]:
    header = _next(reader, 1, place)
    while header == []:
        header = _next(reader, reader.line_num + 1, place)
    if header is None:
        return []
    for name in header:
        if not name or header.count(name) > 1:
            found = f"names {name!r} more than once" if name else "has a column without a name"
            raise InvalidData(f"the header {found}", where=place(reader.line_num))
    return header


def _next(reader: Any, line: int, place: Callable[[int], str]) -> list[str] | None:
    try:
        return next(reader, None)
    except csv.Error as error:
        message = "a quote is opened and never closed" if "unexpected end" in str(error) else str(error)
        raise InvalidData(
            f"malformed CSV: {message}", where=place(line), hint="a double quote inside a quoted field is written twice"
        ) from error


def _count(fields: int) -> str:
    return f"{fields} field{'' if fields == 1 else 's'}"
