"""How a job lives on a cluster: real pods, real S3, real torch, the operator as a pod under its own rights."""

from __future__ import annotations

import json

import pytest
from tests.cluster.arena import Arena
from tests.cluster.jobs import condition, lora, probe

GPU = "millwright.dev/test-gpu"


@pytest.fixture(scope="module")
def recipe(trainable: Arena) -> Arena:
    """The whole recipe, in two stages, run once."""
    own = {"resources": {"requests": {"cpu": "100m", "memory": "256Mi"}}}
    trainable.start("recipe", lora(), {"merge": {}}, {"genai": {"precision": "int4"}, **own})
    trainable.complete("recipe")
    return trainable


class TestARecipe:
    def test_ends_in_a_model_in_s3(self, recipe: Arena) -> None:
        (artifact,) = recipe.status("recipe")["artifacts"]
        published = recipe.published("recipe")

        assert published is not None
        assert artifact["format"] == "onnx-genai"
        assert artifact["uri"].startswith(f"s3://{recipe.bucket}/out/recipe/")
        prefix = artifact["uri"].removeprefix(f"s3://{recipe.bucket}/")
        assert {"model.onnx", "genai_config.json", "tokenizer.json"} <= {
            key.removeprefix(prefix) for key in recipe.keys(prefix)
        }

    def test_consecutive_passes_with_equal_resources_share_a_job(self, recipe: Arena) -> None:
        jobs = recipe.children("jobs", "recipe", "stage")
        status = recipe.status("recipe")

        assert sorted(j["metadata"]["labels"]["millwright.dev/stage"] for j in jobs) == ["0", "1"]
        assert [(p["name"], p["stage"]) for p in status["passes"]] == [("lora", 0), ("merge", 0), ("genai", 1)]

    def test_the_second_stage_takes_over_from_the_cache(self, recipe: Arena) -> None:
        status = recipe.status("recipe")

        assert [p["phase"] for p in status["passes"]] == ["Succeeded"] * 3
        assert [p["cache"] for p in status["passes"]] == ["Miss"] * 3  # each was done once, by its own stage

    def test_is_preflighted_before_anything_else(self, recipe: Arena) -> None:
        (preflight,) = recipe.children("jobs", "recipe", "preflight")
        stages = recipe.children("jobs", "recipe", "stage")

        ended = preflight["status"]["completionTime"]
        assert all(ended <= stage["metadata"]["creationTimestamp"] for stage in stages)
        assert condition(recipe.job("recipe"), "Validated")["reason"] == "SpecValid"

    def test_tells_what_training_measured(self, recipe: Arena) -> None:
        training = recipe.status("recipe")["passes"][0]

        assert training["metrics"]["trainLoss"] > 0
        assert training["seconds"] > 0

    def test_its_events_tell_its_story(self, recipe: Arena) -> None:
        reasons = {event["reason"] for event in recipe.events("recipe")}

        assert {"StageStarted", "StageSucceeded", "Succeeded"} <= reasons

    def test_its_status_is_written_by_server_side_apply_alone(self, recipe: Arena) -> None:
        shown = recipe.kubectl("get", "optjob", "recipe", "-n", recipe.namespace, "-o", "json", "--show-managed-fields")
        managers = json.loads(shown)["metadata"]["managedFields"]

        assert {(m["manager"], m["operation"]) for m in managers if m.get("subresource") == "status"} == {
            ("millwright", "Apply")
        }

    def test_applied_again_changes_nothing(self, recipe: Arena) -> None:
        before = recipe.job("recipe")

        own = {"resources": {"requests": {"cpu": "100m", "memory": "256Mi"}}}
        recipe.start("recipe", lora(), {"merge": {}}, {"genai": {"precision": "int4"}, **own})

        after = recipe.job("recipe")
        assert after["metadata"]["generation"] == before["metadata"]["generation"]
        assert after["status"] == before["status"]

    def test_another_job_of_the_same_recipe_is_a_full_hit_in_one_pod_per_stage(self, recipe: Arena) -> None:
        own = {"resources": {"requests": {"cpu": "100m", "memory": "256Mi"}}}
        output = {"s3": {"uri": f"s3://{recipe.bucket}/out/recipe/"}}

        recipe.start("again", lora(), {"merge": {}}, {"genai": {"precision": "int4"}, **own}, output=output)

        status = recipe.complete("again")["status"]
        assert {p["cache"] for p in status["passes"]} == {"Hit"}
        assert status["artifacts"] == recipe.status("recipe")["artifacts"]


def give_nodes(arena: Arena, resource: str) -> None:
    """Says that each node has four of a device, as a device plug-in would."""
    path = f"/status/capacity/{resource.replace('/', '~1')}"
    patch = json.dumps([{"op": "add", "path": path, "value": "4"}])
    for node in json.loads(arena.kubectl("get", "nodes", "-o", "json"))["items"]:
        arena.kubectl("patch", "node", node["metadata"]["name"], "--subresource=status", "--type=json", "-p", patch)


class TestPods:
    def test_meet_the_restricted_standard(self, recipe: Arena) -> None:
        for pod in recipe.children("pods", "recipe"):
            spec = pod["spec"]
            (container,) = spec["containers"]
            assert spec["securityContext"]["runAsNonRoot"] is True
            assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
            assert container["securityContext"]["readOnlyRootFilesystem"] is True
            assert container["securityContext"]["allowPrivilegeEscalation"] is False
            assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}

    def test_are_admitted_where_the_restricted_standard_is_enforced(self, arena: Arena) -> None:
        arena.kubectl(
            "label", "namespace", arena.namespace, "pod-security.kubernetes.io/enforce=restricted", "--overwrite"
        )

        arena.start("restricted", probe())

        arena.complete("restricted")

    def test_carry_no_token_but_the_one_for_progress(self, recipe: Arena) -> None:
        for pod in recipe.children("pods", "recipe"):
            tokens = [
                source["serviceAccountToken"]["audience"]
                for volume in pod["spec"]["volumes"]
                for source in volume.get("projected", {}).get("sources", [])
                if "serviceAccountToken" in source
            ]
            assert pod["spec"]["automountServiceAccountToken"] is False
            role = pod["metadata"]["labels"]["millwright.dev/role"]
            assert tokens == (["progress.millwright.dev"] if role == "stage" else [])

    def test_only_the_stage_that_asks_for_an_accelerator_has_it(self, arena: Arena) -> None:
        give_nodes(arena, GPU)
        limits = {"execution": {"kubernetes": {"resources": {"limits": {GPU: "1"}}}}}
        light = {"resources": {"requests": {"cpu": "50m"}}}
        arena.start("gpu", probe("first"), {**probe("second"), **light}, **limits)

        arena.complete("gpu")

        asked = {
            job["metadata"]["labels"].get("millwright.dev/stage", "preflight"): job["spec"]["template"]["spec"][
                "containers"
            ][0]
            .get("resources", {})
            .get("limits", {})
            .get(GPU)
            for job in arena.children("jobs", "gpu")
        }
        assert asked == {"preflight": None, "0": "1", "1": None}
