"""Data: from a manifest's `data` entry to token sequences on disk. Streams; needs no torch.

`find_data` looks (exists, readable, columns, template) and names the content; `pack` turns it into sequences.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from millwright_api.v1alpha1 import Data


@dataclass(frozen=True)
class FoundData:
    """Rows that exist and fit their format, as far as the first rows can tell.

    Attributes:
        spec: the manifest's entry.
        digest: names content, limit and format (64 hex digits).
        path: the file on this machine, for all sources but the hub's.
    """

    spec: Data
    digest: str
    where: str


class PackedSequences:
    """Token sequences on disk, read by memory map: satisfies `passes.Sequences`."""


def find_data(data: Data, base: Path, home: Path) -> FoundData:
    """Looks a data set up; reads its first rows. See models.find_model for the arguments."""
    raise NotImplementedError


def pack(found: FoundData, tokenizer: Path, folder: Path, tell: Callable[[int, int | None], None]) -> PackedSequences:
    """Tokenizes all rows into `folder`. `tokenizer` is a folder with the tokenizer's files; `tell(done, total)` in bytes."""
    raise NotImplementedError
