"""What follows from what is seen: a job's life, its ends, and how people steer it."""

from __future__ import annotations

import copy
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from tests.unit.operator.simulated import PLATFORM, Cluster, spec, two_stages

from millwright_api import names
from millwright_api.report import Progress
from millwright_operator import actions as act
from millwright_operator.observed import Heard, Refusal


def running(make: Any = spec, **changes: Any) -> Cluster:
    """A job whose first stage's pod runs."""
    cluster = Cluster.with_job(make(**changes), stage=["hang"] * 9)
    until(cluster, lambda: cluster.phase == "Running")
    return cluster


def until(cluster: Cluster, reached: Any, rounds: int = 40) -> None:
    for _ in range(rounds):
        cluster.operate()
        if reached():
            return
        cluster.tick()
    raise AssertionError(f"still {cluster.phase}: {cluster.message()}")


def unseen(cluster: Cluster, suffix: str, kind: str) -> None:
    """Lets things go on until a Job has such a condition, and stops before the operator sees it."""
    for _ in range(40):
        cluster.operate()
        cluster.tick()
        job = cluster.job(suffix)
        if job and any(c["type"] == kind for c in job["status"].get("conditions", [])):
            return
    raise AssertionError(f"no {kind}")


def ended(make: Any = spec, *fates: str, **changes: Any) -> Cluster:
    cluster = Cluster.with_job(make(**changes), stage=list(fates))
    until(cluster, lambda: cluster.finished)
    return cluster


def queued(**changes: Any) -> dict[str, Any]:
    return spec(execution={"kubernetes": {"queue": "gpus", "resources": {"limits": {"nvidia.com/gpu": 1}}}}, **changes)


def waiting(cluster: Cluster, suffix: str, reason: str, message: str) -> None:
    """Lets the pod of a Job wait, as the kubelet says it."""
    for pod in cluster.pods.values():
        if pod["metadata"]["ownerReferences"][0]["name"].endswith(suffix):
            state = {"waiting": {"reason": reason, "message": message}}
            pod["status"]["containerStatuses"] = [{"name": "runner", "state": state}]


