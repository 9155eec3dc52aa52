"""Any order, repetition and loss of what is seen ends in the same place; what must never happen does not."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.operator.simulated import Cluster, on_azure, spec, two_stages

from millwright_api.report import EvaluationReport, MetricReport
from millwright_operator import seen
from millwright_operator.asking import Memory
from millwright_operator.observed import Children, Resource

DISTURBANCES = (
    "tick",
    "look",
    "look twice",
    "look at the old",
    "look half",
    "restart",
    "suspend",
    "resume",
    "raise retry",
    "close queue",
    "open queue",
)
"""What costs no attempt."""

CALAMITIES = (
    *DISTURBANCES,
    "delete pod",
    "delete stage job",
    "delete any job",
    "delete manifest",
    "delete preflight",
    "delete and look before pods are seen",
)

FATES = ("success", "1", "2", "3", "75", "143", "oom", "evict", "hang")


def kept(body: dict[str, Any]) -> dict[str, Any]:
    """A copy of an object as deep as the simulation ever changes one: what lies deeper is replaced, not changed."""
    return body | {part: dict(body[part]) for part in ("metadata", "spec", "status") if part in body}


@dataclass
class Watches:
    """What the operator's memory holds: for each kind some state that once was, never older than before."""

    cluster: Cluster
    history: dict[str, list[Any]] = field(default_factory=lambda: {k: [] for k in ("resource", "jobs", "pods", "maps")})
    at: dict[str, int] = field(default_factory=dict)

    def record(self) -> None:
        """Keeps what is there now."""
        cluster = self.cluster
        now = {"resource": cluster.body, "jobs": cluster.jobs, "pods": cluster.pods, "maps": cluster.manifests}
        for kind, state in now.items():
            self.history[kind].append(kept(state) if kind == "resource" else {n: kept(b) for n, b in state.items()})

    def view(self, lags: tuple[int, ...]) -> tuple[Resource, Children]:
        for kind, lag in zip(self.history, lags, strict=True):
            self.at[kind] = max(self.at.get(kind, 0), len(self.history[kind]) - 1 - lag)
        resource, jobs, pods, maps = (self.history[kind][self.at[kind]] for kind in self.history)
        return seen.resource(resource), Children(
            jobs=tuple(j for j in map(seen.job, jobs.values()) if j),
            pods=tuple(p for p in map(seen.pod, pods.values()) if p),
            manifests=tuple(m for m in map(seen.manifest, maps.values()) if m),
        )


