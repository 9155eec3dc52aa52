"""Models that a person names on the command line: what is found, and what is said where nothing is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests import tiny
from tests.azurite import BlobContainer
from tests.conftest import S3Bucket

from millwright_api.errors import Damaged, InvalidManifest, InvalidModel, MillwrightError, ModelNotFound
from millwright_api.v1alpha1 import S3Location
from millwright_runner.artifact import HF, HF_ADAPTER, ONNX_GENAI, Artifact
from millwright_runner.cli.named import Named, ask, find_named, load
from millwright_runner.digests import DigestMemo, digest_folder
from millwright_runner.published import publish
from millwright_runner.stores import open_store
from millwright_runner.training import loading


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that the command runs in, with a home of its own."""
    monkeypatch.setenv("MILLWRIGHT_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def make_onnx(folder: Path, *, tokenizer: bool = True, **decoder: Any) -> Path:
    """Makes what a look at an onnx-genai folder needs."""
    if tokenizer:
        tiny.make_tokenizer(folder)
    folder.mkdir(exist_ok=True)
    (folder / "genai_config.json").write_text(
        json.dumps(
            {"model": {"context_length": 256, "vocab_size": 512, "decoder": {"filename": "model.onnx", **decoder}}}
        )
    )
    (folder / "model.onnx").write_bytes(b"onnx")
    return folder


def make_adapter(folder: Path, base: str | None) -> Path:
    folder.mkdir()
    (folder / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "base_model_name_or_path": base}))
    (folder / "adapter_model.safetensors").write_bytes(b"weights")
    return folder


def make_output(place: Path | S3Location, model: Path, kind: str) -> None:
    """Publishes a folder, as a job does at its end."""
    memo = DigestMemo(Path("memo"))
    files, _ = digest_folder(model, memo)
    publish(
        open_store(place), "f" * 64, folder=model, files=files, cached=None, memo=memo, format=kind, meta={}, replace=False
    )  # fmt: skip


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def refused(where: str, base: str | None = None, kind: type[MillwrightError] = ModelNotFound) -> MillwrightError:
    with pytest.raises(kind) as caught:
        find_named(where, base, trusted=False)
    return caught.value


