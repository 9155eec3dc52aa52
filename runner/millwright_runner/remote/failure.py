"""What Azure ML's refusals and failures mean, in our words: of a submission, and of a job that ended without the runner's."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from millwright_api.azureml import AzureML
from millwright_api.errors import (
    AzureMLJobCanceled,
    AzureMLJobFailed,
    AzureMLRefused,
    ComputeNotFound,
    ComputeStopped,
    EnvironmentBuildFailed,
    EnvironmentNotFound,
    MillwrightError,
    QuotaExceeded,
    TryAgain,
)
from millwright_runner.azure.coordinates import Coordinates
from millwright_runner.azure.workspace import asking_workspace, client
from millwright_runner.stores.azure_login import words

QUOTA = re.compile(r"quota|not ?enough ?(cores|capacity)|cores? (limit|needed)|LimitExceeded", re.IGNORECASE)
BUILD = re.compile(
    r"image ?build|failed to build|environment ?build|building (the )?(image|environment)", re.IGNORECASE
)
NO_COMPUTE = re.compile(
    r"compute ?(target|not ?found)?.{0,80}(not (be )?found|does ?n[o']t exist)|ComputeNotFound|"
    r"unknown compute",
    re.IGNORECASE | re.DOTALL,
)
NO_ENVIRONMENT = re.compile(r"environment.{0,80}(not (be )?found|does ?n[o']t exist)", re.IGNORECASE | re.DOTALL)
STOPPED = re.compile(r"compute.{0,80}(stopped|not (running|in a valid state)|deleting)", re.IGNORECASE | re.DOTALL)

TAIL_LINES, TAIL_CHARACTERS = 20, 1500
"""What a message repeats of a log: its end, where the cause is."""

MOST_BYTES = 4 * 1024 * 1024
"""Of a log that is fetched for its end."""

BUILD_LOGS, RUN_LOGS = (
    ("20_image_build_log", "image_build", "azureml-logs/2"),
    ("user_logs/std_log", "70_driver_log", "std"),
)
"""Names of the logs of a job, the most telling one first."""

WHERE = "spec.execution.azureML"


@dataclass(frozen=True)
class Ended:
    """What the service says of a job that has ended.

    Attributes:
        state: Completed, Failed or Canceled.
        code, message: of its error; empty where there is none.
        logs: name → address.
    """

    state: str
    code: str = ""
    message: str = ""
    logs: tuple[tuple[str, str], ...] = ()


def refused(error: Any, wanted: AzureML) -> MillwrightError:
    """Returns why Azure ML does not take a job.

    Args:
        error: azure-core's HttpResponseError with an answer that is the caller's to explain, or the SDK's own MlException.
        wanted: how the job is to run.
    """
    text = f"{getattr(getattr(error, 'error', None), 'code', '')} {error}"
    said = _said(error)
    kinds: tuple[tuple[re.Pattern[str], type[MillwrightError], str], ...] = (
        (QUOTA, QuotaExceeded, "compute" if wanted.compute else "instanceType"),
        (STOPPED, ComputeStopped, "compute"),
        (NO_COMPUTE, ComputeNotFound, "compute"),
        (NO_ENVIRONMENT, EnvironmentNotFound, "environment"),
    )
    for pattern, kind, key in kinds:
        if pattern.search(text):
            return kind(f"Azure ML does not take the job ({said})", where=f"{WHERE}.{key}")
    return AzureMLRefused(f"Azure ML does not take the job ({said})", where=WHERE)


def failed(ended: Ended, tail: str, name: str) -> MillwrightError:
    """Returns why a job ended without a word of the runner's.

    Args:
        ended: what the service says.
        tail: the end of its log; may be empty.
        name: the job's name there.
    """
    said = f"{ended.code}: {ended.message}" if ended.code and ended.message else ended.message or ended.code
    log = f"\n{tail}" if tail else ""
    if ended.state == "Canceled":
        why = f" ({said})" if said else ""
        return AzureMLJobCanceled(f"the job {name} was canceled on Azure ML{why}", hint="whoever did it may know why")
    text = f"{ended.code} {ended.message}"
    if BUILD.search(text) or (ended.state == "Failed" and _is_build(ended)):
        return EnvironmentBuildFailed(
            f"Azure ML could not build the environment of the job {name}{': ' + said if said else ''}{log}",
            where=f"{WHERE}.environment",
        )
    if QUOTA.search(text):
        return QuotaExceeded(f"the job {name} did not get its machine: {said}", where=WHERE)
    how = "failed" if ended.state == "Failed" else f"ended ({ended.state})"
    return AzureMLJobFailed(f"the job {name} {how} without the runner's word{': ' + said if said else ''}{log}")


def _is_build(ended: Ended) -> bool:
    """Whether only the image's build has left a log."""
    names = [name for name, _ in ended.logs]
    return bool(names) and all(any(mark in name for mark in BUILD_LOGS) for name in names)


def how_it_ended(workspace: Coordinates, name: str, state: str) -> Ended:
    """Asks for the service's words about a job that has ended; what may not be known is left empty.

    Args:
        workspace: where it ran.
        name: the job's name.
        state: as the service calls it.

    Raises:
        AzureUnavailable: no answer.
    """
    try:
        with asking_workspace(workspace):
            # the SDK shows a run's error only by printing it (jobs.stream)
            details = client(workspace).jobs._runs_operations.get_run_details(name)
    except TryAgain:
        raise
    except Exception:
        return Ended(state)
    error = getattr(getattr(details, "error", None), "error", None)
    inner = getattr(error, "inner_error", None)
    code = str(getattr(error, "code", "") or "")
    if code in {"UserError", "ServiceError", "SystemError"}:
        code = str(getattr(inner, "code", None) or code)
    logs = tuple(sorted((details.log_files or {}).items()))
    return Ended(state, code, str(getattr(error, "message", "") or "").strip(), logs)


def tail_of(ended: Ended) -> str:
    """Returns the end of the log that tells most; empty where none can be read."""
    from azure.core import PipelineClient
    from azure.core.rest import HttpRequest

    ordered = BUILD_LOGS if BUILD.search(f"{ended.code} {ended.message}") or _is_build(ended) else RUN_LOGS + BUILD_LOGS
    found = [(name, address) for mark in ordered for name, address in ended.logs if mark in name]
    for _, address in found[:1]:
        try:
            line: PipelineClient[Any, Any] = PipelineClient(address, retry_total=2)
            kept, taken = b"", 0
            with line:
                answer: Any = line.send_request(
                    HttpRequest("GET", address), stream=True, connection_timeout=10, read_timeout=30
                )
                answer.raise_for_status()
                for piece in answer.iter_bytes():
                    kept, taken = (kept + piece)[-4 * TAIL_CHARACTERS :], taken + len(piece)
                    if taken > MOST_BYTES:
                        break
        except Exception:
            return ""
        lines = [line.rstrip() for line in kept.decode(errors="replace").splitlines() if line.strip()]
        return "\n".join(lines[-TAIL_LINES:])[-TAIL_CHARACTERS:]
    return ""


def _said(error: Any) -> str:
    """Returns the words of whoever refuses."""
    from azure.core.exceptions import AzureError

    text = words(error) if isinstance(error, AzureError) and hasattr(error, "status_code") else str(error)
    return " ".join(text.split())[:400]
