"""Which trial is best, and which are worth a look; which is not carried through."""

from __future__ import annotations

from collections.abc import Mapping

from millwright_api.search import Search
from millwright_search.trials import Outcome


def front(search: Search, outcomes: Mapping[int, Outcome]) -> tuple[int, ...]:
    """Returns the trials that no other beats in one objective and matches in all others, by number. Only those that
    succeeded, with a number for every objective; of equals the first."""
    raise NotImplementedError


def best(search: Search, outcomes: Mapping[int, Outcome]) -> int | None:
    """Returns the trial of the front that is best in the first objective; of equals, in the second, and so on; then the
    earliest. None when no trial succeeded."""
    raise NotImplementedError


def pruned(search: Search, number: int, figures: Mapping[str, float], outcomes: Mapping[int, Outcome]) -> str | None:
    """Returns why a trial is not carried through, for people; None when it goes on. By optuna's MedianPruner on the first
    objective after each step, against the trials that `ask.needs` names.

    Args:
        search: the search; without earlyStopping no trial is ended early.
        number: the trial's.
        figures: step's name → the first objective's value after it, as far as it has come.
        outcomes: of trials that ended.
    """
    raise NotImplementedError
