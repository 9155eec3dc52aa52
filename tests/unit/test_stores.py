"""What every store does: the same tests against a folder and against a real S3 server."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.azurite import BlobContainer
from tests.conftest import S3Bucket
from tests.storeground import MIB, make, sha

from millwright_api.errors import AccessDenied, Damaged
from millwright_runner.stores import Conflict, Entry, Store, azure_blob, is_safe_key, open_store
from millwright_runner.stores.file import FileStore

SIZES = [0, 1, MIB - 1, MIB, 8 * MIB, 8 * MIB + 1, 20 * MIB + 3]
"""Around the borders: nothing, what is linked and not copied, one part, two, several."""


@pytest.fixture(params=["file", "s3", "blob"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param == "file":
        return open_store(tmp_path / "store")
    bucket: S3Bucket | BlobContainer = request.getfixturevalue(request.param)
    return open_store(bucket.location("some/folder"))


def keys(store: Store, prefix: str = "") -> list[str]:
    return [entry.key for entry in store.list(prefix)]


def test_its_uri_is_what_a_person_would_type(store: Store, tmp_path: Path) -> None:
    assert store.uri.endswith("/")
    assert store.uri.startswith(("s3://b-", "http://127.0.0.1:") if store.local("") is None else str(tmp_path))


def test_a_fresh_store_is_empty_and_can_be_written_to(store: Store) -> None:
    store.check(write=True)
    assert keys(store) == []


def test_a_check_leaves_nothing_behind(store: Store, tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))
    store.check(write=True)
    assert sorted(tmp_path.rglob("*")) == before
    assert keys(store) == []


def test_a_small_file_comes_back_as_it_was_written(store: Store) -> None:
    store.write("a/b.json", b'{"x": 1}')
    blob = store.read("a/b.json")
    assert blob is not None
    assert blob.data == b'{"x": 1}'


def test_a_file_can_be_empty(store: Store) -> None:
    store.write("empty", b"")
    for first in (None, 0, 10):
        blob = store.read("empty", first=first)
        assert blob is not None
        assert blob.data == b""


def test_the_first_bytes_of_a_file_can_be_read(store: Store, tmp_path: Path) -> None:
    file, digest = make(tmp_path / "f", 3 * MIB)
    store.put("f", file, digest)
    for first in (0, 1, 1000, 4 * MIB):
        blob = store.read("f", first=first)
        assert blob is not None
        assert blob.data == file.read_bytes()[:first]


def test_the_etag_is_of_the_whole_file_also_when_only_its_start_is_read(store: Store) -> None:
    store.write("f", b"abc")
    blobs = [store.read("f"), store.read("f", first=1)]
    stat = store.stat("f")
    assert stat is not None
    assert {blob.etag for blob in blobs if blob} == {stat.etag}


def test_what_is_not_there_is_none(store: Store) -> None:
    store.write("a/b", b"x")
    for key in ("absent", "a", "a/b/c", "a/absent"):
        assert store.read(key) is None
        assert store.read(key, first=8) is None
        assert store.stat(key) is None


def test_stat_tells_size_and_changes_its_etag_with_the_content(store: Store) -> None:
    store.write("f", b"one")
    first = store.stat("f")
    store.write("f", b"two")
    second = store.stat("f")
    assert first is not None and second is not None
    assert (first.size, second.size) == (3, 3)
    assert first.etag != second.etag


def test_a_write_replaces(store: Store) -> None:
    store.write("f", b"a longer one")
    store.write("f", b"short")
    blob = store.read("f")
    assert blob is not None
    assert blob.data == b"short"


def test_a_write_if_absent_is_refused_when_there_is_one(store: Store) -> None:
    store.write("f", b"first", if_absent=True)
    with pytest.raises(Conflict):
        store.write("f", b"second", if_absent=True)
    blob = store.read("f")
    assert blob is not None
    assert blob.data == b"first"


def test_a_write_with_an_etag_is_refused_when_the_file_is_another_one(store: Store) -> None:
    store.write("f", b"one")
    old = store.stat("f")
    assert old is not None
    store.write("f", b"two", if_match=old.etag)
    with pytest.raises(Conflict):
        store.write("f", b"three", if_match=old.etag)
    blob = store.read("f")
    assert blob is not None
    assert blob.data == b"two"


def test_a_write_with_an_etag_is_refused_when_the_file_is_gone(store: Store) -> None:
    store.write("f", b"one")
    old = store.stat("f")
    assert old is not None
    store.delete(["f"])
    with pytest.raises(Conflict):
        store.write("f", b"two", if_match=old.etag)
    assert store.read("f") is None


def test_of_twelve_racing_writers_exactly_one_wins(store: Store) -> None:
    def race(number: int) -> bool:
        try:
            store.write("manifest.json", f"writer {number}".encode(), if_absent=True)
        except Conflict:
            return False
        return True

    for _ in range(5):
        with ThreadPoolExecutor(12) as pool:
            won = list(pool.map(race, range(12)))
        blob = store.read("manifest.json")
        assert blob is not None
        assert won.count(True) == 1
        assert blob.data == f"writer {won.index(True)}".encode()
        store.delete(["manifest.json"])


COUNT_UP = """
import sys
from pathlib import Path
from millwright_runner.stores import Conflict, open_store
from millwright_runner.stores.locations import is_uri, kind_of
place = sys.argv[1]
store = open_store(kind_of(place)(uri=place) if is_uri(place) else Path(place))
done = 0
while done < 10:
    blob = store.read("counter")
    try:
        store.write("counter", str(int(blob.data) + 1).encode(), if_match=blob.etag)
        done += 1
    except Conflict:
        pass
