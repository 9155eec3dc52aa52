"""An imported job as YAML for a person to read."""

from __future__ import annotations

from typing import Any

import yaml

from millwright_runner.olive.convert import Imported
from millwright_runner.olive.trace import Unmapped
from millwright_runner.scalars import scalar


class _Dumper(yaml.SafeDumper):
    """Writes short lists on one line, and texts with line breaks in quotes."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        """Indents lists below their key."""
        super().increase_indent(flow, False)


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.Node:
    quoted = "\n" in value or not _stays_text(value)
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style='"' if quoted else None)


def _stays_text(value: str) -> bool:
    """Whether kubectl, and so `manifest.load`, reads it as text when it stands plain: y, 1e-4 and 010 it does not."""
    try:
        return isinstance(scalar(value), str)
    except ValueError:
        return False


def _list(dumper: yaml.SafeDumper, value: list[Any]) -> yaml.Node:
    short = all(not isinstance(item, dict | list) for item in value)
    return dumper.represent_sequence("tag:yaml.org,2002:seq", value, flow_style=short)


_Dumper.add_representer(str, _text)
_Dumper.add_representer(list, _list)


def to_yaml(imported: Imported) -> str:
    """Returns the manifest with comments above it: what was not taken over, and what to know. The order is stable."""
    blocking = [line for line in imported.unmapped if line.blocks]
    others = [line for line in imported.unmapped if not line.blocks]
    notes = [" ".join(str(note).split()) for note in imported.notes]
    head = [
        "# Imported from Olive's workflow JSON by millwright import.",
        *_block("Not taken over, and the model is another one without it:", [_line(line) for line in blocking]),
        *_block("Not taken over; the model is the same without it:", [_line(line) for line in others]),
        *_block("Notes:", notes),
    ]
    # A width no line reaches: folded texts are hard to edit.
    body = yaml.dump(imported.manifest, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=10**6)
    return "\n".join(head) + "\n" + body + "".join(_other_place(*place) for place in imported.alternatives.items())


def _other_place(name: str, execution: dict[str, Any]) -> str:
    """Another spec.execution, as a comment that becomes one when the marks are taken away."""
    text = yaml.dump({"execution": execution}, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=10**6)
    lines = [f"#  {line}" for line in text.splitlines()]
    return "\n".join(["#", f"# To run on {' '.join(name.split())} instead, in place of spec.execution:", *lines]) + "\n"


def _line(line: Unmapped) -> str:
    return " ".join(str(line).split())


def _block(title: str, lines: list[str]) -> list[str]:
    return ["#", f"# {title}", *(f"# - {line}" for line in lines)] if lines else []
