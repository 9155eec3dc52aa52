"""`--set path=value`: changes a manifest's data before it is validated."""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass
from typing import Any, NoReturn

from millwright_api.errors import InvalidManifest, suggest
from millwright_runner import kubeyaml
from millwright_runner.problems import path_text, shown
from millwright_runner.schema import Place

_PART = re.compile(r"\.?((?:\\.|[^.\[\]\\])+)|\[([^\]]+)\]")
_TOP = ("apiVersion", "kind", "metadata", "spec")


@dataclass(frozen=True)
class Override:
    """One `--set`.

    Attributes:
        text: the path as it was written.
        value: what to put there.
    """

    text: str
    value: Any

    @property
    def origin(self) -> str:
        """What messages call the place that a value came from."""
        return f"--set {self.text}"


def parse(argument: str) -> Override:
    """Takes `path=value` apart; the value is YAML: 8, 1e-4, true, [a, b], {r: 8}; nothing is null.

    Only true and false are booleans here: YAML 1.1's others are words on a command line (`cache.mode=Off`).

    Raises:
        InvalidManifest: there is no `=`, no path, or the value is no YAML.
    """
    text, equals, raw = argument.partition("=")
    if not equals or not text.strip():
        raise InvalidManifest(
            f"found {argument!r}, expected path=value", where="--set", hint="for example --set passes.lora.r=8"
        )
    override = Override(text.strip(), None)
    try:
        value = kubeyaml.read(raw.encode("utf-8", "surrogateescape"), "value").value
    except InvalidManifest as error:
        raise InvalidManifest(error.message, where=override.origin, hint=error.hint) from error
    is_word = isinstance(value, bool) and raw.strip() not in {"true", "false"}
    return Override(override.text, raw.strip() if is_word else value)


def apply(document: dict[str, Any], override: Override) -> Place:
    """Puts a value into a manifest's data, and returns the place that it went to.

    `spec.` may be left out. A list's entry is named by its position or by its name; of a step, the pass's key may be
    left out: `passes.finetune.r=8`. Mappings that are not there yet are made: whether they may be, validation decides.

    Raises:
        InvalidManifest: the path leads into a scalar, or to an entry that a list does not have.
    """
    parts = _parts(override)
    node: Any = document
    place: Place = ()
    for part, following in itertools.pairwise(parts):
        key = _key(node, part, place, override)
        node, place = _below(node, key), (*place, key)
        node, place = _into_pass(node, place, following)
    key = _key(node, parts[-1], place, override)
    node[key] = override.value
    return (*place, key)


def _parts(override: Override) -> list[str]:
    parts, end = [], 0
    for match in _PART.finditer(override.text):
        if match.start() != end:
            break
        parts.append(match[2] or match[1].replace("\\", ""))
        end = match.end()
    if end != len(override.text):
        raise InvalidManifest(
            "this is no path", where=override.origin, hint="keys with dots between, such as spec.passes[0].lora.r"
        )
    return parts if parts[0] in _TOP else ["spec", *parts]


def _key(node: Any, part: str, place: Place, override: Override) -> str | int:
    """Returns the key or position in `node` that a part of the path means."""
    if isinstance(node, dict):
        return part
    if not isinstance(node, list):
        _refuse(override, f"{path_text(place)} is {shown(node)}: it has nothing below it")
    if part.isdigit():
        if int(part) < len(node):
            return int(part)
        _refuse(override, f"{path_text(place)} has no entry {part}", f"it has {len(node)}, counted from 0")
    names = [_name(entry) for entry in node]
    if part not in names:
        _refuse(override, f"{path_text(place)} has no entry {part!r}", suggest(part, [name for name in names if name]))
    return names.index(part)


def _name(entry: Any) -> str:
    """Returns a list entry's name; a step without one is called after its pass."""
    if not isinstance(entry, dict):
        return ""
    if "name" in entry:
        return str(entry["name"])
    pass_, options = next(iter(entry.items()), ("", None))
    return str(options.get("pass", "")) if pass_ == "custom" and isinstance(options, dict) else str(pass_)


def _below(node: Any, key: str | int) -> Any:
    """Returns what lies below a key, made when there is nothing yet."""
    if isinstance(node, dict) and node.get(str(key)) is None:
        node[key] = {}
    return node[key]


def _into_pass(node: Any, place: Place, following: str) -> tuple[Any, Place]:
    """From a step goes on to its pass's options, unless the path itself says the next key."""
    if place[:2] != ("spec", "passes") or len(place) != 3 or not isinstance(node, dict) or following in (*node, "name"):
        return node, place
    passes = [key for key in node if key != "name"]
    if len(passes) != 1:
        return node, place
    node, place = _below(node, passes[0]), (*place, passes[0])
    if passes[0] == "custom" and isinstance(node, dict):
        node, place = _below(node, "options"), (*place, "options")
    return node, place


def _refuse(override: Override, message: str, hint: str | None = None) -> NoReturn:
    raise InvalidManifest(message, where=override.origin, hint=hint)
