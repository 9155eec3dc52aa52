"""A search by `millwright run` without torch: passes of a plug-in that mark a model, and a metric that reads the marks."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from tests.cliground import CliGround

PASS = '''\
"""A pass that marks a model, and notes in a file that it ran."""

import json
import os
import shutil
import signal
import time
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from millwright_api.errors import Damaged, InvalidData
from millwright_runner.artifact import HF
from millwright_runner.metrics import Measured, Metric
from millwright_runner.passes import Pass


class Mark(Pass):
    """Adds its value to the model's marks."""

    name: ClassVar[str] = "mark"
    consumes: ClassVar[frozenset[str]] = frozenset({HF})
    produces: ClassVar[str] = HF

    value: float = Field(default=1.0, description="What is added.")
    end: Literal["well", "crash", "input", "again", "kill", "wait"] = Field(default="well", description="How it ends.")

    def run(self, artifact, context):
        folder = Path("@FOLDER@")
        with (folder / "ran").open("a") as file:
            file.write(f"{self.value:g} {os.getpid()}\\n")
        if self.end == "crash":
            raise RuntimeError("tensors of different sizes")
        if self.end == "input":
            raise InvalidData("training diverged", where="value")
        if self.end == "again":
            raise Damaged("it arrived torn", where="model")
        if self.end == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        while self.end == "wait" and not (folder / "go").exists():
            context.tell("waiting")
            context.stop.check("stopped at step 3; a checkpoint is saved")
            time.sleep(0.01)
        shutil.copytree(artifact.folder, context.folder, dirs_exist_ok=True)
        marks = context.folder / "marks.json"
        before = json.loads(marks.read_text()) if marks.exists() else []
        marks.write_text(json.dumps([*before, self.value]))


class Marks(Metric):
    """The sum of a model's marks."""

    name: ClassVar[str] = "marks"
    unit: ClassVar[str] = ""
    higher_is_better: ClassVar[bool] = True
    asks: ClassVar[bool] = False

    def measure(self, model, context):
        marks = model.artifact.folder / "marks.json"
        return Measured(value=float(sum(json.loads(marks.read_text()))) if marks.exists() else 0.0)
'''

TUNE = {"pass": "tune", "option": "value", "choice": [10.0, 20.0]}
PACK = {"pass": "pack", "option": "value", "choice": [1.0, 3.0, 2.0]}


@dataclass
class SearchGround:
    """A folder with a model, the plug-in, and a manifest whose search is over two steps, tune and pack.

    Attributes:
        cli: runs the command there.
    """

    cli: CliGround

    @classmethod
    def make(cls, folder: Path) -> SearchGround:
        cli = CliGround.make(folder)
        cli.install("mark", "marking:Mark", PASS.replace("@FOLDER@", str(folder)))
        info = folder / "plugins" / "marking-1.0.dist-info" / "entry_points.txt"
        info.write_text(info.read_text() + "[millwright.metrics]\nmarks = marking:Marks\n")
        ground = cls(cli)
        ground.write()
        return ground

    def write(
        self,
        *parameters: dict[str, Any],
        tune: dict[str, Any] | None = None,
        pack: dict[str, Any] | None = None,
        evaluation: dict[str, Any] | None = None,
        spec: dict[str, Any] | None = None,
        **search: Any,
    ) -> None:
        """Writes the manifest: the grid of two fine-tunes with three packings each, the largest sum is best."""
        steps = [
            {"name": name, "custom": {"pass": "mark", "options": options or {}}}
            for name, options in (("tune", tune), ("pack", pack))
        ]
        document = {
            "apiVersion": "millwright.dev/v1alpha1",
            "kind": "OptimizationJob",
            "metadata": {"name": "marks"},
            "spec": {
                "model": {"path": "model"},
                "passes": steps,
                "evaluation": {"metrics": [{"name": "sum", "custom": {"metric": "marks"}}], **(evaluation or {})},
                "search": {
                    "algorithm": {"grid": {}},
                    "parameters": list(parameters) or [TUNE, PACK],
                    "objectives": [{"metric": "sum", "direction": "Maximize"}],
                    "maxTrials": 6,
                    **search,
                },
                "output": {"path": "out"},
                **(spec or {}),
            },
        }
        (self.cli.folder / "job.yaml").write_text(yaml.safe_dump(document, sort_keys=False))

    def by_hand(self, tune: float, pack: float) -> str:
        """Writes the manifest of one point of the grid, without a search; returns its name."""
        document = yaml.safe_load((self.cli.folder / "job.yaml").read_text())
        spec = document["spec"]
        del spec["search"]
        spec["output"]["path"] = "by-hand"
        for step, value in zip(spec["passes"], (tune, pack), strict=True):
            step["custom"]["options"]["value"] = value
        (self.cli.folder / "by-hand.yaml").write_text(yaml.safe_dump(document, sort_keys=False))
        return "by-hand.yaml"

    @property
    def ran(self) -> list[tuple[float, int]]:
        """Each run of a pass so far: its value, and the process."""
        file = self.cli.folder / "ran"
        lines = file.read_text().splitlines() if file.exists() else []
        return [(float(value), int(pid)) for value, pid in map(str.split, lines)]

    @property
    def values(self) -> list[float]:
        """The values of the passes that ran, sorted."""
        return sorted(value for value, _ in self.ran)

    @property
    def trials(self) -> list[dict[str, Any]]:
        """The lines of trials.jsonl beside the published model."""
        file = next((self.cli.folder / "out").glob("*/trials.jsonl"))
        return [json.loads(line) for line in file.read_text().splitlines()]

    @property
    def marks(self) -> list[float]:
        """The marks of the published model."""
        loaded: list[float] = json.loads((self.cli.folder / "out" / "model" / "marks.json").read_text())
        return loaded
