"""A place where a bad job is run through the real command line, and what is looked at afterwards."""

from __future__ import annotations

import copy
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from tests.importlog import ImportLog
from tests.warm import COMMAND, WarmProcess

HEAVY = {"torch", "transformers", "peft", "onnxruntime", "onnxruntime_genai", "bitsandbytes", "datasets"}
"""Libraries that no bad input may wait for."""

REMOVED = object()
"""As a change's value: the key goes."""

GOOD: dict[str, Any] = {
    "apiVersion": "millwright.dev/v1alpha1",
    "kind": "OptimizationJob",
    "metadata": {"name": "bad"},
    "spec": {
        "model": {"path": "model"},
        "data": [
            {
                "name": "train",
                "source": {"path": "rows.jsonl"},
                "text": {"columns": ["phrase", "tone"], "template": "{phrase}: {tone}", "maxLength": 64},
            }
        ],
        "passes": [
            {"lora": {"r": 4, "trainData": "train", "training": {"maxSteps": 1}}},
            {"merge": {}},
            {"genai": {"precision": "int4"}},
        ],
        "output": {"path": "out"},
    },
}
"""A job that would run: each bad one differs from it in one thing."""

ROWS = b'{"phrase": "Nobody laughed about the letter", "tone": "joy"}\n' * 40


@dataclass(frozen=True)
class Told:
    """What a command said and did.

    Attributes:
        heavy: libraries of HEAVY that were imported.
        made: what lies in the folder that was not there before, without the machine's own folder.
    """

    code: int
    out: str
    err: str
    heavy: list[str]
    made: list[str]


@dataclass
class Ground:
    """A folder with a model of zeros and forty rows, where the command line runs and its imports are watched."""

    folder: Path
    imports: ImportLog

    @classmethod
    def make(cls, folder: Path, model: Path) -> Ground:
        (folder / "model").mkdir()
        for file in model.iterdir():
            os.link(file, folder / "model" / file.name)
        (folder / "rows.jsonl").write_bytes(ROWS)
        return cls(folder, ImportLog(folder / "home" / "imports"))

    def write(self, name: str, content: bytes | str) -> None:
        """Replaces a file; a link's other end stays as it is."""
        file = self.folder / name
        file.unlink(missing_ok=True)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content if isinstance(content, bytes) else content.encode())

    def manifest(self, changes: Mapping[str, Any]) -> None:
        """Writes job.yaml: GOOD with changes by path, such as `spec.passes.0.lora.r`."""
        document = copy.deepcopy(GOOD)
        for path, value in changes.items():
            *above, last = (int(part) if part.isdigit() else part for part in path.split("."))
            node: Any = document
            for part in above:
                node = node[part] if isinstance(part, int) else node.setdefault(part, {})
            if value is REMOVED:
                del node[last]
            else:
                node[last] = value
        self.write("job.yaml", yaml.safe_dump(document, sort_keys=False))

    def run(self, *arguments: str) -> Told:
        """Runs `millwright` in the folder."""
        environment = {"MILLWRIGHT_HOME": str(self.folder / "home"), **self.imports.environment}
        before = self._content()
        process = WarmProcess("millwright_runner", arguments, os.environ | environment, self.folder, loaded=COMMAND)
        out, err = process.communicate(timeout=60)
        heavy = sorted(self.imports.packages & HEAVY)
        return Told(process.returncode, out, err, heavy, sorted(self._content() - before))

    def _content(self) -> set[str]:
        names = (path.relative_to(self.folder).as_posix() for path in self.folder.rglob("*"))
        return {name for name in names if not name.startswith("home/")}
