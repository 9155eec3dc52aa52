"""What pydantic finds, in a person's words: where, what was found, what is possible."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator
from pydantic.alias_generators import to_camel

from millwright_api.v1alpha1 import OptimizationJob
from millwright_runner.problems import describe, path_text, shown


class Strict(BaseModel):
    model_config = ConfigDict(
        extra="forbid", strict=True, alias_generator=to_camel, validate_by_alias=True, validate_by_name=False
    )


class Inner(Strict):
    seed: int = Field(default=0, ge=0, le=100)
    learning_rate: float = Field(default=1e-4, gt=0, lt=1)
    batch: int | Literal["auto"] = "auto"
    stop: Literal["early", "late"] | None = None


class Outer(Strict):
    kind: Literal["join", "line-by-line"] = "join"
    names: list[Annotated[str, StringConstraints(min_length=1, max_length=8)]] = Field(default=[], max_length=3)
    pattern: list[str] | str = "all"
    inner: Inner = Inner()
    items: list[Inner] = []
    flag: bool = False
    label: str = Field(default="x", pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")
    odd: str = Field(default="A1", pattern=r"^[A-Z]\d$")
    extra: dict[str, Inner] = {}
    needed: int

    @model_validator(mode="after")
    def _kind_and_flag(self) -> Outer:
        if self.kind == "join" and self.flag:
            raise ValueError("flag goes with line-by-line; kind is join")
        return self


def problems(value: Any, model: type[BaseModel] = Outer, where: str = "") -> list[str]:
    if model is Outer and isinstance(value, dict):
        value = {"needed": 1, **value}
    with pytest.raises(ValidationError) as caught:
        model.model_validate(value)
    return describe(caught.value, model, where).split("\n")


@pytest.mark.parametrize(
    ("value", "line"),
    [
        ({"knid": "join"}, "knid: unknown key (did you mean 'kind'?)"),
        ({"inner": {"learning_rate": 0.1}}, "inner.learning_rate: unknown key (did you mean 'learningRate'?)"),
        ({"inner": {"SEED": 1}}, "inner.SEED: unknown key (did you mean 'seed'?)"),
        ({"inner": {"zzz": 1}}, "inner.zzz: unknown key (possible: batch, learningRate, seed, stop)"),
        ({"items": [{}, {"sead": 1}]}, "items[1].sead: unknown key (did you mean 'seed'?)"),
        ({"extra": {"any": {"sead": 1}}}, "extra.any.sead: unknown key (did you mean 'seed'?)"),
    ],
)
def test_an_unknown_key_suggests_the_nearest(value: dict[str, Any], line: str) -> None:
    assert problems(value) == [line]


@pytest.mark.parametrize(
    ("value", "line"),
    [
        ({"inner": {"seed": -1}}, "inner.seed: found -1, expected a whole number, 0 to 100"),
        ({"inner": {"seed": 1.5}}, "inner.seed: found 1.5, expected a whole number, 0 to 100"),
        ({"inner": {"seed": True}}, "inner.seed: found true, expected a whole number, 0 to 100"),
        ({"inner": {"seed": None}}, "inner.seed: found null, expected a whole number, 0 to 100"),
        ({"inner": {"seed": "7"}}, "inner.seed: found '7', expected a whole number, 0 to 100 (write it without quotes)"),
        ({"inner": {"seed": "many"}}, "inner.seed: found 'many', expected a whole number, 0 to 100"),
        ({"inner": {"learningRate": 0}}, "inner.learningRate: found 0, expected a number, above 0, below 1"),
        ({"inner": {"learningRate": "1e-4"}}, "inner.learningRate: found '1e-4', expected a number, above 0, below 1 (write it without quotes)"),
        ({"inner": []}, "inner: found an empty list, expected a mapping with seed, learningRate, batch, stop"),
        ({"inner": "x"}, "inner: found 'x', expected a mapping with seed, learningRate, batch, stop"),
        ({"flag": "yes"}, "flag: found 'yes', expected true or false (write it without quotes)"),
        ({"flag": 1}, "flag: found 1, expected true or false"),
        ({"kind": "joined"}, "kind: found 'joined', expected one of join, line-by-line (did you mean 'join'?)"),
        ({"kind": "zzz"}, "kind: found 'zzz', expected one of join, line-by-line"),
        ({"kind": True}, "kind: found true, expected one of join, line-by-line (write it in quotes)"),
        ({"label": "Big"}, "label: found 'Big', expected lower-case letters, digits and dashes, no dash at either end"),
        ({"label": True}, "label: found true, expected lower-case letters, digits and dashes, no dash at either end (write it in quotes)"),
        ({"label": {"a": None}}, "label: found a mapping with a, expected lower-case letters, digits and dashes, no dash at either end (write it in quotes)"),
        ({"odd": "a1"}, "odd: found 'a1', expected text that matches ^[A-Z]\\d$"),
        ({"names": "a"}, "names: found 'a', expected a list of text, up to 3 entries"),
        ({"names": ["a"] * 4}, "names: found a list of 4, expected a list of text, up to 3 entries"),
        ({"names": ["a", 5]}, "names[1]: found 5, expected text, up to 8 characters (write it in quotes)"),
        ({"names": ["too long a name"]}, "names[0]: found 'too long a name', expected text, up to 8 characters"),
        ({"items": {"seed": 1}}, "items: found a mapping with seed, expected a list of mappings"),
        ({"needed": "x"}, "needed: found 'x', expected a whole number"),
    ],
)  # fmt: skip
def test_a_wrong_value_says_what_was_found_and_what_is_expected(value: dict[str, Any], line: str) -> None:
    assert problems(value) == [line]


@pytest.mark.parametrize(
    ("value", "line"),
    [
        (
            {"inner": {"batch": "atuo"}},
            "inner.batch: found 'atuo', expected a whole number or auto (did you mean 'auto'?)",
        ),
        ({"inner": {"batch": 1.5}}, "inner.batch: found 1.5, expected a whole number or auto"),
        ({"inner": {"stop": "erly"}}, "inner.stop: found 'erly', expected one of early, late (did you mean 'early'?)"),
        ({"pattern": 5}, "pattern: found 5, expected a list of text or text"),
        ({"pattern": ["a", 5]}, "pattern[1]: found 5, expected text (write it in quotes)"),
    ],
)
def test_a_union_is_one_problem_however_many_branches_it_tried(value: dict[str, Any], line: str) -> None:
    assert problems(value) == [line]


def test_what_is_missing_says_what_it_would_be() -> None:
    with pytest.raises(ValidationError) as caught:
        Outer.model_validate({})

    assert describe(caught.value, Outer) == "needed: is missing (expected a whole number)"


def test_a_models_own_check_speaks_for_itself() -> None:
    assert problems({"flag": True}, where="spec.data[0].text") == [
        "spec.data[0].text: flag goes with line-by-line; kind is join"
    ]
    assert problems({"flag": True}) == ["flag goes with line-by-line; kind is join"]


def test_a_document_of_another_type_is_named_as_a_whole() -> None:
    assert problems(5, Inner) == ["the document: found 5, expected a mapping with seed, learningRate, batch, stop"]


def test_paths_continue_the_place_they_are_in() -> None:
    assert problems({"inner": {"seed": -1}}, where="spec.passes[0].lora")[0].startswith(
        "spec.passes[0].lora.inner.seed: "
    )
    assert problems({"zzz": 1}, where="spec.passes[0].custom.options")[0].startswith(
        "spec.passes[0].custom.options.zzz: "
    )


def test_unknown_keys_come_first_since_they_often_explain_the_rest() -> None:
    lines = problems({"inner": {"seed": -1, "sead": 1}, "knid": "x", "kind": "y"})

    assert [line.split(":")[0] for line in lines] == ["inner.sead", "knid", "kind", "inner.seed"]


def test_a_value_that_was_put_under_a_wrong_key_is_not_repeated() -> None:
    assert "hf_secret" not in problems({"token": "hf_secret"})[0]


# The manifest's own places.


def job(**spec: Any) -> dict[str, Any]:
    whole = {"model": {"path": "m"}, "passes": [{"merge": {}}], "output": {"path": "o"}} | spec
    return {
        "apiVersion": "millwright.dev/v1alpha1",
        "kind": "OptimizationJob",
        "metadata": {"name": "j"},
        "spec": whole,
    }


class TestAnEvaluation:
    def problems(self, **evaluation: Any) -> list[str]:
        return problems(job(evaluation={"metrics": [{"sizeOnDisk": {}}], **evaluation}), OptimizationJob)

    def test_a_misspelt_key_is_told_with_the_one_that_is_meant(self) -> None:
        assert self.problems(onViolations="Warn") == [
            "spec.evaluation.onViolations: unknown key (did you mean 'onViolation'?)"
        ]

    def test_a_misspelt_bound_too(self) -> None:
        assert self.problems(constraints=[{"metric": "sizeOnDisk", "maxdrop": 1}])[0] == (
            "spec.evaluation.constraints[0].maxdrop: unknown key (did you mean 'maxDrop'?)"
        )

    def test_a_metric_of_two_kinds_sits_at_the_metric(self) -> None:
        assert self.problems(metrics=[{"f1": {}, "sizeOnDisk": {}}]) == [
            "spec.evaluation.metrics[0]: a metric names exactly one metric; f1 and sizeOnDisk are given"
        ]

    def test_options_that_are_not_indented_are_told_so(self) -> None:
        assert self.problems(metrics=[{"exactMatch": None, "labels": ["joy"], "data": "holdout"}]) == [
            "spec.evaluation.metrics[0]: a metric names exactly one metric; exactMatch and labels are given "
            "(indent a metric's options below its name)"
        ]

    def test_a_constraint_on_a_metric_that_is_none_is_told_with_those_there_are(self) -> None:
        assert self.problems(constraints=[{"metric": "sizeOnDsk", "max": 1}]) == [
            "spec.evaluation: constraints[0] names the metric 'sizeOnDsk'; did you mean 'sizeOnDisk'?"
        ]

    def test_a_choice_that_is_none_is_told_with_those_there_are(self) -> None:
        assert self.problems(after=["first"]) == [
            "spec.evaluation.after[0]: found 'first', expected one of input, each, last"
        ]


def test_what_comes_in_a_later_version_is_no_misspelling() -> None:
    assert problems(job(execution={"kubernetes": {"nodes": 2}}), OptimizationJob) == [
        "spec.execution.kubernetes.nodes: is not supported by this version yet (leave it out)"
    ]


@pytest.mark.parametrize(
    ("said", "line"),
    [
        ({"model": {"azureMl": {}}}, "spec.model.azureMl: unknown key (did you mean 'azureML'?)"),
        ({"output": {"azureblob": {}}}, "spec.output.azureblob: unknown key (did you mean 'azureBlob'?)"),
        ({"output": {"azureBlob": {"uri": "https://a.blob.core.windows.net/b?sig=c"}}}, "spec.output.azureBlob.uri: found 'https://a.blob.core.windows.net/b?…', expected https://account.blob.core.windows.net/container/key, without a query (a SAS comes from the environment), up to 1024 characters"),
        ({"model": {"azureML": {"name": "phi3", "version": 7}}}, "spec.model.azureML.version: found 7, expected text, up to 64 characters (write it in quotes)"),
        ({"execution": {"azureML": {"compute": "gpu", "environment": {"name": "x", "conda": "y"}}}}, "spec.execution.azureML.environment: condaFile and conda go on top of image"),
    ],
)  # fmt: skip
def test_what_is_wrong_of_azure_is_told_by_its_path(said: dict[str, Any], line: str) -> None:
    assert line in problems(job(**said), OptimizationJob)


@pytest.mark.parametrize(
    ("step", "line"),
    [
        ({"merge": {}, "resources": {"limits": {"cpu": "four"}}}, "spec.passes[0].resources.limits.cpu: found 'four', expected an amount such as 4, 500m or 32Gi, up to 32 characters or a whole number, at least 0"),
        ({"merge": {}, "resources": {"limits": {"cpu": True}}}, "spec.passes[0].resources.limits.cpu: found true, expected an amount such as 4, 500m or 32Gi, up to 32 characters or a whole number, at least 0"),
        ({"merge": {}, "resources": {"limit": {"cpu": "4"}}}, "spec.passes[0].resources.limit: unknown key (did you mean 'limits'?)"),
        ({"resources": {"limits": {"cpu": "4"}}}, "spec.passes[0]: a step names exactly one pass; none is given"),
        ({"merge": None, "dtype": "float32", "resources": {}}, "spec.passes[0]: a step names exactly one pass; merge and dtype are given (indent a pass's options below its name)"),
    ],
)  # fmt: skip
def test_resources_of_a_step_are_told_by_their_path(step: dict[str, Any], line: str) -> None:
    assert problems(job(passes=[step]), OptimizationJob) == [line]


def test_a_status_is_the_clusters() -> None:
    found = problems(job() | {"status": {"phase": "Running"}}, OptimizationJob)

    assert found == ["status: is written by the cluster, not by people (leave it out)"]


@pytest.mark.parametrize(
    ("step", "line"),
    [
        (
            {"lora": None, "r": 16},
            "a step names exactly one pass; lora and r are given (indent a pass's options below its name)",
        ),
        ({"lora": {}, "merge": {}}, "a step names exactly one pass; lora and merge are given"),
        ({"name": "x"}, "a step names exactly one pass; none is given"),
        ("merge", "a step is a mapping such as 'lora: {r: 16}'"),
        ({"lora": [1]}, "the options of lora are a mapping, not list"),
        ({"custom": {"options": {}}}, "custom takes pass (a name) and options"),
    ],
)
def test_a_step_that_is_none_says_what_one_is(step: Any, line: str) -> None:
    assert problems(job(passes=[step]), OptimizationJob) == [f"spec.passes[0]: {line}"]


def test_a_step_with_a_bad_name() -> None:
    found = problems(job(passes=[{"name": "Fine Tune", "merge": {}}]), OptimizationJob)

    assert found == [
        "spec.passes[0].name: found 'Fine Tune', expected lower-case letters, digits and dashes, no dash at either end, up to 63 characters"
    ]


def test_a_name_that_yaml_reads_as_true_asks_for_quotes() -> None:
    assert problems(job(data=[{"name": True, "source": {"path": "p"}, "text": {}}]), OptimizationJob)[0].endswith(
        "(write it in quotes)"
    )


# Small parts.


def test_a_path_is_written_as_in_manifests() -> None:
    assert path_text(("spec", "data", 0, "text", "maxLength")) == "spec.data[0].text.maxLength"
    assert path_text((0, "a"), "spec.passes") == "spec.passes[0].a"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"), (True, "true"), (False, "false"), (0, "0"), (1.5, "1.5"), ("", "''"), ("a\nb", "'a\\nb'"), ([], "an empty list"),
        ([1, 2], "a list of 2"), ({}, "{}"), ({"a": 1, "b": 2}, "a mapping with a, b"),
        (dict.fromkeys("abcdef"), "a mapping with a, b, c, d, …"),
        ("x" * 100, "'" + "x" * 57 + "…'"),
    ],
)  # fmt: skip
def test_a_found_value_is_shown_short(value: Any, text: str) -> None:
    assert shown(value) == text
    assert len(shown(value)) <= 60
