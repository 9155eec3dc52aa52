"""peakMemory: how much memory it takes to run a model. Also the process that does nothing else."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field

from millwright_api.errors import InvalidModel, MemoryInsufficient, MillwrightError, PassFailed
from millwright_runner.artifact import Artifact
from millwright_runner.data.tokens import Tokens, read_json
from millwright_runner.metrics import Measured, Metric, MetricContext
from millwright_runner.metrics.speed import MAX_TOKENS, check_room, prompts
from millwright_runner.process import leave, prepare
from millwright_runner.subjects import Subject
from millwright_runner.subjects.genai_model import DEVICES

POLL_SECONDS = 0.1
"""Between two looks at whether a stop was asked for."""

ORPHAN = 128 + 1
"""Exit code of a process whose parent has gone, as of one that lost its terminal."""

LAST_BYTES = 2000
"""What a message shows of what a process that failed had printed: its end."""

PROVIDERS = {device: provider for provider, device in DEVICES.items()}


class PeakMemory(Metric):
    """Most memory that a process has while it runs the model. `peakMemory: {promptTokens: 1024}`

    A fresh process loads the model and generates once; what it holds of Python and its libraries counts. On a GPU
    the detail cudaBytes is the most that torch took of the GPU's memory, which the value does not have in it.
    """

    name: ClassVar[str] = "peakMemory"
    unit: ClassVar[str] = "bytes"
    higher_is_better: ClassVar[bool] = False
    of_machine: ClassVar[bool] = True

    prompt_tokens: int = Field(default=128, ge=1, le=MAX_TOKENS, description="Tokens of the prompt. Default: 128.")
    new_tokens: int = Field(default=32, ge=1, le=MAX_TOKENS, description="Tokens that are generated. Default: 32.")

    def check(self, tokens: Tokens) -> None:
        """Refuses lengths that the model has no room for."""
        check_room(tokens, self.prompt_tokens, self.new_tokens)

    def measure(self, model: Subject, context: MetricContext) -> Measured:
        """Runs the process and waits for it.

        Raises:
            MemoryInsufficient: the system killed it.
            PassFailed: it broke.
        """
        task = {
            "artifact": as_data(model.artifact),
            "provider": PROVIDERS.get(model.device, "CPUExecutionProvider"),
            "trustRemoteCode": context.trust_remote_code,
            "prompt": prompts(context.tokens, 1, self.prompt_tokens)[0],
            "newTokens": self.new_tokens,
        }
        model.close()  # two of it at once are more than a pod may be allowed
        found = _run(task, context)
        cuda = {"cudaBytes": float(found["cuda"])} if found["cuda"] else {}
        return Measured(value=float(found["resident"]), n=1, details=cuda)


def as_data(artifact: Artifact) -> dict[str, Any]:
    """Returns an artifact as JSON, for the other process."""
    base = as_data(artifact.base) if artifact.base is not None else None
    return {"folder": str(artifact.folder.absolute()), "format": artifact.format, "base": base}


def from_data(data: dict[str, Any]) -> Artifact:
    """Returns the artifact of `as_data`; its digest stays empty, nobody asks there."""
    base = from_data(data["base"]) if data["base"] is not None else None
    return Artifact(Path(data["folder"]), data["format"], "", base)


def _run(task: dict[str, Any], context: MetricContext) -> dict[str, int]:
    asked, told, printed = (context.scratch / name for name in ("task.json", "told.json", "printed"))
    asked.write_text(json.dumps(task))
    with printed.open("wb") as log:
        command = [sys.executable, "-P", "-m", __name__, str(asked), str(told)]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=log, stderr=log)
        assert process.stdin is not None  # nothing is written: it closes when this process is gone, however that ends
        try:
            while process.poll() is None:
                context.check()
                time.sleep(POLL_SECONDS)
        finally:
            process.kill()
            process.wait()
            process.stdin.close()
    if process.returncode == 0:
        found: dict[str, int] = json.loads(told.read_text())
        return found
    said = printed.read_bytes()[-LAST_BYTES:].decode(errors="replace").strip()
    if process.returncode == -9:
        raise MemoryInsufficient("the process that ran the model alone was killed: this machine has too little memory")
    kind = InvalidModel if process.returncode == InvalidModel.exit_code else PassFailed
    raise kind(
        f"the process that ran the model alone failed: {said.splitlines()[-1] if said else f'exit code {process.returncode}'}"
    )


def resident_bytes() -> int:
    """Returns the most memory that this process has had at once since it began to run this program.

    Linux's ru_maxrss is no measure of that: it starts at what the process had that this one was forked from.
    """
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # macOS counts bytes, and from zero


def alone(asked: Path, told: Path) -> int:
    """Loads a model, generates, and writes what that took; returns the process's exit code.

    Args:
        asked: file with what to do, as `PeakMemory.measure` makes it.
        told: file for the result: resident and cuda, in bytes.
    """
    task = json.loads(asked.read_text())
    artifact = from_data(task["artifact"])
    _hide_unneeded(artifact)
    from millwright_runner.subjects.opening import open_subject

    try:
        subject = open_subject(artifact, provider=task["provider"], trust_remote_code=task["trustRemoteCode"])
        subject.timed([task["prompt"]], new_tokens=task["newTokens"])
    except MillwrightError as error:
        sys.stderr.write(f"\n{error}\n")
        return error.exit_code
    told.write_text(json.dumps({"resident": resident_bytes(), "cuda": _cuda_bytes()}))
    return 0


def _end_with_parent() -> None:
    """Ends this process as soon as the one that started it is gone: nobody would read the result."""

    def wait() -> None:
        """Returns from reading when the other end is closed."""
        sys.stdin.buffer.read()
        os._exit(ORPHAN)

    threading.Thread(target=wait, daemon=True).start()


def _hide_unneeded(artifact: Artifact) -> None:
    """Libraries that transformers only imports because they are installed are no part of what the model takes."""
    from millwright_runner.training.loading import hide_unneeded

    whole = artifact.base or artifact
    hide_unneeded({"bitsandbytes"} if "quantization_config" in read_json(whole.folder / "config.json") else set())


def _cuda_bytes() -> int:
    torch: Any = sys.modules.get("torch")
    return int(torch.cuda.max_memory_allocated()) if torch is not None and torch.cuda.is_available() else 0


if __name__ == "__main__":
    prepare([])
    _end_with_parent()
    leave(alone(Path(sys.argv[1]), Path(sys.argv[2])))
