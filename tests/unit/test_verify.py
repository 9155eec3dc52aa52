"""`millwright verify`: what it finds in an output on a disk and in S3, and how it says so."""

from __future__ import annotations

import json
import os
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.cliground import CliGround
from tests.conftest import S3Bucket
from tests.keys import Pair

from millwright_api.errors import ModelNotFound
from millwright_runner.digests import DigestMemo, digest_folder
from millwright_runner.published import publish
from millwright_runner.signing import PublicKey, SigningKey
from millwright_runner.stores import Store, open_store
from millwright_runner.trees import sealed, unsealed
from millwright_runner.verification import verify

PREFIX = "1" * 12
MIB = 1024 * 1024


@pytest.fixture(params=["file", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param == "file":
        return open_store(tmp_path / "store")
    bucket: S3Bucket = request.getfixturevalue("s3")
    return open_store(bucket.location("out"))


@pytest.fixture(scope="module")
def pair() -> Pair:
    return Pair.make("p256")


@pytest.fixture
def output(store: Store, pair: Pair, tmp_path: Path) -> Store:
    """A signed output of three files, one of them in a folder, and a card."""
    fill(store, tmp_path / "made", SigningKey.load(pair.private, "key.pem"))
    return store


def fill(store: Store, folder: Path, key: SigningKey | None = None, size: int = 2 * MIB) -> None:
    (folder / "deep").mkdir(parents=True)
    (folder / "model.onnx.data").write_bytes(os.urandom(size))
    (folder / "genai_config.json").write_bytes(b"{}")
    (folder / "deep" / "er.txt").write_bytes(b"")
    memo = DigestMemo(folder.parent / "home")
    publish(
        store, "1" * 64, folder=folder, files=digest_folder(folder, memo)[0], memo=memo, cached=None, meta={},
        format="onnx-genai", replace=False, beside=lambda files, before: {"README.md": b"# A card\n"}, signer=key,
    )  # fmt: skip


def problems(store: Store, pair: Pair | None = None) -> list[str]:
    return verify(store, PublicKey.load(pair.public, "pub.pem") if pair else None).problems


def reseal(store: Store, change: Callable[[dict[str, Any]], None]) -> None:
    """Changes the root manifest as somebody would who knows the format."""
    blob = store.read("manifest.json")
    body = unsealed(blob.data, "PublishedModel") if blob else None
    assert body is not None
    change(body)
    store.write("manifest.json", sealed(body))


class TestAnOutputThatIsWhole:
    def test_nothing_is_wrong(self, output: Store, pair: Pair) -> None:
        found = verify(output, PublicKey.load(pair.public, "pub.pem"))

        assert (found.problems, found.signature) == ([], "Right")
        assert found.published is not None
        assert [file.path for file in found.published.files] == ["deep/er.txt", "genai_config.json", "model.onnx.data"]

    def test_without_a_key_a_signature_is_told_and_not_checked(self, output: Store, pair: Pair) -> None:
        found = verify(output)

        assert (found.problems, found.signature) == ([], "Unchecked")
        assert found.signed_by == [PublicKey.load(pair.public, "pub.pem").id]

    def test_an_output_need_not_be_signed(self, store: Store, tmp_path: Path) -> None:
        fill(store, tmp_path / "made")

        found = verify(store)

        assert (found.problems, found.signature, found.signed_by) == ([], "None", [])

    def test_what_a_person_keeps_beside_the_models_folder_is_no_problem(self, output: Store) -> None:
        output.write("report.json", b"{}")
        output.write("notes/mine.txt", b"a person's")

        assert problems(output) == []


class TestFilesThatAreWrong:
    def test_one_of_another_content_and_the_same_size_is_named(self, output: Store) -> None:
        output.write(f"{PREFIX}/genai_config.json", b"[]")

        (problem,) = problems(output)

        assert problem.startswith(f"{PREFIX}/genai_config.json: its sha256 is 4f53cda18c2b…, not 44136fa355b3…")

    def test_one_that_keeps_its_time_is_found_all_the_same(self, tmp_path: Path) -> None:
        store = open_store(tmp_path / "out")
        fill(store, tmp_path / "made")
        file = tmp_path / "out" / PREFIX / "model.onnx.data"
        times = file.stat()
        file.write_bytes(os.urandom(2 * MIB))
        os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))

        assert [line.split(": ")[0] for line in problems(store)] == [f"{PREFIX}/model.onnx.data"]

    def test_one_of_another_size_is_named_with_both(self, output: Store) -> None:
        output.write(f"{PREFIX}/genai_config.json", b"{  }")

        assert problems(output) == [f"{PREFIX}/genai_config.json: 4 bytes, not 2"]

    def test_one_that_is_missing_is_named(self, output: Store) -> None:
        output.delete([f"{PREFIX}/model.onnx.data"])

        assert problems(output) == [f"{PREFIX}/model.onnx.data: it is missing"]

    def test_one_that_the_manifest_does_not_name_is_named(self, output: Store) -> None:
        output.write(f"{PREFIX}/deep/custom_ops.so", b"\x7fELF")

        assert problems(output) == [f"{PREFIX}/deep/custom_ops.so: the manifest does not name it"]

    def test_the_card_is_checked_as_the_model_is(self, output: Store) -> None:
        output.write(f"{PREFIX}/README.md", b"# Another")

        assert [line.split(": ")[0] for line in problems(output)] == [f"{PREFIX}/README.md"]

    def test_the_models_own_manifest_is_checked(self, output: Store) -> None:
        output.write(f"{PREFIX}/manifest.json", b"{}")

        assert problems(output) == [f"{PREFIX}/manifest.json: it is gone or was changed"]

    def test_all_of_them_are_told_at_once(self, output: Store) -> None:
        output.delete([f"{PREFIX}/deep/er.txt"])
        output.write(f"{PREFIX}/extra", b"")
        output.write(f"{PREFIX}/genai_config.json", b"[]")

        assert [line.split(":")[0].removeprefix(f"{PREFIX}/") for line in problems(output)] == [
            "deep/er.txt",
            "genai_config.json",
            "extra",
        ]


