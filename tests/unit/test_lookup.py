"""Paths that lead nowhere: the first part that is missing, and what lies there instead."""

from __future__ import annotations

from pathlib import Path

import pytest

from millwright_runner.lookup import close_names, missing_path


@pytest.fixture
def base(tmp_path: Path) -> Path:
    (tmp_path / "models" / "phi3").mkdir(parents=True)
    (tmp_path / "train.jsonl").touch()
    return tmp_path


@pytest.mark.parametrize(
    ("path", "hint"),
    [
        ("trian.jsonl", "did you mean 'train.jsonl'?"),
        ("model/phi3/config.json", "did you mean 'models'?"),
        ("models/phi4", "did you mean 'phi3'?"),
        ("models/phi3/config.json", "{base}/models/phi3 is empty"),
        ("zzz", "{base} holds models, train.jsonl"),
    ],
)
def test_the_first_missing_part_is_compared_with_its_neighbours(base: Path, path: str, hint: str) -> None:
    assert missing_path(base / path) == hint.format(base=base)


def test_a_path_through_a_file_names_what_lies_beside_the_file(base: Path) -> None:
    assert missing_path(base / "train.jsonl" / "x") == "did you mean 'train.jsonl'?"


def test_a_path_from_the_root_ends_there() -> None:
    assert missing_path(Path("/no-such-folder-here/x/y")).startswith(("/ holds ", "did you mean "))


def test_long_lists_are_cut_and_counted() -> None:
    hint = close_names("zzz", [f"{n:02}" for n in range(20)], "the folder")

    assert hint == "the folder holds 00, 01, 02, 03, 04, 05, 06, 07 and 12 more"
