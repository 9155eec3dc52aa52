"""Nodes and kubelets that are not there: kwok, from the ground's programs, with stages of our own.

kwok's own stages end each Job's pod without a termination message; the operator calls no job done without one.
"""

from __future__ import annotations

import contextlib
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from samples import ENDS, HELD, NODE_LABEL, SLOT, STAYS, TAINT, last_words
from tests.cluster.ground.install import program

from millwright_api.names import LABEL_JOB, LABEL_ROLE

SELECTOR = "bench.millwright.dev/kwok"
CAPACITY = {"cpu": "100k", "memory": "100Ti", "pods": "100k", "ephemeral-storage": "100Ti", SLOT: "100k"}

_READY = """
{{ $now := Now }}
conditions:
{{ range NodeConditions }}
- {lastHeartbeatTime: {{ $now | Quote }}, lastTransitionTime: {{ $now | Quote }}, message: {{ .message | Quote }},
   reason: {{ .reason | Quote }}, status: {{ .status | Quote }}, type: {{ .type | Quote }}}
{{ end }}
phase: Running
"""

_RUNNING = """
{{ $now := Now }}
phase: Running
startTime: {{ $now | Quote }}
conditions:
- {type: Initialized, status: "True", lastTransitionTime: {{ $now | Quote }}}
- {type: Ready, status: "True", lastTransitionTime: {{ $now | Quote }}}
- {type: ContainersReady, status: "True", lastTransitionTime: {{ $now | Quote }}}
containerStatuses:
{{ range .spec.containers }}
- image: {{ .image | Quote }}
  imageID: {{ .image | Quote }}
  name: {{ .name | Quote }}
  ready: true
  started: true
  restartCount: 0
  state: {running: {startedAt: {{ $now | Quote }}}}
{{ end }}
"""

_ENDED = """
{{ $now := Now }}
phase: Succeeded
conditions:
- {type: Ready, status: "False", reason: PodCompleted, lastTransitionTime: {{ $now | Quote }}}
- {type: ContainersReady, status: "False", reason: PodCompleted, lastTransitionTime: {{ $now | Quote }}}
containerStatuses:
{{ range .spec.containers }}
- image: {{ .image | Quote }}
  imageID: {{ .image | Quote }}
  name: {{ .name | Quote }}
  ready: false
  started: false
  restartCount: 0
  state:
    terminated:
      exitCode: 0
      reason: Completed
      startedAt: {{ $now | Quote }}
      finishedAt: {{ $now | Quote }}
      message: {{ `MESSAGE` | Quote }}
{{ end }}
"""


_STOPPED = (
    _ENDED.replace("phase: Succeeded", "phase: Failed")
    .replace("exitCode: 0", "exitCode: 143")
    .replace("reason: Completed", "reason: Error")
    .replace("MESSAGE", "")
)


def stages() -> list[dict[str, Any]]:
    """Returns kwok's stages: pods start at once; preflights, and all pods of one of the nodes, succeed at once."""
    alive = {"key": ".metadata.deletionTimestamp", "operator": "DoesNotExist"}
    leaving = alive | {"operator": "Exists"}
    # As a kubelet: the Job controller lets go of a pod only when it has ended
    ended = {"key": ".status.phase", "operator": "In", "values": ["Succeeded", "Failed"]}
    running = {"key": ".status.phase", "operator": "In", "values": ["Running"]}
    free = {"key": f'.metadata.labels["{LABEL_JOB}"] | startswith("{HELD}")', "operator": "NotIn", "values": ["true"]}
    preflight = {"key": f'.metadata.labels["{LABEL_ROLE}"]', "operator": "In", "values": ["preflight"]}
    working = {"key": f'.metadata.labels["{LABEL_ROLE}"]', "operator": "In", "values": ["stage", "report"]}
    ends = {"key": ".spec.nodeName", "operator": "In", "values": [node_name(ENDS)]}
    return [
        _stage("node-initialize", "Node", [_not_ready()], _READY),
        _stage("pod-run", "Pod", [alive, {"key": ".status.phase", "operator": "In", "values": ["Pending"]}], _RUNNING),
        _stage(
            "preflight-end",
            "Pod",
            [alive, running, preflight, free],
            _ENDED.replace("MESSAGE", last_words("preflight")),
        ),
        _stage("stage-end", "Pod", [alive, running, working, ends], _ENDED.replace("MESSAGE", last_words("stage"))),
        _stage("pod-stop", "Pod", [leaving, {**ended, "operator": "NotIn"}], _STOPPED),
        _stage("pod-delete", "Pod", [leaving, ended], None),
    ]


def _not_ready() -> dict[str, Any]:
    return {
        "key": '.status.conditions.[] | select( .type == "Ready" ) | .status',
        "operator": "NotIn",
        "values": ["True"],
    }


def _stage(name: str, kind: str, matches: list[dict[str, Any]], template: str | None) -> dict[str, Any]:
    spec: dict[str, Any] = {
        "resourceRef": {"apiGroup": "v1", "kind": kind},
        "selector": {"matchExpressions": matches},
        "next": {"delete": True} if template is None else {"statusTemplate": template},
    }
    return {"apiVersion": "kwok.x-k8s.io/v1alpha1", "kind": "Stage", "metadata": {"name": name}, "spec": spec}


def node_name(which: str) -> str:
    """Name of a fake node."""
    return f"bench-{which}"


def nodes() -> list[dict[str, Any]]:
    """Returns the fake nodes: tainted, so that nobody else's pods land there."""
    return [
        {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {
                "name": node_name(which),
                "labels": {
                    "type": "kwok",
                    SELECTOR: "true",
                    NODE_LABEL: which,
                    "kubernetes.io/hostname": node_name(which),
                },
                "annotations": {"kwok.x-k8s.io/node": "fake", "node.alpha.kubernetes.io/ttl": "0"},
            },
            "spec": {"taints": [{"key": TAINT, "effect": "NoSchedule"}]},
            "status": {"capacity": CAPACITY, "allocatable": CAPACITY},
        }
        for which in (ENDS, STAYS)
    ]


@contextlib.contextmanager
def kubelets(kubeconfig: str, folder: Path) -> Iterator[None]:
    """Runs kwok for the fake nodes; its log is folder/kwok.log."""
    configuration = folder / "kwok.yaml"
    configuration.write_text(yaml.safe_dump_all(stages()))
    command = [
        str(program("kwok")),
        f"--kubeconfig={kubeconfig}",
        f"--config={configuration}",
        f"--manage-nodes-with-label-selector={SELECTOR}=true",
        "--manage-all-nodes=false",
        "--node-lease-duration-seconds=40",
    ]
    with (folder / "kwok.log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(20)
