"""Models as metrics see them: the same few questions to a PyTorch folder, an adapter and an onnx-genai folder.

Token ids go in and come out; texts are the tokenizer's business (`data.tokens`), so that every format is asked the same.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from millwright_runner.artifact import Artifact

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Ids = Sequence[int]


@dataclass(frozen=True)
class Timing:
    """How long one generation took.

    Attributes:
        first: seconds from the prompt to the first token.
        following: seconds of each token after the first.
    """

    first: float
    following: tuple[float, ...]

    @classmethod
    def between(cls, moments: Sequence[float]) -> Timing:
        """Returns what lies between moments in seconds: of the prompt, and of each token."""
        first, *following = (after - before for before, after in itertools.pairwise(moments))
        return cls(first, tuple(following))


class Subject(Protocol):
    """A model that answers. It is loaded by the first question.

    Attributes:
        artifact: the folder.
    """

    artifact: Artifact

    @property
    def end(self) -> frozenset[int]:
        """Ids that end a generated text."""

    @property
    def device(self) -> str:
        """Where it computes: cpu, cuda, dml or webgpu."""

    def generate(
        self, prompts: Sequence[Ids], *, new_tokens: int, batch_size: int, stop: Sequence[Ids] = ()
    ) -> list[list[int]]:
        """Returns each prompt's continuation, greedily, in the prompts' order: at most `new_tokens` ids, without the end token.

        A batch gives the same as one prompt at a time: what pads does not count.

        Args:
            prompts: token ids, each at least one.
            new_tokens: ids to generate at most.
            batch_size: prompts that are answered at once; formats that take fewer (genai: 32) cut it down.
            stop: a continuation may be cut off after any of these sequences of ids, to save time; it may also not be.
        """

    def log_probs(self, sequences: Sequence[Ids], *, batch_size: int) -> list[NDArray[np.float32]]:
        """Returns, for each sequence, the natural logarithm of each token's probability after those before it.

        Args:
            sequences: token ids, each at least two.
            batch_size: sequences that are scored at once.

        Returns:
            One array for each sequence, of its length less one: the first token is never predicted.
        """

    def timed(self, prompts: Sequence[Ids], *, new_tokens: int) -> Timing:
        """Generates exactly `new_tokens` ids for prompts of equal length, as one batch, and says how long it took."""

    def stream(self, prompt: Ids, *, new_tokens: int) -> Iterator[int]:
        """Yields what `generate` returns for one prompt, each id as soon as it is there."""

    def close(self) -> None:
        """Gives its memory back; the next question loads it again."""


__all__ = ["Ids", "Subject", "Timing"]
