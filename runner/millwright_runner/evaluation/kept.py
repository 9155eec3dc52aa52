"""Measurements that were made before, in the cache's store: `.millwright/evaluations/KEY.json`."""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Callable
from dataclasses import asdict, fields
from typing import Any

from pydantic import TypeAdapter

from millwright_runner.metrics import Measured
from millwright_runner.stores import Store

FindMeasured = Callable[[str], Measured | None]
"""Looks for a measurement by its key."""

_NUMBERS = ("value", "low", "high")


def find_measured(store: Store, key: str) -> Measured | None:
    """Returns a measurement, or None when there is none, or it cannot be read."""
    blob = store.read(_path(key))
    if blob is None:
        return None
    try:
        body = json.loads(blob.data)
        return _from_data(body["measured"]) if body["key"] == key else None
    except (ValueError, KeyError, TypeError, AttributeError):
        return None  # cut off or of another release: it is measured again


def keep_measured(store: Store, key: str, measured: Measured) -> None:
    """Stores a measurement; a later one of the same key takes its place."""
    store.write(_path(key), json.dumps({"key": key, "measured": as_data(measured)}, allow_nan=False).encode())


def as_data(measured: Measured) -> dict[str, Any]:
    """Returns it as JSON has it: what is no number is null."""
    data = asdict(measured)
    return data | {
        **{name: _finite(data[name]) for name in _NUMBERS},
        "details": {name: _finite(value) for name, value in measured.details.items()},
        "scores": [_finite(score) for score in measured.scores],
        "samples": list(data["samples"]),
    }


def _from_data(data: dict[str, Any]) -> Measured:
    if set(data) != {field.name for field in fields(Measured)}:
        raise ValueError("written by another release")
    numbers = {
        "value": _number(data["value"]),
        "details": {name: _number(value) for name, value in data["details"].items()},
        "scores": [_number(score) for score in data["scores"]],
    }
    return _measured().validate_json(json.dumps(data | numbers), strict=True)


@functools.cache
def _measured() -> TypeAdapter[Measured]:
    return TypeAdapter(Measured)


def _finite(number: float | None) -> float | None:
    return number if number is not None and math.isfinite(number) else None


def _number(value: Any) -> Any:
    return math.nan if value is None else value


def _path(key: str) -> str:
    return f".millwright/evaluations/{key}.json"
