"""A folder store whose folders are removed by another process in the worst moment."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from millwright_runner.stores.file import LINK_FROM, FileStore


@pytest.fixture
def removing(monkeypatch: pytest.MonkeyPatch) -> None:
    """As soon as a file is in its place, another process removes it, and the folder, which is empty then."""
    replace = Path.replace

    def replaced(self: Path, target: Any) -> Path:
        there = replace(self, target)
        shutil.rmtree(there.parent)
        return there

    monkeypatch.setattr(Path, "replace", replaced)


@pytest.mark.usefixtures("removing")
@pytest.mark.parametrize("size", [3, LINK_FROM], ids=["copied", "linked"])
def test_a_file_that_was_put_and_removed_with_its_folder_is_no_failure(tmp_path: Path, size: int) -> None:
    (tmp_path / "made").write_bytes(os.urandom(size))
    store = FileStore(tmp_path / "store")

    store._take(tmp_path / "made", "cache/k/extra/empty", None, None)

    assert store.read("cache/k/extra/empty") is None


@pytest.mark.usefixtures("removing")
def test_a_small_file_that_was_written_and_removed_with_its_folder_is_no_failure(tmp_path: Path) -> None:
    store = FileStore(tmp_path / "store")

    store.write("a/b", b"c")

    assert store.read("a/b") is None


def test_a_folder_above_that_is_removed_before_the_one_below_is_made_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, mkdir, above = FileStore(tmp_path / "store"), os.mkdir, tmp_path / "store" / "a"
    removed: list[Path] = []

    def made(path: Any, *arguments: Any, **options: Any) -> None:
        if Path(path).parent == above and above.exists() and not removed:
            above.rmdir()
            removed.append(above)
        mkdir(path, *arguments, **options)

    monkeypatch.setattr(os, "mkdir", made)

    store.write("a/b/c", b"x")

    assert removed == [above]
    assert (above / "b" / "c").read_bytes() == b"x"
