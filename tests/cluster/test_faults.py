"""Parts of the cluster die and come back: jobs wait and go on."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from tests.cluster.arena import Arena, has_ended
from tests.cluster.jobs import condition, holds, lora, probe, until

if TYPE_CHECKING:
    from tests.cluster.azureworld import AzureWorld

OUTAGE = 60
STAGES = "millwright.dev/role=stage"


@pytest.mark.alone
class TestTheObjectStore:
    def test_dies_for_a_minute_during_an_upload_a_checkpoint_and_a_stages_start(
        self, arena: Arena, cluster: Any
    ) -> None:
        arena.start("upload", probe(units=4, blob=600))
        arena.start("checkpointed", probe(units=60), checkpoint={"everySteps": 4})
        arena.start("begun", probe(), execution={"kubernetes": {"queue": "nobody-s"}})  # a stage that starts when told
        for name in ("upload", "checkpointed"):
            arena.wait(name, holds("Running"), f"{name} to run")
        until("a stage to be queued", lambda: arena.children("jobs", "begun", "stage"))
        until("the upload to begin", lambda: arena.keys("out/upload/.millwright/cache/") or uploads(arena))

        cluster.stop("s3")
        (stage,) = arena.children("jobs", "begun", "stage")
        unsuspend = json.dumps({"spec": {"suspend": False}})
        arena.kubectl("patch", "job", stage["metadata"]["name"], "-n", arena.namespace, "--type=merge", "-p", unsuspend)
        time.sleep(OUTAGE)
        cluster.start("s3")

        for name in ("upload", "checkpointed", "begun"):
            ended = arena.complete(name, seconds=400)
            assert ended["status"]["attempts"] == 1
            assert arena.published(name) is not None


def uploads(arena: Arena) -> list[dict[str, Any]]:
    return list(arena.s3.list_multipart_uploads(Bucket=arena.bucket).get("Uploads", []))


@pytest.mark.alone
class TestTheApiServer:
    def test_is_killed_and_back_and_all_goes_on(self, arena: Arena, cluster: Any) -> None:
        arena.start("before", probe(units=40))
        arena.wait("before", holds("Running"), "the job to run")

        cluster.stop("kube-apiserver")
        time.sleep(5)
        cluster.start("kube-apiserver")
        until("the API server", lambda: reachable(arena))
        arena.start("after", probe())

        arena.complete("after")
        assert arena.complete("before")["status"]["attempts"] == 1


def reachable(arena: Arena) -> bool:
    try:
        return arena.kubectl("get", "--raw", "/readyz") == "ok"
    except AssertionError:
        return False


@pytest.mark.alone
class TestTheNode:
    def test_the_kubelet_and_the_container_runtime_restart_under_a_running_job(
        self, arena: Arena, cluster: Any
    ) -> None:
        arena.start("restarted", probe(units=40), checkpoint={"everySteps": 4})
        arena.wait("restarted", holds("Running"), "the job to run")

        for program in ("kubelet", "containerd"):
            cluster.stop(program)
        for program in ("containerd", "kubelet"):  # a kubelet that finds no runtime ends
            cluster.start(program)

        arena.complete("restarted")


def stage_of(pod: dict[str, Any]) -> tuple[str, str]:
    """The job and the stage that a pod is for."""
    labels = pod["metadata"]["labels"]
    return labels["millwright.dev/job"], labels["millwright.dev/stage"]


class TestTheOperator:
    @pytest.mark.alone
    def test_is_killed_twenty_times_during_five_jobs_and_one_on_azure_ml(
        self, arena: Arena, azure_ml: AzureWorld, operator_pods: Any
    ) -> None:
        names = [f"survivor-{i}" for i in range(5)]
        most: dict[str, int] = {}
        stop = threading.Event()

        def watch() -> None:
            while not stop.wait(0.05):
                live = Counter(stage_of(pod) for pod in arena.list("pods", STAGES) if not has_ended(pod))
                for (name, _), pods in live.items():
                    most[name] = max(most.get(name, 0), pods)

        thread = threading.Thread(target=watch)
        thread.start()
        try:
            for name in names:
                light = {"resources": {"requests": {"cpu": "10m"}}}
                arena.start(name, probe("one", units=80), {**probe("two", units=80), **light})
            azure_ml.start("elsewhere", probe(units=20))
            for _ in range(20):
                operator_pods.kill()
            for name in [*names, "elsewhere"]:
                arena.complete(name, seconds=400)
        finally:
            stop.set()
            thread.join()

        for name in names:
            stages = arena.children("jobs", name, "stage")
            assert sorted(j["metadata"]["labels"]["millwright.dev/stage"] for j in stages) == ["0", "1"]
            assert most[name] == 1
            assert arena.status(name)["attempts"] == 2
            assert condition(arena.job(name), "ArtifactsPublished")["status"] == "True"

        (there,) = azure_ml.jobs_of("elsewhere")
        assert there.status == "Completed"
        let_go = arena.wait("elsewhere", lambda job: not job["metadata"].get("finalizers"), "its finalizer to go")
        assert let_go["status"]["attempts"] == 1

    def test_a_real_training_goes_on_from_its_checkpoint_when_its_pod_is_killed(self, trainable: Arena) -> None:
        trainable.start("trained", lora(maxSteps=40), checkpoint={"everySteps": 5})
        until(
            "a checkpoint",
            lambda: [k for k in trainable.keys("out/trained/.millwright/checkpoints/") if k.endswith("manifest.json")],
        )
        (pod,) = trainable.live_pods("trained", "stage")

        trainable.kubectl(
            "delete", "pod", pod["metadata"]["name"], "-n", trainable.namespace, "--force", "--grace-period=0"
        )

        ended = trainable.complete("trained")
        assert ended["status"]["passes"][0]["resumedFrom"] >= 5
