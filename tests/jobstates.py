"""States of an OptimizationJob as an API server tells them: for views of a job that has no cluster to run on."""

from __future__ import annotations

from typing import Any

UID = "60cd6abf-0324-4452-a4f8-0506881a8d62"
START, END = "2026-11-21T08:00:00Z", "2026-11-21T08:01:23Z"
PASSES = [{"name": "finetune", "lora": {}}, {"merge": {}}, {"genai": {}, "resources": {}}]

Json = dict[str, Any]


def condition(kind: str, status: str, reason: str, message: str = "", at: str = START) -> Json:
    return {
        "type": kind,
        "status": status,
        "reason": reason,
        "message": message,
        "lastTransitionTime": at,
        "observedGeneration": 1,
    }


def step(name: str, phase: str = "Pending", stage: int = 0, **fields: Any) -> Json:
    return {"name": name, "phase": phase, "stage": stage, **fields}


def job(status: Json | None = None, **about: Any) -> Json:
    """Returns a job with a status; without one it is as the API server makes it."""
    return {
        "apiVersion": "millwright.dev/v1alpha1",
        "kind": "OptimizationJob",
        "metadata": {
            "name": "emotion",
            "namespace": "team-a",
            "uid": UID,
            "generation": 1,
            "creationTimestamp": "2026-11-21T07:59:50Z",
            **about,
        },
        "spec": {"model": {"s3": {"uri": "s3://team-a/base/"}}, "passes": PASSES},
        "status": {"observedGeneration": -1} if status is None else {"observedGeneration": 1, **status},
    }


def validating() -> Json:
    return job({"phase": "Validating", "conditions": [condition("Ready", "False", "Validating", "looking at the job")]})


def running(done: int = 20, loss: float = 1.2345, *, message: str = "training", attempts: int = 1) -> Json:
    """Returns a job in the first of two stages, in its first step."""
    return job(
        {
            "phase": "Running",
            "startTime": START,
            "attempts": attempts,
            "conditions": [
                condition("Ready", "False", "StageRunning", f"stage 1 of 2 (finetune, merge), attempt {attempts} of 3")
            ],
            "progress": {
                "pass": "finetune",
                "message": message,
                "step": done,
                "totalSteps": 100,
                "loss": loss,
                "eta": "1m20s",
                "reportedTime": START,
            },
            "passes": [step("finetune", "Running"), step("merge"), step("genai", stage=1)],
            "stages": [
                {"name": "emotion-0a1b2c3d-s0", "phase": "Running", "attempts": attempts},
                {"name": "emotion-0a1b2c3d-s1", "phase": "Pending"},
            ],
        }
    )


def stalled(reason: str = "DataNotFound", *, started: bool = False) -> Json:
    message = "spec.data[0].source.s3.uri: there is no s3://team-a/trian.jsonl (did you mean 'train.jsonl'?)"
    conditions = [
        condition(kind, status, reason, message) for kind, status in (("Ready", "False"), ("Stalled", "True"))
    ]
    return job({"phase": "Stalled", "conditions": conditions, **({"startTime": START} if started else {})})


def complete() -> Json:
    return job(
        {
            "phase": "Succeeded",
            "startTime": START,
            "completionTime": END,
            "attempts": 2,
            "conditions": [
                condition("Ready", "True", "Succeeded", "published onnx-genai to s3://team-a/models/emotion/abc/", END),
                condition("Complete", "True", "Succeeded", "", END),
                condition("Finished", "True", "Succeeded", "", END),
            ],
            "passes": [
                step("finetune", "Succeeded", cache="Miss", seconds=62.0, resumedFrom=40),
                step("merge", "Succeeded", cache="Hit", seconds=0.1),
                step("genai", "Succeeded", stage=1, cache="Miss", seconds=8.2),
            ],
            "stages": [
                {"name": "emotion-0a1b2c3d-s0", "phase": "Succeeded", "attempts": 1},
                {"name": "emotion-0a1b2c3d-s1", "phase": "Succeeded", "attempts": 1},
            ],
            "artifacts": [
                {
                    "uri": "s3://team-a/models/emotion/abc/",
                    "format": "onnx-genai",
                    "sha256": "d" * 64,
                    "bytes": 4_280_000,
                    "files": 7,
                }
            ],
        }
    )


def failed(
    reason: str = "OOMKilled", message: str = "attempt 3 of 3: the container was killed for memory: limit 2Gi"
) -> Json:
    return job(
        {
            "phase": "Failed",
            "startTime": START,
            "completionTime": END,
            "conditions": [
                condition("Ready", "False", reason, message, END),
                condition("Failed", "True", reason, message, END),
                condition("Stalled", "True", reason, message, END),
            ],
            "passes": [step("finetune", "Failed", seconds=12.0), step("merge"), step("genai", stage=1)],
        }
    )


def event(reason: str, note: str, *, kind: str = "Normal", second: int = 0, uid: str = UID) -> Json:
    return {
        "metadata": {"name": reason.lower(), "creationTimestamp": START},
        "eventTime": f"2026-11-21T08:00:{second:02d}.000000Z",
        "reason": reason,
        "note": note,
        "type": kind,
        "regarding": {"kind": "OptimizationJob", "name": "emotion", "uid": uid},
    }
