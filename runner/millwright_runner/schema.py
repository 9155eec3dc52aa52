"""Reads pydantic models as JSON schemas, and says in a person's words what a place in them takes."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from millwright_api.base import OBJECT_NAME
from millwright_api.execution import RESOURCE_NAME
from millwright_api.pods import LABEL_KEY
from millwright_api.sources import RELATIVE_PATH

Schema = dict[str, Any]
Place = tuple[str | int, ...]
"""A place in a manifest: keys and list positions."""

PATTERNS = {
    r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$": "lower-case letters, digits and dashes, no dash at either end",
    r"^[A-Za-z0-9]([-A-Za-z0-9]*[A-Za-z0-9])?$": "letters, digits and dashes, no dash at either end",
    r"^s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/.*)?$": "s3://bucket/key with a bucket of 3 to 63 characters from a-z, 0-9, dash and dot",
    r"^https?://": "a URL with http:// or https://",
    OBJECT_NAME: "lower-case letters, digits, dashes and dots, a letter or digit before and after each dot and at both ends",
    r"^\+?[0-9]+(\.[0-9]*)?([numkMGTPE]|[KMGTPE]i|[eE][0-9]{1,2})?$": "an amount such as 4, 500m or 32Gi",
    r"^https?://[^/?#@\s]+/[^/?#\s][^?#\s]*$": "https://account.blob.core.windows.net/container/key, without a query (a SAS comes from the environment)",
    r"^[a-zA-Z0-9][a-zA-Z0-9._-]*$": "letters, digits, dashes, underscores and dots, a letter or digit first",
    r"^[^/\s]+$": "text without slashes and white space",
    r"^[0-9a-zA-Z-]+$": "letters, digits and dashes",
    r"^(https://[^/?#\s]+/?|[a-zA-Z][0-9a-zA-Z-]{1,22}[0-9a-zA-Z])$": "a vault's name of 3 to 24 letters, digits and dashes, or its https:// address",
    r"^[A-Za-z_][A-Za-z0-9_]*$": "letters, digits and underscores, no digit first",
    r"^(/[^/:]+)+$": "an absolute path, without a slash at its end or two in a row",
    r"^[A-Za-z0-9_.-]+$": "letters, digits, dashes, underscores and dots",
    r"^[^\s]+$": "text without white space",
    r"^([A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?)?$": "a label's value: letters, digits, dashes, underscores and dots",
    r"^[A-Za-z][A-Za-z0-9]*(\.[A-Za-z][A-Za-z0-9]*){0,3}$": "an option's name, or the path to it such as training.learningRate",
    LABEL_KEY: "a label's key such as kubernetes.io/hostname, up to 63 characters behind the slash",
    RESOURCE_NAME: "cpu, memory, ephemeral-storage, or a name with a domain such as nvidia.com/gpu",
    RELATIVE_PATH: "a path without a leading slash, and without . and .. in it",
}
"""What the contract's regular expressions mean."""

PLAIN = {"string": "text", "boolean": "true or false", "null": "null"}

GROUP = "a mapping, its keys below"
"""What a list of options says of one that has options of its own."""


@dataclass(frozen=True)
class Option:
    """One option of a model, as a page of documentation lists it.

    Attributes:
        path: its path below the model, dots between: training.learningRate.
        kind: what it takes, bounds included.
        default: as it is written in YAML's flow style; None when it must be given.
        text: its description.
    """

    path: str
    kind: str
    default: Any
    required: bool
    text: str


@functools.cache
def of(model: type[BaseModel]) -> Schema:
    """Returns a model's JSON schema, by the names that manifests use; one for all, not to be changed."""
    return model.model_json_schema(by_alias=True)


def alternatives(node: Schema, root: Schema) -> Iterator[Schema]:
    """Yields what a schema stands for: references resolved, unions taken apart."""
    if "$ref" in node:
        yield from alternatives(root["$defs"][node["$ref"].rsplit("/", 1)[1]], root)
    elif "anyOf" in node:
        for branch in node["anyOf"]:
            yield from alternatives(branch, root)
    else:
        yield node


def properties(node: Schema, root: Schema) -> dict[str, Schema]:
    """Returns the keys that a place may have."""
    return {key: value for part in alternatives(node, root) for key, value in part.get("properties", {}).items()}


def child(node: Schema, key: str | int, root: Schema) -> Schema | None:
    """Returns what lies below a key or a list position, or None when there is no such thing."""
    for part in alternatives(node, root):
        if isinstance(key, int):
            if "items" in part:
                return dict(part["items"])
        elif key in part.get("properties", {}):
            return dict(part["properties"][key])
        elif values := _free_values(part):
            return dict(values)
    return None


