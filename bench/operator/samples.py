"""What the bench applies, and what the pods that are not really there say at their end."""

from __future__ import annotations

from typing import Any

from millwright_api.names import API_VERSION, KIND
from millwright_api.report import ArtifactReport, PassReport, RunReport

NODE_LABEL = "bench.millwright.dev/node"
TAINT = "bench.millwright.dev/fake"
SLOT = "bench.millwright.dev/slot"
"""A resource that only the fake nodes have: preflights, which no nodeSelector places, ask for one."""
ENDS, STAYS = "ends", "stays"
"""The two fake nodes: on one each pod succeeds at once, on the other it runs for ever."""
HELD = "held-"
"""Begin of the names of jobs whose preflight runs for ever."""


def job(name: str, namespace: str, node: str, stages: int = 1) -> dict[str, Any]:
    """Returns an OptimizationJob for a fake node, with one stage or two."""
    passes: list[dict[str, Any]] = [{"genai": {"precision": "int4"}}]
    data: list[dict[str, Any]] = []
    if stages == 2:
        passes = [
            {"lora": {"trainData": "train", "training": {"maxSteps": 10}}},
            {"merge": {}},
            {"genai": {"precision": "int4"}, "resources": {"requests": {"cpu": "2"}}},
        ]
        data = [
            {
                "name": "train",
                "source": {"s3": {"uri": "s3://bench/train.jsonl"}},
                "text": {"columns": ["text"], "template": "{text}", "maxLength": 128},
            }
        ]
    template = {"nodeSelector": {NODE_LABEL: node}, "tolerations": [{"key": TAINT, "operator": "Exists"}]}
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "model": {"s3": {"uri": "s3://bench/model/"}},
            **({"data": data} if data else {}),
            "passes": passes,
            "execution": {"kubernetes": {"podTemplate": template}},
            "output": {"s3": {"uri": f"s3://bench/out/{name}/"}},
        },
    }


def last_words(role: str) -> str:
    """Returns what a pod of this role leaves as its termination message."""
    artifact = ArtifactReport(uri="s3://bench/out/abc/", format="onnx-genai", digest="a" * 64, bytes=1 << 20, files=3)
    done = PassReport(name="genai", pass_="genai", phase="Succeeded", cache="Miss", key="b" * 64, seconds=1.0)
    report = RunReport(
        outcome="Succeeded",
        reason="Succeeded",
        message="checked" if role == "preflight" else "published",
        exit_code=0,
        fingerprint="b" * 64,
        passes=[] if role == "preflight" else [done],
        artifact=None if role == "preflight" else artifact,
        seconds=1.0,
    )
    return report.termination_message()
