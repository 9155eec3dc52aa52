"""What a run leaves in writing: RunReport, as report.json, and the page that shows it."""

from __future__ import annotations

import html
import json
import resource
import sys
from collections.abc import Mapping
from typing import Any

from millwright_api.errors import MillwrightError, Stopped
from millwright_api.evaluation import INPUT
from millwright_api.report import ArtifactReport, RunReport
from millwright_runner.artifact import HF
from millwright_runner.beside import Chosen
from millwright_runner.beside.public import public_spec
from millwright_runner.cache import library_versions
from millwright_runner.evaluation import Point, as_data
from millwright_runner.metrics import Metric
from millwright_runner.plan import Plan, Settings
from millwright_runner.published import Published
from millwright_runner.told import Told
from millwright_runner.trees import MANIFEST

REPORT, PAGE = "report.json", "report.html"

OF_THE_RUN = ("seconds", "peakMemoryBytes", "message")
"""What report.json says of a run, not of its result; times of passes likewise."""


def succeeded_report(artifact: ArtifactReport | None, told: Told, plan: Plan, seconds: float) -> RunReport:
    """Returns the report of a run that did what it was to do; without an artifact when that was not the last stage."""
    return RunReport(
        outcome="Succeeded", reason="Succeeded", exit_code=0, artifact=artifact, **_common(told, plan, seconds)
    )


def failed_report(error: MillwrightError, told: Told, plan: Plan | None, seconds: float) -> RunReport:
    """Returns the report of a run that did not; without a plan when it did not get that far."""
    stopped = isinstance(error, Stopped)
    return RunReport(
        outcome="Stopped" if stopped else "Failed",
        reason=error.reason,
        message=str(error),
        exit_code=128 + error.signal if isinstance(error, Stopped) else error.exit_code,
        **_common(told, plan, seconds),
    )


def described(published: Published) -> ArtifactReport:
    """Returns what an output holds as reports tell it."""
    return ArtifactReport(
        uri=published.uri,
        format=published.format,
        digest=published.tree.digest,
        bytes=published.tree.bytes,
        files=len(published.files),
    )


def leave(
    report: RunReport,
    histories: dict[str, list[dict[str, float]]],
    *,
    plan: Plan,
    settings: Settings,
    published: bool,
    chosen: Chosen | None = None,
    besides: Mapping[str, Any] | None = None,
) -> None:
    """Writes report.json and report.html into this machine's folder, and beside the model when there is one.

    Where a run did nothing, and what lies beside the model says the same, that stays: it also tells how long the run took
    that made the model.

    Args:
        report: what to write.
        histories: step's name → what training measured on the way; in report.json only.
        plan: of the run.
        settings: of the run.
        published: whether the output may be written to: a run that failed leaves nothing there.
        chosen: the trial of a search that the model is of.
        besides: what else report.json says.
    """
    document = document_of(report, histories, plan, chosen) | dict(besides or {})
    if (
        chosen is not None and not chosen.best
    ):  # there may be hundreds of them: `millwright report` draws theirs when asked
        if published:
            plan.output.write(REPORT, _as_json(document))
        return
    folder = settings.home / "runs" / plan.job.metadata.name
    folder.mkdir(parents=True, exist_ok=True)
    files = _kept(document, plan) if published else None
    kept = files is not None
    if files is None:
        text = _as_json(document)
        manifest = plan.output.read(MANIFEST) if published else None
        files = {REPORT: text, PAGE: page_of(document, json.loads(manifest.data) if manifest else None)}
    for name, data in files.items():
        (folder / name).write_bytes(data)
        if published and not kept:
            plan.output.write(name, data)


def document_of(
    report: RunReport, histories: dict[str, list[dict[str, float]]], plan: Plan, chosen: Chosen | None = None
) -> dict[str, Any]:
    """Returns report.json; see `leave`."""
    recipe = {"recipe": public_spec(plan.job)["passes"]} if chosen else {}
    return report.model_dump(mode="json", exclude_none=True) | {
        "job": plan.job.metadata.name,
        "history": histories,
        "measurements": {point.after: _measured(point) for point in plan.evaluation.points},
        "metrics": {bound.name: _noted(bound.metric) for bound in plan.evaluation.metrics},
        "formats": {INPUT: HF} | {step.step.name: step.step.pass_.produces for step in plan.steps},
        "spec": public_spec(chosen.job if chosen else plan.job),
        **recipe,
    }


def _as_json(document: dict[str, Any]) -> bytes:
    return json.dumps(document, indent=1, ensure_ascii=False).encode()


def _kept(document: dict[str, Any], plan: Plan) -> dict[str, bytes] | None:
    """Returns the report and the page that lie in the output, when nothing was done and they say the same; else None."""
    if any(entry["cache"] != "Hit" for entry in document["passes"]):
        return None
    found = {name: plan.output.read(name) for name in (REPORT, PAGE)}
    there = {name: blob.data for name, blob in found.items() if blob is not None}
    if len(there) < len(found):
        return None
    try:
        before = json.loads(there[REPORT])
        return there if _lasting(before) == _lasting(document) else None
    except (ValueError, TypeError, AttributeError, KeyError):
        return None  # torn, or written by another release


def _lasting(document: dict[str, Any]) -> str:
    """What a report says of the result, not of the run, as text: JSON's NaN is not even itself."""
    passes = [{key: entry.get(key) for key in ("name", "pass", "key")} for entry in document["passes"]]
    lasting = {key: value for key, value in document.items() if key not in OF_THE_RUN} | {"passes": passes}
    if "search" in lasting:
        trials = [{key: row[key] for key in row if key != "seconds"} for row in lasting["search"]["trials"]]
        lasting["search"] = lasting["search"] | {"trials": trials}
    return json.dumps(lasting, sort_keys=True)


def page_of(document: dict[str, Any], manifest: Any) -> bytes:
    """Returns the page; one that says why it is none, where it cannot be drawn: the model is right all the same."""
    from millwright_runner.page import render  # templates and charts: a run that has nothing to tell needs none

    try:
        return render(document, manifest).encode(errors="replace")
    except Exception as error:
        said = html.escape(f"{type(error).__name__}: {error}")
        return f"<!doctype html><meta charset=utf-8><title>Millwright</title><p>No page could be made: {said}".encode()


def _noted(metric: Metric) -> dict[str, Any]:
    """What the page has to know of a metric."""
    return {"metric": metric.name, "higherIsBetter": metric.higher_is_better, "ofMachine": metric.of_machine}


def _measured(point: Point) -> dict[str, Any]:
    """All that is known of a model: with figures besides the value, and samples."""
    return {name: as_data(measured) for name, measured in point.found.items()}


def peak_memory() -> int:
    """Returns the largest resident set of this process so far, in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _common(told: Told, plan: Plan | None, seconds: float) -> dict[str, Any]:
    libraries = tuple(sorted({name for step in plan.steps for name in step.step.pass_.libraries})) if plan else ()
    return {
        "fingerprint": plan.fingerprint if plan else None,
        "passes": told.passes,
        "evaluation": told.evaluation,
        "constraints": told.constraints,
        "seconds": round(seconds, 3),
        "peak_memory_bytes": peak_memory(),
        "versions": library_versions(("millwright", *libraries)),
    }
