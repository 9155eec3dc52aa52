"""Which options of a pass a search may set, what each takes, and which one a manifest means by a name."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from millwright_api.errors import InvalidManifest, suggest
from millwright_api.search import Parameter
from millwright_runner import schema
from millwright_runner.passes import Pass
from millwright_runner.schema import Schema

SCALARS = ("boolean", "integer", "number", "string")
"""Types of JSON that a trial's value can be of."""


@dataclass(frozen=True)
class Option:
    """An option of a pass that takes one value.

    Attributes:
        path: its keys below the pass: ("training", "learningRate").
        types: of JSON, those of `SCALARS` that it takes.
        minimum: of its numbers; None: none, or they are one of choices.
        maximum: likewise.
        above: whether the minimum itself is left out.
        below: whether the maximum itself is left out.
        choices: the values that there are; None: any of its types, or these beside numbers.
        words: what it takes, for people: `a whole number, 1 to 4096`.
    """

    path: tuple[str, ...]
    types: frozenset[str]
    minimum: float | None
    maximum: float | None
    above: bool
    below: bool
    choices: tuple[Any, ...] | None
    words: str

    @property
    def name(self) -> str:
        """Its path as a manifest writes it: training.learningRate."""
        return ".".join(self.path)

    @property
    def is_number(self) -> bool:
        """Whether it takes any number between its bounds, whole ones at least."""
        return self.choices is None and bool(self.types & {"integer", "number"})

    def holds(self, low: float, high: float) -> bool:
        """Whether all numbers between two, and the two, are within its bounds."""
        fits_below = self.minimum is None or (low > self.minimum if self.above else low >= self.minimum)
        fits_above = self.maximum is None or (high < self.maximum if self.below else high <= self.maximum)
        return fits_below and fits_above


@functools.cache
def searchable(kind: type[Pass]) -> Mapping[str, Option]:
    """Returns the options of a pass that a search may set, by path, in the manifest's order.

    Left out are those that name data sets, since trials are compared on the same data, and those that take lists only.
    """
    return {name: option for name, option in _all(kind).items() if option is not None}


@functools.cache
def names(kind: type[Pass]) -> Mapping[str, Option]:
    """Returns the same by every name that a manifest may give them: path, and last part where it is the only one."""
    known, leaves = dict(searchable(kind)), [path.rpartition(".")[2] for path in _all(kind)]
    unique = {path.rpartition(".")[2]: option for path, option in known.items()}
    return {name: option for name, option in unique.items() if leaves.count(name) == 1} | known


def resolve(kind: type[Pass], name: str, where: str | None = None) -> Option:
    """Returns the option that a name or path means.

    Args:
        kind: the pass.
        name: as `search.parameters[].option` has it.
        where: its path in the manifest, for messages.

    Raises:
        InvalidManifest: the pass has no such option, has several, or it cannot be searched.
    """
    if option := names(kind).get(name):
        return option
    leaf = name.rpartition(".")[2]
    paths = [path for path in _all(kind) if name in (path, path.rpartition(".")[2])]
    if name in kind.data_options():
        raise InvalidManifest(
            f"{kind.name}.{name} names a data set, and trials are compared on the same data", where=where,
            hint="leave it out of the search",
        )  # fmt: skip
    if len(paths) > 1:
        raise InvalidManifest(
            f"{kind.name} has several options called {name!r}", where=where, hint=f"one of {', '.join(paths)}"
        )
    if paths:
        raise InvalidManifest(
            f"{kind.name}.{name} takes no single value", where=where,
            hint=f"possible: {', '.join(searchable(kind))}",
        )  # fmt: skip
    below = [path for path in searchable(kind) if path.startswith(f"{name}.")]
    if below:
        raise InvalidManifest(
            f"{kind.name}.{name} is a group of options", where=where, hint=f"one of {', '.join(below)}"
        )
    hint = suggest(name, names(kind))
    if not hint.startswith("did"):
        meant = names(kind).get(leaf)
        hint = f"did you mean '{meant.name}'?" if meant else f"possible: {', '.join(searchable(kind))}"
    raise InvalidManifest(f"{kind.name} has no option {name!r}", where=where, hint=hint)


def range_problem(kind: type[Pass], option: Option, parameter: Parameter) -> str | None:
    """Returns what is wrong with a range of numbers for an option; None when nothing is, or there is a choice of values,
    which are looked at one by one where a pass is made of them.

    The API server says the same by rules that are made of the same options: `millwright_runner.crd.searches`.
    """
    ranges = {"uniform": parameter.uniform, "logUniform": parameter.log_uniform, "integer": parameter.integer}
    for name, given in ranges.items():
        if given is None:
            continue
        called = f"{kind.name}.{option.name}"
        if not option.is_number:
            return f"{name}: {called} takes {option.words}; list the values by choice"
        if name != "integer" and "number" not in option.types:
            return f"{name}: {called} takes {option.words}; take integer"
        if not option.holds(given.min, given.max):
            return f"{name}: {called} takes {option.words}; found {given.min:g} to {given.max:g}"
    return None


@functools.cache
def _all(kind: type[Pass]) -> dict[str, Option | None]:
    """All options by path; None: one that cannot be searched."""
    root, data = schema.of(kind), kind.data_options()
    return {
        ".".join(path): None if ".".join(path) in data else _option(path, node, root)
        for path, node in _leaves(root, root, ())
    }


def _leaves(node: Schema, root: Schema, above: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Schema]]:
    for key, value in schema.properties(node, root).items():
        if schema.properties(value, root):
            yield from _leaves(value, root, (*above, key))
        else:
            yield (*above, key), value


def _option(path: tuple[str, ...], node: Schema, root: Schema) -> Option | None:
    parts = [part for part in schema.alternatives(node, root) if part.get("type") in SCALARS]
    if not parts:
        return None
    found = Option(path, frozenset(part["type"] for part in parts), None, None, False, False, None, "")
    found = replace(found, words=schema.expected({"anyOf": parts}, root))
    if all("enum" in part or "const" in part for part in parts):
        values = [value for part in parts for value in part.get("enum", [part.get("const")])]
        return replace(found, choices=tuple(values))
    for part in parts:
        if part["type"] in ("integer", "number"):
            above, below = "exclusiveMinimum" in part, "exclusiveMaximum" in part
            found = replace(
                found,
                minimum=part.get("exclusiveMinimum", part.get("minimum")),
                maximum=part.get("exclusiveMaximum", part.get("maximum")),
                above=above,
                below=below,
            )
    return found
