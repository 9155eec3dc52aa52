"""Which options of a pass a search may set, by which names, and within which bounds."""

from __future__ import annotations

from typing import ClassVar

import pytest
from pydantic import Field

from millwright_api.base import Strict
from millwright_api.errors import InvalidManifest
from millwright_api.search import Parameter
from millwright_runner import schema
from millwright_runner.artifact import HF
from millwright_runner.passes import Pass
from millwright_runner.passes.genai import Genai
from millwright_runner.passes.lora import Lora
from millwright_runner.passes.merge import Merge
from millwright_runner.searchable import names, range_problem, resolve, searchable

WHERE = "spec.search.parameters[0].option"


class Deep(Strict):
    seed: int = Field(default=1, description="Default: 1.")
    depth: float = Field(default=1, ge=0.5, description="Default: 1.")


class Plug(Pass):
    """Has two options of one last part, and one that is the last part of another's path."""

    name: ClassVar[str] = "plug"
    consumes: ClassVar[frozenset[str]] = frozenset({HF})
    produces: ClassVar[str] = HF

    first: Deep = Deep()
    second: Deep = Deep()
    depth: int = Field(default=1, le=9, description="Default: 1.")
    weights: dict[str, float] = Field(default={}, description="Default: none.")


class TestWhatThereIs:
    def test_all_options_but_data_sets_and_lists(self) -> None:
        left_out = {option.path for option in schema.options(Lora) if option.kind != schema.GROUP} - set(
            searchable(Lora)
        )

        assert left_out == {"trainData", "evalData", "modulesToSave"}

    def test_a_number_has_its_type_and_bounds(self) -> None:
        rate, rank, dropout = (searchable(Lora)[name] for name in ("training.learningRate", "r", "dropout"))

        assert (rate.path, rate.types) == (("training", "learningRate"), {"number"})
        assert (rate.minimum, rate.above, rate.maximum, rate.below) == (0, True, 10, False)
        assert (rank.types, rank.minimum, rank.maximum, rank.words) == (
            {"integer"},
            1,
            4096,
            "a whole number, 1 to 4096",
        )
        assert (dropout.minimum, dropout.above, dropout.maximum, dropout.below) == (0, False, 1, True)

    def test_one_of_few_has_its_choices_and_is_no_range(self) -> None:
        block, dtype, symmetric = (
            searchable(Genai)["blockSize"],
            searchable(Merge)["dtype"],
            searchable(Genai)["symmetric"],
        )

        assert (block.choices, block.is_number) == ((16, 32, 64, 128, 256), False)
        assert (dtype.choices, dtype.is_number) == (("float32", "bfloat16", "float16"), False)
        assert (symmetric.choices, symmetric.types, symmetric.is_number) == (None, {"boolean"}, False)

    def test_a_number_or_a_word_is_a_number_too(self) -> None:
        batch = searchable(Lora)["training.perDeviceTrainBatchSize"]

        assert (batch.types, batch.minimum, batch.maximum, batch.is_number) == ({"integer", "string"}, 1, 4096, True)

    def test_a_text_or_a_list_is_a_text(self) -> None:
        assert searchable(Lora)["targetModules"].types == {"string"}