def unschedulable(cluster: Cluster, suffix: str, message: str) -> None:
    for pod in cluster.pods.values():
        if pod["metadata"]["ownerReferences"][0]["name"].endswith(suffix):
            pod["status"]["conditions"] = [
                {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
            ]


def with_pod(suffix: str, fates: dict[str, list[str]] | None = None, **changes: Any) -> Cluster:
    """A job with a Job of that name whose pod has not started."""
    cluster = Cluster.with_job(spec(**changes), **(fates or {}))
    for _ in range(30):
        cluster.operate()
        if any(f"-{suffix}-" in name for name in cluster.pods):
            return cluster
        cluster.tick()
    raise AssertionError("no pod")


class TestALife:
    def test_it_begins_with_a_preflight_and_nothing_else(self) -> None:
        cluster = Cluster.with_job(spec())

        done = [type(action).__name__ for action in cluster.operate()]

        assert done == ["WriteStatus", "ApplyManifest", "CreateJob"]
        assert [name[-2:] for name in cluster.jobs] == ["-p"]
        assert (cluster.phase, cluster.condition("Validated")) == ("Validating", "Unknown")

    def test_the_start_is_written_before_the_first_stage_is_created(self) -> None:
        cluster = Cluster.with_job(spec())
        unseen(cluster, "p", "Complete")

        write, create = [a for a in cluster.look() if isinstance(a, act.WriteStatus | act.CreateJob)]

        assert isinstance(write, act.WriteStatus)
        assert write.status.start_time is not None
        assert write.resource_version == cluster.body["metadata"]["resourceVersion"]
        assert isinstance(create, act.CreateJob)

    def test_it_ends_with_an_artifact(self) -> None:
        status = ended().body["status"]

        assert (status["phase"], status["attempts"]) == ("Succeeded", 1)
        assert status["artifacts"][0] == {
            "uri": "s3://team-a/models/m/v1",
            "format": "onnx-genai",
            "sha256": "d" * 64,
            "bytes": 9,
            "files": 2,
        }
        assert status["fingerprint"] == "f" * 64
        assert [p["phase"] for p in status["passes"]] == ["Succeeded"] * 3

    def test_stages_follow_one_another(self) -> None:
        cluster = ended(two_stages)

        assert [name[-2:] for name in cluster.created] == ["-p", "s0", "s1"]
        assert [stage["phase"] for stage in cluster.body["status"]["stages"]] == ["Succeeded", "Succeeded"]

    def test_a_status_that_lacks_a_stage_is_made_whole(self) -> None:
        cluster = running(two_stages)
        cluster.body["status"]["stages"] = cluster.body["status"]["stages"][:1]

        until(cluster, lambda: len(cluster.body["status"]["stages"]) == 2)

        assert cluster.body["status"]["stages"][1]["phase"] == "Pending"

    def test_a_life_of_one_stage_costs_at_most_12_writes(self) -> None:
        cluster = Cluster.with_job(spec(ttlSecondsAfterFinished=600))
        cluster.settle(30)

        assert cluster.finished
        assert len(cluster.writes) <= 12

    def test_each_further_stage_costs_at_most_4_writes_more(self) -> None:
        lives = [Cluster.with_job(make(ttlSecondsAfterFinished=600)) for make in (spec, two_stages)]
        for cluster in lives:
            cluster.settle(30)

        assert len(lives[1].writes) - len(lives[0].writes) <= 4

    def test_a_life_in_a_queue_costs_at_most_12_writes(self) -> None:
        cluster = Cluster.with_job(queued(ttlSecondsAfterFinished=600))
        cluster.admit = False
        until(cluster, lambda: cluster.phase == "Queued")
        cluster.admit = True
        cluster.settle(30)

        assert cluster.finished
        assert len(cluster.writes) <= 12

    def test_a_thousand_restarts_write_nothing(self) -> None:
        for cluster in (running(), ended(), ended(spec, "2")):
            cluster.heard = None

            assert cluster.look() == ()

    def test_a_job_that_is_being_deleted_is_left_alone(self) -> None:
        cluster = running()
        cluster.body["metadata"]["deletionTimestamp"] = "2026-11-21T08:00:00Z"
        cluster.jobs.clear()

        assert cluster.look() == ()

    def test_what_an_earlier_object_of_the_same_name_left_is_not_its_own(self) -> None:
        old = ended()
        cluster = Cluster.with_job(spec())
        cluster.body["metadata"]["uid"] = "another"

        actions = cluster.look(children=old.children())

        assert [a.body["metadata"]["name"] for a in actions if isinstance(a, act.CreateJob)] != list(old.jobs)
        assert not any(isinstance(a, act.DeleteJob) for a in actions)

    def test_the_times_of_conditions_are_kept_while_they_hold(self) -> None:
        cluster = ended(two_stages)

        since = {c["type"]: c["lastTransitionTime"] for c in cluster.body["status"]["conditions"]}
        assert since["Validated"] < since["Ready"]
        assert since["Ready"] == since["Complete"] == cluster.body["status"]["completionTime"]


class TestThePreflight:
    def test_that_somebody_suspends_is_said_to_be_so(self) -> None:
        cluster = Cluster.with_job(spec())
        cluster.operate()
        job = cluster.job("p")
        assert job is not None
        job["spec"]["suspend"] = True

        cluster.operate()

        assert (cluster.phase, cluster.reason()) == ("Validating", "Validating")
        assert f"Job {job['metadata']['name']} is suspended, and not by Millwright" in cluster.message()

    def test_what_it_refuses_waits_for_an_edit_and_asks_for_no_accelerator(self) -> None:
        cluster = Cluster.with_job(spec(), preflight=["2"])
        cluster.settle(20)

        assert (cluster.phase, cluster.condition("Validated"), cluster.condition("Stalled")) == (
            "Stalled",
            "False",
            "True",
        )
        assert (cluster.reason("Validated"), cluster.message()) == ("DataNotFound", "it failed with 2")
        assert not cluster.finished
        assert "startTime" not in cluster.body["status"]
        assert [name[-2:] for name in cluster.created] == ["-p"]

    def test_an_edit_is_looked_at_anew_and_the_old_look_is_removed(self) -> None:
        cluster = Cluster.with_job(spec(), preflight=["2"])
        cluster.settle(20)
        refused = cluster.created[0]

        cluster.edit(model={"s3": {"uri": "s3://team-a/other/"}})
        cluster.settle(20)

        assert cluster.finished
        assert refused not in cluster.jobs
        assert len(cluster.manifests) == 1

    def test_an_edit_while_it_looks_is_looked_at_anew(self) -> None:
        cluster = Cluster.with_job(spec(), preflight=["hang"] * 30)
        until(cluster, lambda: any(p["status"]["phase"] == "Running" for p in cluster.pods.values()))
        cluster.fates["preflight"] = []

        cluster.edit(model={"s3": {"uri": "s3://team-a/other/"}})
        cluster.settle(20)

        assert cluster.phase == "Succeeded"

    def test_the_annotation_asks_for_another_look(self) -> None:
        cluster = Cluster.with_job(spec(), preflight=["2"])
        cluster.settle(20)

        cluster.body["metadata"]["annotations"] = {names.ANNOTATION_REQUESTED: "2026-11-21T09:00:00Z"}
        cluster.settle(20)

        assert cluster.phase == "Succeeded"
        assert [name[-2:] for name in cluster.created] == ["-p", "-p", "s0"]

    @pytest.mark.parametrize("change", [{"retry": {"maxAttempts": 7}}, {"ttlSecondsAfterFinished": 9}])
    def test_an_edit_of_what_is_no_recipe_is_not_looked_at_anew(self, change: dict[str, Any]) -> None:
        cluster = Cluster.with_job(spec(), preflight=["2"])
        cluster.settle(20)

        cluster.edit(**change)
        cluster.settle(5)

        assert len(cluster.created) == 1
        assert cluster.body["status"]["observedGeneration"] == 2

    def test_a_store_that_stays_away_is_told_by_its_name(self) -> None:
        cluster = Cluster.with_job(spec(), preflight=["75", "75", "75"])
        cluster.settle(30)

        assert cluster.reason("Validated") == "StoreUnavailable"

    def test_a_job_that_is_gone_is_made_again(self) -> None:
        cluster = Cluster.with_job(spec(), preflight=["hang"] * 4)
        cluster.operate()
        cluster.delete_job(cluster.created[0])

        cluster.settle(30)

        assert cluster.phase == "Succeeded"

    def test_its_config_map_comes_back_while_its_pod_waits_for_it(self) -> None:
        cluster = with_pod("p")
        cluster.manifests.clear()

        cluster.operate()

        assert len(cluster.manifests) == 1

    def test_its_finding_is_awaited_when_the_job_ends_before_its_pod_is_seen(self) -> None:
        cluster = Cluster.with_job(spec(), preflight=["2"])
        unseen(cluster, "p", "Failed")
        children = replace(cluster.children(), pods=())

        actions = cluster.look(children=children)

        assert [type(action).__name__ for action in actions] == ["LookAgain"]

    def test_a_lost_pod_of_a_good_one_is_no_reason_to_look_again(self) -> None:
        cluster = Cluster.with_job(spec())
        unseen(cluster, "p", "Complete")
        cluster.pods.clear()
        cluster.now += timedelta(seconds=11)

        cluster.operate()

        assert cluster.condition("Validated") == "True"

    def test_a_deadline_keeps_the_reason_that_was_seen(self) -> None:
        cluster = with_pod("p")
        waiting(cluster, "-p", "CreateContainerConfigError", 'secret "team-a-s3" not found')
        cluster.operate()
        seen_while_waiting = (cluster.phase, cluster.reason(), cluster.condition("Stalled"))
        cluster.now += timedelta(seconds=600)
        for pod in cluster.pods.values():
            pod["status"]["phase"] = "Pending"
        cluster._job_controller(cluster.job("p") or {})

        cluster.operate()

        assert seen_while_waiting == ("Stalled", "SecretNotFound", "True")
        assert (cluster.condition("Validated"), cluster.reason("Validated")) == ("False", "SecretNotFound")
        assert "spec.credentials[0].secretName: the Secret team-a-s3 does not exist" in cluster.message()
        assert "the preflight took longer than 600 s" in cluster.message()

    def test_a_deadline_of_which_nothing_is_known_says_where_to_look(self) -> None:
        cluster = with_pod("p")
        cluster.now += timedelta(seconds=600)
        cluster._job_controller(cluster.job("p") or {})

        cluster.operate()

        assert cluster.reason("Validated") == "PreflightDeadlineExceeded"
        assert "kubectl describe job phi3-" in cluster.message()

    def test_a_secret_that_comes_late_lets_it_go_on(self) -> None:
        cluster = with_pod("p")
        waiting(cluster, "-p", "CreateContainerConfigError", 'secret "team-a-s3" not found')
        cluster.operate()

        cluster.settle(20)

        assert cluster.phase == "Succeeded"

    def test_a_spec_that_this_operator_cannot_read_stalls(self) -> None:
        cluster = Cluster.with_job(spec(search={"algorithm": {"tpe": {}}}))
        cluster.operate()

        assert (cluster.phase, cluster.reason("Validated"), cluster.reason("Stalled")) == (
            "Stalled",
            "InvalidManifest",
            "InvalidManifest",
        )
        assert "spec.search" in cluster.message()
        assert cluster.look() == ()

    def test_a_spec_that_is_mended_after_that_goes_on(self) -> None:
        cluster = Cluster.with_job(spec(passes=[]))
        cluster.operate()

        cluster.edit(passes=[{"merge": {}}])
        cluster.settle(20)

        assert cluster.phase == "Succeeded"


class TestWaiting:
    def test_an_image_that_cannot_be_pulled_is_named(self) -> None:
        cluster = with_pod("s0")
        waiting(cluster, "-s0", "ErrImagePull", 'failed to pull "runner:1": not found')
        cluster.operate()
        first = (cluster.phase, cluster.reason(), cluster.message())
        waiting(cluster, "-s0", "ImagePullBackOff", 'Back-off pulling image "runner:1": ErrImagePull: not found')

        again = [a for a in cluster.look() if isinstance(a, act.WriteStatus)]

        assert first == (
            "Stalled",
            "ImagePullFailed",
            "the image 'runner:1' cannot be pulled: it does not exist there",
        )
        assert again == []

    def test_what_no_node_has_is_named_and_an_autoscaler_may_mend_it(self) -> None:
        cluster = with_pod("s0")
        unschedulable(cluster, "-s0", "0/3 nodes are available: 3 Insufficient nvidia.com/gpu.")
        cluster.operate()

        assert (cluster.phase, cluster.reason(), cluster.condition("Stalled")) == ("Pending", "Unschedulable", None)
        assert cluster.message().startswith("no node has enough nvidia.com/gpu free; the scheduler says: 0/3 nodes")

    def test_a_claim_that_is_not_there_is_named(self) -> None:
        cluster = with_pod("s0")
        unschedulable(cluster, "-s0", 'persistentvolumeclaim "models" not found')
        cluster.operate()

        assert (cluster.phase, cluster.reason()) == ("Stalled", "VolumeNotFound")
        assert cluster.message() == "the PersistentVolumeClaim models does not exist in the job's namespace"


class TestARefusal:
    """The API server does not take a Job: quotas may get free, what is invalid stays so."""

    QUOTA = Refusal("Job m-0-p could not be created: exceeded quota: count/jobs.batch=0", for_good=False)
    INVALID = Refusal("Job m-0-p could not be created: spec.template.spec: Invalid value", for_good=True)

    def refused(self, cluster: Cluster, refusal: Refusal) -> tuple[act.Action, ...]:
        actions = cluster.look(children=replace(cluster.children(), refused=refusal))
        cluster.do(tuple(action for action in actions if not isinstance(action, act.CreateJob)))
        return actions

    def test_of_the_preflight_is_said_and_it_is_tried_again(self) -> None:
        cluster = Cluster.with_job(spec())

        actions = self.refused(cluster, self.QUOTA)

        assert (cluster.phase, cluster.reason(), cluster.condition("Stalled")) == ("Validating", "JobNotCreated", None)
        assert cluster.message() == self.QUOTA.message
        assert [type(action).__name__ for action in actions][:3] == ["WriteStatus", "ApplyManifest", "CreateJob"]
        until(cluster, lambda: cluster.finished)
        assert cluster.phase == "Succeeded"

    def test_of_what_is_invalid_waits_for_a_person(self) -> None:
        cluster = Cluster.with_job(spec())

        self.refused(cluster, self.INVALID)

        assert (cluster.phase, cluster.reason("Stalled")) == ("Stalled", "JobNotCreated")
        assert (cluster.condition("Reconciling"), cluster.condition("Validated")) == (None, "Unknown")

    def test_of_a_job_before_an_edit_is_not_said_of_the_one_after(self) -> None:
        cluster = Cluster.with_job(spec())
        (create,) = [a for a in cluster.look() if isinstance(a, act.CreateJob)]
        cluster.refused = replace(self.INVALID, job=create.body["metadata"]["name"])
        cluster.edit(passes=[{"genai": {}}])

        cluster.operate()

        assert (cluster.phase, cluster.condition("Stalled")) == ("Validating", None)

    def test_by_a_quota_makes_the_job_give_up_what_has_ended(self) -> None:
        cluster = Cluster.with_job(two_stages())
        unseen(cluster, "s0", "Complete")

        self.refused(cluster, self.QUOTA)
        left = list(cluster.jobs)
        cluster.settle(20)

        assert left == []
        assert (cluster.phase, cluster.wrong) == ("Succeeded", [])

    def test_for_good_removes_nothing(self) -> None:
        cluster = Cluster.with_job(spec())
        unseen(cluster, "p", "Complete")

        self.refused(cluster, self.INVALID)

        assert len(cluster.jobs) == 1

    def test_does_not_keep_from_telling_what_came_before_it(self) -> None:
        cluster = Cluster.with_job(spec())
        unseen(cluster, "p", "Complete")

        actions = cluster.look()

        told = [type(action).__name__ for action in actions]
        assert told.index("Tell") < told.index("CreateJob")

    @pytest.mark.parametrize(("refusal", "phase"), [(QUOTA, "Pending"), (INVALID, "Stalled")])
    def test_of_a_stage_is_said_and_costs_no_attempt(self, refusal: Refusal, phase: str) -> None:
        cluster = Cluster.with_job(spec())
        unseen(cluster, "p", "Complete")

        self.refused(cluster, refusal)

        assert (cluster.phase, cluster.reason(), cluster.message()) == (phase, "JobNotCreated", refusal.message)
        assert cluster.body["status"]["attempts"] == 0
        until(cluster, lambda: cluster.finished)
        assert (cluster.phase, cluster.body["status"]["attempts"]) == ("Succeeded", 1)


class TestEnds:
    @pytest.mark.parametrize(
        ("fates", "reason", "message", "attempts"),
        [
            (["2"], "DataNotFound", "it failed with 2", 1),
            (["3"], "ConstraintsNotMet", "it failed with 3", 1),
            (["1", "1", "1"], "PassFailed", "attempt 3 of 3: it failed with 1", 3),
            (["75", "75", "75"], "StoreUnavailable", "attempt 3 of 3: it failed with 75", 3),
            (
                ["oom"] * 3,
                "OOMKilled",
                "attempt 3 of 3: the container was killed for memory: limit 2Gi, which its peak reached; "
                "raise execution.kubernetes.resources.limits.memory",
                3,
            ),
        ],
    )
    def test_a_failure_says_why(self, fates: list[str], reason: str, message: str, attempts: int) -> None:
        cluster = ended(spec, *fates)

        assert (cluster.phase, cluster.reason(), cluster.message()) == ("Failed", reason, message)
        assert [cluster.condition(c) for c in ("Failed", "Finished", "Stalled", "Reconciling", "Complete")] == [
            "True",
            "True",
            "True",
            None,
            None,
        ]
        assert cluster.body["status"]["attempts"] == attempts

    @pytest.mark.parametrize("fate", ["1", "75", "143", "oom"])
    def test_what_may_pass_is_tried_again(self, fate: str) -> None:
        cluster = ended(spec, fate)

        assert (cluster.phase, cluster.body["status"]["attempts"]) == ("Succeeded", 2)

    def test_evictions_cost_no_attempt(self) -> None:
        cluster = ended(spec, "evict", "evict", "evict", "evict")

        assert (cluster.phase, cluster.body["status"]["attempts"]) == ("Succeeded", 1)

    def test_a_later_stage_is_not_started_after_a_failure(self) -> None:
        cluster = ended(two_stages, "2")

        assert [name[-2:] for name in cluster.created] == ["-p", "s0"]
        assert [p["phase"] for p in cluster.body["status"]["passes"]] == ["Pending"] * 3

    def test_while_it_waits_for_the_next_attempt_the_last_is_told(self) -> None:
        cluster = Cluster.with_job(spec(), stage=["1"])
        until(cluster, lambda: "attempt 1 ended" in cluster.message())

        assert cluster.message().endswith("waiting for its pod; attempt 1 ended with PassFailed: it failed with 1")

    def test_an_edit_of_what_may_be_edited_is_seen_after_the_end(self) -> None:
        cluster = ended()
        cluster.edit(suspend=True, ttlSecondsAfterFinished=60)

        cluster.settle(3)

        assert (cluster.phase, cluster.body["status"]["observedGeneration"]) == ("Succeeded", 2)
        assert {job["spec"]["ttlSecondsAfterFinished"] for job in cluster.jobs.values()} == {60}
        assert cluster.wrong == []

    def test_the_time_to_live_is_set_only_after_the_end_is_stored(self) -> None:
        cluster = Cluster.with_job(spec(ttlSecondsAfterFinished=60))
        until(cluster, lambda: cluster.finished)
        before = [job["spec"].get("ttlSecondsAfterFinished") for job in cluster.jobs.values()]

        cluster.operate()

        assert before == [None, None]
        assert [job["spec"]["ttlSecondsAfterFinished"] for job in cluster.jobs.values()] == [60, 60]

    def test_jobs_that_their_time_to_live_removed_are_not_made_again(self) -> None:
        cluster = Cluster.with_job(spec(ttlSecondsAfterFinished=5))
        cluster.settle(40)

        assert cluster.jobs == {}
        assert [name[-2:] for name in cluster.created] == ["-p", "s0"]

    def test_a_job_that_should_not_be_there_after_the_end_is_removed(self) -> None:
        cluster = ended()
        stray = copy.deepcopy(cluster.job("s0"))
        assert stray is not None
        stray["metadata"] |= {"name": "stray", "uid": "stray"}
        cluster.jobs["stray"] = stray | {"status": {}}

        cluster.operate()

        assert "stray" not in cluster.jobs

    def test_why_it_failed_is_awaited_when_the_job_ends_before_its_pod_is_seen(self) -> None:
        cluster = Cluster.with_job(spec(), stage=["2"])
        unseen(cluster, "s0", "Failed")

        actions = cluster.look(children=replace(cluster.children(), pods=()))
        cluster.operate()

        assert any(isinstance(action, act.LookAgain) for action in actions)
        assert not any(isinstance(action, act.CreateJob | act.Tell) for action in actions)
        assert cluster.reason() == "DataNotFound"

    def test_when_its_pod_is_gone_the_job_says_what_it_knows(self) -> None:
        cluster = Cluster.with_job(spec(), stage=["2"])
        unseen(cluster, "s0", "Failed")
        cluster.pods.clear()
        cluster.now += timedelta(seconds=11)
        cluster.operate()

        assert (cluster.phase, cluster.reason()) == ("Failed", "PodLost")
        assert cluster.message().endswith("failed with exit code 2")


class TestALostReport:
    def lost(self) -> Cluster:
        cluster = Cluster.with_job(spec(), stage=["silent"])
        unseen(cluster, "s0", "Complete")
        return cluster

    def test_a_small_job_says_again_what_was_published(self) -> None:
        cluster = self.lost()
        cluster.settle(20)

        assert [name[-2:] for name in cluster.created] == ["-p", "s0", "-r"]
        assert cluster.phase == "Succeeded"
        assert cluster.body["status"]["artifacts"][0]["uri"] == "s3://team-a/models/m/v1"

    def test_it_is_not_asked_before_the_pod_had_time_to_be_seen(self) -> None:
        cluster = self.lost()

        assert any(isinstance(action, act.LookAgain) for action in cluster.look())
        assert cluster.job("r") is None

    def test_the_end_of_the_stage_is_kept_when_its_job_is_deleted_meanwhile(self) -> None:
        cluster = self.lost()
        cluster.now += timedelta(seconds=11)
        cluster.operate()
        cluster.delete_job(next(name for name in cluster.jobs if name.endswith("-s0")))

        cluster.settle(20)

        assert (cluster.phase, cluster.created.count(cluster.created[1])) == ("Succeeded", 1)

    def test_nothing_found_there_is_a_failure(self) -> None:
        cluster = self.lost()
        cluster.fates["report"] = ["2"]
        cluster.settle(20)

        assert (cluster.phase, cluster.reason()) == ("Failed", "DataNotFound")

    def test_suspended_meanwhile_it_waits(self) -> None:
        cluster = self.lost()
        cluster.fates["report"] = ["hang"] * 9
        until(cluster, lambda: cluster.job("r") is not None)
        cluster.edit(suspend=True)
        cluster.settle(4)
        suspended = (cluster.phase, cluster.job("r"))
        cluster.fates["report"] = []
        cluster.edit(suspend=False)
        cluster.settle(15)

        assert suspended == ("Suspended", None)
        assert cluster.phase == "Succeeded"


class TestSuspension:
    def test_from_the_start_it_makes_no_pod_at_all(self) -> None:
        cluster = Cluster.with_job(spec(suspend=True))
        cluster.settle(5)

        assert (cluster.phase, cluster.created, cluster.reason()) == ("Suspended", [], "SuspendedByUser")
        assert [cluster.condition(kind) for kind in ("Suspended", "Ready", "Reconciling", "Stalled")] == [
            "True",
            "False",
            None,
            None,
        ]

    def test_a_preflight_is_stopped(self) -> None:
        cluster = Cluster.with_job(spec(), preflight=["hang"] * 9)
        cluster.operate()
        cluster.edit(suspend=True)
        cluster.settle(5)

        assert (cluster.phase, cluster.jobs) == ("Suspended", {})

    def test_an_edit_while_suspended_is_not_called_valid(self) -> None:
        cluster = Cluster.with_job(spec(suspend=True))
        cluster.operate()
        cluster.edit(model={"s3": {"uri": "s3://team-a/other/"}})
        cluster.operate()

        assert cluster.condition("Validated") == "Unknown"

    def test_without_a_queue_the_job_itself_is_suspended_and_goes_on(self) -> None:
        cluster = running()
        cluster.edit(suspend=True)
        cluster.operate()
        at_once = (cluster.phase, cluster.message())
        cluster.settle(6)
        suspended = (cluster.phase, [p for p in cluster.pods if "-s0-" in p], cluster.condition("Running"))
        cluster.fates["stage"] = []
        cluster.edit(suspend=False)
        cluster.settle(10)

        assert at_once[0] == "Pending"
        assert at_once[1].endswith("suspending: its pod stores a checkpoint and ends")
        assert suspended == ("Suspended", [], "False")
        assert (cluster.phase, cluster.body["status"]["attempts"]) == ("Succeeded", 1)
        assert cluster.created.count(next(n for n in cluster.created if n.endswith("-s0"))) == 1

    def test_with_a_queue_the_job_goes_and_a_new_one_is_made_when_no_pod_is_left(self) -> None:
        cluster = running(queued)
        cluster.edit(suspend=True)
        cluster.operate()
        gone = cluster.job("s0")
        cluster.edit(suspend=False)
        cluster.operate()
        while_pod_ends = cluster.job("s0")
        cluster.fates["stage"] = []
        cluster.settle(15)

        assert gone is None
        assert while_pod_ends is None
        assert (cluster.phase, cluster.body["status"]["attempts"], cluster.wrong) == ("Succeeded", 1, [])

    def test_waiting_for_quota_is_not_called_suspended(self) -> None:
        cluster = Cluster.with_job(queued())
        cluster.admit = False
        until(cluster, lambda: cluster.phase == "Queued")

        assert [cluster.condition(kind) for kind in ("Suspended", "Reconciling", "Running")] == [
            "False",
            "True",
            "False",
        ]
        assert (cluster.reason(), cluster.message()) == (
            "QueuedForQuota",
            "stage 1 of 1 (finetune, merge, genai) waits for quota in the queue gpus",
        )

    def test_what_the_queue_takes_back_waits_again_and_costs_no_attempt(self) -> None:
        cluster = running(queued)
        cluster.admit = False
        job = cluster.job("s0")
        assert job is not None
        job["spec"]["suspend"] = True
        cluster.settle(5)
        taken = cluster.phase
        cluster.admit, cluster.fates["stage"] = True, []
        cluster.settle(10)

        assert taken == "Queued"
        assert (cluster.phase, cluster.body["status"]["attempts"]) == ("Succeeded", 1)
        assert "Preempted" in {event.reason for event in cluster.events.values()}

    def test_between_stages_nothing_new_is_started(self) -> None:
        cluster = running(two_stages)
        cluster.fates["stage"] = ["success"]
        cluster.edit(suspend=True)
        cluster.tick()
        cluster.settle(6)

        assert cluster.phase == "Suspended"
        assert cluster.job("s1") is None


class TestDeadline:
    def test_the_first_stage_gets_all_of_it_and_the_next_what_is_left(self) -> None:
        cluster = ended(two_stages, activeDeadlineSeconds=1000)
        first, second = (cluster.job(s) or {} for s in ("s0", "s1"))

        used = cluster.body["status"]["stages"][0]["activeSeconds"]
        assert first["spec"]["activeDeadlineSeconds"] == 1000
        assert used > 0
        assert second["spec"]["activeDeadlineSeconds"] == 1000 - used

    def test_a_pause_does_not_count_and_the_time_before_it_does(self) -> None:
        cluster = running(activeDeadlineSeconds=1000)
        started = cluster.now
        cluster.tick(300)
        cluster.edit(suspend=True)
        cluster.settle(6)
        cluster.tick(100_000)
        cluster.edit(suspend=False)
        cluster.operate()

        used = cluster.body["status"]["stages"][0]["activeSeconds"]
        job = cluster.job("s0") or {}
        assert 300 <= used <= 300 + (cluster.now - started).total_seconds() - 100_000
        assert job["spec"]["activeDeadlineSeconds"] == 1000 - used
        assert not job["spec"]["suspend"]

    def test_past_it_the_job_has_failed(self) -> None:
        cluster = running(activeDeadlineSeconds=60)
        cluster.tick(61)
        cluster.operate()

        assert (cluster.phase, cluster.reason()) == ("Failed", "DeadlineExceeded")

    def test_what_it_waited_for_is_told_with_it(self) -> None:
        cluster = with_pod("s0", activeDeadlineSeconds=60)
        unschedulable(cluster, "-s0", "0/3 nodes are available: 3 Insufficient nvidia.com/gpu.")
        cluster.operate()
        cluster.now += timedelta(seconds=61)
        cluster._job_controller(cluster.job("s0") or {})
        cluster.operate()

        assert (cluster.phase, cluster.reason()) == ("Failed", "DeadlineExceeded")
        assert "; it waited: Unschedulable: no node has enough nvidia.com/gpu free" in cluster.message()

    @pytest.mark.parametrize(("suffix", "role"), [("p", "preflight"), ("s0", "stage")])
    def test_what_it_waits_for_stays_said_while_its_pods_go(self, suffix: str, role: str) -> None:
        cluster = with_pod(suffix, activeDeadlineSeconds=60)
        unschedulable(cluster, f"-{suffix}", "0/3 nodes are available: 3 Insufficient nvidia.com/gpu.")
        cluster.operate()
        job = cluster.job(suffix) or {}
        for pod in cluster.pods.values():
            pod["metadata"]["deletionTimestamp"] = "2026-11-21T09:00:00Z"
        cluster.operate()
        deleting = cluster.reason()
        job["status"]["conditions"] = [{"type": "FailureTarget", "status": "True", "reason": "DeadlineExceeded"}]
        cluster.pods = {name: pod for name, pod in cluster.pods.items() if f"-{suffix}-" not in name}
        cluster.operate()

        assert (deleting, cluster.reason()) == ("Unschedulable", "Unschedulable")
        assert "nvidia.com/gpu" in cluster.message()

    def test_past_it_the_field_is_named_and_what_the_job_had_left_of_it(self) -> None:
        cluster = running(activeDeadlineSeconds=1000)
        cluster.tick(300)
        cluster.edit(suspend=True)
        cluster.settle(6)
        cluster.edit(suspend=False)
        until(cluster, lambda: cluster.phase == "Running")
        left = (cluster.job("s0") or {})["spec"]["activeDeadlineSeconds"]

        cluster.tick(1000)
        cluster.operate()

        assert left < 1000
        assert cluster.message().startswith("spec.activeDeadlineSeconds (1000 s) is used up: Job phi3-")
        assert cluster.message().endswith(f"-s0 ran longer than the {left} s that it had")

    def test_used_up_before_a_stage_it_is_not_started(self) -> None:
        cluster = running(two_stages, activeDeadlineSeconds=60)
        cluster.now += timedelta(seconds=58)
        cluster.fates["stage"] = ["success"]
        cluster.tick(5)
        cluster.settle(3)

        assert (cluster.phase, cluster.reason()) == ("Failed", "DeadlineExceeded")
        assert cluster.message() == "spec.activeDeadlineSeconds (60 s) is used up"
        assert cluster.job("s1") is None


class TestRetry:
    def test_a_raise_reaches_the_job_that_runs(self) -> None:
        cluster = running()
        cluster.edit(retry={"maxAttempts": 8})
        cluster.operate()

        assert (cluster.job("s0") or {})["spec"]["backoffLimit"] == 7

    def test_attempts_of_a_job_that_was_deleted_still_count(self) -> None:
        cluster = Cluster.with_job(spec(), stage=["1", "hang", "hang"])
        until(cluster, lambda: cluster.body["status"].get("attempts") == 2)
        cluster.delete_job(next(name for name in cluster.jobs if name.endswith("-s0")))
        cluster.fates["stage"] = ["1", "1"]

        cluster.settle(20)

        assert (cluster.phase, cluster.body["status"]["attempts"]) == ("Failed", 3)

    def test_no_new_job_while_a_pod_of_the_old_one_may_still_write(self) -> None:
        cluster = running()
        cluster.delete_job(next(name for name in cluster.jobs if name.endswith("-s0")))

        actions = cluster.look()

        assert not any(isinstance(action, act.CreateJob) for action in actions)
        (pod,) = [name for name in cluster.pods if "-s0-" in name]
        told = next(a for a in actions if isinstance(a, act.WriteStatus)).status.conditions[0].message
        assert f"waiting for its former pod {pod} to end" in told

    def test_a_pod_of_an_earlier_job_that_nobody_stops_is_not_called_suspending(self) -> None:
        cluster = running()
        (name,) = [name for name in cluster.pods if "-s0-" in name]
        cluster.pods[name]["metadata"]["ownerReferences"][0]["name"] = "phi3-of-before-s0"
        cluster.jobs = {job: body for job, body in cluster.jobs.items() if not job.endswith("-s0")}
        cluster.edit(suspend=True)

        cluster.operate()

        assert cluster.message().endswith(f": waiting for its former pod {name} to end")

    @pytest.mark.parametrize("suspend", [False, True])
    def test_a_pod_that_lost_its_job_is_named_and_waited_for(self, suspend: bool) -> None:
        cluster = running()
        (name,) = [name for name in cluster.pods if "-s0-" in name]
        cluster.pods[name]["metadata"]["ownerReferences"] = []
        cluster.jobs = {job: body for job, body in cluster.jobs.items() if not job.endswith("-s0")}
        cluster.edit(suspend=suspend)

        actions = cluster.operate()

        assert not any(isinstance(action, act.CreateJob) for action in actions)
        assert (cluster.phase, cluster.condition("Suspended")) == ("Pending", "False")
        assert f"kubectl delete pod {name} stops it" in cluster.message()

    def test_a_new_job_asks_the_api_server_whether_it_is_alone(self) -> None:
        cluster = running()
        unseen = replace(cluster.children(), jobs=(), pods=())

        (create,) = [a for a in cluster.look(children=unseen) if isinstance(a, act.CreateJob)]

        assert create.alone == {
            "millwright.dev/job": "phi3",
            "millwright.dev/role": "stage",
            "millwright.dev/stage": "0",
        }
        assert cluster.do((create,)) is False


class TestProgress:
    def told(self, cluster: Cluster, **changes: Any) -> None:
        pod = next(p for p in cluster.pods.values() if "-s0-" in p["metadata"]["name"])
        said = {"step_name": "finetune", "step_index": 0, "steps": 3, "done": 41, "total": 100, "loss": 1.25}
        heard = Progress(**(said | {"eta_seconds": 4800.0, "message": "training"} | changes))
        cluster.heard = Heard(heard, pod["metadata"]["uid"], cluster.now)

    @pytest.mark.parametrize("done", [-1, 2**63, 10**30])
    def test_a_count_that_the_api_server_would_refuse_is_left_out(self, done: int) -> None:
        cluster = running()
        self.told(cluster, done=done, total=done, steps=10**70)

        cluster.operate()

        progress = cluster.body["status"]["progress"]
        assert (progress["message"], progress["summary"][:4]) == ("training", "1/32")
        assert not {"step", "totalSteps"} & set(progress)

    def test_it_is_told_in_status_and_may_wait(self) -> None:
        cluster = running()
        self.told(cluster)

        (write,) = [a for a in cluster.look() if isinstance(a, act.WriteStatus)]
        cluster.operate()

        assert write.progress_only
        progress = cluster.body["status"]["progress"]
        assert (progress["pass"], progress["summary"], progress["eta"], progress["loss"], progress["percent"]) == (
            "finetune",
            "1/3 41%",
            "1h20m",
            1.25,
            41,
        )
        assert [p["phase"] for p in cluster.body["status"]["passes"]] == ["Running", "Pending", "Pending"]

    def test_the_last_loss_stays_while_the_pass_does_what_it_did(self) -> None:
        cluster = running()
        self.told(cluster)
        cluster.operate()

        self.told(cluster, done=42, loss=None)
        cluster.operate()
        kept = cluster.body["status"]["progress"]
        self.told(cluster, done=1, loss=None, message="saving")
        cluster.operate()

        assert (kept["step"], kept["loss"]) == (42, 1.25)
        assert "loss" not in cluster.body["status"]["progress"]

    def test_the_next_stage_starts_with_its_own_pass(self) -> None:
        cluster = Cluster.with_job(two_stages(), stage=["success", "hang"])
        until(cluster, lambda: cluster.phase == "Running")
        self.told(cluster, done=97)
        cluster.operate()

        until(cluster, lambda: cluster.job("s1") is not None and cluster.phase == "Running")

        progress = cluster.body["status"]["progress"]
        assert (progress["pass"], progress["message"], progress["summary"]) == ("genai", "starting", "3/3")
        assert "percent" not in progress

    def test_nothing_is_expected_of_what_does_not_run(self) -> None:
        cluster = running()
        self.told(cluster)
        cluster.operate()

        cluster.edit(suspend=True)
        cluster.settle(6)

        progress = cluster.body["status"]["progress"]
        assert (cluster.phase, progress["summary"], progress.get("eta")) == ("Suspended", "1/3 41%", None)

    def test_after_a_restart_what_was_told_stays(self) -> None:
        cluster = running()
        self.told(cluster, step_index=1, step_name="merge")
        cluster.operate()
        cluster.heard = None

        assert cluster.look() == ()
        assert [p["phase"] for p in cluster.body["status"]["passes"]] == ["Succeeded", "Running", "Pending"]

    def test_what_a_pod_of_another_attempt_said_is_left_aside(self) -> None:
        cluster = running()
        self.told(cluster)
        assert cluster.heard is not None
        cluster.heard = replace(cluster.heard, pod_uid="another")

        assert cluster.look() == ()

    def test_what_makes_no_sense_is_left_aside(self) -> None:
        cluster = running()
        self.told(cluster, step_index=17)

        assert cluster.look() == ()

    def test_numbers_that_are_none_are_left_out(self) -> None:
        cluster = running()
        self.told(cluster, loss=float("nan"), eta_seconds=float("inf"), total=0)
        cluster.operate()

        progress = cluster.body["status"]["progress"]
        assert {"loss", "eta", "percent"} & set(progress) == set()
        assert progress["summary"] == "1/3"

    def test_at_the_end_all_is_done(self) -> None:
        progress = ended().body["status"]["progress"]

        assert (progress["pass"], progress["summary"], progress["percent"]) == ("genai", "3/3 100%", 100)


class TestEvents:
    def reasons(self, cluster: Cluster) -> list[str]:
        return [event.reason for event in cluster.events.values()]

    def test_a_good_life_is_told(self) -> None:
        assert self.reasons(ended()) == ["Validated", "StageStarted", "StageSucceeded", "Succeeded"]

    def test_a_bad_life_is_told(self) -> None:
        cluster = ended(spec, "1", "2")

        assert self.reasons(cluster) == [
            "Validated",
            "StageStarted",
            "AttemptFailed",
            "StageStarted",
            "AttemptFailed",
            "Failed",
        ]
        last = list(cluster.events.values())[-1]
        assert (last.kind, last.message) == ("Warning", "DataNotFound: attempt 2 of 3: it failed with 2")

    def test_an_eviction_is_told(self) -> None:
        cluster = running()
        (pod,) = [p for p in cluster.pods.values() if "-s0-" in p["metadata"]["name"]]
        pod["status"]["conditions"] = [
            {"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI"}
        ]
        pod["metadata"]["deletionTimestamp"] = "2026-11-21T08:00:00Z"
        cluster.operate()

        assert self.reasons(cluster)[-1] == "Evicted"

    def test_a_pod_that_cannot_end_as_its_node_is_gone_is_named_while_the_next_one_waits_for_it(self) -> None:
        cluster = running()
        (pod,) = [p for p in cluster.pods.values() if "-s0-" in p["metadata"]["name"]]
        pod["metadata"]["deletionTimestamp"] = "2026-11-21T08:00:00Z"

        cluster.operate()

        assert cluster.message().endswith(f"waiting for its former pod {pod['metadata']['name']} to end")

    def test_an_eviction_for_overrunning_its_own_limit_is_told_as_it_costs_an_attempt(self) -> None:
        cluster = running()
        (pod,) = [p for p in cluster.pods.values() if "-s0-" in p["metadata"]["name"]]
        message = 'Usage of EmptyDir volume "scratch" exceeds the limit "64Mi". '
        pod["status"] = {"phase": "Failed", "reason": "Evicted", "message": message}
        (cluster.job("s0") or {})["status"] |= {"failed": 1, "active": 0}

        cluster.operate()

        last = list(cluster.events.values())[-1]
        assert last.reason == "AttemptFailed"
        assert last.message.endswith('exceeds the limit "64Mi"; raise execution.kubernetes.scratch')

    def test_a_pod_that_a_person_deletes_is_told_as_it_costs_an_attempt(self) -> None:
        cluster = running()
        (pod,) = [name for name in cluster.pods if "-s0-" in name]
        del cluster.pods[pod]
        (cluster.job("s0") or {})["status"] |= {"failed": 1, "active": 0}

        cluster.operate()

        last = list(cluster.events.values())[-1]
        assert (last.reason, last.message.partition(" was ")[2]) == ("AttemptFailed", "deleted; that costs an attempt")

    def test_suspending_and_resuming_is_told_each_time(self) -> None:
        cluster = Cluster.with_job(spec(suspend=True))
        for suspend in (False, True):
            cluster.operate()
            cluster.edit(suspend=suspend)
        cluster.operate()

        assert self.reasons(cluster) == ["Suspended", "Resumed", "Suspended"]

    def test_a_refusal_and_a_wait_are_told(self) -> None:
        refused = Cluster.with_job(spec(), preflight=["2"])
        refused.settle(15)
        waits = with_pod("p")
        waiting(waits, "-p", "CreateContainerConfigError", 'secret "team-a-s3" not found')
        waits.operate()

        assert self.reasons(refused) == ["DataNotFound"]
        assert self.reasons(waits) == ["SecretNotFound"]

    def test_telling_again_makes_the_same_name(self) -> None:
        cluster = Cluster.with_job(spec())
        unseen(cluster, "p", "Complete")

        first, second = ([a.identity for a in cluster.look() if isinstance(a, act.Tell)] for _ in range(2))

        assert first == second
        assert len(first) == 1

    def test_names_differ_where_things_differ(self) -> None:
        cluster = ended(two_stages, "1", "evict")

        assert len({event.identity for event in cluster.events.values()}) == len(cluster.events)


class TestTheConfigMap:
    def test_a_new_authority_reaches_the_pods_that_run(self) -> None:
        cluster = running()
        cluster.platform = replace(PLATFORM, progress_ca="another CA")
        cluster.operate()

        (found,) = cluster.manifests.values()
        assert found["data"]["ca.crt"] == "another CA"

    def test_one_that_was_deleted_comes_back_while_pods_need_it(self) -> None:
        cluster = running()
        cluster.manifests.clear()
        cluster.operate()

        assert len(cluster.manifests) == 1

    def test_ones_own_is_not_applied_again(self) -> None:
        cluster = running()

        assert not any(isinstance(action, act.ApplyManifest) for action in cluster.look())
