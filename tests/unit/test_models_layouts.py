"""Where in a folder of files the model is: in Hugging Face's form, one folder below, or in MLflow's."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.mlflowform import AZURE, TRANSFORMERS, as_azure, as_transformers, describe
from tests.tiny import make_model_files

from millwright_api.errors import InvalidModel
from millwright_runner.models.layouts import names_in

NAMES = {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"}


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return make_model_files(tmp_path / "model")


def look(folder: Path) -> dict[str, str]:
    files = {path.relative_to(folder).as_posix(): path.stat().st_size for path in folder.rglob("*") if path.is_file()}
    return names_in(files, lambda key: (folder / key).read_bytes(), "azureml:phi:1")


def refused(folder: Path) -> str:
    with pytest.raises(InvalidModel) as caught:
        look(folder)
    return str(caught.value)


class TestHuggingFace:
    def test_the_folder_itself(self, model: Path) -> None:
        assert look(model) == {name: name for name in NAMES}

    def test_the_one_folder_below_that_has_a_model(self, model: Path, tmp_path: Path) -> None:
        (tmp_path / "asset").mkdir()
        model.rename(tmp_path / "asset" / "weights")
        (tmp_path / "asset" / "notes.txt").write_text("trained in May")

        assert look(tmp_path / "asset") == {name: f"weights/{name}" for name in NAMES}

    def test_a_licence_around_it_is_the_models(self, model: Path, tmp_path: Path) -> None:
        (tmp_path / "asset").mkdir()
        model.rename(tmp_path / "asset" / "weights")
        (tmp_path / "asset" / "README.md").write_text("MIT")

        assert look(tmp_path / "asset")["README.md"] == "README.md"

    def test_checkpoints_below_a_model_are_no_choice(self, model: Path) -> None:
        make_model_files(model / "checkpoint-100")

        assert look(model) == {name: name for name in NAMES}

    def test_another_model_in_mlflows_form_below_it_is_no_choice(self, model: Path) -> None:
        as_azure(make_model_files(model.parent / "base"), model / "base")

        assert look(model) == {name: name for name in NAMES}

    def test_of_several_it_is_asked_which(self, tmp_path: Path) -> None:
        make_model_files(tmp_path / "asset" / "large")
        make_model_files(tmp_path / "asset" / "small")

        assert refused(tmp_path / "asset") == (
            "azureml:phi:1: there are 2 models in it: large, small "
            "(name one of these folders: `azureML: {datastore, path}` does)"
        )

    def test_without_any_what_is_there_is_told(self, tmp_path: Path) -> None:
        (tmp_path / "asset").mkdir()
        (tmp_path / "asset" / "model.pkl").touch()

        assert refused(tmp_path / "asset") == (
            "azureml:phi:1: there is no model in it: no MLmodel, and nowhere a config.json beside model.safetensors or its "
            "index (there is model.pkl)"
        )

    def test_of_half_a_model_the_look_at_its_files_tells_later_what_is_missing(self, model: Path) -> None:
        (model / "model.safetensors").unlink()

        assert look(model) == {name: name for name in NAMES - {"model.safetensors"}}


class TestMlflow:
    def test_the_flavor_transformers(self, model: Path, tmp_path: Path) -> None:
        as_transformers(model, tmp_path / "asset")

        assert look(tmp_path / "asset") == {
            "config.json": "model/config.json",
            "model.safetensors": "model/model.safetensors",
            "tokenizer.json": "components/tokenizer/tokenizer.json",
            "tokenizer_config.json": "components/tokenizer/tokenizer_config.json",
        }

    def test_the_flavor_of_azure_ml(self, model: Path, tmp_path: Path) -> None:
        as_azure(model, tmp_path / "asset")

        assert look(tmp_path / "asset") == {
            "config.json": "data/model/config.json",
            "model.safetensors": "data/model/model.safetensors",
            "tokenizer.json": "data/tokenizer/tokenizer.json",
            "tokenizer_config.json": "data/tokenizer/tokenizer_config.json",
        }

    def test_nested_in_the_asset(self, model: Path, tmp_path: Path) -> None:
        as_azure(model, tmp_path / "asset" / "mlflow_model_folder")

        assert look(tmp_path / "asset")["model.safetensors"] == "mlflow_model_folder/data/model/model.safetensors"
        assert look(tmp_path / "asset")["tokenizer.json"] == "mlflow_model_folder/data/tokenizer/tokenizer.json"

    def test_a_binary_under_another_name(self, model: Path, tmp_path: Path) -> None:
        own = {**TRANSFORMERS["transformers"], "model_binary": "binary"}
        describe(tmp_path / "asset", {**TRANSFORMERS, "transformers": own})
        model.rename(tmp_path / "asset" / "binary")

        assert look(tmp_path / "asset") == {name: f"binary/{name}" for name in NAMES}

    def test_a_configuration_beside_the_tokenizer_is_not_the_models(self, model: Path, tmp_path: Path) -> None:
        folder = as_transformers(model, tmp_path / "asset")
        (folder / "components" / "tokenizer" / "config.json").write_text("{}")

        assert look(folder)["config.json"] == "model/config.json"

    def test_shards_belong_to_it(self, model: Path, tmp_path: Path) -> None:
        folder = as_azure(model, tmp_path / "asset")
        weights = folder / "data" / "model"
        (weights / "model.safetensors").rename(weights / "model-00001-of-00001.safetensors")
        (weights / "model.safetensors.index.json").write_text("{}")

        assert look(folder).keys() >= {"model-00001-of-00001.safetensors", "model.safetensors.index.json"}

    def test_a_licence_beside_the_mlmodel_is_the_models(self, model: Path, tmp_path: Path) -> None:
        folder = as_transformers(model, tmp_path / "asset")
        (folder / "LICENSE.txt").write_text("MIT")

        assert look(folder)["LICENSE.txt"] == "LICENSE.txt"


class TestMlflowWithoutAModel:
    def test_another_kind_of_model(self, tmp_path: Path) -> None:
        folder = describe(tmp_path / "asset", {"python_function": {"data": "model.pkl"}, "sklearn": {}})
        (folder / "model.pkl").touch()

        said = refused(folder)

        assert said.startswith(
            "azureml:phi:1/MLmodel: it holds no model that can be loaded: config.json with model.safe"
        )
        assert "its flavors are python_function, sklearn" in said
        assert said.endswith("(there is model.pkl; save the model with save_pretrained, which writes safetensors)")

    def test_weights_that_are_no_safetensors(self, model: Path, tmp_path: Path) -> None:
        folder = as_azure(model, tmp_path / "asset")
        (folder / "data" / "model" / "model.safetensors").rename(folder / "data" / "model" / "pytorch_model.bin")
        (folder / "MLmodel").write_text((folder / "MLmodel").read_text().replace("huggingface_id", "id"))

        assert "there is data/model/pytorch_model.bin; save the model with save_pretrained" in refused(folder)

    def test_one_that_only_names_a_model_on_the_hub(self, tmp_path: Path) -> None:
        folder = describe(tmp_path / "asset", TRANSFORMERS)

        assert "it only names owner/phi, which is on the hub: take that as `huggingFace: {repo: owner/phi}`" in refused(
            folder
        )

    def test_two_models_of_which_it_says_neither(self, tmp_path: Path) -> None:
        folder = describe(tmp_path / "asset", {"custom": {}})
        make_model_files(folder / "teacher")
        make_model_files(folder / "student")

        assert "it does not say which of these is the model: student, teacher (its flavors: custom)" in refused(folder)

    @pytest.mark.parametrize(
        ("content", "found"),
        [("{", "malformed YAML"), ("- 1", "there are no flavors"), ("flavors: 3", "there are no flavors")],
    )
    def test_an_mlmodel_that_is_none(self, tmp_path: Path, content: str, found: str) -> None:
        folder = describe(tmp_path / "asset", AZURE)
        (folder / "MLmodel").write_text(content)

        assert refused(folder).startswith(f"azureml:phi:1/MLmodel: {found}")
