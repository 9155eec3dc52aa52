"""Many questions to a model, a few batches at a time, so that a stop is heeded in between."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from millwright_runner.subjects import Ids, Subject
from millwright_runner.subjects.batches import batches

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

BATCHES_AT_ONCE = 4
"""Batches between two looks at whether a stop was asked for."""


def scored(
    model: Subject, sequences: Sequence[Ids], *, batch_size: int, check: Callable[[], None]
) -> list[NDArray[np.float32]]:
    """Returns each sequence's log-probabilities, in order; see `Subject.log_probs`.

    Args:
        model: the model.
        sequences: token ids, each at least two.
        batch_size: sequences at once.
        check: called now and then; raises when a stop was asked for.
    """
    found: dict[int, NDArray[np.float32]] = {}
    for chunk in batches(sequences, batch_size * BATCHES_AT_ONCE):
        check()
        arrays = model.log_probs([sequences[index] for index in chunk], batch_size=batch_size)
        found |= zip(chunk, arrays, strict=True)
    return [found[index] for index in range(len(sequences))]
