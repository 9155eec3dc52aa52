"""Jobs on Azure ML, on a real cluster with the real SDKs: submitted, followed, stopped, deleted. Azure is a stub of its
protocol, which runs what is submitted; Blob Storage is Azurite."""

from __future__ import annotations

from typing import Any

import pytest
from tests.cluster.arena import OPTJOB, Arena
from tests.cluster.azureworld import STOPPED, AzureWorld
from tests.cluster.jobs import condition, holds, probe, until

from millwright_api.names import FINALIZER

OFTEN = {"checkpoint": {"everySteps": 4}}


@pytest.fixture(scope="module")
def started(azure_ml: AzureWorld) -> AzureWorld:
    """The jobs of the module's tests, all at once: they wait beside one another."""
    azure_ml.without_login("nobody")
    azure_ml.start("nologin", probe(), secret="nobody")
    azure_ml.start("nocompute", probe(), compute=STOPPED)
    azure_ml.start("whole", probe(units=4))
    azure_ml.start("paused", probe(untilStopped=True), **OFTEN)
    azure_ml.held.add("gone")
    azure_ml.start("gone", probe())
    return azure_ml


def finalizers(job: dict[str, Any]) -> list[str]:
    found: list[str] = job["metadata"].get("finalizers", [])
    return found


class TestThePreflight:
    @pytest.mark.parametrize(("name", "reason"), [("nologin", "CredentialsMissing"), ("nocompute", "ComputeStopped")])
    def test_says_what_is_wrong_before_anything_is_submitted(
        self, arena: Arena, started: AzureWorld, name: str, reason: str
    ) -> None:
        job = arena.stalled(name)

        assert (condition(job, "Validated")["status"], condition(job, "Validated")["reason"]) == ("False", reason)
        assert finalizers(job) == []
        assert started.jobs_of(name) == []


class TestAJob:
    def test_runs_there_and_its_model_is_in_blob_storage(self, arena: Arena, started: AzureWorld) -> None:
        ended = arena.complete("whole")

        (there,) = started.jobs_of("whole")
        assert ended["status"]["remote"] == {
            "service": "AzureML", "name": there.name, "state": "Completed", "url": ended["status"]["remote"]["url"],
        }  # fmt: skip
        assert there.name in ended["status"]["remote"]["url"]
        assert ended["status"]["artifacts"][0]["sha256"] == started.published("whole")["digest"]
        assert ended["status"]["passes"][0]["metrics"] == {"units": 4.0}
        assert finalizers(arena.wait("whole", lambda j: not finalizers(j), "its finalizer to go")) == []
        assert arena.children("jobs", "whole", "cancel") == []


class TestStopping:
    def test_suspend_cancels_it_there_and_resume_goes_on_from_the_checkpoint(
        self, arena: Arena, started: AzureWorld
    ) -> None:
        first = started.at_work("paused")
        job = arena.wait("paused", holds("Running"), "the runner there")
        assert finalizers(job) == [FINALIZER]
        assert (job["status"]["remote"]["name"], job["status"]["remote"]["state"]) == (first.name, "Running")

        arena.patch("paused", suspend=True)

        arena.wait("paused", holds("Suspended"), "the job to be suspended")
        assert first.status in ("Completed", "Failed", "Canceled")
        arena.patch("paused", suspend=False)
        ended = arena.complete("paused")
        before, after = started.jobs_of("paused")
        assert (before.name, after.status) == (first.name, "Completed")
        assert ended["status"]["passes"][0]["resumedFrom"] > 0
        assert ended["status"]["attempts"] == 1

    def test_delete_cancels_what_is_queued_there_and_leaves_nothing(self, arena: Arena, started: AzureWorld) -> None:
        there = until("its job on Azure ML", lambda: started.jobs_of("gone"))[0].state("Queued")
        job = arena.wait("gone", lambda j: j["status"].get("remote", {}).get("state") == "Queued", "what is said of it")
        assert (job["status"]["phase"], condition(job, "Ready")["reason"]) == ("Queued", "QueuedOnAzureML")

        # as Argo CD deletes: in the foreground the collector of garbage is at work while the finalizer holds the object
        arena.kubectl("delete", OPTJOB, "gone", "-n", arena.namespace, "--cascade=foreground", "--wait=false")

        until("the job to be gone", lambda: arena.get(OPTJOB, "gone") is None)
        assert there.status == "Canceled"
        assert len(started.jobs_of("gone")) == 1
        for kind in ("jobs", "pods", "configmaps"):
            until(f"its {kind} to go", lambda kind=kind: not arena.children(kind, "gone"))  # type: ignore[misc]
        assert [event["reason"] for event in arena.events("gone") if event["reason"] == "AzureMLJobMayRun"] == []


class TestAServiceThatHangs:
    def test_delays_no_job_on_kubernetes(self, arena: Arena, started: AzureWorld) -> None:
        started.azure.faults.delay(60)
        started.start("slow", probe())
        until("its preflight to ask", lambda: arena.live_pods("slow", "preflight"))

        arena.start("ordinary", probe())
        arena.complete("ordinary")

        assert condition(arena.job("slow"), "Validated")["status"] == "Unknown"
        started.azure.faults.clear()
        arena.wait("slow", holds("Validated"), "the preflight that was kept waiting")
