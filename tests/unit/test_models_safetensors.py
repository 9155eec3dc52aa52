"""Headers of safetensors files: read without the weights, and every way of being torn is told with its bytes."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest
from tests.tiny import TENSORS, write_safetensors

from millwright_api.errors import InvalidModel
from millwright_runner.models.safetensors import read_header


def read(content: bytes, size: int | None = None) -> dict[str, tuple[int, ...]]:
    return read_header(lambda n: content[:n], len(content) if size is None else size, "model/model.safetensors")


def made(header: Any, data: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def refused(content: bytes) -> InvalidModel:
    with pytest.raises(InvalidModel) as caught:
        read(content)
    assert caught.value.where == "model/model.safetensors"
    return caught.value


@pytest.fixture
def whole(tmp_path: Path) -> bytes:
    return write_safetensors(tmp_path / "x.safetensors", TENSORS).read_bytes()


def test_names_and_shapes_come_from_the_header(whole: bytes) -> None:
    assert read(whole) == TENSORS


def test_no_more_than_the_header_is_read(whole: bytes) -> None:
    asked: list[int] = []

    def first(size: int) -> bytes:
        asked.append(size)
        return whole[:size]

    read_header(first, len(whole), "x")

    assert max(asked) < 1000 < len(whole)


def test_what_safetensors_itself_writes_is_read(tmp_path: Path) -> None:
    import numpy
    from safetensors.numpy import save_file

    tensors = {"a": numpy.zeros((3, 4), "float32"), "b": numpy.zeros((0, 2), "int8"), "c": numpy.zeros((), "float16")}
    save_file(tensors, tmp_path / "x.safetensors", metadata={"format": "pt"})

    assert read((tmp_path / "x.safetensors").read_bytes()) == {"a": (3, 4), "b": (0, 2), "c": ()}


def test_numbers_of_half_a_byte_are_counted_in_bits() -> None:
    assert read(made({"a": {"dtype": "F4", "shape": [2, 3], "data_offsets": [0, 3]}}, bytes(3))) == {"a": (2, 3)}


def test_numbers_of_a_width_that_is_not_known_are_believed() -> None:
    assert read(made({"a": {"dtype": "F6_E2M3", "shape": [4], "data_offsets": [0, 3]}}, bytes(3))) == {"a": (4,)}


@pytest.mark.parametrize("left", [0, 1, 7])
def test_a_file_shorter_than_its_first_number_is_torn(whole: bytes, left: int) -> None:
    error = refused(whole[:left])

    assert f"takes 8 bytes, the file has {left}" in error.message


@pytest.mark.parametrize("left", [8, 9, 500])
def test_a_file_that_ends_in_its_header_is_torn(whole: bytes, left: int) -> None:
    header = 8 + struct.unpack("<Q", whole[:8])[0]

    assert f"the header ends at byte {header:,}, the file has {left:,}" in refused(whole[:left]).message


@pytest.mark.parametrize("lost", [1, 100, 4096])
def test_a_file_that_ends_in_its_weights_is_torn(whole: bytes, lost: int) -> None:
    data = len(whole) - 8 - struct.unpack("<Q", whole[:8])[0]

    error = refused(whole[:-lost])

    assert f"the header tells of {data:,} bytes of weights, and there are {data - lost:,}" in error.message
    assert "again" in str(error.hint)


def test_a_file_with_more_than_its_weights_is_no_better(whole: bytes) -> None:
    assert "bytes of weights" in refused(whole + b"x").message


@pytest.mark.parametrize(
    "header",
    [b"{", b"[]", b"\xff\xfe", {"a": {}}, {"a": 3}, {"a": {"dtype": "F32", "shape": 3, "data_offsets": [0, 4]}}],
)
def test_a_header_that_says_nothing_is_no_safetensors_file(header: Any) -> None:
    assert "header is malformed" in refused(made(header)).message


def test_a_header_longer_than_the_format_allows_is_no_safetensors_file() -> None:
    """A pointer file of git-lfs, a page of HTML: their first eight bytes are a huge number."""
    assert "no safetensors file" in refused(b"version https://git-lfs.github.com/spec/v1\n" * 4).message


@pytest.mark.parametrize(
    "header",
    [
        {"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}},  # too short for its shape
        {"a": {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]}},  # a hole before it
        {
            "a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]},
            "b": {"dtype": "F32", "shape": [1], "data_offsets": [2, 6]},
        },
    ],
    ids=["short", "hole", "overlap"],
)
def test_tensors_that_do_not_fill_the_file_are_named(header: dict[str, Any]) -> None:
    assert "does not fit" in refused(made(header, bytes(8))).message
