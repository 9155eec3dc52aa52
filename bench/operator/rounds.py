"""The rounds: each drives the operator for a while and returns its figures."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import operator_pod
from apiserver import ApiServer, until
from figures import Figure, operator_writes, percentile
from operator_pod import Reading
from samples import ENDS, HELD, STAYS, job

from millwright_api.names import LABEL_JOB, LABEL_ROLE

JOBS = "/apis/millwright.dev/v1alpha1/namespaces/{}/optimizationjobs"
BATCH = "/apis/batch/v1/namespaces/{}/jobs"
SETTLED_SECONDS = 3.0
"""Without a write for so long, the operator has nothing left to do: longer than any of its own waits for a write."""


@dataclass
class Seen:
    """What the watches have shown, by the OptimizationJob's name, as seconds on the monotonic clock.

    Attributes:
        first_job: when its first Job was there.
        running: when its stage's Job had a pod.
        complete: when its last Job became Complete.
        terminal: when its status became Finished.
        bad: jobs that ended otherwise than Complete, with why.
    """

    first_job: dict[str, float] = field(default_factory=dict)
    running: dict[str, float] = field(default_factory=dict)
    complete: dict[str, float] = field(default_factory=dict)
    terminal: dict[str, float] = field(default_factory=dict)
    bad: dict[str, str] = field(default_factory=dict)

    def batch(self, at: float, kind: str, found: dict[str, Any]) -> None:
        """Takes a Job as a watch showed it."""
        name = found["metadata"].get("labels", {}).get(LABEL_JOB)
        if name is None or kind == "DELETED":
            return
        self.first_job.setdefault(name, at)
        if found["metadata"]["labels"].get(LABEL_ROLE) != "stage":
            return
        if found["status"].get("active"):
            self.running.setdefault(name, at)
        if _true(found, "Complete") and found["metadata"]["name"] not in self._ended:
            self._ended.add(found["metadata"]["name"])
            self.complete[name] = at

    def resource(self, at: float, kind: str, found: dict[str, Any]) -> None:
        """Takes an OptimizationJob as a watch showed it."""
        name = found["metadata"]["name"]
        if kind == "DELETED" or not _true(found, "Finished"):
            stalled = _condition(found, "Stalled")
            if stalled and stalled["status"] == "True":
                self.bad[name] = f"{stalled['reason']}: {stalled.get('message')}"
            return
        self.terminal.setdefault(name, at)
        if not _true(found, "Complete"):
            self.bad[name] = str(_condition(found, "Failed"))

    def __post_init__(self) -> None:
        self._ended: set[str] = set()


def _condition(found: dict[str, Any], kind: str) -> dict[str, Any] | None:
    conditions = found.get("status", {}).get("conditions", [])
    return next((condition for condition in conditions if condition["type"] == kind), None)


def _true(found: dict[str, Any], kind: str) -> bool:
    condition = _condition(found, kind)
    return condition is not None and condition["status"] == "True"


@contextlib.asynccontextmanager
async def watching(api: ApiServer, namespace: str) -> Any:
    """Yields a Seen that two watches keep up to date."""
    seen = Seen()

    async def follow(path: str, take: Any) -> None:
        async for at, kind, found in api.watch(path.format(namespace)):
            take(at, kind, found)

    tasks = [asyncio.create_task(follow(BATCH, seen.batch)), asyncio.create_task(follow(JOBS, seen.resource))]
    await asyncio.sleep(0.5)  # both watches are open before anything is applied
    try:
        yield seen
    finally:
        for task in tasks:
            task.cancel()
        for ended in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(ended, Exception):
                raise ended


async def settled(api: ApiServer) -> Counter[str]:
    """Waits until the operator writes nothing any more; returns all that it has written so far."""
    last, since = operator_writes(await api.text("/metrics")), time.monotonic()
    while time.monotonic() - since < SETTLED_SECONDS:
        await asyncio.sleep(0.5)
        now = operator_writes(await api.text("/metrics"))
        if now != last:
            last, since = now, time.monotonic()
    return last


async def pace(api: ApiServer, namespace: str, count: int, rate: float) -> list[Figure]:
    """Applies jobs at a steady rate: how soon does each have its first Job? Their preflights run for ever, so that the
    API server has nothing else to do than what is measured."""
    async with watching(api, namespace) as seen:
        sent = await _apply(api, namespace, [f"{HELD}{number}" for number in range(count)], rate)
        await until(f"{count} jobs to have a Job", lambda: len(seen.first_job) >= count, 120)
    _demand_good(seen)
    waits = [seen.first_job[name] - at for name, at in sent.items()]
    how = f"{count} jobs, {rate:g}/s"
    return [
        Figure("apply → first Job, p50", percentile(waits, 50) * 1000, "ms", 300, how),
        Figure("apply → first Job, p99", percentile(waits, 99) * 1000, "ms", 2000, how),
    ]


async def lives(api: ApiServer, namespace: str, count: int, rate: float) -> list[Figure]:
    """Applies jobs at a steady rate that run through, with pods that end at once: how soon is the end known?"""
    (pod,) = await operator_pod.pods(api)
    before = await operator_pod.read(api, pod)
    async with watching(api, namespace) as seen:
        sent = await _apply(api, namespace, [f"through-{number}" for number in range(count)], rate)
        await until(f"{count} jobs to end", lambda: len(seen.terminal) + len(seen.bad) >= count, 120)
    _demand_good(seen)
    cpu = (await operator_pod.read(api, pod)).cpu - before.cpu
    ends = [max(0.0, seen.terminal[name] - seen.complete[name]) for name in sent]
    whole = [seen.terminal[name] - at for name, at in sent.items()]
    how = f"{count} jobs, {rate:g}/s"
    return [
        Figure("Job Complete → status terminal, p99", percentile(ends, 99), "s", 5, how),
        Figure("apply → status terminal, p50", percentile(whole, 50), "s", None, "pods that end at once"),
        Figure("the operator's CPU for a job's life", cpu / count * 1000, "ms", None, how),
    ]


async def _apply(api: ApiServer, namespace: str, names: list[str], rate: float) -> dict[str, float]:
    """Applies jobs at a steady rate, however long each request takes; returns when each was sent."""
    sent: dict[str, float] = {}

    async def one(number: int, name: str) -> None:
        await asyncio.sleep(number / rate)
        sent[name] = time.monotonic()
        await api.create(JOBS.format(namespace), job(name, namespace, ENDS))

    await asyncio.gather(*(one(number, name) for number, name in enumerate(names)))
    return sent


async def writes(api: ApiServer, namespace: str, count: int) -> list[Figure]:
    """Counts the operator's writes in the life of a job with one stage, and with two."""
    figures = []
    for stages, goal in ((1, 12), (2, 16)):
        before = await settled(api)
        async with watching(api, namespace) as seen:
            for number in range(count):
                await api.create(JOBS.format(namespace), job(f"life-{stages}-{number}", namespace, ENDS, stages))
            await until(f"{count} jobs to end", lambda: len(seen.terminal) + len(seen.bad) >= count, 120)
            after = await settled(api)
        _demand_good(seen)
        each = {kind: number / count for kind, number in (after - before).items()}
        note = ", ".join(f"{kind} {number:g}" for kind, number in sorted(each.items()))
        figures.append(Figure(f"API writes, {stages} stage{'s'[: stages - 1]}", sum(each.values()), "", goal, note))
    return figures


