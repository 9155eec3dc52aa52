"""Jobs for cluster tests: what they start from in S3, manifests as data, and questions to the API server."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from tests.tiny import make_model, make_model_files

TONES = ("sad", "joy", "fear", "surprise")
TEMPLATE = "### Text: {phrase}\n### The tone is:\n{tone}"
SECRET = "s3"
FINISHED, SECONDS = "Finished", 240

ONE_THREAD = {"name": "OMP_NUM_THREADS", "value": "1"}
"""Pods of several tests share few cores; see the Makefile."""

Manifest = dict[str, Any]
T = TypeVar("T")


def probe(name: str = "probe", **options: Any) -> Manifest:
    """A step of the tests' plug-in: it works, waits or breaks as told."""
    return {"name": name, "custom": {"pass": "probe", "options": options}}


def lora(**training: Any) -> Manifest:
    """A short real training."""
    settings = {"seed": 0, "maxSteps": 6, "learningRate": 1e-3, "dtype": "float32", "loggingSteps": 2, **training}
    return {"lora": {"r": 4, "alpha": 8, "trainData": "train", "training": settings}}


def write_rows(path: Path, rows: int = 48) -> Path:
    """Writes phrases with tones, as JSON lines."""
    lines = ({"phrase": f"The old man looked at the storm, number {i}", "tone": TONES[i % 4]} for i in range(rows))
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def seed_bucket(client: Any, bucket: str, folder: Path, *, trainable: bool) -> None:
    """Puts rows and a model into a bucket.

    Args:
        client: boto3's, for the cluster's S3.
        bucket: it exists.
        folder: to make them in.
        trainable: a real model; else one of zeros, which only the plug-in can use and which takes no torch to make.
    """
    model = folder / ("model" if trainable else "zeros")
    if not model.exists():
        (make_model if trainable else make_model_files)(model)
    for path in model.iterdir():
        client.upload_file(str(path), bucket, f"model/{path.name}")
    client.upload_file(str(write_rows(folder / "rows.jsonl")), bucket, "train.jsonl")


def manifest(name: str, namespace: str, bucket: str, endpoint: str, *passes: Manifest, **spec: Any) -> Manifest:
    """An OptimizationJob from and to a bucket; `spec` is merged over it, deeply."""

    def place(key: str) -> Manifest:
        return {"s3": {"uri": f"s3://{bucket}/{key}", "endpoint": endpoint, "region": "us-east-1"}}

    text = {
        "columns": ["phrase", "tone"],
        "template": TEMPLATE,
        "answer": "tone",
        "strategy": "line-by-line",
        "maxLength": 128,
    }
    body: Manifest = {
        "model": place("model/"),
        "passes": list(passes),
        "output": place(f"out/{name}/"),
        "credentials": [{"secretName": SECRET}],
        "execution": {"kubernetes": {"podTemplate": {"env": [ONE_THREAD]}}},
        "retry": {"maxAttempts": 3},
    }
    if any("lora" in step or "qlora" in step for step in passes):
        body["data"] = [{"name": "train", "source": place("train.jsonl"), "text": text}]
    return {
        "apiVersion": "millwright.dev/v1alpha1",
        "kind": "OptimizationJob",
        "metadata": {"name": name, "namespace": namespace},
        "spec": merged(body, spec),
    }


def merged(base: Manifest, over: Manifest) -> Manifest:
    """Returns `base` with `over` on top; mappings are merged, None removes a key."""
    result = dict(base)
    for key, value in over.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, dict) and isinstance(result.get(key), dict):
            result[key] = merged(result[key], value)
        else:
            result[key] = value
    return result


def condition(job: Manifest, kind: str) -> Manifest:
    """Returns a condition, or an empty mapping when it is not there."""
    found = [c for c in job.get("status", {}).get("conditions", []) if c["type"] == kind]
    return found[0] if found else {}


def holds(kind: str, status: str = "True") -> Callable[[Manifest], bool]:
    """Asks whether a condition has a status."""
    return lambda job: condition(job, kind).get("status") == status


def until(what: str, ask: Callable[[], T | None], seconds: float = SECONDS) -> T:
    """Asks until there is an answer; the time is only there to end a test that would hang."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        answer = ask()
        if answer:
            return answer
        time.sleep(0.2)
    raise AssertionError(f"waited {seconds:.0f} s for {what}")
