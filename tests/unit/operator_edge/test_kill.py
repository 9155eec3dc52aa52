"""The operator dies at any of its requests, before or after the API server has taken it: another one goes on, nothing is
done twice, and the job ends as if nothing had been."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web
from tests.unit.operator_edge.bodies import Body, optjob, pod
from tests.unit.operator_edge.fake_api import Asked, FakeApi, serving
from tests.unit.operator_edge.test_controller import NOON, PLATFORM, quiet
from tests.unit.operator_edge.test_deeds import JOBS, OPTJOB, PODS

from millwright_api.report import ArtifactReport, PassReport, RunReport
from millwright_operator.controller import Controller
from millwright_operator.metrics import Metrics

TWO_STAGES = [{"merge": {}}, {"name": "compress", "genai": {}, "resources": {"limits": {"cpu": "4"}}}]


class Killed(Exception):
    """The process is gone."""


@dataclass
class Dying(FakeApi):
    """An API server whose client dies at a request of its choice.

    Attributes:
        left: requests until then.
        after: whether the request was still done.
    """

    left: int = 10**9
    after: bool = False
    killed: asyncio.Event = field(default_factory=asyncio.Event)

    async def answer(self, request: web.Request) -> web.Response:
        if self.killed.is_set():
            await asyncio.Event().wait()  # nobody is there to be answered
        self.left -= 1
        if self.left == 0 and not self.after:
            self.killed.set()
            await asyncio.Event().wait()
        answer = await super().answer(request)
        if self.left == 0:
            self.killed.set()
            await asyncio.Event().wait()
        return answer


def kubelet(api: FakeApi) -> bool:
    """Lets each Job that has no pod have one that ends well; returns whether there was one."""
    for path, job in list(api.objects.items()):
        if not path.startswith(JOBS) or job.get("status", {}).get("conditions"):
            continue
        name, labels = job["metadata"]["name"], job["metadata"]["labels"]
        api.put(f"{PODS}/{name}-a", ended_pod(name, labels))
        done = [{"type": "Complete", "status": "True", "lastTransitionTime": "2026-11-21T12:00:00Z"}]
        api.put(path, job | {"status": {"succeeded": 1, "conditions": done}})
        return True
    return False


def ended_pod(job: str, labels: Body) -> Body:
    role, stage = labels["millwright.dev/role"], labels.get("millwright.dev/stage", "0")
    step = ["merge", "compress"][int(stage)]
    done = [
        PassReport.model_validate({"name": step, "pass": step, "phase": "Succeeded", "cache": "Miss", "key": "a" * 64})
    ]
    made = ArtifactReport(uri="s3://team-a/models/m/", format="hf", digest="b" * 64, bytes=1, files=1)
    report = RunReport(
        outcome="Succeeded",
        reason="Succeeded",
        exit_code=0,
        fingerprint="c" * 64,
        passes=done if role == "stage" else [],
        artifact=made if (role, stage) == ("stage", "1") else None,
    )
    found = pod(f"{job}-a", phase="Succeeded", role=role)
    found["metadata"]["labels"] = labels
    found["metadata"]["ownerReferences"] = [{"kind": "Job", "name": job}]
    state = {"terminated": {"exitCode": 0, "reason": "Completed", "message": report.termination_message()}}
    found["status"]["containerStatuses"] = [{"name": "runner", "state": state}]
    return found


async def life(api: Dying) -> None:
    """One operator after the other, until the job has ended; each reads what there is and works until it dies."""
    for _ in range(40):
        async with serving(api) as cluster:
            controller = Controller(cluster, PLATFORM, Metrics(), namespaces=("team-a",), workers=4, now=lambda: NOON)
            working = asyncio.ensure_future(one_life(api, controller))
            dying = asyncio.ensure_future(api.killed.wait())
            await asyncio.wait([working, dying], return_when=asyncio.FIRST_COMPLETED)
            for task in (working, dying):
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
        if not api.killed.is_set():
            return
        api.killed.clear()
    raise AssertionError("it never ended")


async def one_life(api: FakeApi, controller: Controller) -> None:
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        working = group.create_task(controller.queue.run())
        await controller.resync()
        await quiet(controller)
        while kubelet(api):
            await controller.resync()
            await quiet(controller)
        working.cancel()


def fresh(left: int = 10**9, *, after: bool = False) -> Dying:
    api = Dying(left=left, after=after)
    api.put(OPTJOB, optjob(passes=TWO_STAGES))
    return api


def outcome(api: FakeApi) -> dict[str, Any]:
    """How it ended, without what may differ."""
    status = api.objects[OPTJOB]["status"]
    kept = {key: status.get(key) for key in ("phase", "artifacts", "fingerprint", "attempts", "passes", "startTime")}
    conditions = {c["type"]: (c["status"], c["reason"]) for c in status["conditions"]}
    return kept | {"conditions": conditions}


def created(api: FakeApi) -> list[str]:
    return sorted(path.rsplit("-", 1)[1] for path in api.objects if path.startswith(JOBS))


def undisturbed() -> Dying:
    api = fresh()
    asyncio.run(life(api))
    return api


@pytest.fixture(scope="module")
def straight() -> Dying:
    """A life without trouble, to compare with."""
    return undisturbed()


REQUESTS = 26
"""More than an undisturbed life takes; see the first test."""

LAST = 31
"""The same with the lists among them: an operator dies at each other request up to this one."""


class TestALifeWithoutTrouble:
    def test_ends_well_with_one_job_for_each_stage_in_few_requests(self) -> None:
        api = undisturbed()

        assert outcome(api)["phase"] == "Succeeded"
        assert created(api) == ["p", "s0", "s1"]
        asked = [a for a in api.asked if not is_list(a)]
        assert len(asked) <= REQUESTS
        assert len(api.asked) <= LAST

    def test_costs_at_most_twelve_writes_and_four_for_a_further_stage(self) -> None:
        api = undisturbed()

        writes = [verb for verb in api.verbs() if not verb.startswith("GET") and "events" not in verb]
        assert len(writes) <= 12 + 4


class TestDying:
    @pytest.mark.parametrize("after", [False, True], ids=["before it is taken", "after it is taken"])
    @pytest.mark.parametrize("request_number", range(1, LAST + 1, 2))
    def test_at_any_request_ends_in_the_same_place(self, straight: Dying, request_number: int, after: bool) -> None:
        api = fresh(request_number, after=after)

        asyncio.run(life(api))

        assert outcome(api) == outcome(straight)
        assert created(api) == ["p", "s0", "s1"]
        assert len([a for a in api.asked if a.verb == "POST" and a.path == JOBS]) == 3


def is_list(asked: Asked) -> bool:
    return asked.verb == "GET" and asked.path.rsplit("/", 1)[1] in ("pods", "jobs", "configmaps", "optimizationjobs")


ON_AZURE = {"azureML": {"compute": "gpus", "environment": {"image": "registry/runner:1"}}}


def leaving(left: int = 10**9, *, after: bool = False) -> Dying:
    """A job on Azure ML whose courier is at work, and which was deleted."""
    api = Dying()
    api.put(OPTJOB, optjob(execution=ON_AZURE))
    asyncio.run(until_it_works(api))
    meta = api.objects[OPTJOB]["metadata"] | {"deletionTimestamp": "2026-11-21T12:00:00Z"}
    api.put(OPTJOB, api.objects[OPTJOB] | {"metadata": meta})
    api.asked.clear()
    api.left, api.after = left, after
    return api


async def until_it_works(api: Dying) -> None:
    async with serving(api) as cluster:
        controller = Controller(cluster, PLATFORM, Metrics(), namespaces=("team-a",), workers=4, now=lambda: NOON)
        async with asyncio.timeout(20), asyncio.TaskGroup() as group:
            working = group.create_task(controller.queue.run())
            while not [path for path in api.objects if path.startswith(JOBS) and path.endswith("-s0")]:
                await controller.resync()
                await quiet(controller)
                kubelet(api)
            working.cancel()
    for path in [path for path in api.objects if path.startswith(JOBS) and path.endswith("-s0")]:
        del api.objects[path]["status"]["conditions"]
        api.put(path, api.objects[path])


class TestDyingWhileAJobIsDeleted:
    def test_undisturbed_it_takes_few_requests_and_one_job_that_cancels(self) -> None:
        api = leaving()

        asyncio.run(life(api))

        writes = [verb for verb in api.verbs() if not verb.startswith("GET")]
        assert writes == [
            "DELETE jobs", "PATCH optimizationjobs", "POST jobs", "PATCH configmaps", "DELETE jobs", "PATCH optimizationjobs",
        ]  # fmt: skip
        assert api.objects.keys() <= {path for path in api.objects if "/pods/" in path}

    @pytest.mark.parametrize("after", [False, True], ids=["before it is taken", "after it is taken"])
    @pytest.mark.parametrize("request_number", range(1, 15, 2))
    def test_at_any_request_nothing_is_left(self, request_number: int, after: bool) -> None:
        api = leaving(request_number, after=after)

        asyncio.run(life(api))

        assert api.objects.keys() <= {path for path in api.objects if "/pods/" in path}
        assert [a for a in api.asked if a.verb == "POST" and a.path == JOBS] != []
