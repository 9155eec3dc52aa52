"""Rows that a model is judged by and was trained on: their figures flatter it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence

from millwright_runner.data import FoundData
from millwright_runner.data.encoding import renderer
from millwright_runner.data.reading import DataReader
from millwright_runner.data.tokens import Tokens
from millwright_runner.registry import BoundStep

EVALUATING = "evalData"
"""The option of passes whose data set is looked at and not learned from."""

BETWEEN_CHECKS = 4096
"""Rows between two looks at whether a stop was asked for."""


def trained_on(steps: Sequence[BoundStep]) -> list[str]:
    """Returns the names of the data sets that a recipe trains on, each once."""
    names = (
        name for step in steps for option, name in step.pass_.data_refs().items() if option != EVALUATING
    )  # fmt: skip
    return list(dict.fromkeys(names))


def shared(evaluated: Iterable[str], trained: Iterable[str]) -> int:
    """Returns how many texts to evaluate on are among those to train on; white space at the ends does not count.

    Holds 16 bytes for each text to evaluate on; those to train on stream by.
    """
    asked = [_digest(text) for text in evaluated]
    open_ones = set(asked)
    seen = set()
    for text in trained:
        digest = _digest(text)
        if digest in open_ones:
            open_ones.remove(digest)
            seen.add(digest)
            if not open_ones:
                break
    return sum(digest in seen for digest in asked)


def texts(found: FoundData, tokens: Tokens, check: Callable[[], None]) -> Iterator[str]:
    """Yields a data set's rows as training sees them.

    Args:
        found: the data set.
        tokens: the tokenizer, for conversations.
        check: called now and then; raises when a stop was asked for.

    Raises:
        InvalidData: a row that does not fit its format, with its place.
    """
    render = renderer(found.spec, tokens)
    for number, (place, row) in enumerate(DataReader(found)):
        if number % BETWEEN_CHECKS == 0:
            check()
        yield render(row, place).text


def _digest(text: str) -> bytes:
    return hashlib.blake2b(text.strip().encode(errors="replace"), digest_size=16).digest()
