"""Recipes: what a result was made by, comparable where the libraries are others or not there at all."""

from __future__ import annotations

from typing import Any

import pytest

from millwright_api.v1alpha1 import OptimizationJob
from millwright_runner import registry
from millwright_runner.recipe import Recipe

LORA: dict[str, Any] = {"r": 8, "trainData": "train"}


def recipe(
    lora: dict[str, Any] = LORA, *, precision: str = "int4", target: str = "CPUExecutionProvider", model: str = "m",
    train: str = "t",
) -> Recipe:  # fmt: skip
    job = OptimizationJob.model_validate({
        "apiVersion": "millwright.dev/v1alpha1", "kind": "OptimizationJob", "metadata": {"name": "test"},
        "spec": {
            "model": {"path": "m"}, "data": [{"name": n, "source": {"path": n}, "text": {}} for n in ("train", "other")],
            "passes": [{"lora": lora}, {"merge": {}}, {"genai": {"precision": precision}}],
            "target": {"executionProvider": target}, "output": {"path": "out"},
        },
    })  # fmt: skip
    return Recipe.of(registry.bind(job), job.spec.target, model, {"train": train, "other": train})


class TestDifferences:
    def test_the_same_recipe_differs_in_nothing(self) -> None:
        assert recipe().differences(recipe().as_data()) == []

    def test_a_default_that_is_written_out_changes_nothing(self) -> None:
        assert recipe({**LORA, "dropout": 0.05}).differences(recipe().as_data()) == []

    def test_a_data_set_of_another_name_and_the_same_content_changes_nothing(self) -> None:
        assert recipe({**LORA, "trainData": "other"}).differences(recipe().as_data()) == []

    @pytest.mark.parametrize(
        ("other", "expected"),
        [
            (recipe({**LORA, "r": 16}), ["passes"]),
            (recipe(precision="int8"), ["passes"]),
            (recipe(target="CUDAExecutionProvider"), ["passes"]),
            (recipe({**LORA, "evalData": "other"}), ["passes"]),
            (recipe(model="n"), ["model"]),
            (recipe(train="u"), ["data"]),
            (recipe(model="n", train="u", precision="fp32"), ["passes", "model", "data"]),
        ],
        ids=["an option", "a precision", "a target", "a data set more", "the model", "rows", "all"],
    )
    def test_it_is_named_what_differs(self, other: Recipe, expected: list[str]) -> None:
        assert other.differences(recipe().as_data()) == expected

    @pytest.mark.parametrize("unknown", [recipe(model=""), recipe(train=""), recipe(model="", train="")])
    def test_what_was_not_read_is_taken_for_equal_on_either_side(self, unknown: Recipe) -> None:
        assert unknown.differences(recipe().as_data()) == []
        assert recipe().differences(unknown.as_data()) == []

    def test_a_result_of_a_version_that_noted_nothing_is_taken_for_equal(self) -> None:
        assert recipe().differences(None) == []
