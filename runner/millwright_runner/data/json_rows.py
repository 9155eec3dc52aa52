"""JSON and JSON lines, streamed: of a 600 MB array, one object at a time is in memory."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Callable, Iterator
from typing import IO, Any

from millwright_api.errors import InvalidData

CHUNK = 1 << 20
"""Bytes read at a time."""

LARGEST_ROW = 64 << 20
"""Bytes of the largest row: bounds memory also for files that never close what they open."""

_SPACE = re.compile(r"[ \t\n\r]*")
_KINDS = {"[": "a list", '"': "a text", "t": "true or false", "f": "true or false", "n": "null"}
_DECODER = json.JSONDecoder()

Place = Callable[[int], str]
"""Names a line for a message."""


def read_json_lines(stream: IO[bytes], place: Place) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yields line number and object of each line; blank lines are passed over.

    Raises:
        InvalidData: a line that is no JSON, no object, not UTF-8 or too long.
    """
    number = 0
    while line := stream.readline(LARGEST_ROW + 1):
        number += 1
        if len(line) > LARGEST_ROW:
            raise InvalidData(
                f"the line is longer than {LARGEST_ROW >> 20} MiB",
                where=place(number),
                hint="one object a line; for one array the suffix is .json",
            )
        try:
            text = line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            raise not_utf8(error, place(number)) from error
        if not text.strip():
            continue
        try:
            row = _DECODER.decode(text)
        except (ValueError, RecursionError) as error:
            raise _malformed(error, place(number)) from error
        if type(row) is not dict:
            raise _not_an_object(text.lstrip()[0], place(number))
        yield number, row


def read_json(stream: IO[bytes], place: Place) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yields the line where each object starts, and the object: of an array, or of objects one after the other.

    Raises:
        InvalidData: what is there is no JSON, no object, not UTF-8, or ends in the middle.
    """
    buffer = _Buffer(stream, place)
    if buffer.peek() != "[":
        while buffer.peek():
            yield buffer.object()
        return
    buffer.step()
    if buffer.peek() != "]":
        yield buffer.object()
        while buffer.peek() == ",":
            buffer.step()
            yield buffer.object()
    if buffer.peek() != "]":
        found = f"{buffer.peek()!r} instead of a comma or the array's end" if buffer.peek() else "the array has no end"
        raise InvalidData(f"malformed JSON: {found}", where=place(buffer.line))
    buffer.step()
    if buffer.peek():
        raise InvalidData("malformed JSON: something follows the array", where=place(buffer.line))


class _Buffer:
    """A window on the text; `line` is the line of its next character."""

    def __init__(self, stream: IO[bytes], place: Place) -> None:
        self._stream, self._place = stream, place
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")()
        self._text, self._at, self.line = "", 0, 1

    def peek(self) -> str:
        """Returns the next character that is no white space, or '' at the end."""
        while True:
            end = _SPACE.match(self._text, self._at).end()  # type: ignore[union-attr]  # matches also nothing
            self.line += self._text.count("\n", self._at, end)
            self._at = end
            if end < len(self._text):
                return self._text[end]
            if not self._more():
                return ""

    def step(self) -> None:
        """Goes past the character that was peeked at."""
        self._at += 1

    def object(self) -> tuple[int, dict[str, Any]]:
        """Returns the next object and its line."""
        first = self.peek()
        if first != "{":
            if first and first not in '["tfn-0123456789':
                raise InvalidData(
                    f"malformed JSON: {first!r} where an object should start", where=self._place(self.line)
                )
            raise _not_an_object(first, self._place(self.line))
        while True:
            try:
                value, end = _DECODER.raw_decode(self._text, self._at)
                break
            except (ValueError, RecursionError) as error:
                line = self.line + self._text.count("\n", self._at, getattr(error, "pos", self._at))
                # Only part of the object may be in the window: what is malformed stays so with more text.
                if len(self._text) - self._at > LARGEST_ROW or not self._more():
                    raise _malformed(error, self._place(line)) from error
        line = self.line
        self.line += self._text.count("\n", self._at, end)
        self._at = end
        return line, value

    def _more(self) -> bool:
        rest = self._text[self._at :]
        data = self._stream.read(max(CHUNK, len(rest)))  # grows with the object, else long ones cost their square
        try:
            text = self._decoder.decode(data, final=not data)
        except UnicodeDecodeError as error:
            newlines = error.object[: error.start].count(b"\n")
            raise not_utf8(error, self._place(self.line + rest.count("\n") + newlines)) from error
        self._text, self._at = rest + text, 0
        return bool(data)


def not_utf8(error: UnicodeDecodeError, where: str) -> InvalidData:
    """Returns the exception for bytes that are no UTF-8."""
    return InvalidData(f"not UTF-8: byte 0x{error.object[error.start]:02x}", where=where, hint="save the file as UTF-8")


def _malformed(error: Exception, where: str) -> InvalidData:
    message = getattr(error, "msg", None) or ("nested too deeply" if isinstance(error, RecursionError) else str(error))
    column = f", column {error.colno}" if isinstance(error, json.JSONDecodeError) else ""
    return InvalidData(f"malformed JSON: {message}", where=f"{where}{column}")


def _not_an_object(first: str, where: str) -> InvalidData:
    kind = _KINDS.get(first, "a number") if first else "nothing"
    return InvalidData(f"a row is an object, and this is {kind}", where=where, hint='such as {"text": "…"}')
