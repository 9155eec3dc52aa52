"""The operator under measurement: installed by the chart, as a pod under its own RBAC."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass

import aiohttp
from apiserver import ApiServer
from figures import samples
from tests.cluster.cluster import CHART, Cluster, chart_values

RELEASE, NAMESPACE = "bench", "bench-system"
SELECTOR = f"app.kubernetes.io/instance={RELEASE},app.kubernetes.io/component=operator"


def install(cluster: Cluster, watched: str, slot: str) -> None:
    """Installs the chart for one namespace; preflights ask for a slot, so that only a fake node takes them."""
    known = cluster.get("customresourcedefinition", "optimizationjobs.millwright.dev") is not None
    resources = {"requests": {slot: "1"}, "limits": {slot: "1"}}
    cluster.helm(
        *("upgrade", "--install", RELEASE, str(CHART), "--namespace", NAMESPACE, "--create-namespace"),
        *(
            "--wait",
            "--timeout",
            "3m",
            "--set",
            f"watchNamespaces={{{watched}}}",
            "--set",
            f"crds.enabled={not known}".lower(),
        ),
        *("--set-json", f"preflight.resources={json.dumps(resources)}", *chart_values(cluster.images)),
    )


def uninstall(cluster: Cluster) -> None:
    """Takes it away again."""
    cluster.helm("uninstall", RELEASE, "--namespace", NAMESPACE, "--wait")
    cluster.kubectl("delete", "namespace", NAMESPACE, "--wait=false")


@dataclass(frozen=True)
class Reading:
    """The operator's own metrics at one moment.

    Attributes:
        at: the wall clock, seconds.
        started: when its process started, on the wall clock.
        cpu: seconds of CPU that it has used.
        rss: bytes.
        reconciles: how many it has done.
        waiting: jobs in its queue.
    """

    at: float
    started: float
    cpu: float
    rss: float
    reconciles: float
    waiting: float


async def pods(api: ApiServer) -> list[str]:
    """Names of its pods that run and are not on their way out."""
    found = await api.get(f"/api/v1/namespaces/{NAMESPACE}/pods?labelSelector={SELECTOR}")
    return [
        pod["metadata"]["name"]
        for pod in found["items"]
        if pod["status"]["phase"] == "Running" and "deletionTimestamp" not in pod["metadata"]
    ]


async def read(api: ApiServer, pod: str) -> Reading:
    """Reads a pod's metrics through the API server.

    Raises:
        RuntimeError: it does not answer.
    """
    try:
        text = await api.text(f"/api/v1/namespaces/{NAMESPACE}/pods/{pod}:8080/proxy/metrics")
    except aiohttp.ClientError as error:
        raise RuntimeError(f"the operator's metrics: {error}") from error

    def value(name: str) -> float:
        found = samples(text, name)
        if not found:
            raise RuntimeError(f"the operator's metrics have no {name}")
        return sum(number for _, number in found)

    return Reading(
        at=time.time(),
        started=value("process_start_time_seconds"),
        cpu=value("process_cpu_seconds_total"),
        rss=value("process_resident_memory_bytes"),
        reconciles=value("millwright_reconciles_total"),
        waiting=value("millwright_queue_depth"),
    )
