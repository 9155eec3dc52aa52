"""The contract: what a manifest may say, and that nothing else is accepted."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from pydantic import ValidationError

from millwright_api.v1alpha1 import ChatFormat, OptimizationJob, TextFormat

GOOD: dict[str, Any] = {
    "apiVersion": "millwright.dev/v1alpha1",
    "kind": "OptimizationJob",
    "metadata": {"name": "phi3-emotion", "namespace": "team-a", "labels": {"team": "a"}},
    "spec": {
        "model": {"huggingFace": {"repo": "microsoft/Phi-3-mini-4k-instruct", "revision": "0a67737"}},
        "data": [
            {
                "name": "train",
                "source": {"s3": {"uri": "s3://team-a/emotion/train.jsonl"}},
                "text": {"columns": ["phrase", "tone"], "template": "{phrase}\n{tone}", "maxLength": 2048},
            }
        ],
        "passes": [
            {"name": "finetune", "lora": {"r": 64, "trainData": "train"}},
            {"merge": {}},
            {"genai": {"precision": "int4"}},
        ],
        "output": {"s3": {"uri": "s3://team-a/models/phi3-emotion/"}},
    },
}


def changed(path: str, value: Any) -> dict[str, Any]:
    """The good manifest with one value set; DELETE removes it."""
    job = copy.deepcopy(GOOD)
    at: Any = job
    *parents, last = path.split(".")
    for key in parents:
        at = at[int(key)] if isinstance(at, list) else at.setdefault(key, {})
    if isinstance(at, list):
        at[int(last)] = value
    elif value is DELETE:
        del at[last]
    else:
        at[last] = value
    return job


DELETE = object()


def test_the_designs_sample_is_accepted() -> None:
    job = OptimizationJob.model_validate(GOOD)

    assert job.spec.model.hugging_face is not None
    assert [step.name for step in job.spec.passes] == ["finetune", "merge", "genai"]
    assert job.spec.passes[0].options == {"r": 64, "trainData": "train"}
    assert isinstance(job.spec.data[0].format, TextFormat)


def test_defaults_are_the_safe_ones() -> None:
    spec = OptimizationJob.model_validate(GOOD).spec

    assert spec.model.trust_remote_code is False
    assert spec.output.replace is False
    assert spec.cache.mode == "ReadWrite"
    assert spec.checkpoint.every_steps == 200
    assert spec.target.execution_provider == "CPUExecutionProvider"
    assert spec.data[0].format.strategy == "join"


def test_what_is_written_out_can_be_read_again() -> None:
    job = OptimizationJob.model_validate(GOOD)

    assert OptimizationJob.model_validate(job.model_dump(mode="json", exclude_unset=True)) == job


def test_a_plug_ins_step_keeps_its_form() -> None:
    step = {"custom": {"pass": "drop-layers", "options": {"layers": 2}}}

    job = OptimizationJob.model_validate(changed("spec.passes.1", step))

    assert job.spec.passes[1].pass_name == "drop-layers"
    assert job.spec.passes[1].options == {"layers": 2}
    assert job.model_dump(mode="json")["spec"]["passes"][1] == {"name": "drop-layers", **step}


def test_a_chat_data_set_needs_no_options() -> None:
    job = changed("spec.data.0.chat", {})
    del job["spec"]["data"][0]["text"]

    assert isinstance(OptimizationJob.model_validate(job).spec.data[0].format, ChatFormat)


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("apiVersion", "v1", "millwright.dev/v1alpha1"),
        ("apiVersion", DELETE, "Field required"),
        ("kind", "Job", "OptimizationJob"),
        ("metadata.name", "Phi 3", "pattern"),
        ("metadata.name", "x" * 53, "at most 52"),
        ("metadata.name", DELETE, "Field required"),
        ("spec.modle", {}, "Extra inputs"),
        ("spec.model", {}, "exactly one of huggingFace, s3, azureBlob, azureML, path, volume is needed; none is given"),
        (
            "spec.model.path",
            "models/x",
            "exactly one of huggingFace, s3, azureBlob, azureML, path, volume is needed; huggingFace and path are given",
        ),
        ("spec.model.trustRemoteCode", "yes", "valid boolean"),
        ("spec.model.trust_remote_code", True, "Extra inputs"),
        ("spec.model.huggingFace.repo", "", "at least 1 character"),
        ("spec.model.huggingFace.revision", 3, "valid string"),
        ("spec.data.0.name", "Train", "pattern"),
        ("spec.data.0.source", {}, "exactly one of huggingFace, s3, azureBlob, azureML, path, volume"),
        ("spec.data.0.source.s3.uri", "http://x/y", "pattern"),
        ("spec.data.0.source.s3.endpoint", "loopback:9000", "pattern"),
        ("spec.data.0.text", DELETE, "exactly one of text, chat is needed; none is given"),
        ("spec.data.0.chat", {}, "exactly one of text, chat is needed; both are given"),
        ("spec.data.0.limit", 0, "greater than or equal to 1"),
        ("spec.data.0.text.columns", [], "at least 1 item"),
        ("spec.data.0.text.columns", "phrase", "valid list"),
        ("spec.data.0.text.maxLength", "2048", "valid integer"),
        ("spec.data.0.text.maxLength", 1, "greater than or equal to 2"),
        ("spec.data.0.text.maxLength", True, "valid integer"),
        ("spec.data.0.text.strategy", "joined", "'join' or 'line-by-line'"),
        ("spec.data.0.text.stride", 4096, "larger than maxLength"),
        ("spec.data.0.text", {"strategy": "line-by-line", "stride": 8}, "stride goes with strategy join"),
        ("spec.data.0.text", {"strategy": "line-by-line", "joiner": " "}, "joiner goes with strategy join"),
        ("spec.data.0.text.lossOn", "answer", "needs answer"),
        ("spec.data.0.text.answer", "mood", "not in columns"),
        ("spec.passes", [], "at least 1 item"),
        ("spec.passes", [{"merge": {}, "name": f"m{i}"} for i in range(33)], "at most 32"),
        ("spec.passes.1", {}, "exactly one pass; none is given"),
        ("spec.passes.1", {"merge": {}, "genai": {}}, "exactly one pass; merge and genai are given"),
        ("spec.passes.1", "merge", "a step is a mapping"),
        ("spec.passes.1", {"merge": [1]}, "options of merge are a mapping"),
        ("spec.passes.1", {"custom": {"options": {}}}, "custom takes pass"),
        ("spec.passes.1", {"custom": {"pass": "x", "optoins": {}}}, "not optoins"),
        ("spec.passes.1", {"name": "genai", "merge": {}}, "'genai' more than once"),
        ("spec.output", {}, "exactly one of s3, azureBlob, path, volume"),
        ("spec.output.path", "out", "exactly one of s3, azureBlob, path, volume is needed; s3 and path are given"),
        ("spec.output.replace", 1, "valid boolean"),
        ("spec.cache", {"mode": "On"}, "'Off', 'ReadOnly' or 'ReadWrite'"),
        ("spec.checkpoint", {"everySteps": 0}, "greater than or equal to 1"),
        ("spec.target", {"executionProvider": "CPU"}, "CPUExecutionProvider"),
        ("spec.suspend", "no", "valid boolean"),
        ("spec.search", {}, "Field required"),
        ("status", {}, "Extra inputs"),
    ],
)
def test_nonsense_is_refused(path: str, value: Any, said: str) -> None:
    with pytest.raises(ValidationError) as caught:
        OptimizationJob.model_validate(changed(path, value))

    assert said in str(caught.value)


def test_two_data_sets_of_one_name_are_refused() -> None:
    job = copy.deepcopy(GOOD)
    job["spec"]["data"].append(copy.deepcopy(job["spec"]["data"][0]))

    with pytest.raises(ValidationError, match="data has the name 'train' more than once"):
        OptimizationJob.model_validate(job)


def test_every_field_explains_itself() -> None:
    def walk(schema: dict[str, Any], path: str) -> None:
        for name, field in schema.get("properties", {}).items():
            if path.endswith(("OptimizationJob", ".Spec", ".Metadata", "Step", ".MetricUse")):
                continue  # the resource's own frame, and lists described where they stand
            assert field.get("description"), f"{path}.{name} has no description"

    schema = OptimizationJob.model_json_schema()
    for name, definition in schema["$defs"].items():
        walk(definition, f".{name}")
