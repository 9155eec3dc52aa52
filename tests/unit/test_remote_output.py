"""Jobs that Azure ML really runs: the model lies where the manifest says, also when that is a folder of this machine."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.azureml.stub import Azure
from tests.courierground import CourierGround, obey

from millwright_api.errors import OutputExists
from millwright_api.names import fingerprint
from millwright_api.v1alpha1 import Output
from millwright_runner.digests import DigestMemo, digest_folder
from millwright_runner.published import Published, publish
from millwright_runner.remote.place import Place, bring
from millwright_runner.stores import Store, open_store
from millwright_runner.stores.file import FileStore
from millwright_runner.verification import verify


@pytest.fixture
def ground(azure: Azure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CourierGround:
    return CourierGround.make(azure, tmp_path, monkeypatch).with_model()


class TestAnOutputInBlobStorage:
    def test_has_the_model_and_the_runners_word_is_repeated(self, ground: CourierGround) -> None:
        report = ground.start().end()

        assert report.outcome == "Succeeded", report.message
        assert [(entry.name, entry.phase) for entry in report.passes] == [("one", "Succeeded"), ("two", "Succeeded")]
        assert report.artifact is not None and report.artifact.uri.startswith(ground.output)
        assert report.remote is not None and report.remote.state == "Completed"
        assert verify(ground.store, None).problems == []
        (job,) = ground.azure.jobs.values()
        assert job.states == ["Starting", "Queued", "Preparing", "Running", "Finalizing", "Completed"]
        assert "two (2/2): done" in job.logs["user_logs/std_log.txt"]


class TestAFolderOfThisMachine:
    def test_gets_the_model_from_the_workspaces_own_datastore(
        self, ground: CourierGround, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("AZURE_STORAGE_KEY")
        del ground.azure.executor.environment["AZURE_STORAGE_KEY"]
        ground.spec |= {"output": {"path": "out"}, "passes": [obey("one")]}

        going = ground.start()
        report = going.end()

        out = ground.folder / "out"
        assert report.outcome == "Succeeded", report.message
        assert report.artifact is not None and report.artifact.uri.startswith(str(out))
        assert verify(open_store(out), None).problems == []
        assert (out / "model" / "config.json").read_bytes() == (ground.folder / "model" / "config.json").read_bytes()
        assert (out / "report.json").exists()


class TestBringing:
    """From one store to a folder."""

    @pytest.fixture
    def source(self, tmp_path: Path) -> Store:
        return open_store(tmp_path / "source")

    def place(self, source: Store, target: Path, *, replace: bool = False) -> Place:
        return Place(Output.model_validate({"path": "target"}), source, "workspaceblobstore", target, replace)

    def published(self, source: Store, folder: Path, name: str) -> Published:
        """A model of one file, whose content is its name."""
        memo = DigestMemo(folder / "home")
        (folder / name).mkdir()
        (folder / name / "model.onnx").write_text(name)
        files, _ = digest_folder(folder / name, memo)
        beside = {"README.md": f"about {name}".encode()}
        return publish(
            source, fingerprint(name), folder=folder / name, files=files, cached=None, memo=memo, format="onnx-genai",
            meta={"job": "emotion"}, replace=True, beside=lambda files, held: beside,
        )  # fmt: skip

    def test_of_nothing_brings_nothing(self, source: Store, tmp_path: Path) -> None:
        assert bring(self.place(source, tmp_path / "target")) is None
        assert not (tmp_path / "target").exists()

    def test_brings_all_and_the_manifest_to_the_byte(self, source: Store, tmp_path: Path) -> None:
        made = self.published(source, tmp_path, "one")
        source.write("trials/007/manifest.json", b"{}")
        source.write("manifest.json.sig", b"signed")

        uri = bring(self.place(source, tmp_path / "target"))

        target = tmp_path / "target"
        assert uri == f"{target}/{made.tree.prefix}/"
        assert (target / "manifest.json").read_bytes() == made.manifest
        assert (target / "manifest.json.sig").read_bytes() == b"signed"
        assert (target / "model" / "README.md").read_text() == "about one"
        assert (target / "trials" / "007" / "manifest.json").exists()

    def test_fetches_nothing_again(self, source: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.published(source, tmp_path, "one")
        bring(self.place(source, tmp_path / "target"))
        fetched: list[str] = []
        monkeypatch.setattr(FileStore, "get", lambda self, key, *given: fetched.append(key))

        bring(self.place(source, tmp_path / "target"))

        assert fetched == []

    def test_fetches_a_file_again_that_was_changed(self, source: Store, tmp_path: Path) -> None:
        self.published(source, tmp_path, "one")
        bring(self.place(source, tmp_path / "target"))
        (tmp_path / "target" / "model" / "model.onnx").write_text("eno")

        bring(self.place(source, tmp_path / "target"))

        assert (tmp_path / "target" / "model" / "model.onnx").read_text() == "one"

    def test_leaves_another_result_alone_unless_it_may_be_replaced(self, source: Store, tmp_path: Path) -> None:
        self.published(source, tmp_path, "one")
        bring(self.place(source, tmp_path / "target"))
        self.published(source, tmp_path, "two")

        with pytest.raises(OutputExists):
            bring(self.place(source, tmp_path / "target"))
        assert (tmp_path / "target" / "model" / "model.onnx").read_text() == "one"

        bring(self.place(source, tmp_path / "target", replace=True))
        assert (tmp_path / "target" / "model" / "model.onnx").read_text() == "two"
