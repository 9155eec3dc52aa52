"""What the closing summary tells a person to type does what it says."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests import tiny
from tests.warm import WarmProcess

LORA = {"r": 2, "trainData": "train", "training": {"maxSteps": 1, "gradientAccumulationSteps": 1, "dtype": "float32"}}


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that transformers and onnxruntime-genai both load."""
    return tiny.make_model(tmp_path_factory.mktemp("models") / "llama", "llama")


@pytest.mark.parametrize(
    "passes",
    [
        pytest.param([{"genai": {"precision": "fp32"}}], id="onnx-genai"),
        pytest.param([{"lora": LORA}], id="hf+adapter"),
        pytest.param([{"lora": LORA}, {"merge": {}}], id="hf"),
    ],
)
def test_the_commands_of_the_summary_try_the_model(tmp_path: Path, llama: Path, passes: list[dict[str, Any]]) -> None:
    (tmp_path / "rows.jsonl").write_text('{"text": "Nobody laughed about the letter"}\n' * 20)
    manifest = {
        "apiVersion": "millwright.dev/v1alpha1",
        "kind": "OptimizationJob",
        "metadata": {"name": "try"},
        "spec": {
            "model": {"path": str(llama)},
            "data": [{"name": "train", "source": {"path": "rows.jsonl"}, "text": {"maxLength": 32}}],
            "passes": passes,
            "output": {"path": "a place, with spaces"},
        },
    }
    (tmp_path / "job.yaml").write_text(yaml.safe_dump(manifest))
    environment = os.environ | {"MILLWRIGHT_HOME": str(tmp_path / "home"), "OMP_NUM_THREADS": "1"}
    run = WarmProcess("millwright_runner", ["run", "job.yaml"], environment, tmp_path)
    out, err = run.communicate(timeout=300)
    assert run.returncode == 0, err

    commands = out.partition("Try it:\n\n")[2]
    tried = subprocess.run(
        ["bash", "-e"], input=commands, cwd="/", env=environment, capture_output=True, text=True, check=False
    )

    assert tried.returncode == 0, tried.stderr
    assert tried.stdout.startswith("Hello")
