"""A model without weights: a table says what it writes, and how probable each token is after the one before it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tests.rows import entry, json_lines, write

from millwright_api.errors import InvalidData
from millwright_runner.artifact import Artifact
from millwright_runner.data import find_data
from millwright_runner.data.tokens import Tokens
from millwright_runner.evaluation.answers import answers
from millwright_runner.evaluation.examples import read_examples
from millwright_runner.metrics import Asking, Example
from millwright_runner.subjects import Timing


class TableModel:
    """A subject for tests of what asks models.

    Args:
        tokens: its tokenizer.
        says: what it writes after each prompt; nothing after others.
        seed: of the table.

    Attributes:
        table: log-probabilities, shape (vocabulary, vocabulary): of the column's token after the row's.
        asked: the batches that were asked for, as lists of lengths.
        stops: what `generate` was told to stop at.
        longest: tokens that it takes at most.
    """

    device = "cpu"

    def __init__(self, tokens: Tokens, says: Mapping[str, str] | None = None, seed: int = 0) -> None:
        self.artifact = Artifact(tokens.folder, "hf", "")
        self.end = frozenset({tokens.end} if tokens.end is not None else ())
        self._tokens, self._says = tokens, dict(says or {})
        size = tokens.tokenizer.get_vocab_size()
        logits = np.random.default_rng(seed).normal(size=(size, size))
        self.table = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
        self.asked: list[list[int]] = []
        self.stops: list[list[int]] = []
        self.longest = 10_000

    def prefer(self, text: str, by: float = 20.0) -> None:
        """Makes each of a text's tokens, after the one before it, as much more probable."""
        ids = self._tokens.encode([text], special=False, places=False)[0].ids
        for before, after in itertools.pairwise(ids):
            self.table[before, after] += by

    def generate(
        self, prompts: Sequence[Sequence[int]], *, new_tokens: int, batch_size: int, stop: Sequence[Sequence[int]] = ()
    ) -> list[list[int]]:
        self._take(prompts)
        self.stops = [list(ids) for ids in stop]
        said = [self._says.get(self._tokens.tokenizer.decode(list(p), skip_special_tokens=True), "") for p in prompts]
        return [self._tokens.in_context(text)[:new_tokens] if text else [] for text in said]

    def log_probs(self, sequences: Sequence[Sequence[int]], *, batch_size: int) -> list[Any]:
        self._take(sequences)
        return [self.table[list(ids[:-1]), list(ids[1:])].astype(np.float32) for ids in sequences]

    def _take(self, sequences: Sequence[Sequence[int]]) -> None:
        self.asked.append([len(sequence) for sequence in sequences])
        if max(self.asked[-1]) > self.longest:
            raise InvalidData(f"a text of {max(self.asked[-1])} tokens is more than the model takes")

    def timed(self, prompts: Sequence[Sequence[int]], *, new_tokens: int) -> Timing:
        raise AssertionError("nobody asks a table how fast it is")

    def close(self) -> None:
        """It holds nothing."""


@dataclass(frozen=True)
class Room:
    """What a metric gets, without a job around it."""

    model: TableModel
    tokens: Tokens
    examples: Sequence[Example]
    scratch: Path = Path()
    trust_remote_code: bool = False
    check: Callable[[], None] = lambda: None
    rows: Sequence[tuple[str, dict[str, Any]]] = ()

    def answers(self, asking: Asking) -> list[str]:
        return answers(self.model, self.examples, self.tokens, asking, self.check)


def examples_of(
    base: Path, tokens: Tokens, rows: Sequence[Mapping[str, Any]], *, limit: int | None = None,
    chat: dict[str, Any] | None = None, **text: Any,
) -> list[Example]:  # fmt: skip
    """Writes rows to a file and reads them as examples; text's keys in camelCase, or chat."""
    write(base / "rows.jsonl", json_lines(rows))
    return read_examples(find_data(entry(limit=limit, chat=chat, **text), base, base / "home"), tokens)
