"""What is done on the API server, against one on loopback that refuses, is full, or was faster."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from tests.unit.operator_edge.bodies import UID, Body, config_map, job, optjob, pod
from tests.unit.operator_edge.fake_api import FakeApi, serving

from millwright_api.status import Status
from millwright_operator import seen
from millwright_operator.actions import (
    Action,
    ApplyManifest,
    AskWhy,
    CreateJob,
    DeleteJob,
    DeleteManifest,
    LookAgain,
    PatchFinalizers,
    PatchJob,
    Tell,
    WriteStatus,
)
from millwright_operator.cluster import ApiError
from millwright_operator.deeds import WRITER_LEFT_SECONDS, Deeds, Stale
from millwright_operator.metrics import Metrics
from millwright_operator.observed import Podless, Refusal

OPTJOB = "/apis/millwright.dev/v1alpha1/namespaces/team-a/optimizationjobs/phi3"
JOBS = "/apis/batch/v1/namespaces/team-a/jobs"
PODS = "/api/v1/namespaces/team-a/pods"
MAPS = "/api/v1/namespaces/team-a/configmaps"
NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
STAGE = {"millwright.dev/job": "phi3", "millwright.dev/stage": "0"}


class Ground:
    """A fake API server with one OptimizationJob, and what the deeds told the cache."""

    def __init__(self) -> None:
        self.api = FakeApi()
        self.resource = seen.resource(self.api.put(OPTJOB, optjob()))
        self.taken: list[tuple[str, Body]] = []
        self.gone: list[tuple[str, str]] = []
        self.metrics = Metrics()
        self.refused: Refusal | None = None
        self.podless: tuple[Podless, ...] = ()

    def do(self, *actions: Action) -> float | None:
        async def main() -> float | None:
            async with serving(self.api) as cluster:
                deeds = Deeds(cluster, self._take, self._forget, self.metrics, instance="me", now=lambda: NOON)
                try:
                    return await deeds.do(self.resource, actions)
                finally:
                    self.refused = deeds.refused.get(self.resource.key)
                    self.podless = deeds.podless.get(self.resource.key, ())

        return asyncio.run(main())

    def _take(self, kind: str, body: Any) -> None:
        self.taken.append((kind, dict(body)))

    def _forget(self, kind: str, namespace: str, name: str, uid: str) -> None:
        self.gone.append((kind, name))

    def written(self, kind: str) -> float:
        return self.metrics.registry.get_sample_value("millwright_writes_total", {"kind": kind}) or 0.0


@pytest.fixture
def ground() -> Ground:
    return Ground()


class TestCreatingAJob:
    def test_it_is_created_and_the_cache_knows_at_once(self, ground: Ground) -> None:
        ground.do(CreateJob(job("phi3-s0")))

        assert f"{JOBS}/phi3-s0" in ground.api.objects
        assert [(kind, body["metadata"]["name"]) for kind, body in ground.taken] == [("jobs", "phi3-s0")]
        assert ground.written("job-create") == 1

    def test_one_that_exists_already_and_is_ours_is_as_good(self, ground: Ground) -> None:
        ground.api.put(f"{JOBS}/phi3-s0", job("phi3-s0"))

        ground.do(CreateJob(job("phi3-s0")), LookAgain(5))

        assert ground.written("job-create") == 0
        assert [kind for kind, _ in ground.taken] == ["jobs"]

    def test_one_that_belongs_to_somebody_else_is_left_alone_and_told(self, ground: Ground) -> None:
        ground.api.put(f"{JOBS}/phi3-s0", job("phi3-s0", owner="somebody-else"))

        with pytest.raises(ApiError, match="belongs to something else"):
            ground.do(CreateJob(job("phi3-s0")))

        told = ground.api.last("POST", "events").body
        assert told is not None
        assert (told["type"], told["reason"]) == ("Warning", "JobNotCreated")
        assert "somebody-else" in told["note"]

    def test_one_that_is_refused_is_told_with_the_server_s_words(self, ground: Ground) -> None:
        words = "jobs.batch is forbidden: exceeded quota: count/jobs.batch=0"
        ground.api.refuse("POST", "jobs$", 403, reason="Forbidden", message=words)

        with pytest.raises(ApiError):
            ground.do(CreateJob(job("phi3-s0")))

        told = ground.api.last("POST", "events").body
        assert told is not None
        assert words in told["note"]

    def test_a_namespace_that_is_being_deleted_is_no_failure_and_nothing_is_told(self, ground: Ground) -> None:
        details = {"causes": [{"reason": "NamespaceTerminating"}]}
        ground.api.refuse("POST", "jobs$", 403, reason="Forbidden", details=details)

        assert ground.do(CreateJob(job("phi3-s0")), LookAgain(5)) is None

        assert ground.api.verbs() == ["POST jobs"]


class TestTheFinalizer:
    def test_metadata_alone_is_written_on_top_of_what_was_seen(self, ground: Ground) -> None:
        before = ground.api.objects[OPTJOB]

        ground.do(PatchFinalizers(("millwright.dev/azureml",), ground.resource.resource_version))

        asked = ground.api.last("PATCH", "optimizationjobs")
        assert asked.content == "application/merge-patch+json"
        assert asked.body == {
            "metadata": {
                "uid": UID,
                "resourceVersion": ground.resource.resource_version,
                "finalizers": ["millwright.dev/azureml"],
            }
        }
        after = ground.api.objects[OPTJOB]
        assert (after["spec"], after["status"]) == (before["spec"], before["status"])
        assert [(kind, body["metadata"]["finalizers"]) for kind, body in ground.taken] == [
            ("optimizationjobs", ["millwright.dev/azureml"])
        ]

    def test_an_object_that_moved_on_is_read_again(self, ground: Ground) -> None:
        ground.api.put(OPTJOB, optjob(suspend=True))

        with pytest.raises(Stale):
            ground.do(PatchFinalizers((), ground.resource.resource_version), DeleteJob("phi3-s0", "x"))

        assert ground.api.verbs() == ["PATCH optimizationjobs", "GET optimizationjobs"]

    def test_one_that_is_gone_is_forgotten(self, ground: Ground) -> None:
        del ground.api.objects[OPTJOB]

        with pytest.raises(Stale):
            ground.do(PatchFinalizers((), ground.resource.resource_version))

        assert ground.gone == [("optimizationjobs", "phi3")]

    def test_that_it_may_not_be_set_is_kept_for_the_next_look(self, ground: Ground) -> None:
        ground.api.refuse("PATCH", "phi3$", 403, reason="Forbidden", message="cannot patch optimizationjobs")

        with pytest.raises(ApiError):
            ground.do(PatchFinalizers(("a",), ground.resource.resource_version))

        assert ground.refused is not None
        assert ground.refused.message == "the finalizer could not be set: cannot patch optimizationjobs"

    def test_where_the_namespace_of_a_deleted_job_goes_the_next_look_knows(self, ground: Ground) -> None:
        ground.resource = replace(ground.resource, deleted_at="2026-11-21T12:00:00Z")
        details = {"causes": [{"reason": "NamespaceTerminating"}]}
        ground.api.refuse("POST", "jobs$", 403, reason="Forbidden", details=details)

        with pytest.raises(Stale):
            ground.do(CreateJob(job("phi3-c")))

        assert ground.refused is not None
        assert ground.refused.namespace_goes

    def test_a_job_that_cancels_belongs_to_nobody_and_is_known_all_the_same(self, ground: Ground) -> None:
        there = job("phi3-c")
        there["metadata"]["labels"]["millwright.dev/role"] = "cancel"
        del there["metadata"]["ownerReferences"]
        ground.api.put(f"{JOBS}/phi3-c", there)

        ground.do(CreateJob(there))

        assert [(kind, body["metadata"]["name"]) for kind, body in ground.taken] == [("jobs", "phi3-c")]


class TestNeverTwoWriters:
    @pytest.mark.parametrize("phase", ["Pending", "Running", "Unknown"])
    def test_a_job_waits_while_a_pod_of_its_stage_is_unfinished(self, ground: Ground, phase: str) -> None:
        ground.api.put(f"{PODS}/old", pod("old", phase=phase))

        again = ground.do(CreateJob(job("phi3-s0"), alone=STAGE), Tell("Normal", "StageStarted", "", "x"))

        assert ground.api.verbs() == ["GET pods"]
        assert again == WRITER_LEFT_SECONDS

    @pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
    def test_finished_pods_hold_up_nothing(self, ground: Ground, phase: str) -> None:
        ground.api.put(f"{PODS}/old", pod("old", phase=phase))

        ground.do(CreateJob(job("phi3-s0"), alone=STAGE))

        assert ground.api.verbs() == ["GET pods", "POST jobs"]

    def test_pods_of_other_stages_hold_up_nothing(self, ground: Ground) -> None:
        other = pod("old")
        other["metadata"]["labels"]["millwright.dev/stage"] = "1"
        ground.api.put(f"{PODS}/old", other)

        ground.do(CreateJob(job("phi3-s0"), alone=STAGE))

        assert ground.api.verbs() == ["GET pods", "POST jobs"]

    def test_a_pod_that_no_watch_has_brought_yet_is_known_from_then_on(self, ground: Ground) -> None:
        ground.api.put(f"{PODS}/old", pod("old"))

        ground.do(CreateJob(job("phi3-s0"), alone=STAGE))

        assert [(kind, body["metadata"]["name"]) for kind, body in ground.taken] == [("pods", "old")]


class TestChangingAndDeleting:
    def test_a_job_s_spec_is_merged(self, ground: Ground) -> None:
        ground.api.put(f"{JOBS}/phi3-s0", job("phi3-s0"))

        ground.do(PatchJob("phi3-s0", {"suspend": True, "activeDeadlineSeconds": None}))

        asked = ground.api.last("PATCH", "jobs")
        assert asked.content == "application/merge-patch+json"
        assert asked.body == {"spec": {"suspend": True, "activeDeadlineSeconds": None}}

    def test_a_job_is_deleted_in_the_background_and_only_this_very_one(self, ground: Ground) -> None:
        uid = ground.api.put(f"{JOBS}/phi3-s0", job("phi3-s0"))["metadata"]["uid"]

        ground.do(DeleteJob("phi3-s0", uid))

        asked = ground.api.last("DELETE", "jobs")
        assert asked.body == {"propagationPolicy": "Background", "preconditions": {"uid": uid}}
        assert ground.gone == [("jobs", "phi3-s0")]

    def test_another_job_of_that_name_stays(self, ground: Ground) -> None:
        ground.api.put(f"{JOBS}/phi3-s0", job("phi3-s0", uid="another"))

        ground.do(DeleteJob("phi3-s0", "the-former"))

        assert f"{JOBS}/phi3-s0" in ground.api.objects

    def test_what_is_gone_already_is_as_good_and_leaves_the_cache(self, ground: Ground) -> None:
        ground.do(PatchJob("phi3-s0", {}), DeleteJob("phi3-s0", "u"), DeleteManifest("phi3-m"))

        assert ground.gone == [("jobs", "phi3-s0"), ("configmaps", "phi3-m")]

    def test_a_manifest_is_applied_as_its_owner(self, ground: Ground) -> None:
        wanted = config_map("phi3-m")
        del wanted["metadata"]["uid"], wanted["metadata"]["resourceVersion"]

        ground.do(ApplyManifest(wanted))

        asked = ground.api.last("PATCH", "configmaps")
        assert asked.content == "application/apply-patch+yaml"
        assert asked.query == {"fieldManager": "millwright", "force": "true"}
        assert [kind for kind, _ in ground.taken] == ["configmaps"]


class TestStatus:
    def test_it_is_applied_whole_with_the_object_s_uid(self, ground: Ground) -> None:
        ground.do(WriteStatus(Status(observed_generation=1, phase="Validating")))

        asked = ground.api.last("PATCH", "optimizationjobs/status")
        assert asked.content == "application/apply-patch+yaml"
        assert asked.body is not None
        assert asked.body["metadata"] == {"name": "phi3", "namespace": "team-a", "uid": ground.resource.uid}
        assert asked.body["status"]["observedGeneration"] == 1
        assert "startTime" not in asked.body["status"]

    def test_one_that_must_not_overtake_carries_the_version(self, ground: Ground) -> None:
        version = ground.resource.resource_version

        ground.do(WriteStatus(Status(), resource_version=version))

        body = ground.api.last("PATCH", "optimizationjobs/status").body
        assert body is not None
        assert body["metadata"]["resourceVersion"] == version

    def test_when_it_was_overtaken_nothing_after_it_is_done_and_the_object_is_read_again(self, ground: Ground) -> None:
        old = ground.resource.resource_version
        ground.api.put(OPTJOB, optjob(suspend=True))

        with pytest.raises(Stale):
            ground.do(WriteStatus(Status(), resource_version=old), CreateJob(job("phi3-s0")))

        assert ground.api.verbs() == ["PATCH optimizationjobs/status", "GET optimizationjobs"]
        assert ground.taken[-1][1]["spec"]["suspend"] is True

    def test_another_object_of_the_same_name_does_not_get_it(self, ground: Ground) -> None:
        del ground.api.objects[OPTJOB]
        ground.api.put(OPTJOB, optjob(uid="another"))

        with pytest.raises(Stale):
            ground.do(WriteStatus(Status(phase="Succeeded")))

        assert ground.api.objects[OPTJOB]["status"] == {"observedGeneration": -1}
        assert ground.gone == [("optimizationjobs", "phi3")]

    def test_a_job_that_is_gone_leaves_the_cache(self, ground: Ground) -> None:
        del ground.api.objects[OPTJOB]

        with pytest.raises(Stale):
            ground.do(WriteStatus(Status()))

        assert ground.gone == [("optimizationjobs", "phi3")]


class TestEvents:
    def test_the_same_thing_has_the_same_name(self, ground: Ground) -> None:
        ground.do(Tell("Normal", "Succeeded", "done", "end"), Tell("Normal", "Succeeded", "done", "end"))

        first, second = [a.body for a in ground.api.asked if a.body]
        assert first["metadata"] == second["metadata"]
        assert first["regarding"]["uid"] == UID
        assert first["eventTime"] == "2026-11-21T12:00:00.000000Z"

    @pytest.mark.parametrize("status", [403, 404, 409, 500])
    def test_one_that_cannot_be_posted_stops_nothing(self, ground: Ground, status: int) -> None:
        ground.api.refuse("POST", "events$", status)

        assert ground.do(Tell("Normal", "Succeeded", "done", "end"), LookAgain(7)) == 7

    def test_a_long_message_is_cut_at_a_character(self, ground: Ground) -> None:
        ground.do(Tell("Warning", "Failed", "ü" * 2000, "end"))

        told = ground.api.last("POST", "events").body
        assert told is not None
        assert len(told["note"].encode()) <= 1024
        assert told["note"].endswith("ü…")


class TestAskingWhy:
    """A Job gets no pod, and the Job controller's Events say why."""

    NOTE = 'Error creating: pods "phi3-s0-" is forbidden: exceeded quota'
    EVENTS = "/apis/events.k8s.io/v1/namespaces/team-a/events"

    def event(self, ground: Ground, name: str, note: str, **seen: Any) -> None:
        ground.api.put(f"{self.EVENTS}/{name}", {"metadata": {"name": name}, "note": note, **seen})

    def test_the_latest_counts_and_is_part_of_the_next_look(self, ground: Ground) -> None:
        self.event(ground, "a", self.NOTE, deprecatedLastTimestamp="2026-11-21T11:59:00Z")
        self.event(ground, "b", "of an hour ago", series={"lastObservedTime": "2026-11-21T11:00:00.000001Z"})

        with pytest.raises(Stale):
            ground.do(AskWhy("phi3-s0", "u-s0", since=""))

        assert ground.podless == (Podless("phi3-s0", self.NOTE),)
        assert ground.api.last("GET", "events").query["fieldSelector"] == "reason=FailedCreate,regarding.uid=u-s0"

    @pytest.mark.parametrize("seen", [{"deprecatedLastTimestamp": "2026-11-21T11:00:00Z"}, None])
    def test_what_is_past_or_missing_says_nothing(self, ground: Ground, seen: dict[str, str] | None) -> None:
        if seen:
            self.event(ground, "a", self.NOTE, **seen)

        assert ground.do(AskWhy("phi3-s0", "u-s0", since="2026-11-21T11:30:00Z"), LookAgain(7)) == 7
        assert ground.podless == ()

    def test_it_is_not_asked_again_at_once(self, ground: Ground) -> None:
        question = AskWhy("phi3-s0", "u-s0", since="")

        ground.do(question, question)

        assert ground.api.verbs() == ["GET events"]

    @pytest.mark.parametrize("status", [403, 500])
    def test_that_nobody_answers_stops_nothing(self, ground: Ground, status: int) -> None:
        ground.api.refuse("GET", "events$", status)

        assert ground.do(AskWhy("phi3-s0", "u-s0", since=""), LookAgain(7)) == 7


