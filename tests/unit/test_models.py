"""Models in folders and in S3: what a look finds, and what it refuses before anything is loaded."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import S3Bucket
from tests.tiny import SPECIAL, TENSORS, make_model_files, write_safetensors

from millwright_api.errors import AccessDenied, InvalidModel, ModelNotFound, StoreNotFound
from millwright_api.v1alpha1 import Model
from millwright_runner.artifact import HF
from millwright_runner.models import FoundModel, find_model, linear_modules
from millwright_runner.models.known import causal_models


def look(base: Path, path: str = "model", *, trusted: bool = False) -> FoundModel:
    return find_model(Model.model_validate({"path": path, "trustRemoteCode": trusted}), base, base / "home")


def refused(base: Path, path: str = "model", *, trusted: bool = False) -> InvalidModel:
    with pytest.raises(InvalidModel) as caught:
        look(base, path, trusted=trusted)
    assert caught.value.exit_code == 2
    return caught.value


@pytest.fixture
def base(tmp_path: Path) -> Path:
    make_model_files(tmp_path / "model")
    return tmp_path


def configure(base: Path, **config: Any) -> None:
    (base / "model" / "config.json").write_text(json.dumps(config))


def shard(base: Path, count: int = 2) -> None:
    """Spreads the weights over files with an index."""
    folder, names = base / "model", list(TENSORS)
    (folder / "model.safetensors").unlink()
    where = {
        name: f"model-{1 + number * count // len(names):05}-of-{count:05}.safetensors"
        for number, name in enumerate(names)
    }
    for file in set(where.values()):
        write_safetensors(folder / file, {name: TENSORS[name] for name in names if where[name] == file})
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": where}))


class TestFacts:
    def test_tensors_sizes_and_type_are_known_without_loading(self, base: Path) -> None:
        facts = look(base).facts

        assert facts.tensors == TENSORS
        assert facts.model_type == "phi3"
        assert facts.parameters == 512 * 64 * 2 + 128 * 64 + 64 * 64 + 256 * 64 + 64 * 128 + 64 * 2
        assert facts.bytes == (base / "model" / "model.safetensors").stat().st_size
        assert facts.files == sum(path.stat().st_size for path in (base / "model").iterdir())
        assert facts.where == "model"

    def test_shards_are_one_model(self, base: Path) -> None:
        whole = look(base).facts
        shard(base)

        facts = look(base).facts

        assert dict(facts.tensors) == dict(whole.tensors)
        assert facts.parameters == whole.parameters

    def test_a_path_model_is_used_where_it_lies(self, base: Path) -> None:
        found = look(base)

        assert found.tokenizer == base / "model"
        assert found.fetch().folder == base / "model"
        assert found.fetch().format == HF
        assert found.fetch().digest == found.digest

    def test_an_absolute_path_needs_no_base(self, base: Path) -> None:
        model = Model.model_validate({"path": str(base / "model")})

        assert find_model(model, Path("/elsewhere"), base / "home").facts.tensors == TENSORS

    def test_linear_modules_are_those_that_adapters_can_sit_on(self, base: Path) -> None:
        assert linear_modules(look(base).facts) == [
            "model.layers.0.self_attn.qkv_proj", "model.layers.0.self_attn.o_proj",
            "model.layers.0.mlp.gate_up_proj", "model.layers.0.mlp.down_proj",
        ]  # fmt: skip


class TestDigest:
    def test_it_names_the_content_and_not_the_path(self, base: Path) -> None:
        before = look(base).digest
        (base / "model").rename(base / "renamed")

        assert look(base, "renamed").digest == before
        assert len(before) == 64

    @pytest.mark.parametrize(
        "name",
        ["config.json", "tokenizer.json", "tokenizer_config.json", "generation_config.json", "model.safetensors"],
    )
    def test_every_file_of_the_model_counts(self, base: Path, name: str) -> None:
        before = look(base).digest
        path = base / "model" / name
        if name == "model.safetensors":
            path.write_bytes(path.read_bytes()[:-1] + b"\1")
        else:
            path.write_text(json.dumps({**(json.loads(path.read_text()) if path.exists() else {}), "new": 1}))

        assert look(base).digest != before

    @pytest.mark.parametrize(
        "name", ["README.md", "LICENSE", "pytorch_model.bin", "training_args.bin", "notes.json", ".gitattributes"]
    )
    def test_what_is_no_part_of_the_model_does_not_count(self, base: Path, name: str) -> None:
        before = look(base)
        (base / "model" / name).write_text("something else")

        assert look(base).digest == before.digest
        assert look(base).facts.files == before.facts.files

    def test_code_counts_when_it_may_run(self, base: Path) -> None:
        plain, trusted = look(base).digest, look(base, trusted=True).digest
        (base / "model" / "modeling.py").write_text("print('hello')")

        assert look(base).digest == plain
        assert look(base, trusted=True).digest != trusted

    def test_a_link_counts_as_what_it_leads_to(self, base: Path) -> None:
        before = look(base).digest
        (base / "model" / "model.safetensors").rename(base / "weights")
        (base / "model" / "model.safetensors").symlink_to(base / "weights")

        assert look(base).digest == before


class TestMissing:
    def test_a_missing_folder_names_one_that_is_spelt_alike(self, base: Path) -> None:
        with pytest.raises(ModelNotFound) as caught:
            look(base, "modle")

        assert caught.value.exit_code == 2
        assert caught.value.where == "modle"
        assert caught.value.hint == "did you mean 'model'?"

    def test_a_missing_parent_is_the_one_that_is_named(self, base: Path) -> None:
        with pytest.raises(ModelNotFound) as caught:
            look(base, "modl/deep/phi3")

        assert caught.value.hint == "did you mean 'model'?"

    def test_a_file_is_no_model(self, base: Path) -> None:
        with pytest.raises(ModelNotFound, match="this is a file"):
            look(base, "model/config.json")

    def test_a_folder_without_config_is_refused(self, base: Path) -> None:
        (base / "model" / "config.json").unlink()

        assert "no config.json" in refused(base).message

    def test_an_adapter_is_no_whole_model(self, base: Path) -> None:
        (base / "model" / "config.json").rename(base / "model" / "adapter_config.json")

        error = refused(base)

        assert "adapter" in error.message
        assert "merge" in str(error.hint)

    def test_a_model_without_tokenizer_is_refused(self, base: Path) -> None:
        (base / "model" / "tokenizer.json").unlink()

        error = refused(base)

        assert "no tokenizer" in error.message
        assert "tokenizer.json" in str(error.hint)

    @pytest.mark.parametrize("name", ["tokenizer.model", "vocab.json", "qwen.tiktoken"])
    def test_older_tokenizers_are_tokenizers_too(self, base: Path, name: str) -> None:
        (base / "model" / "tokenizer.json").rename(base / "model" / name)

        assert look(base)

    def test_without_weights_it_says_so(self, base: Path) -> None:
        (base / "model" / "model.safetensors").unlink()

        assert "no weights at all" in refused(base).message

    @pytest.mark.parametrize("name", ["pytorch_model.bin", "model-q4.gguf", "adapter_model.safetensors"])
    def test_weights_of_another_kind_are_named(self, base: Path, name: str) -> None:
        (base / "model" / "model.safetensors").rename(base / "model" / name)

        error = refused(base)

        assert f"only {name}" in error.message
        assert "save_pretrained" in str(error.hint)

    def test_missing_shards_are_named(self, base: Path) -> None:
        shard(base, 3)
        (base / "model" / "model-00002-of-00003.safetensors").unlink()

        error = refused(base)

        assert error.where == "model/model.safetensors.index.json"
        assert "1 of 3 files are missing: model-00002-of-00003.safetensors" in error.message


class TestMalformed:
    @pytest.mark.parametrize(
        ("content", "found"),
        [
            ("{", "malformed JSON"),
            ("[]", "a JSON object"),
            ("{}", "no model_type"),
            ('{"model_type": 3}', "no model_type"),
        ],
    )
    def test_a_config_that_says_nothing_is_refused(self, base: Path, content: str, found: str) -> None:
        (base / "model" / "config.json").write_text(content)

        error = refused(base)

        assert error.where == "model/config.json"
        assert found in error.message

    @pytest.mark.parametrize("content", ["{}", '{"weight_map": {}}', '{"weight_map": {"a": 1}}', '{"weight_map": []}'])
    def test_an_index_without_a_map_is_refused(self, base: Path, content: str) -> None:
        shard(base)
        (base / "model" / "model.safetensors.index.json").write_text(content)

        assert "no weight_map" in refused(base).message

    def test_an_index_that_points_into_the_wrong_shard_is_refused(self, base: Path) -> None:
        shard(base)
        index = base / "model" / "model.safetensors.index.json"
        listed = json.loads(index.read_text())["weight_map"]
        index.write_text(
            json.dumps({"weight_map": {**listed, "model.extra.weight": "model-00001-of-00002.safetensors"}})
        )

        assert "model.extra.weight is not in model-00001-of-00002.safetensors" in refused(base).message

    @pytest.mark.parametrize("torn", ["model.safetensors", "model-00002-of-00002.safetensors"])
    def test_torn_weights_are_named_with_their_bytes(self, base: Path, torn: str) -> None:
        if torn != "model.safetensors":
            shard(base)
        path = base / "model" / torn
        path.write_bytes(path.read_bytes()[:-100])

        error = refused(base)

        assert error.where == f"model/{torn}"
        assert "torn safetensors file" in error.message

    def test_files_that_may_not_be_read_are_named(self, base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def denied(*_: object, **__: object) -> None:
            raise PermissionError(13, "Permission denied", "config.json")

        monkeypatch.setattr(Path, "open", denied)  # the tests may run as root, whom no mode bits stop

        with pytest.raises(AccessDenied, match=r"config\.json may not be read"):
            look(base)


class TestCode:
    """Code that comes with a model runs only when the manifest says so."""

    AUTO_MAP: Any = {"AutoConfig": "configuration.Config", "AutoModelForCausalLM": "modeling.Model"}  # noqa: RUF012

    def test_a_model_that_transformers_knows_needs_no_code_of_its_own(self, base: Path) -> None:
        configure(base, model_type="phi3", auto_map=self.AUTO_MAP)

        assert look(base).facts.model_type == "phi3"

    def test_a_model_that_needs_its_own_code_says_what_to_set(self, base: Path) -> None:
        configure(base, model_type="quite_new", auto_map=self.AUTO_MAP)

        error = refused(base)

        assert error.where == "model/config.json"
        assert "'quite_new'" in error.message
        assert "spec.model.trustRemoteCode: true" in str(error.hint)

    def test_trusted_code_is_accepted(self, base: Path) -> None:
        configure(base, model_type="quite_new", auto_map=self.AUTO_MAP)

        assert look(base, trusted=True).facts.model_type == "quite_new"

    @pytest.mark.parametrize("trusted", [False, True])
    def test_an_unknown_type_without_code_is_refused_either_way(self, base: Path, trusted: bool) -> None:
        configure(base, model_type="phi33")

        error = refused(base, trusted=trusted)

        assert "no causal language model of type 'phi33'" in error.message
        assert error.hint == "did you mean 'phi3'?"

    def test_what_is_no_language_model_is_refused(self, base: Path) -> None:
        configure(base, model_type="clip")

        assert "'clip'" in refused(base).message

    def test_the_list_is_the_installed_transformers_own(self) -> None:
        assert {"phi3", "llama", "qwen2", "mistral", "gemma2"} <= causal_models()
        assert "clip" not in causal_models()


class TestS3:
    @pytest.fixture
    def uploaded(self, base: Path, s3: S3Bucket) -> S3Bucket:
        from millwright_runner.digests import sha256_file
        from millwright_runner.stores import open_store

        store = open_store(s3.location("team/phi3/"))
        for path in (base / "model").iterdir():
            store.put(path.name, path, sha256_file(path))
        store.write("README.md", b"# hello")
        store.write("picture.png", b"no part of a model")
        return s3

    def find(self, s3: S3Bucket, base: Path, key: str = "team/phi3/", *, trusted: bool = False) -> FoundModel:
        model = Model.model_validate({"s3": {"uri": f"{s3.uri}{key}"}, "trustRemoteCode": trusted})
        return find_model(model, Path("/nowhere"), base / "home")

    def test_facts_are_known_before_the_weights_are_fetched(self, uploaded: S3Bucket, base: Path) -> None:
        found = self.find(uploaded, base)

        assert found.facts.tensors == TENSORS
        assert found.facts.where == f"{uploaded.uri}team/phi3/"
        assert sorted(path.name for path in found.tokenizer.iterdir()) == [
            "README.md",
            "config.json",
            "tokenizer.json",
            "tokenizer_config.json",
        ]

    def test_a_fetched_model_is_whole(self, uploaded: S3Bucket, base: Path) -> None:
        artifact = self.find(uploaded, base).fetch()

        assert (artifact.folder / "model.safetensors").read_bytes() == (
            base / "model" / "model.safetensors"
        ).read_bytes()
        assert look(artifact.folder.parent, artifact.folder.name).facts.tensors == TENSORS
        assert not (artifact.folder / "picture.png").exists()

    def test_what_was_fetched_is_not_fetched_again(self, uploaded: S3Bucket, base: Path) -> None:
        first = self.find(uploaded, base).fetch()
        before = (first.folder / "model.safetensors").stat()

        again = self.find(uploaded, base).fetch()

        assert again == first
        assert (again.folder / "model.safetensors").stat().st_mtime_ns == before.st_mtime_ns

    def test_a_fetch_that_was_interrupted_goes_on(self, uploaded: S3Bucket, base: Path) -> None:
        found = self.find(uploaded, base)
        (found.tokenizer / "tokenizer.json").unlink()

        assert (self.find(uploaded, base).fetch().folder / "tokenizer.json").exists()

    @pytest.mark.parametrize("key", ["team/phi3", "team/phi3/"])
    def test_the_slash_at_the_end_makes_no_difference(self, uploaded: S3Bucket, base: Path, key: str) -> None:
        assert self.find(uploaded, base, key).digest == self.find(uploaded, base).digest

    def test_another_content_has_another_digest(self, uploaded: S3Bucket, base: Path) -> None:
        from millwright_runner.stores import open_store

        before = self.find(uploaded, base).digest
        open_store(uploaded.location("team/phi3/")).write("generation_config.json", b"{}")

        assert self.find(uploaded, base).digest != before

    def test_an_empty_place_holds_no_model(self, uploaded: S3Bucket, base: Path) -> None:
        with pytest.raises(ModelNotFound, match="nothing lies there") as caught:
            self.find(uploaded, base, "team/phi4/")

        assert caught.value.where == f"{uploaded.uri}team/phi4/"

    def test_a_bucket_that_does_not_exist_is_named(self, uploaded: S3Bucket, base: Path) -> None:
        model = Model.model_validate({"s3": {"uri": "s3://no-such-bucket-here/phi3/"}})

        with pytest.raises(StoreNotFound, match="no-such-bucket-here"):
            find_model(model, base, base / "home")

    def test_torn_weights_are_found_by_their_header(self, uploaded: S3Bucket, base: Path) -> None:
        path = uploaded.folder / "team" / "phi3" / "model.safetensors"
        os.truncate(path, path.stat().st_size - 10)

        with pytest.raises(InvalidModel, match="torn safetensors file") as caught:
            self.find(uploaded, base)

        assert caught.value.where == f"{uploaded.uri}team/phi3/model.safetensors"


def test_the_tokenizers_special_tokens_are_those_of_the_helper() -> None:
    assert SPECIAL.index("<|endoftext|>") == 1
