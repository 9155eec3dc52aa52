"""Children of jobs that name something in Azure, and of those that run on Azure ML."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.unit.operator.simulated import PLATFORM, UID, Cluster, on_azure, searching, spec
from tests.unit.operator.test_manifests import container, environment, mounts, pod, preflight, report, stage_job

from millwright_api.v1alpha1 import Spec
from millwright_operator import manifests, seen, stages
from millwright_operator.observed import Resource, SeenJob
from millwright_search.trials import Segment

BLOB = {"uri": "https://account.blob.core.windows.net/team/key"}
TEXT = {"columns": ["text"]}
NAMES_AZURE: list[dict[str, Any]] = [
    {"model": {"azureBlob": BLOB}},
    {"model": {"azureML": {"registry": "azureml", "name": "Phi-3"}}},
    {"output": {"azureBlob": BLOB}},
    {"data": [{"name": "train", "source": {"azureBlob": BLOB}, "text": TEXT}]},
    {"data": [{"name": "train", "source": {"azureML": {"datastore": "blobs", "path": "r.jsonl"}}, "text": TEXT}]},
    on_azure(),
]


def resource(**changes: Any) -> Resource:
    return seen.resource(Cluster.with_job(spec(**changes)).body)


def there(**changes: Any) -> Resource:
    return seen.resource(Cluster.with_job(on_azure(**changes)).body)


def with_template(**template: Any) -> dict[str, Any]:
    return {"execution": on_azure()["execution"] | {"kubernetes": {"podTemplate": template}}}


def trial_job(found: Resource) -> dict[str, Any]:
    parsed = Spec.model_validate(found.spec)
    segment = Segment("5" * 64, 0, (4, 16), 0, 1, ("finetune",), last=False)
    return manifests.trial_job(
        found, parsed, segment, PLATFORM, name="t", resources=parsed.execution.kubernetes.resources, backoff_limit=2,
        deadline=None, baseline=True,
    )  # fmt: skip


def cancel_job(found: Resource) -> dict[str, Any]:
    return manifests.cancel_job(found, Spec.model_validate(found.spec), PLATFORM)


class TestImages:
    @pytest.mark.parametrize("change", NAMES_AZURE, ids=lambda c: json.dumps(c)[:60])
    def test_where_azure_is_named_a_job_is_looked_at_in_the_image_that_has_its_sdks(
        self, change: dict[str, Any]
    ) -> None:
        found = resource(**change)

        assert [container(make(found))["image"] for make in (preflight, report)] == ["azure:1", "azure:1"]

    def test_elsewhere_the_light_one_does(self) -> None:
        assert [container(make(resource()))["image"] for make in (preflight, report)] == ["light:1", "light:1"]

    def test_plug_ins_of_a_job_on_azure_ml_are_in_no_image_of_the_cluster(self) -> None:
        passes = [{"custom": {"pass": "drop-layers", "options": {}}}]

        assert container(preflight(there(passes=passes)))["image"] == "azure:1"

    def test_passes_that_run_here_run_in_the_runners_image_wherever_data_lie(self) -> None:
        assert container(stage_job(resource(output={"azureBlob": BLOB})))["image"] == "runner:1"


class TestACourier:
    @pytest.mark.parametrize("make", [stage_job, trial_job])
    def test_it_has_azure_ml_do_the_work_and_is_small(self, make: Any) -> None:
        found = make(there())

        assert container(found)["command"] == ["python", "-m", "millwright_runner.pod", "azureml"]
        assert container(found)["image"] == "azure:1"
        assert container(found)["resources"] == dict(PLATFORM.preflight_resources)

    def test_it_has_what_a_stages_pod_has(self) -> None:
        found = stage_job(there(), backoff_limit=2, deadline=77)

        assert environment(found)["MILLWRIGHT_STEPS"] == "0:3"
        assert environment(found)["MILLWRIGHT_PROGRESS_URL"] == "https://progress/v1"
        assert "/var/run/secrets/millwright" in mounts(found)
        assert (found["spec"]["backoffLimit"], found["spec"]["activeDeadlineSeconds"]) == (2, 77)
        assert found["spec"]["podFailurePolicy"] == stage_job(resource())["spec"]["podFailurePolicy"]

    def test_a_trials_courier_knows_its_trial(self) -> None:
        recipe = searching(execution=on_azure()["execution"])

        found = trial_job(seen.resource(Cluster.with_job(recipe).body))

        assert {name: environment(found)[f"MILLWRIGHT_{name}"] for name in ("STEPS", "TRIAL", "BASELINE")} == {
            "STEPS": "0:1", "TRIAL": "[4,16]", "BASELINE": "1",
        }  # fmt: skip

    def test_its_image_is_none_that_the_model_was_made_in(self) -> None:
        assert "MILLWRIGHT_IMAGE" not in environment(stage_job(there()))

    def test_it_stops_within_the_time_that_the_job_gives(self) -> None:
        found = stage_job(there(**with_template(terminationGracePeriodSeconds=300, nodeSelector={"disk": "ssd"})))

        assert pod(found)["terminationGracePeriodSeconds"] == 300
        assert pod(found)["nodeSelector"] == {"disk": "ssd"}

    def test_the_preflight_knows_no_limits_of_the_cluster(self) -> None:
        limits = json.loads(environment(preflight(there()))["MILLWRIGHT_LIMITS"])

        nothing = {"memory": None, "accelerator": None, "accelerators": 0, "ephemeralStorage": None, "scratch": None}
        assert limits == [{"steps": "0:3", **nothing}]


class TestTheJobThatCancels:
    def test_it_runs_in_its_role_with_the_jobs_credentials_for_a_bounded_time(self) -> None:
        found = cancel_job(there())

        assert container(found)["command"] == ["python", "-m", "millwright_runner.pod", "cancel"]
        assert container(found)["image"] == "azure:1"
        assert container(found)["envFrom"] == [{"secretRef": {"name": "team-a-s3"}}]
        assert (found["spec"]["backoffLimit"], found["spec"]["activeDeadlineSeconds"]) == (3, 300)
        assert found["metadata"]["labels"]["millwright.dev/role"] == "cancel"

    def test_no_deletion_of_its_job_collects_it_too_early_and_it_goes_by_itself(self) -> None:
        found = cancel_job(there())

        assert "ownerReferences" not in found["metadata"]
        assert found["spec"]["ttlSecondsAfterFinished"] == 300

    def test_its_recipe_is_the_jobs_and_goes_with_it(self) -> None:
        name = cancel_job(there())["metadata"]["name"]
        job = SeenJob(name=name, uid="job-9", role="cancel", stage=None)

        found = manifests.cancel_map(there(), job, PLATFORM)

        assert found["data"] == manifests.config_map(there(), PLATFORM)["data"]
        assert found["metadata"]["ownerReferences"] == [
            {"apiVersion": "batch/v1", "kind": "Job", "name": name, "uid": "job-9"}
        ]
        assert mounts(cancel_job(there()))["/etc/millwright/job"]["configMap"] == {"name": found["metadata"]["name"]}

    def test_its_name_is_the_same_whatever_becomes_of_the_spec(self) -> None:
        names = {stages.cancel_name(found) for found in (there(), there(passes=[{"merge": {}}]), resource())}

        assert len(names) == 1


ALL = [preflight, stage_job, trial_job, report, cancel_job]


class TestWhoeverItIsToAzure:
    @pytest.mark.parametrize("make", ALL)
    def test_every_pod_knows_which_object_it_is_of(self, make: Any) -> None:
        assert environment(make(there()))["MILLWRIGHT_UID"] == UID

    @pytest.mark.parametrize("make", ALL)
    def test_workload_identity_acts_on_pods_with_an_account_of_their_own(self, make: Any) -> None:
        found = make(there(**with_template(serviceAccountName="trainer")))

        assert pod(found)["serviceAccountName"] == "trainer"
        assert found["spec"]["template"]["metadata"]["labels"]["azure.workload.identity/use"] == "true"

    @pytest.mark.parametrize(
        "found", [there(), resource(execution={"kubernetes": {"podTemplate": {"serviceAccountName": "trainer"}}})]
    )
    def test_and_on_no_others(self, found: Resource) -> None:
        labels = stage_job(found)["spec"]["template"]["metadata"]["labels"]

        assert "azure.workload.identity/use" not in labels
