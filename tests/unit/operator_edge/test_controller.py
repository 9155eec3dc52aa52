"""From what is seen to what is done, with the real reconcile and an API server on loopback."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from tests.unit.operator_edge.bodies import Body, job, optjob, pod
from tests.unit.operator_edge.fake_api import FakeApi, serving
from tests.unit.operator_edge.test_deeds import JOBS, MAPS, OPTJOB, PODS

from millwright_api.report import Progress, RunReport
from millwright_operator import controller as controller_module
from millwright_operator.cache import Kind
from millwright_operator.controller import Controller
from millwright_operator.metrics import Metrics
from millwright_operator.observed import Heard, Key
from millwright_operator.platform import Platform

PHI3 = Key("team-a", "phi3")
PLATFORM = Platform(runner_image="runner:1", preflight_image="light:1", azure_image="azure:1")
NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
Play = Callable[[Controller], Awaitable[None]]


def play(api: FakeApi, script: Play, namespaces: tuple[str, ...] = ("team-a",)) -> Metrics:
    """Runs a controller against the API while a script plays."""
    metrics = Metrics()

    async def main() -> None:
        async with serving(api) as cluster:
            controller = Controller(cluster, PLATFORM, metrics, namespaces=namespaces, workers=4, now=lambda: NOON)
            working = asyncio.create_task(controller.queue.run())
            try:
                await script(controller)
            finally:
                working.cancel()

    asyncio.run(main())
    return metrics


async def quiet(controller: Controller) -> None:
    """Waits until nothing is to be done any more."""
    calm = 0
    while calm < 5:
        await asyncio.sleep(0.01)
        calm = 0 if controller.queue.depth or controller.queue.busy else calm + 1


async def listed(controller: Controller) -> None:
    """Reads what there is, and does what is to be done."""
    await controller.resync()
    await quiet(controller)


def writes(api: FakeApi) -> list[str]:
    return [verb for verb in api.verbs() if not verb.startswith("GET") and "events" not in verb]


@pytest.fixture
def api() -> FakeApi:
    found = FakeApi()
    found.put(OPTJOB, optjob())
    return found


class TestAJobThatIsRefused:
    def test_its_status_says_so_until_it_is_taken(self, api: FakeApi) -> None:
        words = "jobs.batch is forbidden: exceeded quota: count/jobs.batch=0"
        api.refuse("POST", "jobs$", 403, times=2, reason="Forbidden", message=words)
        said: list[str] = []

        async def script(controller: Controller) -> None:
            await controller.resync()
            while not any(path.startswith(JOBS) for path in api.objects):
                await asyncio.sleep(0.01)
                ready = api.objects[OPTJOB].get("status", {}).get("conditions", [{}])[0]
                said.append(f"{ready.get('reason')}: {ready.get('message')}")
            controller.seen("optimizationjobs", "MODIFIED", api.objects[OPTJOB])
            await quiet(controller)

        play(api, script)

        (refused,) = {text for text in said if text.startswith("JobNotCreated")}
        assert words in refused
        assert api.objects[OPTJOB]["status"]["conditions"][0]["reason"] == "Validating"


class TestANewJob:
    def test_it_gets_its_manifest_and_its_preflight(self, api: FakeApi) -> None:
        play(api, listed)

        assert "POST jobs" in writes(api)
        (preflight,) = [body for path, body in api.objects.items() if path.startswith(JOBS)]
        assert preflight["metadata"]["labels"]["millwright.dev/role"] == "preflight"
        assert [path for path in api.objects if path.startswith(MAPS)] != []
        assert api.objects[OPTJOB]["status"]["phase"] == "Validating"

    def test_looking_again_writes_nothing(self, api: FakeApi) -> None:
        play(api, listed)
        before = len(writes(api))

        play(api, listed)  # another process: it remembers nothing

        assert len(writes(api)) == before

    def test_a_watch_that_says_it_all_again_writes_nothing(self, api: FakeApi) -> None:
        async def script(controller: Controller) -> None:
            await listed(controller)
            before = len(writes(api))
            for _ in range(3):
                controller.seen("optimizationjobs", None, api.objects[OPTJOB])
            await quiet(controller)
            assert len(writes(api)) == before

        play(api, script)

    def test_children_are_read_before_jobs_so_that_none_looks_lost(self, api: FakeApi) -> None:
        play(api, listed)

        assert api.verbs()[:4] == ["GET configmaps", "GET pods", "GET jobs", "GET optimizationjobs"]

    def test_all_namespaces_are_read_at_once_when_none_is_named(self, api: FakeApi) -> None:
        play(api, listed, namespaces=())

        assert [a.path for a in api.asked[:4]] == [
            "/api/v1/configmaps",
            "/api/v1/pods",
            "/apis/batch/v1/jobs",
            "/apis/millwright.dev/v1alpha1/optimizationjobs",
        ]
        assert [a.query.get("labelSelector") for a in api.asked[:4]] == ["millwright.dev/job"] * 3 + [None]


class TestASearch:
    def searched(self, api: FakeApi) -> None:
        """A search that nobody has looked at yet."""
        search = {
            "parameters": [{"pass": "merge", "option": "dtype", "choice": ["float16", "float32"]}],
            "objectives": [{"metric": "size", "direction": "Minimize"}],
        }
        measured = {"metrics": [{"name": "size", "sizeOnDisk": {}}]}
        api.put(OPTJOB, optjob(version=2, search=search, evaluation=measured))

    def test_is_decided_on_in_a_thread_while_others_go_on(self, api: FakeApi, monkeypatch: pytest.MonkeyPatch) -> None:
        self.searched(api)
        threads: list[bool] = []
        real = controller_module.reconcile

        def noted(*given: Any, **named: Any) -> Any:
            threads.append(threading.current_thread() is threading.main_thread())
            return real(*given, **named)

        monkeypatch.setattr(controller_module, "reconcile", noted)

        play(api, listed)

        assert threads != []
        assert not any(threads)
        assert api.objects[OPTJOB]["status"]["phase"] == "Validating"

    def test_its_trials_become_jobs(self, api: FakeApi) -> None:
        self.searched(api)
        play(api, listed)
        (path,) = [path for path in api.objects if path.startswith(JOBS)]
        done = [{"type": "Complete", "status": "True", "lastTransitionTime": "2026-11-21T11:00:00Z"}]
        api.put(path, api.objects[path] | {"status": {"conditions": done}})

        play(api, listed)

        trials = [
            body
            for path, body in api.objects.items()
            if path.startswith(JOBS) and body["metadata"]["labels"]["millwright.dev/role"] == "trial"
        ]
        assert [t["metadata"]["labels"]["millwright.dev/segment"] for t in trials] != []
        assert api.objects[OPTJOB]["status"]["search"]["summary"] == "0/2"


class TestBadDays:
    @pytest.mark.parametrize("status", [429, 500, 503])
    def test_a_refusal_is_tried_again_until_it_is_done(self, api: FakeApi, status: int) -> None:
        api.refuse("POST", "jobs$", status, times=2)

        async def script(controller: Controller) -> None:
            await controller.resync()
            while "Validating" not in str(api.objects[OPTJOB]["status"]) or not any(
                path.startswith(JOBS) for path in api.objects
            ):
                await asyncio.sleep(0.01)
            await quiet(controller)

        metrics = play(api, script)

        assert writes(api).count("POST jobs") == 3
        assert (
            sum(s.value for m in metrics.registry.collect() for s in m.samples if s.name.endswith("errors_total")) == 2
        )

    def test_an_edit_that_came_between_is_read_and_respected(self, api: FakeApi) -> None:
        async def script(controller: Controller) -> None:
            await controller.resync()
            api.put(OPTJOB, api.objects[OPTJOB] | {"spec": optjob(suspend=True)["spec"]})
            await quiet(controller)
            controller.seen("optimizationjobs", "MODIFIED", api.objects[OPTJOB])
            await quiet(controller)

        play(api, script)

        assert api.objects[OPTJOB]["status"]["phase"] == "Suspended"

    def test_a_job_that_is_gone_is_let_go(self, api: FakeApi) -> None:
        async def script(controller: Controller) -> None:
            await listed(controller)
            controller.seen("optimizationjobs", "DELETED", api.objects[OPTJOB])
            before = len(writes(api))
            controller.seen("jobs", "MODIFIED", job("phi3-s0", version=10**6))
            await quiet(controller)
            assert controller.cache.resource(PHI3) is None
            assert len(writes(api)) == before

        play(api, script)

    def test_what_no_watch_brought_is_found_by_comparing(self, api: FakeApi) -> None:
        async def script(controller: Controller) -> None:
            await listed(controller)
            (path,) = [path for path in api.objects if path.startswith(JOBS)]
            del api.objects[path]
            api.version += 1
            assert await controller.resync() == 1
            await quiet(controller)

        play(api, script)

        assert [path for path in api.objects if path.startswith(JOBS)] != []

    def test_a_comparison_that_is_refused_changes_nothing(self, api: FakeApi) -> None:
        api.refuse("GET", "pods$", 403, reason="Forbidden", message="pods is forbidden")

        async def script(controller: Controller) -> None:
            with pytest.raises(Exception, match="GET /api/v1/namespaces/team-a/pods: HTTP 403 Forbidden"):
                await controller.resync()
            await quiet(controller)

        play(api, script)

        assert writes(api) == []


async def running(controller: Controller, api: FakeApi) -> None:
    """Lets the preflight end well and the stage's pod run."""
    await listed(controller)
    (preflight,) = jobs_of(api, "preflight")
    report = RunReport(outcome="Succeeded", reason="Succeeded", exit_code=0).termination_message()
    ended = {"terminated": {"exitCode": 0, "reason": "Completed", "message": report}}
    see(controller, api, "pods", a_pod(preflight, "preflight", "Succeeded", ended))
    done = [{"type": "Complete", "status": "True", "lastTransitionTime": "2026-11-21T11:59:00Z"}]
    see(controller, api, "jobs", preflight | {"status": {"succeeded": 1, "conditions": done}})
    await quiet(controller)
    (stage,) = jobs_of(api, "stage")
    see(controller, api, "jobs", stage | {"status": {"active": 1, "startTime": "2026-11-21T12:00:00Z"}})
    see(controller, api, "pods", a_pod(stage, "stage", "Running", {"running": {"startedAt": "2026-11-21T12:00:01Z"}}))
    await quiet(controller)
    assert api.objects[OPTJOB]["status"]["phase"] == "Running"