class TestNames:
    @pytest.mark.parametrize(
        ("name", "path"),
        [
            ("r", "r"), ("learningRate", "training.learningRate"), ("training.learningRate", "training.learningRate"),
            ("patience", "training.earlyStopping.patience"), ("training.earlyStopping.patience", "training.earlyStopping.patience"),
        ],
    )  # fmt: skip
    def test_an_option_goes_by_its_path_and_by_its_last_part(self, name: str, path: str) -> None:
        assert resolve(Lora, name).name == path

    def test_a_last_part_that_two_have_names_neither(self) -> None:
        with pytest.raises(InvalidManifest) as caught:
            resolve(Plug, "seed", WHERE)

        assert str(caught.value) == f"{WHERE}: plug has several options called 'seed' (one of first.seed, second.seed)"
        assert resolve(Plug, "second.seed").path == ("second", "seed")

    def test_a_whole_path_is_meant_before_a_last_part(self) -> None:
        assert resolve(Plug, "depth").path == ("depth",)
        assert "first.depth" in names(Plug)

    @pytest.mark.parametrize(
        ("kind", "name", "told"),
        [
            (Lora, "learningrate", "lora has no option 'learningrate' (did you mean 'learningRate'?)"),
            (Lora, "tarining.seed", "lora has no option 'tarining.seed' (did you mean 'training.seed'?)"),
            (Merge, "bits", "merge has no option 'bits' (possible: dtype)"),
            (Lora, "trainData", "lora.trainData names a data set, and trials are compared on the same data (leave it out of the search)"),
            (Lora, "training.earlyStopping", "lora.training.earlyStopping is a group of options (one of training.earlyStopping.patience, training.earlyStopping.threshold)"),
            (Plug, "weights", "plug.weights takes no single value (possible: first.seed, first.depth, second.seed, second.depth, depth)"),
        ],
    )  # fmt: skip
    def test_what_is_none_is_told_with_what_is_possible(self, kind: type[Pass], name: str, told: str) -> None:
        with pytest.raises(InvalidManifest) as caught:
            resolve(kind, name, WHERE)

        assert str(caught.value) == f"{WHERE}: {told}"


class TestRanges:
    def problem(self, kind: type[Pass], option: str, **values: object) -> str | None:
        parameter = Parameter.model_validate({"pass": "step", "option": option, **values})
        return range_problem(kind, resolve(kind, option), parameter)

    @pytest.mark.parametrize(
        ("kind", "option", "values"),
        [
            (Lora, "r", {"integer": {"min": 1, "max": 4096}}), (Lora, "alpha", {"integer": {"min": 1, "max": 65536}}),
            (Lora, "dropout", {"uniform": {"min": 0, "max": 0.999}}), (Lora, "learningRate", {"logUniform": {"min": 1e-9, "max": 10}}),
            (Lora, "maxGradNorm", {"uniform": {"min": 0, "max": 1e9}}), (Genai, "blockSize", {"choice": [33]}),
            (Plug, "depth", {"integer": {"min": -9, "max": 9}}),
        ],
    )  # fmt: skip
    def test_within_the_bounds_all_is_well(self, kind: type[Pass], option: str, values: dict[str, object]) -> None:
        assert self.problem(kind, option, **values) is None

    @pytest.mark.parametrize(
        ("kind", "option", "values", "told"),
        [
            (Lora, "r", {"integer": {"min": 0, "max": 8}}, "integer: lora.r takes a whole number, 1 to 4096; found 0 to 8"),
            (Lora, "r", {"uniform": {"min": 1, "max": 8}}, "uniform: lora.r takes a whole number, 1 to 4096; take integer"),
            (Lora, "learningRate", {"logUniform": {"min": 0.1, "max": 10.5}}, "logUniform: lora.training.learningRate takes a number, above 0, at most 10; found 0.1 to 10.5"),
            (Lora, "learningRate", {"uniform": {"min": 0, "max": 1}}, "uniform: lora.training.learningRate takes a number, above 0, at most 10; found 0 to 1"),
            (Lora, "dropout", {"integer": {"min": 0, "max": 1}}, "integer: lora.dropout takes a number, at least 0, below 1; found 0 to 1"),
            (Genai, "blockSize", {"integer": {"min": 16, "max": 32}}, "integer: genai.blockSize takes one of 16, 32, 64, 128, 256; list the values by choice"),
            (Genai, "symmetric", {"integer": {"min": 0, "max": 1}}, "integer: genai.symmetric takes true or false; list the values by choice"),
        ],
    )  # fmt: skip
    def test_else_it_is_told_what_the_option_takes(
        self, kind: type[Pass], option: str, values: dict[str, object], told: str
    ) -> None:
        assert self.problem(kind, option, **values) == told
