"""What a search of Olive's tries: values written in place of one, alternatives of a pass; each becomes a parameter here.

What a value means is found by converting its pass with it, so that all that is said of single values holds of searched ones.
"""

from __future__ import annotations

import copy
import itertools
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from millwright_api.search import MAX_CHOICES, MAX_PARAMETERS
from millwright_runner import registry, searchable
from millwright_runner.olive.table import Section, load
from millwright_runner.olive.trace import Path, Trace, show, wrong

NO_STRATEGY = "values to search, and there is no search_strategy: write the one that is meant"
NO_OBJECTIVE = "of a search that has no objective here, see search_strategy"
DISABLED = "values to search beside disable_search: true: write the one that is meant"
CONDITIONAL = "depends on another option: write the pass as several alternatives, each with its own values"
NO_ROOM = f"a search has at most {MAX_PARAMETERS} parameters"
MOST_STEPS = 8
"""What `oneOf` takes."""

ASKED = "SEARCHABLE_VALUES"
MARKS = ("olive_parameter_type", "type", "support")
NESTED = ("config", "training_args", "extra_args", "extra_options")

Read = Callable[[dict[str, Any]], tuple[dict[str, Any], list[str]]]
"""From a pass's JSON to its options here, and the paths of what has no counterpart."""


@dataclass
class Space:
    """What differs between trials.

    Attributes:
        why_not: why values to search are not taken over; None: they are.
        ranges: whether Olive searches ranges of its own, unasked.
        parameters: those of spec.search so far.
        unasked: the ranges that it searches so, for people.
        flows: how many flows of passes there are.
    """

    why_not: str | None = NO_STRATEGY
    ranges: bool = False
    parameters: list[dict[str, Any]] = field(default_factory=list)
    unasked: list[str] = field(default_factory=list)
    flows: int = 1


@dataclass(frozen=True)
class Source:
    """A pass of the JSON.

    Attributes:
        path: its place.
        value: its JSON.
        kind: our pass.
        read: converts it, leaving no trace.
    """

    path: Path
    value: dict[str, Any]
    kind: str
    read: Read


@dataclass(frozen=True)
class Tried:
    """An option that takes one of several values.

    Attributes:
        path: where it stands in the JSON.
        option: its name here.
        choice: its values here.
    """

    path: Path
    option: str
    choice: list[Any]


@dataclass(frozen=True)
class Variants:
    """A pass as trials may have it.

    Attributes:
        values: the pass's JSON with one value for each option; several, where what is searched is more than one option here.
        tried: options that differ between trials, in each of them.
    """

    values: list[dict[str, Any]]
    tried: list[Tried]


def variants(space: Space, trace: Trace, of: Source, *, alone: bool) -> Variants:
    """Takes values to search out of a pass's JSON.

    Args:
        space: what the search allows.
        trace: the account of leaves: values that are not taken over are listed.
        of: the pass.
        alone: whether it has to stay one step.

    Raises:
        InvalidManifest: a value is none that the option takes.
    """
    path, value, kind = of.path, of.value, of.kind
    plain, ranges = copy.deepcopy(value), _ranges(kind)
    _tell_unasked(space, path, value, ranges)
    searched: list[tuple[Path, list[Any]]] = []
    for place, found in list(_places(value, (), ranges)):
        support = _support(trace, (*path, *place), found, ranges)
        why = CONDITIONAL if support is None else DISABLED if _is_off(value) else None
        if why := space.why_not or why:
            trace.unmapped((*path, *place), why, blocks=True)
            _take(plain, place)
        else:
            searched.append((place, support or []))
            _put(plain, place, (support or [])[0])
    tried, whole = [], []
    for place, support in searched:
        where = (*path, *place)
        known = [
            (one, options)
            for one in support
            if (options := _read(of.read, _with(plain, place, one), where)) is not None
        ]
        if len(known) < len(support):
            lost = [one for one in support if not any(one is other for other, _ in known)]
            trace.unmapped(where, f"has no counterpart: {', '.join(map(json.dumps, lost))}", blocks=True)
        if not known:
            _take(plain, place)
            continue
        _put(plain, place, known[0][0])
        option = _option(kind, [options for _, options in known])
        if option is None and not alone:
            whole.append((place, [one for one, _ in known]))
        elif option is None:
            trace.unmapped(where, "takes several steps here, and the pass is in some flows only", blocks=True)
        elif option and len(known) > MAX_CHOICES:
            trace.unmapped(where, f"a choice has at most {MAX_CHOICES} values", blocks=True)
        elif option:
            tried.append(Tried(where, option, _once([options[option] for _, options in known])))
    return Variants(list(_combined(plain, whole)), tried)


def has_room(space: Space) -> bool:
    """Whether one more parameter may be added."""
    return len(space.parameters) < MAX_PARAMETERS


