"""What is known of a search → what follows: trials to ask for, segments to start, the end."""

from __future__ import annotations

from collections.abc import Mapping

from millwright_api.v1alpha1 import Spec
from millwright_search.trials import Course, Outcome, Seen, Trial


def course(
    spec: Spec,
    trials: Mapping[int, Trial],
    outcomes: Mapping[int, Outcome],
    seen: Mapping[str, Seen],
    *,
    limit: int,
    late: bool = False,
) -> Course:
    """Returns what follows from what is known.

    Level-triggered: called again with what it returned, and nothing new seen, it returns the same. A segment that ended and
    is not seen any more (its Job was deleted) is started again where a trial still needs it: the cache has its result.

    Args:
        spec: the job's, with a search.
        trials: those that were asked for, by number; empty at the start.
        outcomes: of those that ended, by number; an end is for ever.
        seen: segment's key → what is known of it; those that nobody started are not in it.
        limit: how many segments may be Active at once.
        late: whether the search's time is up: no trial is asked for any more; those asked for are carried through.

    A segment that fails ends every trial that shares it, and counts once against maxFailedTrials. When there are more, the
    search is over at once: what is Active then is for the caller to stop.
    """
    raise NotImplementedError