async def burst(api: ApiServer, namespace: str, count: int) -> list[Figure]:
    """Applies many at once, for nodes where pods keep running."""
    async with watching(api, namespace) as seen:
        began = time.monotonic()
        gate = asyncio.Semaphore(32)

        async def apply(number: int) -> None:
            async with gate:
                await api.create(JOBS.format(namespace), job(f"live-{number}", namespace, STAYS))

        await asyncio.gather(*(apply(number) for number in range(count)))
        applied = time.monotonic() - began
        await until(f"{count} jobs to have a Job", lambda: len(seen.first_job) >= count, 300)
        first = max(seen.first_job.values()) - began
        await until(f"{count} stages to run", lambda: len(seen.running) + len(seen.bad) >= count, 600)
        running = max(seen.running.values()) - began
    _demand_good(seen)
    return [
        Figure(
            f"{count} applied at once: all have their Job", first, "s", 60 * count / 1000, f"applied in {applied:.1f} s"
        ),
        Figure(f"{count} applied at once: all stages run", running, "s"),
    ]


async def idle(api: ApiServer, count: int, seconds: float) -> list[Figure]:
    """Watches the operator while nothing changes."""
    (pod,) = await operator_pod.pods(api)
    before = await settled(api)
    first = await operator_pod.read(api, pod)
    await asyncio.sleep(seconds)
    last = await operator_pod.read(api, pod)
    after = operator_writes(await api.text("/metrics"))
    cpu = 100 * (last.cpu - first.cpu) / (last.at - first.at)
    return [
        Figure(f"idle with {count} live jobs: RSS", last.rss / (1 << 20), "MiB", 200),
        Figure(f"idle with {count} live jobs: CPU", cpu, "% of a core", 2, f"over {last.at - first.at:.0f} s"),
        _unasked(f"idle with {count} live jobs: writes", after - before),
    ]


async def restart(api: ApiServer, count: int) -> list[Figure]:
    """Replaces the operator's pod: how long until the new one has looked at all, and what did it write?"""
    before = await settled(api)
    (old,) = await operator_pod.pods(api)
    began = time.monotonic()
    await api.delete(f"/api/v1/namespaces/{operator_pod.NAMESPACE}/pods/{old}")
    reading: Reading | None = None
    while reading is None or reading.reconciles < count or reading.waiting:
        if time.monotonic() - began > 120:
            raise RuntimeError(f"waited 120 s for a new operator to reconcile {count} jobs; at last {reading}")
        await asyncio.sleep(0.1)
        with contextlib.suppress(RuntimeError):
            for pod in [name for name in await operator_pod.pods(api) if name != old]:
                reading = await operator_pod.read(api, pod)
    whole = time.monotonic() - began
    wrote = (await settled(api)) - before
    return [
        Figure(
            f"restart with {count} live jobs: reconciled",
            reading.at - reading.started,
            "s",
            15,
            f"{whole:.1f} s from deletion",
        ),
        _unasked(f"restart with {count} live jobs: writes", wrote),
    ]


def _unasked(name: str, wrote: Counter[str]) -> Figure:
    """Writes where none should be."""
    return Figure(name, sum(wrote.values()), "", 0, ", ".join(f"{kind} {number}" for kind, number in wrote.items()))


def _demand_good(seen: Seen) -> None:
    if seen.bad:
        name, why = next(iter(seen.bad.items()))
        raise RuntimeError(f"{len(seen.bad)} jobs did not succeed, as {name}: {why}")
