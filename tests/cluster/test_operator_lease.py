"""One operator works at a time: it starts anew, dies, is robbed of its Lease, and nothing is done twice."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from tests.cluster.arena import Arena
from tests.cluster.cluster import RELEASE, RELEASE_NAMESPACE, Cluster, Object
from tests.cluster.jobs import holds, probe, until

OPERATOR = "app.kubernetes.io/component=operator"


def pods(cluster: Cluster) -> list[Object]:
    """The operator's pods that are not on their way out."""
    found = cluster.list("pods", RELEASE_NAMESPACE, OPERATOR)
    return [p for p in found if "deletionTimestamp" not in p["metadata"]]


def restarts(cluster: Cluster) -> int:
    """How often the operator's containers were started again."""
    return sum(s["restartCount"] for p in pods(cluster) for s in p["status"].get("containerStatuses", []))


def holder(cluster: Cluster) -> str:
    """Who holds the Lease; empty: nobody."""
    lease = cluster.get("lease", RELEASE, RELEASE_NAMESPACE)
    assert lease is not None
    return str(lease["spec"].get("holderIdentity") or "")


def leads(cluster: Cluster) -> str:
    """Waits until a pod that is there holds the Lease and carries the label; returns its name."""

    def one() -> str | None:
        names = [
            p["metadata"]["name"]
            for p in pods(cluster)
            if p["metadata"]["labels"].get("millwright.dev/leader") == "true"
        ]
        return names[0] if len(names) == 1 and holder(cluster).startswith(names[0]) else None

    return until("a leader", one)


def versions(cluster: Cluster, namespace: str) -> dict[str, str]:
    """The version of each object that the operator may write."""
    kinds = "optimizationjobs.millwright.dev,jobs.batch,configmaps"
    found = json.loads(cluster.kubectl("get", kinds, "-n", namespace, "-o", "json"))["items"]
    return {f"{o['kind']}/{o['metadata']['name']}": o["metadata"]["resourceVersion"] for o in found}


@pytest.fixture
def one_replica(installed: Cluster, operator_pods: Any) -> Iterator[Cluster]:
    """The cluster; afterwards there is one operator again."""
    yield installed
    operator_pods.scale(1)


@pytest.mark.alone
class TestStartingAnew:
    def test_writes_nothing_where_all_is_as_it_should_be(self, arena: Arena, installed: Cluster) -> None:
        arena.start("calm", probe())
        arena.complete("calm")
        arena.start("waits", probe(), suspend=True)
        arena.wait("waits", holds("Suspended"), "the pause")
        before = versions(installed, arena.namespace)
        former = leads(installed)

        installed.kubectl("delete", "pod", former, "-n", RELEASE_NAMESPACE, "--wait")
        until("another leader", lambda: leads(installed) != former)
        arena.start("later", probe(), suspend=True)  # when this is seen, all that was there has been looked at
        arena.wait("later", holds("Suspended"), "the pause")

        after = versions(installed, arena.namespace)
        assert {name: after[name] for name in before} == before


@pytest.mark.alone
class TestAHotStandby:
    def test_takes_over_when_the_leader_is_killed(self, arena: Arena, one_replica: Cluster, operator_pods: Any) -> None:
        operator_pods.scale(2)
        former = leads(one_replica)

        one_replica.kubectl(
            "delete", "pod", former, "-n", RELEASE_NAMESPACE, "--force", "--grace-period=0", "--wait=false"
        )

        until("the standby", lambda: leads(one_replica) != former)
        arena.start("after-a-kill", probe())
        arena.complete("after-a-kill")

    def test_does_nothing_while_another_leads(self, arena: Arena, one_replica: Cluster, operator_pods: Any) -> None:
        operator_pods.scale(2)
        leader = leads(one_replica)
        (standby,) = [p["metadata"]["name"] for p in pods(one_replica) if p["metadata"]["name"] != leader]

        arena.start("led", probe())
        arena.complete("led")

        def count(name: str) -> float:
            path = f"/api/v1/namespaces/{RELEASE_NAMESPACE}/pods/{name}:8080/proxy/metrics"
            lines = one_replica.kubectl("get", "--raw", path).splitlines()
            return sum(float(line.split()[1]) for line in lines if line.startswith("millwright_reconciles_total"))

        assert count(leader) > 0
        assert count(standby) == 0


@pytest.mark.alone
class TestALeaseThatIsLost:
    def test_ends_the_process_and_it_stands_for_election_again(self, arena: Arena, installed: Cluster) -> None:
        leads(installed)
        before = restarts(installed)
        now = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        theft = {"spec": {"holderIdentity": "thief", "renewTime": now, "acquireTime": now}}

        installed.kubectl("patch", "lease", RELEASE, "-n", RELEASE_NAMESPACE, "--type=merge", "-p", json.dumps(theft))

        until("the operator to end", lambda: restarts(installed) > before)
        leads(installed)
        arena.start("after-a-theft", probe())
        arena.complete("after-a-theft")
