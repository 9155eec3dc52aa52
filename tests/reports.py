"""A report.json as a run leaves it: of a job that tunes and compresses, measured at each step; figures are of examples/emotion."""

from __future__ import annotations

from typing import Any

from millwright_runner.artifact import HF, HF_ADAPTER, ONNX_GENAI

QUESTION = "### Text: By the river the old man clapped.\n### The tone is:\n"
FIGURES = {"input": (0.25, 0.18, 0.33, 14_736_542), "finetune": (0.89, 0.82, 0.94, 1_576_074),
           "merge": (0.89, 0.82, 0.94, 14_736_542), "genai": (0.9, 0.83, 0.94, 4_281_546)}  # fmt: skip


def report(**changes: Any) -> dict[str, Any]:
    """Returns a report of a job that was published; `changes` are keys of it."""
    return {
        "outcome": "Succeeded",
        "reason": "Succeeded",
        "message": "",
        "exitCode": 0,
        "fingerprint": "1d09af37" * 8,
        "passes": [
            step("finetune", "lora", 1_576_074, seconds=147.9, metrics={"trainLoss": 0.2912}),
            step("merge", "merge", 14_736_542, seconds=0.6),
            step("genai", "genai", 4_281_546, cache="Hit"),
        ],
        "artifact": {
            "uri": "s3://team-a/models/emotion/1d09af37/",
            "format": ONNX_GENAI,
            "digest": "c95f51b4" * 8,
            "bytes": 4_281_546,
            "files": 5,
        },
        "evaluation": [measured(after) for after in FIGURES],
        "constraints": [constraint(True, "accuracy is 0.9 (0.83 to 0.94); min 0.8")],
        "seconds": 190.7,
        "peakMemoryBytes": 947_228_672,
        "versions": {"millwright": "0.1.0", "torch": "2.13.0"},
        "job": "emotion",
        "history": {"finetune": history(10)},
        "measurements": {
            "input": {"accuracy": {"samples": [said("fear"), said("joy", "### Text: All is well.")]}},
            "genai": {"accuracy": {"samples": [said("joy"), said("joy", "### Text: All is well.")]}},
        },
        "metrics": {
            "accuracy": {"metric": "exactMatch", "higherIsBetter": True, "ofMachine": False},
            "size": {"metric": "sizeOnDisk", "higherIsBetter": False, "ofMachine": False},
        },
        "formats": {"input": HF, "finetune": HF_ADAPTER, "merge": HF, "genai": ONNX_GENAI},
        "spec": {
            "model": {"huggingFace": {"repo": "microsoft/Phi-3-mini"}},
            "data": [{"name": "train", "source": {"path": "build/train.jsonl"}}],
            "passes": [
                {
                    "name": "finetune",
                    "lora": {"r": 64, "targetModules": ["o_proj", "qkv_proj"], "training": {"learningRate": 0.001}},
                },
                {"name": "merge", "merge": {}},
                {"name": "genai", "genai": {"precision": "int4"}},
            ],
        },
        **changes,
    }


def step(name: str, kind: str, size: int, **more: Any) -> dict[str, Any]:
    return {
        "name": name, "pass": kind, "phase": "Succeeded", "cache": "Miss", "key": "2821bdfe" * 8,
        "digest": "b6c672f0" * 8, "bytes": size, "seconds": 0.0, "metrics": {}, **more,
    }  # fmt: skip


def measured(after: str, **more: Any) -> dict[str, Any]:
    value, low, high, size = FIGURES[after]
    accuracy = {"name": "accuracy", "value": value, "low": low, "high": high, "n": 120, "unit": "share"}
    return {"after": after, "metrics": [accuracy, {"name": "size", "value": float(size), "unit": "bytes"}], **more}


def constraint(met: bool, message: str, *, decided: bool = True) -> dict[str, Any]:
    return {"metric": "accuracy", "met": met, "decided": decided, "message": message}


def history(steps: int) -> list[dict[str, float]]:
    """Returns a training's log: an entry each ten optimizer steps, and an evaluation for each second one."""
    entries: list[dict[str, float]] = []
    for number in range(1, steps + 1):
        entries.append({"step": number * 10, "loss": 0.7 / number, "learning_rate": 1e-3 * (1 - number / steps)})
        if number % 2 == 0:
            entries.append({"step": number * 10, "eval_loss": 0.9 / number})
    return entries


def said(answer: str, prompt: str = QUESTION, expected: str | None = "joy") -> dict[str, Any]:
    return {"prompt": prompt, "expected": expected, "answer": answer}


MANIFEST = {
    "kind": "PublishedModel",
    "digest": "c95f51b4" * 8,
    "files": [{"path": "model.onnx", "size": 32_945, "sha256": "4244d70b" * 8}],
}
"""The manifest.json that lies beside it."""