def disturb(watches: Watches, steps: list[tuple[str, int]]) -> None:
    """Lets all of it happen, one after the other."""
    cluster = watches.cluster
    for what, number in steps:
        watches.record()
        match what:
            case "tick":
                cluster.tick()
            case "look":
                cluster.do(cluster.look(*watches.view((0, 0, 0, 0))))
            case "look twice":
                actions = cluster.look(*watches.view((0, 0, 0, 0)))
                cluster.do(actions)
                cluster.do(actions)
            case "look at the old":
                lags = (LAGS[number % 7], LAGS[number // 7 % 7], LAGS[number // 49 % 7], LAGS[number // 343 % 7])
                cluster.do(cluster.look(*watches.view(lags)))
            case "look half":
                actions = cluster.look(*watches.view((0, 0, 0, 0)))
                cluster.do(actions[: number % (len(actions) + 1)])
            case "delete and look before pods are seen":
                destroy(cluster, "delete stage job", number)
                watches.record()
                resource, children = watches.view((0, 0, 0, 0))
                cluster.do(cluster.look(resource, replace(children, pods=())))
            case "restart":
                cluster.heard, cluster.memory = None, Memory()
                watches.view((0, 0, 0, 0))
            case "suspend" | "resume":
                if cluster.body["spec"]["suspend"] != (what == "suspend"):
                    cluster.edit(suspend=what == "suspend")
            case "raise retry":
                attempts = cluster.body["spec"]["retry"]["maxAttempts"]
                cluster.edit(retry={"maxAttempts": min(attempts + 1, 9)})
            case "close queue" | "open queue":
                cluster.admit = what == "open queue"
            case _:
                destroy(cluster, what, number)


def destroy(cluster: Cluster, what: str, number: int) -> None:
    """What a person with rights can do by mistake."""
    kind = what.removeprefix("delete ")
    names = {
        "pod": sorted(cluster.pods),
        "stage job": sorted(name for name in cluster.jobs if "-s" in name[-4:] or "-t" in name[-12:]),
        "any job": sorted(cluster.jobs),
        "preflight": sorted(name for name in cluster.jobs if name.endswith("-p")),
        "manifest": sorted(cluster.manifests),
    }[kind]
    if not names:
        return
    name = names[number % len(names)]
    if kind == "pod":
        cluster.delete_pod(name)
    elif kind == "manifest":
        cluster.manifests.pop(name)
    else:
        cluster.delete_job(name)


def passes_of(cluster: Cluster) -> list[str]:
    """Jobs that were created, without those that only make sure that nothing runs on Azure ML."""
    return [name for name in cluster.created if not name.endswith("-c")]


def live(watches: Watches, rounds: int) -> None:
    """Life as usual, for a while."""
    for _ in range(rounds):
        watches.cluster.operate()
        watches.cluster.tick()
        watches.record()


def calm(watches: Watches) -> None:
    """Everybody goes home: nothing is suspended, the queue is open, and all goes on until it has ended."""
    cluster = watches.cluster
    cluster.admit = True
    if cluster.body["spec"]["suspend"]:
        cluster.edit(suspend=False)
    for _ in range(200):
        live(watches, 1)
        if cluster.finished or cluster.phase == "Stalled":
            break


def queued(**changes: Any) -> dict[str, Any]:
    resources = {"limits": {"nvidia.com/gpu": "1"}}
    return spec(execution={"kubernetes": {"queue": "team-a", "resources": resources}}, **changes)


SPECS = st.sampled_from((spec, two_stages, queued))
STAGE_FATES = st.lists(st.sampled_from(FATES), max_size=4)
ROUNDS = st.integers(0, 16)
NUMBERS = st.integers(0, 2400)
LAGS = (0, 0, 0, 1, 2, 4, 20)


def steps(kinds: tuple[str, ...], most: int = 40) -> st.SearchStrategy[list[tuple[str, int]]]:
    # most of it is life as usual, else nothing ever gets far
    usual = ("tick", "look", "tick", "look at the old")
    return st.lists(st.tuples(st.sampled_from((*kinds, *usual)), NUMBERS), max_size=most)


@pytest.mark.parametrize("make", [spec, two_stages, queued, on_azure])
class TestWhateverHappens:
    @settings(max_examples=100, deadline=None)
    @given(fates=STAGE_FATES, rounds=ROUNDS, happening=steps(CALAMITIES), ttl=st.sampled_from((None, 0, 20)))
    def test_nothing_forbidden_happens_and_it_ends(
        self, make: Any, fates: list[str], rounds: int, happening: list[tuple[str, int]], ttl: int | None
    ) -> None:
        more = {} if ttl is None else {"ttlSecondsAfterFinished": ttl}
        cluster = Cluster.with_job(make(**more), stage=list(fates))
        watches = Watches(cluster)

        live(watches, rounds)
        disturb(watches, happening)
        calm(watches)

        assert cluster.wrong == []
        assert cluster.finished

    @settings(max_examples=60, deadline=None)
    @given(fates=STAGE_FATES, after=steps(CALAMITIES, 30), ttl=st.sampled_from((None, 0, 20)))
    def test_a_job_that_has_ended_never_runs_again(
        self, make: Any, fates: list[str], after: list[tuple[str, int]], ttl: int | None
    ) -> None:
        more = {} if ttl is None else {"ttlSecondsAfterFinished": ttl}
        cluster = Cluster.with_job(make(**more), stage=list(fates))
        watches = Watches(cluster)
        calm(watches)
        created, end = passes_of(cluster), cluster.phase

        disturb(watches, after)
        for name in list(cluster.jobs):
            cluster.delete_job(name)
        calm(watches)

        assert (passes_of(cluster), cluster.phase, cluster.wrong) == (created, end, [])

    @settings(max_examples=100, deadline=None)
    @given(fates=STAGE_FATES, rounds=ROUNDS, happening=steps(DISTURBANCES))
    def test_what_costs_no_attempt_changes_nothing_about_the_end(
        self, make: Any, fates: list[str], rounds: int, happening: list[tuple[str, int]]
    ) -> None:
        happening = [step for step in happening if step[0] != "raise retry"]
        quiet, loud = (Cluster.with_job(make(), stage=list(fates)) for _ in range(2))

        calm(Watches(quiet))
        watches = Watches(loud)
        live(watches, rounds)
        disturb(watches, happening)
        calm(watches)

        assert loud.wrong == []
        assert (loud.phase, loud.reason(), loud.body["status"].get("artifacts")) == (
            quiet.phase,
            quiet.reason(),
            quiet.body["status"].get("artifacts"),
        )

    @settings(max_examples=40, deadline=None)
    @given(fates=STAGE_FATES, rounds=ROUNDS, happening=steps(CALAMITIES))
    def test_a_second_look_at_the_same_wants_no_status_written(
        self, make: Any, fates: list[str], rounds: int, happening: list[tuple[str, int]]
    ) -> None:
        cluster = Cluster.with_job(make(), stage=list(fates))
        watches = Watches(cluster)
        live(watches, rounds)
        disturb(watches, happening)
        for _ in range(4):
            cluster.operate()

        before = list(cluster.statuses)
        cluster.operate()

        assert cluster.statuses == before

    @settings(max_examples=40, deadline=None)
    @given(fates=STAGE_FATES, rounds=ROUNDS, happening=steps(CALAMITIES))
    def test_a_restart_in_the_middle_of_it_writes_nothing(
        self, make: Any, fates: list[str], rounds: int, happening: list[tuple[str, int]]
    ) -> None:
        cluster = Cluster.with_job(make(), stage=list(fates))
        watches = Watches(cluster)
        live(watches, rounds)
        disturb(watches, happening)
        for _ in range(4):
            cluster.operate()

        before, cluster.heard = len(cluster.writes), None
        for _ in range(3):
            cluster.do(cluster.look(seen.resource(cluster.body), cluster.children()))

        blocked = (
            any(not p.finished for p in cluster.children().pods if p.role == "stage") and cluster.job("s0") is None
        )
        assert blocked or len(cluster.writes) == before


class TestDeletedWhateverHappens:
    """Of a job on Azure ML the object goes, whenever it is deleted, and when nothing of it runs there any more."""

    @settings(max_examples=100, deadline=None)
    @given(
        fates=STAGE_FATES,
        cancels=st.lists(st.sampled_from(("75", "1", "oom", "evict")), max_size=6),
        rounds=ROUNDS,
        happening=steps(CALAMITIES, 20),
        after=steps(CALAMITIES, 30),
        namespace=st.booleans(),
    )
    def test_it_goes_and_leaves_nothing(
        self,
        fates: list[str],
        cancels: list[str],
        rounds: int,
        happening: list[tuple[str, int]],
        after: list[tuple[str, int]],
        namespace: bool,
    ) -> None:
        cluster = Cluster.with_job(on_azure(), stage=list(fates), cancel=list(cancels))
        watches = Watches(cluster)
        live(watches, rounds)
        disturb(watches, happening)

        cluster.delete(namespace=namespace)
        disturb(watches, after)
        for _ in range(200):
            if not cluster.gone:
                live(watches, 1)
        for _ in range(5):
            cluster.tick()

        assert cluster.wrong == []
        assert cluster.gone
        assert (cluster.jobs, cluster.pods, cluster.manifests) == ({}, {}, {})


def gated(**changes: Any) -> dict[str, Any]:
    """Two stages, and a gate before the end."""
    evaluation = {
        "metrics": [{"name": "accuracy", "custom": {"metric": "accuracy"}}],
        "constraints": [{"metric": "accuracy", "min": 0.9}],
    }
    return two_stages(evaluation=evaluation, **changes)


class TestGatesWhateverHappens:
    @settings(max_examples=75, deadline=None)
    @given(fates=STAGE_FATES, rounds=ROUNDS, happening=steps(CALAMITIES))
    def test_the_verdict_agrees_with_the_end(
        self, fates: list[str], rounds: int, happening: list[tuple[str, int]]
    ) -> None:
        cluster = Cluster.with_job(gated(), stage=list(fates))
        watches = Watches(cluster)

        live(watches, rounds)
        disturb(watches, happening)
        calm(watches)

        assert cluster.wrong == []
        if cluster.condition("Complete") == "True":
            assert cluster.condition("ConstraintsMet") == "True"
        assert (cluster.reason("Failed") == "ConstraintsNotMet") == (cluster.condition("ConstraintsMet") == "False")

    @settings(max_examples=60, deadline=None)
    @given(rounds=ROUNDS, happening=steps(DISTURBANCES))
    def test_figures_that_were_told_are_never_lost(self, rounds: int, happening: list[tuple[str, int]]) -> None:
        cluster = Cluster.with_job(gated())
        told = [EvaluationReport(after="input", metrics=[MetricReport(name="accuracy", value=0.2)])]
        cluster.figures = {"0": {"evaluation": told}}
        watches = Watches(cluster)

        live(watches, rounds)
        disturb(watches, happening)
        calm(watches)

        known = [bool(status.get("evaluation")) for status in cluster.statuses]
        assert known == sorted(known)
        assert known[-1]
