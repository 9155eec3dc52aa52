"""Data: from a manifest's `data` entry to token sequences on disk. Streams; needs no torch.

`find_data` looks (exists, readable, columns, template) and names the content; `pack` turns it into sequences;
`split` holds some of them back to evaluate on.
"""

from __future__ import annotations

from millwright_runner.data.find import FoundData, find_data
from millwright_runner.data.packing import pack
from millwright_runner.data.sequences import Counts, PackedSequences, Part, split
from millwright_runner.data.text import check_format

__all__ = ["Counts", "FoundData", "PackedSequences", "Part", "check_format", "find_data", "pack", "split"]
