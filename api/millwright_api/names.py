"""Names that both sides must spell alike: the resource, its children, and what a pod finds inside itself."""

from __future__ import annotations

import hashlib
import json
from typing import Any, Literal

GROUP = "millwright.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
KIND = "OptimizationJob"
PLURAL = "optimizationjobs"

Role = Literal["preflight", "stage", "trial", "report", "cancel"]
"""What a child Job is for: look before anything costs; do passes, of the job or of a search's trials; say again what a lost
pod had said; make sure that nothing runs on Azure ML any more."""

LABEL_JOB = f"{GROUP}/job"
"""On every child: the OptimizationJob's name."""
LABEL_ROLE = f"{GROUP}/role"
LABEL_STAGE = f"{GROUP}/stage"
"""On a stage's Job and pods: its index, from 0."""
LABEL_SEGMENT = f"{GROUP}/segment"
"""On the Job and pods of a search's trials: the first 16 digits of the segment's key."""
LABEL_QUEUE = "kueue.x-k8s.io/queue-name"
ANNOTATION_REQUESTED = f"{GROUP}/requested-at"
"""On an OptimizationJob: any new value asks for another preflight, after a Secret was mended."""

FINALIZER = f"{GROUP}/azureml"
"""On an OptimizationJob that runs on Azure ML, and on no other: it stays until nothing of it runs there."""

AUDIENCE = f"progress.{GROUP}"
"""Of the token that a pod proves itself by to the progress endpoint."""

CONTAINER = "runner"
JOB_FOLDER = "/etc/millwright/job"
"""The job's ConfigMap, mounted whole so that its contents stay current."""
MANIFEST_FILE, CA_FILE = "manifest.json", "ca.crt"
TOKEN_FILE = "/var/run/secrets/millwright/token"
TERMINATION_LOG = "/dev/termination-log"
SCRATCH_FOLDER = "/scratch"
"""Writable, gone with the pod: MILLWRIGHT_HOME, HOME and TMPDIR lie here."""
VOLUMES_FOLDER = "/volumes"
"""Claims that sources and outputs name are mounted at /volumes/<claimName>."""

ENV_VOLUMES = "MILLWRIGHT_VOLUMES"
ENV_PROGRESS_URL = "MILLWRIGHT_PROGRESS_URL"
"""Where to report to; unset: nowhere."""
ENV_STEPS = "MILLWRIGHT_STEPS"
"""The steps of a stage, as `first:end` (end not included)."""
ENV_TRIAL = "MILLWRIGHT_TRIAL"
"""The values of a search's trial, as a JSON list in the order of `search.parameters`; null: as the manifest has it. The steps
are then counted in the trial's own recipe. Nothing is published."""
ENV_BASELINE = "MILLWRIGHT_BASELINE"
"""Set to 0 for all of a search's pods but one: whether to measure the model that the job starts with."""
ENV_TRIALS = "MILLWRIGHT_TRIALS"
"""For the stage that ends a search, as JSON: `best` (its number), `publish` (numbers, the best included), `reason` and
`message` (why the search ended) and `trials`, a list of {number, at, phase, values, reason, message}; where all that is too
long for a variable, `at` is text (see `millwright_api.points`)."""
ENV_LIMITS = "MILLWRIGHT_LIMITS"
"""For the preflight: what each stage may use, as JSON; see `StageLimits` in the runner's preflight."""
ENV_ALLOW_REMOTE_CODE = "MILLWRIGHT_ALLOW_REMOTE_CODE"
"""Set to 1 by a platform that lets models bring code; the manifest must say so as well."""
ENV_REMOTE = "MILLWRIGHT_REMOTE"
"""Inside a job of Azure ML: its name, which is also that of its mailbox in the output's store."""
ENV_UID = "MILLWRIGHT_UID"
"""The OptimizationJob's uid: jobs of Azure ML are named by it, so that whoever comes next finds them."""
ENV_IMAGE = "MILLWRIGHT_IMAGE"
"""The image that a pod runs, as its container names it; goes into the provenance when it is pinned by digest."""
ENV_SIGNING_KEY = "MILLWRIGHT_SIGNING_KEY"
"""The private key, as PEM, that published manifests are signed by; comes from a Secret that spec.credentials names."""


def fingerprint(value: Any) -> str:
    """Returns the sha256 (64 hex digits) of a JSON value's canonical form: sorted keys, no white space, UTF-8.

    Raises:
        TypeError: the value is not JSON.
        ValueError: it holds a NaN or an infinity, which JSON has no form for.
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def child_name(job: str, mark: str, suffix: str) -> str:
    """Returns a child's name: `<job>-<8 hex digits>-<suffix>`, at most 57 characters, so that a pod's name has room for
    its own ending.

    Args:
        job: the OptimizationJob's name; cut where it is too long, the digits keep it unique.
        mark: a fingerprint of what the child is for, the resource's uid included.
        suffix: p, s0, s1, …, t and a segment's digits, r or m: preflight, stages, trials, report, manifest.
    """
    tail = f"-{mark[:8]}-{suffix}"
    return job[: 57 - len(tail)].rstrip("-") + tail