def add(space: Space, trace: Trace, path: Path, parameter: dict[str, Any]) -> None:
    """Adds a parameter, where there is room for it."""
    if not has_room(space):
        trace.unmapped(path, NO_ROOM, blocks=True)
        return
    place = f"spec.search.parameters[{len(space.parameters)}]"
    space.parameters.append(parameter)
    trace.mapped(path, place)


def _option(kind: str, made: list[dict[str, Any]]) -> str | None:
    """Returns the one option that the values differ in; "" where there is none, None where it takes more than one."""
    keys = {key for options in made for key in options}
    differing = [key for key in keys if any(options.get(key) != made[0].get(key) for options in made)]
    if not differing:
        return ""
    known = searchable.searchable(registry.get(kind))
    (first, *more) = differing
    alone = not more and first in known and all(isinstance(one.get(first), str | int | float) for one in made)
    return first if alone else None


def _places(value: Mapping[str, Any], path: Path, ranges: Mapping[str, list[Any]]) -> Iterator[tuple[Path, Any]]:
    for key, below in value.items():
        if _is_parameter(below) or below == ASKED or (isinstance(below, list) and below and key in ranges):
            yield (*path, key), below
        elif key in NESTED and isinstance(below, dict):
            yield from _places(below, (*path, key), ranges)


def _is_parameter(value: Any) -> bool:
    return isinstance(value, dict) and (value.get("olive_parameter_type") == "SearchParameter" or "support" in value)


def _support(trace: Trace, path: Path, found: Any, ranges: Mapping[str, list[Any]]) -> list[Any] | None:
    """Returns the values; None of a range that depends on another option."""
    if isinstance(found, list):
        return found
    if found == ASKED:
        return ranges.get(str(path[-1])) or wrong(path, found, "option with values that Olive searches")
    if found.get("olive_parameter_type", "SearchParameter") != "SearchParameter":
        wrong((*path, "olive_parameter_type"), found["olive_parameter_type"], "SearchParameter")
    if found.get("type", "Categorical") != "Categorical":
        return None
    for key in found:
        if key not in MARKS:
            trace.unmapped((*path, key), f"unknown key; a Categorical has {', '.join(MARKS)}", blocks=True)
    support = found.get("support")
    if not isinstance(support, list) or not support:
        wrong((*path, "support"), support, "list of values")
    if str(path[-1]).endswith("data_config") and not all(isinstance(one, str) for one in support):
        wrong((*path, "support"), support, "list of data sets' names")
    return support


def _ranges(kind: str) -> dict[str, list[Any]]:
    """Returns what Olive searches unasked: option → values."""
    return {name: list(row.searched) for row in _section(kind).rows for name in row.olive if row.searched}


def _section(kind: str) -> Section:
    sections = load().sections
    return sections["lora" if kind == "qlora" else kind]


def _tell_unasked(space: Space, path: Path, value: dict[str, Any], ranges: Mapping[str, list[Any]]) -> None:
    if not space.ranges or _is_off(value):
        return
    written = {key for part in (value, *(value.get(key) for key in NESTED)) if isinstance(part, dict) for key in part}
    names = {row.olive for section in load().sections.values() for row in section.rows if row.searched}
    for name in ranges:
        if any(name == row[0] and not written & set(row) for row in names):
            space.unasked.append(f"{show((*path, name))} over {', '.join(map(json.dumps, ranges[name]))}")


def _is_off(value: dict[str, Any]) -> bool:
    nested = value.get("config")
    return any(part.get("disable_search") is True for part in (value, nested) if isinstance(part, dict))


def _read(read: Read, value: dict[str, Any], where: Path) -> dict[str, Any] | None:
    """Returns the options; None where what stands at a place has no counterpart."""
    options, lost = read(value)
    at = show(where)
    return None if any(path == at or path.startswith((f"{at}.", f"{at}[")) for path in lost) else options


def _combined(plain: dict[str, Any], whole: list[tuple[Path, list[Any]]]) -> Iterator[dict[str, Any]]:
    for combination in itertools.product(*(values for _, values in whole)):
        one = copy.deepcopy(plain)
        for (place, _), chosen in zip(whole, combination, strict=True):
            _put(one, place, chosen)
        yield one


def _once(values: list[Any]) -> list[Any]:
    """Returns each value once; 1 and true are two."""
    return [json.loads(text) for text in dict.fromkeys(json.dumps(value) for value in values)]


def _put(value: dict[str, Any], place: Path, chosen: Any) -> None:
    _above(value, place)[place[-1]] = copy.deepcopy(chosen)


def _take(value: dict[str, Any], place: Path) -> None:
    del _above(value, place)[place[-1]]


def _above(value: dict[str, Any], place: Path) -> Any:
    for key in place[:-1]:
        value = value[key]  # type: ignore[index]
    return value


def _with(value: dict[str, Any], place: Path, chosen: Any) -> dict[str, Any]:
    changed = copy.deepcopy(value)
    _put(changed, place, chosen)
    return changed
