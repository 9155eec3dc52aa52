"""Digests are right, are remembered between runs, and a memory that is broken never matters."""

from __future__ import annotations

import hashlib
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from millwright_runner import digests
from millwright_runner.artifact import FileDigest, digest_of
from millwright_runner.digests import DigestMemo, digest_folder, sha256_file

OLD = 1_700_000_000


def write(path: Path, data: bytes, mtime: float = OLD) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    os.utime(path, (mtime, mtime))
    return path


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files that were really read."""
    read: list[Path] = []

    def spy(path: Path) -> str:
        read.append(path)
        return sha256_file(path)

    monkeypatch.setattr(digests, "sha256_file", spy)
    return read


def test_the_digest_of_a_file_is_its_sha256(tmp_path: Path) -> None:
    data = os.urandom(3_000_000)
    assert sha256_file(write(tmp_path / "f", data)) == sha(data)


def test_an_empty_file_has_the_digest_of_nothing(tmp_path: Path) -> None:
    assert DigestMemo(tmp_path).sha256(write(tmp_path / "f", b"")) == sha(b"")


def test_a_file_that_is_known_is_not_read_again(tmp_path: Path, hashed: list[Path]) -> None:
    file = write(tmp_path / "f", b"weights")
    DigestMemo(tmp_path / "home").sha256(file)
    assert DigestMemo(tmp_path / "home").sha256(file) == sha(b"weights")
    assert hashed == [file]


def test_a_hard_link_or_a_new_name_is_the_same_file(tmp_path: Path, hashed: list[Path]) -> None:
    file, memo = write(tmp_path / "f", b"weights"), DigestMemo(tmp_path / "home")
    memo.sha256(file)
    (tmp_path / "link").hardlink_to(file)
    file.rename(tmp_path / "renamed")
    assert memo.sha256(tmp_path / "link") == memo.sha256(tmp_path / "renamed") == sha(b"weights")
    assert len(hashed) == 1


def test_a_file_that_was_changed_is_read_again(tmp_path: Path) -> None:
    file, memo = write(tmp_path / "f", b"weights"), DigestMemo(tmp_path / "home")
    memo.sha256(file)
    write(file, b"WEIGHTS", mtime=OLD + 1)  # same size, same inode
    assert memo.sha256(file) == sha(b"WEIGHTS")


def test_a_file_that_was_replaced_by_one_of_the_same_size_and_time_is_read_again(tmp_path: Path) -> None:
    file, memo = write(tmp_path / "f", b"weights"), DigestMemo(tmp_path / "home")
    memo.sha256(file)
    write(tmp_path / "other", b"WEIGHTS").replace(file)
    assert memo.sha256(file) == sha(b"WEIGHTS")


def test_a_file_written_this_very_moment_is_not_remembered(tmp_path: Path, hashed: list[Path]) -> None:
    """A second write within the same tick of the clock would not show in its mtime."""
    file, memo = tmp_path / "f", DigestMemo(tmp_path / "home")
    file.write_bytes(b"first")
    memo.sha256(file)
    file.write_bytes(b"other")
    assert memo.sha256(file) == sha(b"other")


def test_a_digest_that_is_told_is_not_computed(tmp_path: Path, hashed: list[Path]) -> None:
    file, memo = write(tmp_path / "f", b"weights"), DigestMemo(tmp_path / "home")
    memo.remember(file, sha(b"weights"))
    assert memo.sha256(file) == sha(b"weights")
    assert hashed == []


def test_a_file_that_is_missing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        DigestMemo(tmp_path).sha256(tmp_path / "absent")


@pytest.mark.parametrize("rubbish", [b"", b"this is no database at all" * 100, b"SQLite format 3\0" + b"\xff" * 4000])
def test_a_broken_memory_is_made_anew(tmp_path: Path, rubbish: bytes, hashed: list[Path]) -> None:
    file, home = write(tmp_path / "f", b"weights"), tmp_path / "home"
    write(home / "digests.sqlite", rubbish)
    for _ in range(3):
        assert DigestMemo(home).sha256(file) == sha(b"weights")
    assert len(hashed) <= 2  # it is read until the memory is a new one, then no more


def test_a_locked_memory_does_not_stop_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, home = write(tmp_path / "f", b"weights"), tmp_path / "home"
    DigestMemo(home).sha256(file)
    monkeypatch.setattr(digests, "LOCK_SECONDS", 0.05)
    with sqlite3.connect(home / "digests.sqlite") as other:
        other.execute("BEGIN EXCLUSIVE")
        assert DigestMemo(home).sha256(file) == sha(b"weights")
        other.rollback()
    assert DigestMemo(home).sha256(file) == sha(b"weights")


def test_a_home_that_cannot_be_written_to_does_not_stop_a_run(tmp_path: Path) -> None:
    file = write(tmp_path / "f", b"weights")
    write(tmp_path / "home", b"a file where the folder should be")
    assert DigestMemo(tmp_path / "home").sha256(file) == sha(b"weights")


def test_processes_share_the_memory(tmp_path: Path) -> None:
    files = [write(tmp_path / f"f{i}", str(i).encode()) for i in range(40)]
    script = (
        "import sys; from pathlib import Path; from millwright_runner.digests import DigestMemo\n"
        "memo = DigestMemo(Path(sys.argv[1]))\n"
        "print(*[memo.sha256(Path(f)) for f in sys.argv[2:]])"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "home"), *map(str, files)]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    expected = [sha(str(i).encode()) for i in range(40)]
    assert [process.communicate()[0].split() for process in running] == [expected] * 4


def test_the_digest_of_a_folder_names_every_file(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    write(folder / "b.json", b"{}")
    write(folder / "a" / "x.bin", b"xyz")
    files, digest = digest_folder(folder, DigestMemo(tmp_path / "home"))
    assert files == [FileDigest("a/x.bin", 3, sha(b"xyz")), FileDigest("b.json", 2, sha(b"{}"))]
    assert digest == digest_of(files)


def test_the_digest_of_a_folder_changes_with_a_name_or_a_byte(tmp_path: Path) -> None:
    memo = DigestMemo(tmp_path / "home")
    write(tmp_path / "one" / "a", b"1")
    write(tmp_path / "two" / "b", b"1")
    write(tmp_path / "three" / "a", b"2")
    assert len({digest_folder(tmp_path / name, memo)[1] for name in ("one", "two", "three")}) == 3


def test_links_to_files_count_as_the_files(tmp_path: Path) -> None:
    """As in a hub's download folder."""
    write(tmp_path / "blobs" / "0123", b"weights")
    (tmp_path / "snapshot").mkdir()
    (tmp_path / "snapshot" / "model.safetensors").symlink_to("../blobs/0123")
    files, _ = digest_folder(tmp_path / "snapshot", DigestMemo(tmp_path / "home"))
    assert files == [FileDigest("model.safetensors", 7, sha(b"weights"))]


def test_a_folder_that_is_missing_is_an_error_and_no_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        digest_folder(tmp_path / "absent", DigestMemo(tmp_path / "home"))


def test_a_known_folder_is_not_read_again(tmp_path: Path, hashed: list[Path]) -> None:
    for i in range(5):
        write(tmp_path / "model" / str(i), bytes([i]))
    memo = DigestMemo(tmp_path / "home")
    first = digest_folder(tmp_path / "model", memo)
    assert digest_folder(tmp_path / "model", memo) == first
    assert len(hashed) == 5


def test_files_where_only_we_write_are_remembered_however_young_they_are(tmp_path: Path) -> None:
    memo, file = DigestMemo(tmp_path / "home"), tmp_path / "file"
    file.write_bytes(b"new")

    memo.remember_tree(tmp_path, [FileDigest("file", 3, "0" * 64)])

    assert memo.sha256(file) == "0" * 64


def test_files_that_are_not_on_this_machine_are_not_remembered(tmp_path: Path) -> None:
    DigestMemo(tmp_path / "home").remember_tree(None, [FileDigest("file", 3, "0" * 64)])

    assert not (tmp_path / "home").exists()
