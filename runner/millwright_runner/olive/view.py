"""Looks at a mapping of Olive's, whose keys may lie one level deeper too, and walks the table's rows over it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from millwright_api.errors import suggest
from millwright_runner.olive.table import Era, Row, Section
from millwright_runner.olive.trace import Path, Trace, shown, wrong
from millwright_runner.olive.values import boolean, integer, read, same

SEARCHED = ("SEARCHABLE_VALUES",)
DEFAULT = ("DEFAULT_VALUE",)
NO_RANGE = "only options of passes are searched: write the value that is meant"
NO_VALUE = 'no value; values to search are {"type": "Categorical", "support": [...]}'


@dataclass(frozen=True)
class Found:
    """A value and where it stands."""

    path: Path
    value: Any


class View:
    """The keys of one or several mappings; the first mapping that has a key decides.

    Args:
        trace: the account of leaves.
        parts: the mappings with their paths.
    """

    def __init__(self, trace: Trace, parts: Iterable[tuple[Path, dict[str, Any]]]) -> None:
        self.trace, self.parts = trace, list(parts)

    @classmethod
    def of(cls, trace: Trace, path: Path, value: Any, *nested: str) -> View:
        """Looks at a mapping whose keys may also stand below the keys `nested`: `config`, `params`.

        Raises:
            InvalidManifest: it is no mapping.
        """
        if not isinstance(value, dict):
            wrong(path, value, "mapping")
        if not value:
            trace.note(path, "nothing is set")
        parts = [(path, value)]
        for key in nested:
            below = value.get(key)
            if isinstance(below, dict):
                trace.possible((*path, key), ())
                parts.append(((*path, key), below))
                if not below:
                    trace.note((*path, key), "nothing is set")
            elif key in value and below is None:
                trace.note((*path, key), "nothing is set")
            elif key in value:
                wrong((*path, key), below, "mapping")
        return cls(trace, parts)

    def get(self, *names: str) -> Found | None:
        """Returns the first of these keys that is there and not null."""
        for path, data in self.parts:
            for name in names:
                value = data.get(name)
                if value is not None and not (isinstance(value, str) and value in DEFAULT):
                    return Found((*path, name), value)
        return None

    def text(self, *names: str) -> Found | None:
        """Returns the key as text. Raises InvalidManifest when it is something else."""
        found = self.get(*names)
        if found and not isinstance(found.value, str):
            wrong(found.path, found.value, "text")
        return found

    def flag(self, name: str) -> Found | None:
        """Returns the key as true or false. Raises InvalidManifest when it is something else."""
        found = self.get(name)
        return Found(found.path, boolean(found.path, found.value)) if found else None

    def whole(self, name: str) -> Found | None:
        """Returns the key as a whole number. Raises InvalidManifest when it is something else."""
        found = self.get(name)
        return Found(found.path, integer(found.path, found.value)) if found else None

    def walk(self, section: Section, prefix: str, skip: frozenset[str] = frozenset()) -> dict[str, Any]:
        """Judges every key that a row of the section speaks of, but for those the code decides.

        Args:
            prefix: the section's place in the manifest.
            skip: keys that are structure here.

        Returns:
            The manifest's keys below the prefix, with dots, and their values.
        """
        out: dict[str, Any] = {}
        for path, _ in self.parts:
            self.trace.possible(path, section.names | skip)
        for row in section.rows:
            for path, data in self.parts:
                for name in row.olive:
                    if name in data:
                        self._judge(row, Found((*path, name), data[name]), prefix, out)
        return out

    def _judge(self, row: Row, found: Found, prefix: str, out: dict[str, Any]) -> None:
        value, path = found.value, found.path
        unset = value is None or (isinstance(value, str) and value in DEFAULT)
        if unset and not any(value is fine for fine in row.fine):
            self.trace.note(path, f"{shown(path, value)}: Olive's default")
        elif isinstance(value, str) and value in SEARCHED:
            self.trace.unmapped(path, NO_RANGE, blocks=True)
        elif row.code:
            return
        elif row.to is not None:
            self._map(row, row.to, found, prefix, out)
        elif row.why is not None and not any(same(value, fine) for fine in row.fine):
            self.trace.unmapped(path, row.why, blocks=row.blocks)
        else:
            self.trace.note(path, row.says or "no effect")

    def _map(self, row: Row, to: str, found: Found, prefix: str, out: dict[str, Any]) -> None:
        if to in out:
            return  # a second name of the same key: left unjudged, so that it is listed
        if isinstance(found.value, dict):
            self.trace.unmapped(found.path, NO_VALUE, blocks=True)
            return
        value = read(row, found.path, found.value)
        if value is None:
            hint = suggest(str(found.value), row.choices or ())
            self.trace.unmapped(found.path, f"has no counterpart; {hint}", blocks=True)
            return
        out[to] = value
        self.trace.mapped(found.path, f"{prefix}.{to}")


def fill(section: Section, era: Era, out: dict[str, Any]) -> list[str]:
    """Writes out what Olive does where nothing is written. Returns the keys it added."""
    added = []
    for row in section.rows:
        if row.to and row.to not in out and era in row.default:
            out[row.to] = row.default[era]
            added.append(row.to)
    return added


def nest(flat: dict[str, Any]) -> dict[str, Any]:
    """Turns keys with dots into mappings in mappings."""
    out: dict[str, Any] = {}
    for key, value in flat.items():
        *parents, last = key.split(".")
        place = out
        for parent in parents:
            place = place.setdefault(parent, {})
        place[last] = value
    return out
