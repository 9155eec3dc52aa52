"""Token sequences on disk. Reading them keeps nothing in memory: each is fetched from its place in the file.

A folder holds `tokens` (uint32), `index` (uint64: start and stop of each sequence in tokens), `trained` (one byte a
token, 1 where the loss counts; absent where it counts everywhere) and, written last, `packed.json`. All numbers are
little-endian, so the files can be memory-mapped by anything that likes to.
"""

from __future__ import annotations

import json
import os
from array import array
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from millwright_api.errors import InvalidData
from millwright_api.v1alpha1 import ChatFormat, TextFormat

if TYPE_CHECKING:
    import numpy
    from numpy.typing import NDArray

TOKENS, INDEX, TRAINED, RECORD = "tokens", "index", "trained", "packed.json"
TOKEN_BYTES, INDEX_BYTES = 4, 16
PIECE = 4 << 20
"""Bytes of a file that are read at a time; a multiple of TOKEN_BYTES."""

IGNORED = -100
"""The label of a token that the loss passes over: torch's cross entropy has it so."""


@dataclass(frozen=True)
class Counts:
    """What became of the rows.

    Attributes:
        rows: rows read.
        left_out: rows left out because they are longer than maxLength.
        untrained: sequences left out because the loss would count no token of theirs.
        sequences: sequences made.
        tokens: tokens in them; overlapping windows count theirs each.
        longest: tokens of the longest sequence.
    """

    rows: int = 0
    left_out: int = 0
    untrained: int = 0
    sequences: int = 0
    tokens: int = 0
    longest: int = 0


class PackedSequences:
    """Token sequences on disk: satisfies `passes.Sequences`.

    Args:
        path: the folder that `pack` has filled.
        format: maxLength and padding, for who makes batches of them.
        counts: what became of the rows.
    """

    def __init__(self, path: Path, format: TextFormat | ChatFormat, counts: Counts) -> None:  # noqa: A002
        self._files: dict[str, int] = {}
        self.path, self.format, self.counts = path, format, counts
        self._all_count = not (path / TRAINED).exists()

    @property
    def rows(self) -> int:
        """Rows read."""
        return self.counts.rows

    @property
    def left_out(self) -> int:
        """Rows left out because they are longer than maxLength."""
        return self.counts.left_out

    @property
    def tokens(self) -> int:
        """Tokens in all sequences together."""
        return self.counts.tokens

    def largest_token(self) -> int:
        """Returns the largest token id in all sequences; -1 when there are none. Reads the file once."""
        import numpy

        largest = -1
        with (self.path / TOKENS).open("rb") as stream:
            while data := stream.read(PIECE):
                largest = max(largest, int(numpy.frombuffer(data, "<u4").max()))
        return largest

    def __len__(self) -> int:
        return self.counts.sequences

    def __getitem__(self, index: int) -> dict[str, list[int]]:
        """Returns one sequence: input_ids and labels (-100 where no loss counts).

        Raises:
            IndexError: there is none of that number.
        """
        if not -len(self) <= index < len(self):
            raise IndexError(f"sequence {index} of {len(self)}")
        start, stop = self._numbers("Q", INDEX, index % len(self) * INDEX_BYTES, INDEX_BYTES)
        ids = self._numbers("I", TOKENS, start * TOKEN_BYTES, (stop - start) * TOKEN_BYTES).tolist()
        if self._all_count:
            return {"input_ids": ids, "labels": list(ids)}
        trained = self._bytes(TRAINED, start, stop - start)
        return {"input_ids": ids, "labels": [i if t else IGNORED for i, t in zip(ids, trained, strict=True)]}

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_files": {}}  # open files do not travel to other processes

    def __del__(self) -> None:
        for descriptor in self._files.values():
            os.close(descriptor)

    def _numbers(self, kind: str, name: str, offset: int, size: int) -> array[int]:
        return array(kind, self._bytes(name, offset, size))

    def _bytes(self, name: str, offset: int, size: int) -> bytes:
        if name not in self._files:
            self._files[name] = os.open(self.path / name, os.O_RDONLY)
        return os.pread(self._files[name], size, offset)


@dataclass(frozen=True)
class Part:
    """Some of the sequences, in an order of its own.

    Attributes:
        whole: all sequences.
        indices: which ones, as numbers in `whole`.
    """

    whole: PackedSequences
    indices: NDArray[numpy.int64]

    @property
    def path(self) -> Path:
        """The folder of the whole."""
        return self.whole.path

    @property
    def format(self) -> TextFormat | ChatFormat:
        """maxLength and padding of the whole."""
        return self.whole.format

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> dict[str, list[int]]:
        """Returns one sequence; see PackedSequences."""
        return self.whole[int(self.indices[index])]


def write_record(folder: Path, key: str, counts: Counts) -> None:
    """Says that a folder is complete; until then nothing in it counts."""
    partial = folder / f"{RECORD}.partial"
    partial.write_text(json.dumps({"key": key, "counts": asdict(counts), "files": _sizes(folder)}))
    partial.replace(folder / RECORD)


def _sizes(folder: Path) -> dict[str, int]:
    return {name: (folder / name).stat().st_size for name in (TOKENS, INDEX, TRAINED) if (folder / name).exists()}


def open_packed(folder: Path, key: str, format: TextFormat | ChatFormat) -> PackedSequences | None:  # noqa: A002
    """Returns what an earlier run packed, when it is complete and made of the same rows in the same way; else None."""
    try:
        record = json.loads((folder / RECORD).read_text())
        whole = record["key"] == key and record["files"] == _sizes(folder)
        return PackedSequences(folder, format, Counts(**record["counts"])) if whole else None
    except (OSError, ValueError, KeyError, TypeError):
        return None  # absent, or torn by a full disk or a power cut: packing again costs seconds


def permutation(length: int, seed: int) -> NDArray[numpy.int64]:
    """Returns the numbers below `length` in an order that depends on the seed and on nothing else.

    numpy guarantees the stream of `RandomState` (Mersenne Twister) for good and for all machines; 8 bytes a number.
    """
    import numpy

    return numpy.random.RandomState(seed).permutation(length).astype(numpy.int64, copy=False)


def split(
    sequences: PackedSequences, *, eval_fraction: float | None = None, eval_size: int | None = None, seed: int = 0
) -> tuple[Part, Part]:
    """Returns (to train on, to evaluate on): a split that depends on the seed and the number of sequences only.

    Args:
        sequences: all of them.
        eval_fraction: share to evaluate on, between 0 and 1; at least one sequence.
        eval_size: or their number.
        seed: which ones.

    Raises:
        InvalidData: nothing would be left to train on.
    """
    total = len(sequences)
    held = eval_size if eval_size is not None else max(1, round(total * (eval_fraction or 0.0)))
    if held >= total:
        raise InvalidData(
            f"{total} sequence{' is' if total == 1 else 's are'} there, and {held} of them would be held back to evaluate on",
            where="evalFraction" if eval_size is None else "evalSize",
            hint="give more rows, hold back fewer, or shorten maxLength",
        )
    order = permutation(total, seed)
    return Part(sequences, order[held:]), Part(sequences, order[:held])
