"""probe: a pass that works, waits or breaks as it is told, in seconds and without torch; for tests of what surrounds passes.

It copies its input, counts its own units of work, keeps checkpoints and says from which it went on. units: a metric that
reads how many units the last probe did.
"""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from millwright_api.errors import InvalidData, TryAgain
from millwright_runner.artifact import HF, Artifact
from millwright_runner.metrics import Measured, Metric, MetricContext
from millwright_runner.passes import Context, Pass
from millwright_runner.subjects import Subject

UNIT = 0.25


class Probe(Pass):
    """Copies a model, in so many units of a quarter of a second."""

    name: ClassVar[str] = "probe"
    consumes: ClassVar[frozenset[str]] = frozenset({HF})
    produces: ClassVar[str] = HF

    units: int = Field(default=1, ge=0, le=100_000, description="Units of work, each a quarter of a second.")
    until_stopped: bool = Field(default=False, description="It works without end until it has been stopped once.")
    fails: Literal["bug", "user", "again", "exit", "child-memory", "memory"] | None = Field(
        default=None, description="How it breaks, after its work."
    )
    mark: str = Field(default="", description="Tells apart two that are otherwise equal.")
    blob: int = Field(default=0, ge=0, le=4096, description="MiB of random bytes that the result has besides.")

    def run(self, artifact: Artifact, context: Context) -> None:
        """Works, waits or breaks."""
        shutil.copytree(artifact.folder, context.folder, dirs_exist_ok=True)
        done = self._resume(context)
        resumed = done > 0
        while done < self.units or (self.until_stopped and not resumed):
            if context.stop.signal is not None:
                self._checkpoint(context, done)
                context.stop.check(f"at unit {done}")
            time.sleep(UNIT)
            done += 1
            context.tell("probing", done=done, total=max(self.units, done), loss=1.0 / done)
            if done % context.checkpoints.every_steps == 0:
                self._checkpoint(context, done)
        if self.fails:
            self._break(self.fails)
        if self.blob:
            with (context.folder / "blob.bin").open("wb") as file, Path("/dev/urandom").open("rb") as noise:
                for _ in range(self.blob):
                    file.write(noise.read(1 << 20))
        (context.folder / "probe.txt").write_text(f"{self.mark} {done}\n")
        context.metrics["units"] = done

    def _resume(self, context: Context) -> int:
        latest = context.checkpoints.latest()
        if latest is None:
            return 0
        context.resumed_from = int((latest / "unit").read_text())
        print(f"probe: resumed from {context.resumed_from}", flush=True)
        return context.resumed_from

    def _checkpoint(self, context: Context, done: int) -> None:
        folder = context.scratch / "checkpoint"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "unit").write_text(str(done))
        context.checkpoints.save(folder, done)

    def _break(self, how: str) -> None:
        if how == "user":
            raise InvalidData("the probe was told to find its data wrong", where="units", hint="tell it otherwise")
        if how == "again":
            raise TryAgain("the probe was told to try again")
        if how == "exit":
            ctypes.CDLL(None)._exit(9)
        if how == "memory":
            hoard = [bytearray(b"x" * (64 << 20)) for _ in range(1000)]
            raise AssertionError(f"{len(hoard)} pieces fitted")
        if how == "child-memory":
            subprocess.run(
                [sys.executable, "-c", "x = [bytearray(b'x' * (64 << 20)) for _ in range(1000)]"], check=True
            )
        raise RuntimeError("the probe was told to break: line of user code 4711")


class Units(Metric):
    """How many units of work the probe did that made a model; none for a model of nobody's making."""

    name: ClassVar[str] = "units"
    unit: ClassVar[str] = "units"
    higher_is_better: ClassVar[bool] = True
    asks: ClassVar[bool] = False
    libraries: ClassVar[tuple[str, ...]] = ()

    def measure(self, model: Subject, context: MetricContext) -> Measured:
        """Reads it from the probe's own file."""
        file = model.artifact.folder / "probe.txt"
        print(f"units: measured {model.artifact.folder.name}", flush=True)
        return Measured(float(file.read_text().split()[-1]) if file.exists() else 0.0)
