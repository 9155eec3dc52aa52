"""`--set path=value`."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from millwright_api.errors import InvalidManifest
from millwright_runner import overrides

DOCUMENT: dict[str, Any] = {
    "metadata": {"name": "job", "labels": {"app.kubernetes.io/name": "x"}},
    "spec": {
        "model": {"path": "model"},
        "data": [{"name": "train", "source": {"path": "t.jsonl"}}, {"name": "holdout", "limit": 5}],
        "passes": [
            {"name": "finetune", "lora": {"r": 64, "training": {"seed": 0}}},
            {"merge": None},
            {"genai": {"precision": "int4"}},
            {"custom": {"pass": "drop-layers", "options": {"layers": 1}}},
            {"name": "second", "custom": {"pass": "drop-layers"}},
        ],
    },
}


def after(argument: str) -> dict[str, Any]:
    document = copy.deepcopy(DOCUMENT)
    overrides.apply(document, overrides.parse(argument))
    return document


def refused(argument: str) -> str:
    with pytest.raises(InvalidManifest) as caught:
        after(argument)
    return str(caught.value)


@pytest.mark.parametrize(
    ("argument", "place", "value"),
    [
        ("spec.model.path=other", ("spec", "model", "path"), "other"),
        ("model.path=other", ("spec", "model", "path"), "other"),
        ("metadata.name=b", ("metadata", "name"), "b"),
        ("data[0].limit=3", ("spec", "data", 0, "limit"), 3),
        ("data.0.limit=3", ("spec", "data", 0, "limit"), 3),
        ("data.train.limit=3", ("spec", "data", 0, "limit"), 3),
        ("data[train].limit=3", ("spec", "data", 0, "limit"), 3),
        ("spec.data.holdout.limit=3", ("spec", "data", 1, "limit"), 3),
        ("passes.finetune.lora.r=8", ("spec", "passes", 0, "lora", "r"), 8),
        ("passes.finetune.r=8", ("spec", "passes", 0, "lora", "r"), 8),
        ("passes[0].r=8", ("spec", "passes", 0, "lora", "r"), 8),
        ("passes.finetune.training.seed=1", ("spec", "passes", 0, "lora", "training", "seed"), 1),
        ("passes.finetune.name=other", ("spec", "passes", 0, "name"), "other"),
        ("passes.merge.dtype=float16", ("spec", "passes", 1, "merge", "dtype"), "float16"),
        ("passes.genai.precision=int8", ("spec", "passes", 2, "genai", "precision"), "int8"),
        ("passes.genai.genai.precision=int8", ("spec", "passes", 2, "genai", "precision"), "int8"),
        ("passes.drop-layers.layers=2", ("spec", "passes", 3, "custom", "options", "layers"), 2),
        ("passes.second.layers=2", ("spec", "passes", 4, "custom", "options", "layers"), 2),
        ("passes.second.custom.pass=other", ("spec", "passes", 4, "custom", "pass"), "other"),
        ("cache.mode=Off", ("spec", "cache", "mode"), "Off"),
        ("cache.mode='Off'", ("spec", "cache", "mode"), "Off"),
        (r"metadata.labels.app\.kubernetes\.io/name=z", ("metadata", "labels", "app.kubernetes.io/name"), "z"),
        ("metadata.labels[app.kubernetes.io/name]=z", ("metadata", "labels", "app.kubernetes.io/name"), "z"),
    ],
)
def test_a_path_leads_to_its_place(argument: str, place: tuple[str | int, ...], value: Any) -> None:
    document = copy.deepcopy(DOCUMENT)

    went_to = overrides.apply(document, overrides.parse(argument))

    assert went_to == place
    found: Any = document
    for part in place:
        found = found[part]
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("value", "meaning"),
    [
        ("8", 8), ("1e-4", 0.0001), ("true", True), ("null", None), ("", None), ("abc", "abc"), ("'8'", "8"), ("a=b", "a=b"),
        ("[a, b]", ["a", "b"]), ("{r: 8, alpha: 1.5}", {"r": 8, "alpha": 1.5}), ("s3://b/k", "s3://b/k"), ("2024-01-01", "2024-01-01"),
        ('"### Text: {phrase}\\n"', "### Text: {phrase}\n"),
    ],
)  # fmt: skip
def test_a_value_is_yaml(value: str, meaning: Any) -> None:
    assert overrides.parse(f"model.path={value}").value == meaning


def test_the_rest_stays_as_it_is() -> None:
    document = after("passes.finetune.r=8")

    document["spec"]["passes"][0]["lora"]["r"] = 64
    assert document == DOCUMENT


def test_a_whole_step_can_be_replaced_by_its_name() -> None:
    document = after("passes.merge={name: merge, merge: {dtype: float16}}")

    assert document["spec"]["passes"][1] == {"name": "merge", "merge": {"dtype": "float16"}}


def test_null_takes_an_optional_value_back() -> None:
    assert after("data.holdout.limit=null")["spec"]["data"][1]["limit"] is None


def test_mappings_on_the_way_are_made() -> None:
    assert after("output.s3.uri=s3://b/k")["spec"]["output"] == {"s3": {"uri": "s3://b/k"}}


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("passes.fintune.r=2", "--set passes.fintune.r: spec.passes has no entry 'fintune' (did you mean 'finetune'?)"),
        ("data.test.limit=2", "--set data.test.limit: spec.data has no entry 'test' (possible: holdout, train)"),
        ("passes[9].r=2", "--set passes[9].r: spec.passes has no entry 9 (it has 5, counted from 0)"),
        ("model.path.x=2", "--set model.path.x: spec.model.path is 'model': it has nothing below it"),
        ("passes.finetune.r.x=2", "--set passes.finetune.r.x: spec.passes[0].lora.r is 64: it has nothing below it"),
        (
            "passes.finetune.r",
            "--set: found 'passes.finetune.r', expected path=value (for example --set passes.lora.r=8)",
        ),
        ("=3", "--set: found '=3', expected path=value (for example --set passes.lora.r=8)"),
        (" =3", "--set: found ' =3', expected path=value (for example --set passes.lora.r=8)"),
        ("a..b=3", "--set a..b: this is no path (keys with dots between, such as spec.passes[0].lora.r)"),
        ("a.=3", "--set a.: this is no path (keys with dots between, such as spec.passes[0].lora.r)"),
        ("a[0=3", "--set a[0: this is no path (keys with dots between, such as spec.passes[0].lora.r)"),
        ("a[]=3", "--set a[]: this is no path (keys with dots between, such as spec.passes[0].lora.r)"),
        ("model.path=[1", "--set model.path: this is no YAML: did not find expected ',' or ']'"),
        ("model.path={a: 1, a: 2}", "--set model.path: the key 'a' is given twice"),
        ("model.path=.inf", "--set model.path: .inf is no number that a manifest can hold"),
    ],
)
def test_a_path_or_value_that_means_nothing_is_refused(argument: str, message: str) -> None:
    assert refused(argument) == message