def jobs_of(api: FakeApi, role: str) -> list[Body]:
    found = [body for path, body in api.objects.items() if path.startswith(JOBS)]
    return [body for body in found if body["metadata"]["labels"]["millwright.dev/role"] == role]


def a_pod(of: Body, role: str, phase: str, state: Body) -> Body:
    found = pod(f"{role}-pod", uid=f"{role}-uid", phase=phase, role=role)
    found["metadata"]["ownerReferences"][0]["name"] = of["metadata"]["name"]
    found["status"]["containerStatuses"] = [{"name": "runner", "state": state}]
    return found


def see(controller: Controller, api: FakeApi, kind: Kind, body: Body) -> None:
    folder = {"jobs": JOBS, "pods": PODS}[kind]
    controller.seen(kind, "MODIFIED", api.put(f"{folder}/{body['metadata']['name']}", body))


class TestProgress:
    def test_many_reports_make_one_status_write(self, api: FakeApi) -> None:
        async def script(controller: Controller) -> None:
            await running(controller, api)
            before = len(writes(api))
            for done in range(50):
                said = Progress(step_name="merge", step_index=0, steps=1, done=done, total=50)
                controller.heard(PHI3, Heard(said, "stage-uid", NOON))
                await asyncio.sleep(0.002)
            await quiet(controller)
            assert len(writes(api)) - before <= 1

        play(api, script)

    def test_a_report_is_in_the_status_when_its_time_has_come(self, api: FakeApi) -> None:
        async def script(controller: Controller) -> None:
            await running(controller, api)
            controller._pace.forget(PHI3)
            said = Progress(step_name="merge", step_index=0, steps=1, done=5, total=50)
            controller.heard(PHI3, Heard(said, "stage-uid", NOON))
            await quiet(controller)

        play(api, script)

        assert api.objects[OPTJOB]["status"]["progress"]["step"] == 5

    def test_a_renewed_ca_reaches_pods_that_run(self, api: FakeApi) -> None:
        async def script(controller: Controller) -> None:
            await running(controller, api)
            reporting = replace(PLATFORM, progress_url="https://p:8443/v1/progress", progress_ca="NEW CA")
            controller.change_platform(reporting)
            await quiet(controller)

        play(api, script)

        (manifest,) = [body for path, body in api.objects.items() if path.startswith(MAPS)]
        assert manifest["data"]["ca.crt"] == "NEW CA"

    def test_the_same_platform_again_is_no_news(self, api: FakeApi) -> None:
        async def script(controller: Controller) -> None:
            await listed(controller)
            controller.change_platform(replace(PLATFORM))
            assert controller.queue.depth == 0

        play(api, script)
