"""A good manifest for a cluster, and how the tables change it."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

GOOD: dict[str, Any] = {
    "apiVersion": "millwright.dev/v1alpha1",
    "kind": "OptimizationJob",
    "metadata": {"name": "phi3-emotion"},
    "spec": {
        "model": {"huggingFace": {"repo": "microsoft/Phi-3-mini-4k-instruct", "revision": "0a67737"}},
        "data": [
            {
                "name": "train",
                "source": {"s3": {"uri": "s3://team-a/emotion/train.jsonl"}},
                "text": {"columns": ["phrase", "tone"], "template": "{phrase}\n{tone}", "maxLength": 2048},
            },
            {
                "name": "holdout",
                "source": {"volume": {"claimName": "rows", "path": "emotion/holdout.jsonl"}},
                "text": {"columns": ["phrase", "tone"], "answer": "tone"},
            },
        ],
        "passes": [
            {"name": "finetune", "lora": {"r": 64, "trainData": "train", "evalData": "holdout"}},
            {"merge": {}},
            {"genai": {"precision": "int4"}, "resources": {"requests": {"cpu": "4", "memory": "32Gi"}}},
        ],
        "output": {"s3": {"uri": "s3://team-a/models/phi3-emotion/"}},
        "suspend": True,
    },
}
"""Suspended, so that no operator that may be watching makes pods of it."""

EVALUATION: dict[str, Any] = {
    "data": "holdout",
    "after": ["input", "last"],
    "metrics": [
        {"name": "accuracy", "exactMatch": {}},
        {"tokenLatency": {}},
        {"name": "size", "sizeOnDisk": {}},
        {"name": "surprise", "perplexity": {}, "data": "train"},
    ],
    "constraints": [
        {"metric": "accuracy", "maxDrop": 0.02, "relativeTo": "previous"},
        {"metric": "tokenLatency", "max": 40},
    ],
    "onViolation": "Fail",
}
"""What a good manifest may measure; the tables put it at spec.evaluation."""

SEARCH: dict[str, Any] = {
    "algorithm": {"tpe": {"seed": 7, "startupTrials": 4}},
    "parameters": [
        {"pass": "finetune", "option": "learningRate", "logUniform": {"min": 1e-05, "max": 0.001}},
        {"pass": "finetune", "option": "r", "integer": {"min": 8, "max": 64, "step": 8}},
        {"pass": "finetune", "option": "dropout", "uniform": {"min": 0, "max": 0.5}},
        {"pass": "genai", "option": "blockSize", "choice": [16, 32, 64]},
    ],
    "objectives": [{"metric": "accuracy", "direction": "Maximize"}],
    "maxTrials": 12,
    "parallelTrials": 2,
    "maxSeconds": 3600,
    "maxFailedTrials": 1,
    "keep": "best",
}
"""How a good manifest may be searched; the tables put it at spec.search, beside the evaluation."""


class _Delete:
    """Stands for: take it out."""


DELETE = _Delete()

Changes = dict[str, Any]
"""Dotted path → value; numbers are positions in lists, one behind the end appends."""


@dataclass(frozen=True)
class Good:
    """A manifest that both sides take."""

    name: str
    changes: Changes


@dataclass(frozen=True)
class Bad:
    """A manifest that the API server refuses.

    Attributes:
        name: what is wrong.
        changes: what makes it so.
        path: the place that the server names.
        server: words of the server's message.
        local: words of the runner's own message; None where only the server can say it, and `why` says why.
        why: see `local`.
    """

    name: str
    changes: Changes
    path: str
    server: str
    local: str | None
    why: str = ""


def changed(changes: Changes, start: dict[str, Any] = GOOD) -> dict[str, Any]:
    """A copy of a manifest with some values set; mappings on the way are made."""
    job = copy.deepcopy(start)
    for path, value in changes.items():
        at: Any = job
        *parents, last = path.split(".")
        for key in parents:
            at = at[int(key)] if isinstance(at, list) else at.setdefault(key, {})
        if value is DELETE:
            del at[int(last) if isinstance(at, list) else last]
        elif isinstance(at, list):
            at[int(last) : int(last) + 1] = [copy.deepcopy(value)]
        else:
            at[last] = copy.deepcopy(value)
    return job


KUBERNETES = "spec.execution.kubernetes"
TEMPLATE = f"{KUBERNETES}.podTemplate"
LORA = "spec.passes.0.lora"
TEXT = "spec.data.0.text"
EVALUATED: Changes = {"spec.evaluation": EVALUATION}
SEARCHED: Changes = {**EVALUATED, "spec.search": SEARCH}
PARAMETERS, OBJECTIVES = "spec.search.parameters", "spec.search.objectives"
METRICS, CONSTRAINTS = "spec.evaluation.metrics", "spec.evaluation.constraints"
