"""Headers of safetensors files: names and shapes without the weights, and whether a file is whole.

The format (safetensors' README): 8 bytes with the header's length N, little-endian; N bytes of JSON; the data.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

from millwright_api.errors import InvalidModel

LENGTH_BYTES = 8
LARGEST_HEADER = 100_000_000
"""Bytes; the safetensors library refuses longer ones."""

WIDTHS = {
    "F64": 64, "I64": 64, "U64": 64, "C64": 64, "F32": 32, "I32": 32, "U32": 32, "F16": 16, "BF16": 16, "I16": 16,
    "U16": 16, "I8": 8, "U8": 8, "BOOL": 8, "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8, "F4": 4,
}  # fmt: skip
"""Bits of a number; formats that are not here are not compared with their shape."""


def read_header(first: Callable[[int], bytes], size: int, where: str) -> dict[str, tuple[int, ...]]:
    """Returns each tensor's name and shape.

    Args:
        first: returns the file's first bytes, as many as it is asked for.
        size: the file's size in bytes.
        where: the file's name, for messages.

    Raises:
        InvalidModel: the file is torn or no safetensors file.
    """
    start = first(LENGTH_BYTES)
    length = int.from_bytes(start, "little")
    if size < LENGTH_BYTES or len(start) < LENGTH_BYTES:
        raise _torn(f"the header's length takes {LENGTH_BYTES} bytes, the file has {size}", where)
    if length > LARGEST_HEADER:
        raise InvalidModel(f"no safetensors file: its header would be {length:,} bytes long", where=where)
    if LENGTH_BYTES + length > size:
        raise _torn(f"the header ends at byte {LENGTH_BYTES + length:,}, the file has {size:,}", where)
    try:
        header = json.loads(first(LENGTH_BYTES + length)[LENGTH_BYTES:])
        tensors = {name: _Tensor(entry) for name, entry in header.items() if name != "__metadata__"}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InvalidModel("no safetensors file: its header is malformed", where=where) from error
    _check_extent(tensors, size - LENGTH_BYTES - length, where)
    return {name: tensor.shape for name, tensor in tensors.items()}


class _Tensor:
    def __init__(self, entry: dict[str, Any]) -> None:
        self.shape = tuple(int(length) for length in entry["shape"])
        self.begin, self.end = (int(offset) for offset in entry["data_offsets"])
        width = WIDTHS.get(entry["dtype"])
        self.bytes = None if width is None else math.prod(self.shape) * width // 8


def _check_extent(tensors: dict[str, _Tensor], there: int, where: str) -> None:
    """Tensors fill the data without gaps, and each is as long as its shape says."""
    at = 0
    for name, tensor in sorted(tensors.items(), key=lambda item: (item[1].begin, item[1].end)):
        fits = tensor.bytes is None or tensor.bytes == tensor.end - tensor.begin
        if tensor.begin != at or not fits:
            raise InvalidModel(
                f"no safetensors file: the place of {name} does not fit its shape or its neighbours", where=where
            )
        at = tensor.end
    if at != there:
        raise _torn(f"the header tells of {at:,} bytes of weights, and there are {there:,}", where)


def _torn(found: str, where: str) -> InvalidModel:
    return InvalidModel(f"torn safetensors file: {found}", where=where, hint="copy or download it again")
