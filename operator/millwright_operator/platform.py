"""What the platform gives to all jobs: images, the progress endpoint, what is allowed. From the chart, by environment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Platform:
    """What a job's children are made with.

    Attributes:
        runner_image: image of stages, unless the job names one.
        preflight_image: the light one, for preflights and reports.
        azure_image: the same with the SDKs of Azure: of jobs that name something there, and for those that run there.
        image_pull_policy: of all; None leaves it to Kubernetes.
        progress_url: https://…/v1/progress, where pods report to; None: progress is off.
        progress_ca: PEM of the CA that signed the endpoint's certificate.
        allow_remote_code: whether models may bring code when their manifest says so.
        preflight_resources: resources of the containers that do no passes.
        preflight_deadline: seconds a preflight may take, image pull and waiting for a node included.
    """

    runner_image: str
    preflight_image: str
    azure_image: str
    image_pull_policy: str | None = None
    progress_url: str | None = None
    progress_ca: str | None = None
    allow_remote_code: bool = False
    preflight_resources: Mapping[str, Any] = field(default_factory=dict)
    preflight_deadline: int = 600