def keys(node: Schema, root: Schema) -> Schema:
    """Returns what the keys of a mapping are, where they are a person's own."""
    for part in alternatives(node, root):
        patterns = [{"pattern": pattern} for pattern in part.get("patternProperties", {})]
        return {"type": "string", **part.get("propertyNames", {}), **(patterns[0] if patterns else {})}
    return {}


def _free_values(node: Schema) -> Schema | None:
    """Returns what a mapping with keys of a person's own holds: labels, resources by name."""
    for values in (*node.get("patternProperties", {}).values(), node.get("additionalProperties")):
        if isinstance(values, dict):
            return values
    return None


def expected(node: Schema, root: Schema) -> str:
    """Returns what a place takes, in words: `a whole number, 1 to 4096`, `one of join, line-by-line`, `text or auto`."""
    parts = [part for part in alternatives(node, root) if part.get("type") != "null"]
    words = dict.fromkeys(_words(part, root) for part in parts)  # ordered, each once
    return " or ".join(words) or "null"


def options(model: type[BaseModel]) -> list[Option]:
    """Returns all options of a model, those of nested models below their parent's path."""
    root = of(model)
    return list(_options(root, root, ()))


def _options(node: Schema, root: Schema, above: Sequence[str]) -> Iterator[Option]:
    for part in alternatives(node, root):
        required = set(part.get("required", ()))
        for key, value in part.get("properties", {}).items():
            path = (*above, key)
            default = None if _is_mapping(value, root) else value.get("default")
            kind = GROUP if _is_mapping(value, root) else expected(value, root)
            yield Option(".".join(path), kind, default, key in required, value.get("description", ""))
            yield from _options(value, root, path)


def _is_mapping(node: Schema, root: Schema) -> bool:
    return any("properties" in part for part in alternatives(node, root))


def _words(node: Schema, root: Schema) -> str:
    kind = node.get("type", "")
    if "enum" in node or "const" in node:
        choices = node.get("enum", [node.get("const")])
        return f"one of {', '.join(map(_literal, choices))}" if len(choices) > 1 else _literal(choices[0])
    if kind in ("integer", "number"):
        return _join("a whole number" if kind == "integer" else "a number", bounds(node))
    if kind == "string":
        longest = node.get("maxLength")
        return _join(text_words(node), f"up to {longest} characters" if longest else "")
    if kind == "array":
        items = expected(node.get("items", {}), root)
        return _join(f"a list of {_plural(items)}", _length(node))
    if kind == "object":
        keys = list(node.get("properties", ()))
        return f"a mapping with {', '.join(keys)}" if keys else "a mapping"
    return PLAIN.get(kind, "any value")


def _length(node: Schema) -> str:
    least, most = node.get("minItems", 0), node.get("maxItems")
    if most is None:
        return "at least one" if least else ""
    if least == most == 1:
        return "one entry"
    return f"{least} to {most} entries" if least else f"up to {most} entries"


def text_words(node: Schema) -> str:
    """Returns what a text looks like, in words where its regular expression has some."""
    pattern = node.get("pattern")
    return "text" if pattern is None else PATTERNS.get(pattern, f"text that matches {pattern}")


def _plural(words: str) -> str:
    """Returns what a list is of; how long each text may be is not the point there."""
    if words.startswith("a mapping"):
        return "mappings"
    for one, many in (("a whole number", "whole numbers"), ("a number", "numbers")):
        words = many + words.removeprefix(one) if words.startswith(one) else words
    return words.partition(", up to")[0]


def _join(words: str, bounds: str) -> str:
    return f"{words}, {bounds}" if bounds else words


def bounds(node: Schema) -> str:
    """Returns between what a number lies, in words: `1 to 4096`, `above 0, at most 10`; empty when anything goes."""
    low, high = node.get("minimum"), node.get("maximum")
    if low is not None and high is not None:
        return f"{_number(low)} to {_number(high)}"
    words = {"minimum": "at least", "exclusiveMinimum": "above", "maximum": "at most", "exclusiveMaximum": "below"}
    return ", ".join(f"{word} {_number(node[key])}" for key, word in words.items() if key in node)


def _number(value: float) -> str:
    return str(int(value)) if float(value).is_integer() else repr(value)


def _literal(value: Any) -> str:
    return value if isinstance(value, str) else repr(value)
