"""What a run leaves in writing: RunReport, as report.json."""

from __future__ import annotations

import json
import resource
import sys
from typing import Any

from millwright_api.errors import MillwrightError, Stopped
from millwright_api.report import ArtifactReport, PassReport, RunReport
from millwright_runner.cache import library_versions
from millwright_runner.plan import Plan, Settings


def succeeded_report(artifact: ArtifactReport, passes: list[PassReport], plan: Plan, seconds: float) -> RunReport:
    """Returns the report of a run that ended in a model."""
    return RunReport(
        outcome="Succeeded", reason="Succeeded", exit_code=0, artifact=artifact, **_common(passes, plan, seconds)
    )


def failed_report(error: MillwrightError, passes: list[PassReport], plan: Plan | None, seconds: float) -> RunReport:
    """Returns the report of a run that did not; without a plan when it did not get that far."""
    stopped = isinstance(error, Stopped)
    return RunReport(
        outcome="Stopped" if stopped else "Failed",
        reason=error.reason,
        message=str(error),
        exit_code=128 + error.signal if isinstance(error, Stopped) else error.exit_code,
        **_common(passes, plan, seconds),
    )


def leave(
    report: RunReport, histories: dict[str, list[dict[str, float]]], plan: Plan, settings: Settings, published: bool
) -> None:
    """Writes report.json into this machine's folder, and beside the model when there is one.

    Args:
        histories: step's name → what training measured on the way; in report.json only.
        published: whether the output may be written to: a run that failed leaves nothing there.
    """
    document = report.model_dump(mode="json", exclude_none=True) | {"job": plan.job.metadata.name, "history": histories}
    text = json.dumps(document, indent=1, ensure_ascii=False).encode()
    folder = settings.home / "runs" / plan.job.metadata.name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "report.json").write_bytes(text)
    if published:
        plan.output.write("report.json", text)


def peak_memory() -> int:
    """Returns the largest resident set of this process so far, in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _common(passes: list[PassReport], plan: Plan | None, seconds: float) -> dict[str, Any]:
    libraries = tuple(sorted({name for step in plan.steps for name in step.step.pass_.libraries})) if plan else ()
    return {
        "fingerprint": plan.fingerprint if plan else None,
        "passes": passes,
        "seconds": round(seconds, 3),
        "peak_memory_bytes": peak_memory(),
        "versions": library_versions(("millwright", *libraries)),
    }
