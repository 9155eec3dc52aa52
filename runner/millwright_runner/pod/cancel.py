"""The end of an OptimizationJob that was deleted: nothing of it runs on Azure ML any more."""

from __future__ import annotations

import time

from millwright_api.report import RunReport
from millwright_runner.pod import inside
from millwright_runner.remote.courier import Courier, Errand


def run() -> RunReport:
    """Cancels what is active, and returns what that was.

    Raises:
        AzureUnavailable: Azure does not answer, or a job does not end.
        MillwrightError: the login, or the workspace, is not what it was.
    """
    began = time.monotonic()
    job = inside.load()
    canceled = Courier(Errand.of_environment(job.job, job.base), inside.settings(job).home).cancel()
    names = ", ".join(remote.name for remote in canceled)
    return RunReport(
        outcome="Succeeded",
        reason="Succeeded",
        message=f"canceled on Azure ML: {names}" if names else "nothing of it runs on Azure ML",
        exit_code=0,
        seconds=round(time.monotonic() - began, 3),
        remote=canceled[-1] if canceled else None,
    )
