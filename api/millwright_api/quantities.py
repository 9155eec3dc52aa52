"""Amounts as Kubernetes writes them, and figures as pods tell them."""

from __future__ import annotations

import functools
import math
import re
from fractions import Fraction

_SUFFIXES = {suffix: Fraction(1000) ** power for power, suffix in enumerate("num kMGTPE", start=-3)} | {
    f"{prefix}i": Fraction(1024) ** power for power, prefix in enumerate("KMGTPE", start=1)
}
_FORM = re.compile(r"([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?)([numkMGTPE]|[KMGTPE]i)?")


def amount(text: str | int) -> Fraction | None:
    """Returns the exact number that a quantity stands for: `1500m` is 3/2, `2Gi` is 2147483648; None where it is none."""
    return _number(str(text))


@functools.lru_cache(maxsize=1024)
def _number(text: str) -> Fraction | None:
    found = _FORM.fullmatch(text)
    return Fraction(found[1]) * _SUFFIXES[found[2] or " "] if found else None


def in_bytes(text: str | int | None) -> int | None:
    """Returns a quantity in whole bytes; None where there is none."""
    number = None if text is None else amount(text)
    return None if number is None else int(number)


def figure(number: float | None) -> float | None:
    """Returns what a pod tells of a number that was measured: six significant digits, whole numbers whole (bytes are counted);
    None where there is none, or it is not finite. The same again of what it returned."""
    if number is None or not math.isfinite(number):
        return None
    return number if float(number).is_integer() else float(f"{number:.6g}")


def spoken(number: int) -> str:
    """Returns bytes for people, in binary units: `1.9 GiB`."""
    size = float(number)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.0f} B" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"
