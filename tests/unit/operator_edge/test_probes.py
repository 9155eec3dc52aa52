"""What the kubelet and Prometheus are told."""

from __future__ import annotations

import asyncio

import aiohttp
from aiohttp import web
from tests.unit.operator_edge.bodies import optjob

from millwright_operator import seen
from millwright_operator.app import listening
from millwright_operator.metrics import Metrics
from millwright_operator.probes import SILENT_SECONDS, STUCK_SECONDS, Health, exposition, probes


def get(application: web.Application, path: str) -> tuple[int, str]:
    async def main() -> tuple[int, str]:
        async with (
            listening(application, 0, "test") as port,
            aiohttp.ClientSession() as session,
            session.get(f"http://localhost:{port}{path}") as answer,
        ):
            return answer.status, await answer.text()

    return asyncio.run(main())


class TestReady:
    def test_not_before_what_there_is_was_read(self) -> None:
        assert get(probes(Health(ready="reading what there is")), "/readyz") == (503, "reading what there is")

    def test_a_standby_and_a_leader_are(self) -> None:
        assert get(probes(Health(ready="")), "/readyz") == (200, "ok")


class TestAlive:
    def test_also_while_it_is_not_ready(self) -> None:
        assert get(probes(Health(ready="starting")), "/healthz") == (200, "ok")

    def test_not_when_a_reconcile_hangs(self) -> None:
        status, why = get(probes(Health(longest=lambda: STUCK_SECONDS + 1)), "/healthz")

        assert (status, why) == (503, "a reconcile has not ended for 301 s")

    def test_not_when_a_watch_is_silent_about_what_changed(self) -> None:
        status, why = get(probes(Health(silence=lambda: SILENT_SECONDS + 5)), "/healthz")

        assert status == 503
        assert "silent for 125 s" in why

    def test_long_work_and_short_silence_are_no_illness(self) -> None:
        health = Health(longest=lambda: STUCK_SECONDS - 1, silence=lambda: SILENT_SECONDS - 1)

        assert get(probes(health), "/healthz") == (200, "ok")


class TestMetrics:
    def test_they_are_exposed_as_prometheus_reads_them(self) -> None:
        metrics = Metrics()
        metrics.reconciles.inc()
        metrics.wrote("job-create")
        body = optjob()
        body["status"] = {"observedGeneration": 1, "phase": "Running"}
        metrics.watch(lambda: 3, lambda: [seen.resource(body), seen.resource(optjob("other"))])

        _, text = get(exposition(metrics), "/metrics")

        lines = text.splitlines()
        assert "millwright_reconciles_total 1.0" in lines
        assert 'millwright_writes_total{kind="job-create"} 1.0' in lines
        assert "millwright_queue_depth 3.0" in lines
        assert 'millwright_jobs{phase="Running"} 1.0' in lines
        assert 'millwright_jobs{phase="Failed"} 0.0' in lines
