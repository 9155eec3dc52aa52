"""Folders appear in a store all at once, or not at all: on a disk and on a real S3 server."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.conftest import S3Bucket

from millwright_api.errors import Damaged, UserError
from millwright_runner import digests
from millwright_runner.artifact import FileDigest
from millwright_runner.digests import DigestMemo, digest_folder
from millwright_runner.stores import Store, open_store
from millwright_runner.stores.file import FileStore
from millwright_runner.trees import (
    MANIFEST,
    Tree,
    copy_tree,
    delete_tree,
    fetch_tree,
    load_tree,
    save_tree,
    sealed,
    unsealed,
    verify_tree,
)

MIB = 1024 * 1024


@pytest.fixture(params=["file", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param == "file":
        return open_store(tmp_path / "store")
    bucket: S3Bucket = request.getfixturevalue("s3")
    return open_store(bucket.location("jobs"))


@pytest.fixture
def memo(tmp_path: Path) -> DigestMemo:
    return DigestMemo(tmp_path / "home")


def model(folder: Path, weights: bytes | None = None) -> Path:
    """A folder as a pass leaves it: something large, something small, something deeper."""
    (folder / "extra").mkdir(parents=True)
    (folder / "model.onnx.data").write_bytes(os.urandom(2 * MIB) if weights is None else weights)
    (folder / "config.json").write_bytes(b'{"model_type": "phi3"}')
    (folder / "extra" / "empty").write_bytes(b"")
    return folder


def save(store: Store, folder: Path, memo: DigestMemo, prefix: str = "cache/k", **options: bool) -> Tree:
    files, _ = digest_folder(folder, memo)
    return save_tree(store, prefix, folder, {"format": "hf"}, files, **options)


def same(one: Path, other: Path) -> bool:
    names = sorted(p.relative_to(one) for p in one.rglob("*") if p.is_file())
    there = sorted(p.relative_to(other) for p in other.rglob("*") if p.is_file())
    return names == there and all((one / name).read_bytes() == (other / name).read_bytes() for name in names)


def keys(store: Store, prefix: str = "") -> list[str]:
    return [entry.key for entry in store.list(prefix)]


def damage(store: Store, key: str, s3: S3Bucket | None, data: bytes) -> None:
    """Writes over a file behind the store's back, whatever store it is."""
    place = store.local(key) or (s3.folder / "jobs" / key if s3 else None)
    assert place is not None
    place.write_bytes(data)


def test_a_folder_comes_back_as_it_was_saved(store: Store, memo: DigestMemo, tmp_path: Path) -> None:
    folder = model(tmp_path / "made")
    saved = save(store, folder, memo)
    loaded = load_tree(store, "cache/k")
    assert loaded == saved
    assert loaded is not None
    assert (loaded.digest, loaded.meta) == (digest_folder(folder, memo)[1], {"format": "hf"})
    assert loaded.bytes == 2 * MIB + 22
    assert verify_tree(store, loaded, memo) == []
    assert same(fetch_tree(store, loaded, tmp_path / "fetched", memo), folder)


def test_what_was_never_saved_is_none(store: Store) -> None:
    assert load_tree(store, "cache/absent") is None


def test_files_without_a_manifest_are_no_tree(store: Store, memo: DigestMemo, tmp_path: Path) -> None:
    save(store, model(tmp_path / "made"), memo)
    store.delete([f"cache/k/{MANIFEST}"])
    assert load_tree(store, "cache/k") is None


