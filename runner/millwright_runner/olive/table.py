"""The mapping table, `mapping.yaml`, as Python objects."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from typing import Any, Literal

import yaml

Era = Literal["old", "middle", "new"]
"""Olive's formats: old to 0.6, middle 0.7, new from 0.8."""


@dataclass(frozen=True)
class Row:
    """One key of Olive's; the fields are explained at the top of mapping.yaml.

    Attributes:
        olive: its names, newest first.
        to: the manifest's key, relative to the section's own place; None where it goes nowhere or the code decides.
        kind: how the value is read.
        choices: values with a counterpart → the counterpart; None: any.
        searched: values that Olive's searches try unasked.
    """

    olive: tuple[str, ...]
    to: str | None = None
    kind: str = "any"
    choices: Mapping[str, Any] | None = None
    required: bool = False
    default: Mapping[Era, Any] = field(default_factory=dict)
    code: bool = False
    fine: tuple[Any, ...] = ()
    searched: tuple[Any, ...] = ()
    why: str | None = None
    blocks: bool = True
    says: str | None = None


@dataclass(frozen=True)
class Section:
    """The rows for one place of Olive's JSON."""

    title: str
    rows: tuple[Row, ...]

    @property
    def names(self) -> frozenset[str]:
        """All names of all keys."""
        return frozenset(name for row in self.rows for name in row.olive)

    def __add__(self, other: Section) -> Section:
        return Section(self.title, (*self.rows, *other.rows))

    def row(self, name: str) -> Row:
        """Returns the row of a key."""
        return next(row for row in self.rows if name in row.olive)


@dataclass(frozen=True)
class Counterpart:
    """What becomes of a pass of Olive's.

    Attributes:
        name: as Olive spells it.
        to: our pass; None: there is none.
        options: options that the counterpart gets besides those written.
        near: what comes near where there is no counterpart.
    """

    name: str
    to: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    near: str | None = None


@dataclass(frozen=True)
class Table:
    """The whole table.

    Attributes:
        passes: Olive 0.13's passes, by lower-case name.
        older_passes: passes that it no longer has, by lower-case name.
    """

    eras: Mapping[Era, str]
    sections: Mapping[str, Section]
    passes: Mapping[str, Counterpart]
    older_passes: Mapping[str, Counterpart]


@functools.cache
def load() -> Table:
    """Returns the table."""
    text = resources.files(__package__).joinpath("mapping.yaml").read_text(encoding="utf-8")
    data = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    sections = {
        key: Section(entry["title"], tuple(_row(row) for row in entry["rows"]))
        for key, entry in data["sections"].items()
    }
    return Table(data["eras"], sections, _passes(data["passes"]), _passes(data["older_passes"]))


def _row(data: dict[str, Any]) -> Row:
    choices = data.get("choices")
    return Row(
        olive=tuple(data["olive"]),
        to=data.get("to"),
        kind="choice" if choices else data.get("as", "any"),
        choices={choice: choice for choice in choices} if isinstance(choices, list) else choices,
        fine=tuple(data.get("fine", ())),
        searched=tuple(data.get("searched", ())),
        **{key: data[key] for key in ("required", "default", "code", "why", "blocks", "says") if key in data},
    )


def _passes(data: dict[str, dict[str, Any]]) -> dict[str, Counterpart]:
    return {name.lower(): Counterpart(name, **fields) for name, fields in data.items()}
