"""What report.json says of a search: trials of examples/search, and as many others as are asked for."""

from __future__ import annotations

import math
from typing import Any

Json = dict[str, Any]

OBJECTIVES = [{"metric": "accuracy", "direction": "Maximize"}]
RATE, VARIANT = "finetune.training.learningRate", "genai.blockSize"


def trial(number: int, rate: float, variant: int, accuracy: float | None, **more: Any) -> Json:
    """Returns a line of trials.jsonl; of a trial that was measured, unless `accuracy` is None."""
    measured = {} if accuracy is None else {
        "values": {"accuracy": accuracy},
        "metrics": {
            "accuracy": {"value": accuracy, "low": accuracy - 0.08, "high": accuracy + 0.04, "n": 120, "unit": "share"},
            "latency": {"value": 0.2 + 16 / variant, "low": None, "high": None, "n": 10, "unit": "ms"},
        },
        "bytes": 4_000_000 + 2_000_000 // variant,
        "uri": f"s3://team-a/models/emotion/.millwright/cache/{number:064x}/",
    }  # fmt: skip
    return {"number": number, "at": {RATE: rate, VARIANT: variant}, "phase": "Succeeded", "best": False, "front": False,
            "reason": "", "message": "", "constraints": [], **measured, **more}  # fmt: skip


def missed(number: int, rate: float, variant: int, accuracy: float) -> Json:
    """Returns a trial that did not meet its constraint."""
    off = f"accuracy is {accuracy:.4g}; min 0.8: off by {0.8 - accuracy:.4g}"
    return trial(
        number, rate, variant, accuracy, phase="ConstraintsNotMet",
        constraints=[{"metric": "accuracy", "met": False, "message": off}],
    )  # fmt: skip


TRIALS = [
    trial(0, 3e-4, 32, 0.858),
    missed(1, 1e-5, 16, 0.4),
    trial(2, 1e-3, 128, 0.892),
    trial(3, 1.2e-3, 32, 0.925, best=True, front=True),
    trial(4, 5e-2, 64, None, phase="Failed", reason="PassFailed", message="the loss is no number at step 12"),
    trial(5, 9e-4, 256, 0.883),
    trial(
        6,
        6e-5,
        32,
        None,
        phase="Pruned",
        values={"accuracy": 0.31},
        message="after finetune accuracy was 0.31; the median is 0.8",
    ),
    trial(7, 2e-3, 64, 0.908),
]


def search(**changes: Any) -> Json:
    """Returns the part of report.json that tells of a search; `changes` are keys of it."""
    return {
        "objectives": OBJECTIVES,
        "parameters": [RATE, VARIANT],
        "reason": "AllTrialsDone",
        "message": "8 of 8 trials ended",
        "best": 3,
        "front": [3],
        "keep": "best",
        "trials": TRIALS,
        **changes,
    }


SPEC = {
    "parameters": [
        {"pass": "finetune", "option": "training.learningRate", "logUniform": {"min": 1e-5, "max": 1e-1}},
        {"pass": "genai", "option": "blockSize", "choice": [16, 32, 64, 128, 256]},
    ],
    "objectives": OBJECTIVES,
}
"""The same search as a manifest has it."""


def largest() -> tuple[Json, Json]:
    """Returns a search of as many trials, parameters and objectives as there can be, and its part of the manifest."""
    labels = [f"a-step-with-a-long-name-{index}.training.anOption{index}" for index in range(12)]
    objectives = [
        {"metric": f"metric-{index}", "direction": "Minimize" if index % 2 else "Maximize"} for index in range(4)
    ]
    rows = []
    for number in range(200):
        at = {label: round(1e-6 * math.exp(number * (place + 7) % 97 / 8), 12) for place, label in enumerate(labels)}
        values = {one["metric"]: (number * (place + 3) % 89) / 89 + 0.01 for place, one in enumerate(objectives)}
        metrics = {name: {"value": value, "low": value / 2, "high": value * 2, "n": 1000, "unit": "share"}
                   for name, value in values.items()}  # fmt: skip
        rows.append({"number": number, "at": at, "phase": "Succeeded", "values": values, "metrics": metrics, "bytes": 4_000_000,
                     "uri": f"s3://a-bucket-with-a-name/models/emotion/trials/{number:03d}/{number:064x}/",
                     "best": number == 88, "front": number % 20 == 0})  # fmt: skip
    spec = [{"pass": label.partition(".")[0], "option": label.partition(".")[2], "logUniform": {"min": 1e-7, "max": 1}}
            for label in labels]  # fmt: skip
    return (
        search(objectives=objectives, parameters=labels, trials=rows, best=88, front=list(range(0, 200, 20))),
        {"parameters": spec, "objectives": objectives},
    )
