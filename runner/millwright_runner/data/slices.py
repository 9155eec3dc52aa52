"""Splits with a slice, as the hub's `datasets` writes them: train[:10%], test[100:200], train[-50:]."""

from __future__ import annotations

import re
from dataclasses import dataclass

from millwright_api.errors import InvalidManifest

_SPLIT = re.compile(r"(?P<name>\w+([.-]\w+)*)(\[(?P<start>-?\d+%?)?:(?P<stop>-?\d+%?)?\])?")


@dataclass(frozen=True)
class Bound:
    """An end of a slice: a number of rows or a percentage; below zero it counts from the end."""

    value: int
    percent: bool = False

    def at(self, total: int) -> int:
        """Returns the row it stands for, in a split of `total` rows; percentages are rounded to the closest row."""
        value = round(total * self.value / 100) if self.percent else self.value
        return min(max(value + total if self.value < 0 else value, 0), total)


@dataclass(frozen=True)
class Slice:
    """Which rows of a split."""

    start: Bound | None = None
    stop: Bound | None = None

    @property
    def needs_total(self) -> bool:
        """Whether the number of rows must be known to say which they are."""
        return any(bound is not None and (bound.percent or bound.value < 0) for bound in (self.start, self.stop))

    def rows(self, total: int | None) -> tuple[int, int | None]:
        """Returns the first row and the one after the last; None: to the end.

        Args:
            total: the split's rows; None when `needs_total` is false.
        """
        if total is None:
            return (self.start.value if self.start else 0), (self.stop.value if self.stop else None)
        return (self.start.at(total) if self.start else 0), (self.stop.at(total) if self.stop else total)


def parse_split(text: str, where: str) -> tuple[str, Slice]:
    """Returns a split's name and the slice of it.

    Raises:
        InvalidManifest: it is no split, or a percentage is out of bounds.
    """
    match = _SPLIT.fullmatch(text)
    if match is None:
        raise InvalidManifest(
            f"{text!r} is no split", where=where, hint="such as train, train[:10%], train[100:200], train[-50:]"
        )
    start, stop = (_bound(match[end], where) for end in ("start", "stop"))
    return match["name"], Slice(start, stop)


def _bound(text: str | None, where: str) -> Bound | None:
    if text is None:
        return None
    bound = Bound(int(text.removesuffix("%")), text.endswith("%"))
    if bound.percent and abs(bound.value) > 100:
        raise InvalidManifest(f"{text} is no percentage between -100% and 100%", where=where)
    return bound
