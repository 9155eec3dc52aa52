"""The mapping table as Markdown: what docs/olive.md holds between its two marks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from millwright_runner.olive.table import Counterpart, Row, Section, Table

BEGIN = "<!-- made by `python -m millwright_runner.olive docs/olive.md` from mapping.yaml: do not edit -->"
END = "<!-- end -->"


def renew(page: str, table: Table) -> str:
    """Returns a page with the table's part made anew.

    Raises:
        ValueError: the page lacks the marks.
    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page needs the lines {BEGIN!r} and {END!r}")
    return f"{before}{BEGIN}\n\n{markdown(table)}\n{END}{after}"


def markdown(table: Table) -> str:
    """Returns the whole table: a heading and rows for each place of the JSON, then the passes."""
    parts = [_section(section) for section in table.sections.values() if section.rows]
    return "\n".join(
        [*parts, _passes("Passes", table.passes), _passes("Passes that Olive no longer has", table.older_passes)]
    )


def _section(section: Section) -> str:
    rows = [f"| {_keys(row)} | {_fate(row)} | {_defaults(row)} |" for row in section.rows]
    return "\n".join(
        [f"### {section.title}", "", "| Olive | here | Olive's default, written out |", "|---|---|---|", *rows, ""]
    )


def _keys(row: Row) -> str:
    return ", ".join(f"`{name}`" for name in row.olive)


def _fate(row: Row) -> str:
    searched = f"; SEARCHABLE_VALUES: {', '.join(map(_value, row.searched))}" if row.searched else ""
    return f"{_goes(row)}{searched}"


def _goes(row: Row) -> str:
    if row.to:
        return f"`{row.to}`{_choices(row)}{f'; {row.says}' if row.says else ''}"
    if row.why:
        listed = "listed, and not run" if row.blocks else "listed"
        fine = f"{_values(row.fine)}: {row.says or 'nothing to do'}; else " if row.fine else ""
        return f"{fine}{listed}: {row.why}"
    return f"{row.says}{_choices(row)}"


def _choices(row: Row) -> str:
    if row.choices is None:
        return ""
    same = [name for name, ours in row.choices.items() if ours == name]
    other = [f"{name} → {_value(ours)}" for name, ours in row.choices.items() if ours != name]
    return f": {', '.join([*same, *other])}"


def _value(value: Any) -> str:
    if isinstance(value, dict) and value:
        return " and ".join(f"{key} {below}" for key, below in value.items())
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _values(values: tuple[Any, ...]) -> str:
    return " or ".join(f"`{_value(value)}`" for value in values)


def _defaults(row: Row) -> str:
    values = [_value(value) for value in row.default.values()]
    if len(values) == 3 and len(set(values)) == 1:
        return values[0]
    return ", ".join(f"{era} {_value(value)}" for era, value in row.default.items())


def _passes(title: str, passes: Mapping[str, Counterpart]) -> str:
    rows = []
    for one in passes.values():
        options = f" with {_value(dict(one.options))}" if one.options else ""
        here = f"`{one.to}`{options}" if one.to else f"none; near: {one.near}" if one.near else "none"
        rows.append(f"| {one.name} | {here} |")
    return "\n".join([f"### {title}", "", "| Olive | here |", "|---|---|", *rows, ""])
