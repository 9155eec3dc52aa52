"""What goes wrong has its own reason and message, whatever it is, and holds no accelerator while it waits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from tests.cluster.arena import Arena
from tests.cluster.jobs import SECRET, condition, holds, lora, merged, probe


def with_secret(arena: Arena, name: str, **data: str) -> None:
    arena.apply(
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": name, "namespace": arena.namespace},
            "stringData": data,
        }
    )


def place(arena: Arena, uri: str) -> dict[str, Any]:
    return {"s3": {"uri": uri, "endpoint": arena.endpoint, "region": "us-east-1"}}


def refused(arena: Arena) -> list[dict[str, Any]]:
    """Jobs that a preflight finds something wrong with, each something else."""
    model = place(arena, f"s3://{arena.bucket}/model/")
    data = arena.manifest("", lora())["spec"]["data"]
    data[0]["text"] = merged(data[0]["text"], {"columns": ["phrase", "tonne"], "answer": None, "template": None})
    limits = {"limits": {"nvidia.com/gpu": "1"}}
    return [
        arena.manifest("no-bucket", lora(), output=place(arena, "s3://there-is-no-such-bucket/x/")),
        arena.manifest("no-model", lora(), model=place(arena, f"s3://{arena.bucket}/no-such-model/")),
        arena.manifest("no-column", lora(), data=data),
        arena.manifest("wrong-keys", lora(), credentials=[{"secretName": "wrong"}]),
        arena.manifest("chain", {"merge": {}}),
        arena.manifest("no-memory", lora(), execution={"kubernetes": {"resources": {"limits": {"memory": "8Mi"}}}}),
        arena.manifest(
            "no-gpu-memory", lora(), execution={"kubernetes": {"resources": limits, "acceleratorMemory": "256Ki"}}
        ),
        arena.manifest("remote-code", lora(), model=model | {"trustRemoteCode": True}),
        arena.manifest("plug-in", {"custom": {"pass": "prob", "options": {}}}),
    ]


def start_all(arena: Arena, bodies: list[dict[str, Any]]) -> None:
    """Applies jobs at once, so that they wait beside one another."""
    arena.apply({"apiVersion": "v1", "kind": "List", "items": bodies})


@pytest.fixture(scope="module")
def found(arena: Arena) -> Callable[[str], dict[str, Any]]:
    """What is found wrong with a job of `refused`."""
    with_secret(arena, "wrong", AWS_ACCESS_KEY_ID="ground", AWS_SECRET_ACCESS_KEY="not-the-secret")
    start_all(arena, refused(arena))

    def look(name: str) -> dict[str, Any]:
        job = arena.stalled(name)
        assert arena.children("jobs", name, "stage") == []
        validated, stalled = condition(job, "Validated"), condition(job, "Stalled")
        assert (validated["status"], stalled["reason"]) == ("False", validated["reason"])
        assert condition(job, "Failed") == {}
        return validated

    return look


class TestThePreflight:
    """A finding of it stalls the job, names the path in the manifest, and no stage was started."""

    def test_a_bucket_that_is_absent(self, found: Any) -> None:
        said = found("no-bucket")

        assert said["reason"] == "StoreNotFound"
        assert "there-is-no-such-bucket" in said["message"]
        assert "spec.output" in said["message"]

    def test_a_model_that_is_absent(self, found: Any) -> None:
        said = found("no-model")

        assert said["reason"] == "ModelNotFound"
        assert "spec.model" in said["message"]

    def test_a_column_that_the_data_do_not_have(self, found: Any) -> None:
        said = found("no-column")

        assert said["reason"] == "InvalidData"
        assert "tonne" in said["message"]
        assert "did you mean 'tone'?" in said["message"]

    def test_credentials_that_are_wrong(self, found: Any) -> None:
        said = found("wrong-keys")

        assert said["reason"] == "AccessDenied"
        assert "not-the-secret" not in said["message"]

    def test_a_chain_of_passes_that_do_not_fit(self, found: Any) -> None:
        said = found("chain")

        assert said["reason"] == "ChainMismatch"
        assert "spec.passes[0]" in said["message"]

    def test_less_memory_than_the_recipe_needs(self, found: Any) -> None:
        said = found("no-memory")

        assert said["reason"] == "MemoryInsufficient"
        assert "8 MiB" in said["message"] or "8Mi" in said["message"]

    def test_less_accelerator_memory_than_the_recipe_needs(self, found: Any) -> None:
        assert found("no-gpu-memory")["reason"] == "GPUMemoryInsufficient"

    def test_code_of_a_model_where_the_platform_does_not_allow_it(self, found: Any) -> None:
        said = found("remote-code")

        assert said["reason"] == "RemoteCodeNotAllowed"
        assert "spec.model.trustRemoteCode" in said["message"]

    def test_an_unknown_plug_in(self, found: Any) -> None:
        assert found("plug-in")["reason"] == "UnknownPass"

    def test_a_typo_that_it_found_is_mended_by_an_edit(self, arena: Arena) -> None:
        arena.start("mended", probe(), model=place(arena, f"s3://{arena.bucket}/modle/"))
        arena.stalled("mended")

        arena.patch("mended", model={"s3": {"uri": f"s3://{arena.bucket}/model/"}})

        ended = arena.complete("mended")
        assert condition(ended, "Validated")["status"] == "True"
        assert condition(ended, "Stalled") == {}

    def test_a_mended_secret_is_tried_again_by_an_annotation(self, arena: Arena) -> None:
        with_secret(arena, "mended", AWS_ACCESS_KEY_ID="ground", AWS_SECRET_ACCESS_KEY="wrong")
        arena.start("requested", probe(), credentials=[{"secretName": "mended"}])
        arena.stalled("requested")
        good = arena.get("secret", SECRET)
        assert good is not None
        arena.apply(
            {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {"name": "mended", "namespace": arena.namespace},
                "data": good["data"],
            }
        )

        arena.kubectl("annotate", "optjob", "requested", "-n", arena.namespace, "millwright.dev/requested-at=once-more")

        arena.complete("requested")


class TestWaiting:
    """What keeps a pod from starting is said while it waits."""

    def test_a_secret_that_is_missing_is_named_and_making_it_goes_on(self, arena: Arena) -> None:
        arena.start("no-secret", probe(), credentials=[{"secretName": SECRET}, {"secretName": "later"}])

        said = condition(arena.stalled("no-secret"), "Stalled")
        with_secret(arena, "later", ANYTHING="1")

        assert said["reason"] == "SecretNotFound"
        assert "later" in said["message"]
        assert "spec.credentials[1].secretName" in said["message"]
        arena.complete("no-secret")

    def test_an_image_that_cannot_be_pulled(self, arena: Arena) -> None:
        registry = arena.plugin_image.split("/", 1)[0]
        image = f"{registry}/millwright/there-is-no-such-image:1"
        arena.start("no-image", probe(), execution={"kubernetes": {"image": image}})

        said = condition(arena.stalled("no-image"), "Stalled")

        assert said["reason"] == "ImagePullFailed"
        assert image in said["message"]

    def test_resources_that_no_node_has(self, arena: Arena) -> None:
        asked = {"limits": {"example.com/unobtainium": "3"}}
        arena.start("no-node", probe(), execution={"kubernetes": {"resources": asked}})

        job = arena.wait("no-node", lambda j: condition(j, "Ready").get("reason") == "Unschedulable")

        assert "example.com/unobtainium" in condition(job, "Ready")["message"]
        assert condition(job, "Reconciling")["status"] == "True"

    def test_a_priority_class_that_is_not_there(self, arena: Arena) -> None:
        arena.start("no-class", probe(), execution={"kubernetes": {"podTemplate": {"priorityClassName": "nobodys"}}})

        said = condition(arena.stalled("no-class"), "Stalled")

        assert said["reason"] == "PodNotCreated"
        assert "spec.execution.kubernetes.podTemplate.priorityClassName" in said["message"]
        assert "nobodys" in said["message"]


class TestAQuota:
    @pytest.mark.parametrize(
        ("counts", "reason"), [("count/jobs.batch", "JobNotCreated"), ("pods", "PodNotCreated")], ids=["jobs", "pods"]
    )
    def test_that_is_used_up_is_said_and_when_it_goes_the_job_goes_on(
        self, arena: Arena, counts: str, reason: str
    ) -> None:
        quota = {
            "apiVersion": "v1",
            "kind": "ResourceQuota",
            "metadata": {"name": "none-left", "namespace": arena.namespace},
            "spec": {"hard": {counts: "0"}},
        }
        name = f"over-quota-{reason.lower()}"
        arena.apply(quota)
        try:
            arena.start(name, probe())
            job = arena.wait(name, lambda j: condition(j, "Ready").get("reason") == reason)
        finally:
            arena.kubectl("delete", "resourcequota", "none-left", "--namespace", arena.namespace)

        assert "quota" in condition(job, "Ready")["message"]
        assert condition(job, "Reconciling")["status"] == "True"
        arena.complete(name)


def failing(arena: Arena) -> list[dict[str, Any]]:
    """Jobs whose stage fails, each in another way."""
    once = {"retry": {"maxAttempts": 1}}
    limit = {"execution": {"kubernetes": {"resources": {"limits": {"memory": "300Mi"}}}}}
    return [
        arena.manifest("user-error", probe(fails="user")),
        arena.manifest("bug", probe(fails="bug"), **once),
        arena.manifest("again", probe(fails="again"), retry={"maxAttempts": 2}),
        arena.manifest("memory", probe(fails="memory"), **once, **limit),
        arena.manifest("child-memory", probe(fails="child-memory"), **once, **limit),
        arena.manifest("silent", probe(fails="exit"), **once),
        arena.manifest("slow", probe(units=400), activeDeadlineSeconds=4),
    ]


@pytest.fixture(scope="module")
def ended(arena: Arena) -> Callable[[str], dict[str, Any]]:
    """A job of `failing` at its end."""
    start_all(arena, failing(arena))
    return arena.finish


class TestFailing:
    def test_the_users_error_is_not_tried_again(self, arena: Arena, ended: Any) -> None:
        failed = condition(ended("user-error"), "Failed")

        assert failed["reason"] == "InvalidData"
        assert "spec.passes[0].custom.options.units" in failed["message"]
        assert len(arena.children("pods", "user-error", "stage")) == 1

    def test_a_bug_in_a_pass_shows_its_last_lines(self, ended: Any) -> None:
        failed = condition(ended("bug"), "Failed")

        assert failed["reason"] == "PassFailed"
        assert "line of user code 4711" in failed["message"]

    def test_a_failure_that_may_heal_is_tried_as_often_as_said(self, ended: Any) -> None:
        job = ended("again")

        assert condition(job, "Failed")["reason"] == "TryAgain"
        assert "attempt 2 of 2" in condition(job, "Failed")["message"]
        assert job["status"]["attempts"] == 2

    @pytest.mark.parametrize("how", ["memory", "child-memory"])
    def test_memory_that_runs_out_is_called_by_its_name(self, ended: Any, how: str) -> None:
        failed = condition(ended(how), "Failed")

        assert failed["reason"] == "OOMKilled"
        assert "300Mi" in failed["message"] or "300 MiB" in failed["message"]
        assert "peak" in failed["message"]

    def test_a_process_that_dies_without_a_word(self, ended: Any) -> None:
        assert "9" in condition(ended("silent"), "Failed")["message"]

    def test_too_slow_for_its_deadline(self, arena: Arena, ended: Any) -> None:
        failed = condition(ended("slow"), "Failed")

        assert failed["reason"] == "DeadlineExceeded"
        assert arena.live_pods("slow") == []

    def test_a_failed_job_is_not_run_again_whatever_is_deleted(self, arena: Arena) -> None:
        arena.start("done-for", probe(fails="user"))
        before = arena.finish("done-for")["status"]

        arena.kubectl("delete", "jobs,pods,configmaps", "-n", arena.namespace, "-l", "millwright.dev/job=done-for")
        arena.patch("done-for", ttlSecondsAfterFinished=1000)  # an event of its own
        arena.start("next", probe())
        arena.complete("next")

        assert arena.children("jobs", "done-for") == []
        assert holds("Failed")(arena.job("done-for"))
        assert arena.status("done-for")["completionTime"] == before["completionTime"]