class TestAManifestThatIsWrong:
    def test_a_byte_that_was_changed_breaks_its_seal(self, output: Store, pair: Pair) -> None:
        blob = output.read("manifest.json")
        assert blob is not None
        output.write("manifest.json", blob.data.replace(b'"onnx-genai"', b'"onnx-genie"'))

        first, second = problems(output, pair)

        assert first == "manifest.json: its seal does not fit: it was changed after it was written"
        assert second.startswith("manifest.json.sig: the signature does not fit the manifest")

    def test_one_that_was_sealed_anew_does_not_fit_its_signature(self, output: Store, pair: Pair) -> None:
        output.write(f"{PREFIX}/genai_config.json", b"[]")

        def forge(body: dict[str, Any]) -> None:
            body["files"][1]["sha256"] = "4f53cda18c2baa0c0354bb5f9a3ecbe5ed12ab4d8e11ba873c2f11161202b945"

        reseal(output, forge)

        assert any("does not fit the manifest" in line for line in problems(output, pair))
        assert "manifest.json: its digest is not that of the files it names" in problems(output)


class TestSignatures:
    def test_an_output_without_one_is_not_signed(self, output: Store, pair: Pair) -> None:
        output.delete(["manifest.json.sig"])

        assert problems(output, pair) == ["manifest.json.sig: not signed"]

    def test_another_key_is_told(self, output: Store) -> None:
        found = verify(output, PublicKey.load(Pair.make().public, "pub.pem"))

        assert found.signature == "Wrong"
        assert found.problems == ["manifest.json.sig: signed by another key, or the signature was changed"]


