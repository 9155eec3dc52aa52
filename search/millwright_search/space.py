"""The space of a search: which values belong together, how many points there are, which steps run at one of them.

A value of a pass that does not run makes no difference. It is None then, so that points that are one piece of work are equal.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence

from millwright_api.search import Integer, Parameter, Point, Search
from millwright_api.v1alpha1 import Spec, Step

COUNTABLE = 2**53
"""A space with more points is as good as continuous. A status has room for this number."""

Value = bool | int | float | str | None


def size(search: Search) -> int | None:
    """Returns how many different points there are; None: more than can be counted (a continuous range, or above 2**53).

    A value of a pass that does not run makes no difference: such points are one.
    """
    counts = [_variants(search, parameter) for parameter in _heads(search)]
    found = math.prod(counts)
    return int(found) if found <= COUNTABLE else None


def points(search: Search) -> Iterator[Point]:
    """Yields all points of a finite space in the grid's order: the last parameter changes fastest. `onOff` is on first. A switch
    stands before the options of the passes that it switches, wherever the manifest has it.

    Raises:
        ValueError: a parameter has a continuous range.
    """
    order = draws(search)
    at: list[Value] = [None] * len(search.parameters)

    def rest(place: int) -> Iterator[Point]:
        if place == len(order):
            yield tuple(at)
            return
        index = order[place]
        for value in _values(search.parameters[index]) if acts(search, at, index) else (None,):
            at[index] = value
            yield from rest(place + 1)
        at[index] = None

    return rest(0)


def draws(search: Search) -> list[int]:
    """Returns the indices of the parameters in the order that their values are chosen: as in the manifest, but a switch (onOff,
    oneOf) before the options of the passes that it switches."""
    order: list[int] = []
    switched = _switched(search)
    for index, parameter in enumerate(search.parameters):
        for wanted in (None if parameter.switches else switched.get(parameter.steps[0]), index):
            if wanted is not None and wanted not in order:
                order.append(wanted)
    return order


def acts(search: Search, at: Sequence[Value], index: int) -> bool:
    """Whether a parameter's value makes a difference at a point, of which its switch's value is known: a switch always, an option
    where its pass runs."""
    parameter = search.parameters[index]
    return parameter.switches or runs(search, at, parameter.steps[0])


def variants(search: Search, steps: set[str]) -> int:
    """Returns in how many ways the trials of a search can begin: different points of those parameters that are about the steps
    that they begin with. A continuous range counts once.

    Args:
        search: the search.
        steps: names of the first steps of the manifest, up to some step.
    """
    return int(math.prod(_variants(search, parameter, steps) for parameter in _heads(search)))


def runs(search: Search, at: Sequence[Value], step: str) -> bool:
    """Whether a step runs at a point. Values that are None, as in a segment's `at`, switch nothing off by onOff; of oneOf
    none of the steps runs."""
    for parameter, value in zip(search.parameters, at, strict=True):
        if parameter.switches and step in parameter.steps:
            return value == step if parameter.one_of is not None else value is not False
    return True


def recipe(spec: Spec, at: Point) -> list[Step]:
    """Returns the steps that run at a point, in order; their options are the manifest's still: the runner, which knows the
    passes, sets them."""
    assert spec.search is not None  # the callers have one
    search = spec.search
    return [step for step in spec.passes if runs(search, at, step.name)]


def described(search: Search, at: Point) -> dict[str, str]:
    """Returns a point for people: parameter's label → its value, as text; what does not run is left out."""
    told: dict[str, str] = {}
    for parameter, value in zip(search.parameters, at, strict=True):
        if parameter.on_off:
            told[parameter.label] = "off" if value is False else "on"
        elif value is not None:
            told[parameter.label] = value if isinstance(value, str) else json.dumps(value)
    return told


def same(at: Point) -> tuple[tuple[bool, Value], ...]:
    """Returns what equal points have in common, to be compared: 1 is 1.0, as JSON may have made of it, and not true."""
    return tuple((isinstance(value, bool), value) for value in at)


def values(parameter: Parameter) -> Sequence[bool | int | float | str] | None:
    """Returns a parameter's values, in order; None of a continuous range. `onOff` is on first, as the manifest reads."""
    if parameter.on_off:
        return (True, False)
    if parameter.integer is not None:
        return whole(parameter.integer)
    return parameter.one_of if parameter.one_of is not None else parameter.choice


def whole(of: Integer) -> range:
    """Returns the whole numbers of a range, both ends included where the steps meet the upper one."""
    return range(of.min, of.max + 1, of.step)


def _values(parameter: Parameter) -> Sequence[bool | int | float | str]:
    found = values(parameter)
    if found is None:
        raise ValueError(f"{parameter.label} has a continuous range: it has no first value and no next one")
    return found


def _switched(search: Search) -> dict[str, int]:
    """Step's name → the index of the parameter that says whether it runs."""
    return {
        step: index
        for index, parameter in enumerate(search.parameters)
        if parameter.switches
        for step in parameter.steps
    }


def _heads(search: Search) -> list[Parameter]:
    """The parameters that depend on no other: the rest are options of what these switch."""
    switched = _switched(search)
    return [one for one in search.parameters if one.switches or one.steps[0] not in switched]


def _variants(search: Search, parameter: Parameter, begin: set[str] | None = None) -> float:
    """How many different settings there are of a parameter and of all that depends on it: math.inf of a continuous range.
    With `begin`, a set of steps: as far as they make a difference to these, continuous ranges once."""
    continuous = math.inf if begin is None else 1

    def options(step: str) -> float:
        own = (other for other in search.parameters if not other.switches and other.steps[0] == step)
        return math.prod(_count(other, continuous) for other in own)

    inside = [step for step in parameter.steps if begin is None or step in begin]
    if not parameter.switches:
        return _count(parameter, continuous) if inside else 1
    outside = 1 if len(inside) < len(parameter.steps) or parameter.on_off else 0
    return sum(map(options, inside)) + outside


def _count(parameter: Parameter, continuous: float) -> float:
    found = values(parameter)
    return continuous if found is None else len(found)
