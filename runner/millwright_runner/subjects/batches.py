"""What all kinds of models need to be asked many things at once. Pure, but for a look at a folder's configs."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

from millwright_api.errors import InvalidData, InvalidModel
from millwright_runner.data.tokens import load_tokens, read_json
from millwright_runner.subjects import Ids

LOGITS_BYTES = 512 << 20
"""Logits that are held at once: with a large vocabulary they outgrow the model."""


def batches(sequences: Sequence[Ids], size: int, *, bytes_each: int = 0) -> Iterator[list[int]]:
    """Yields the sequences' indices, a batch at a time: those of like length together, so that little is padded.

    The longest come first: what does not fit into memory shows at once.

    Args:
        sequences: token ids.
        size: sequences in a batch at most.
        bytes_each: what a token takes while its batch is worked on; a batch takes LOGITS_BYTES at most, or is of one.
    """
    order = sorted(range(len(sequences)), key=lambda index: len(sequences[index]), reverse=True)
    while order:
        fitting = LOGITS_BYTES // (bytes_each * len(sequences[order[0]])) if bytes_each else size
        rows = max(1, min(size, fitting))
        yield order[:rows]
        order = order[rows:]


def pieces(length: int, rows: int, *, bytes_each: int) -> list[slice]:
    """Returns the parts that a batch is worked on in, one after the other: as few as fit into LOGITS_BYTES.

    Args:
        length: tokens of the longest sequence, at least two.
        rows: sequences.
        bytes_each: what a token takes.

    Returns:
        Ranges of positions, of two at least, but for the last.
    """
    step = max(2, LOGITS_BYTES // (bytes_each * rows))
    return [slice(start, min(start + step, length)) for start in range(0, length, step)]


def padded(rows: Sequence[Ids], pad: int, *, left: bool = False) -> list[list[int]]:
    """Returns the rows, made as long as the longest of them.

    Args:
        rows: token ids.
        pad: the id that they are filled up with.
        left: whether they are filled up in front.
    """
    longest = max(len(row) for row in rows)
    fill = [[pad] * (longest - len(row)) for row in rows]
    return [[*more, *row] if left else [*row, *more] for row, more in zip(rows, fill, strict=True)]


def stops(ids: list[int], end: Collection[int], stop: Sequence[Ids]) -> bool:
    """Whether a continuation ends with its last id: an end token, or a sequence to stop after."""
    return ids[-1] in end or any(ids[-len(wanted) :] == list(wanted) for wanted in stop)


def until_stop(ids: Sequence[int], end: Collection[int], stop: Sequence[Ids]) -> list[int]:
    """Returns a continuation up to its end token, without it, or up to the first sequence to stop after, with it."""
    kept: list[int] = []
    for token in ids:
        kept.append(token)
        if stops(kept, end, stop):
            return kept[:-1] if token in end else kept
    return kept


def check_fits(sequences: Sequence[Ids], new_tokens: int, *, longest: int | None, vocabulary: int, where: Path) -> None:
    """Refuses what a model cannot take; libraries break there in the middle, without a name for it.

    Args:
        sequences: token ids.
        new_tokens: ids to be generated after each.
        longest: tokens that the model takes at most; None: it names no maximum.
        vocabulary: ids that the model has an embedding for.
        where: the model's folder.

    Raises:
        InvalidData: a sequence is too long.
        InvalidModel: a token that the model does not know: the tokenizer is another model's.
    """
    if not sequences:
        return
    length = max(len(sequence) for sequence in sequences)
    if longest is not None and length + new_tokens > longest:
        found = f"a text of {length} tokens" + (f" and {new_tokens} new ones" if new_tokens else "")
        raise InvalidData(
            f"{found} is more than the model takes, which is {longest}", hint=f"shorten the data to fit into {longest}"
        )
    largest = max(max(sequence) for sequence in sequences)
    if largest >= vocabulary:
        raise InvalidModel(
            f"its tokenizer gives the token {largest}, and the model knows {vocabulary}",
            where=str(where),
            hint="put the model's own tokenizer beside it",
        )


def end_ids(folder: Path) -> frozenset[int]:
    """Returns the ids that end a text: those that the model's configs name, and the tokenizer's.

    Args:
        folder: a whole model's, in any format.

    Raises:
        InvalidModel: a file is malformed.
    """
    configs = [read_json(folder / name) for name in ("generation_config.json", "config.json")]
    configs.append(read_json(folder / "genai_config.json").get("model", {}))
    found = {token for config in configs for token in _listed(config.get("eos_token_id"))}
    if (folder / "tokenizer.json").exists():
        found |= set(_listed(load_tokens(folder).end))
    return frozenset(found)


def _listed(value: Any) -> list[int]:
    return [token for token in (value if isinstance(value, list) else [value]) if isinstance(token, int)]


__all__ = ["LOGITS_BYTES", "batches", "check_fits", "end_ids", "padded", "pieces", "stops", "until_stop"]
