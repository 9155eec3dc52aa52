"""A trial's passes, cut where trials part: what several trials begin with is done once."""

from __future__ import annotations

from millwright_api.search import Point
from millwright_api.v1alpha1 import Spec
from millwright_search.trials import Segment


def segments(spec: Spec, at: Point) -> tuple[Segment, ...]:
    """Returns a trial's segments, in order.

    A cut is before a step
    - whose resources are not those of the step before it (as stages of a job without search), or
    - from which on trials differ, where what comes before can be shared: no continuous range acts on it, and it has fewer
      variants than the search has trials; or
    - after which earlyStopping wants to decide.
    """
    raise NotImplementedError
