"""No status is larger than 64 KiB: what is cut, and in which order, is always the same."""

from __future__ import annotations

from collections.abc import Iterator

from millwright_api.report import cut
from millwright_api.status import STATUS_BYTES, Status


def fitted(status: Status) -> Status:
    """Returns a status of at most 64 KiB as JSON.

    What was measured in between goes first, from the last model but one back: the first and the last stay. Then metrics
    of passes, from the last step back. Then messages are cut: of constraints to 64 bytes, of conditions to 256.
    """
    return next((smaller for smaller in _ever_smaller(status) if size(smaller) <= STATUS_BYTES), status)


def size(status: Status) -> int:
    """Returns a status' size as JSON, in UTF-8 bytes."""
    return len(status.model_dump_json(exclude_none=True).encode())


def _ever_smaller(status: Status) -> Iterator[Status]:
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
    yield status.model_copy(update={"conditions": short})


def _evaluated(status: Status, **changes: object) -> Status:
    assert status.evaluation is not None  # the callers have seen it
    return status.model_copy(update={"evaluation": status.evaluation.model_copy(update=changes)})
