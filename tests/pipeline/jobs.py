"""Jobs for pipeline tests: a manifest as data, and the real command line run on it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.warm import WarmProcess

from millwright_api.names import fingerprint
from millwright_api.report import RunReport
from millwright_api.v1alpha1 import OptimizationJob
from millwright_runner import pipeline
from millwright_runner.cli.watch import Watch
from millwright_runner.passes import StopFlag
from millwright_runner.plan import Settings, make_plan
from millwright_runner.stores import Location

TONES = ("sad", "joy", "fear", "surprise")
TEMPLATE = "### Text: {phrase}\n### The tone is:\n{tone}"


def write_rows(path: Path, rows: int = 64) -> Path:
    """Writes phrases with tones, as JSON lines."""
    path.write_text(
        "".join(
            json.dumps({"phrase": f"The old man looked at the storm, number {i}", "tone": TONES[i % 4]}) + "\n"
            for i in range(rows)
        )
    )
    return path


def lora(**options: Any) -> dict[str, Any]:
    """A short training: eight steps of four sequences, a checkpoint every three."""
    training = {
        "seed": 0,
        "maxSteps": 8,
        "gradientAccumulationSteps": 4,
        "learningRate": 1e-3,
        "dtype": "float32",
        "loggingSteps": 2,
    }
    return {
        "lora": {
            "r": 8,
            "alpha": 16,
            "trainData": "train",
            **options,
            "training": training | options.get("training", {}),
        }
    }


def job(model: Path, data: Path, output: Path | str, *passes: dict[str, Any], **spec: Any) -> dict[str, Any]:
    """A manifest of these passes; by default lora, merge, genai."""
    kind = {"s3": "s3", "http": "azureBlob", "https": "azureBlob"}.get(str(output).partition("://")[0])
    place: dict[str, Any] = {kind: {"uri": output}} if kind else {"path": str(output)}
    return {
        "apiVersion": "millwright.dev/v1alpha1",
        "kind": "OptimizationJob",
        "metadata": {"name": "test"},
        "spec": {
            "model": {"path": str(model)},
            "data": [
                {
                    "name": "train",
                    "source": {"path": str(data)},
                    "text": {
                        "columns": ["phrase", "tone"],
                        "template": TEMPLATE,
                        "answer": "tone",
                        "strategy": "line-by-line",
                        "maxLength": 128,
                    },
                }
            ],
            "passes": list(passes) or [lora(), {"merge": {}}, {"genai": {"precision": "int4"}}],
            "output": place,
            "checkpoint": {"everySteps": 3},
            **spec,
        },
    }


@dataclass(frozen=True)
class Result:
    """What a run of the command left: exit code, what it printed, its report."""

    code: int
    out: str
    err: str

    @property
    def report(self) -> dict[str, Any]:
        """The RunReport that --json prints."""
        loaded: dict[str, Any] = json.loads(self.out)
        return loaded


@dataclass(frozen=True)
class Mill:
    """The command line, with a home of its own."""

    folder: Path

    def write(self, manifest: dict[str, Any]) -> Path:
        """Writes a manifest, named after its content."""
        path = self.folder / f"job-{fingerprint(manifest)[:8]}.json"
        path.write_text(json.dumps(manifest))
        return path

    def run(
        self, manifest: dict[str, Any], *options: str, env: dict[str, str] | None = None, fresh: bool = False
    ) -> Result:
        """Runs a job to its end, in a fresh interpreter where its imports are looked at."""
        command = ("run", str(self.write(manifest)), "--json", *options)
        environment = self.environment | (env or {})
        if fresh:
            done = subprocess.run(
                [*COMMAND, *command], capture_output=True, text=True, env=environment, cwd=self.folder, check=False
            )
            return Result(done.returncode, done.stdout, done.stderr)
        process = WarmProcess("millwright_runner", command, environment, self.folder)
        out, err = process.communicate(timeout=300)
        return Result(process.returncode, out, err)

    def start(self, manifest: dict[str, Any], *options: str) -> WarmProcess:
        """Starts a job; its progress goes to `progress` in the folder."""
        command = ("run", str(self.write(manifest)), "--json", *options)
        (self.folder / "progress").touch()
        return WarmProcess("millwright_runner", command, self.environment, self.folder, err=self.folder / "progress")

    def run_until(self, manifest: dict[str, Any], condition: Callable[[], Any], number: signal.Signals) -> Result:
        """Runs a job, and sends it a signal as soon as something holds; fails when it ends before that."""
        process = self.start(manifest)
        wait_for(lambda: condition() or process.poll() is not None)
        assert condition(), f"it ended before: {self.said()}"
        process.send_signal(number)  # does nothing when it ended in the meantime
        out, _ = process.communicate(timeout=120)
        return Result(process.returncode, out, self.said())

    def said(self) -> str:
        """What the job that was started last has told so far."""
        return (self.folder / "progress").read_text()

    @property
    def environment(self) -> dict[str, str]:
        """This process's, with one thread, so that sums are always in the same order."""
        return os.environ | {"MILLWRIGHT_HOME": str(self.folder / "home"), "OMP_NUM_THREADS": "1"}


@dataclass(frozen=True)
class Here:
    """The loop in this process, with a home of its own."""

    folder: Path

    def run(self, manifest: dict[str, Any], cache: Location | Path | None = None) -> RunReport:
        """Plans and runs a job to its end."""
        settings = Settings(base=self.folder, home=self.folder / "home", cache=cache)
        plan = make_plan(OptimizationJob.model_validate(manifest), settings)
        return pipeline.run(plan, settings, Watch(), StopFlag())


COMMAND = (sys.executable, "-m", "millwright_runner")


def wait_for(condition: Callable[[], Any], seconds: float = 60) -> None:
    """Waits until something holds, looking often."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come to hold"
        time.sleep(0.01)
