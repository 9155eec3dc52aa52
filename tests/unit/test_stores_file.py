"""The store in a folder: links, locks, left-overs, and disks that are full, read-only or no disks at all."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests import smalldisk

from millwright_api.errors import AccessDenied, NoSpaceLeft, StoreNotFound, StoreUnavailable
from millwright_runner.stores import Conflict
from millwright_runner.stores.disk import STALE_SECONDS, TEMP_PREFIX, told
from millwright_runner.stores.file import FileStore

MIB = 1024 * 1024


@pytest.fixture
def store(tmp_path: Path) -> FileStore:
    return FileStore(tmp_path / "store")


def make(path: Path, size: int) -> tuple[Path, str]:
    data = os.urandom(size)
    path.write_bytes(data)
    return path, hashlib.sha256(data).hexdigest()


@contextlib.contextmanager
def an_ordinary_user() -> Iterator[None]:
    """root may write everywhere: be somebody else for a while."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


@pytest.fixture
def locked_folder() -> Iterator[Path]:
    """A folder that nobody else may write to, on a path that everybody may walk."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "f").write_bytes(b"x")
        folder.chmod(0o555)
        yield folder
        folder.chmod(0o755)


def test_a_large_file_is_linked_not_copied(store: FileStore, tmp_path: Path) -> None:
    file, digest = make(tmp_path / "f", MIB)
    store.put("f", file, digest)
    store.copy("f", "g")
    assert file.samefile(store.root / "f")
    assert file.samefile(store.root / "g")


def test_a_small_file_is_copied_so_that_a_person_may_edit_it(store: FileStore, tmp_path: Path) -> None:
    file, digest = make(tmp_path / "genai_config.json", 2000)
    store.put("cache/c", file, digest)
    store.copy("cache/c", "output/c")
    (store.root / "output" / "c").write_bytes(b"edited")
    assert (store.root / "cache" / "c").read_bytes() == file.read_bytes() != b"edited"


def test_what_is_fetched_may_be_written_into(store: FileStore, tmp_path: Path) -> None:
    file, digest = make(tmp_path / "f", 2 * MIB)
    store.put("f", file, digest)
    store.get("f", tmp_path / "got", digest)
    (tmp_path / "got").write_bytes(b"changed")
    assert store.get("f", tmp_path / "again", digest) == digest


def test_putting_over_a_link_to_the_same_file_leaves_nothing_behind(store: FileStore, tmp_path: Path) -> None:
    """rename() does nothing when both names are one file already."""
    file, digest = make(tmp_path / "f", MIB)
    for _ in range(2):
        store.put("f", file, digest)
    assert [p.name for p in store.root.iterdir()] == ["f"]


def test_a_link_in_the_source_is_followed(store: FileStore, tmp_path: Path) -> None:
    file, digest = make(tmp_path / "blob", MIB)
    (tmp_path / "snapshot").mkdir()
    (tmp_path / "snapshot" / "f").symlink_to("../blob")
    store.put("f", tmp_path / "snapshot" / "f", digest)
    assert not (store.root / "f").is_symlink()
    assert file.samefile(store.root / "f")


def test_without_links_it_copies(store: FileStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path, target: Path) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    file, digest = make(tmp_path / "f", 2 * MIB)
    store.put("f", file, digest)
    assert store.get("f", tmp_path / "got", digest) == digest
    assert not file.samefile(store.root / "f")
    store.write("once", b"1", if_absent=True)
    with pytest.raises(Conflict):
        store.write("once", b"2", if_absent=True)


def test_folders_that_become_empty_go_away(store: FileStore) -> None:
    store.write("a/b/c/f", b"x")
    store.write("a/g", b"x")
    store.delete(["a/b/c/f"])
    assert sorted(p.name for p in (store.root / "a").iterdir()) == ["g"]


def test_writers_and_removers_in_the_same_folder_do_not_disturb_each_other(store: FileStore) -> None:
    """A folder may go away between its making and the file's."""
    script = (
        "import sys; from pathlib import Path; from millwright_runner.stores.file import FileStore\n"
        "store = FileStore(Path(sys.argv[1]))\n"
        "for i in range(300): store.write('a/b/' + sys.argv[2], b'x'); store.delete(['a/b/' + sys.argv[2]])"
    )
    running = [subprocess.Popen([sys.executable, "-c", script, str(store.root), str(i)]) for i in range(3)]
    assert [process.wait() for process in running] == [0, 0, 0]


