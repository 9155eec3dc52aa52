"""No status is larger than 64 KiB: what is cut, and in which order, is always the same."""

from __future__ import annotations

from collections.abc import Iterator

from millwright_api.report import cut
from millwright_api.status import STATUS_BYTES, Status

PARTS = 8
"""In which figures of a search's trials are left out."""


def fitted(status: Status) -> Status:
    """Returns a status of at most 64 KiB as JSON.

    Messages of a search's trials go first. Then what was measured in between, from the last model but one back: the first
    and the last stay. Then metrics of passes, from the last step back. Then messages are cut: of constraints to 64 bytes, of
    conditions to 256. Then reasons of trials go; their figures last, those of the oldest first: what comes next in a search
    with earlyStopping depends on them.
    """
    return next((smaller for smaller in _ever_smaller(status) if size(smaller) <= STATUS_BYTES), status)


def size(status: Status) -> int:
    """Returns a status' size as JSON, in UTF-8 bytes."""
    return len(status.model_dump_json(exclude_none=True).encode())


def _ever_smaller(status: Status) -> Iterator[Status]:
    yield status
    if status.search:
        status = _searched(status, len(status.search.trials), message="")
        yield status
    results = list(status.evaluation.results) if status.evaluation else []
    for at in reversed(range(1, len(results) - 1)):
        results[at] = results[at].model_copy(update={"metrics": []})
        status = _evaluated(status, results=list(results))
        yield status
    passes = list(status.passes)
    for at in reversed(range(len(passes))):
        passes[at] = passes[at].model_copy(update={"metrics": {}})
        status = status.model_copy(update={"passes": list(passes)})
        yield status
    if status.evaluation:
        told = [c.model_copy(update={"message": cut(c.message, 64)}) for c in status.evaluation.constraints]
        status = _evaluated(status, constraints=told)
        yield status
    short = [c.model_copy(update={"message": cut(c.message, 256)}) for c in status.conditions]
    status = status.model_copy(update={"conditions": short})
    yield status
    count = len(status.search.trials) if status.search else 0
    if count:
        status = _searched(status, count, reason="")
        yield status
    for oldest in range(count // PARTS, count + 1, max(1, count // PARTS)):
        yield _searched(status, oldest, figures={})


def _searched(status: Status, oldest: int, **changes: object) -> Status:
    """The same with some trials of a search changed."""
    assert status.search is not None  # the callers have seen it
    trials = [t.model_copy(update=changes) if i < oldest else t for i, t in enumerate(status.search.trials)]
    return status.model_copy(update={"search": status.search.model_copy(update={"trials": trials})})


def _evaluated(status: Status, **changes: object) -> Status:
    assert status.evaluation is not None  # the callers have seen it
    return status.model_copy(update={"evaluation": status.evaluation.model_copy(update=changes)})
