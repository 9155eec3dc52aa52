"""A trial's point as text: readable as a rule, and short where there is little room."""

from __future__ import annotations

import json
from typing import Any, cast

from millwright_api.search import Parameter, Point, Search

_PLACES = "#"
"""What a short text begins with."""


def written(search: Search, at: Point, limit: int) -> str:
    """Returns a point as a JSON list of its values, or, where that is longer than `limit` characters, in the short form:
    `#` and the list with places, from 0, instead of the values of choice and oneOf."""
    text = json.dumps(at, separators=(",", ":"), ensure_ascii=False)
    return text if len(text) <= limit else shortened(search, at)


def shortened(search: Search, at: Point) -> str:
    """Returns a point in the short form: at most 13 characters a value, but for the ends of a range that has longer ones."""
    values = (_place(parameter, value) for parameter, value in zip(search.parameters, at, strict=True))
    return f"{_PLACES}[{','.join(values)}]"


def read(search: Search, text: str) -> Point | None:
    """Returns the point that was written; None where the text is none of this search's."""
    try:
        values = json.loads(text.removeprefix(_PLACES))
        if not isinstance(values, list) or len(values) != len(search.parameters):
            return None
        if not text.startswith(_PLACES):
            return cast(Point, tuple(values))
        return tuple(_value(parameter, value) for parameter, value in zip(search.parameters, values, strict=True))
    except (ValueError, LookupError, TypeError):
        return None


def _listed(parameter: Parameter) -> list[Any] | None:
    return parameter.choice or parameter.one_of


def _place(parameter: Parameter, value: bool | int | float | str | None) -> str:
    listed = _listed(parameter)
    if value is not None and listed is not None:
        # 1, 1.0 and true are equal to Python, and different values of a choice
        return str(next(i for i, known in enumerate(listed) if (type(known), known) == (type(value), value)))
    if isinstance(value, float) and float(short := f"{value:.6g}") == value:
        return short
    return json.dumps(value)


def _value(parameter: Parameter, place: Any) -> bool | int | float | str | None:
    listed = _listed(parameter)
    if place is not None and listed is not None:
        return cast("bool | int | float | str", listed[place])
    if parameter.uniform or parameter.log_uniform:
        return None if place is None else float(place)  # 1e+15 and 3 are short for floats
    return cast("bool | int | float | str | None", place)
