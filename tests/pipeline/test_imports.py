"""What a command imports and reads: nothing heavy that its work does not need, nothing large twice."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.importlog import ImportLog
from tests.pipeline.jobs import COMMAND, TONES, Mill, job, lora
from tests.strace import bytes_read, strace

HEAVY = {
    "torch", "transformers", "peft", "accelerate", "onnxruntime", "onnxruntime_genai", "onnx", "onnx_ir", "datasets", "pyarrow", "pandas",
    "boto3", "botocore", "huggingface_hub", "bitsandbytes", "numpy", "safetensors", "azure", "msal", "msrest",
}  # fmt: skip

WEIGHTS = (".safetensors", ".onnx", ".onnx.data")

HEADER, LARGE = 64 * 1024, 500_000
"""Bytes: what a look at a file's header reads at most, and what the model's weights have at least."""

OLIVE = {
    "input_model": {"type": "HfModel", "model_path": "model"},
    "passes": {"build": {"type": "ModelBuilder", "precision": "int4"}},
    "output_dir": "out",
}


@pytest.fixture
def log(tmp_path: Path) -> ImportLog:
    return ImportLog(tmp_path / "imports")


def call(mill: Mill, log: ImportLog, *arguments: str) -> None:
    done = subprocess.run(
        [*COMMAND, *arguments],
        env=mill.environment | log.environment,
        cwd=mill.folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def manifest(mill: Mill, phi3: Path, rows: Path, *passes: dict[str, Any]) -> dict[str, Any]:
    return job(phi3, rows, mill.folder / "out", *passes)


def test_the_watch_sees_what_is_imported_and_not_what_is_looked_for(log: ImportLog, mill: Mill) -> None:
    code = "import importlib.util, subprocess, sys; assert importlib.util.find_spec('torch'); import yaml; "
    code += "subprocess.run([sys.executable, '-c', 'import pydantic'], check=True)"

    subprocess.run([sys.executable, "-c", code], env=mill.environment | log.environment, check=True)

    assert {"yaml", "pydantic"} <= log.packages
    assert "torch" not in log.packages


@pytest.mark.parametrize(
    "arguments",
    [("--help",), ("--version",), ("run", "--help"), ("passes",), ("passes", "lora"), ("passes", "--json")],
    ids=" ".join,
)
def test_asking_for_help_imports_nothing_heavy(mill: Mill, log: ImportLog, arguments: tuple[str, ...]) -> None:
    call(mill, log, *arguments)

    assert log.packages & HEAVY == set()


@pytest.mark.parametrize("verb", ["validate", "plan"])
def test_checking_a_manifest_imports_nothing_heavy(
    mill: Mill, log: ImportLog, phi3: Path, rows: Path, verb: str
) -> None:
    call(mill, log, verb, str(mill.write(manifest(mill, phi3, rows))))

    assert log.packages & HEAVY == set()


def test_importing_an_olive_workflow_imports_nothing_heavy(mill: Mill, log: ImportLog) -> None:
    (mill.folder / "olive.json").write_text(json.dumps(OLIVE))

    call(mill, log, "import", "olive.json")

    assert log.packages & HEAVY == set()


def test_a_full_hit_imports_nothing_heavy_and_reads_no_large_file_again(
    mill: Mill, log: ImportLog, phi3: Path, rows: Path
) -> None:
    document = manifest(mill, phi3, rows)
    first = strace(
        "read,readv,pread64",
        mill.folder / "first",
        [*COMMAND, "run", str(mill.write(document))],
        mill.environment,
        mill.folder,
    )
    assert first.returncode == 0, first.stderr

    again = strace(
        "read,readv,pread64", mill.folder / "again",
        [*COMMAND, "run", str(mill.write(document)), "--json"], mill.environment | log.environment, mill.folder,
    )  # fmt: skip

    assert {step["cache"] for step in json.loads(again.stdout)["passes"]} == {"Hit"}
    assert log.packages & HEAVY == set()
    before, after = bytes_read(mill.folder / "first"), bytes_read(mill.folder / "again")
    assert before["model.safetensors"] > LARGE  # the watch sees it
    assert {name: size for name, size in after.items() if name.endswith(WEIGHTS) and size > HEADER} == {}


def test_a_full_hit_that_was_measured_draws_no_page_and_loads_no_tokenizer(
    mill: Mill, log: ImportLog, phi3: Path, rows: Path
) -> None:
    document = manifest(mill, phi3, rows, lora(), {"merge": {}})
    metrics = [{"exactMatch": {"labels": list(TONES)}}, {"sizeOnDisk": {}}]
    document["spec"]["evaluation"] = {"data": "train", "after": ["input", "last"], "metrics": metrics}
    assert mill.run(document).code == 0
    page = (mill.folder / "out" / "report.html").read_bytes()

    call(mill, log, "run", str(mill.write(document)))

    assert log.packages & (HEAVY | {"pygal", "jinja2", "tokenizers"}) == set()
    assert (mill.folder / "out" / "report.html").read_bytes() == page


def test_a_hit_that_is_published_anew_imports_nothing_heavy_and_makes_no_copy(
    mill: Mill, log: ImportLog, phi3: Path, rows: Path
) -> None:
    cache = ("--cache", str(mill.folder / "cache"))
    assert mill.run(manifest(mill, phi3, rows), *cache).code == 0
    elsewhere = job(phi3, rows, mill.folder / "elsewhere")

    call(mill, log, "run", str(mill.write(elsewhere)), *cache)

    assert log.packages & HEAVY == set()
    assert (mill.folder / "elsewhere" / "model" / "model.onnx").is_file()


def test_a_training_imports_no_library_of_other_passes(mill: Mill, log: ImportLog, phi3: Path, rows: Path) -> None:
    call(mill, log, "run", str(mill.write(manifest(mill, phi3, rows, lora(), {"merge": {}}))))

    assert {"torch", "transformers", "peft"} <= log.packages
    assert (
        log.packages
        & {"bitsandbytes", "datasets", "pandas", "pyarrow", "boto3", "onnxruntime", "onnxruntime_genai", "onnx"}
        == set()
    )


def test_a_quantized_training_imports_what_it_needs(mill: Mill, log: ImportLog, phi3: Path, rows: Path) -> None:
    step = {"qlora": lora(training={"maxSteps": 1, "gradientAccumulationSteps": 1})["lora"]}

    call(mill, log, "run", str(mill.write(manifest(mill, phi3, rows, step))))

    assert "bitsandbytes" in log.packages
    assert log.packages & {"datasets", "pandas", "pyarrow", "boto3", "onnxruntime"} == set()
