"""What a pod finds inside itself: its job, its part of it, its volumes; and where its last word goes."""

from __future__ import annotations

import json
import os
import re
import sys
from dataclasses import replace
from pathlib import Path

from millwright_api.errors import MillwrightError
from millwright_api.names import (
    CA_FILE,
    ENV_ALLOW_REMOTE_CODE,
    ENV_BASELINE,
    ENV_PROGRESS_URL,
    ENV_STEPS,
    ENV_TRIAL,
    ENV_TRIALS,
    JOB_FOLDER,
    MANIFEST_FILE,
    TERMINATION_LOG,
    TOKEN_FILE,
)
from millwright_api.report import RunReport
from millwright_api.search import Point
from millwright_api.v1alpha1 import OptimizationJob
from millwright_runner import manifest
from millwright_runner.cli import places
from millwright_runner.concluding import Ended
from millwright_runner.manifest import Manifest
from millwright_runner.plan import Settings
from millwright_runner.pod.reporter import Reporter
from millwright_runner.trials import point_of

ENV_JOB = "MILLWRIGHT_JOB"
"""Another folder than JOB_FOLDER, for trying a pod out without a cluster."""
ENV_TOKEN = "MILLWRIGHT_TOKEN"
"""Likewise, another file than TOKEN_FILE."""
ENV_TERMINATION_LOG = "MILLWRIGHT_TERMINATION_LOG"
"""Likewise, another file than TERMINATION_LOG."""

_STEPS = re.compile(r"(\d+):(\d+)")


def job_folder() -> Path:
    """Returns the folder with the job's manifest and the progress endpoint's CA."""
    return Path(os.environ.get(ENV_JOB, JOB_FOLDER))


def load() -> Manifest:
    """Returns the job.

    Raises:
        InvalidManifest: all that is wrong with it.
    """
    file = job_folder() / MANIFEST_FILE
    try:
        return manifest.load(file)
    except MillwrightError as error:
        # Its file and line are the mounted copy's; a person knows the paths in the manifest.
        lines = (re.sub(rf"^{re.escape(str(file))}:\d+: ", "", line) for line in error.message.split("\n"))
        error.message = "\n".join(lines)
        raise


def settings(job: Manifest) -> Settings:
    """Returns the run's settings; the folder for downloads and scratch is made.

    Raises:
        AccessDenied, NoSpaceLeft: it cannot be made.
    """
    return replace(places.settings(job, None), remote_code=os.environ.get(ENV_ALLOW_REMOTE_CODE) == "1")


def parse_steps(text: str) -> range:
    """Returns the steps of a stage, written `first:end`.

    Raises:
        ValueError: it is written otherwise, or holds no step.
    """
    match = _STEPS.fullmatch(text)
    steps = range(int(match[1]), int(match[2])) if match else range(0)
    if not steps:
        raise ValueError(f"steps are written first:end, such as 0:2, not {text!r}")
    return steps


def part(count: int) -> range:
    """Returns the steps that this pod is to do; all where nobody says.

    Args:
        count: how many steps the job has.

    Raises:
        ValueError: the environment names steps that the job has not.
    """
    steps = parse_steps(os.environ.get(ENV_STEPS, f"0:{count}"))
    if steps.stop > count:
        raise ValueError(f"{ENV_STEPS} is {os.environ[ENV_STEPS]}, and the job has {count} steps")
    return steps


def trial(job: OptimizationJob) -> Point | None:
    """Returns the values of the trial that this pod is for; None where it is for none.

    Raises:
        ValueError: they are none of this search's.
    """
    text = os.environ.get(ENV_TRIAL)
    return None if text is None else point_of(job, json.loads(text))


def baseline() -> bool:
    """Whether this pod measures the model that the job starts with, where it has the first step."""
    return os.environ.get(ENV_BASELINE) != "0"


def ended(job: OptimizationJob) -> Ended | None:
    """Returns how the search went that this pod is to conclude; None where it is to do something else.

    Raises:
        ValueError, KeyError, TypeError: the operator says no such thing.
    """
    text = os.environ.get(ENV_TRIALS)
    return None if text is None else Ended.of(job, json.loads(text))


def reporter() -> Reporter | None:
    """Returns what progress is reported by; None where there is no endpoint."""
    url = os.environ.get(ENV_PROGRESS_URL)
    if not url:
        return None
    return Reporter(url, job_folder() / CA_FILE, Path(os.environ.get(ENV_TOKEN, TOKEN_FILE)))


def leave_word(report: RunReport) -> None:
    """Writes the report into the container's termination message; where that fails, it says so on stderr."""
    file = Path(os.environ.get(ENV_TERMINATION_LOG, TERMINATION_LOG))
    try:
        file.write_text(report.termination_message(), encoding="utf-8")
    except OSError as error:
        sys.stderr.write(f"the termination message cannot be written to {file}: {error.strerror}\n")
