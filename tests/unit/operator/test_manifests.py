"""A job's children, field by field: what Kubernetes is asked to do, and what no pod may."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from pydantic import ValidationError
from tests.unit.operator.simulated import PLATFORM, UID, Cluster, spec, two_stages, walk

from millwright_api.v1alpha1 import Spec
from millwright_operator import manifests, seen, stages
from millwright_operator.observed import Resource, digest_of

VOLUMES = {
    "model": {"volume": {"claimName": "models", "path": "phi3"}},
    "output": {"volume": {"claimName": "results", "path": "out"}},
}


def resource(**changes: Any) -> Resource:
    return seen.resource(Cluster.with_job(spec(**changes)).body)


def kubernetes(**changes: Any) -> dict[str, Any]:
    return {"execution": {"kubernetes": changes}}


def stage_job(found: Resource, index: int = 0, **changes: Any) -> dict[str, Any]:
    parsed = Spec.model_validate(found.spec)
    stage = stages.stages_of(parsed)[index]
    name = stages.stage_name(found, index)
    settings: dict[str, Any] = {"name": name, "backoff_limit": 2, "deadline": None} | changes
    return manifests.stage_job(found, parsed, stage, PLATFORM, **settings)


def preflight(found: Resource) -> dict[str, Any]:
    return manifests.preflight_job(found, Spec.model_validate(found.spec), PLATFORM)


def report(found: Resource) -> dict[str, Any]:
    return manifests.report_job(found, Spec.model_validate(found.spec), PLATFORM)


def pod(job: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = job["spec"]["template"]["spec"]
    return found


def container(job: dict[str, Any]) -> dict[str, Any]:
    (found,) = pod(job)["containers"]
    return dict(found)


def environment(job: dict[str, Any]) -> dict[str, Any]:
    return {e["name"]: e.get("value", e.get("valueFrom")) for e in container(job)["env"]}


def mounts(job: dict[str, Any]) -> dict[str, dict[str, Any]]:
    volumes = {v["name"]: v for v in pod(job)["volumes"]}
    return {
        m["mountPath"]: {**volumes[m["name"]], "readOnly": m.get("readOnly")} for m in container(job)["volumeMounts"]
    }


ALL = [stage_job, preflight, report]


@pytest.mark.parametrize("make", ALL)
class TestEveryPod:
    def test_it_meets_the_restricted_standard(self, make: Any) -> None:
        found = make(resource())

        assert pod(found)["securityContext"] == {
            "runAsNonRoot": True,
            "runAsUser": 65532,
            "runAsGroup": 65532,
            "fsGroup": 65532,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        }
        assert container(found)["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        }
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod(found))

    def test_it_has_no_token_for_the_api_server(self, make: Any) -> None:
        found = make(resource())

        assert pod(found)["automountServiceAccountToken"] is False
        assert pod(found)["enableServiceLinks"] is False
        audiences = [value for key, value in walk(found) if key == "audience"]
        assert audiences == (["progress.millwright.dev"] if make is stage_job else [])

    def test_it_runs_once_and_says_how_it_ended(self, make: Any) -> None:
        found = make(resource())

        assert pod(found)["restartPolicy"] == "Never"
        assert container(found)["terminationMessagePolicy"] == "FallbackToLogsOnError"
        assert container(found)["terminationMessagePath"] == "/dev/termination-log"

    def test_it_runs_the_runner_in_its_role(self, make: Any) -> None:
        found = make(resource())

        role = found["metadata"]["labels"]["millwright.dev/role"]
        assert container(found)["name"] == "runner"
        assert container(found)["command"] == ["python", "-m", "millwright_runner.pod", role]
        assert "args" not in container(found)

    def test_secrets_become_environment_and_are_only_named(self, make: Any) -> None:
        found = make(resource(credentials=[{"secretName": "hf"}, {"secretName": "s3"}]))

        assert container(found)["envFrom"] == [{"secretRef": {"name": "hf"}}, {"secretRef": {"name": "s3"}}]

    def test_it_finds_the_job_and_room_to_write(self, make: Any) -> None:
        found = make(resource())

        places = mounts(found)
        assert places["/etc/millwright/job"]["configMap"] == {"name": stages.manifest_name(resource())}
        assert places["/etc/millwright/job"]["readOnly"] is True
        assert "subPath" not in {key for key, _ in walk(found)}
        assert places["/scratch"]["emptyDir"] == {}
        assert places["/dev/shm"]["emptyDir"] == {"medium": "Memory", "sizeLimit": "1Gi"}
        folders = [environment(found)[name] for name in ("HOME", "TMPDIR", "MILLWRIGHT_HOME")]
        assert all(folder.startswith("/scratch") for folder in folders)

    def test_only_a_stage_knows_its_image_for_the_provenance(self, make: Any) -> None:
        found = make(resource())

        image = container(found)["image"] if make is stage_job else None
        assert environment(found).get("MILLWRIGHT_IMAGE") == image

    def test_volumes_are_read_only_but_the_outputs(self, make: Any) -> None:
        places = mounts(make(resource(**VOLUMES)))

        assert places["/volumes/models"]["persistentVolumeClaim"] == {"claimName": "models"}
        assert (places["/volumes/models"]["readOnly"], places["/volumes/results"]["readOnly"]) == (True, False)

    def test_one_claim_for_source_and_output_is_mounted_once_to_write(self, make: Any) -> None:
        same = {"model": VOLUMES["model"], "output": {"volume": {"claimName": "models", "path": "out"}}}

        found = make(resource(**same))

        assert mounts(found)["/volumes/models"]["readOnly"] is False
        assert sum("persistentVolumeClaim" in volume for volume in pod(found)["volumes"]) == 1

    def test_claims_of_the_template_are_where_it_says(self, make: Any) -> None:
        volumes = [
            {"claimName": "cache", "mountPath": "/data"},
            {"claimName": "rw", "mountPath": "/rw", "readOnly": False},
        ]

        places = mounts(make(resource(**kubernetes(podTemplate={"volumes": volumes}))))

        assert places["/data"]["persistentVolumeClaim"] == {"claimName": "cache"}
        assert (places["/data"]["readOnly"], places["/rw"]["readOnly"]) == (True, False)

    def test_no_name_of_a_volume_is_taken_from_a_claim(self, make: Any) -> None:
        volumes = [{"claimName": name, "mountPath": f"/data/{name}"} for name in ("job", "shm", "scratch")]

        names = [v["name"] for v in pod(make(resource(**kubernetes(podTemplate={"volumes": volumes}))))["volumes"]]

        assert len(names) == len(set(names))

    def test_it_belongs_to_the_job_and_goes_with_it(self, make: Any) -> None:
        found = make(resource())

        assert found["metadata"]["ownerReferences"] == [
            {
                "apiVersion": "millwright.dev/v1alpha1",
                "kind": "OptimizationJob",
                "name": "phi3",
                "uid": UID,
                "controller": True,
                "blockOwnerDeletion": False,
            }
        ]
        assert found["metadata"]["namespace"] == "team-a"
        assert found["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "millwright"
        assert found["spec"]["template"]["metadata"]["labels"]["millwright.dev/job"] == "phi3"

    def test_failures_that_cannot_heal_end_it_and_disruptions_do_not_count(self, make: Any) -> None:
        found = make(resource())["spec"]

        assert found["podFailurePolicy"] == {
            "rules": [
                {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
                {
                    "action": "FailJob",
                    "onExitCodes": {"containerName": "runner", "operator": "In", "values": [2, 3]},
                },
            ]
        }
        assert found["podReplacementPolicy"] == "Failed"
        assert (found["completions"], found["parallelism"]) == (1, 1)

    def test_no_time_to_live_is_set_at_creation(self, make: Any) -> None:
        assert "ttlSecondsAfterFinished" not in make(resource(ttlSecondsAfterFinished=60))["spec"]

    def test_what_people_may_say_of_pods_is_passed_on(self, make: Any) -> None:
        template = {
            "serviceAccountName": "trainer",
            "priorityClassName": "low",
            "imagePullSecrets": [{"name": "registry"}],
            "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}],
            "env": [
                {"name": "HTTPS_PROXY", "value": ""},
                {"name": "WANDB", "valueFrom": {"secretKeyRef": {"name": "w", "key": "k"}}},
            ],
            "fsGroup": 1000,
        }

        found = make(resource(**kubernetes(podTemplate=template)))

        assert {key: pod(found)[key] for key in list(template)[:4]} == {
            key: template[key] for key in list(template)[:4]
        }
        assert [e for e in template["env"] if e in container(found)["env"]] == template["env"]
        assert pod(found)["securityContext"]["fsGroup"] == 1000

    @pytest.mark.parametrize("name", ["HOME", "TMPDIR", "MILLWRIGHT_STEPS"])
    def test_what_is_ours_is_no_variable_of_the_manifests(self, make: Any, name: str) -> None:
        template = {"env": [{"name": name, "value": "/"}]}

        with pytest.raises(ValidationError, match="the operator's own"):
            make(resource(**kubernetes(podTemplate=template)))

    def test_it_is_plain_json(self, make: Any) -> None:
        found = make(resource(**VOLUMES))

        assert json.loads(json.dumps(found)) == found
        assert None not in [value for _, value in walk(found)]


class TestAStage:
    def test_it_asks_for_what_its_passes_ask_for(self) -> None:
        found = resource()

        assert container(stage_job(found))["resources"] == {"limits": {"nvidia.com/gpu": "1", "memory": "2Gi"}}

    def test_gpus_are_asked_for_by_no_other_job(self) -> None:
        body = Cluster.with_job(two_stages()).body
        found = seen.resource(body)

        with_gpu = [
            job["metadata"]["labels"].get("millwright.dev/stage")
            for job in (preflight(found), stage_job(found, 0), stage_job(found, 1), report(found))
            if "nvidia.com/gpu" in container(job)["resources"].get("limits", {})
        ]
        assert with_gpu == ["0"]

    def test_it_does_its_steps(self) -> None:
        found = seen.resource(Cluster.with_job(two_stages()).body)

        assert [environment(stage_job(found, i))["MILLWRIGHT_STEPS"] for i in (0, 1)] == ["0:2", "2:3"]

    def test_it_is_placed_where_people_say(self) -> None:
        template = {
            "nodeSelector": {"gpu": "a100"},
            "affinity": {
                "nodeAffinity": {
                    "requiredDuringSchedulingIgnoredDuringExecution": {
                        "nodeSelectorTerms": [
                            {"matchExpressions": [{"key": "zone", "operator": "In", "values": ["a"]}]}
                        ]
                    }
                }
            },
            "terminationGracePeriodSeconds": 300,
        }
        found = resource(**kubernetes(podTemplate=template))

        assert {key: pod(stage_job(found))[key] for key in template} == template
        assert not {"nodeSelector", "affinity"} & set(pod(preflight(found)))

    def test_without_a_queue_it_starts_at_once(self) -> None:
        found = stage_job(resource())

        assert found["spec"]["suspend"] is False
        assert "kueue.x-k8s.io/queue-name" not in found["metadata"]["labels"]

    def test_with_a_queue_it_waits_for_it(self) -> None:
        found = stage_job(resource(**kubernetes(queue="gpus")))

        assert found["spec"]["suspend"] is True
        assert found["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "gpus"

    def test_what_looks_before_waits_in_no_queue(self) -> None:
        found = preflight(resource(**kubernetes(queue="gpus")))

        assert "kueue.x-k8s.io/queue-name" not in found["metadata"]["labels"]
        assert "suspend" not in found["spec"]

    def test_it_has_its_attempts_and_its_time(self) -> None:
        found = stage_job(resource(), backoff_limit=6, deadline=77)

        assert (found["spec"]["backoffLimit"], found["spec"]["activeDeadlineSeconds"]) == (6, 77)
        assert "activeDeadlineSeconds" not in stage_job(resource())["spec"]

    def test_it_reports_with_a_token_for_nothing_else(self) -> None:
        found = stage_job(resource())

        token = mounts(found)["/var/run/secrets/millwright"]["projected"]["sources"][0]["serviceAccountToken"]
        assert token == {"path": "token", "audience": "progress.millwright.dev", "expirationSeconds": 3600}
        assert environment(found)["MILLWRIGHT_PROGRESS_URL"] == "https://progress/v1"

    def test_where_there_is_no_endpoint_there_is_no_token(self) -> None:
        found = resource()
        parsed = Spec.model_validate(found.spec)
        quiet = replace(PLATFORM, progress_url=None)

        job = manifests.stage_job(
            found, parsed, stages.stages_of(parsed)[0], quiet, name="s", backoff_limit=2, deadline=None
        )

        assert "MILLWRIGHT_PROGRESS_URL" not in environment(job)
        assert "projected" not in {key for key, _ in walk(job)}

    def test_room_is_as_people_say(self) -> None:
        places = mounts(stage_job(resource(**kubernetes(scratch="20Gi", sharedMemory="8Gi"))))

        assert places["/scratch"]["emptyDir"] == {"sizeLimit": "20Gi"}
        assert places["/dev/shm"]["emptyDir"]["sizeLimit"] == "8Gi"

    def test_its_image_is_the_jobs_own_or_the_platforms(self) -> None:
        assert container(stage_job(resource()))["image"] == "runner:1"
        assert container(stage_job(resource(**kubernetes(image="mine:2"))))["image"] == "mine:2"

    def test_code_of_models_runs_only_where_the_platform_lets_it(self) -> None:
        found = resource()
        parsed = Spec.model_validate(found.spec)

        allowed = manifests.preflight_job(found, parsed, replace(PLATFORM, allow_remote_code=True))

        assert environment(allowed)["MILLWRIGHT_ALLOW_REMOTE_CODE"] == "1"
        # said in any case, since env wins over what a Secret of spec.credentials brings
        assert environment(preflight(found))["MILLWRIGHT_ALLOW_REMOTE_CODE"] == "0"


class TestAPreflight:
    def test_it_is_light_and_short(self) -> None:
        found = preflight(resource())

        assert container(found)["image"] == "light:1"
        assert (found["spec"]["backoffLimit"], found["spec"]["activeDeadlineSeconds"]) == (2, 600)

    def test_plug_ins_are_looked_at_in_the_image_that_has_them(self) -> None:
        passes = [{"custom": {"pass": "drop-layers", "options": {}}}]

        found = preflight(resource(passes=passes, **kubernetes(image="mine:2")))

        assert container(found)["image"] == "mine:2"

    def test_plug_ins_that_measure_are_looked_at_there_too(self) -> None:
        own, ours = {"custom": {"metric": "politeness"}}, {"sizeOnDisk": {}}

        images = [
            container(preflight(resource(evaluation={"metrics": metrics}, **kubernetes(image="mine:2"))))["image"]
            for metrics in ([ours, own], [ours])
        ]

        assert images == ["mine:2", "light:1"]

    def test_it_has_the_resources_and_the_pull_policy_of_the_platform(self) -> None:
        found = resource()
        platform = replace(PLATFORM, preflight_resources={"limits": {"memory": "1Gi"}}, image_pull_policy="Always")

        job = manifests.preflight_job(found, Spec.model_validate(found.spec), platform)

        assert container(job)["resources"] == {"limits": {"memory": "1Gi"}}
        assert container(job)["imagePullPolicy"] == "Always"

    def test_it_knows_what_each_stage_may_use(self) -> None:
        template = {"nodeSelector": {"nvidia.com/gpu.memory": "24576"}}
        resources = {"limits": {"nvidia.com/gpu": 2, "memory": "64Gi", "ephemeral-storage": "10Gi"}}
        light = {"limits": {"cpu": "4"}, "requests": {"memory": "1Gi", "ephemeral-storage": "1Gi"}}
        passes = [{"merge": {}}, {"genai": {}, "resources": light}]

        found = preflight(
            resource(passes=passes, **kubernetes(resources=resources, podTemplate=template, scratch="20Gi"))
        )

        assert json.loads(environment(found)["MILLWRIGHT_LIMITS"]) == [
            {
                "steps": "0:1",
                "memory": 64 * 2**30,
                "accelerator": 24 * 2**30,
                "accelerators": 2,
                "ephemeralStorage": 10 * 2**30,
                "scratch": 20 * 2**30,
            },
            # what is requested is no limit
            {"steps": "1:2", "memory": None, "accelerator": None, "accelerators": 0}
            | {"ephemeralStorage": None, "scratch": 20 * 2**30},
        ]

    def test_what_people_say_of_an_accelerator_counts_more_than_the_nodes_label(self) -> None:
        template = {"nodeSelector": {"nvidia.com/gpu.memory": "24576"}}
        resources = {"limits": {"nvidia.com/gpu": 1}}

        found = preflight(resource(**kubernetes(resources=resources, podTemplate=template, acceleratorMemory="80Gi")))

        assert json.loads(environment(found)["MILLWRIGHT_LIMITS"])[0]["accelerator"] == 80 * 2**30


class TestTheConfigMap:
    def test_it_has_the_recipe_and_the_authority(self) -> None:
        found = manifests.config_map(resource(), PLATFORM)

        manifest = json.loads(found["data"]["manifest.json"])
        assert (manifest["apiVersion"], manifest["kind"]) == ("millwright.dev/v1alpha1", "OptimizationJob")
        assert manifest["metadata"] == {"name": "phi3", "namespace": "team-a"}
        assert manifest["spec"]["passes"] == spec()["passes"]
        assert Spec.model_validate(manifest["spec"]).model == Spec.model_validate(spec()).model
        assert found["data"]["ca.crt"] == "CA"

    def test_without_an_endpoint_there_is_no_authority(self) -> None:
        assert "ca.crt" not in manifests.config_map(resource(), replace(PLATFORM, progress_ca=None))["data"]

    @pytest.mark.parametrize(
        "change",
        [
            {"suspend": True},
            {"retry": {"maxAttempts": 9}},
            {"ttlSecondsAfterFinished": 1},
            {"activeDeadlineSeconds": 9},
        ],
    )
    def test_what_is_no_recipe_changes_nothing(self, change: dict[str, Any]) -> None:
        maps = [manifests.config_map(resource(**c), PLATFORM) for c in ({}, change)]

        assert maps[0] == maps[1]
        assert digest_of(maps[0]) == digest_of(maps[1])


class TestNames:
    def test_they_are_the_same_each_time(self) -> None:
        assert stages.stage_name(resource(), 0) == stages.stage_name(resource(), 0)

    def test_a_name_made_again_gives_other_children(self) -> None:
        again = replace(resource(), uid="another")

        assert stages.preflight_name(again) != stages.preflight_name(resource())
        assert stages.stage_name(again, 0) != stages.stage_name(resource(), 0)

    def test_they_have_room_for_the_ending_of_a_pods_name(self) -> None:
        found = replace(resource(), key=resource().key._replace(name="a" * 52))

        assert all(len(name) <= 57 for name in (stages.stage_name(found, 31), stages.preflight_name(found)))


class TestStages:
    def of(self, *resources: dict[str, Any] | None) -> list[tuple[int, int]]:
        passes = [{"name": f"p{i}", "merge": {}} | ({"resources": r} if r else {}) for i, r in enumerate(resources)]
        found = Spec.model_validate(spec(passes=passes))
        return [(stage.first, stage.end) for stage in stages.stages_of(found)]

    def test_passes_with_equal_resources_share_one(self) -> None:
        assert self.of(None, None, None) == [(0, 3)]

    def test_only_neighbours_share_one(self) -> None:
        cpu = {"limits": {"cpu": "4"}}

        assert self.of(None, cpu, None) == [(0, 1), (1, 2), (2, 3)]

    def test_amounts_are_compared_by_value(self) -> None:
        assert self.of({"limits": {"memory": "1Gi"}}, {"limits": {"memory": "1024Mi"}}) == [(0, 2)]

    def test_a_request_that_is_the_limit_is_none_of_its_own(self) -> None:
        limits = {"limits": {"cpu": 2}}

        assert self.of(limits, limits | {"requests": {"cpu": "2000m"}}) == [(0, 2)]

    def test_other_requests_are_another_stage(self) -> None:
        limits = {"limits": {"cpu": 2}}

        assert self.of(limits, limits | {"requests": {"cpu": 1}}) == [(0, 1), (1, 2)]

    def test_the_jobs_own_resources_written_out_are_the_same(self) -> None:
        assert self.of(None, {"limits": {"nvidia.com/gpu": 1, "memory": "2Gi"}}) == [(0, 2)]

    @pytest.mark.parametrize(
        ("asked", "count"),
        [
            ({"cpu": "4", "memory": "1Gi", "ephemeral-storage": "1Gi", "hugepages-2Mi": "4Mi"}, 0),
            ({"nvidia.com/gpu": "2"}, 2),
            ({"amd.com/gpu": 1, "nvidia.com/mig-1g.5gb": 1}, 2),
        ],
    )
    def test_accelerators_are_what_no_node_has_of_itself(self, asked: dict[str, Any], count: int) -> None:
        assert stages.accelerators(asked) == count
