"""Turns what pydantic found into lines for a person: where, what was found, what is possible."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from millwright_api.errors import suggest
from millwright_runner import schema
from millwright_runner.schema import Place, Schema

LATER: dict[str, frozenset[str]] = {
    "spec.execution.kubernetes": frozenset({"nodes"}),
}
"""Keys that the design has and this version does not do yet, by place: no misspellings, so nothing is suggested."""

LONGEST_VALUE = 60
"""Characters of a value that a message repeats."""


def describe(error: ValidationError, model: type[BaseModel], where: str = "") -> str:
    """Returns one line per problem, unknown keys first: `spec.passes[0].lora.ranck: unknown key (did you mean 'r'?)`.

    Args:
        error: what pydantic raised.
        model: the class that was validated, for the names that would have been possible.
        where: the path in the manifest that the error's own paths continue.
    """
    root = schema.of(model)
    groups: dict[Place, list[ErrorDetails]] = {}
    for detail in error.errors(include_url=False):
        groups.setdefault(_place(detail, root), []).append(detail)
    # A union reports each branch that it tried: what lies deeper says more than "not this type either".
    for path in [p for p in groups if any(len(q) > len(p) and q[: len(p)] == p for q in groups)]:
        if all(d["type"].endswith("_type") for d in groups[path]):
            del groups[path]
    unknown = [path for path, details in groups.items() if details[0]["type"] == "extra_forbidden"]
    ordered = [*unknown, *(path for path in groups if path not in unknown)]
    return "\n".join(line for path in ordered for line in _lines(path, groups[path], root, where))


def path_text(path: Place, where: str = "") -> str:
    """Returns a path as manifests are talked about: spec.data[0].text.maxLength."""
    for part in path:
        where += f"[{part}]" if isinstance(part, int) else f".{part}" if where else str(part)
    return where


def _place(detail: ErrorDetails, root: Schema) -> Place:
    """Returns an error's path in the manifest: pydantic's own also names the branches of unions that it tried."""
    node, path = root, []
    *above, last = detail["loc"] or ("",)
    for part in above:
        below = schema.child(node, part, root)
        if below is not None:
            path.append(part)
            node = below
    if last != "" and (detail["type"] in ("extra_forbidden", "missing") or schema.child(node, last, root) is not None):
        path.append(last)
    return tuple(path)


def _lines(path: Place, details: list[ErrorDetails], root: Schema, where: str) -> list[str]:
    detail, at = details[0], path_text(path, where)
    if detail["type"] == "extra_forbidden":
        return [f"{at}: {_unknown(path, root, where)}"]
    node = _node(path, root) if detail["loc"][-1:] != ("[key]",) else schema.keys(_node(path[:-1], root), root)
    if detail["type"] == "missing":
        return [f"{at}: is missing (expected {schema.expected(node, root)})"]
    own = [d for d in details if d["type"] == "value_error"]
    if own:
        return [line for d in own for line in _said(at, d)]
    return [f"{at or 'the document'}: {_wrong(detail, node, root)}"]


def _node(path: Place, root: Schema) -> Schema:
    node = root
    for part in path:
        node = schema.child(node, part, root) or {}
    return node


def _unknown(path: Place, root: Schema, where: str) -> str:
    *above, key = path
    if key in _later(path_text(tuple(above), where)):
        return "is not supported by this version yet (leave it out)"
    if path_text(path, where) == "status":
        return "is written by the cluster, not by people (leave it out)"
    possible = schema.properties(_node(tuple(above), root), root)
    return f"unknown key ({suggest(str(key), possible)})"


def _later(place: str) -> frozenset[str]:
    return LATER.get(re.sub(r"\[\d+\]", "[]", place), frozenset())


def _said(at: str, detail: ErrorDetails) -> list[str]:
    """Returns what a model's own check says; for a step, its extra keys may be explained better than by that."""
    message = str(detail.get("ctx", {}).get("error", detail["msg"]))
    given = detail["input"] if isinstance(detail["input"], Mapping) else {}
    later = [key for key in given if key in _later(at)]
    lines = [f"{at}.{key}: is not supported by this version yet (leave it out)" for key in later]
    keys = [key for key in given if key not in ("name", "resources", "data", *later)]
    if later and len(keys) == 1:
        return lines
    if at.endswith("]") and len(keys) > 1 and any(given[key] is None for key in keys):
        message += f" (indent a {'metric' if '.metrics[' in at else 'pass'}'s options below its name)"
    return [*lines, f"{at}: {message}" if at else message]


def _wrong(detail: ErrorDetails, node: Schema, root: Schema) -> str:
    value = detail["input"]
    wanted = schema.expected(node, root)
    text = f"found {shown(value)}, expected {wanted}"
    choices = [c for part in schema.alternatives(node, root) for c in part.get("enum", [part.get("const")])]
    names = [c for c in choices if isinstance(c, str)]
    if isinstance(value, str) and names:
        hint = suggest(value, names)
        return f"{text} ({hint})" if hint.startswith("did") else text
    kinds = {part.get("type") for part in schema.alternatives(node, root)}
    if isinstance(value, str) and kinds <= {"integer", "number", "boolean", "null"} and _is_plain_scalar(value):
        return f"{text} (write it without quotes)"
    if isinstance(value, bool | int | float | Mapping | list) and kinds <= {"string", "null"}:
        return f"{text} (write it in quotes)"
    return text


def _is_plain_scalar(text: str) -> bool:
    return bool(re.fullmatch(r"[-+]?[0-9.]+([eE][-+]?[0-9]+)?|true|false|yes|no|on|off", text))


def shown(value: Any) -> str:
    """Returns a value as a message repeats it: text in quotes and shortened, lists and mappings by their size. An address's
    query may be a signature, as a SAS is, and is left out."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, Mapping):
        return (
            f"a mapping with {', '.join(map(str, list(value)[:4]))}{', …' if len(value) > 4 else ''}" if value else "{}"
        )
    if isinstance(value, list | tuple):
        return f"a list of {len(value)}" if value else "an empty list"
    text = repr(re.sub(r"(?<=://)([^?\s]*\?).+", r"\1…", value)) if isinstance(value, str) else str(value)
    return text if len(text) <= LONGEST_VALUE else f"{text[: LONGEST_VALUE - 2]}…{text[-1]}"
