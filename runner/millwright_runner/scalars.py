"""What scalars mean to kubectl: go-yaml v2's rules, then the way through JSON. Checked against sigs.k8s.io/yaml 1.6."""

from __future__ import annotations

import json
import math
import re
from typing import Any, NoReturn

_BOOLS = {
    word: value
    for value, words in ((True, ("y", "yes", "true", "on")), (False, ("n", "no", "false", "off")))
    for base in words
    for word in (base, base.capitalize(), base.upper())
}
_NULLS = {"", "~", "null", "Null", "NULL"}
_NOT_FINITE = {f"{sign}.{word}" for sign in ("", "+", "-") for word in ("inf", "Inf", "INF")} | {".nan", ".NaN", ".NAN"}
_BASES = ((re.compile(r"([-+]?)0[xX]([0-9a-fA-F]+)"), 16), (re.compile(r"([-+]?)0[oO]?([0-7]+)"), 8),
          (re.compile(r"([-+]?)0[bB]([01]+)"), 2), (re.compile(r"([-+]?)(0|[1-9][0-9]*)"), 10))  # fmt: skip
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")


def scalar(text: str) -> Any:
    """Returns what a plain scalar means: go-yaml v2's rules, then the way through JSON.

    Numbers without a fraction become int, as they do there (`1.0` and `1e3` too); dates and sexagesimals stay text.

    Raises:
        ValueError: an infinity or not a number, which JSON has no form for.
    """
    if text in _NULLS:
        return None
    if text in _BOOLS:
        return _BOOLS[text]
    if text in _NOT_FINITE:
        raise ValueError(f"{text} is no number that a manifest can hold")
    if text[0] not in "+-.0123456789":
        return text
    plain = text if text[0] == "." else text.replace("_", "")
    for pattern, base in _BASES:
        match = pattern.fullmatch(plain)
        if match:
            number = int(match[1] + match[2], base) if len(plain) < 100 else None  # Python refuses thousands of digits
            if number is not None and -(1 << 63) <= number < 1 << 64:
                return number
            return _through_json(float(plain), text) if base == 10 else text
    return _through_json(float(plain), text) if _FLOAT.fullmatch(plain) else text


def _through_json(number: float, text: str) -> Any:
    if not math.isfinite(number):
        return text
    return int(number) if number.is_integer() and abs(number) < 1e21 else number


def from_json(text: str) -> Any:
    """Returns a JSON object as kubectl would hand it on, or None when it is none."""

    def number(digits: str) -> Any:
        """Reads a number with a fraction or an exponent."""
        return _through_json(float(digits), digits)

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        """Refuses a key that comes twice."""
        if len({key for key, _ in items}) < len(items):
            raise ValueError("a key is given twice")
        return dict(items)

    def constant(name: str) -> NoReturn:
        """Refuses NaN and the infinities."""
        raise ValueError(f"{name} is no JSON")

    try:
        return json.loads(text, parse_float=number, parse_constant=constant, object_pairs_hook=pairs)
    except (ValueError, RecursionError):
        return None
