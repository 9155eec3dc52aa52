"""What the operator keeps of API objects; nothing in them makes it stumble."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millwright_operator import seen
from millwright_operator.observed import Key

LABELS = {"millwright.dev/job": "phi3", "millwright.dev/role": "stage", "millwright.dev/stage": "1"}

POD: dict[str, Any] = {
    "metadata": {
        "name": "phi3-0a1b2c3d-s1-x7k2p",
        "namespace": "team-a",
        "uid": "pod-1",
        "labels": LABELS,
        "creationTimestamp": "2026-11-21T08:00:00Z",
        "ownerReferences": [{"kind": "Job", "name": "phi3-0a1b2c3d-s1", "uid": "job-1"}],
    },
    "spec": {"containers": [{"name": "runner", "image": "runner:1", "resources": {"limits": {"memory": "2Gi"}}}]},
    "status": {"phase": "Running"},
}

JOB: dict[str, Any] = {
    "metadata": {
        "name": "phi3-0a1b2c3d-s1",
        "namespace": "team-a",
        "uid": "job-1",
        "labels": LABELS,
        "ownerReferences": [{"kind": "OptimizationJob", "name": "phi3", "uid": "uid-1"}],
    },
    "spec": {"suspend": False, "backoffLimit": 2, "activeDeadlineSeconds": 60, "ttlSecondsAfterFinished": 9},
    "status": {"startTime": "2026-11-21T08:00:00Z", "failed": 1, "active": 1},
}

KEYS = [
    "metadata",
    "labels",
    "finalizers",
    "deletionTimestamp",
    "command",
    "millwright.dev/role",
    "ownerReferences",
    "kind",
    "name",
    "spec",
    "containers",
    "suspend",
    "status",
    "phase",
    "conditions",
    "type",
    "containerStatuses",
    "state",
    "terminated",
    "exitCode",
    "startTime",
    "stages",
    "passes",
]

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.sampled_from(KEYS), below, max_size=4),
    max_leaves=12,
)


def pod(container: dict[str, Any] | None = None, **status: Any) -> Any:
    statuses = [{"name": "runner", **container}] if container else []
    found = seen.pod(POD | {"status": {"phase": "Running", "containerStatuses": statuses} | status})
    assert found is not None
    return found


def job(*conditions: dict[str, Any], **spec: Any) -> Any:
    body = JOB | {"spec": JOB["spec"] | spec, "status": JOB["status"] | {"conditions": list(conditions)}}
    found = seen.job(body)
    assert found is not None
    return found


class TestAPod:
    def test_what_it_is(self) -> None:
        found = pod({"state": {"running": {"startedAt": "2026-11-21T08:00:05Z"}}})

        assert (found.name, found.uid, found.job, found.role, found.stage) == (
            "phi3-0a1b2c3d-s1-x7k2p",
            "pod-1",
            "phi3-0a1b2c3d-s1",
            "stage",
            1,
        )
        assert (found.phase, found.started_at, found.memory_limit, found.image) == (
            "Running",
            "2026-11-21T08:00:05Z",
            "2Gi",
            "runner:1",
        )
        assert (found.ended, found.waiting, found.unschedulable, found.disrupted, found.evicted, found.deleting) == (
            None,
            None,
            None,
            None,
            None,
            False,
        )

    @pytest.mark.parametrize(("program", "courier"), [("azureml", True), ("stage", False)])
    def test_whether_azure_ml_does_its_passes(self, program: str, courier: bool) -> None:
        container = {"name": "runner", "command": ["python", "-m", "millwright_runner.pod", program]}

        found = seen.pod(POD | {"spec": {"containers": [container]}})

        assert found is not None
        assert found.courier is courier

    def test_one_that_is_being_deleted_has_until_its_grace_is_over(self) -> None:
        body = POD | {"metadata": POD["metadata"] | {"deletionTimestamp": "2026-11-21T09:01:00Z"}}

        found = seen.pod(body)

        assert found is not None
        assert (found.deleting, found.gone_by) == (True, "2026-11-21T09:01:00Z")

    def test_how_it_ended(self) -> None:
        told = {"exitCode": 75, "reason": "OOMKilled", "message": "{}", "finishedAt": "2026-11-21T08:09:00Z"}

        found = pod({"state": {"terminated": told}})

        assert found.ended is not None
        assert (found.ended.exit_code, found.ended.reason, found.ended.message, found.ended.finished_at) == (
            75,
            "OOMKilled",
            "{}",
            "2026-11-21T08:09:00Z",
        )

    def test_another_container_in_it_does_not_count(self) -> None:
        body = POD | {
            "status": {
                "phase": "Running",
                "containerStatuses": [{"name": "istio-proxy", "state": {"terminated": {"exitCode": 1}}}],
            }
        }

        found = seen.pod(body)

        assert found is not None
        assert found.ended is None

    def test_what_it_waits_for(self) -> None:
        found = pod({"state": {"waiting": {"reason": "ErrImagePull", "message": "no"}}})

        assert found.waiting == ("ErrImagePull", "no")

    def test_that_no_node_takes_it(self) -> None:
        condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes"}

        assert pod(conditions=[condition]).unschedulable == "0/1 nodes"

    def test_that_it_is_taken_away(self) -> None:
        condition = {"type": "DisruptionTarget", "status": "True", "reason": "PreemptionByScheduler"}

        assert pod(conditions=[condition]).disrupted == "PreemptionByScheduler"

    def test_a_disruption_that_did_not_come_is_none(self) -> None:
        condition = {"type": "DisruptionTarget", "status": "False", "reason": "PreemptionByScheduler"}

        assert pod(conditions=[condition]).disrupted is None

    def test_that_the_kubelet_evicted_it(self) -> None:
        found = pod(phase="Failed", reason="Evicted", message="The node was low on resource: ephemeral-storage.")

        assert found.evicted == "The node was low on resource: ephemeral-storage."
        assert found.finished

    def test_one_without_our_labels_is_none_of_ours(self) -> None:
        assert seen.pod(POD | {"metadata": POD["metadata"] | {"labels": {}}}) is None

    def test_one_whose_job_was_deleted_without_it_works_on(self) -> None:
        found = seen.pod(POD | {"metadata": POD["metadata"] | {"ownerReferences": []}})

        assert found is not None
        assert (found.job, found.stage, found.finished) == ("", 1, False)


class TestAJob:
    def test_what_it_is(self) -> None:
        found = job()

        assert (found.name, found.uid, found.owner, found.role, found.stage) == (
            "phi3-0a1b2c3d-s1",
            "job-1",
            "uid-1",
            "stage",
            1,
        )
        assert (found.failures, found.active, found.backoff_limit, found.active_deadline, found.ttl) == (1, 1, 2, 60, 9)
        assert (found.started_at, found.suspended, found.finished) == ("2026-11-21T08:00:00Z", False, False)

    def test_that_it_is_complete_and_since_when(self) -> None:
        found = job({"type": "Complete", "status": "True", "lastTransitionTime": "2026-11-21T09:00:00Z"})

        assert (found.complete, found.finished, found.completed_at) == (True, True, "2026-11-21T09:00:00Z")

    def test_that_it_failed_and_why(self) -> None:
        condition = {"type": "Failed", "status": "True", "reason": "PodFailurePolicy", "message": "exit code 2"}

        found = job(condition | {"lastTransitionTime": "2026-11-21T09:00:00Z"})

        assert (found.failed, found.completed_at) == (("PodFailurePolicy", "exit code 2"), "2026-11-21T09:00:00Z")

    def test_one_that_is_about_to_fail_has_not_yet(self) -> None:
        # its pods are still ending: FailureTarget comes before Failed
        assert not job({"type": "FailureTarget", "status": "True", "reason": "PodFailurePolicy"}).finished

    def test_since_when_it_is_suspended(self) -> None:
        condition = {"type": "Suspended", "status": "True", "lastTransitionTime": "2026-11-21T09:00:00Z"}

        found = job(condition, suspend=True)

        assert (found.suspended, found.suspended_at) == (True, "2026-11-21T09:00:00Z")

    def test_one_that_was_resumed_is_not_suspended(self) -> None:
        condition = {"type": "Suspended", "status": "False", "lastTransitionTime": "2026-11-21T09:00:00Z"}

        assert job(condition).suspended_at is None

    @pytest.mark.parametrize("role", ["trainer", "", None, 3])
    def test_one_of_no_known_role_is_none_of_ours(self, role: Any) -> None:
        labels = LABELS | {"millwright.dev/role": role}

        assert seen.job(JOB | {"metadata": JOB["metadata"] | {"labels": labels}}) is None


class TestAResource:
    def test_what_it_is(self) -> None:
        body = {
            "metadata": {
                "name": "phi3",
                "namespace": "team-a",
                "uid": "uid-1",
                "generation": 3,
                "resourceVersion": "77",
                "annotations": {"millwright.dev/requested-at": "now"},
                "deletionTimestamp": "2026-11-21T09:00:00Z",
                "finalizers": ["millwright.dev/azureml"],
            },
            "spec": {"suspend": True},
            "status": {"observedGeneration": 2, "startTime": "2026-11-21T08:00:00Z"},
        }

        found = seen.resource(body)

        assert found.key == Key("team-a", "phi3")
        assert (found.uid, found.generation, found.resource_version) == ("uid-1", 3, "77")
        assert (found.requested_at, found.deleting, found.spec) == ("now", True, {"suspend": True})
        assert (found.deleted_at, found.finalizers) == ("2026-11-21T09:00:00Z", ("millwright.dev/azureml",))
        assert (found.status.observed_generation, found.status.start_time) == (2, "2026-11-21T08:00:00Z")

    def test_a_fresh_one_was_observed_never(self) -> None:
        assert seen.resource({"metadata": {"name": "phi3"}}).status.observed_generation == -1

    def test_kopfs_own_notes_are_passed_over(self) -> None:
        assert seen.status({"kopf": {"progress": {}}, "phase": "Running"}).phase == "Running"

    def test_what_cannot_be_read_is_left_out_and_only_that(self) -> None:
        good = {
            "type": "Ready",
            "status": "False",
            "reason": "StageRunning",
            "lastTransitionTime": "2026-11-21T08:00:00Z",
            "observedGeneration": 1,
        }

        found = seen.status(
            {
                "startTime": "2026-11-21T08:00:00Z",
                "phase": "Dreaming",
                "conditions": [good | {"type": "Ripe"}, good],
                "attempts": "many",
            }
        )

        assert (found.start_time, found.phase, found.attempts) == ("2026-11-21T08:00:00Z", None, None)
        assert [condition.type for condition in found.conditions] == ["Ready"]


class TestAConfigMap:
    def test_its_digest_is_that_of_its_data(self) -> None:
        meta = {"name": "phi3-0a1b2c3d-m", "namespace": "team-a", "labels": LABELS}

        first, same, other = (
            seen.manifest({"metadata": meta | more, "data": data})
            for more, data in (({}, {"a": "1"}), ({"resourceVersion": "9"}, {"a": "1"}), ({}, {"a": "2"}))
        )

        assert first == same
        assert first != other

    def test_one_without_our_label_is_none_of_ours(self) -> None:
        assert seen.manifest({"metadata": {"name": "kube-root-ca.crt"}, "data": {}}) is None


class TestAnything:
    def test_a_child_tells_whose_it_is(self) -> None:
        assert seen.key(POD) == Key("team-a", "phi3")
        assert seen.key({"metadata": {"labels": {}}}) is None

    @settings(max_examples=300, deadline=None)
    @given(metadata=ANYTHING, spec=ANYTHING, status=ANYTHING, labelled=st.booleans())
    def test_nothing_makes_it_stumble(self, metadata: Any, spec: Any, status: Any, labelled: bool) -> None:
        if labelled and isinstance(metadata, dict):
            metadata = metadata | {"labels": LABELS, "ownerReferences": [{"kind": "Job", "name": "j"}]}
        body = {"metadata": metadata, "spec": spec, "status": status}

        seen.resource(body)
        seen.manifest(body)
        found = [seen.job(body), seen.pod(body)]

        assert all((one is not None) == (labelled and isinstance(metadata, dict)) for one in found)
