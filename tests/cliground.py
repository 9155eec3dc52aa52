"""A folder where the real command line runs, with a pass of an outsider's that needs no torch: it does as it is told."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from tests.tiny import make_model_files
from tests.warm import COMMAND, WarmProcess

PLUGIN = '''\
"""A pass that does as it is told."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from millwright_api.errors import Damaged, InvalidModel
from millwright_runner.artifact import HF
from millwright_runner.passes import Pass


class Obey(Pass):
    """Copies the model, or fails as it is told."""

    name: ClassVar[str] = "obey"
    consumes: ClassVar[frozenset[str]] = frozenset({HF})
    produces: ClassVar[str] = HF

    end: Literal["well", "crash", "input", "again", "abort", "never", "exit", "nothing"] = Field(default="well", description="How it ends.")
    steps: int = Field(default=3, ge=0, description="Steps of work.")
    say: str = Field(default="", description="What a library prints, in Python, in a child and past Python.")

    def run(self, artifact, context):
        for step in range(self.steps):
            context.tell("training", done=step + 1, total=self.steps, loss=1.0 / (step + 1))
        if self.say:
            print(self.say, "from python")
            os.write(2, (self.say + " from C\\n").encode())
            subprocess.run(["echo", self.say, "from a child"], check=True)
        while self.end == "never":
            context.tell("waiting for a stop")
            time.sleep(0.01)
            context.stop.check("stopped at step 3; a checkpoint is saved")
        if self.end == "crash":
            raise RuntimeError("tensors of different sizes")
        if self.end == "input":
            raise InvalidModel("it has no head", where="steps", hint="take one with a head")
        if self.end == "again":
            raise Damaged("it arrived torn", where="model")
        if self.end == "abort":
            os.abort()
        if self.end == "exit":
            raise SystemExit(2)
        if self.end == "nothing":
            shutil.rmtree(context.folder)
            return
        shutil.copytree(artifact.folder, context.folder, dirs_exist_ok=True)
'''

BROKEN = "import a_module_that_nobody_has\n"


Started = subprocess.Popen[str] | WarmProcess
"""A command that runs."""


@dataclass(frozen=True)
class Said:
    """What a command said: its exit code, and both streams."""

    code: int
    out: str
    err: str


@dataclass
class CliGround:
    """A folder with a model of zeros, a manifest, and the plug-in on the interpreter's path.

    Attributes:
        fresh: whether each command is an interpreter of its own, for tests of how it starts; otherwise it is a fork of
            a process that has the command line imported.
        more: what else each command's environment has.
        loaded: what that process has imported besides.
    """

    folder: Path
    fresh: bool = False
    more: dict[str, str] = field(default_factory=dict)
    loaded: str = COMMAND

    @classmethod
    def make(cls, folder: Path, *, fresh: bool = False) -> CliGround:
        make_model_files(folder / "model")
        ground = cls(folder, fresh)
        ground.install("obey", "obey:Obey", PLUGIN)
        ground.write_job()
        (folder / "tmp").mkdir()
        return ground

    def install(self, name: str, entry_point: str, code: str, group: str = "millwright.passes") -> None:
        """Puts a plug-in where importlib.metadata finds it, as a wheel would."""
        module = entry_point.partition(":")[0]
        info = self.folder / "plugins" / f"{module}-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[{group}]\n{name} = {entry_point}\n")
        (self.folder / "plugins" / f"{module}.py").write_text(code)

    def write_job(self, *passes: dict[str, Any], name: str = "job.yaml", **spec: Any) -> Path:
        """Writes a manifest whose steps are those options of the plug-in's."""
        steps = [{"name": f"step-{i}", "custom": {"pass": "obey", "options": o}} for i, o in enumerate(passes or ({},))]
        document = {
            "apiVersion": "millwright.dev/v1alpha1",
            "kind": "OptimizationJob",
            "metadata": {"name": "copy"},
            "spec": {"model": {"path": "model"}, "passes": steps, "output": {"path": "out"}, **spec},
        }
        (self.folder / name).write_text(yaml.safe_dump(document, sort_keys=False))
        return self.folder / name

    @property
    def environment(self) -> dict[str, str]:
        """The process's environment: its own home and folder for temporary files, no colours but a terminal's own."""
        own = {
            "MILLWRIGHT_HOME": str(self.folder / "home"),
            "PYTHONPATH": str(self.folder / "plugins"),
            "TMPDIR": str(self.folder / "tmp"),
            "COLUMNS": "100",
        }
        return {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "FORCE_COLOR", "TERM")} | own | self.more

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "millwright_runner", *arguments]

    def run(self, *arguments: str, stdin: str | None = None, **environment: str) -> Said:
        """Runs `millwright` in the folder to its end."""
        if not self.fresh:
            process = self._fork(arguments, environment, given=stdin)
            out, err = process.communicate(timeout=120)
            return Said(process.returncode, out, err)
        done = subprocess.run(
            self.command(*arguments), cwd=self.folder, env=self.environment | environment, input=stdin, capture_output=True,
            encoding="utf-8", errors="surrogateescape", check=False, timeout=120,
        )  # fmt: skip
        return Said(done.returncode, done.stdout, done.stderr)

    def _fork(self, arguments: Sequence[str], environment: Mapping[str, str], **streams: Any) -> WarmProcess:
        return WarmProcess(
            "millwright_runner",
            arguments,
            {**self.environment, **environment},
            self.folder,
            loaded=self.loaded,
            **streams,
        )

    def shell(self, line: str) -> Said:
        """Runs a line of bash in which $M is the command."""
        done = subprocess.run(
            ["bash", "-c", line], cwd=self.folder, env=self.environment | {"M": " ".join(self.command())}, capture_output=True,
            encoding="utf-8", errors="surrogateescape", check=False, timeout=120,
        )  # fmt: skip
        return Said(done.returncode, done.stdout, done.stderr)

    @contextmanager
    def started(self, *arguments: str) -> Iterator[Started]:
        """Starts `millwright` with its stderr on a pipe; it is ended with the block."""
        process = (
            subprocess.Popen(
                self.command(*arguments),
                cwd=self.folder,
                env=self.environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            if self.fresh
            else self._fork(arguments, {})
        )
        try:
            yield process
        finally:
            process.kill()
            process.communicate()

    def on_terminal(self, *arguments: str, **environment: str) -> Said:
        """Runs `millwright` on a terminal of 100 columns; what it shows is in `out`, with its control sequences."""
        master, slave = pty.openpty()
        process = self._fork(arguments, {"TERM": "xterm-256color"} | environment, terminal=slave)
        os.close(slave)
        shown = b""
        while piece := _read(master):
            shown += piece
        os.close(master)
        return Said(process.wait(timeout=120), shown.decode(errors="replace"), "")

    def leftovers(self) -> list[str]:
        """Names of what lies in the folder for temporary files."""
        return sorted(path.name for path in (self.folder / "tmp").iterdir())


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # the last process on it has gone
        return b""
