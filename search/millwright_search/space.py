"""The space of a search: which values belong together, how many points there are, which steps run at one of them."""

from __future__ import annotations

from collections.abc import Iterator

from millwright_api.search import Point, Search
from millwright_api.v1alpha1 import Spec, Step


def size(search: Search) -> int | None:
    """Returns how many different points there are; None: more than can be counted (a continuous range).

    A value of a pass that does not run makes no difference: such points are one.
    """
    raise NotImplementedError


def points(search: Search) -> Iterator[Point]:
    """Yields all points of a finite space in the grid's order: the last parameter changes fastest. Of a continuous range,
    for a grid, see `millwright_search.ask`."""
    raise NotImplementedError


def runs(search: Search, at: Point, step: str) -> bool:
    """Whether a step runs at a point. Values that are None, as in a segment's `at`, switch nothing off by onOff; of oneOf
    none of the steps runs."""
    raise NotImplementedError


def recipe(spec: Spec, at: Point) -> list[Step]:
    """Returns the steps that run at a point, in order; their options are the manifest's still: the runner, which knows the
    passes, sets them."""
    raise NotImplementedError


def described(search: Search, at: Point) -> dict[str, str]:
    """Returns a point for people: parameter's label → its value, as text; what does not run is left out."""
    raise NotImplementedError
