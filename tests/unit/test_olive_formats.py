"""Olive's formats, told apart and converted: today's, 0.7's and the old one, with the defaults of each."""

from __future__ import annotations

import pytest
from tests.olive.samples import NAMES, genai, imported, lines, lora, lora_of, note_on, rows, sample, spec_of, workflow

from millwright_api.v1alpha1 import OptimizationJob
from millwright_runner import registry
from millwright_runner.olive import convert, looks_like_olive


@pytest.mark.parametrize("name", NAMES)
def test_each_sample_becomes_a_manifest_that_the_contract_and_the_passes_accept(name: str):
    job = OptimizationJob.model_validate(imported(name).manifest)

    assert registry.bind(job)


@pytest.mark.parametrize(
    ("name", "era"),
    [
        ("seed", "old"),
        ("old_azure", "old"),
        ("old_params_config", "old"),
        ("middle", "middle"),
        ("new_tiny", "new"),
        ("new_search", "new"),
    ],
)
def test_the_format_is_told_by_its_keys(name: str, era: str):
    assert imported(name).era == era


@pytest.mark.parametrize("name", ["new_tiny", "new_line_by_line", "new_qlora"])
def test_todays_format_imports_with_nothing_left_over(name: str):
    found = imported(name)

    assert found.unmapped == []
    assert found.runnable


def test_todays_tiny_workflow_becomes_this_manifest():
    spec = imported("new_tiny").manifest["spec"]

    assert spec == {
        "model": {"huggingFace": {"repo": "models/tiny-phi3"}},
        "data": [
            {
                "name": "dataset-default-train",
                "source": {"path": "dataset/dataset-classification.json"},
                "text": {
                    "columns": ["phrase", "tone"],
                    "template": "### Text: {phrase}\n### The tone is:\n{tone}",
                    "strategy": "join",
                    "maxLength": 256,
                },
            }
        ],
        "passes": [
            {
                "lora": {
                    "r": 64,
                    "alpha": 64,
                    "dropout": 0.1,
                    "targetModules": ["o_proj", "qkv_proj"],
                    "trainData": "dataset-default-train",
                    "training": {
                        "seed": 0,
                        "dataSeed": 42,
                        "epochs": 3,
                        "maxSteps": 10,
                        "learningRate": 1e-4,
                        "scheduler": "constant",
                        "maxGradNorm": 0.3,
                        "perDeviceTrainBatchSize": 1,
                        "perDeviceEvalBatchSize": 1,
                        "gradientAccumulationSteps": 4,
                        "adamBeta2": 0.999,
                        "gradientCheckpointing": False,
                        "dtype": "float32",
                        "loggingSteps": 10,
                    },
                }
            },
            {"name": "merge-adapter-weights", "merge": {}},
            {"name": "builder", "genai": {"precision": "int4"}},
        ],
        "target": {"executionProvider": "CPUExecutionProvider"},
        "output": {"path": "work/tiny_fp32/out"},
    }


def test_what_a_local_system_and_the_log_say_is_noted():
    found = imported("new_tiny")

    assert note_on(found, "log_severity_level")
    assert note_on(found, "cache_dir")
    assert note_on(found, "systems.local_system.type") == "this machine, as here"


def test_defaults_of_todays_format_are_written_out():
    found = lora_of(workflow())

    assert (found["r"], found["alpha"], found["dropout"]) == (64, 16, 0.05)
    assert found["training"] == {
        "seed": 42,
        "epochs": 3,
        "learningRate": 2e-4,
        "scheduler": "constant",
        "perDeviceTrainBatchSize": 8,
        "perDeviceEvalBatchSize": 8,
        "gradientAccumulationSteps": 1,
        "gradientCheckpointing": True,
        "dtype": "bfloat16",
        "loggingSteps": 500,
    }


OLD_ROWS = rows(words={"source_max_len": 512, "corpus_strategy": "join", "strategy": None, "max_seq_len": None})


def test_defaults_of_the_old_format_are_others():
    found = lora_of(workflow(data_configs=[OLD_ROWS]))

    assert (found["r"], found["alpha"], found["dropout"]) == (64, 16, 0.0)
    assert found["training"] == {
        "seed": 42,
        "dataSeed": 42,
        "maxSteps": 10000,
        "learningRate": 2e-4,
        "scheduler": "constant",
        "weightDecay": 0.0,
        "perDeviceTrainBatchSize": 1,
        "perDeviceEvalBatchSize": 1,
        "gradientAccumulationSteps": 16,
        "optimizer": "adamw_torch",
        "gradientCheckpointing": True,
        "dtype": "bfloat16",
        "loggingSteps": 10,
        "groupByLength": True,
    }


def test_the_old_formats_ten_thousand_steps_go_before_its_epochs_and_it_is_said():
    found = convert(workflow(data_configs=[OLD_ROWS], passes={"lora": lora({"num_train_epochs": 2})}))

    training = found.manifest["spec"]["passes"][0]["lora"]["training"]
    assert (training["epochs"], training["maxSteps"]) == (2, 10000)
    assert "leave out maxSteps" in note_on(found, "passes.lora.training_args.num_train_epochs")


def test_lora_r_alone_is_zero_point_seven():
    found = lora_of(workflow(passes={"lora": lora(lora_r=8, lora_alpha=32)}))

    assert (found["r"], found["alpha"], found["dropout"]) == (8, 32, 0.05)
    assert found["training"]["optimizer"] == "adamw_torch"
    assert found["training"]["epochs"] == 3


