"""Runs submitted command jobs for real: the code snapshot in a fresh folder, the command under /bin/sh, its output as the
job's log, a managed identity for its login."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.azureml.blobs import Blobs
from tests.azureml.job import Job
from tests.azureml.login import IDENTITY_HEADER
from tests.azureml.workspace import Workspace

GRACE_SECONDS = 10.0
REFERENCE = re.compile(r"\$\{\{\s*([\w.]+)\s*\}\}")


class Executor:
    """Runs jobs below a folder.

    Attributes:
        environment: what a job's process finds besides its definition's variables and what Azure ML sets: a test's own.
        grace: seconds between SIGTERM and SIGKILL of a canceled job.
    """

    def __init__(self, folder: Path, base: str, node: Mapping[str, str], blobs: Blobs) -> None:
        self.environment: dict[str, str] = {}
        self.grace = GRACE_SECONDS
        self._folder, self._base, self._node, self._blobs = folder, base, dict(node), blobs
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()
        self._stopped = False

    def start(self, workspace: Workspace, job: Job) -> None:
        """Starts a job in a thread of its own."""
        job.on_cancel = lambda: self._cancel(job)
        thread = threading.Thread(target=self._run, args=(workspace, job), daemon=True)
        with self._lock:
            self._threads.append(thread)
        thread.start()

    def stop(self) -> None:
        """Kills what still runs and waits for it."""
        with self._lock:
            self._stopped = True
            for process in self._running.values():
                _signal(process, signal.SIGKILL)
        for thread in self._threads:
            thread.join()

    def _run(self, workspace: Workspace, job: Job) -> None:
        try:
            self._through(workspace, job)
        except Exception as error:
            job.fail("ServiceError", f"the stub could not run the job: {error!r}")

    def _through(self, workspace: Workspace, job: Job) -> None:
        job.state("Queued").state("Preparing")
        folder = self._folder / workspace.name / job.name
        code = folder / "wd"
        code.mkdir(parents=True)
        if (wanted := job.definition.get("codeId")) is not None:
            self._fetch(workspace, wanted, code)
        command = self._command(job)
        with self._lock:
            if self._stopped or job.canceling:
                process = None
            else:
                process = subprocess.Popen(
                    ["/bin/sh", "-c", command], cwd=code, env=self._environment(workspace, job, folder), start_new_session=True,
                    stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                )  # fmt: skip
                self._running[job.name] = process
                job.state("Running")
        if process is None:
            job.state("Canceled")
            return
        timer = self._time_limit(job, process)
        reader = threading.Thread(target=_read, args=(job, process), daemon=True)
        reader.start()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        _signal(process, signal.SIGKILL)  # what it has left behind ends with it, as in a container
        reader.join()
        job.exit_code = process.wait()
        if timer is not None:
            timer.cancel()
        with self._lock:
            del self._running[job.name]
        self._end(job)
        shutil.rmtree(folder, ignore_errors=True)

    def _end(self, job: Job) -> None:
        if job.canceling:
            job.state("Canceled")
        elif job.exit_code == 0:
            job.complete()
        else:
            tail = "".join(job.logs.get("user_logs/std_log.txt", "").splitlines(keepends=True)[-5:])
            code = job.exit_code if job.exit_code is not None and job.exit_code >= 0 else 128 - (job.exit_code or 0)
            job.fail(
                "UserError",
                "Execution failed. User process '/bin/sh' exited with status code "
                f"{code}. Please check log file 'user_logs/std_log.txt' for error details. Error: {tail}",
            )

    def _fetch(self, workspace: Workspace, code: str, folder: Path) -> None:
        name, _, version = code.rsplit("/", 3)[1:]
        found = workspace.assets.found("codes", name, version)
        if found is None:
            raise FileNotFoundError(code)
        container, _, prefix = found["properties"]["codeUri"].split("/", 3)[3].partition("/")
        prefix = f"{prefix.rstrip('/')}/" if prefix else ""
        for blob in self._blobs.names(container, prefix):
            path = folder / blob.removeprefix(prefix)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(self._blobs.get(container, blob))

    def _command(self, job: Job) -> str:
        """Returns the command with its literal inputs put in, as the service does."""
        inputs = job.definition.get("inputs") or {}

        def value(match: re.Match[str]) -> str:
            kind, _, name = match[1].partition(".")
            if kind != "inputs" or "value" not in inputs.get(name, {}):
                raise ValueError(f"the stub runs commands with literal inputs only; found {match[0]}")
            return str(inputs[name]["value"])

        return REFERENCE.sub(value, job.definition["command"])

    def _environment(self, workspace: Workspace, job: Job, folder: Path) -> dict[str, str]:
        home, temporary = folder / "home", folder / "tmp"
        home.mkdir()
        temporary.mkdir()
        given = {
            "PATH": f"{Path(sys.executable).parent}:{os.environ.get('PATH', '/usr/bin:/bin')}", "HOME": str(home),
            "TMPDIR": str(temporary), "LANG": "C.UTF-8", "PYTHONUNBUFFERED": "1",
            "AZUREML_RUN_ID": job.name, "AZUREML_ROOT_RUN_ID": job.name, "AZUREML_WORKSPACE_NAME": workspace.name,
            "AZUREML_ARM_SUBSCRIPTION": workspace.subscription, "AZUREML_ARM_RESOURCEGROUP": workspace.group,
            "AZUREML_ARM_WORKSPACE_NAME": workspace.name, "AZUREML_ARM_PROJECT_NAME": job.definition.get("experimentName", "Default"),
            "AZUREML_EXPERIMENT_NAME": job.definition.get("experimentName", "Default"),
            "MSI_ENDPOINT": f"{self._base}/identity/token", "MSI_SECRET": IDENTITY_HEADER,
        }  # fmt: skip
        identity: Mapping[str, Any] = job.definition.get("identity") or {}
        if identity.get("clientId"):
            given["DEFAULT_IDENTITY_CLIENT_ID"] = identity["clientId"]
        if identity.get("identityType") == "UserIdentity":
            given["OBO_ENDPOINT"] = f"{self._base}/identity/obo"
            del given["MSI_ENDPOINT"], given["MSI_SECRET"]
        return {**self._node, **given, **self.environment, **job.environment}

    def _time_limit(self, job: Job, process: subprocess.Popen[bytes]) -> threading.Timer | None:
        seconds = _seconds((job.definition.get("limits") or {}).get("timeout"))
        if seconds is None:
            return None
        timer = threading.Timer(seconds, job.cancel)
        timer.daemon = True
        timer.start()
        return timer

    def _cancel(self, job: Job) -> None:
        with self._lock:
            process = self._running.get(job.name)
        if process is None:
            return
        _signal(process, signal.SIGTERM)
        killer = threading.Timer(self.grace, _signal, (process, signal.SIGKILL))
        killer.daemon = True
        killer.start()


def _read(job: Job, process: subprocess.Popen[bytes]) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        job.log(line.decode(errors="replace"))


def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    """Signals a job's processes, unless its own was waited for: its number could be another's by now."""
    with contextlib.suppress(ProcessLookupError):
        if process.returncode is None:
            os.killpg(process.pid, number)


def _seconds(duration: str | None) -> float | None:
    if duration is None:
        return None
    match = re.fullmatch(r"P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:([\d.]+)S)?)?", duration)
    if match is None:
        raise ValueError(duration)
    days, hours, minutes, seconds = (float(part or 0) for part in match.groups())
    return ((days * 24 + hours) * 60 + minutes) * 60 + seconds
