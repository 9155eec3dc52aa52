"""pass_flows: which passes run, and in what order. Several flows of a search are switches of passes here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from millwright_api.errors import InvalidManifest, suggest
from millwright_runner.olive.space import NO_OBJECTIVE
from millwright_runner.olive.trace import show, wrong
from millwright_runner.olive.view import Found, View
from millwright_runner.olive.work import Work


@dataclass(frozen=True)
class Order:
    """Passes in order, and those that not every flow has.

    Attributes:
        names: the passes, as the JSON calls them.
        one_of: groups of which each flow has exactly one.
        on_off: passes that are in some flows, whatever the others are.
        where: the flows in the JSON; None: there is one at most.
    """

    names: list[str]
    one_of: list[list[str]] = field(default_factory=list)
    on_off: list[str] = field(default_factory=list)
    where: Found | None = None


def order(work: Work, top: View, passes: Found) -> Order:
    """Returns what the flows say.

    Raises:
        InvalidManifest: no list of lists of passes' names.
    """
    flows = top.get("pass_flows")
    if flows is None:
        return Order(list(passes.value))
    _check(flows, passes)
    searches = work.space.why_not is None
    switched = switches(flows.value) if searches else None
    if switched and any(
        len(passes.value[name]) > 1 for name in switched.on_off if isinstance(passes.value[name], list)
    ):
        switched = None  # a step is switched by one parameter
    if switched is not None:
        made = Order(switched.names, switched.one_of, switched.on_off, flows)
        work.space.flows = len({tuple(flow) for flow in flows.value})
        for index in range(len(flows.value)):
            work.trace.mapped((*flows.path, index), "spec.passes" if index == 0 else "spec.search.parameters")
    else:
        made = Order(list(flows.value[0]))
        work.trace.mapped((*flows.path, 0), "spec.passes")
        why = "a further flow gives a further model: import once more with this flow first"
        if work.space.why_not == NO_OBJECTIVE:
            why = NO_OBJECTIVE
        elif searches:
            why = "no choice of passes that oneOf and onOff say: import once more with this flow first"
        for index in range(1, len(flows.value)):
            work.trace.unmapped((*flows.path, index), why, blocks=True)
    for name in passes.value:
        if name not in made.names:
            work.trace.unmapped(
                (*passes.path, name), "not in the first flow" if not switched else "in no flow", blocks=False
            )
    return made


def _check(flows: Found, passes: Found) -> None:
    if not (
        isinstance(flows.value, list) and flows.value and all(isinstance(flow, list) and flow for flow in flows.value)
    ):
        wrong(flows.path, flows.value, "list of lists of passes' names")
    for index, flow in enumerate(flows.value):
        for name in flow:
            if name not in passes.value:
                where = f"{show(flows.path)}[{index}]"
                raise InvalidManifest(f"no pass is called {name!r}", where=where, hint=suggest(str(name), passes.value))


def switches(flows: Sequence[Sequence[str]]) -> Order | None:
    """Returns the switches that give these flows and no others; None where there are none such."""
    names = _merged(flows)
    if names is None:
        return None
    sets = [frozenset(flow) for flow in flows]
    optional = [name for name in names if not all(name in one for one in sets)]
    groups: list[list[str]] = []
    for name in optional:
        if any(name in group for group in groups):
            continue
        group = [name]
        for other in optional:
            if other not in group and all(len(one & {*group, other}) <= 1 for one in sets):
                group.append(other)
        if len(group) > 1 and all(one & set(group) for one in sets):
            groups.append(group)
    loose = [name for name in optional if not any(name in group for group in groups)]
    count = 2 ** len(loose)
    for group in groups:
        count *= len(group)
    return Order(names, groups, loose) if count == len(set(sets)) and len(loose) < len(names) else None


def _merged(flows: Sequence[Sequence[str]]) -> list[str] | None:
    """Returns all names in one order that each flow keeps; None where two flows differ in it."""
    merged: list[str] = []
    for flow in flows:
        at = 0
        for index, name in enumerate(flow):
            if name in merged[:at]:
                return None
            if name not in merged:
                later = [merged.index(other) for other in flow[index + 1 :] if other in merged[at:]]
                merged.insert(min(later, default=len(merged)), name)
            at = merged.index(name) + 1
    return merged
