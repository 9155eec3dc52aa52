"""A trial's passes, cut where trials part: what several trials begin with is done once."""

from __future__ import annotations

from collections.abc import Sequence

from millwright_api.names import fingerprint
from millwright_api.search import Parameter, Point, Search
from millwright_api.v1alpha1 import Spec, Step
from millwright_search import space
from millwright_search.trials import Segment


def segments(spec: Spec, at: Point) -> tuple[Segment, ...]:
    """Returns a trial's segments, in order.

    A cut is before a step
    - whose resources are not those of the step before it (as stages of a job without search), or
    - from which on trials differ, where what comes before can be shared: no continuous range acts on it, and it has fewer
      variants than the search has trials; or
    - after which earlyStopping wants to decide: before each.

    Whether there is a cut depends on nothing that comes after it, so trials that begin alike are cut alike.
    """
    assert spec.search is not None  # the callers have one
    search, steps = spec.search, space.recipe(spec, at)
    names = [step.name for step in spec.passes]
    places = [names.index(step.name) for step in steps]
    cuts = [j for j in range(1, len(steps)) if _cut(spec, search, at, steps[j - 1 : j + 1], names)]
    found = []
    for index, (first, end) in enumerate(zip([0, *cuts], [*cuts, len(steps)], strict=True)):
        last = end == len(steps)
        known = at if last else _beginning(search, at, names[: places[end - 1] + 1])
        own = tuple(step.name for step in steps[first:end])
        key = fingerprint([[_plain(value) for value in known], own, last])
        found.append(Segment(key=key, index=index, at=known, first=first, end=end, steps=own, last=last))
    return tuple(found)


def _cut(spec: Spec, search: Search, at: Point, around: Sequence[Step], names: list[str]) -> bool:
    before, after = around
    if search.early_stopping is not None or not _same_resources(spec, before, after):
        return True
    edge = names.index(before.name) + 1
    passed, coming = names[:edge], names[edge : names.index(after.name) + 1]
    return _shared(search, at, passed) and any(
        _parts(search, parameter, value, passed, coming) for parameter, value in zip(search.parameters, at, strict=True)
    )


def _same_resources(spec: Spec, one: Step, other: Step) -> bool:
    default = spec.execution.kubernetes.resources
    a, b = one.resources or default, other.resources or default
    return a is b or a.by_value() == b.by_value()


def _shared(search: Search, at: Point, passed: list[str]) -> bool:
    """Whether several trials can be expected to begin so."""
    for parameter, value in zip(search.parameters, at, strict=True):
        if value is not None and parameter.steps[0] in passed and space.values(parameter) is None:
            return False
    count = space.size(search)
    trials = search.max_trials if count is None else min(count, search.max_trials)
    return space.variants(search, set(passed)) < trials


def _parts(search: Search, parameter: Parameter, value: object, passed: Sequence[str], coming: Sequence[str]) -> bool:
    """Whether trials that agree in the steps that have passed differ by this parameter in one of those that come."""
    if parameter.one_of is not None:
        open_ = [step for step in parameter.one_of if step not in passed]
        return value in open_ and len(open_) > 1 and any(step in coming for step in open_)
    if parameter.steps[0] not in coming or value is None:
        return False
    found = space.values(parameter)
    return found is None or len(found) > 1


def _beginning(search: Search, at: Point, passed: Sequence[str]) -> Point:
    """A trial's values as far as they matter to the steps that have passed: of oneOf, which of them runs, if any does."""
    return tuple(
        value if (value if parameter.one_of is not None else parameter.steps[0]) in passed else None
        for parameter, value in zip(search.parameters, at, strict=True)
    )


def _plain(value: bool | int | float | str | None) -> bool | int | float | str | None:
    """A whole float as the whole number that JSON may have made of it."""
    return int(value) if isinstance(value, float) and value.is_integer() else value
