"""What is told of each step, and of the one that runs."""

from __future__ import annotations

import math
from collections.abc import Sequence

from millwright_api.report import PassReport, Phase, Progress, RunReport, cut
from millwright_api.status import ArtifactStatus, JobProgress, PassStatus, Status
from millwright_api.v1alpha1 import MAX_PASSES
from millwright_operator.case import Case
from millwright_operator.clock import written
from millwright_operator.observed import Heard
from millwright_operator.stages import Stage
from millwright_operator.text import shown

METRICS = 32
"""Of one pass, at most; the first by name are kept."""


def planned(stages: Sequence[Stage], before: Sequence[PassStatus] = ()) -> list[PassStatus]:
    """Returns all steps of a recipe, as they were told before, else Pending."""
    known = {step.name: step for step in before}
    return [
        known.get(name) or PassStatus(name=name, phase="Pending", stage=stage.index)
        for stage in stages
        for name in stage.steps
    ]


def reported(passes: Sequence[PassStatus], stage: Stage, report: RunReport | None, good: bool) -> list[PassStatus]:
    """Returns the steps with what a stage's report says of its own; a good end without one means that all are done."""
    told = {step.name: step for step in report.passes} if report else {}
    found = []
    for step in passes:
        if step.name not in stage.steps:
            found.append(step)
        elif step.name in told:
            found.append(_reported(step, told[step.name]))
        elif good:
            found.append(step.model_copy(update={"phase": "Succeeded"}))
        else:
            found.append(step.model_copy(update={"phase": "Pending" if step.phase == "Running" else step.phase}))
    return found


def paused(passes: Sequence[PassStatus]) -> list[PassStatus]:
    """Returns the steps when no pod runs: none of them is Running."""
    return [p.model_copy(update={"phase": "Pending"}) if p.phase == "Running" else p for p in passes]


def artifact(report: RunReport) -> list[ArtifactStatus]:
    """Returns what a report says was published."""
    made = report.artifact
    if made is None:
        return []
    return [
        ArtifactStatus(
            uri=cut(made.uri, 1280),
            format=cut(made.format, 64),
            sha256=made.digest[:64],
            bytes=made.bytes,
            files=made.files,
        )
    ]


def running(case: Case, stage: Stage, passes: Sequence[PassStatus]) -> tuple[JobProgress | None, list[PassStatus]]:
    """Returns where the running pass stands, and the steps with their phases by it. What no pod of this stage said is
    left aside; after a restart, nothing was heard yet and what status says stays.

    Args:
        case: the look.
        stage: the stage that runs.
        passes: the steps so far.
    """
    heard = case.heard
    if heard is None or heard.pod_uid not in {pod.uid for pod in case.unfinished(stage.index)}:
        return _kept(case, stage, len(passes)), list(passes)
    at = heard.progress.step_index
    names = [step.name for step in passes]
    if not stage.first <= at < stage.end:
        return _kept(case, stage, len(passes)), list(passes)
    found = []
    for index, step in enumerate(passes):
        mine = stage.first <= index < stage.end
        phase: Phase = "Succeeded" if mine and index < at else "Running" if index == at else step.phase
        found.append(step.model_copy(update={"phase": phase}))
    return _progress(heard, names[at], case.status.progress), found


def of_trial(heard: Heard, name: str, number: int, summary: str, before: JobProgress | None) -> JobProgress:
    """Returns where a search's trial stands.

    Args:
        heard: what its pod said.
        name: of the step that runs.
        number: the trial's; of those that share what runs, the first.
        summary: trials that ended, of how many.
        before: what was said last.
    """
    told = _progress(heard, name, before, about=f"trial {number}: ")
    return told.model_copy(update={"summary": f"{summary} trials"})


def publishing(case: Case, number: int, summary: str) -> JobProgress:
    """Returns where a job stands whose search is over."""
    about = f"publishing trial {number}"
    name = case.spec.passes[-1].name
    return JobProgress(pass_=name, message=about, summary=f"{summary} trials", reported_time=written(case.now))


def _kept(case: Case, stage: Stage, steps: int) -> JobProgress | None:
    """What was said last; where that is of an earlier stage, only which step comes now."""
    before = case.status.progress
    if before is None or before.pass_ in stage.steps:
        return before
    place = f"{stage.first + 1}/{steps}"
    return JobProgress(pass_=stage.steps[0], message="starting", summary=place, reported_time=written(case.now))


def done(status: Status, steps: Sequence[str]) -> JobProgress | None:
    """Returns the progress of a job that has succeeded: all of it."""
    at = status.completion_time or ""
    return JobProgress(pass_=steps[-1], percent=100, summary=f"{len(steps)}/{len(steps)} 100%", reported_time=at)


def stopped(progress: JobProgress | None) -> JobProgress | None:
    """Returns progress as it was left: nothing is expected any more."""
    return progress.model_copy(update={"eta": None}) if progress else None


def duration(seconds: float) -> str:
    """Returns a time span for people: 45s, 12m, 1h20m, 3d4h."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    minutes, hours, days = whole // 60 % 60, whole // 3600 % 24, whole // 86400
    if whole < 3600:
        return f"{minutes}m"
    if whole < 86400:
        return f"{hours}h{minutes}m" if minutes else f"{hours}h"
    return f"{days}d{hours}h" if hours else f"{days}d"


def _reported(step: PassStatus, told: PassReport) -> PassStatus:
    metrics = {k: v for k, v in sorted(told.metrics.items()) if math.isfinite(v) and len(k) <= 63}
    return step.model_copy(
        update={
            "phase": told.phase,
            "cache": told.cache,
            "seconds": round(told.seconds, 1) if math.isfinite(told.seconds) else None,
            "resumed_from": _count(told.resumed_from),
            "metrics": dict(list(metrics.items())[:METRICS]),
        }
    )


def _progress(heard: Heard, name: str, before: JobProgress | None, about: str = "") -> JobProgress:
    """The loss is told now and then only: the last one stays while the pass does what it did."""
    said = heard.progress
    message = shown(about + said.message, 256)
    same = before is not None and (before.pass_, before.message) == (name, message)
    loss = round(said.loss, 6) if said.loss is not None and math.isfinite(said.loss) else None
    percent = _percent(said)
    place = f"{said.step_index + 1}/{max(min(said.steps, MAX_PASSES), said.step_index + 1)}"
    eta = said.eta_seconds
    return JobProgress(
        pass_=name,
        message=message,
        percent=percent,
        step=_count(said.done),
        total_steps=_count(said.total),
        loss=before.loss if loss is None and same and before else loss,
        eta=duration(eta) if eta is not None and 0 <= eta < 1e9 else None,
        summary=f"{place} {percent}%" if percent is not None else place,
        reported_time=written(heard.at),
    )


def _count(number: int | None) -> int | None:
    """Returns a count that the API server takes; None for what is none: a status that is refused would say nothing at all."""
    return number if number is not None and 0 <= number < 2**63 else None


def _percent(said: Progress) -> int | None:
    if said.done is None or not said.total or said.total < 0:
        return None
    return max(0, min(100, 100 * said.done // said.total))