class TestFolders:
    def test_a_hugging_face_folder(self, here: Path) -> None:
        tiny.make_model_files(here / "model", max_position_embeddings=512)

        found = find_named("model", None, trusted=False)

        assert found.artifact == Artifact(here / "model", HF, "")
        assert (found.where, found.room, found.tokens.folder) == ("model", 512, here / "model")

    def test_an_onnx_genai_folder(self, here: Path) -> None:
        make_onnx(here / "onnx")

        found = find_named(str(here / "onnx"), None, trusted=False)

        assert (found.artifact.format, found.room) == (ONNX_GENAI, 256)

    def test_a_folder_with_both_configs_is_what_genai_runs(self, here: Path) -> None:
        make_onnx(here / "onnx")
        (here / "onnx" / "config.json").write_text('{"model_type": "phi3"}')

        assert find_named("onnx", None, trusted=False).artifact.format == ONNX_GENAI

    @pytest.mark.parametrize(("options", "provider"), [
        ([], "CPUExecutionProvider"), ([{"cuda": {}}], "CUDAExecutionProvider"), ([{"DML": {}}], "DmlExecutionProvider"),
        ([{"qnn": {}}], "CPUExecutionProvider"),
    ])  # fmt: skip
    def test_it_is_opened_for_what_it_was_built_for(
        self, options: list[dict[str, Any]], provider: str, here: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        make_onnx(here / "onnx", session_options={"provider_options": options})
        opened: dict[str, Any] = {}
        monkeypatch.setattr(
            "millwright_runner.subjects.opening.open_subject", lambda artifact, **rest: opened.update(rest)
        )

        find_named("onnx", None, trusted=True).open()

        assert opened == {"provider": provider, "trust_remote_code": True}


class TestAdapters:
    @pytest.fixture(autouse=True)
    def _base(self, here: Path) -> None:
        tiny.make_model_files(here / "base", max_position_embeddings=512)

    @pytest.mark.parametrize("named", ["base", "../base"])
    def test_its_base_is_the_folder_that_it_names(self, named: str, here: Path) -> None:
        make_adapter(here / "adapter", named)

        found = find_named("adapter", None, trusted=False)

        assert found.artifact.format == HF_ADAPTER
        assert found.artifact.base is not None
        assert found.artifact.base.folder.samefile(here / "base")
        assert found.room == 512

    def test_a_base_that_is_given_wins(self, here: Path) -> None:
        make_adapter(here / "adapter", "somewhere/else")

        found = find_named("adapter", "base", trusted=False)

        assert found.artifact.base == Artifact(here / "base", HF, "")

    def test_the_tokenizer_is_its_own_where_it_has_one(self, here: Path) -> None:
        make_adapter(here / "plain", "base")
        tiny.make_tokenizer(make_adapter(here / "own", "base"))

        assert find_named("plain", None, trusted=False).tokens.folder == here / "base"
        assert find_named("own", None, trusted=False).tokens.folder == here / "own"

    @pytest.mark.parametrize(("named", "said"), [
        ("microsoft/Phi-3-mini-4k-instruct", "names 'microsoft/Phi-3-mini-4k-instruct', and there is no such folder here"),
        (None, "does not say where that lies"),
        ("", "does not say where that lies"),
    ])  # fmt: skip
    def test_a_base_that_is_not_here_is_asked_for(self, named: str | None, said: str, here: Path) -> None:
        make_adapter(here / "adapter", named)

        error = refused("adapter", kind=InvalidModel)

        assert error.message == f"this is an adapter, the model that it sits on is missing: adapter_config.json {said}"
        assert error.hint == "name it: --base PATH|URI"

    def test_a_base_that_is_no_model_is_named(self, here: Path) -> None:
        make_adapter(here / "adapter", None)
        (here / "empty").mkdir()

        assert refused("adapter", "empty").where == "empty"


class TestOutputsOfJobs:
    def test_the_model_is_found_through_the_manifest(self, here: Path) -> None:
        make_output(here / "out", tiny.make_model_files(here / "model"), HF)

        found = find_named("out", None, trusted=False)

        assert found.artifact == Artifact(here / "out" / "ffffffffffff", HF, "")

    def test_the_link_to_it_is_a_model_too(self, here: Path) -> None:
        make_output(here / "out", make_onnx(here / "onnx"), ONNX_GENAI)

        assert find_named("out/model", None, trusted=False).artifact.format == ONNX_GENAI

    def test_an_adapter_of_a_job_needs_its_base_named(self, here: Path) -> None:
        tiny.make_model_files(here / "base")
        make_output(here / "out", make_adapter(here / "adapter", None), HF_ADAPTER)

        found = find_named("out", "base", trusted=False)

        assert (found.artifact.format, found.artifact.base) == (HF_ADAPTER, Artifact(here / "base", HF, ""))
        assert refused("out", kind=InvalidModel).hint == "name it: --base PATH|URI"

    def test_a_file_that_changed_is_told(self, here: Path) -> None:
        make_output(here / "out", make_onnx(here / "onnx"), ONNX_GENAI)
        (here / "out" / "model" / "model.onnx").write_bytes(b"ONNX")

        assert "model.onnx: its sha256 is another one" in refused("out", kind=Damaged).message

    def test_a_plug_ins_format_cannot_be_run(self, here: Path) -> None:
        make_output(here / "out", tiny.make_model_files(here / "model"), "gguf")

        assert "the format gguf" in refused("out").message

    def test_another_programs_manifest_is_no_output(self, here: Path) -> None:
        (here / "site").mkdir()
        (here / "site" / "manifest.json").write_text('{"name": "a page"}')

        assert refused("site").message == "no model lies there: found manifest.json"


class TestWhatIsNoModel:
    def test_a_path_that_is_not_there(self, here: Path) -> None:
        tiny.make_model_files(here / "models" / "phi3")

        error = refused("models/phi")

        assert (error.message, error.hint) == ("there is no such folder", "did you mean 'phi3'?")

    def test_a_file(self, here: Path) -> None:
        (here / "model.onnx").write_bytes(b"onnx")

        assert refused("model.onnx").message == "this is a file, and a model is a folder"

    def test_a_folder_of_other_things_lists_them_and_the_formats(self, here: Path) -> None:
        for name in "abcdefgh":
            (here / "things" / name).mkdir(parents=True)

        error = refused("things")

        assert error.message == "no model lies there: found a, b, c, d, e, f and 2 more"
        assert error.hint == (
            "possible: onnx-genai has genai_config.json; hf+adapter has adapter_config.json; hf has config.json; "
            "a job's output has manifest.json"
        )

    def test_a_folder_with_a_model_in_it_suggests_that(self, here: Path) -> None:
        for name in ("archive", "model"):
            tiny.make_model_files(here / "out" / name)

        assert (refused("out/").hint or "").startswith("did you mean out/model? possible: ")

    @pytest.mark.parametrize(("where", "said"), [
        ("hf://microsoft/phi", "found 'hf://microsoft/phi', expected s3://bucket/key"),
        ("  ", "found nothing, expected a folder, s3://bucket/key or https://account.blob.core.windows.net/container/key"),
    ])  # fmt: skip
    def test_another_kind_of_place(self, where: str, said: str) -> None:
        assert refused(where, kind=InvalidManifest).message.startswith(said)

    def test_an_onnx_folder_without_its_model(self, here: Path) -> None:
        make_onnx(here / "onnx", filename="decoder.onnx")

        error = refused("onnx", kind=InvalidModel)

        assert error.message == "genai_config.json names decoder.onnx, and there is no such file"

    def test_an_onnx_folder_that_names_none(self, here: Path) -> None:
        (make_onnx(here / "onnx") / "genai_config.json").write_text('{"model": {}}')

        assert refused("onnx", kind=InvalidModel).message == "genai_config.json has no model.decoder.filename"

    def test_an_onnx_folder_without_a_tokenizer(self, here: Path) -> None:
        make_onnx(here / "onnx", tokenizer=False)

        assert refused("onnx", kind=InvalidModel).message == "there is no tokenizer"

    def test_a_hugging_face_folder_without_weights(self, here: Path) -> None:
        (tiny.make_model_files(here / "model") / "model.safetensors").unlink()

        assert "no weights at all" in refused("model", kind=InvalidModel).message


class TestStoresOfObjects:
    @pytest.fixture(params=["s3", "blob"])
    def bucket(self, request: pytest.FixtureRequest) -> S3Bucket | BlobContainer:
        made: S3Bucket | BlobContainer = request.getfixturevalue(request.param)
        return made

    def put(self, bucket: S3Bucket | BlobContainer, folder: Path, key: str) -> str:
        store = open_store(bucket.location(key))
        for file in digest_folder(folder, DigestMemo(Path("memo")))[0]:
            store.put(file.path, folder / file.path, file.sha256)
        return f"{bucket.uri}{key}"

    def test_a_models_folder_is_fetched_once(
        self, here: Path, bucket: S3Bucket | BlobContainer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        fetched: list[str] = []
        kind = type(open_store(bucket.location()))
        get = kind.get
        monkeypatch.setattr(kind, "get", lambda self, key, *rest: fetched.append(key) or get(self, key, *rest))
        uri = self.put(bucket, make_onnx(here / "onnx"), "models/phi3/")

        found = find_named(uri, None, trusted=False)
        again = find_named(uri.rstrip("/"), None, trusted=False)

        assert names(found.artifact.folder) == names(here / "onnx") == sorted(fetched)
        assert again.artifact.folder == found.artifact.folder
        assert found.artifact.folder.is_relative_to(here / "home")

    def test_a_hugging_face_folder(self, here: Path, bucket: S3Bucket | BlobContainer) -> None:
        uri = self.put(bucket, tiny.make_model_files(here / "model"), "models/phi3/")

        assert find_named(uri, None, trusted=False).artifact.format == HF

    def test_a_jobs_output(self, here: Path, bucket: S3Bucket | BlobContainer) -> None:
        make_output(bucket.location("out/"), make_onnx(here / "onnx"), ONNX_GENAI)

        found = find_named(f"{bucket.uri}out/", None, trusted=False)

        assert found.artifact.format == ONNX_GENAI
        assert names(found.artifact.folder) == names(here / "onnx")

    def test_the_models_own_prefix_in_an_output(self, here: Path, bucket: S3Bucket | BlobContainer) -> None:
        make_output(bucket.location("out/"), make_onnx(here / "onnx"), ONNX_GENAI)

        found = find_named(f"{bucket.uri}out/ffffffffffff", None, trusted=False)

        assert names(found.artifact.folder) == names(here / "onnx")

    def test_nothing_there(self, bucket: S3Bucket | BlobContainer) -> None:
        assert refused(f"{bucket.uri}models/none").message == "nothing lies there"

    def test_a_key_above_the_model_suggests_it(self, here: Path, bucket: S3Bucket | BlobContainer) -> None:
        self.put(bucket, tiny.make_model_files(here / "model"), "models/phi3/")

        error = refused(f"{bucket.uri}models/")

        assert (error.message, (error.hint or "").partition("?")[0]) == (
            "no model lies there: found phi3", f"did you mean {bucket.uri}models/phi3",
        )  # fmt: skip


class Torn:
    """A model that a library cannot read."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def generate(self, prompts: Any, **options: Any) -> list[list[int]]:
        raise self.error


class TestLoading:
    @pytest.fixture
    def found(self, here: Path) -> Named:
        tiny.make_model_files(here / "model")
        return find_named("model", None, trusted=False)

    def test_what_a_library_raises_is_a_broken_model(self, found: Named) -> None:
        with pytest.raises(InvalidModel, match=r"^model: it cannot be loaded: KeyError: 'lm_head'$"):
            ask(Torn(KeyError("lm_head")), found)  # type: ignore[arg-type]

    def test_what_we_raise_stays_as_it_is(self, found: Named) -> None:
        error = InvalidModel("its head is missing")

        with pytest.raises(InvalidModel) as caught:
            ask(Torn(error), found)  # type: ignore[arg-type]

        assert caught.value is error

    @pytest.mark.parametrize(("config", "needed"), [({}, set()), ({"quantization_config": {}}, {"bitsandbytes"})])
    def test_libraries_that_the_model_does_not_need_are_left_out(
        self, config: dict[str, Any], needed: set[str], here: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        hidden: list[set[str]] = []
        monkeypatch.setattr(loading, "hide_unneeded", hidden.append)
        tiny.make_model_files(here / "model", **config)
        monkeypatch.setattr(Named, "open", lambda self: Torn(InvalidModel("stop here")))

        with pytest.raises(InvalidModel):
            load(find_named("model", None, trusted=False))

        assert hidden == [needed]
