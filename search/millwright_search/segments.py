"""A trial's passes, cut where trials part: what several trials begin with is done once."""

from __future__ import annotations

from functools import cache

from millwright_api.names import fingerprint
from millwright_api.search import Point
from millwright_api.v1alpha1 import Spec
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
    return Cutter(spec).segments(at)


class Cutter:
    """A job's passes, to be cut at many points: what does not depend on the point is looked up once. Steps are told by their
    places in the manifest, parameters by theirs in the search."""

    def __init__(self, spec: Spec) -> None:
        assert spec.search is not None  # the callers have one
        search = spec.search
        self._parameters, self._names = search.parameters, [step.name for step in spec.passes]
        self._place = {name: place for place, name in enumerate(self._names)}
        self._switch: dict[int, int] = {}
        self._varied: set[int] = set()
        self._continuous: set[int] = set()
        for index, parameter in enumerate(search.parameters):
            listed = space.values(parameter)
            if parameter.switches:
                self._switch |= {self._place[step]: index for step in parameter.steps}
            elif listed is None or len(listed) > 1:
                self._varied.add(self._place[parameter.steps[0]])
            if listed is None:
                self._continuous.add(index)
        default = spec.execution.kubernetes.resources
        asked = {id(own): own.by_value() for own in (default, *(step.resources or default for step in spec.passes))}
        self._resources = [asked[id(step.resources or default)] for step in spec.passes]
        self._everywhere = search.early_stopping is not None
        size = space.size(search)
        trials = search.max_trials if size is None else min(size, search.max_trials)
        self._few = cache(lambda edge: space.variants(search, set(self._names[:edge])) < trials)

    def segments(self, at: Point) -> tuple[Segment, ...]:
        """Returns what `segments` returns."""
        steps = [place for place in range(len(self._names)) if self._runs(at, place)]
        cuts = [j for j in range(1, len(steps)) if self._cut(at, steps[j - 1], steps[j])]
        found = []
        for index, (first, end) in enumerate(zip([0, *cuts], [*cuts, len(steps)], strict=True)):
            last = end == len(steps)
            known = at if last else self._beginning(at, steps[end - 1])
            own = tuple(self._names[place] for place in steps[first:end])
            key = fingerprint([[_plain(value) for value in known], own, last])
            found.append(Segment(key=key, index=index, at=known, first=first, end=end, steps=own, last=last))
        return tuple(found)

    def _runs(self, at: Point, place: int) -> bool:
        index = self._switch.get(place)
        return index is None or at[index] is True or at[index] == self._names[place]

    def _cut(self, at: Point, before: int, after: int) -> bool:
        if self._everywhere or self._resources[before] != self._resources[after]:
            return True
        if after not in self._varied and not any(
            self._open(at, before, place) for place in range(before + 1, after + 1)
        ):
            return False
        fixed = all(at[index] is None or self._acts_from(at, index) > before for index in self._continuous)
        return fixed and self._few(before + 1)

    def _open(self, at: Point, before: int, place: int) -> bool:
        """Whether trials that agree up to a step may differ in whether a later one runs."""
        index = self._switch.get(place)
        if index is None or self._parameters[index].on_off:
            return index is not None
        coming = [step for step in self._parameters[index].steps if self._place[step] > before]
        return self._acts_from(at, index) > before and len(coming) > 1

    def _acts_from(self, at: Point, index: int) -> int:
        """The first step to which a parameter's value matters: of oneOf, the one that runs."""
        parameter = self._parameters[index]
        return self._place[str(at[index]) if parameter.one_of is not None else parameter.steps[0]]

    def _beginning(self, at: Point, until: int) -> Point:
        """A trial's values as far as they matter up to a step."""
        return tuple(
            None if value is None or self._acts_from(at, index) > until else value for index, value in enumerate(at)
        )


def _plain(value: bool | int | float | str | None) -> bool | int | float | str | None:
    """A whole float as the whole number that JSON may have made of it."""
    return int(value) if isinstance(value, float) and value.is_integer() else value
