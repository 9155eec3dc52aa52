"""Suspend, resume, evict, edit, delete: nothing is lost, nothing is left behind."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.cluster.arena import Arena
from tests.cluster.jobs import condition, holds, probe, until

OFTEN = {"checkpoint": {"everySteps": 4}}


def running(arena: Arena, name: str, beyond: int = 4) -> dict[str, Any]:
    """Waits until the probe of a job has left a checkpoint behind it."""
    arena.wait(name, holds("Running"), f"{name} to run")
    return until(
        f"a checkpoint of {name}",
        lambda: {"keys": checkpoints(arena, name)} if len(checkpoints(arena, name)) >= beyond // 4 else None,
    )


def checkpoints(arena: Arena, name: str) -> list[str]:
    return [key for key in arena.keys(f"out/{name}/.millwright/checkpoints/") if key.endswith("manifest.json")]


def resumed_from(arena: Arena, name: str) -> int:
    return int(arena.status(name)["passes"][0].get("resumedFrom", 0))


class TestSuspend:
    def test_keeps_a_checkpoint_and_lets_go_of_all_pods(self, arena: Arena) -> None:
        arena.start("pause", probe(untilStopped=True), **OFTEN)
        running(arena, "pause")

        arena.patch("pause", suspend=True)

        job = arena.wait("pause", holds("Suspended"), "the job to be suspended")
        until("its pods to go", lambda: not arena.live_pods("pause"))
        assert condition(job, "Suspended")["reason"] == "SuspendedByUser"
        assert job["status"]["phase"] == "Suspended"
        assert condition(job, "Reconciling") == {}
        assert checkpoints(arena, "pause") != []

        arena.patch("pause", suspend=False)

        ended = arena.complete("pause")
        assert resumed_from(arena, "pause") > 0
        assert condition(ended, "Suspended").get("status", "False") == "False"
        assert ended["status"]["attempts"] == 1

    def test_from_the_start_makes_no_pod_at_all(self, arena: Arena) -> None:
        arena.start("later", probe(), suspend=True)

        job = arena.wait("later", holds("Suspended"), "the job to be suspended")

        assert job["status"].get("startTime") is None
        assert arena.children("pods", "later") == []
        arena.patch("later", suspend=False)
        arena.complete("later")

    def test_does_not_count_for_the_deadline(self, arena: Arena) -> None:
        arena.start("clock", probe(untilStopped=True), activeDeadlineSeconds=400, **OFTEN)
        running(arena, "clock")
        arena.patch("clock", suspend=True)
        until("its pods to go", lambda: holds("Suspended")(arena.job("clock")) and not arena.live_pods("clock"))

        arena.patch("clock", suspend=False)

        arena.complete("clock")
        (stage,) = arena.children("jobs", "clock", "stage")
        assert stage["spec"]["activeDeadlineSeconds"] < 400

    def test_past_it_what_the_job_waited_for_is_told(self, arena: Arena) -> None:
        resources = {"requests": {"cpu": "4000"}}
        arena.start("no-node", probe(), activeDeadlineSeconds=3, execution={"kubernetes": {"resources": resources}})

        failed = condition(arena.wait("no-node", holds("Failed"), "the end"), "Failed")

        assert failed["reason"] == "DeadlineExceeded"
        assert "spec.activeDeadlineSeconds (3 s) is used up" in failed["message"]
        assert "it waited: Unschedulable: no node has enough cpu" in failed["message"]


class TestEviction:
    def test_costs_no_attempt_and_goes_on_from_the_checkpoint(self, arena: Arena) -> None:
        arena.start("evicted", probe(untilStopped=True), retry={"maxAttempts": 1}, **OFTEN)
        running(arena, "evicted")
        (pod,) = arena.live_pods("evicted", "stage")
        name = pod["metadata"]["name"]
        body = {
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": {"name": name, "namespace": arena.namespace},
        }

        arena.kubectl(
            "create", "--raw", f"/api/v1/namespaces/{arena.namespace}/pods/{name}/eviction", "-f", "-",
            stdin=json.dumps(body),
        )  # fmt: skip

        arena.complete("evicted")
        assert resumed_from(arena, "evicted") > 0
        (stage,) = arena.children("jobs", "evicted", "stage")
        assert stage["status"].get("failed", 0) == 0


class TestQueue:
    """What Kueue does to a Job with its label, done by the test."""

    def admit(self, arena: Arena, name: str, *, suspend: bool = False) -> dict[str, Any]:
        job = until(f"the queued Job of {name}", lambda: arena.children("jobs", name, "stage"))[0]
        arena.kubectl(
            "patch", "job", job["metadata"]["name"], "-n", arena.namespace, "--type=merge", "--field-manager=kueue",
            "-p", json.dumps({"spec": {"suspend": suspend}}),
        )  # fmt: skip
        return job

    def test_a_stage_waits_for_its_admission_and_preempted_is_queued_again_and_goes_on(self, arena: Arena) -> None:
        arena.start("queued", probe(untilStopped=True), execution={"kubernetes": {"queue": "team-a"}}, **OFTEN)

        job = arena.wait("queued", lambda j: j.get("status", {}).get("phase") == "Queued", "the job to be queued")
        assert condition(job, "Ready")["reason"] == "QueuedForQuota"
        assert condition(job, "Reconciling")["status"] == "True"
        assert condition(job, "Suspended").get("status", "False") == "False"
        (stage,) = arena.children("jobs", "queued", "stage")
        assert stage["spec"]["suspend"] is True
        assert stage["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "team-a"
        (preflight,) = arena.children("jobs", "queued", "preflight")
        assert "kueue.x-k8s.io/queue-name" not in preflight["metadata"]["labels"]

        self.admit(arena, "queued")
        running(arena, "queued")

        self.admit(arena, "queued", suspend=True)
        arena.wait("queued", lambda j: j["status"].get("phase") == "Queued", "the job to be queued again")
        until("its pods to go", lambda: not arena.live_pods("queued"))
        self.admit(arena, "queued")

        ended = arena.complete("queued")
        assert resumed_from(arena, "queued") > 0
        assert ended["status"]["attempts"] == 1

    def test_a_user_suspends_a_queued_job_by_its_jobs_end_and_resumes_by_another(self, arena: Arena) -> None:
        arena.start("both", probe(untilStopped=True), execution={"kubernetes": {"queue": "team-a"}}, **OFTEN)
        before = self.admit(arena, "both")
        running(arena, "both")

        arena.patch("both", suspend=True)
        arena.wait("both", holds("Suspended"), "the job to be suspended")
        until(
            "its Job and pods to go",
            lambda: not arena.children("jobs", "both", "stage") and not arena.live_pods("both"),
        )
        arena.patch("both", suspend=False)

        after = self.admit(arena, "both")
        arena.complete("both")
        assert after["metadata"]["uid"] != before["metadata"]["uid"]
        assert resumed_from(arena, "both") > 0


class TestEdit:
    def test_a_started_jobs_recipe_is_frozen_with_the_fields_name_and_its_attempts_may_be_raised(
        self, arena: Arena
    ) -> None:
        arena.start("raised", probe(units=40), retry={"maxAttempts": 1})
        arena.wait("raised", lambda j: "startTime" in j.get("status", {}), "the first stage")

        with pytest.raises(AssertionError, match=r"spec\.passes"):
            arena.start("raised", probe(units=41), retry={"maxAttempts": 1})

        arena.wait("raised", holds("Running"), "the job to run")
        arena.patch("raised", retry={"maxAttempts": 4})

        until(
            "the Job's limit",
            lambda: [j["spec"]["backoffLimit"] for j in arena.children("jobs", "raised", "stage")] == [3],
        )
        with pytest.raises(AssertionError, match="maxAttempts"):
            arena.patch("raised", retry={"maxAttempts": 2})
        arena.complete("raised")

    def test_the_time_to_live_is_put_on_after_the_end_and_removes_jobs_and_pods_only(self, arena: Arena) -> None:
        arena.start("short-lived", probe(), ttlSecondsAfterFinished=1)

        arena.complete("short-lived")

        until(
            "its Jobs to go",
            lambda: not arena.children("jobs", "short-lived") and not arena.children("pods", "short-lived"),
        )
        assert holds("Complete")(arena.job("short-lived"))


class TestAQuota:
    def test_that_leaves_a_job_one_job_is_enough(self, arena: Arena) -> None:
        room = str(len(arena.list("jobs")) + 1)
        quota = {
            "apiVersion": "v1",
            "kind": "ResourceQuota",
            "metadata": {"name": "jobs", "namespace": arena.namespace},
            "spec": {"hard": {"count/jobs.batch": room}},
        }
        arena.apply(quota)
        arena.kubectl("wait", "--for=jsonpath={.status.used}", "resourcequota/jobs", "-n", arena.namespace)
        try:
            arena.start("narrow", probe())
            arena.complete("narrow")
        finally:
            arena.kubectl("delete", "resourcequota", "jobs", "-n", arena.namespace)

        assert arena.children("jobs", "narrow", "preflight") == []


class TestDelete:
    def test_of_a_running_job_ends_its_pods(self, arena: Arena) -> None:
        arena.start("cut", probe(units=4000))
        arena.wait("cut", holds("Running"), "the job to run")

        arena.kubectl("delete", "optjob", "cut", "-n", arena.namespace)

        until(
            "its children to go",
            lambda: not any(arena.children(kind, "cut") for kind in ("jobs", "pods", "configmaps")),
        )
        assert arena.published("cut") is None

    def test_leaves_nothing_but_the_published_model_and_one_of_the_same_name_starts_afresh(self, arena: Arena) -> None:
        arena.start("twice", probe(mark="first"))
        arena.complete("twice")
        arena.kubectl("delete", "optjob", "twice", "-n", arena.namespace)

        arena.start("twice", probe(mark="second"), output={"replace": True})

        ended = arena.complete("twice")
        assert ended["status"]["passes"][0]["cache"] == "Miss"
        arena.kubectl("delete", "optjob", "twice", "-n", arena.namespace)
        until(
            "its children to go",
            lambda: not any(arena.children(kind, "twice") for kind in ("jobs", "pods", "configmaps")),
        )
        assert arena.published("twice") is not None

    def test_a_stages_job_that_a_person_deletes_is_made_again_without_two_writers(self, arena: Arena) -> None:
        arena.start("touched", probe(untilStopped=True), **OFTEN)
        running(arena, "touched")
        (before,) = arena.children("jobs", "touched", "stage")

        arena.kubectl("delete", "job", before["metadata"]["name"], "-n", arena.namespace, "--wait=false")

        def another() -> bool:
            assert len(arena.live_pods("touched", "stage")) <= 1
            return any(
                j["metadata"]["uid"] != before["metadata"]["uid"] for j in arena.children("jobs", "touched", "stage")
            )

        until("another Job", another)
        arena.complete("touched")
        assert resumed_from(arena, "touched") > 0

    def test_a_pod_that_lost_its_job_is_told_and_not_called_suspended(self, arena: Arena) -> None:
        arena.start("orphan", probe(units=4000))
        arena.wait("orphan", holds("Running"), "the job to run")
        (pod,) = (p["metadata"]["name"] for p in arena.live_pods("orphan", "stage"))
        (job,) = (j["metadata"]["name"] for j in arena.children("jobs", "orphan", "stage"))

        arena.kubectl("delete", "job", job, "-n", arena.namespace, "--cascade=orphan")
        arena.patch("orphan", suspend=True)

        arena.wait("orphan", lambda j: f"kubectl delete pod {pod}" in condition(j, "Ready")["message"], "its message")
        assert not holds("Suspended")(arena.job("orphan"))
        arena.kubectl("delete", "pod", pod, "-n", arena.namespace)
        arena.wait("orphan", holds("Suspended"), "the job to be suspended")

    @pytest.mark.alone
    def test_a_pod_deleted_after_success_costs_the_report_and_not_the_result(
        self, arena: Arena, operator_pods: Any
    ) -> None:
        arena.start("unread", probe(units=12))
        arena.wait("unread", holds("Running"), "the job to run")
        operator_pods.scale(0)
        try:
            until(
                "the Job to be complete",
                lambda: [j for j in arena.children("jobs", "unread", "stage") if j["status"].get("succeeded")],
            )
            arena.kubectl("delete", "pods", "-n", arena.namespace, "-l", "millwright.dev/job=unread")
        finally:
            operator_pods.scale(1)

        ended = arena.complete("unread")

        assert ended["status"]["artifacts"][0]["uri"].startswith(f"s3://{arena.bucket}/out/unread/")
        assert len(arena.children("jobs", "unread", "report")) == 1
