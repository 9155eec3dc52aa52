"""Reads single values of Olive's JSON, as leniently as Olive does, and no more."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from millwright_api.errors import InvalidManifest, suggest
from millwright_runner.olive.table import Row
from millwright_runner.olive.trace import Path, show, wrong


def read(row: Row, path: Path, value: Any) -> Any:
    """Returns the value for the manifest; None where the value is one of Olive's without a counterpart.

    Raises:
        InvalidManifest: it is of the wrong type, or the row requires a counterpart and there is none.
    """
    if row.choices is None:
        return READERS[row.kind](path, value)
    if not isinstance(value, str):
        wrong(path, value, "text", suggest(str(value), row.choices))
    choice = row.choices.get(value)
    if choice is None and row.required:
        hint = suggest(value, row.choices)
        raise InvalidManifest(f"{value!r} is not possible", where=show(path), hint=hint)
    return choice


def integer(path: Path, value: Any) -> int:
    """Returns a whole number; digits in quotes count, as in Olive."""
    number_ = number(path, value)
    if int(number_) != number_:
        wrong(path, value, "whole number")
    return int(number_)


def number(path: Path, value: Any) -> int | float:
    """Returns a number; one in quotes counts, as in Olive."""
    if isinstance(value, str):
        try:
            value = float(value) if not value.strip().lstrip("+-").isdigit() else int(value)
        except ValueError:
            wrong(path, value, "number")
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        wrong(path, value, "number")
    return value


def boolean(path: Path, value: Any) -> bool:
    """Returns true or false; the words in quotes count, as in Olive."""
    word = value.lower() if isinstance(value, str) else value
    if word not in (True, False, "true", "false"):
        wrong(path, value, "true or false")
    return word in (True, "true")


def text(path: Path, value: Any) -> str:
    """Returns a text."""
    return value if isinstance(value, str) else wrong(path, value, "text")


def texts(path: Path, value: Any) -> str | list[str]:
    """Returns a text or a list of texts."""
    if not isinstance(value, str) and not (isinstance(value, list) and all(isinstance(item, str) for item in value)):
        wrong(path, value, "text or list of texts")
    return value


READERS: dict[str, Callable[[Path, Any], Any]] = {
    "integer": integer,
    "number": number,
    "boolean": boolean,
    "text": text,
    "texts": texts,
}


def same(one: Any, other: Any) -> bool:
    """Whether two JSON values are alike; 0 and false are not."""
    return type(one) is type(other) and bool(one == other)