def test_what_a_killed_writer_left_is_never_seen_and_goes_away(
    store: FileStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = (
        "import os, signal, sys; from pathlib import Path; from millwright_runner.stores import disk\n"
        "def die(stream): stream.write(b'half'); stream.flush(); os.kill(os.getpid(), signal.SIGKILL)\n"
        "disk.write_whole(Path(sys.argv[1]) / 'a' / 'f', die)"
    )
    assert subprocess.run([sys.executable, "-c", script, str(store.root)], check=False).returncode == -signal.SIGKILL
    left = list((store.root / "a").iterdir())
    assert len(left) == 1
    assert left[0].name.startswith(TEMP_PREFIX)
    assert list(store.list("")) == []
    later = time.time() + STALE_SECONDS + 1
    monkeypatch.setattr(time, "time", lambda: later)
    store.write("a/g", b"x")
    assert [p.name for p in (store.root / "a").iterdir()] == ["g"]


def test_a_temporary_file_whose_writer_lives_is_left_alone(store: FileStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.root.mkdir()
    temp = store.root / f"{TEMP_PREFIX}somebody"
    later = time.time() + STALE_SECONDS + 1
    monkeypatch.setattr(time, "time", lambda: later)
    with temp.open("wb") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        store.write("f", b"x")
        assert temp.exists()


def test_the_lock_is_no_file_of_the_store(store: FileStore) -> None:
    store.write(".millwright/cache/x", b"x")
    assert [entry.key for entry in store.list("")] == [".millwright/cache/x"]


def test_a_link_to_a_folder_is_not_walked_into(store: FileStore) -> None:
    store.write("models/1/f", b"x")
    (store.root / "model").symlink_to("models/1")
    (store.root / "dangling").symlink_to("nowhere")
    assert [entry.key for entry in store.list("")] == ["models/1/f"]


def test_a_relative_folder_is_named_in_full(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "job").mkdir()
    monkeypatch.chdir(tmp_path / "job")
    assert FileStore(Path("../out")).uri == f"{tmp_path}/out/"


# What is wrong with a place, said before any work.


def test_a_folder_that_is_a_file_cannot_be_a_store(tmp_path: Path) -> None:
    (tmp_path / "out").write_bytes(b"")
    for place in (tmp_path / "out", tmp_path / "out" / "deeper"):
        with pytest.raises(StoreNotFound, match=f"{tmp_path}/out is a file, not a folder"):
            FileStore(place).check(write=True)


def test_a_misspelt_folder_to_read_from_gets_a_suggestion(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    with pytest.raises(StoreNotFound, match=r"no such folder.*did you mean 'models'"):
        FileStore(tmp_path / "modles" / "phi").check(write=False)


def test_a_folder_that_may_not_be_written_to_is_denied_and_untouched(locked_folder: Path, tmp_path: Path) -> None:
    store = FileStore(locked_folder)
    with an_ordinary_user():
        store.check(write=False)
        with pytest.raises(AccessDenied, match="Permission denied") as caught:
            store.check(write=True)
        with pytest.raises(AccessDenied):
            store.write("g", b"x")
        with pytest.raises(AccessDenied):
            store.delete(["f"])
    assert str(locked_folder) in str(caught.value)
    assert [p.name for p in locked_folder.iterdir()] == ["f"]


def test_a_folder_below_one_that_may_not_be_written_to_is_denied(locked_folder: Path) -> None:
    with an_ordinary_user(), pytest.raises(AccessDenied):
        FileStore(locked_folder / "new" / "er").check(write=True)
    assert [p.name for p in locked_folder.iterdir()] == ["f"]


WRITE = """
import os, sys
from pathlib import Path
from millwright_api.errors import NoSpaceLeft
from millwright_runner.stores.file import FileStore
from millwright_runner.digests import sha256_file
root, source = Path(sys.argv[1]), Path(sys.argv[2])
store = FileStore(root)
store.write("small", b"old")
for attempt in (
    lambda: store.write("small", os.urandom(8 * 1024 * 1024)),
    lambda: store.put("large", source, sha256_file(source)),
):
    try:
        attempt()
    except NoSpaceLeft as error:
        print(error)
    else:
        print("it fitted")
assert store.read("small").data == b"old"
assert [entry.key for entry in store.list("")] == ["small"]
assert sorted(p.name for p in root.iterdir()) == [".millwright", "small"], list(root.iterdir())
"""


@pytest.mark.parametrize("kind", [smalldisk.TMPFS, smalldisk.LIMIT])
def test_a_disk_that_is_full_is_said_with_figures_and_nothing_half_written_is_left(kind: str, tmp_path: Path) -> None:
    source, _ = make(tmp_path / "source", 8 * MIB)
    code = WRITE.replace("store = FileStore(root)", "from millwright_runner.stores import disk, file\n"
                         "file.link_whole = lambda source, path: False\nstore = FileStore(root)")  # fmt: skip
    done = smalldisk.run(kind, code, tmp_path / "disk", str(source))
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 2
    assert all("no space left: 8,388,608 bytes needed, " in line and " bytes free" in line for line in lines)


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (errno.ENOSPC, NoSpaceLeft), (errno.EDQUOT, NoSpaceLeft), (errno.EFBIG, NoSpaceLeft),
        (errno.EACCES, AccessDenied), (errno.EPERM, AccessDenied), (errno.EROFS, AccessDenied),
        (errno.ENOTDIR, StoreNotFound), (errno.ENAMETOOLONG, StoreNotFound),
        (errno.EIO, StoreUnavailable), (errno.ESTALE, StoreUnavailable),
    ],
)  # fmt: skip
def test_what_a_disk_says_becomes_an_error_that_a_person_can_act_on(
    number: int, expected: type[Exception], tmp_path: Path
) -> None:
    with pytest.raises(expected, match=str(tmp_path)), told(tmp_path / "f", 10):
        raise OSError(number, os.strerror(number))


def test_a_name_that_is_too_long_is_said_in_one_line(store: FileStore) -> None:
    with pytest.raises(StoreNotFound, match="File name too long"):
        store.write("x" * 300, b"")


def test_a_key_where_a_folder_is_cannot_be_written(store: FileStore) -> None:
    store.write("a/b", b"x")
    with pytest.raises(StoreNotFound, match="Is a directory"):
        store.write("a", b"x")
    with pytest.raises(StoreNotFound, match=r"Not a directory|File exists"):
        store.write("a/b/c", b"x")
