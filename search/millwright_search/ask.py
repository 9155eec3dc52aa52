"""The next point. Grid: every combination. Random and TPE: optuna, asked anew each time with what is known.

A trial is a function of the search, its number, and the outcomes of earlier trials; no sampler lives on between two
questions. So an operator that restarts asks the same again.
"""

from __future__ import annotations

from collections.abc import Mapping

from millwright_api.search import Point, Search
from millwright_search.trials import Outcome, Trial


def needs(search: Search, number: int) -> int:
    """Returns how many of the first trials must have ended before a trial is asked for, so that the answer does not depend
    on who finished first: none for a grid and for random points (and TPE's start-up); else all but parallelTrials - 1
    of those before it. With earlyStopping the latter always, because what is ended early depends on it."""
    raise NotImplementedError


def ask(search: Search, number: int, trials: Mapping[int, Trial], outcomes: Mapping[int, Outcome]) -> Point | None:
    """Returns the point of a trial; None when the space holds no other than those that were asked for.

    Args:
        search: the search.
        number: the trial's, from 0; all before it are in `trials`.
        trials: those that were asked for, by number.
        outcomes: of those that ended; only the first `needs(search, number)` of them are looked at.
    """
    raise NotImplementedError
