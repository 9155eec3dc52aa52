"""What a place in a model takes, in words; and lists of options."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, create_model
from pydantic.alias_generators import to_camel

from millwright_api.v1alpha1 import Name, OptimizationJob, S3Uri
from millwright_runner import schema


class Camel(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel)


class Early(Camel):
    patience: int = Field(default=3, ge=1, description="Evaluations. Default: 3.")


class Training(Camel):
    max_steps: int | None = Field(default=None, ge=1, description="Steps. Default: as epochs give.")
    early_stopping: Early | None = Field(default=None, description="Stops early. Default: off.")


class Options(Camel):
    r: int = Field(default=64, ge=1, le=4096, description="Rank. Default: 64.")
    train_data: str = Field(description="Data.")
    training: Training = Field(default=Training(), description="How it is trained.")


def words(annotation: Any, **constraints: Any) -> str:
    model = create_model("M", x=(annotation, Field(**constraints)))
    root = schema.of(model)
    return schema.expected(root["properties"]["x"], root)


@pytest.mark.parametrize(
    ("annotation", "constraints", "text"),
    [
        (int, {}, "a whole number"),
        (int, {"ge": 1}, "a whole number, at least 1"),
        (int, {"ge": 1, "le": 4096}, "a whole number, 1 to 4096"),
        (int, {"ge": 0, "le": 2**32 - 1}, "a whole number, 0 to 4294967295"),
        (float, {"gt": 0, "lt": 1}, "a number, above 0, below 1"),
        (float, {"ge": 0, "lt": 1}, "a number, at least 0, below 1"),
        (float, {"gt": 0, "le": 0.5}, "a number, above 0, at most 0.5"),
        (bool, {}, "true or false"),
        (str, {}, "text"),
        (str, {"max_length": 64}, "text, up to 64 characters"),
        (str, {"pattern": "^x$"}, "text that matches ^x$"),
        (Name, {}, "lower-case letters, digits and dashes, no dash at either end, up to 63 characters"),
        (S3Uri, {}, "s3://bucket/key with a bucket of 3 to 63 characters from a-z, 0-9, dash and dot, up to 1024 characters"),
        (Literal["a", "b"], {}, "one of a, b"),
        (Literal[16, 32], {}, "one of 16, 32"),
        (Literal["auto"], {}, "auto"),
        (int | Literal["auto"], {}, "a whole number or auto"),
        (int | None, {}, "a whole number"),
        (None, {}, "null"),
        (list[str], {}, "a list of text"),
        (list[str], {"max_length": 3}, "a list of text, up to 3 entries"),
        (list[Annotated[str, StringConstraints(max_length=9)]], {}, "a list of text"),
        (list[int], {}, "a list of whole numbers"),
        (list[Annotated[float, Field(gt=0)]], {}, "a list of numbers, above 0"),
        (list[Training], {}, "a list of mappings"),
        (Training, {}, "a mapping with maxSteps, earlyStopping"),
        (dict[str, Any], {}, "a mapping"),
        (Any, {}, "any value"),
    ],
)  # fmt: skip
def test_what_a_place_takes_is_said_in_words(annotation: Any, constraints: dict[str, Any], text: str) -> None:
    assert words(annotation, **constraints) == text


def test_options_are_listed_with_nested_ones_below_their_parent() -> None:
    assert [option.path for option in schema.options(Options)] == [
        "r", "trainData", "training", "training.maxSteps", "training.earlyStopping", "training.earlyStopping.patience",
    ]  # fmt: skip


def test_an_option_knows_its_default_and_whether_it_must_be_given() -> None:
    options = {option.path: option for option in schema.options(Options)}

    assert (options["r"].default, options["r"].required, options["r"].text) == (64, False, "Rank. Default: 64.")
    assert (options["trainData"].default, options["trainData"].required) == (None, True)
    assert options["training.earlyStopping.patience"].default == 3


def test_an_option_with_options_of_its_own_says_so_instead_of_repeating_them() -> None:
    options = {option.path: option for option in schema.options(Options)}

    assert options["training"].kind == options["training.earlyStopping"].kind == "a mapping, its keys below"
    assert options["training"].default is None


@pytest.mark.parametrize(
    ("path", "there"),
    [
        (("spec", "data", 3, "text", "maxLength"), True),
        (("spec", "model", "huggingFace", "repo"), True),
        (("spec", "data", "text"), False),
        (("spec", "nothing"), False),
        (("metadata", "name", "x"), False),
    ],
)
def test_places_are_found_by_the_manifests_own_names(path: tuple[str | int, ...], there: bool) -> None:
    root = schema.of(OptimizationJob)
    node: schema.Schema | None = root
    for part in path:
        node = schema.child(node, part, root) if node is not None else None

    assert (node is not None) == there


def test_the_keys_of_a_place_are_known_through_references_and_unions() -> None:
    root = schema.of(Options)

    assert set(schema.properties(root, root)) == {"r", "trainData", "training"}
    assert set(schema.properties(root["$defs"]["Training"]["properties"]["earlyStopping"], root)) == {"patience"}
