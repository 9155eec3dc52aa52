"""Rows to texts: columns and a template. Pure; nothing here reads a file."""

from __future__ import annotations

import math
from collections.abc import Iterable
from string import Formatter
from typing import Any, NamedTuple

from millwright_api.errors import InvalidData, InvalidManifest, suggest
from millwright_api.v1alpha1 import Data, TextFormat


class Rendered(NamedTuple):
    """A row as text.

    Attributes:
        text: all of it.
        spans: the characters that training counts, as (start, end) pairs in order; None: all.
    """

    text: str
    spans: list[tuple[int, int]] | None


class Asked(NamedTuple):
    """A row as a question.

    Attributes:
        text: all of it, as training would see it.
        prompt: what stands before the answer.
        answer: what is right; None where the format names no answer.
        span: the characters of the text that training on answers counts, as (start, end): from the answer on; None where the
            format names no answer, or the text does not go on from the prompt.
    """

    text: str
    prompt: str
    answer: str | None
    span: tuple[int, int] | None


class TextRenderer:
    """Makes texts of rows.

    Args:
        format: columns, template and answer.
        where: the format's path in the manifest.

    Raises:
        InvalidManifest: the template is malformed or names a column that is not in columns.
    """

    def __init__(self, format: TextFormat, where: str) -> None:  # noqa: A002
        self.columns = list(dict.fromkeys(format.columns))
        self._parts = _parts(format, where)
        self._named = format.answer
        self._answer = format.answer if format.loss_on == "answer" else None
        places = [column for _, column in self._parts].count(format.answer) if format.answer else 0
        if format.answer and not places:
            self._parts.append(("", format.answer))
        if self._answer and places > 1:
            raise InvalidManifest(
                f"the template has the answer, {{{self._answer}}}, {places} times",
                where=f"{where}.template",
                hint="with lossOn answer it stands there once: training counts from there",
            )

    def __call__(self, row: dict[str, Any], where: str) -> Rendered:
        """Returns a row's text.

        Args:
            row: the row.
            where: how a message names it.

        Raises:
            InvalidData: it lacks a column, or a column holds neither text nor a number.
        """
        values = {column: self._value(row, column, where) for column in self.columns}
        text, start = self._fill(values, self._answer)
        return Rendered(text, None if start is None else [(start, len(text))])

    def asked(self, row: dict[str, Any], where: str) -> Asked:
        """Returns a row as a question: the prompt ends where the template puts the answer first.

        Args:
            row: the row.
            where: how a message names it.

        Raises:
            InvalidData: it lacks a column, or a column holds neither text nor a number.
        """
        values = {column: self._value(row, column, where) for column in self.columns}
        text, start = self._fill(values, self._named)
        if self._named is None or start is None:
            return Asked(text, text, None, None)
        return Asked(text, text[:start], values[self._named], (start, len(text)))

    def _fill(self, values: dict[str, str], wanted: str | None) -> tuple[str, int | None]:
        """Returns the text, and the character where it has the wanted column first."""
        pieces: list[str] = []
        start: int | None = None
        length = 0
        for literal, column in self._parts:
            piece = literal if column is None else literal + values[column]
            if start is None and column is not None and column == wanted:
                start = length + len(literal)
            pieces.append(piece)
            length += len(piece)
        return "".join(pieces), start

    def _value(self, row: dict[str, Any], column: str, where: str) -> str:
        value = row.get(column)
        if type(value) is str:
            return value
        if column not in row:
            raise missing_column(column, row, where)
        if isinstance(value, bool):
            return "true" if value else "false"  # as JSON spells them
        if isinstance(value, int | float) and not math.isnan(value):
            return str(value)
        kind = {type(None): "null", list: "a list", dict: "an object", float: "not a number"}.get(type(value))
        raise InvalidData(
            f"the column {column!r} holds {kind or type(value).__name__}",
            where=where,
            hint="text is made of texts and numbers",
        )


def missing_column(column: str, present: Iterable[str], where: str) -> InvalidData:
    """Returns the exception for a column that is not there: it lists those that are."""
    names = list(present)
    hint = suggest(column, names)
    return InvalidData(
        f"there is no column {column!r}; the columns are {', '.join(names) if names else 'none'}",
        where=where,
        hint=hint if hint.startswith("did you") else None,
    )


def check_format(data: Data, where: str) -> None:
    """Checks what can be known of a format without any file.

    Args:
        data: the manifest's entry.
        where: its path in the manifest, such as spec.data[0].

    Raises:
        InvalidManifest: see TextRenderer.
    """
    if data.text is not None:
        TextRenderer(data.text, f"{where}.text")


def _parts(format: TextFormat, where: str) -> list[tuple[str, str | None]]:  # noqa: A002
    """Returns the template as (text, the column that follows it or None) pairs."""
    if format.template is None:
        return [(" " if index else "", column) for index, column in enumerate(format.columns)]
    where = f"{where}.template"
    try:
        parsed = list(Formatter().parse(format.template))
    except ValueError as error:
        raise InvalidManifest(
            f"malformed template: {str(error).rstrip('.')}", where=where, hint="a literal brace is doubled: {{ or }}"
        ) from error
    parts: list[tuple[str, str | None]] = []
    for literal, column, spec, conversion in parsed:
        if column is not None and (spec or conversion):
            raise InvalidManifest(
                f"{{{column}{'!' if conversion else ':'}…}} is no column",
                where=where,
                hint="braces hold a column's name and nothing else; a literal brace is doubled",
            )
        if column is not None and column not in format.columns:
            raise InvalidManifest(
                f"the template names the column {column!r}, which is not in columns",
                where=where,
                hint=suggest(column, format.columns),
            )
        parts.append((literal, column))
    return parts
