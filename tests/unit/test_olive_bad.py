"""Wrong workflows: one message that says where in the JSON, what was found, and what is possible; exit code 2."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.olive.samples import genai, lora, rows, workflow

from millwright_api.errors import InvalidManifest, MillwrightError, UnknownPass
from millwright_runner.olive import convert, read_config

CASES: list[tuple[str, dict[str, Any], type[MillwrightError], list[str]]] = [
    (
        "a misspelt pass is suggested",
        workflow(passes={"lora": lora(type="LoRAA")}),
        UnknownPass,
        ["passes.lora.type", "'LoRAA'", "did you mean 'LoRA'?"],
    ),
    (
        "a pass like none lists what Olive has",
        workflow(passes={"x": {"type": "Zzzz"}}),
        UnknownPass,
        ["passes.x.type", "'Zzzz'", "Olive has AddOliveMetadata", "VitisGenerateModelSD"],
    ),
    (
        "a pass without a type",
        workflow(passes={"x": {"precision": "int4"}}),
        InvalidManifest,
        ["passes.x", "no type", "LoRA"],
    ),
    ("a pass that is a number", workflow(passes={"x": 3}), InvalidManifest, ["passes.x", "3", "mapping with a type"]),
    ("passes as a list", workflow(passes=[genai()]), InvalidManifest, ["passes", "mapping from names to passes"]),
    ("no passes", workflow(passes={}), InvalidManifest, ["passes", "no passes are named"]),
    (
        "only passes without a counterpart",
        workflow(passes={"a": {"type": "SliceGPT"}, "b": {"type": "Gptq"}}),
        UnknownPass,
        ["passes", "SliceGPT, Gptq", "LoRA", "ModelBuilder"],
    ),
    (
        "no input_model, and a misspelt one",
        {"input_modle": {}, "passes": {"g": genai()}},
        InvalidManifest,
        ["there is no input_model", "did you mean 'input_modle'?"],
    ),
    (
        "a model without a type",
        workflow(input_model={"model_path": "a/b"}),
        InvalidManifest,
        ["input_model", "no type", "HfModel"],
    ),
    (
        "a misspelt model type",
        workflow(input_model={"type": "HfModell", "model_path": "a/b"}),
        InvalidManifest,
        ["input_model.type", "'HfModell'", "did you mean 'HfModel'?"],
    ),
    (
        "a model without a name",
        workflow(input_model={"type": "HfModel"}),
        InvalidManifest,
        ["input_model", "names no model"],
    ),
    (
        "a model that is a number",
        workflow(input_model={"type": "HfModel", "model_path": 3}),
        InvalidManifest,
        ["input_model.model_path", "3"],
    ),
    (
        "a model that is a text",
        workflow(input_model="acme/small"),
        InvalidManifest,
        ["input_model", '"acme/small"', "mapping"],
    ),
    (
        "data that are not there",
        workflow(passes={"lora": lora(train_data_config="trian")}),
        InvalidManifest,
        ["passes.lora.train_data_config", "'trian'", "did you mean 'train'?"],
    ),
    (
        "no data to train on",
        workflow(passes={"lora": {"type": "LoRA"}}),
        InvalidManifest,
        ["passes.lora", "LoRA names no data", "train_data_config"],
    ),
    (
        "data without a name",
        workflow(data_configs=[{"type": "HuggingfaceContainer"}]),
        InvalidManifest,
        ["data_configs[0]", "name"],
    ),
    (
        "two data sets of one name",
        workflow(data_configs=[rows(), rows()]),
        InvalidManifest,
        ["data_configs[1]", "'train'", "data_configs[0]"],
    ),
    (
        "data without a source",
        workflow(data_configs=[rows({"split": "train"})]),
        InvalidManifest,
        ["data_configs[0].load_dataset_config", "data_name"],
    ),
    (
        "a file loader without a file",
        workflow(data_configs=[rows({"data_name": "json"})]),
        InvalidManifest,
        ["data_configs[0].load_dataset_config", "data_files"],
    ),
    (
        "a misspelt strategy",
        workflow(data_configs=[rows(words={"strategy": "jion"})]),
        InvalidManifest,
        ["data_configs[0].pre_process_data_config.strategy", "'jion'", "did you mean 'join'?"],
    ),
    (
        "overlapping windows without a stride",
        workflow(data_configs=[rows(words={"strategy": "join-sliding-window"})]),
        InvalidManifest,
        ["strategy", "needs stride"],
    ),
    (
        "a torn template",
        workflow(data_configs=[rows(words={"text_template": "{phrase"})]),
        InvalidManifest,
        ["data_configs[0].pre_process_data_config.text_template", "torn"],
    ),
    (
        "columns that are no texts",
        workflow(data_configs=[rows(words={"text_cols": [1]})]),
        InvalidManifest,
        ["data_configs[0].pre_process_data_config.text_cols", "text or list of texts"],
    ),
    (
        "a negative learning rate",
        workflow(passes={"lora": lora({"learning_rate": -1e-4})}),
        InvalidManifest,
        ["passes.lora.training_args.learning_rate", "-0.0001", "above 0"],
    ),
    (
        "a rank in words",
        workflow(passes={"lora": lora(r="many")}),
        InvalidManifest,
        ["passes.lora.r", '"many"', "number"],
    ),
    (
        "a rank of a half",
        workflow(passes={"lora": lora(r=8.5)}),
        InvalidManifest,
        ["passes.lora.r", "8.5", "whole number"],
    ),
    (
        "a rank that is a truth",
        workflow(passes={"lora": lora(r=True)}),
        InvalidManifest,
        ["passes.lora.r", "true", "number"],
    ),
    ("a rank of nought", workflow(passes={"lora": lora(lora_r=0)}), InvalidManifest, ["passes.lora.lora_r", "0"]),
    (
        "a switch that is a number",
        workflow(passes={"lora": lora({"gradient_checkpointing": 3})}),
        InvalidManifest,
        ["passes.lora.training_args.gradient_checkpointing", "3", "true or false"],
    ),
    (
        "training arguments as a list",
        workflow(passes={"lora": lora(training_args=[1])}),
        InvalidManifest,
        ["passes.lora.training_args", "mapping"],
    ),
    (
        "a misspelt evaluation strategy",
        workflow(passes={"lora": lora({"eval_strategy": "step"}, eval_data_config="train")}),
        InvalidManifest,
        ["passes.lora.training_args.eval_strategy", '"step"', "did you mean 'steps'?"],
    ),
    (
        "a negative share to hold back",
        workflow(passes={"lora": lora(eval_dataset_size=-1)}),
        InvalidManifest,
        ["passes.lora.eval_dataset_size", "-1"],
    ),
    (
        "a type to train in that there is not",
        workflow(passes={"lora": lora(torch_dtype="float64")}),
        InvalidManifest,
        ["passes.lora.torch_dtype", "'float64'", "float16"],
    ),
    (
        "a precision that there is not",
        workflow(passes={"g": genai(precision="int3")}),
        InvalidManifest,
        ["passes.g.precision", "'int3'", "int8"],
    ),
    (
        "a block of 48",
        workflow(passes={"g": genai(int4_block_size=48)}),
        InvalidManifest,
        ["passes.g.int4_block_size", "48"],
    ),
    (
        "a flow with an unknown pass",
        workflow(pass_flows=[["lora", "marge"]]),
        InvalidManifest,
        ["pass_flows[0]", "'marge'", "did you mean 'merge'?"],
    ),
    ("flows that are no lists", workflow(pass_flows=["lora"]), InvalidManifest, ["pass_flows", "list of lists"]),
    (
        "a host that there is not",
        workflow(systems={"local_system": {"type": "LocalSystem"}}, host="local_sytem"),
        InvalidManifest,
        ["host", "'local_sytem'", "did you mean 'local_system'?"],
    ),
    ("systems as a list", workflow(systems=[1], host="x"), InvalidManifest, ["systems", "mapping"]),
    ("an engine that is a text", workflow(engine="fast"), InvalidManifest, ["engine", '"fast"', "mapping"]),
    ("an output folder that is a number", workflow(output_dir=7), InvalidManifest, ["output_dir", "7", "text"]),
    (
        "a nested config that is a list",
        workflow(passes={"g": {"type": "ModelBuilder", "config": [1]}}),
        InvalidManifest,
        ["passes.g.config", "mapping"],
    ),
]


@pytest.mark.parametrize(("config", "kind", "words"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_a_wrong_workflow(config: dict[str, Any], kind: type[MillwrightError], words: list[str]):
    with pytest.raises(MillwrightError) as caught:
        convert(config)

    assert type(caught.value) is kind
    assert caught.value.exit_code == 2
    for word in words:
        assert word in str(caught.value)


def test_a_message_speaks_of_the_json_and_not_of_the_manifest():
    with pytest.raises(InvalidManifest) as caught:
        convert(workflow(passes={"lora": lora({"learning_rate": -1, "weight_decay": -1}, lora_r=0)}))

    assert "spec.passes" not in str(caught.value)
    assert "passes.lora.training_args.weight_decay" in str(caught.value)


FILES = [
    ("{", ".json", "not JSON", ":1"),
    ('{"a": 1,\n "b": }', ".json", "not JSON", ":2"),
    ("", ".json", "not JSON", ":1"),
    ("[]", ".json", "no mapping", ""),
    ('{"passes": {}, "passes": {}}', ".json", "'passes' stands twice", ""),
    ("a: [", ".yaml", "not YAML", ""),
    ("- 1", ".yaml", "no mapping", ""),
]


@pytest.mark.parametrize(("text", "suffix", "words", "line"), FILES)
def test_a_file_that_is_no_workflow(tmp_path: Path, text: str, suffix: str, words: str, line: str):
    path = tmp_path / f"config{suffix}"
    path.write_text(text)

    with pytest.raises(InvalidManifest) as caught:
        read_config(path)

    assert words in str(caught.value)
    assert f"{path}{line}" in str(caught.value)


def test_a_file_that_is_not_there(tmp_path: Path):
    with pytest.raises(InvalidManifest, match="cannot be read: No such file"):
        read_config(tmp_path / "config.json")


def test_a_file_that_is_a_folder(tmp_path: Path):
    with pytest.raises(InvalidManifest, match="cannot be read"):
        read_config(tmp_path)


def test_a_file_that_is_no_text(tmp_path: Path):
    path = tmp_path / "config.json"
    path.write_bytes(b"\xff\xfe\x00")

    with pytest.raises(InvalidManifest, match="not UTF-8"):
        read_config(path)


def test_a_files_byte_order_mark_is_passed_over(tmp_path: Path):
    path = tmp_path / "config.json"
    path.write_bytes(b'\xef\xbb\xbf{"a": 1}')

    assert read_config(path) == {"a": 1}


def test_a_workflow_in_yaml_is_read_as_olive_reads_it(tmp_path: Path):
    path = tmp_path / "config.yaml"
    path.write_text(
        "input_model: {type: HfModel, model_path: acme/small}\npasses:\n  g: {type: ModelBuilder, precision: int4}\n"
    )

    assert convert(read_config(path)).manifest["spec"]["passes"] == [{"name": "g", "genai": {"precision": "int4"}}]
