"""Model, target, systems, output and paths of an import, and what Olive's engine is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.olive.samples import imported, lines, lora, note_on, rows, sample, spec_of, workflow

from millwright_runner.olive import convert


def old_model(**config: Any) -> dict[str, Any]:
    return {"type": "PyTorchModel", "config": config}


@pytest.mark.parametrize(("model", "source"), [
    ({"type": "HfModel", "model_path": "acme/small"}, {"huggingFace": {"repo": "acme/small"}}),
    ({"type": "HfModel", "model_path": "gpt2"}, {"huggingFace": {"repo": "gpt2"}}),
    ({"type": "hfmodel", "config": {"model_path": "acme/small"}}, {"huggingFace": {"repo": "acme/small"}}),
    ({"type": "HfModel", "model_path": "./small"}, {"path": "./small"}),
    ({"type": "HfModel", "model_path": "/models/small"}, {"path": "/models/small"}),
    ({"type": "HfModel", "model_path": "models/of/mine"}, {"path": "models/of/mine"}),
    ({"type": "HfModel", "model_path": "acme/small", "load_kwargs": {"revision": "v2"}}, {"huggingFace": {"repo": "acme/small", "revision": "v2"}}),
    ({"type": "HfModel", "model_path": {"type": "folder", "config": {"path": "/models/small"}}}, {"path": "/models/small"}),
    ({"type": "HfModel", "model_path": {"type": "string_name", "config": {"name": "acme/small"}}}, {"huggingFace": {"repo": "acme/small"}}),
    (old_model(hf_config={"model_name": "acme/small", "task": "text-generation"}), {"huggingFace": {"repo": "acme/small"}}),
    (old_model(model_path="/models/small", hf_config={"model_name": "acme/small"}), {"path": "/models/small"}),
    (old_model(hf_config={"model_name": "acme/small", "feature": "causal-lm"}), {"huggingFace": {"repo": "acme/small"}}),
])  # fmt: skip
def test_the_model_is_found_wherever_a_format_names_it(model: dict[str, Any], source: dict[str, Any]):
    found = convert(workflow(input_model=model))

    assert found.manifest["spec"]["model"] == source
    assert found.unmapped == []


@pytest.mark.parametrize("kwargs", ["load_kwargs", "from_pretrained_args", "model_loading_args"])
@pytest.mark.parametrize("nested", [True, False], ids=["extra_args", "flat"])
def test_trust_is_taken_over_from_all_forms_of_loading_arguments(kwargs: str, nested: bool):
    arguments = {"extra_args": {"trust_remote_code": True}} if nested else {"trust_remote_code": True}

    new = spec_of(workflow(input_model={"type": "HfModel", "model_path": "acme/small", kwargs: arguments}))
    old = spec_of(workflow(input_model=old_model(hf_config={"model_name": "acme/small", kwargs: arguments})))

    assert new["model"]["trustRemoteCode"] is old["model"]["trustRemoteCode"] is True


def test_trust_is_off_unless_asked_for():
    found = convert(
        workflow(
            input_model={"type": "HfModel", "model_path": "acme/small", "load_kwargs": {"trust_remote_code": False}}
        )
    )

    assert "trustRemoteCode" not in found.manifest["spec"]["model"]


@pytest.mark.parametrize(("model", "path", "blocks"), [
    ({"model_path": "acme/small", "adapter_path": "a"}, "adapter_path", True),
    ({"model_path": "acme/small", "task": "text-classification"}, "task", True),
    ({"model_path": "acme/small", "io_config": "get_io"}, "io_config", False),
    ({"model_path": "acme/small", "model_loader": "mine"}, "model_loader", True),
    ({"model_path": "acme/small", "model_file_format": "PyTorch.MLflow"}, "model_file_format", True),
    ({"model_path": "acme/small", "load_kwargs": {"attn_implementation": "eager"}}, "load_kwargs.attn_implementation", False),
    ({"model_path": "acme/small", "load_kwargs": {"quantization_method": "gptq"}}, "load_kwargs.quantization_method", True),
    ({"model_path": "acme/small", "load_kwargs": {"use_safetensors": False}}, "load_kwargs.use_safetensors", True),
    ({"model_path": "acme/small", "type": "OnnxModel"}, "type", True),
])  # fmt: skip
def test_what_the_model_has_no_counterpart_for_is_listed(model: dict[str, Any], path: str, blocks: bool):
    found = convert(workflow(input_model={"type": "HfModel", **model}))

    assert lines(found) == {f"input_model.{path}": blocks}


@pytest.mark.parametrize("loading", [
    {"torch_dtype": "float32"}, {"device_map": "auto"}, {"max_memory": {"0": "8GB"}}, {"use_safetensors": True}, {"low_cpu_mem_usage": True},
])  # fmt: skip
def test_how_a_model_is_loaded_is_noted(loading: dict[str, Any]):
    found = convert(workflow(input_model={"type": "HfModel", "model_path": "acme/small", "load_kwargs": loading}))

    assert found.unmapped == []
    assert note_on(found, f"input_model.load_kwargs.{next(iter(loading))}")


def test_a_models_url_is_listed_with_a_place_for_it():
    found = convert(workflow(input_model={"type": "HfModel", "model_path": "https://example.org/phi"}))

    assert lines(found) == {"input_model.model_path": True}
    assert "fetch it into models/phi" in found.unmapped[0].why
    assert found.manifest["spec"]["model"] == {"path": "models/phi"}


def system(*accelerators: Any, nested: bool = False) -> dict[str, Any]:
    config = {"accelerators": list(accelerators)}
    return {"type": "LocalSystem", **({"config": config} if nested else config)}


@pytest.mark.parametrize(("accelerators", "provider"), [
    ([{"device": "cpu", "execution_providers": ["CPUExecutionProvider"]}], "CPUExecutionProvider"),
    ([{"device": "gpu", "execution_providers": ["CUDAExecutionProvider"]}], "CUDAExecutionProvider"),
    ([{"execution_providers": ["DmlExecutionProvider"]}], "DmlExecutionProvider"),
    ([{"device": "GPU"}], "CUDAExecutionProvider"),
    (["gpu"], "CUDAExecutionProvider"),
    (["cpu"], "CPUExecutionProvider"),
])  # fmt: skip
@pytest.mark.parametrize("nested", [True, False])
def test_the_target_is_the_systems_execution_provider(accelerators: list[Any], provider: str, nested: bool):
    found = convert(workflow(systems={"here": system(*accelerators, nested=nested)}, target="here"))

    assert found.manifest["spec"]["target"] == {"executionProvider": provider}
    assert found.unmapped == []


def test_the_host_serves_where_there_is_no_target():
    found = convert(workflow(systems={"here": system("gpu")}, host="here"))

    assert found.manifest["spec"]["target"] == {"executionProvider": "CUDAExecutionProvider"}


def test_a_target_written_in_place():
    found = convert(workflow(target=system({"device": "gpu"})))

    assert found.manifest["spec"]["target"] == {"executionProvider": "CUDAExecutionProvider"}
    assert found.unmapped == []


def test_the_engines_own_execution_providers_go_before_the_systems():
    found = convert(
        workflow(systems={"here": system("cpu")}, target="here", execution_providers=["CUDAExecutionProvider"])
    )

    assert found.manifest["spec"]["target"] == {"executionProvider": "CUDAExecutionProvider"}


def test_a_target_on_azure_still_says_what_the_model_is_built_for():
    assert imported("old_azure").manifest["spec"]["target"] == {"executionProvider": "CUDAExecutionProvider"}


def test_without_an_execution_provider_the_default_is_said():
    found = convert(workflow())

    assert "target" not in found.manifest["spec"]
    assert any("CPUExecutionProvider" in note.text for note in found.notes)


def test_further_execution_providers_would_give_further_models():
    first, second = (
        {"execution_providers": ["CUDAExecutionProvider"]},
        {"execution_providers": ["CPUExecutionProvider"]},
    )

    found = convert(workflow(systems={"here": system(first, second)}, target="here"))

    assert found.manifest["spec"]["target"] == {"executionProvider": "CUDAExecutionProvider"}
    assert lines(found) == {"systems.here.accelerators[1].execution_providers": True}


def test_an_execution_provider_that_nothing_is_built_for_blocks():
    found = convert(workflow(systems={"npu": system({"execution_providers": ["QNNExecutionProvider"]})}, target="npu"))

    assert "target" not in found.manifest["spec"]
    assert lines(found) == {"systems.npu.accelerators[0].execution_providers": True}


@pytest.mark.parametrize("strategy", [False, None, {}])
def test_no_search_is_what_happens_here(strategy: Any):
    assert convert(workflow(search_strategy=strategy)).runnable


@pytest.mark.parametrize("key", ["host", "target"])
@pytest.mark.parametrize("kind", ["Docker", "PythonEnvironment", "IsolatedORT"])
def test_another_place_than_this_machine_is_listed_and_changes_nothing(key: str, kind: str):
    found = convert(workflow(systems={"there": {"type": kind, "config": {}}}, **{key: "there"}))

    assert lines(found) == {"systems.there.type": False, "systems.there.config": False, key: False}
    assert found.runnable


@pytest.mark.parametrize(("key", "value"), [
    ("log_severity_level", 0), ("cache_dir", "cache"), ("clean_cache", False), ("evaluate_input_model", False), ("output_name", "m"),
    ("ort_log_severity_level", 3), ("log_to_file", False), ("plot_pareto_frontier", True), ("packaging_config", None), ("evaluators", {}),
    ("systems", {}), ("cache_config", {}), ("enable_shared_cache", False), ("azureml_client", None), ("no_artifacts", False),
])  # fmt: skip
def test_what_the_engine_is_told_is_noted(key: str, value: Any):
    found = convert(workflow(**{key: value}))

    assert found.unmapped == []
    assert note_on(found, key)


@pytest.mark.parametrize(("key", "value", "blocks"), [
    ("evaluator", "e", False), ("evaluate_input_model", True, False), ("clean_cache", True, False), ("enable_shared_cache", True, False),
    ("packaging_config", {"type": "Zipfile"}, False), ("auto_optimizer_config", {"opt_level": 1}, True),
    ("log_to_file", True, False),
])  # fmt: skip
def test_what_the_engine_is_told_without_a_counterpart_is_listed(key: str, value: Any, blocks: bool):
    found = convert(workflow(**{key: value}))

    assert list(lines(found).values()) == [blocks]


def test_without_an_output_folder_the_model_goes_to_one_of_its_own():
    config = workflow(workflow_id="phi")
    del config["output_dir"]

    found = convert(config)

    assert found.manifest["spec"]["output"] == {"path": "phi-model"}
    assert any("phi-model" in note.text for note in found.notes)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with a model and data, and one below it for manifests."""
    (tmp_path / "models/small/weights").mkdir(parents=True)
    (tmp_path / "sets").mkdir()
    (tmp_path / "sets/train.jsonl").write_text("{}\n")
    (tmp_path / "jobs").mkdir()
    return tmp_path


