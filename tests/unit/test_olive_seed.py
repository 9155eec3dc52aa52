"""The published Phi-3 workflow in Olive's old format, byte for byte, becomes a manifest."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from tests.olive.samples import SAMPLES, imported, note_on, sample

from millwright_api.v1alpha1 import OptimizationJob
from millwright_runner import registry
from millwright_runner.olive import convert, looks_like_olive, read_config, to_yaml


def test_the_sample_is_the_published_file_unchanged():
    digest = hashlib.sha256((SAMPLES / "seed.json").read_bytes()).hexdigest()
    assert digest == "7d681c0b614c4bd2ea8762bc0cb2ebd751e7a29849f5a22673e63f551e635c88"


def test_it_is_recognised_as_olives():
    assert looks_like_olive(sample("seed"))


def test_the_manifest_says_what_the_workflow_says():
    manifest = imported("seed").manifest

    assert manifest == {
        "apiVersion": "millwright.dev/v1alpha1",
        "kind": "OptimizationJob",
        "metadata": {"name": "seed"},
        "spec": {
            "model": {"huggingFace": {"repo": "models/tiny-phi3"}, "trustRemoteCode": True},
            "data": [
                {
                    "name": "dataset-default-train",
                    "source": {"path": "dataset/dataset-classification.json"},
                    "text": {
                        "columns": ["phrase", "tone"],
                        "template": "### Text: {phrase}\n### The tone is:\n{tone}",
                        "strategy": "join",
                        "maxLength": 2048,
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
                        "evalFraction": 0.3,
                        "training": {
                            "seed": 0,
                            "dataSeed": 42,
                            "epochs": 3,
                            "maxSteps": 10,
                            "learningRate": 1e-4,
                            "scheduler": "constant",
                            "weightDecay": 0.0,
                            "maxGradNorm": 0.3,
                            "perDeviceTrainBatchSize": 1,
                            "perDeviceEvalBatchSize": 1,
                            "gradientAccumulationSteps": 4,
                            "optimizer": "adamw_torch",
                            "adamBeta2": 0.999,
                            "gradientCheckpointing": False,
                            "dtype": "bfloat16",
                            "loggingSteps": 10,
                            "evalSteps": 187,
                            "groupByLength": True,
                        },
                    }
                },
                {"name": "merge-adapter-weights", "merge": {}},
                {"name": "builder", "genai": {"precision": "int4"}},
            ],
            "execution": {
                "azureML": {
                    "compute": "Your Azure AI Studio / Azure Machine Learning Service Compute Name",
                    "environment": {
                        "image": "Your Azure AI Studio / Azure Machine Learning Service docker",
                        "condaFile": "conda.yaml",
                    },
                    "identity": {"type": "User"},
                    "secrets": [{"name": "HF_TOKEN", "keyVault": {"secret": "hf-token"}}],
                }
            },
            "target": {"executionProvider": "CUDAExecutionProvider"},
            "output": {"path": "runs/seed/out"},
        },
    }


def test_the_manifest_is_one_that_the_contract_and_the_passes_accept():
    job = OptimizationJob.model_validate(imported("seed").manifest)
    steps = registry.bind(job)

    registry.check_chain(steps)
    assert [step.pass_.name for step in steps] == ["lora", "merge", "genai"]


def test_not_a_single_line_is_left_over():
    assert imported("seed").unmapped == []


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("systems.aml.type", "spec.execution.azureML"),
        ("systems.aml.config.hf_token", "spec.execution.azureML.secrets[0]"),
        ("systems.aml.config.aml_compute", "spec.execution.azureML.compute"),
        ("systems.aml.config.aml_docker_config.base_image", "spec.execution.azureML.environment.image"),
        ("systems.aml.config.aml_docker_config.conda_file_path", "spec.execution.azureML.environment.condaFile"),
        ("engine.host", "spec.execution.azureML"),
        ("engine.target", "spec.execution.azureML"),
    ],
)
def test_a_line_of_azure_is_taken_over(path: str, place: str):
    assert imported("seed").mapped[path] == place


def test_the_system_that_nothing_uses_is_another_place_to_run_for_who_wants_it():
    found = imported("seed")

    assert found.alternatives == {
        "azure_arc": {
            "azureML": {
                "compute": "Your Azure AI Studio / Azure Machine Learning Service Compute Name",
                "environment": {
                    "image": "Your Azure AI Studio / Azure Machine Learning Service docker",
                    "condaFile": "conda.yaml",
                },
                "identity": {"type": "User"},
            }
        }
    }
    assert "as a comment" in note_on(found, "systems.azure_arc")


def test_what_is_still_to_be_filled_in_is_named():
    placeholders = [note.path for note in imported("seed").notes if "looks like a placeholder" in note.text]

    assert placeholders == [
        "systems.aml.config.aml_compute",
        "systems.aml.config.aml_docker_config.base_image",
        "systems.azure_arc.config.aml_compute",
        "systems.azure_arc.config.aml_docker_config.base_image",
    ]


def test_it_can_run_here():
    assert imported("seed").runnable


def test_double_quantisation_of_a_plain_lora_is_noted_as_without_effect():
    assert "Olive ignores it on LoRA" in note_on(imported("seed"), "passes.lora.config.double_quant")


def test_trust_remote_code_is_taken_over_and_remarked_on():
    found = imported("seed")

    path = "input_model.config.hf_config.model_loading_args.trust_remote_code"
    assert found.manifest["spec"]["model"]["trustRemoteCode"] is True
    assert "code that comes with the model will run" in note_on(found, path)


def test_defaults_of_the_old_format_are_written_out_and_named():
    (note,) = [note.text for note in imported("seed").notes if note.text.startswith("Olive's defaults of passes.lora")]

    assert "training.optimizer adamw_torch" in note
    assert "training.dtype bfloat16" in note
    assert "training.scheduler constant" in note
    assert "learningRate" not in note, "what the file says is no default"


def test_the_model_is_a_folder_where_there_is_one(tmp_path: Path):
    (tmp_path / "models/tiny-phi3").mkdir(parents=True)

    model = convert(sample("seed"), cwd=tmp_path).manifest["spec"]["model"]

    assert model == {"path": "models/tiny-phi3", "trustRemoteCode": True}


def test_the_format_is_told_as_old():
    assert imported("seed").era == "old"


def test_the_same_file_gives_the_same_text_each_time():
    assert to_yaml(imported("seed")) == to_yaml(imported("seed"))


def test_it_is_read_from_disk_as_it_lies_there():
    assert read_config(SAMPLES / "seed.json") == sample("seed")
