"""What is submitted to Azure ML: the job's definition and its name, the code snapshot, and what does not travel."""

from __future__ import annotations

import io
import json
import os
import zipfile
from pathlib import Path

import pytest
from tests.azureml.jobs import Job
from tests.azureml.stub import Azure
from tests.courierground import UID, CourierGround, obey

from millwright_api.errors import InvalidManifest
from millwright_runner.remote import snapshot
from millwright_runner.remote.naming import family, number_of, stem


@pytest.fixture
def ground(azure: Azure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CourierGround:
    return CourierGround.make(azure, tmp_path, monkeypatch)


def sent(ground: CourierGround, job: Job) -> dict[str, bytes]:
    """The files of a job's code snapshot, as they lie in the workspace's storage."""
    name, _, version = job.definition["codeId"].rsplit("/", 3)[1:]
    found = ground.azure._own.assets.found("codes", name, version)
    assert found is not None
    container, _, prefix = found["properties"]["codeUri"].split("/", 3)[3].partition("/")
    prefix = f"{prefix.rstrip('/')}/" if prefix else ""
    blobs = ground.azure.blobs
    return {key.removeprefix(prefix): blobs.get(container, key) for key in blobs.names(container, prefix)}


class TestTheDefinition:
    def test_is_what_the_manifest_says(self, ground: CourierGround) -> None:
        ground.execution = {
            "identity": {"type": "Managed", "clientId": "c0ffee"},
            "priority": "High",
            "tags": {"team": "a"},
            "env": [{"name": "LOG", "value": "1"}],
        }
        ground.spec = {"activeDeadlineSeconds": 5400}

        job = ground.submit({"MILLWRIGHT_STEPS": "0:1"}, UID)

        made = job.definition
        assert made["computeId"].endswith("/computes/gpu")
        assert made["environmentId"].endswith("/environments/runner/versions/1")
        assert made["command"].endswith("exec python -m millwright_runner.pod remote")
        assert (made["experimentName"], made["displayName"]) == ("emotion", "emotion: one")
        assert made["identity"] == {"identityType": "Managed", "clientId": "c0ffee"}
        assert made["limits"] == {"jobLimitsType": "Command", "timeout": "PT1H30M"}
        assert made["queueSettings"]["priority"] == 3
        assert made["resources"]["instanceCount"] == 1
        tags = made["tags"]
        assert (tags["team"], tags["millwright-job"], tags["millwright-uid"]) == ("a", "emotion", UID)
        assert job.environment == {
            "LOG": "1",
            "MILLWRIGHT_STEPS": "0:1",
            "MILLWRIGHT_REMOTE": job.name,
            "MILLWRIGHT_JOB": "job",
            "AZURE_CLIENT_ID": "c0ffee",
            "AZURE_CORE_COLLECT_TELEMETRY": "0",
            **{
                name: os.environ[name]
                for name in ("AZUREML_CURRENT_CLOUD", "ARM_CLOUD_METADATA_URL", "AZURE_AUTHORITY_HOST")
            },
        }

    def test_passes_a_trials_part_on(self, ground: CourierGround) -> None:
        part = {"MILLWRIGHT_TRIAL": "[10.0]", "MILLWRIGHT_STEPS": "0:1", "MILLWRIGHT_BASELINE": "0"}

        job = ground.submit(part, UID)

        assert part.items() <= job.environment.items()
        assert job.definition["displayName"] == "emotion: trial [10.0], steps 0:1"

    def test_of_a_searchs_end_has_its_trials_in_the_snapshot_for_they_may_be_long(self, ground: CourierGround) -> None:
        trials = json.dumps({"best": 1, "trials": [{"number": 1, "at": [10.0]}] * 500})

        job = ground.submit({"MILLWRIGHT_TRIALS": trials, "MILLWRIGHT_STEPS": "0:2"}, UID)

        assert job.definition["displayName"] == "emotion: the search's end"
        assert "MILLWRIGHT_TRIALS" not in job.environment
        assert json.loads(sent(ground, job)["job/part.json"]) == {"MILLWRIGHT_TRIALS": trials}

    def test_of_a_serverless_machine_has_its_size_and_tier(self, ground: CourierGround) -> None:
        ground.execution = {"compute": None, "instanceType": "Standard_NC24ads_A100_v4", "tier": "Spot"}

        made = ground.submit().definition

        assert "computeId" not in made
        assert made["resources"]["instanceType"] == "Standard_NC24ads_A100_v4"
        assert made["queueSettings"]["jobTier"] == "Spot"

    def test_of_an_attached_cluster_has_its_instance_type(self, ground: CourierGround) -> None:
        ground.azure.compute("arc", "Kubernetes", instance_types={"small": {}, "large": {}})
        ground.execution = {"compute": "arc", "instanceType": "large"}

        made = ground.submit().definition

        assert made["computeId"].endswith("/computes/arc")
        assert made["resources"]["instanceType"] == "large"

    @pytest.mark.parametrize(
        "environment, expected",
        [
            (
                {"name": "curated", "registry": "azureml"},
                "azureml://registries/azureml/environments/curated/labels/latest",
            ),
            (
                {"name": "curated", "version": "7", "registry": "azureml"},
                "azureml://registries/azureml/environments/curated/versions/7",
            ),
            ({"name": "runner", "version": "1"}, "/environments/runner/versions/1"),
        ],
    )
    def test_names_an_environment_that_is_there(
        self, ground: CourierGround, environment: dict[str, str], expected: str
    ) -> None:
        ground.azure.registry("azureml").environment("curated", ("6", "7"))
        ground.execution = {"environment": environment}

        assert ground.submit().definition["environmentId"].endswith(expected)

    def test_has_an_environment_made_of_an_image_and_a_conda_file(self, ground: CourierGround) -> None:
        (ground.folder / "conda.yaml").write_text("name: mill\ndependencies: [python=3.11, {pip: [torch==2.13.0]}]\n")
        ground.execution = {"environment": {"image": "registry.example/base:1", "condaFile": "conda.yaml"}}

        made = ground.submit().definition

        name, _, version = made["environmentId"].rsplit("/", 3)[1:]
        found = ground.azure._own.assets.found("environments", name, version)
        assert found is not None
        assert found["properties"]["image"] == "registry.example/base:1"
        assert "torch==2.13.0" in found["properties"]["condaFile"]

    def test_says_nothing_of_the_repository_that_it_was_submitted_from(self, ground: CourierGround) -> None:
        assert not ground.submit().definition.get("properties")


class TestTheSnapshot:
    def test_has_the_manifest_without_what_a_cluster_needs(self, ground: CourierGround) -> None:
        ground.spec = {"credentials": [{"secretName": "team"}], "retry": {"maxAttempts": 2}}

        files = sent(ground, ground.submit(uid=UID))

        manifest = json.loads(files["job/manifest.json"])
        assert manifest["metadata"] == {"name": "emotion"}
        assert manifest["spec"] == {
            "model": {"huggingFace": {"repo": "owner/tiny"}},
            "passes": [obey("one"), obey("two")],
            "output": ground.document["spec"]["output"],
        }

    def test_has_millwright_with_its_entry_points_and_no_caches(self, ground: CourierGround) -> None:
        files = sent(ground, ground.submit())

        names = zipfile.ZipFile(io.BytesIO(files["millwright.zip"])).namelist()
        assert {"millwright_api/names.py", "millwright_runner/pod/remote.py", "millwright_search/course.py"} <= set(
            names
        )
        assert any(name.endswith(".dist-info/entry_points.txt") for name in names)
        assert not [name for name in names if "__pycache__" in name or name.startswith("millwright_operator")]

    def test_is_the_same_for_the_same_job_to_the_byte(self, ground: CourierGround) -> None:
        first = sent(ground, ground.submit(uid="one"))
        snapshot._packed.cache_clear()

        assert sent(ground, ground.submit(uid="two")) == first

    def test_sources_in_azure_say_which_workspace(self, ground: CourierGround) -> None:
        (ground.folder / "ws.json").write_text(
            '{"subscription_id": "s-1", "resource_group": "g", "workspace_name": "other"}'
        )
        ground.spec = {
            "data": [
                {
                    "name": "train",
                    "source": {"azureML": {"datastore": "rows", "path": "a.jsonl", "configFile": "ws.json"}},
                    "text": {"columns": ["a"], "template": "{a}"},
                }
            ]
        }

        manifest = json.loads(sent(ground, ground.submit())["job/manifest.json"])

        assert manifest["spec"]["data"][0]["source"]["azureML"] == {
            "subscriptionId": "s-1",
            "resourceGroup": "g",
            "workspace": "other",
            "datastore": "rows",
            "path": "a.jsonl",
        }


class TestFilesOfThisMachine:
    def test_below_the_manifest_travel_to_the_same_places(self, ground: CourierGround) -> None:
        (ground.folder / "models" / "tiny").mkdir(parents=True)
        (ground.folder / "models" / "tiny" / "config.json").write_text("{}")
        ground.spec = {"model": {"path": str(ground.folder / "models" / "tiny")}}

        files = sent(ground, ground.submit())

        assert files["job/models/tiny/config.json"] == b"{}"
        assert json.loads(files["job/manifest.json"])["spec"]["model"] == {"path": "models/tiny"}

    def test_of_a_pod_do_not_travel(self, ground: CourierGround) -> None:
        ground.spec = {"model": {"path": "/models/of/the/image"}}

        files = sent(ground, ground.submit(uid=UID))

        assert json.loads(files["job/manifest.json"])["spec"]["model"] == {"path": "/models/of/the/image"}

    def test_elsewhere_are_refused(self, ground: CourierGround, tmp_path_factory: pytest.TempPathFactory) -> None:
        ground.spec = {"model": {"path": str(tmp_path_factory.mktemp("elsewhere"))}}

        with pytest.raises(InvalidManifest, match="does not lie below the manifest's folder") as failure:
            ground.submit()
        assert failure.value.where == "spec.model.path"

    def test_that_are_not_there_are_refused_with_what_is(self, ground: CourierGround) -> None:
        (ground.folder / "model").mkdir()
        ground.spec = {"model": {"path": "modle"}}

        with pytest.raises(InvalidManifest, match="did you mean 'model'"):
            ground.submit()

    def test_that_are_too_large_belong_into_a_store(
        self, ground: CourierGround, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(snapshot, "MOST_BYTES", 10)
        (ground.folder / "model").mkdir()
        (ground.folder / "model" / "weights").write_bytes(b"12345678901")
        ground.spec = {"model": {"path": "model"}}

        with pytest.raises(InvalidManifest, match="put it into a store"):
            ground.submit()


class TestNames:
    def test_are_the_same_for_the_same_work(self, ground: CourierGround) -> None:
        assert stem(ground.errand({"MILLWRIGHT_STEPS": "0:1"}, UID)) == stem(
            ground.errand({"MILLWRIGHT_STEPS": "0:1"}, UID)
        )

    def test_do_not_change_with_where_it_runs(self, ground: CourierGround) -> None:
        before = stem(ground.errand())
        ground.execution = {"compute": "larger"}

        assert stem(ground.errand()) == before

    def test_differ_by_part_recipe_and_owner(self, ground: CourierGround) -> None:
        names = [
            stem(ground.errand(part, UID)) for part in ({}, {"MILLWRIGHT_STEPS": "0:1"}, {"MILLWRIGHT_TRIAL": "[1]"})
        ]
        names.append(stem(ground.errand(uid="another")))
        ground.spec = {"passes": [obey("one", steps=9)]}
        names.append(stem(ground.errand(uid=UID)))

        assert len(set(names)) == len(names)

    def test_begin_alike_for_one_owner_and_carry_a_number(self, ground: CourierGround) -> None:
        errand = ground.errand({"MILLWRIGHT_STEPS": "0:1"}, UID)

        assert stem(errand).startswith(family(errand))
        assert number_of(f"{stem(errand)}-12", stem(errand)) == 12
        assert number_of(f"{stem(errand)}0-12", stem(errand)) is None
