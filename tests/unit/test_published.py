"""An output holds one result, switched at once and only by condition: on a disk and on a real S3 server."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import S3Bucket

from millwright_api.errors import OutputExists
from millwright_runner.artifact import digest_of
from millwright_runner.digests import DigestMemo, digest_folder
from millwright_runner.published import CLAIM, Beside, Published, damaged_files, publish, read_published
from millwright_runner.stores import Conflict, Store, open_store
from millwright_runner.trees import MANIFEST, save_tree

MIB = 1024 * 1024
ONE, TWO = "1" * 64, "2" * 64


@pytest.fixture(params=["file", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param == "file":
        return open_store(tmp_path / "store")
    bucket: S3Bucket = request.getfixturevalue("s3")
    return open_store(bucket.location("out"))


@pytest.fixture
def memo(tmp_path: Path) -> DigestMemo:
    return DigestMemo(tmp_path / "home")


def model(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "model.onnx.data").write_bytes(os.urandom(2 * MIB))
    (folder / "genai_config.json").write_bytes(b"{}")
    return folder


def put(store: Store, fingerprint: str, folder: Path, memo: DigestMemo, **options: Any) -> Published:
    files, _ = digest_folder(folder, memo)
    options = {"replace": False, "cached": None, "meta": {"job": "j"}, "format": "onnx-genai", **options}
    return publish(store, fingerprint, folder=folder, files=files, memo=memo, **options)


def keys(store: Store) -> list[str]:
    return [entry.key for entry in store.list("")]


def test_a_fresh_output_holds_nothing(store: Store) -> None:
    assert read_published(store) is None


def test_what_is_published_can_be_read_and_used_in_place(store: Store, memo: DigestMemo, tmp_path: Path) -> None:
    folder = model(tmp_path / "made")
    published = put(store, ONE, folder, memo)
    assert published == read_published(store)
    assert published.uri == f"{store.uri}111111111111/"
    assert (published.fingerprint, published.format, published.meta) == (ONE, "onnx-genai", {"job": "j"})
    assert published.files == digest_folder(folder, memo)[0]
    assert damaged_files(store, published, memo) == []
    names = [CLAIM, "genai_config.json", MANIFEST, "model.onnx.data"]
    assert keys(store) == [*(f"111111111111/{name}" for name in names), MANIFEST]


def test_the_root_manifest_is_written_last(
    store: Store, memo: DigestMemo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[str] = []
    write = type(store).write

    def watch(self: Store, key: str, *rest: object, **options: object) -> None:
        written.append(key)
        write(self, key, *rest, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(type(store), "write", watch)
    put(store, ONE, model(tmp_path / "made"), memo)
    assert written[-2:] == [f"111111111111/{MANIFEST}", MANIFEST]


def test_publishing_the_same_again_writes_nothing(store: Store, memo: DigestMemo, tmp_path: Path) -> None:
    folder = model(tmp_path / "made")
    first = put(store, ONE, folder, memo)
    told: list[int] = []
    assert put(store, ONE, folder, memo, on_bytes=told.append) == first  # its etag too
    assert told == []


def test_another_result_is_refused_and_nothing_is_written(store: Store, memo: DigestMemo, tmp_path: Path) -> None:
    first = put(store, ONE, model(tmp_path / "one"), memo)
    before = keys(store)
    with pytest.raises(
        OutputExists, match=r"another result \(111111111111; this job's is 222222222222\).*replace: true"
    ):
        put(store, TWO, model(tmp_path / "two"), memo)
    assert keys(store) == before
    assert read_published(store) == first


def test_another_result_replaces_when_told_to_and_the_old_one_goes(
    store: Store, memo: DigestMemo, tmp_path: Path
) -> None:
    put(store, ONE, model(tmp_path / "one"), memo)
    store.write("111111111111/notes.txt", b"a person's own")
    published = put(store, TWO, model(tmp_path / "two"), memo, replace=True)
    assert read_published(store) == published
    assert damaged_files(store, published, memo) == []
    assert [key for key in keys(store) if key.startswith("1")] == ["111111111111/notes.txt"]


def test_there_and_back_again(store: Store, memo: DigestMemo, tmp_path: Path) -> None:
    folders = {ONE: model(tmp_path / "one"), TWO: model(tmp_path / "two")}
    for fingerprint in (ONE, TWO, ONE, TWO):
        published = put(store, fingerprint, folders[fingerprint], memo, replace=True)
        assert published.fingerprint == fingerprint
        assert damaged_files(store, published, memo) == []
        assert len(keys(store)) == 5


def test_an_old_result_that_a_killed_run_left_goes_with_the_next_run(
    store: Store, memo: DigestMemo, tmp_path: Path
) -> None:
    put(store, ONE, model(tmp_path / "one"), memo)
    old = {entry.key: store.read(entry.key) for entry in store.list("1")}
    put(store, TWO, model(tmp_path / "two"), memo, replace=True)
    for key, blob in old.items():  # as if the run had been killed after the switch
        assert blob is not None
        store.write(key, blob.data)
    put(store, TWO, tmp_path / "two", memo, replace=True)
    assert not [key for key in keys(store) if key.startswith("1")]


def test_a_published_model_that_was_damaged_is_made_whole(store: Store, memo: DigestMemo, tmp_path: Path) -> None:
    folder = model(tmp_path / "made")
    first = put(store, ONE, folder, memo)
    store.write("111111111111/genai_config.json", b'{"edited": true}')
    store.delete(["111111111111/model.onnx.data"])
    assert len(damaged_files(store, first, memo)) == 2
    assert damaged_files(store, put(store, ONE, folder, memo), memo) == []


def test_a_result_in_the_same_store_is_copied_there_not_sent(store: Store, memo: DigestMemo, tmp_path: Path) -> None:
    folder = model(tmp_path / "made")
    files, _ = digest_folder(folder, memo)
    cached = save_tree(store, ".millwright/cache/k", folder, {}, files)
    published = publish(
        store,
        ONE,
        folder=None,
        files=cached.files,
        cached=cached,
        memo=memo,
        format="onnx-genai",
        meta={},
        replace=False,
    )
    assert damaged_files(store, published, memo) == []
    linked, source = store.local("111111111111/model.onnx.data"), store.local(f"{cached.root}/model.onnx.data")
    assert linked is None or source is None or linked.samefile(source)


def test_a_manifest_that_is_not_ours_is_never_overwritten(store: Store, memo: DigestMemo, tmp_path: Path) -> None:
    for theirs in (b"{}", b"", b'{"name": "a web app"}', b"\xff"):
        store.write(MANIFEST, theirs)
        with pytest.raises(OutputExists, match="Millwright did not write"):
            put(store, ONE, model(tmp_path / str(len(theirs))), memo, replace=True)
        blob = store.read(MANIFEST)
        assert blob is not None
        assert blob.data == theirs


def test_of_racing_jobs_one_publishes_and_the_others_are_refused(
    store: Store, memo: DigestMemo, tmp_path: Path
) -> None:
    folders = [model(tmp_path / str(i)) for i in range(6)]

    def race(number: int) -> str | None:
        try:
            return put(store, str(number) * 64, folders[number], memo).fingerprint
        except OutputExists:
            return None

    with ThreadPoolExecutor(6) as pool:
        won = [fingerprint for fingerprint in pool.map(race, range(6)) if fingerprint]
    published = read_published(store)
    assert published is not None
    assert won == [published.fingerprint]
    assert damaged_files(store, published, memo) == []


def test_two_results_of_one_recipe_never_mix(store: Store, memo: DigestMemo, tmp_path: Path) -> None:
    """Training twice need not give the same bits: both upload under one fingerprint at the same time."""
    folders = [model(tmp_path / str(i)) for i in range(4)]
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda folder: put(store, ONE, folder, memo), folders))
    published = read_published(store)
    assert published is not None
    assert {result.tree.digest for result in results} == {published.tree.digest}
    assert damaged_files(store, published, memo) == []


def test_a_switch_that_another_job_made_meanwhile_is_not_undone(
    store: Store, memo: DigestMemo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = model(tmp_path / "other")
    write = type(store).write
    raced: list[str] = []

    def race(self: Store, key: str, *rest: object, **options: object) -> None:
        if key == MANIFEST and not raced:
            raced.append(key)
            put(store, TWO, other, memo)
            raise Conflict(key)
        write(self, key, *rest, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(type(store), "write", race)
    with pytest.raises(OutputExists):
        put(store, ONE, model(tmp_path / "made"), memo)
    published = read_published(store)
    assert published is not None
    assert published.fingerprint == TWO


PUBLISH_UNTIL_KILLED = """
import os, signal, sys
from pathlib import Path
from millwright_api.v1alpha1 import S3Location
from millwright_runner.digests import DigestMemo, digest_folder
from millwright_runner.published import publish
from millwright_runner.stores import open_store
place, folder, home, fingerprint = sys.argv[1:]
store, memo = open_store(S3Location(uri=place) if place.startswith("s3:") else Path(place)), DigestMemo(Path(home))
files, _ = digest_folder(Path(folder), memo)
publish(store, fingerprint, folder=Path(folder), files=files, cached=None, memo=memo, format="f", meta={}, replace=True,
        on_bytes=lambda moved: os.kill(os.getpid(), signal.SIGKILL))