class TestPlacesThatAreNoOutput:
    def test_an_empty_place(self, store: Store) -> None:
        with pytest.raises(ModelNotFound, match=r"no job's output: there is no manifest\.json"):
            verify(store)

    @pytest.mark.parametrize("content", [b"{}", b"no JSON", b"[]", b"\xff", b"[" * 100_000])
    def test_a_manifest_of_somebody_elses(self, content: bytes, store: Store) -> None:
        store.write("manifest.json", content)

        with pytest.raises(ModelNotFound, match=r"its manifest\.json is none that Millwright wrote"):
            verify(store)

    def test_the_models_own_folder_is_told_apart(self, tmp_path: Path) -> None:
        fill(open_store(tmp_path / "out"), tmp_path / "made")

        with pytest.raises(ModelNotFound, match=r"the model's own folder.*name the folder above it"):
            verify(open_store(tmp_path / "out" / "model"))


def test_a_large_file_in_s3_is_read_in_pieces(s3: S3Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_store(s3.location("out"))
    fill(store, tmp_path / "made", size=96 * MIB)
    monkeypatch.chdir(tmp_path)
    tracemalloc.start()

    found = verify(store)

    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.problems == []
    assert peak < 48 * MIB


class TestTheCommand:
    @pytest.fixture
    def ground(self, tmp_path: Path, pair: Pair) -> CliGround:
        (tmp_path / "key.pem").write_bytes(pair.private)
        (tmp_path / "pub.pem").write_bytes(pair.public)
        return CliGround.make(tmp_path)

    def test_from_a_signed_run_to_a_wrong_file(self, ground: CliGround) -> None:
        ran = ground.run("run", "job.yaml", "--quiet", "--sign-key", "key.pem")
        right = ground.run("verify", "out", "--key", "pub.pem")
        (ground.folder / "out" / "model" / "config.json").write_text("{}")
        wrong = ground.run("verify", "out", "--key", "pub.pem")

        assert (ran.code, right.code, wrong.code) == (0, 0, 2)
        assert "beside     README.md, provenance.json\n" in right.out
        assert "signature  right, by key " in right.out
        assert wrong.out == ""
        assert wrong.err.startswith("NotAsPublished: ")
        assert "/config.json: 2 bytes, not " in wrong.err

    def test_json_is_one_document_whether_right_or_wrong(self, ground: CliGround) -> None:
        ground.run("run", "job.yaml", "--quiet")
        right = ground.run("verify", "out", "--json")
        (ground.folder / "out" / "model" / "config.json").unlink()
        wrong = ground.run("verify", "out", "--json", "--key", "pub.pem")

        said = json.loads(right.out)
        assert (right.code, said["verified"], said["problems"], said["signature"]) == (0, True, [], "None")
        assert set(said["files"]) >= {"config.json", "README.md", "provenance.json"}
        said = json.loads(wrong.out)
        assert (wrong.code, said["verified"], wrong.err) == (2, False, "")
        assert [line.split(": ", 1)[1] for line in said["problems"]] == ["it is missing", "not signed"]

    def test_a_folder_that_is_not_there_is_told_with_what_is(self, ground: CliGround) -> None:
        said = ground.run("verify", "outt")

        assert said.code == 2
        assert "ModelNotFound: outt: there is no such folder" in said.err

    def test_a_bad_key_costs_no_run(self, ground: CliGround, pair: Pair) -> None:
        (ground.folder / "locked.pem").write_bytes(pair.encrypted)

        said = ground.run("run", "job.yaml", "--sign-key", "locked.pem")

        assert said.code == 2
        assert said.err.startswith("InvalidKey: locked.pem: the key is encrypted")
        assert not (ground.folder / "out").exists()

    def test_help_has_an_example(self, ground: CliGround) -> None:
        assert "millwright verify s3://team-a/models/emotion --key team-a.pub.pem" in ground.run("verify", "--help").out
