"""Olive's systems, workspaces, models and files of Azure ML become ours; what is wrong with them is said with their own words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.cliground import CliGround
from tests.olive.samples import SAMPLES, imported, lines, lora, note_on, rows, workflow

from millwright_api.errors import InvalidManifest
from millwright_api.v1alpha1 import OptimizationJob
from millwright_runner.olive import convert, to_yaml
from millwright_runner.olive.trace import leaves, show

HERE = {"subscription_id": "s-1", "resource_group": "team", "workspace_name": "tuning"}
OURS = {"subscriptionId": "s-1", "resourceGroup": "team", "workspace": "tuning"}
THERE = {"subscription_id": "s-2", "resource_group": "other", "workspace_name": "archive"}
THEIRS = {"subscriptionId": "s-2", "resourceGroup": "other", "workspace": "archive"}
IMAGE = {"base_image": "runner:1"}


def aml(**config: Any) -> dict[str, Any]:
    """Returns a system of Azure ML."""
    return {"type": "AzureML", "config": {"aml_compute": "gpu", "aml_docker_config": IMAGE, **config}}


def on_azure(config: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    """Returns a workflow that runs on a system of Azure ML."""
    return workflow(**{"systems": {"aml": aml(**(config or {}))}, "host": "aml", **more})


def execution(config: dict[str, Any]) -> dict[str, Any]:
    """Converts, and returns spec.execution.azureML without what Olive does unasked."""
    found = convert(config)
    OptimizationJob.model_validate(found.manifest)
    assert found.unmapped == []
    made: dict[str, Any] = found.manifest["spec"]["execution"]["azureML"]
    assert made.pop("identity") == {"type": "User"}
    return made


@pytest.mark.parametrize(("config", "made"), [
    ({}, {}),
    ({"tags": {"team": "a", "year": 26}}, {"tags": {"team": "a", "year": "26"}}),
    ({"resources": {"instance_type": "gpu-large"}}, {"instanceType": "gpu-large"}),
    ({"resources": {"instance_type": ["gpu-large"], "instance_count": 1}}, {"instanceType": "gpu-large"}),
    ({"instance_count": 1, "is_dev": True, "olive_managed_env": False, "datastores": "workspaceblobstore"}, {}),
    ({"hf_token": False}, {}),
    ({"hf_token": True}, {"secrets": [{"name": "HF_TOKEN", "keyVault": {"secret": "hf-token"}}]}),
    ({"azureml_client_config": HERE}, OURS),
    ({"azureml_client_config": {"aml_config_path": "w.json"}}, {"configFile": "w.json"}),
    ({"azureml_client_config": {**HERE, "keyvault_name": "keys"}, "hf_token": True},
     {**OURS, "secrets": [{"name": "HF_TOKEN", "keyVault": {"secret": "hf-token", "vault": "keys"}}]}),
])  # fmt: skip
def test_a_system_becomes_a_place_to_run(config: dict[str, Any], made: dict[str, Any]):
    assert execution(on_azure(config)) == {"compute": "gpu", "environment": {"image": "runner:1"}, **made}


@pytest.mark.parametrize(("config", "environment"), [
    ({"aml_docker_config": {**IMAGE, "conda_file_path": "c.yaml"}}, {"image": "runner:1", "condaFile": "c.yaml"}),
    ({"aml_docker_config": {**IMAGE, "name": "e", "version": "1"}}, {"image": "runner:1"}),
    ({"aml_docker_config": {"build_context_path": "d"}}, {"build": {"path": "d"}}),
    ({"aml_docker_config": {"build_context_path": "d", "dockerfile": "gpu/Dockerfile"}}, {"build": {"path": "d", "dockerfile": "gpu/Dockerfile"}}),
    ({"aml_docker_config": {**IMAGE, "build_context_path": "d", "conda_file_path": "c.yaml"}}, {"build": {"path": "d"}}),
    ({"aml_docker_config": None, "aml_environment_config": {"name": "e", "version": 3}}, {"name": "e", "version": "3"}),
    ({"aml_docker_config": None, "aml_environment_config": {"name": "e", "label": "latest"}}, {"name": "e", "label": "latest"}),
])  # fmt: skip
def test_its_environment(config: dict[str, Any], environment: dict[str, Any]):
    assert execution(on_azure(config))["environment"] == environment


def test_an_environment_goes_before_an_image_as_in_olive():
    found = convert(on_azure({"aml_environment_config": {"name": "e"}}))

    assert found.manifest["spec"]["execution"]["azureML"]["environment"] == {"name": "e"}
    assert lines(found) == {"systems.aml.config.aml_docker_config.base_image": False}


def test_that_olives_jobs_act_as_who_submits_them_is_written_out_and_said():
    assert any("identity User" in note.text for note in convert(on_azure()).notes)


def test_its_keys_may_stand_beside_its_type():
    system = {"type": "azureml", "aml_compute": "gpu", "aml_docker_config": IMAGE}

    assert execution(on_azure(systems={"aml": system}))["compute"] == "gpu"


def test_it_may_be_written_in_place_of_a_name():
    assert execution(workflow(host=aml()))["compute"] == "gpu"


def test_paths_start_in_the_manifests_own_folder(tmp_path: Path):
    (tmp_path / "jobs").mkdir()
    config = on_azure({
        "azureml_client_config": {"aml_config_path": "w.json"}, "aml_docker_config": {**IMAGE, "conda_file_path": "c.yaml"},
    })  # fmt: skip

    made = convert(config, cwd=tmp_path, folder=tmp_path / "jobs").manifest["spec"]["execution"]["azureML"]

    assert (made["configFile"], made["environment"]["condaFile"]) == ("../w.json", "../c.yaml")


LOCAL = {"type": "LocalSystem"}
EACH = {name: {**one, "host": "aml"} for name, one in workflow()["passes"].items()}


@pytest.mark.parametrize("keys", [
    {"host": "aml"}, {"target": "aml"}, {"host": "aml", "target": "aml"}, {"workflow_host": "aml"},
    {"host": "aml", "target": "here"}, {"host": "here", "workflow_host": "aml"}, {"passes": EACH}, {"host": "here", "passes": EACH},
    {"passes": {**workflow()["passes"], "lora": lora(config={"host": "aml"})}},
], ids=str)  # fmt: skip
def test_the_job_runs_where_its_passes_do(keys: dict[str, Any]):
    found = convert(workflow(systems={"here": LOCAL, "aml": aml()}, **keys))

    assert found.manifest["spec"]["execution"]["azureML"]["compute"] == "gpu"
    assert set(lines(found)) <= {"host", "target"}, "another place than the job's is listed, its own is not"
    assert found.alternatives == {}


def test_the_engines_host_goes_before_a_passes_which_is_listed():
    systems = {"aml": aml(), "arc": aml(aml_compute="arc")}

    found = convert(workflow(systems=systems, host="aml", passes={"lora": lora(host="arc")}))

    assert found.manifest["spec"]["execution"]["azureML"]["compute"] == "gpu"
    assert lines(found) == {"passes.lora.host": False}
    assert "run in one place" in found.unmapped[0].why


def test_where_passes_run_on_this_machine_measuring_elsewhere_is_listed():
    found = convert(workflow(systems={"here": LOCAL, "aml": aml()}, host="here", target="aml"))

    assert "execution" not in found.manifest["spec"]
    assert lines(found) == {"target": False}
    assert set(found.alternatives) == {"aml"}


def test_systems_that_nothing_uses_stand_at_the_end_and_do_when_put_in_place():
    found = imported("old_azure")
    text = to_yaml(found)

    comment = text[text.index("# To run on azure_arc instead") :].splitlines()[1:]
    instead = yaml.safe_load("\n".join(line.removeprefix("#  ") for line in comment))
    spec = {**found.manifest["spec"], **instead}

    assert instead["execution"] == found.alternatives["azure_arc"]
    assert OptimizationJob.model_validate({**found.manifest, "spec": spec}).spec.execution.azure_ml is not None
    assert yaml.safe_load(text) == found.manifest


@pytest.mark.parametrize(("config", "why"), [
    ({"aml_compute": None}, "it names no aml_compute"), ({"aml_docker_config": None}, "it names no environment"),
    ({"tags": {"t": "x" * 300}}, "256"),
])  # fmt: skip
def test_a_system_that_nothing_uses_and_that_would_not_do_is_listed(config: dict[str, Any], why: str):
    found = convert(workflow(systems={"aml": aml(**config)}))

    assert found.alternatives == {}
    assert found.runnable
    assert all(path.startswith("systems.aml") for path in lines(found))
    assert why in found.unmapped[0].why


def test_an_environment_that_olive_builds_is_left_to_the_reader():
    found = convert(on_azure({"aml_docker_config": None, "olive_managed_env": True, "requirements_file": "r.txt"}))

    assert "execution" not in found.manifest["spec"]
    assert "add spec.execution.azureML by hand" in found.unmapped[0].why
    assert found.runnable


@pytest.mark.parametrize(("config", "path"), [
    ({"instance_count": 2}, "instance_count"), ({"resources": {"shm_size": "8g"}}, "resources.shm_size"),
    ({"requirements_file": "r.txt"}, "requirements_file"), ({"olive_managed_env": True}, "olive_managed_env"),
    ({"datastores": "mine"}, "datastores"), ({"azureml_client_config": {**HERE, "default_auth_params": {"authority": "a"}}},
                                             "azureml_client_config.default_auth_params.authority"),
])  # fmt: skip
def test_what_a_system_has_without_a_counterpart_is_listed_and_changes_no_model(config: dict[str, Any], path: str):
    assert lines(convert(on_azure(config))) == {f"systems.aml.config.{path}": False}


@pytest.mark.parametrize("kind", ["AzureND12SSystem", "AzureND96A100System", "azureml"])
def test_olives_other_names_for_it_are_known(kind: str):
    assert execution(on_azure(systems={"aml": {**aml(), "type": kind}}))["compute"] == "gpu"


def test_the_accelerators_of_the_target_say_what_is_built():
    found = convert(on_azure({"accelerators": [{"device": "gpu"}]}, target="aml"))

    assert found.manifest["spec"]["target"] == {"executionProvider": "CUDAExecutionProvider"}
    assert found.unmapped == []


# Workspaces.


def test_the_files_client_is_the_jobs_workspace():
    found = convert(on_azure(azureml_client=HERE))

    assert found.manifest["spec"]["execution"]["azureML"]["workspace"] == "tuning"
    assert found.mapped["azureml_client.workspace_name"] == "spec.execution.azureML.workspace"


def test_a_systems_own_client_goes_before_the_files():
    found = convert(on_azure({"azureml_client_config": HERE}, azureml_client=THERE))

    assert found.manifest["spec"]["execution"]["azureML"]["workspace"] == "tuning"
    assert "nothing on Azure ML is named that needs" in note_on(found, "azureml_client.workspace_name")


def test_a_client_that_nothing_needs_is_noted():
    found = convert(workflow(azureml_client=HERE))

    assert found.unmapped == []
    assert "needs a workspace" in note_on(found, "azureml_client.subscription_id")


@pytest.mark.parametrize("hf_token", [True, False])
def test_a_vault_is_taken_over_where_a_token_is_asked_for(hf_token: bool):
    found = convert(on_azure({"hf_token": hf_token}, azureml_client={**HERE, "keyvault_name": "keys"}))

    taken = "azureml_client.keyvault_name" in found.mapped
    assert taken is hf_token
    assert bool(note_on(found, "azureml_client.keyvault_name")) is not hf_token


# Models.


def model(path: Any, **more: Any) -> dict[str, Any]:
    """Returns a workflow with a model at that path."""
    return workflow(input_model={"type": "HfModel", "model_path": path}, **more)


def registry(**config: Any) -> dict[str, Any]:
    return {
        "type": "azureml_registry_model",
        "config": {"registry_name": "azureml", "name": "Phi-3", "version": "7", **config},
    }


def registered(**config: Any) -> dict[str, Any]:
    return {"type": "azureml_model", "config": {"name": "phi", "version": 3, **config}}


def stored(**config: Any) -> dict[str, Any]:
    return {
        "type": "azureml_datastore",
        "config": {"datastore_name": "d", "relative_path": "sets/train.jsonl", **config},
    }


@pytest.mark.parametrize(("path", "source"), [
    (registry(), {"registry": "azureml", "name": "Phi-3", "version": "7"}),
    (registry(azureml_client=THERE), {"registry": "azureml", "name": "Phi-3", "version": "7"}),
    ({"type": "azureml_registry_model", "registry_name": "r", "name": "n", "version": 2}, {"registry": "r", "name": "n", "version": "2"}),
    (registered(), {"name": "phi", "version": "3"}),
    (registered(azureml_client=THERE), {**THEIRS, "name": "phi", "version": "3"}),
    (registered(azureml_client={"aml_config_path": "w.json"}), {"configFile": "w.json", "name": "phi", "version": "3"}),
    (stored(relative_path="models/phi"), {"datastore": "d", "path": "models/phi"}),
    ("azureml:phi:3", {"name": "phi", "version": "3"}),
    ("azureml:phi@latest", {"name": "phi", "label": "latest"}),
    ("azureml://registries/azureml/models/Phi-3/versions/7", {"registry": "azureml", "name": "Phi-3", "version": "7"}),
    ("azureml://registries/azureml/models/Phi-3/labels/latest", {"registry": "azureml", "name": "Phi-3", "label": "latest"}),
    ("azureml://datastores/d/paths/models/phi/", {"datastore": "d", "path": "models/phi/"}),
    ("azureml://subscriptions/s-2/resourcegroups/other/workspaces/archive/datastores/d/paths/phi", {**THEIRS, "datastore": "d", "path": "phi"}),
    ("azureml:/subscriptions/s-2/resourceGroups/other/providers/Microsoft.MachineLearningServices/workspaces/archive/models/phi/versions/3",
     {**THEIRS, "name": "phi", "version": "3"}),
])  # fmt: skip
def test_a_model_on_azure(path: Any, source: dict[str, Any]):
    found = convert(model(path))

    assert found.manifest["spec"]["model"] == {"azureML": source}
    assert found.unmapped == []
    OptimizationJob.model_validate(found.manifest)


@pytest.mark.parametrize("own", [
    {"azureml_client": {"aml_config_path": "w.json"}, "name": "phi"}, {"azureml_client": THERE, "name": "phi"},
])  # fmt: skip
def test_without_a_job_on_azure_a_source_has_the_files_client(own: dict[str, Any]):
    found = convert(model(registered(), azureml_client=own["azureml_client"]))

    source = found.manifest["spec"]["model"]["azureML"]
    assert source == {"name": "phi", "version": "3"} | ({"configFile": "w.json"} if "w.json" in str(own) else THEIRS)
    assert any(to.startswith("spec.model.azureML.") for to in found.mapped.values())


def test_a_source_in_the_jobs_own_workspace_says_so_once():
    found = convert(on_azure({"azureml_client_config": HERE}, input_model={
        "type": "HfModel", "model_path": registered(azureml_client=HERE),
    }))  # fmt: skip

    assert found.manifest["spec"]["model"] == {"azureML": {"name": "phi", "version": "3"}}
    assert found.unmapped == []


def test_mlflows_form_is_found_in_a_model_of_azure_and_nowhere_else():
    on = {"type": "PyTorchModel", "model_file_format": "PyTorch.MLflow"}

    assert convert(workflow(input_model={**on, "model_path": registry()})).unmapped == []
    assert lines(convert(workflow(input_model={**on, "model_path": "./phi"}))) == {
        "input_model.model_file_format": True
    }


OUTPUT = {"type": "azureml_job_output", "config": {
    "azureml_client": HERE, "job_name": "j1", "output_name": "model", "relative_path": "hf",
}}  # fmt: skip


@pytest.mark.parametrize("path", [OUTPUT, "azureml://jobs/j1/outputs/model/paths/hf"], ids=["resource", "address"])
def test_a_jobs_output_is_listed_with_where_it_lies(path: Any):
    found = convert(model(path))

    assert all(line.path.startswith("input_model.model_path") and line.blocks for line in found.unmapped)
    assert "workspaceblobstore at azureml/j1/model/" in found.unmapped[0].why
    assert "path" in found.manifest["spec"]["model"]


# Data.


def files(data_files: Any, **more: Any) -> dict[str, Any]:
    load = {"data_name": "json", "data_files": data_files, "split": "train", **more.pop("load", {})}
    return workflow(data_configs=[rows(load)], **more)


@pytest.mark.parametrize(("config", "source"), [
    (files(stored()), {"datastore": "d", "path": "sets/train.jsonl"}),
    (files({"train": stored()}), {"datastore": "d", "path": "sets/train.jsonl"}),
    (files(stored(azureml_client=THERE)), {**THEIRS, "datastore": "d", "path": "sets/train.jsonl"}),
    (files(stored(datastore_url="azureml://datastores/e/paths/x.jsonl")), {"datastore": "e", "path": "x.jsonl"}),
    (files("azureml://datastores/e/paths/x.jsonl"), {"datastore": "e", "path": "x.jsonl"}),
    (files("x.jsonl", load={"data_dir": stored(relative_path="sets/")}), {"datastore": "d", "path": "sets/x.jsonl"}),
    (files("x.jsonl", load={"data_dir": "azureml://datastores/e/paths/sets"}), {"datastore": "e", "path": "sets/x.jsonl"}),
    (files("x.jsonl", data_root="azureml://datastores/e/paths/root"), {"datastore": "e", "path": "root/x.jsonl"}),
    (files(stored(), azureml_client=HERE), {**OURS, "datastore": "d", "path": "sets/train.jsonl"}),
    (files(stored(), azureml_client=HERE, systems={"aml": aml()}, host="aml"), {"datastore": "d", "path": "sets/train.jsonl"}),
    (files(stored(), azureml_client=THERE, systems={"aml": aml(azureml_client_config=HERE)}, host="aml"),
     {**THEIRS, "datastore": "d", "path": "sets/train.jsonl"}),
])  # fmt: skip
def test_a_file_on_azure(config: dict[str, Any], source: dict[str, Any]):
    found = convert(config)

    assert found.manifest["spec"]["data"][0]["source"] == {"azureML": source}
    assert found.unmapped == []
    OptimizationJob.model_validate(found.manifest)


@pytest.mark.parametrize(("data_files", "why"), [
    (stored(relative_path="sets/train.txt"), "told by its suffix"), (stored(relative_path="sets/*.jsonl"), "one file"),
    (registered(), "a file in a datastore"), ("azureml:phi:3", "a file in a datastore"), (OUTPUT, "workspaceblobstore"),
])  # fmt: skip
def test_what_is_no_file_of_rows_keeps_the_workflow_from_running(data_files: Any, why: str):
    found = convert(files(data_files))

    assert not found.runnable
    assert all(line.path.startswith("data_configs[0].load_dataset_config.data_files") for line in found.unmapped)
    assert any(why in line.why for line in found.unmapped)


# What is wrong.


@pytest.mark.parametrize(("config", "words"), [
    (on_azure({"aml_compute": None}), ["systems.aml", "no aml_compute"]),
    (on_azure({"aml_docker_config": None}), ["systems.aml", "no environment", "aml_docker_config"]),
    (on_azure({"aml_docker_config": {"dockerfile": "Dockerfile"}}), ["systems.aml.config.aml_docker_config", "no image", "build_context_path"]),
    (on_azure({"aml_environment_config": {"version": "1"}}), ["aml_environment_config", "names no environment"]),
    (on_azure({"aml_compute": 7}), ["systems.aml.config.aml_compute", "7", "text"]),
    (on_azure({"tags": ["a"]}), ["systems.aml.config.tags", "mapping"]),
    (on_azure({"tags": {"a": {}}}), ["systems.aml.config.tags.a", "text"]),
    (on_azure({"hf_token": "soon"}), ["systems.aml.config.hf_token", '***', "true or false"]),
    (on_azure({"instance_count": "many"}), ["systems.aml.config.instance_count", '"many"', "number"]),
    (on_azure({"resources": {"instance_type": ["a", "b"]}}), ["resources.instance_type", "instance type"]),
    (on_azure({"aml_docker_config": {"build_context_path": "d", "dockerfile": "../Dockerfile"}}), ["aml_docker_config.dockerfile"]),
    (on_azure({"aml_environment_config": {"name": "a b"}}), ["aml_environment_config.name", "'a b'"]),
    (on_azure({"aml_environment_config": {"name": "e", "version": "1", "label": "l"}}), ["version or label", "both"]),
    (on_azure(azureml_client={"subscription_id": "s"}), ["azureml_client", "no resource_group and no workspace_name"]),
    (on_azure(azureml_client={**HERE, "workspace_name": 7}), ["azureml_client.workspace_name", "7", "text"]),
    (on_azure(azureml_client="team"), ["azureml_client", '"team"', "mapping"]),
    (on_azure(systems={"aml": {**aml(), "type": "AzurML"}}), ["systems.aml.type", "'AzurML'", "did you mean 'AzureML'?"]),
    (workflow(target={"type": "LocalSytem"}), ["target.type", "'LocalSytem'", "did you mean 'LocalSystem'?"]),
    (on_azure(host="alm"), ["host", "'alm'", "did you mean 'aml'?"]),
    (on_azure(workflow_host="alm"), ["workflow_host", "'alm'", "did you mean 'aml'?"]),
    (workflow(systems={"aml": aml()}, passes={"lora": lora(host="alm")}), ["passes.lora.host", "'alm'", "did you mean 'aml'?"]),
    (model(registry(registry_name=None)), ["input_model.model_path", "no registry_name"]),
    (model(registered(version=None)), ["input_model.model_path", "no version"]),
    (model(registered(version=1.5)), ["input_model.model_path.config.version", "1.5"]),
    (model({"type": "azureml_modle", "config": {}}), ["model_path.type", "'azureml_modle'", "did you mean 'azureml_model'?"]),
    (model({"config": {}}), ["input_model.model_path", "no type", "azureml_model"]),
    (model("azureml://models/phi"), ["input_model.model_path", "azureml://models/phi", "azureml:NAME:VERSION"]),
    (model("azureml://datastores/d/paths/../x"), ["input_model.model_path", "../x"]),
    (files({"type": "azureml_datastor"}), ["data_files.type", "did you mean 'azureml_datastore'?"]),
    (files(stored(relative_path=None)), ["data_files", "no relative_path"]),
], ids=str)  # fmt: skip
def test_a_wrong_value_gives_one_message_in_the_jsons_words(config: dict[str, Any], words: list[str]):
    with pytest.raises(InvalidManifest) as caught:
        convert(config)

    for word in words:
        assert word in str(caught.value)
    assert "spec." not in str(caught.value)


# Nothing is lost, whatever stands beside whatever.

STRANGE = {"zq_surplus": [{"a": 1}]}
CLIENTS = [
    None,
    {},
    HERE,
    {**THERE, "keyvault_name": "keys", "read_timeout": 1, **STRANGE},
    {"aml_config_path": "w.json", "workspace_name": "w"},
]
SYSTEMS = st.fixed_dictionaries({"aml_compute": st.just("gpu")}, optional={
    "aml_docker_config": st.sampled_from([None, {}, IMAGE, {**IMAGE, "conda_file_path": "c", **STRANGE}, {**IMAGE, "build_context_path": "d", "name": None}]),
    "aml_environment_config": st.sampled_from([None, {"name": "e", "version": None}, {"name": "e", "label": "l", **STRANGE}]),
    "azureml_client_config": st.sampled_from(CLIENTS),
    "resources": st.sampled_from([None, {}, {"instance_type": "g", "shm_size": "1g", **STRANGE}, {"instance_count": 2}]),
    "accelerators": st.sampled_from([None, [], ["gpu"], [{"device": "gpu", "execution_providers": ["CUDAExecutionProvider"], **STRANGE}]]),
    "tags": st.sampled_from([None, {}, {"a": 1}]), "hf_token": st.sampled_from([None, True, False]), "instance_count": st.sampled_from([1, 2]),
    "olive_managed_env": st.booleans(), "zq_surplus": st.just(7),
})  # fmt: skip
PLACES = st.fixed_dictionaries({}, optional={
    key: st.one_of(st.sampled_from([None, "one", "two", "here"]), SYSTEMS.map(lambda config: {"type": "AzureML", **config}))
    for key in ("host", "target", "workflow_host")
})  # fmt: skip


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    one=SYSTEMS, two=SYSTEMS, places=PLACES, client=st.sampled_from(CLIENTS), beside=st.sampled_from(CLIENTS), nested=st.booleans(),
)  # fmt: skip
def test_each_leaf_of_any_workflow_on_azure_meets_one_fate(
    one: dict[str, Any], two: dict[str, Any], places: dict[str, Any], client: Any, beside: Any, nested: bool
):
    systems = {
        "one": {"type": "AzureML", "config": one} if nested else {"type": "AzureML", **one},
        "two": {"type": "AzureML", "config": two},
    }
    source = {"type": "HfModel", "model_path": registered(azureml_client=beside)}
    config = workflow(systems={**systems, "here": LOCAL}, azureml_client=client, input_model=source, **places)

    try:
        found = convert(config)
    except InvalidManifest as error:
        assert "spec." not in str(error)
        return

    OptimizationJob.model_validate(found.manifest)
    listed = lines(found)
    for path, _ in leaves(config):
        where = show(path)
        noted = any(note.path and f"{where}.".startswith((f"{note.path}.", f"{note.path}[")) for note in found.notes)
        assert (where in found.mapped) + (where in listed) <= 1, f"{where} is both taken over and listed"
        assert where in found.mapped or where in listed or noted, f"{where} is dropped in silence"
        assert where in listed or "zq_surplus" not in where, f"{where} is unknown, and not listed"


# What a person is told.


@pytest.mark.parametrize("value", [
    "Your Azure Compute Name", "your-compute", "<compute>", "${COMPUTE}", "{{ compute }}", "[compute]", "TODO", "xxxx", "change me",
])  # fmt: skip
def test_a_placeholder_is_taken_over_and_named(value: str):
    found = convert(on_azure({"aml_compute": value}))

    assert found.manifest["spec"]["execution"]["azureML"]["compute"] == value
    assert "looks like a placeholder" in note_on(found, "systems.aml.config.aml_compute")


@pytest.mark.parametrize("value", ["gpu-cluster", "yours", "todos", "a-xxx-1", "arc"])
def test_a_name_is_no_placeholder(value: str):
    found = convert(on_azure({"aml_compute": value}))

    assert not note_on(found, "systems.aml.config.aml_compute")


def test_the_published_workflow_is_imported_without_a_word_on_stderr(tmp_path: Path):
    ground = CliGround.make(tmp_path)

    said = ground.run("import", str(SAMPLES / "seed.json"), "-o", "imported.yaml", "--json")

    assert (said.code, said.err) == (0, "")
    told = json.loads(said.out)
    assert told["notTakenOver"] == []
    assert told["otherExecutions"]["azure_arc"]["azureML"]["environment"]["condaFile"].endswith("conda.yaml")
    assert yaml.safe_load((ground.folder / "imported.yaml").read_text()) == told["manifest"]