"""


def test_processes_that_compare_before_they_write_lose_no_write(store: Store) -> None:
    store.write("counter", b"0")
    command = [sys.executable, "-c", COUNT_UP, store.uri]
    running = [subprocess.Popen(command) for _ in range(2)]
    assert [process.wait() for process in running] == [0, 0]
    blob = store.read("counter")
    assert blob is not None
    assert blob.data == b"20"


@pytest.mark.parametrize("size", SIZES)
def test_a_file_of_any_size_comes_back_whole(store: Store, tmp_path: Path, size: int) -> None:
    file, digest = make(tmp_path / "f", size)
    store.put("deep/er/f", file, digest)
    assert store.get("deep/er/f", tmp_path / "got" / "f", digest) == digest
    assert (tmp_path / "got" / "f").read_bytes() == file.read_bytes()
    assert [p.name for p in (tmp_path / "got").iterdir()] == ["f"]


def test_every_byte_moved_is_told(store: Store, tmp_path: Path) -> None:
    file, digest = make(tmp_path / "f", 20 * MIB + 3)
    up: list[int] = []
    down: list[int] = []
    store.put("f", file, digest, up.append)
    store.get("f", tmp_path / "got", digest, down.append)
    assert sum(up) == sum(down) == file.stat().st_size


def test_a_file_whose_digest_nobody_knows_can_be_fetched(store: Store, tmp_path: Path) -> None:
    file, digest = make(tmp_path / "f", 2 * MIB)
    store.put("f", file, digest)
    assert store.get("f", tmp_path / "got", None) == digest


def test_putting_the_same_file_twice_is_fine(store: Store, tmp_path: Path) -> None:
    file, digest = make(tmp_path / "f", 10 * MIB)
    told: list[int] = []
    store.put("f", file, digest)
    store.put("f", file, digest, told.append)
    assert sum(told) == 10 * MIB
    assert list(store.list("")) == [Entry("f", 10 * MIB)]


def test_putting_another_file_replaces(store: Store, tmp_path: Path) -> None:
    one, digest_one = make(tmp_path / "one", 10 * MIB)
    two, digest_two = make(tmp_path / "two", 10 * MIB)
    store.put("f", one, digest_one)
    store.put("f", two, digest_two)
    assert store.get("f", tmp_path / "got", None) == digest_two


@pytest.mark.parametrize("size", [100, 10 * MIB])
def test_a_file_that_is_not_what_was_announced_is_not_fetched(store: Store, tmp_path: Path, size: int) -> None:
    file, digest = make(tmp_path / "f", size)
    store.put("f", file, digest)
    with pytest.raises(Damaged, match=digest):
        store.get("f", tmp_path / "got" / "f", sha(b"something else"))
    assert list((tmp_path / "got").iterdir()) == []


def test_a_file_that_was_written_to_since_it_was_hashed_is_not_stored(store: Store, tmp_path: Path) -> None:
    file, _ = make(tmp_path / "f", 1000)
    with pytest.raises(Damaged, match=str(file)):
        store.put("f", file, sha(b"what it was"))
    assert keys(store) == []


def test_fetching_what_is_not_there_says_so(store: Store, tmp_path: Path) -> None:
    with pytest.raises(Damaged, match=r"absent: it is not there"):
        store.get("absent", tmp_path / "got", None)


@pytest.mark.parametrize("size", [10, 10 * MIB])
def test_a_copy_is_the_same_file(store: Store, tmp_path: Path, size: int) -> None:
    file, digest = make(tmp_path / "f", size)
    store.put("f", file, digest)
    store.copy("f", "elsewhere/g")
    store.delete(["f"])
    assert store.get("elsewhere/g", tmp_path / "got", digest) == digest


def test_a_copy_of_nothing_says_so(store: Store) -> None:
    with pytest.raises(Damaged, match="absent"):
        store.copy("absent", "g")


def test_a_list_is_in_key_order_and_goes_by_the_start_of_keys(store: Store) -> None:
    for key in ("b", "a/z", "a.txt", "a/b/c", "ab"):
        store.write(key, key.encode())
    assert keys(store) == ["a.txt", "a/b/c", "a/z", "ab", "b"]
    assert keys(store, "a/") == ["a/b/c", "a/z"]
    assert keys(store, "a") == ["a.txt", "a/b/c", "a/z", "ab"]
    assert keys(store, "nothing/here/") == []
    assert next(store.list("a/z")) == Entry("a/z", 3)


def test_a_list_has_more_than_one_page(
    store: Store, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S3 answers with a thousand keys at most, here of files put below the server; Blob with as many as it is asked for."""
    monkeypatch.setattr(azure_blob, "LISTED_AT_ONCE", 20)
    if store.uri.startswith("s3:"):
        many, folder = 1100, request.getfixturevalue("s3").folder / "some" / "folder" / "many"
        folder.mkdir(parents=True)
        for i in range(many):
            (folder / f"{i:04d}").write_bytes(b"x")
    else:
        many = 50
        for i in range(many):
            store.write(f"many/{i:04d}", b"x")
    assert keys(store, "many/") == [f"many/{i:04d}" for i in range(many)]
    store.delete(keys(store, "many/"))
    assert keys(store) == []