"""


def test_readers_see_the_old_result_until_the_new_one_is_whole(store: Store, memo: DigestMemo, tmp_path: Path) -> None:
    first, folder = put(store, ONE, model(tmp_path / "one"), memo), model(tmp_path / "two")
    command = [sys.executable, "-c", PUBLISH_UNTIL_KILLED, store.uri, str(folder), str(tmp_path / "home"), TWO]
    assert subprocess.run(command, check=False).returncode == -9
    assert read_published(store) == first
    assert damaged_files(store, first, memo) == []
    published = put(store, TWO, folder, memo, replace=True)
    assert published.uri == f"{store.uri}222222222222/"
    assert damaged_files(store, published, memo) == []


def test_in_a_folder_a_link_named_model_leads_to_the_model(memo: DigestMemo, tmp_path: Path) -> None:
    store = open_store(tmp_path / "out")
    for number, fingerprint in enumerate((ONE, TWO)):
        put(store, fingerprint, model(tmp_path / str(number)), memo, replace=True)
        assert (tmp_path / "out" / "model").readlink() == Path(fingerprint[:12])
        assert (tmp_path / "out" / "model" / "genai_config.json").read_bytes() == b"{}"
    (tmp_path / "out").rename(tmp_path / "moved")
    assert (tmp_path / "moved" / "model" / "genai_config.json").exists()  # relative: it may be moved


def test_something_else_named_model_is_left_alone(memo: DigestMemo, tmp_path: Path) -> None:
    (tmp_path / "out" / "model").mkdir(parents=True)
    (tmp_path / "out" / "model" / "mine").write_text("mine")
    put(open_store(tmp_path / "out"), ONE, model(tmp_path / "made"), memo)
    assert (tmp_path / "out" / "model" / "mine").read_text() == "mine"


def test_the_root_manifest_names_all_that_a_reader_needs(store: Store, memo: DigestMemo, tmp_path: Path) -> None:
    put(store, ONE, model(tmp_path / "made"), memo)
    blob = store.read(MANIFEST)
    assert blob is not None
    body = json.loads(blob.data)
    assert (body["kind"], body["prefix"], body["fingerprint"], body["format"]) == (
        "PublishedModel",
        ONE[:12],
        ONE,
        "onnx-genai",
    )
    assert body["bytes"] == 2 * MIB + 2
    assert all(set(file) == {"path", "size", "sha256"} for file in body["files"])


def card(text: bytes) -> Beside:
    return lambda files, before: {"README.md": text, "provenance.json": b"of " + text}


def test_what_lies_beside_a_model_is_named_by_the_manifest_that_appears_with_it(
    store: Store, memo: DigestMemo, tmp_path: Path
) -> None:
    published = put(store, ONE, model(tmp_path / "made"), memo, beside=card(b"a card"))

    assert published.etag == getattr(read_published(store), "etag", None)
    assert [(file.path, file.size) for file in published.beside] == [("README.md", 6), ("provenance.json", 9)]
    assert published.tree.digest == digest_of(published.files)


def test_writers_with_different_cards_leave_one_that_fits(store: Store, memo: DigestMemo, tmp_path: Path) -> None:
    folder = model(tmp_path / "made")
    cards = [card(f"card {number}".encode()) for number in range(3)]

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda one: put(store, ONE, folder, memo, beside=one), cards))

    published = read_published(store)
    assert published is not None
    found = {file.path: store.read(f"{published.tree.prefix}/{file.path}") for file in published.beside}
    assert {name: hashlib.sha256(blob.data).hexdigest() for name, blob in found.items() if blob} == {
        file.path: file.sha256 for file in published.beside
    }
    assert len(found) == 2
