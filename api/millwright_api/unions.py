"""A mapping that names what it is by its key: `lora: {r: 16}`, or `custom: {pass: NAME, options: {...}}` of a plug-in."""

from __future__ import annotations

from typing import Any


def unfolded(value: Any, *, kind: str, holder: str, example: str, beside: tuple[str, ...]) -> dict[str, Any]:
    """Returns such a mapping with its parts under fixed keys: name, `{kind}_name`, options, custom, and what stands beside.

    Args:
        value: as it stands in a manifest.
        kind: what the key names, and a plug-in's key for its name: pass, metric.
        holder: what the mapping is, for messages: step, metric.
        example: one, for messages.
        beside: other keys that it may have; `name` is one always, and is the kind's own name when it is not given.

    Raises:
        ValueError: it names none or several, or its options are no mapping.
    """
    if not isinstance(value, dict):
        raise ValueError(f"a {holder} is a mapping such as '{example}'")
    keys = [key for key in value if key not in ("name", *beside)]
    if len(keys) != 1:
        found = f"{' and '.join(map(str, keys))} are given" if keys else "none is given"
        raise ValueError(f"a {holder} names exactly one {kind}; {found}")
    (named,) = keys
    options, custom = value[named], named == "custom"
    options = {} if options is None else options
    if not isinstance(options, dict):
        raise ValueError(f"the options of {named} are a mapping, not {type(options).__name__}")
    if custom:
        unknown = sorted(set(options) - {kind, "options"})
        if unknown or not isinstance(options.get(kind), str):
            raise ValueError(f"custom takes {kind} (a name) and options{f', not {unknown[0]}' if unknown else ''}")
        named, options = options[kind], options.get("options") or {}
    parts = {"name": value.get("name", named), f"{kind}_name": named, "options": options, "custom": custom}
    return parts | {key: value[key] for key in beside if key in value}


def folded(kind: str, named: str, options: dict[str, Any], *, custom: bool) -> dict[str, Any]:
    """Returns the key and the options as they stand in a manifest: the other way round."""
    return {"custom": {kind: named, "options": options}} if custom else {named: options}