def test_a_default_asked_for_by_name_is_olives():
    found = lora_of(workflow(passes={"lora": lora(r="DEFAULT_VALUE", alpha=None)}))

    assert (found["r"], found["alpha"]) == (64, 16)


@pytest.mark.parametrize("nesting", ["config", "beside the type"])
@pytest.mark.parametrize("params", [True, False], ids=["params", "no params"])
@pytest.mark.parametrize("engine", [True, False], ids=["engine section", "top level"])
def test_all_nestings_mean_the_same(nesting: str, params: bool, engine: bool):
    options = {
        "r": 8,
        "train_data_config": "train",
        "training_args": {"extra_args": {"weight_decay": 0.1}} if params else {"weight_decay": 0.1},
    }
    load = {"data_name": "json", "data_files": "train.jsonl", "split": "train"}
    words = {"text_cols": ["a", "b"], "max_seq_len": 64}
    tune = {"type": "LoRA", **({"config": options} if nesting == "config" else options)}
    around = {"output_dir": "out", "search_strategy": False, "execution_providers": ["CUDAExecutionProvider"]}
    config = {
        "input_model": {
            "type": "HfModel",
            **({"config": {"model_path": "acme/small"}} if nesting == "config" else {"model_path": "acme/small"}),
        },
        "data_configs": [
            {
                "name": "train",
                "type": "HuggingfaceContainer",
                "load_dataset_config": {"params": load} if params else load,
                "pre_process_data_config": {"params": words} if params else words,
            }
        ],
        "passes": {"lora": tune},
        **({"engine": around} if engine else around),
    }

    found = convert(config)

    assert found.unmapped == []
    assert found.manifest["spec"]["target"] == {"executionProvider": "CUDAExecutionProvider"}
    assert found.manifest["spec"]["output"] == {"path": "out"}
    assert found.manifest["spec"]["data"][0]["text"]["columns"] == ["a", "b"]
    step = found.manifest["spec"]["passes"][0]["lora"]
    assert (step["r"], step["training"]["weightDecay"]) == (8, 0.1)


def test_a_workflow_of_zero_point_five_reads_params_config_and_component_kwargs():
    spec = imported("old_params_config").manifest["spec"]

    assert spec["data"] == [
        {
            "name": "codes-train",
            "source": {"path": "data/codes-train.json"},
            "text": {
                "columns": ["prompt", "response"],
                "template": "### Question: {prompt}\n### Answer: {response}",
                "strategy": "join",
                "maxLength": 1024,
            },
        }
    ]
    assert spec["checkpoint"] == {"everySteps": 50}
    assert spec["passes"][0]["qlora"]["evalSize"] == 1024


def test_components_of_their_own_loader_are_listed():
    config = workflow(
        data_configs=[
            {
                "name": "train",
                "type": "HuggingfaceContainer",
                "user_script": "user_script.py",
                "components": {"load_dataset": {"name": "mine", "type": "load_tiny_code_dataset"}},
                "params_config": {
                    "data_name": "acme/codes",
                    "split": "train",
                    "component_kwargs": {"load_dataset": {"language": "Python", "token": "hf_notARealToken123456"}},
                },
            }
        ]
    )

    found = convert(config)

    blocking = [path for path, blocks in lines(found).items() if blocks]
    assert blocking == [
        "data_configs[0].user_script",
        "data_configs[0].components.load_dataset.type",
        "data_configs[0].params_config.component_kwargs.load_dataset.language",
    ]
    (token,) = [line for line in found.unmapped if line.path.endswith("token")]
    assert (token.value, token.blocks) == ("***", False)
    assert "HF_TOKEN" in token.why


@pytest.mark.parametrize(
    ("config", "olive"),
    [
        (sample("seed"), True),
        (sample("new_search"), True),
        ({"passes": {}, "input_modle": {}}, True),
        ({"apiVersion": "millwright.dev/v1alpha1", "kind": "OptimizationJob", "input_model": {}}, False),
        ({"spec": {}, "passes": {}}, False),
        ({"passes": []}, False),
        ({}, False),
        ([], False),
        ("text", False),
        (None, False),
    ],
)
def test_olives_workflows_are_told_from_manifests_and_other_things(config: object, olive: bool):
    assert looks_like_olive(config) is olive


def test_builder_alone_needs_no_data():
    spec = spec_of(workflow(data_configs=None, passes={"b": genai()}))

    assert "data" not in spec
    assert spec["passes"] == [{"name": "b", "genai": {"precision": "int4"}}]


@pytest.mark.parametrize(
    ("names", "job"),
    [
        ({"workflow_id": "Phi3 Tuning!"}, "phi3-tuning"),
        ({}, "olive"),
        ({"workflow_id": "x" * 80}, "x" * 52),
        ({"workflow_id": "___"}, "olive"),
    ],
)
def test_the_job_is_named_after_the_workflow(names: dict[str, str], job: str):
    assert convert(workflow(**names)).manifest["metadata"]["name"] == job


def test_a_name_that_is_asked_for_goes_before_the_workflows():
    found = convert(workflow(workflow_id="theirs"), name="Mine")

    assert found.manifest["metadata"]["name"] == "mine"
    assert note_on(found, "workflow_id") == "another name was asked for"
