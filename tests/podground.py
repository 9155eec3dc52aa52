"""A folder that looks as a pod does from the inside: a job, volumes, a termination message; roles run in it as processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.cliground import PLUGIN, CliGround
from tests.importlog import ImportLog
from tests.tiny import make_model_files
from tests.warm import COMMAND, TRAINING, WarmProcess

from millwright_api.report import RunReport

ROW = {"phrase": "The old man laughed about the letter", "tone": "joy"}
DATA: dict[str, Any] = {
    "name": "train",
    "source": {"volume": {"claimName": "team", "path": "rows.jsonl"}},
    "text": {"columns": ["phrase", "tone"], "template": "{phrase}: {tone}", "maxLength": 64},
}
LORA: dict[str, Any] = {"lora": {"r": 4, "trainData": "train", "training": {"maxSteps": 2}}}
CHAIN: list[dict[str, Any]] = [LORA, {"merge": {}}, {"genai": {"precision": "int4"}}]


Role = subprocess.Popen[str] | WarmProcess
"""A role's process."""


def obey(name: str, **options: Any) -> dict[str, Any]:
    """A step of the outsider's pass that does as it is told."""
    return {"name": name, "custom": {"pass": "obey", "options": options}}


@dataclass(frozen=True)
class Word:
    """How a role ended.

    Attributes:
        code: the process's exit code.
        out, err: what it said to people.
        message: the termination message as it was written.
    """

    code: int
    out: str
    err: str
    message: bytes

    @property
    def report(self) -> RunReport:
        return RunReport.model_validate_json(self.message)


@dataclass
class PodGround:
    """A claim `team` with a model of zeros and forty rows; the output is a folder of the claim.

    Attributes:
        warm: whether the process that roles are forks of has torch already. Where somebody looks at their imports they
            are interpreters of their own.
        loaded: what else that process has; empty: by `warm`.
    """

    folder: Path
    spec: dict[str, Any] = field(default_factory=dict)
    warm: bool = False
    loaded: str = ""

    @classmethod
    def make(cls, folder: Path, *, warm: bool = False, loaded: str = "") -> PodGround:
        ground = cls(folder, warm=warm, loaded=loaded)
        ground.claim.mkdir(parents=True)
        (folder / "job").mkdir()
        make_model_files(ground.claim / "model")
        (ground.claim / "rows.jsonl").write_text((json.dumps(ROW) + "\n") * 40)
        CliGround(folder).install("obey", "obey:Obey", PLUGIN)
        ground.write()
        return ground

    @property
    def claim(self) -> Path:
        return self.folder / "volumes" / "team"

    def write(self, **spec: Any) -> None:
        """Writes the job as the operator does: JSON, and no more of the metadata than the names."""
        self.spec = {
            "model": {"volume": {"claimName": "team", "path": "model"}},
            "data": [DATA],
            "passes": CHAIN,
            "output": {"volume": {"claimName": "team", "path": "out"}},
            **spec,
        }
        document = {
            "apiVersion": "millwright.dev/v1alpha1",
            "kind": "OptimizationJob",
            "metadata": {"name": "emotion", "namespace": "team-a"},
            "spec": self.spec,
        }
        (self.folder / "job" / "manifest.json").write_text(json.dumps(document))

    @property
    def environment(self) -> dict[str, str]:
        own = {
            "MILLWRIGHT_JOB": str(self.folder / "job"),
            "MILLWRIGHT_TERMINATION_LOG": str(self.folder / "termination-log"),
            "MILLWRIGHT_HOME": str(self.folder / "scratch"),
            "MILLWRIGHT_VOLUMES": str(self.folder / "volumes"),
            "MILLWRIGHT_TOKEN": str(self.folder / "token"),
            "PYTHONPATH": str(self.folder / "plugins"),
            "OMP_NUM_THREADS": "1",
        }
        return os.environ | own

    def run(self, role: str, *, imports: ImportLog | None = None, **environment: str) -> Word:
        """Runs a role to its end."""
        process = self.start(role, imports=imports, **environment)
        return self.end(process)

    def start(self, role: str, *, imports: ImportLog | None = None, **environment: str) -> Role:
        """Starts a role, as a fresh pod: without an earlier one's message and scratch."""
        (self.folder / "termination-log").write_bytes(b"")
        watched = self.environment | environment
        if imports is not None:
            path = os.pathsep.join([imports.environment["PYTHONPATH"], watched["PYTHONPATH"]])
            watched |= imports.environment | {"PYTHONPATH": path}
        if imports is None:
            loaded = self.loaded or (TRAINING if self.warm else COMMAND)
            return WarmProcess("millwright_runner.pod", [role], watched, self.folder, loaded=loaded)
        return subprocess.Popen(
            [sys.executable, "-m", "millwright_runner.pod", role],
            cwd=self.folder,
            env=watched,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def end(self, process: Role) -> Word:
        """Waits for a role's end."""
        out, err = process.communicate(timeout=300)
        return Word(process.returncode, out, err, (self.folder / "termination-log").read_bytes())

    @contextmanager
    def started(self, role: str, **environment: str) -> Iterator[Role]:
        """Starts a role; it is ended with the block, if it still runs."""
        process = self.start(role, **environment)
        try:
            yield process
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
                process.communicate()

    def read(self, process: Role, word: str) -> str:
        """Reads what a role says up to the line with a word."""
        assert process.stdout is not None
        said = ""
        for line in process.stdout:
            said += line
            if word in line:
                return said
        raise AssertionError(f"it never said {word!r}, but: {said}")