def test_deleting_what_is_not_there_is_fine(store: Store) -> None:
    store.write("f", b"x")
    store.delete(["absent", "f", "not/here/either"])
    store.delete([])
    assert keys(store) == []


@pytest.mark.parametrize("name", ["mit Leerzeichen.txt", "größe-模型.bin", "a+b&c=d?e#f%20.json", "'quoted\"<>"])
def test_names_may_hold_any_letter(store: Store, tmp_path: Path, name: str) -> None:
    file, digest = make(tmp_path / "f", 100)
    store.put(f"x/{name}", file, digest)
    store.copy(f"x/{name}", f"y/{name}")
    assert keys(store) == [f"x/{name}", f"y/{name}"]
    assert store.get(f"y/{name}", tmp_path / "got", digest) == digest
    store.delete([f"x/{name}"])
    assert keys(store) == [f"y/{name}"]


@pytest.mark.parametrize("key", ["../out", "/etc/passwd", "a/../../out", "a//b", "", ".", "a/.", "nul\0"])
def test_a_key_cannot_lead_out_of_the_store(store: Store, tmp_path: Path, key: str) -> None:
    file, digest = make(tmp_path / "f", 10)
    assert not is_safe_key(key)
    with pytest.raises(AccessDenied, match="leads out of the store"):
        store.write(key, b"x")
    with pytest.raises(AccessDenied, match="leads out of the store"):
        store.put(key, file, digest)
    with pytest.raises(AccessDenied, match="leads out of the store"):
        store.get(key, tmp_path / "got", None)
    with pytest.raises(AccessDenied, match="leads out of the store"):
        store.delete([key])


def test_a_caller_who_stops_it_in_the_middle_stops_it(store: Store, tmp_path: Path) -> None:
    """As a SIGTERM does: the pipeline raises from `on_bytes`."""
    file, digest = make(tmp_path / "f", 40 * MIB)
    store.put("f", file, digest)

    def stop(_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.get("f", tmp_path / "got" / "f", digest, stop)
    assert not (tmp_path / "got" / "f").exists()
    assert store.get("f", tmp_path / "got" / "f", digest) == digest


def test_only_a_store_on_this_machine_has_a_path(store: Store) -> None:
    assert (store.local("a/b") is None) == (not isinstance(store, FileStore))
