"""The pages docs/passes.md and docs/metrics.md, generated from the classes: tests compare them with what is in the tree."""

from __future__ import annotations

import inspect
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from millwright_runner import schema
from millwright_runner.schema import Option


@dataclass(frozen=True)
class Entry:
    """One class on a page.

    Attributes:
        name: what manifests call it.
        kind: the class; its documentation and its fields are shown.
        builtin: whether it comes with Millwright.
        cells: what the table says of it, in Markdown.
        sentence: what its section says besides, in Markdown.
    """

    name: str
    kind: type[BaseModel]
    builtin: bool
    cells: tuple[str, ...]
    sentence: str


def markdown(head: str, columns: Sequence[str], entries: Sequence[Entry]) -> str:
    """Returns a page.

    Args:
        head: what it begins with: the title, and what is true of all entries.
        columns: headings of the table; the first is of the names.
        entries: what is listed.
    """
    rows = [
        f"| [{one.name}](#{one.name.lower()}) | {' | '.join(one.cells)} | {_cell(_first_line(one.kind))} |"
        for one in entries
    ]
    table = "\n".join([f"| {' | '.join(columns)} | |", "|---" * (len(columns) + 1) + "|", *rows])
    return "\n".join([head, table, "", *map(_section, entries)])


def default_text(default: Any) -> str:
    """Returns a default as YAML's flow style has it; nothing is said of options that are unset."""
    if default is None:
        return ""
    return str(default) if isinstance(default, str) else json.dumps(default)


def _section(entry: Entry) -> str:
    name = entry.name if entry.builtin else f"{entry.name} (plug-in)"
    lines = [f"## {name}", "", inspect.getdoc(entry.kind) or "", "", entry.sentence, ""]
    options = schema.options(entry.kind)
    if not options:
        return "\n".join([*lines, "No options.", ""])
    lines += ["| option | takes | default | |", "|---|---|---|---|", *map(_row, options)]
    return "\n".join([*lines, ""])


def _row(option: Option) -> str:
    default = default_text(option.default)
    shown = "**required**" if option.required else f"`{_cell(default)}`" if default else ""
    return f"| `{option.path}` | {_cell(option.kind)} | {shown} | {_cell(option.text)} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _first_line(kind: type[BaseModel]) -> str:
    return (inspect.getdoc(kind) or "").split("\n", 1)[0]
