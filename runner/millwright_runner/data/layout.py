"""Lays tokens down in files: rows one after the other, then sequences on them. Each step holds a few megabytes.

All files lie in one folder, see `sequences`. A row may be followed by a joiner that its entry in the index does not
cover: it is what comes between this row and the next one.
"""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from millwright_runner.data.encoding import Row
from millwright_runner.data.sequences import INDEX, INDEX_BYTES, TOKEN_BYTES, TOKENS, TRAINED, Counts, permutation

AT_A_TIME = 8192
"""Entries of an index that are held at a time."""

ORDERED = ".ordered"
"""Suffix of files that a reordering writes, until they take the place of the first ones."""


class RowWriter:
    """Appends rows to the files of a folder.

    Args:
        folder: an empty folder.
        masked: whether rows say which of their tokens are trained.
    """

    def __init__(self, folder: Path, *, masked: bool) -> None:
        self._stack = ExitStack()
        self._files = {
            name: self._stack.enter_context((folder / name).open("wb", buffering=1 << 18))
            for name in (TOKENS, INDEX, *([TRAINED] if masked else []))
        }
        self._at = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def add(self, rows: list[Row], joiner: Row) -> None:
        """Appends rows, each with the joiner after it; a row that ends in the end-of-text token needs none."""
        tokens, index, trained = array("I"), array("Q"), bytearray()
        for row in rows:
            start = self._at + len(tokens)
            tokens.fromlist(row.ids)
            index.extend((start, start + len(row.ids)))
            trained += row.trained or b""
            if not row.ended:
                tokens.fromlist(joiner.ids)
                trained += joiner.trained or b""
        self._at += len(tokens)
        self._files[TOKENS].write(tokens.tobytes())
        self._files[INDEX].write(index.tobytes())
        if TRAINED in self._files:
            self._files[TRAINED].write(trained)


def index_entries(folder: Path) -> Iterator[tuple[int, int]]:
    """Yields start and stop of each entry of a folder's index, in order."""
    with (folder / INDEX).open("rb") as stream:
        while data := stream.read(AT_A_TIME * INDEX_BYTES):
            numbers = array("Q", data)
            yield from zip(numbers[::2], numbers[1::2], strict=True)


def count_rows(folder: Path) -> int:
    """Returns the entries of a folder's index."""
    return (folder / INDEX).stat().st_size // INDEX_BYTES


def shuffle_index(folder: Path, seed: int) -> None:
    """Reorders the index alone: where sequences are rows, their tokens may lie in any order."""
    with (folder / INDEX).open("rb") as old, (folder / f"{INDEX}{ORDERED}").open("wb") as new:
        for row in permutation(count_rows(folder), seed):
            new.write(os.pread(old.fileno(), INDEX_BYTES, int(row) * INDEX_BYTES))
    (folder / f"{INDEX}{ORDERED}").replace(folder / INDEX)


def shuffle_rows(folder: Path, seed: int) -> None:
    """Rewrites the rows in another order, each with the joiner that follows it."""
    names = [name for name in (TOKENS, TRAINED) if (folder / name).exists()]
    rows = count_rows(folder)
    total = (folder / TOKENS).stat().st_size // TOKEN_BYTES
    with ExitStack() as stack:
        old = {name: stack.enter_context((folder / name).open("rb")) for name in (*names, INDEX)}
        new = {name: stack.enter_context((folder / f"{name}{ORDERED}").open("wb")) for name in (*names, INDEX)}
        at = 0
        for row in permutation(rows, seed):
            entry = array("Q", os.pread(old[INDEX].fileno(), INDEX_BYTES + 8, int(row) * INDEX_BYTES))
            start, stop, after = entry if len(entry) == 3 else (*entry, total)
            for name in names:
                _copy(old[name], new[name], start, after, TOKEN_BYTES if name == TOKENS else 1)
            new[INDEX].write(array("Q", (at, at + stop - start)).tobytes())
            at += after - start
    for name in (*names, INDEX):
        (folder / f"{name}{ORDERED}").replace(folder / name)


def _copy(source: BinaryIO, target: BinaryIO, start: int, stop: int, width: int) -> None:
    target.write(os.pread(source.fileno(), (stop - start) * width, start * width))


def cut_windows(folder: Path, length: int, stride: int, counts: Counts) -> Counts:
    """Replaces the index of rows by one of windows on all tokens, up to the last row's end.

    The last window may be short. A window without a token to learn is left out: the first token of a sequence is
    never predicted, and a batch without any makes the loss 0/0.

    Args:
        folder: the folder.
        length: tokens of a window.
        stride: tokens from one window's start to the next one's.
        counts: what is known so far.

    Returns:
        The counts with those of the windows.
    """
    total = _end_of_rows(folder)
    trained = folder / TRAINED
    with ExitStack() as stack:
        index = stack.enter_context((folder / INDEX).open("wb"))
        mask = stack.enter_context(trained.open("rb")) if trained.exists() else None
        for start in range(0, max(total - length, 0) + stride, stride):
            if start and start + length - stride >= total:
                break
            stop = min(start + length, total)
            counted = stop - start > 1 and (mask is None or 1 in os.pread(mask.fileno(), stop - start - 1, start + 1))
            if not counted:
                counts = replace(counts, untrained=counts.untrained + 1)
                continue
            index.write(array("Q", (start, stop)).tobytes())
            counts = replace(
                counts,
                sequences=counts.sequences + 1,
                tokens=counts.tokens + stop - start,
                longest=max(counts.longest, stop - start),
            )
    return counts


def _end_of_rows(folder: Path) -> int:
    with (folder / INDEX).open("rb") as stream:
        data = os.pread(stream.fileno(), 8, max(count_rows(folder) * INDEX_BYTES - 8, 0))
    return int.from_bytes(data, "little")