def test_the_manifest_comes_last(
    store: Store, memo: DigestMemo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[list[str]] = []
    write = type(store).write

    def watch(self: Store, key: str, *rest: object, **options: object) -> None:
        seen.append(keys(store))
        write(self, key, *rest, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(type(store), "write", watch)
    save(store, model(tmp_path / "made"), memo)
    assert len(seen) == 1
    assert len(seen[0]) == 3


def test_every_byte_is_told(store: Store, memo: DigestMemo, tmp_path: Path) -> None:
    folder = model(tmp_path / "made")
    files, _ = digest_folder(folder, memo)
    up: list[int] = []
    tree = save_tree(store, "k", folder, {}, files, on_bytes=up.append)
    assert sum(up) == tree.bytes


def test_a_flat_tree_can_be_used_where_it_lies(store: Store, memo: DigestMemo, tmp_path: Path) -> None:
    save(store, model(tmp_path / "made"), memo, prefix="0123abcd", flat=True)
    assert keys(store) == [f"0123abcd/{name}" for name in ("config.json", "extra/empty", MANIFEST, "model.onnx.data")]
    tree = load_tree(store, "0123abcd")
    assert tree is not None
    assert tree.root == "0123abcd"
    assert same(fetch_tree(store, tree, tmp_path / "f", memo), tmp_path / "made") == (store.local("") is None)


def test_a_flat_trees_own_manifest_would_be_overwritten_and_is_refused(
    store: Store, memo: DigestMemo, tmp_path: Path
) -> None:
    folder = model(tmp_path / "made")
    (folder / MANIFEST).write_text("{}")
    with pytest.raises(UserError, match=r"a file of its own named manifest\.json"):
        save(store, folder, memo, flat=True)
    assert keys(store) == []
    assert load_tree(store, save(store, folder, memo).prefix) is not None  # elsewhere it does not matter


def test_an_empty_folder_is_a_tree_too(store: Store, memo: DigestMemo, tmp_path: Path) -> None:
    (tmp_path / "made").mkdir()
    tree = save(store, tmp_path / "made", memo)
    assert load_tree(store, "cache/k") == tree
    assert fetch_tree(store, tree, tmp_path / "fetched", memo).is_dir()


def test_saving_the_same_again_changes_nothing(store: Store, memo: DigestMemo, tmp_path: Path) -> None:
    folder = model(tmp_path / "made")
    first = save(store, folder, memo)
    before = keys(store)
    assert save(store, folder, memo) == first
    assert keys(store) == before


def test_the_first_of_two_different_results_stays_and_nothing_of_the_second_does(
    store: Store, memo: DigestMemo, tmp_path: Path
) -> None:
    first = save(store, model(tmp_path / "one"), memo)
    assert save(store, model(tmp_path / "two"), memo) == first
    assert verify_tree(store, first, memo) == []
    assert len(keys(store)) == 4


def test_of_many_racing_writers_one_wins_and_its_tree_is_whole(store: Store, memo: DigestMemo, tmp_path: Path) -> None:
    folders = [model(tmp_path / str(i)) for i in range(6)]
    listed = [digest_folder(folder, memo)[0] for folder in folders]
    with ThreadPoolExecutor(6) as pool:
        trees = list(pool.map(lambda i: save_tree(store, "cache/k", folders[i], {"by": i}, listed[i]), range(6)))
    winner = load_tree(store, "cache/k")
    assert winner is not None
    assert {tree.meta["by"] for tree in trees} == {winner.meta["by"]}
    assert verify_tree(store, winner, memo) == []


def test_what_an_interrupted_writer_left_goes_when_another_succeeds(
    store: Store, memo: DigestMemo, tmp_path: Path
) -> None:
    store.write("cache/k/00112233/half", b"of something")
    save(store, model(tmp_path / "made"), memo)
    assert "cache/k/00112233/half" not in keys(store)


def test_a_manifest_that_is_not_whole_counts_as_none_and_is_replaced(
    store: Store, memo: DigestMemo, tmp_path: Path
) -> None:
    folder = model(tmp_path / "made")
    save(store, folder, memo)
    blob = store.read(f"cache/k/{MANIFEST}")
    assert blob is not None
    for rubbish in (b"", b"{", b"[]", b"null", blob.data[:-20], blob.data.replace(b'"hf"', b'"xx"'), b"\xff\xfe"):
        store.write(f"cache/k/{MANIFEST}", rubbish)
        assert load_tree(store, "cache/k") is None
    saved = save(store, folder, memo)
    assert load_tree(store, "cache/k") == saved


@pytest.mark.parametrize("path", ["../../etc/passwd", "/etc/passwd", "a/../../b", ""])
def test_a_manifest_cannot_name_files_outside_its_tree(
    store: Store, memo: DigestMemo, tmp_path: Path, path: str
) -> None:
    save(store, model(tmp_path / "made"), memo)
    blob = store.read(f"cache/k/{MANIFEST}")
    assert blob is not None
    body = unsealed(blob.data, "Tree")
    assert body is not None
    body["files"][0]["path"] = path
    store.write(f"cache/k/{MANIFEST}", sealed(body))
    assert load_tree(store, "cache/k") is None


@pytest.mark.parametrize("data", [b"", b"x", b'{"model_type": "phi3", '])
def test_a_truncated_file_is_found(
    store: Store, memo: DigestMemo, tmp_path: Path, data: bytes, request: pytest.FixtureRequest
) -> None:
    tree = save(store, model(tmp_path / "made"), memo)
    damage(store, f"{tree.root}/config.json", _bucket(request, store), data)
    assert verify_tree(store, tree, memo) == [f"config.json: {len(data)} bytes, not 22"]
    with pytest.raises(Damaged, match=r"config\.json"):
        fetch_tree(store, tree, tmp_path / "fetched", memo)


def test_a_corrupted_file_is_never_handed_out(
    store: Store, memo: DigestMemo, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """On a disk it is found by looking; on S3, where looking costs a download, when it is fetched."""
    tree = save(store, model(tmp_path / "made"), memo)
    damage(store, f"{tree.root}/config.json", _bucket(request, store), b'{"model_type": "phi4"}')
    if isinstance(store, FileStore):
        assert verify_tree(store, tree, memo) == ["config.json: its sha256 is another one"]
    with pytest.raises(Damaged):
        fetch_tree(store, tree, tmp_path / "fetched", memo)
    assert not (tmp_path / "fetched" / "config.json").exists()


def test_a_file_that_was_replaced_through_the_store_is_found_by_looking(
    store: Store, memo: DigestMemo, tmp_path: Path
) -> None:
    tree = save(store, model(tmp_path / "made"), memo)
    store.write(f"{tree.root}/config.json", b'{"model_type": "phi4"}')
    assert verify_tree(store, tree, memo) == ["config.json: its sha256 is another one"]


def test_a_missing_file_is_found(store: Store, memo: DigestMemo, tmp_path: Path) -> None:
    tree = save(store, model(tmp_path / "made"), memo)
    store.delete([f"{tree.root}/model.onnx.data"])
    assert verify_tree(store, tree, memo) == ["model.onnx.data: it is gone"]
    with pytest.raises(Damaged):
        fetch_tree(store, tree, tmp_path / "fetched", memo)


def test_a_damaged_tree_is_healed_by_removing_and_saving_it(
    store: Store, memo: DigestMemo, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    folder = model(tmp_path / "made")
    tree = save(store, folder, memo)
    damage(store, f"{tree.root}/config.json", _bucket(request, store), b"rubbish")
    delete_tree(store, "cache/k")
    assert keys(store) == []
    assert verify_tree(store, save(store, folder, memo), memo) == []


def test_a_whole_tree_on_this_machine_is_looked_at_without_reading_it(
    memo: DigestMemo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full cache hit on 500 MB has a second in all."""
    store = open_store(tmp_path / "store")
    folder = model(tmp_path / "made")
    os.utime(folder / "model.onnx.data", (1_700_000_000, 1_700_000_000))
    tree = save(store, folder, memo)
    read: list[int] = []
    monkeypatch.setattr(digests, "sha256_file", lambda path: read.append(path.stat().st_size) or _sha256(path))
    assert verify_tree(store, tree, memo) == []
    assert max(read, default=0) < MIB


def test_what_was_fetched_before_is_not_fetched_again(s3: S3Bucket, memo: DigestMemo, tmp_path: Path) -> None:
    store = open_store(s3.location("jobs"))
    tree = save(store, model(tmp_path / "made"), memo)
    fetch_tree(store, tree, tmp_path / "fetched", memo)
    (tmp_path / "fetched" / "config.json").write_bytes(b"x" * 22)  # damaged here: fetched again
    before = (tmp_path / "fetched" / "model.onnx.data").stat().st_mtime_ns
    told: list[int] = []
    assert same(fetch_tree(store, tree, tmp_path / "fetched", memo, told.append), tmp_path / "made")
    assert (tmp_path / "fetched" / "model.onnx.data").stat().st_mtime_ns == before
    assert sum(told) == tree.bytes


def test_a_copy_is_a_tree_of_its_own(store: Store, memo: DigestMemo, tmp_path: Path) -> None:
    folder = model(tmp_path / "made")
    source = save(store, folder, memo)
    copied = copy_tree(store, source, "out", {"note": 1}, flat=True)
    delete_tree(store, "cache/k")
    assert load_tree(store, "out") == copied
    assert (copied.digest, copied.meta) == (source.digest, {"note": 1})
    assert verify_tree(store, copied, memo) == []


def test_a_copy_of_a_tree_that_lost_a_file_is_refused(store: Store, memo: DigestMemo, tmp_path: Path) -> None:
    source = save(store, model(tmp_path / "made"), memo)
    store.delete([f"{source.root}/config.json"])
    with pytest.raises(Damaged, match=r"config\.json"):
        copy_tree(store, source, "out", {}, flat=True)
    assert load_tree(store, "out") is None


def test_removing_a_tree_leaves_its_neighbours(store: Store, memo: DigestMemo, tmp_path: Path) -> None:
    folder = model(tmp_path / "made")
    save(store, folder, memo, prefix="cache/k")
    save(store, folder, memo, prefix="cache/k2")
    delete_tree(store, "cache/k")
    delete_tree(store, "cache/never-there")
    assert load_tree(store, "cache/k") is None
    tree = load_tree(store, "cache/k2")
    assert tree is not None
    assert verify_tree(store, tree, memo) == []


def test_a_file_that_changed_since_it_was_listed_is_not_saved(store: Store, memo: DigestMemo, tmp_path: Path) -> None:
    folder = model(tmp_path / "made")
    files = [FileDigest("config.json", 22, hashlib.sha256(b"something else").hexdigest())]
    with pytest.raises(Damaged):
        save_tree(store, "k", folder, {}, files)
    assert load_tree(store, "k") is None


SAVE_UNTIL_KILLED = """
import os, signal, sys
from pathlib import Path
from millwright_api.v1alpha1 import S3Location
from millwright_runner.digests import DigestMemo, digest_folder
from millwright_runner.stores import open_store
from millwright_runner.trees import save_tree
place, folder, home = sys.argv[1:]
store = open_store(S3Location(uri=place) if place.startswith("s3:") else Path(place))
files, _ = digest_folder(Path(folder), DigestMemo(Path(home)))
save_tree(store, "cache/k", Path(folder), {}, files, on_bytes=lambda moved: os.kill(os.getpid(), signal.SIGKILL))
"""


def test_a_writer_killed_in_the_middle_leaves_no_tree_and_the_next_one_finishes(
    store: Store, memo: DigestMemo, tmp_path: Path
) -> None:
    folder = model(tmp_path / "made", weights=os.urandom(20 * MIB))
    command = [sys.executable, "-c", SAVE_UNTIL_KILLED, store.uri, str(folder), str(tmp_path / "home")]
    assert subprocess.run(command, check=False).returncode == -9
    assert load_tree(store, "cache/k") is None
    tree = save(store, folder, memo)
    assert same(fetch_tree(store, tree, tmp_path / "fetched", memo), folder)


def test_a_manifest_is_json_that_a_person_can_read(store: Store, memo: DigestMemo, tmp_path: Path) -> None:
    save(store, model(tmp_path / "made"), memo)
    blob = store.read(f"cache/k/{MANIFEST}")
    assert blob is not None
    body = json.loads(blob.data)
    assert body["apiVersion"] == "millwright.dev/v1alpha1"
    assert [file["path"] for file in body["files"]] == ["config.json", "extra/empty", "model.onnx.data"]


def test_a_number_that_json_has_no_form_for_is_noted_as_null(store: Store, memo: DigestMemo, tmp_path: Path) -> None:
    folder = model(tmp_path / "made")
    files, _ = digest_folder(folder, memo)
    save_tree(store, "k", folder, {"history": [{"loss": float("nan"), "norm": float("inf"), "step": 1}]}, files)
    tree = load_tree(store, "k")
    assert tree is not None
    assert tree.meta == {"history": [{"loss": None, "norm": None, "step": 1}]}


def test_a_seal_breaks_with_any_change() -> None:
    data = sealed({"apiVersion": "millwright.dev/v1alpha1", "kind": "Tree", "meta": {"loss": 0.1}})
    assert unsealed(data, "Tree") is not None
    assert unsealed(data, "PublishedModel") is None
    assert unsealed(data.replace(b"0.1", b"0.2"), "Tree") is None
    assert unsealed(data.replace(b"v1alpha1", b"v2"), "Tree") is None


def _bucket(request: pytest.FixtureRequest, store: Store) -> S3Bucket | None:
    return None if isinstance(store, FileStore) else request.getfixturevalue("s3")


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
