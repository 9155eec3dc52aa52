"""A real model's card and provenance: the hub's library reads the figures, the snippet runs, two runs give one digest."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard
from tests.keys import Pair
from tests.pipeline.jobs import TONES, Here, job, lora

from millwright_api.report import RunReport
from millwright_runner.signing import PublicKey
from millwright_runner.stores import open_store
from millwright_runner.verification import verify

EVALUATION: dict[str, Any] = {
    "data": "train",
    "after": ["input", "last"],
    "metrics": [{"name": "accuracy", "exactMatch": {"labels": list(TONES)}}, {"sizeOnDisk": {}}],
}


@pytest.fixture
def made(phi3: Path, rows: Path, here: Here, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunReport:
    monkeypatch.chdir(tmp_path)
    return here.run(
        job(phi3, rows, "out", lora(), {"merge": {}}, {"genai": {"precision": "int4"}}, evaluation=EVALUATION)
    )


def test_the_card_has_the_figures_of_the_report_and_its_code_runs(made: RunReport, tmp_path: Path) -> None:
    text = (tmp_path / "out" / "model" / "README.md").read_text()

    (result,) = ModelCard(text).data.eval_results or []
    told = {metric.name: metric.value for metric in made.evaluation[-1].metrics}
    assert (result.metric_type, result.metric_value) == ("exact_match", told["accuracy"])
    assert f"| sizeOnDisk | bytes | {made.evaluation[0].metrics[1].value:,.0f} | {told['sizeOnDisk']:,.0f} |" in text
    code = text.split("```python\n")[1].split("```")[0]
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path / "out", capture_output=True, text=True, check=False,
        env=os.environ | {"ORT_DISABLE_TELEMETRY": "1"},
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.startswith("Hello")


def test_the_provenance_names_every_file_and_every_input(made: RunReport, tmp_path: Path) -> None:
    said = json.loads((tmp_path / "out" / "model" / "provenance.json").read_text())

    assert made.artifact is not None
    assert len(said["subject"]) == made.artifact.files
    inputs = said["predicate"]["buildDefinition"]["resolvedDependencies"]
    assert [entry["name"] for entry in inputs] == ["model", "data/train"]
    assert said["predicate"]["runDetails"]["builder"]["version"].keys() >= {"millwright", "torch", "onnxruntime-genai"}
    assert str(tmp_path) not in json.dumps(said)


def test_the_same_job_elsewhere_publishes_the_same_to_the_last_byte(
    made: RunReport, phi3: Path, rows: Path, tmp_path: Path
) -> None:
    other = Here(tmp_path / "elsewhere")
    other.folder.mkdir()

    other.run(job(phi3, rows, "out", lora(), {"merge": {}}, {"genai": {"precision": "int4"}}, evaluation=EVALUATION))

    for name in ("manifest.json", "model/README.md", "model/provenance.json"):
        assert (other.folder / "out" / name).read_bytes() == (tmp_path / "out" / name).read_bytes()


def test_what_was_made_is_whole_and_not_signed(made: RunReport, tmp_path: Path) -> None:
    found = verify(open_store(tmp_path / "out"), PublicKey.load(Pair.make().public, "pub.pem"))

    assert found.problems == ["manifest.json.sig: not signed"]
