"""Batches: sequences padded to one length, and the size of a micro-batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from millwright_runner.data.sequences import IGNORED

if TYPE_CHECKING:
    import torch

TOKENS_PER_MICRO_BATCH = {"cpu": 2048, "cuda": 16384}
"""More tokens at once make a CPU no faster (measured: 4 × 64 takes two thirds of 1 × 64's time, more gains nothing)
and cost memory; on CUDA the loop halves the micro-batch when memory runs out."""


def collator(
    pad_id: int, side: str, to_length: int | None
) -> Callable[[list[dict[str, list[int]]]], dict[str, torch.Tensor]]:
    """Returns the function that makes a batch of sequences.

    Args:
        pad_id: token id that fills up.
        side: right or left.
        to_length: pad to this many tokens; None: to the longest of the batch.

    Returns:
        A function from n sequences to int64 tensors of shape (n, length): input_ids, labels, attention_mask.
    """
    import torch

    def collate(rows: list[dict[str, list[int]]]) -> dict[str, Any]:
        """Pads a batch."""
        length = to_length or max(len(row["input_ids"]) for row in rows)
        batch: dict[str, list[list[int]]] = {"input_ids": [], "labels": [], "attention_mask": []}
        for row in rows:
            fill = length - len(row["input_ids"])
            for key, values, filler in (
                ("input_ids", row["input_ids"], pad_id),
                ("labels", row["labels"], IGNORED),
                ("attention_mask", [1] * len(row["input_ids"]), 0),
            ):
                batch[key].append([*values, *[filler] * fill] if side == "right" else [*[filler] * fill, *values])
        return {key: torch.tensor(values, dtype=torch.int64) for key, values in batch.items()}

    return collate


def micro_batch(sequences_per_step: int, length: int, device: str) -> int:
    """Returns the largest divisor of `sequences_per_step` whose micro-batch stays within the device's token limit."""
    limit = max(1, TOKENS_PER_MICRO_BATCH[device] // length)
    return max(n for n in range(1, sequences_per_step + 1) if sequences_per_step % n == 0 and n <= limit)
