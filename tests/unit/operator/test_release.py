"""A job on Azure ML: its object stays until nothing of it runs there, and never for ever."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from tests.unit.operator.simulated import Cluster, on_azure, searching, spec

from millwright_api.names import FINALIZER
from millwright_api.report import Progress, Remote
from millwright_operator import actions as act
from millwright_operator import seen
from millwright_operator.observed import Heard, Refusal
from millwright_operator.reconcile import reconcile


def started(**fates: list[str]) -> Cluster:
    """A job whose courier is at work and stays so."""
    cluster = Cluster.with_job(on_azure(), **({"stage": ["hang"] * 60} | fates))
    until(cluster, lambda: bool(cluster.active))
    return cluster


def until(cluster: Cluster, done: Any, rounds: int = 60) -> None:
    for _ in range(rounds):
        if done():
            return
        if not cluster.gone:
            cluster.operate()
        cluster.tick()
    raise AssertionError("it never came to that")


def finalizers(cluster: Cluster) -> list[str]:
    found: list[str] = cluster.body["metadata"].get("finalizers", [])
    return found


def say(cluster: Cluster, state: str, **more: Any) -> None:
    """The courier tells the state of its job there."""
    remote = Remote(name="emotion-1", state=state, url="https://studio/emotion-1", **more)
    progress = Progress(step_name="finetune", step_index=0, steps=3, message=f"Azure ML: {state}", remote=remote)
    (pod,) = [pod for pod in cluster.pods.values() if pod["status"]["phase"] == "Running"]
    cluster.heard = Heard(progress, pod["metadata"]["uid"], cluster.now)
    cluster.operate()


class TestTheFinalizer:
    def test_it_is_there_before_the_first_courier(self) -> None:
        cluster = Cluster.with_job(on_azure())

        until(cluster, lambda: finalizers(cluster))

        assert finalizers(cluster) == [FINALIZER]
        assert cluster.job("s0") is None

    def test_a_job_that_runs_on_the_cluster_never_has_it(self) -> None:
        cluster = Cluster.with_job(spec())

        cluster.settle()

        assert (cluster.phase, ("patch", "finalizers") in cluster.writes) == ("Succeeded", False)

    def test_it_goes_when_the_job_has_succeeded_without_another_look_at_azure(self) -> None:
        cluster = Cluster.with_job(on_azure())

        cluster.settle()

        assert (cluster.phase, finalizers(cluster), cluster.wrong) == ("Succeeded", [], [])
        assert [name for name in cluster.created if name.endswith("-c")] == []

    def test_those_of_others_stay(self) -> None:
        cluster = Cluster.with_job(on_azure())
        cluster.body["metadata"]["finalizers"] = ["others/one"]

        cluster.settle()

        assert (cluster.phase, finalizers(cluster)) == ("Succeeded", ["others/one"])

    def test_a_failure_whose_courier_died_unheard_is_looked_after(self) -> None:
        cluster = Cluster.with_job(on_azure(retry={"maxAttempts": 1}), stage=["oom"])

        cluster.settle()

        assert (cluster.phase, cluster.active, finalizers(cluster)) == ("Failed", set(), [])
        assert cluster.jobs.keys() == {name for name in cluster.jobs if not name.endswith("-c")}

    def test_a_failure_that_is_known_to_have_ended_there_needs_no_look(self) -> None:
        cluster = Cluster.with_job(on_azure(), stage=["2"])
        cluster.figures = {"0": {"remote": Remote(name="emotion-1", state="Failed")}}

        cluster.settle()

        assert (cluster.reason(), finalizers(cluster)) == ("DataNotFound", [])
        assert [name for name in cluster.created if name.endswith("-c")] == []

    def test_an_edit_before_the_start_that_leaves_azure_takes_it_away(self) -> None:
        cluster = Cluster.with_job(on_azure())
        until(cluster, lambda: finalizers(cluster))
        assert "startTime" not in cluster.body["status"]

        cluster.body["spec"]["execution"] = {"azureML": None} | spec()["execution"]
        cluster.edit()
        cluster.operate()

        assert finalizers(cluster) == []

    def test_one_that_may_not_be_set_is_said(self) -> None:
        cluster = Cluster.with_job(on_azure())
        until(cluster, lambda: any(isinstance(a, act.PatchFinalizers) for a in cluster.look()))
        cluster.refused = Refusal("the finalizer could not be set: forbidden", for_good=False)

        cluster.operate()

        assert cluster.reason() == "JobNotCreated"
        assert cluster.message() == "the finalizer could not be set: forbidden"
        assert [type(action) for action in cluster.look()] == [act.PatchFinalizers]


class TestDeletion:
    def test_what_runs_there_is_stopped_and_nothing_is_left(self) -> None:
        cluster = started()

        cluster.delete()
        until(cluster, lambda: cluster.gone)
        cluster.settle(5)

        assert (cluster.active, cluster.wrong) == (set(), [])
        assert (cluster.jobs, cluster.pods, cluster.manifests) == ({}, {}, {})

    def test_it_waits_for_the_courier_then_makes_sure(self) -> None:
        cluster = started()
        cluster.delete()

        cluster.operate()

        assert cluster.job("s0") is None
        assert [type(action) for action in cluster.look()] == [act.LookAgain]
        until(cluster, lambda: cluster.job("c"))
        assert [pod for pod in cluster.pods.values() if pod["status"]["phase"] == "Running"] == []
        assert cluster.job("c")["metadata"].get("ownerReferences") is None  # type: ignore[index]

    def test_a_courier_on_a_lost_node_is_not_waited_for_for_ever(self) -> None:
        cluster = started()
        cluster.delete()
        cluster.operate()

        cluster.now += timedelta(seconds=61)
        cluster.operate()

        assert cluster.job("c") is not None

    def test_before_anything_was_submitted_it_goes_at_once(self) -> None:
        cluster = Cluster.with_job(on_azure())
        until(cluster, lambda: finalizers(cluster))

        cluster.delete()
        cluster.operate()

        assert cluster.gone
        assert [name for name in cluster.created if name.endswith("-c")] == []

    def test_when_nothing_can_be_canceled_that_is_told_and_it_goes_all_the_same(self) -> None:
        cluster = started(cancel=["75"] * 9)
        say(cluster, "Running")
        cluster.delete()

        until(cluster, lambda: cluster.gone)

        (told,) = [event for event in cluster.events.values() if event.reason == "AzureMLJobMayRun"]
        assert told.kind == "Warning"
        assert "emotion-1, last seen Running: https://studio/emotion-1" in told.message
        assert "StoreUnavailable: no answer" in told.message

    def test_where_the_namespace_goes_the_couriers_own_stop_has_to_do(self) -> None:
        cluster = started()

        cluster.delete(namespace=True)
        until(cluster, lambda: cluster.gone)

        assert (cluster.active, cluster.jobs) == (set(), {})

    @pytest.mark.parametrize("refusal", ["for good", "for long"])
    def test_a_job_that_is_not_taken_holds_nothing_up_for_ever(self, refusal: str) -> None:
        cluster = started()
        cluster.delete()
        cluster.operate()
        until(cluster, lambda: any(isinstance(a, act.CreateJob) for a in cluster.look()))
        (create,) = [a for a in cluster.look() if isinstance(a, act.CreateJob)]
        name = create.body["metadata"]["name"]
        cluster.refused = Refusal("exceeded quota", for_good=refusal == "for good", job=name)
        cluster.now += timedelta(seconds=700 if refusal == "for long" else 0)

        cluster.operate()

        assert cluster.gone
        assert "exceeded quota" in next(e for e in cluster.events.values() if e.reason == "AzureMLJobMayRun").message

    def test_a_spec_that_cannot_be_read_any_more_is_told(self) -> None:
        cluster = started()
        cluster.delete()
        cluster.body["spec"]["execution"]["azureML"]["ofTomorrow"] = 1

        until(cluster, lambda: cluster.gone)

        assert [event.reason for event in cluster.events.values()][-1] == "AzureMLJobMayRun"

    def test_a_look_at_the_old_makes_nothing_that_nobody_removes(self) -> None:
        cluster = started()
        cluster.delete()
        until(cluster, lambda: any(isinstance(a, act.CreateJob) for a in cluster.look()))
        old = cluster.look()
        until(cluster, lambda: cluster.gone)

        cluster.do(old)

        assert (cluster.jobs, cluster.wrong) == ({}, [])

    def test_one_that_somebody_holds_by_another_finalizer_is_let_be(self) -> None:
        cluster = Cluster.with_job(on_azure())
        cluster.body["metadata"] |= {"finalizers": ["others/one"], "deletionTimestamp": "2026-11-21T08:00:00Z"}

        assert cluster.look() == ()

    def test_a_search_stops_all_of_its_couriers(self) -> None:
        recipe = searching(execution=on_azure()["execution"])
        cluster = Cluster.with_job(recipe, trial=["hang"] * 99)
        until(cluster, lambda: len(cluster.active) == 2)

        cluster.delete()
        until(cluster, lambda: cluster.gone)

        assert (cluster.active, cluster.wrong) == (set(), [])


class TestWhatIsSaid:
    @pytest.mark.parametrize("state", ["NotStarted", "Queued", "Preparing", "Starting", "Provisioning"])
    def test_until_it_runs_there_it_is_queued(self, state: str) -> None:
        cluster = started()

        say(cluster, state)

        assert (cluster.phase, cluster.reason()) == ("Queued", "QueuedOnAzureML")
        assert cluster.message() == f"stage 1 of 1 (finetune, merge, genai) waits, Azure ML: {state} (emotion-1)"
        assert (cluster.condition("Running"), cluster.condition("Reconciling")) == ("False", "True")
        assert cluster.body["status"]["remote"] == {
            "service": "AzureML",
            "name": "emotion-1",
            "state": state,
            "url": "https://studio/emotion-1",
        }

    def test_before_it_is_there_it_is_being_submitted(self) -> None:
        cluster = started()

        cluster.operate()

        assert (cluster.phase, cluster.reason()) == ("Queued", "QueuedOnAzureML")
        assert cluster.message().endswith("waits, being submitted to Azure ML")

    def test_when_the_runner_runs_there_it_runs(self) -> None:
        cluster = started()

        say(cluster, "Running")

        assert (cluster.phase, cluster.reason()) == ("Running", "StageRunning")
        assert cluster.body["status"]["progress"]["pass"] == "finetune"

    @pytest.mark.parametrize("state", ["Queued", "Running", "Finalizing"])
    def test_another_operator_that_has_heard_nothing_yet_says_the_same(self, state: str) -> None:
        cluster = started()
        say(cluster, "Running")
        say(cluster, state)
        before = cluster.body["status"]

        cluster.heard = None
        cluster.operate()

        assert cluster.body["status"] == before

    def test_at_the_end_the_jobs_last_state_is_told(self) -> None:
        cluster = Cluster.with_job(on_azure())
        cluster.figures = {"0": {"remote": Remote(name="emotion-1", state="Completed")}}

        cluster.settle()

        assert cluster.body["status"]["remote"] == {"service": "AzureML", "name": "emotion-1", "state": "Completed"}

    def test_what_azure_ml_says_of_a_failure_is_said_here(self) -> None:
        cluster = Cluster.with_job(on_azure(), stage=["2"])
        said = "the job asks for 24 cores of NCADS_A100_v4; 0 are left in westeurope"
        cluster.figures = {"0": {"reason": "QuotaExceeded", "message": said}}

        cluster.settle()

        assert (cluster.phase, cluster.reason(), cluster.message()) == ("Failed", "QuotaExceeded", said)

    def test_suspended_the_job_there_is_stopped_and_resume_goes_on(self) -> None:
        cluster = started(stage=["hang"] * 3)
        say(cluster, "Running")

        cluster.edit(suspend=True)
        until(cluster, lambda: cluster.phase == "Suspended")

        assert (cluster.active, finalizers(cluster)) == (set(), [FINALIZER])
        cluster.edit(suspend=False)
        cluster.settle()
        assert (cluster.phase, cluster.wrong) == ("Succeeded", [])

    def test_a_second_courier_is_no_loss_of_a_queues_quota(self) -> None:
        cluster = started(stage=["75", "hang", "hang", "hang"])

        until(cluster, lambda: len(cluster.created) and cluster.body["status"]["attempts"] == 2)

        assert not [event for event in cluster.events.values() if event.reason == "Preempted"]

    def test_a_search_is_queued_until_one_of_its_trials_runs_there(self) -> None:
        cluster = Cluster.with_job(searching(execution=on_azure()["execution"]), trial=["hang"] * 99)
        until(cluster, lambda: len(cluster.active) == 2)
        cluster.operate()
        assert (cluster.phase, cluster.reason()) == ("Queued", "QueuedOnAzureML")
        first, second = [pod["metadata"]["uid"] for pod in cluster.pods.values() if pod["status"]["phase"] == "Running"]

        for uid, state in ((first, "Running"), (second, "Queued")):
            remote = Remote(name="t", state=state)
            told = Progress(step_name="finetune", step_index=0, steps=3, remote=remote)
            cluster.heard = Heard(told, uid, cluster.now)
            cluster.operate()

        assert cluster.phase == "Running"

    def test_what_ends_a_search_is_queued_there_like_all_else(self) -> None:
        cluster = Cluster.with_job(searching(execution=on_azure()["execution"], maxTrials=1), stage=["hang"] * 9)

        until(cluster, lambda: cluster.job("s1") and cluster.phase == "Queued")
        say(cluster, "Running")

        assert (cluster.phase, cluster.reason()) == ("Running", "StageRunning")
        cluster.settle()
        assert (cluster.phase, cluster.wrong, finalizers(cluster)) == ("Succeeded", [], [])

    def test_a_courier_that_is_killed_for_memory_is_of_the_operators_size(self) -> None:
        cluster = Cluster.with_job(on_azure(retry={"maxAttempts": 1}), stage=["oom"])

        cluster.settle()

        assert cluster.reason() == "OOMKilled"
        assert cluster.message().endswith("raise preflight.resources of the operator's chart")


def test_a_finished_job_asks_for_nothing_more_once_it_is_let_go() -> None:
    cluster = Cluster.with_job(on_azure())
    cluster.settle()

    resource = seen.resource(cluster.body)

    assert reconcile(resource, cluster.children(), None, cluster.platform, cluster.now) == ()