LOCAL = workflow(
    input_model={"type": "HfModel", "model_path": "models/small"},
    data_configs=[rows({"data_name": "json", "data_files": "sets/train.jsonl", "split": "train"})],
)


def test_paths_start_in_the_folder_olive_is_called_from(project: Path):
    spec = spec_of(LOCAL, cwd=project)

    assert spec["model"] == {"path": "models/small"}
    assert spec["data"][0]["source"] == {"path": "sets/train.jsonl"}
    assert spec["output"] == {"path": "out"}


def test_a_manifest_in_another_folder_has_paths_from_there(project: Path):
    spec = spec_of(LOCAL, cwd=project, folder=project / "jobs")

    assert spec["model"] == {"path": "../models/small"}
    assert spec["data"][0]["source"] == {"path": "../sets/train.jsonl"}
    assert spec["output"] == {"path": "../out"}


def test_a_workflow_called_from_elsewhere_finds_what_lies_beside_it(project: Path, tmp_path: Path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()

    spec = spec_of(LOCAL, cwd=elsewhere, config_path=project / "config.json", folder=elsewhere)

    assert spec["model"] == {"path": "../models/small"}
    assert spec["data"][0]["source"] == {"path": "../sets/train.jsonl"}
    assert spec["output"] == {"path": "out"}, "what is yet to be made goes where Olive would put it"


def test_absolute_paths_stay(project: Path):
    config = workflow(input_model={"type": "HfModel", "model_path": str(project / "models/small")})

    assert spec_of(config, cwd=project, folder=project / "jobs")["model"] == {"path": str(project / "models/small")}


SECRETS = [
    ("token", "abc"), ("hf_token", "abc"), ("password", "abc"), ("client_secret", "abc"), ("api_key", "abc"), ("account_key", "abc"),
    ("connection_string", "abc"), ("sas_token", "abc"), ("AZURE_CLIENT_SECRET", "abc"), ("url", "https://a.blob.example/c?sv=1&sig=abc"),
    ("anything", "hf_abcDEF123456"), ("proxy", "https://user:abc@example.org"), ("line", "AccountKey=abc"),
]  # fmt: skip


@pytest.mark.parametrize(("key", "value"), SECRETS)
def test_a_secret_is_masked_wherever_it_is_listed(key: str, value: str):
    config = sample("old_azure")
    config["systems"]["env"]["config"]["environment_variables"] = {key: value}

    found = convert(config)

    (line,) = [line for line in found.unmapped if "environment_variables" in line.path]
    assert line.value == "***"
    assert value not in str(line)


@pytest.mark.parametrize(
    ("key", "value"), [("hf_token", True), ("tokenizer", "gpt2"), ("keyvault_name", "team"), ("max_tokens_kept", 5)]
)
def test_what_is_no_secret_is_shown(key: str, value: Any):
    config = workflow(systems={"aml": {"type": "AzureML", "config": {key: value}}})

    (line,) = [line for line in convert(config).unmapped if key in line.path]
    assert line.value != "***"


def test_a_long_value_is_cut():
    config = workflow(systems={"aml": {"type": "AzureML", "config": {"tags": "x" * 5000}}})

    (line,) = [line for line in convert(config).unmapped if "tags" in line.path]
    assert len(line.value) == 100


def test_keys_that_are_no_words_are_quoted_in_paths():
    config = workflow(passes={"lora": lora(**{"a.b c": 1})})

    assert lines(convert(config)) == {'passes.lora["a.b c"]': True}


def test_a_manifests_folder_behind_a_link_has_paths_that_climb_from_where_it_really_is(project: Path, tmp_path: Path):
    deep = tmp_path / "deep/er/jobs"
    deep.mkdir(parents=True)
    (project / "linked").symlink_to(deep)

    path = spec_of(LOCAL, cwd=project, folder=project / "linked")["model"]["path"]

    assert (project / "linked" / path).resolve() == (project / "models/small").resolve()