def actions_of_each_kind() -> Sequence[tuple[str, Callable[[Ground], Action]]]:
    return [
        ("POST", lambda _: CreateJob(job("phi3-s0"))),
        ("PATCH", lambda _: PatchJob("phi3-s0", {"suspend": True})),
        ("DELETE", lambda _: DeleteJob("phi3-s0", "u")),
        ("PATCH", lambda _: ApplyManifest(config_map("phi3-m"))),
        ("PATCH", lambda _: WriteStatus(Status())),
        ("DELETE", lambda _: DeleteManifest("phi3-m")),
    ]


class TestABadDayOfTheApiServer:
    @pytest.mark.parametrize(("verb", "action"), actions_of_each_kind())
    @pytest.mark.parametrize("status", [401, 403, 429, 500, 503])
    def test_a_refusal_ends_the_work_and_says_which_request_it_was(
        self, ground: Ground, verb: str, action: Callable[[Ground], Action], status: int
    ) -> None:
        ground.api.refuse(verb, ".*", status, after="3", reason="Because", message="of that")

        with pytest.raises(ApiError, match=rf"{verb} /.*HTTP {status} Because: of that") as refused:
            ground.do(action(ground), CreateJob(job("phi3-s1")))

        assert (refused.value.status, refused.value.retry_after) == (status, 3.0)
        assert f"{JOBS}/phi3-s1" not in ground.api.objects

    def test_one_that_is_away_is_an_error_like_others(self, ground: Ground) -> None:
        async def main() -> None:
            async with serving(ground.api) as cluster:
                cluster._client.configuration.host = "http://127.0.0.1:1"
                await cluster.ask("GET", "/version")

        with pytest.raises(ApiError) as away:
            asyncio.run(main())

        assert (away.value.status, away.value.reason) == (0, "Unreachable")

    def test_an_answer_that_is_no_json_is_shown(self, ground: Ground) -> None:
        ground.api.refusals.clear()

        error = refusal_of(ground, lambda cluster: cluster.ask("GET", "/nothing/here"))

        assert error.status == 404


class TestLists:
    def test_a_long_list_is_read_in_pages_as_of_one_moment(self, ground: Ground) -> None:
        ground.api.page = 7
        for number in range(20):
            ground.api.put(f"{PODS}/p{number:02}", pod(f"p{number:02}"))

        async def main() -> tuple[int, int]:
            async with serving(ground.api) as cluster:
                listed = await cluster.list("pods", "team-a", "millwright.dev/job=phi3")
                return len(listed.items), listed.version

        assert asyncio.run(main()) == (20, ground.api.version)
        assert ground.api.verbs() == ["GET pods"] * 3


def refusal_of(ground: Ground, ask: Callable[[Any], Awaitable[object]]) -> ApiError:
    async def main() -> ApiError:
        async with serving(ground.api) as cluster:
            with pytest.raises(ApiError) as refused:
                await ask(cluster)
            return refused.value

    return asyncio.run(main())
