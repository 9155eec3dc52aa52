"""Pods that tests run by themselves: as restricted as the operator's are."""

from __future__ import annotations

import json
import time
import uuid
from typing import Any

from tests.cluster.cluster import Cluster, Object

SECONDS = 180
RESTRICTED: Object = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}


def pod(name: str, image: str, *command: str, **container: Any) -> Object:
    """A restricted pod of one container that runs once."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [
                {"name": "main", "image": image, "command": list(command), "securityContext": RESTRICTED, **container}
            ],
        },
    }


def run_in_pod(cluster: Cluster, namespace: str, image: str, *command: str, **container: Any) -> str:
    """Runs a command in a pod of its own and returns what it printed.

    Raises:
        AssertionError: it did not end well within three minutes.
    """
    name = f"run-{uuid.uuid4().hex[:8]}"
    body = pod(name, image, *command, **container)
    body["metadata"]["namespace"] = namespace
    cluster.apply(body)
    phase = wait_for_end(cluster, namespace, name)
    said = cluster.kubectl("logs", name, "-n", namespace) if phase in {"Succeeded", "Failed"} else ""
    assert phase == "Succeeded", f"{command}: {phase}\n{said}{describe(cluster, namespace, name)}"
    return said


def ask_python(cluster: Cluster, namespace: str, image: str, code: str) -> Any:
    """Runs Python in a pod and returns what it printed as JSON."""
    return json.loads(run_in_pod(cluster, namespace, image, "python", "-c", code))


def wait_for_end(cluster: Cluster, namespace: str, name: str) -> str:
    """A pod's phase once it has ended, or the one it is stuck in."""
    end = time.monotonic() + SECONDS
    while True:
        found = cluster.get("pod", name, namespace)
        phase = found["status"].get("phase", "Pending") if found else "gone"
        if phase in {"Succeeded", "Failed", "gone"} or time.monotonic() > end:
            return str(phase)
        time.sleep(0.2)


def describe(cluster: Cluster, namespace: str, name: str) -> str:
    """What a person would look at: conditions, states, events."""
    return cluster.kubectl("describe", "pod", name, "-n", namespace)
