"""The preflight: looks at all that a job names, on a CPU and without torch, before anything costs.

It reads headers, first rows and small files only; model, data and output are asked side by side.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from millwright_api.errors import MillwrightError, UserError
from millwright_api.names import ENV_LIMITS
from millwright_api.report import RunReport
from millwright_api.v1alpha1 import OptimizationJob
from millwright_runner import record
from millwright_runner.evaluation import measured_steps
from millwright_runner.look import Look, look
from millwright_runner.manifest import Manifest
from millwright_runner.plan import Settings
from millwright_runner.pod import inside
from millwright_runner.pod.limits import hungriest_of, needs_of, parse_limits, shortages, told
from millwright_runner.registry import BoundStep
from millwright_runner.told import Told
from millwright_runner.trials import chains

WAIT_SECONDS = "5"
"""How long the hub may be silent: the finding is to be there within seconds."""


def run() -> RunReport:
    """Returns the finding: that the job can run, and what it is expected to need; or all that is wrong."""
    began = time.monotonic()
    for name in ("HF_HUB_ETAG_TIMEOUT", "HF_HUB_DOWNLOAD_TIMEOUT"):
        os.environ.setdefault(name, WAIT_SECONDS)
    job = inside.load()
    seen = _look(job, settings := inside.settings(job))
    message = _estimates(job, seen, settings)
    seconds = round(time.monotonic() - began, 3)
    if seen.problems:
        return _refused(seen.problems).model_copy(update={"seconds": seconds})
    return RunReport(
        outcome="Succeeded",
        reason="Succeeded",
        message="; ".join(filter(None, [message, *seen.notes])),
        exit_code=0,
        seconds=seconds,
        peak_memory_bytes=record.peak_memory(),
    )


def _look(job: Manifest, settings: Settings) -> Look:
    """Looks at what the job names, and, where it is to run on Azure ML, at the same time there."""
    if job.job.spec.execution.azure_ml is None:
        return look(job.job, settings)
    from millwright_runner.remote.courier import Courier
    from millwright_runner.remote.errand import Errand

    courier = Courier(Errand.of_environment(job.job, job.base), settings.home)
    with ThreadPoolExecutor(1) as pool:
        there = pool.submit(courier.check)
        seen = look(job.job, settings)
    checked = seen.at("spec.execution.azureML", there.result)
    if checked is not None:
        known = {problem.where for problem in seen.problems}
        seen.problems += [problem for problem in checked.problems if problem.where not in known]
        seen.notes += checked.notes
    return seen


def _estimates(job: Manifest, seen: Look, settings: Settings) -> str:
    """Holds what each stage is expected to need against what it may have; notes what is too little as a problem."""
    if seen.model is None or not seen.steps:
        return ""
    spec = job.job.spec
    elsewhere = spec.execution.azure_ml is not None  # what pods of this cluster may use says nothing then
    stages = parse_limits(None if elsewhere else os.environ.get(ENV_LIMITS), len(seen.steps))
    remote = spec.model.path is None and spec.model.volume is None
    lines = []
    for number, stage in enumerate(stages):
        every = [
            needs_of(stage, chain, seen.model, fetched=remote, measured=_measured(job.job, seen, chain))
            for chain in _chains(job.job, seen)
        ]
        needs = hungriest_of(every)
        seen.problems += shortages(stage, needs, seen.steps)
        name = f"stage {number + 1} " if len(stages) > 1 else ""
        lines.append(f"{name}needs about {told(stage, needs)}")
    return "; ".join(lines)


def _chains(job: OptimizationJob, seen: Look) -> Iterator[list[BoundStep]]:
    """Yields the passes that may run together: all, or of a search those of some trial with their hungriest values."""
    if job.spec.search is None:
        yield seen.steps
        return
    steps = seen.hungriest or seen.steps
    for chain, _ in chains(job):
        yield [steps[step.index] for step in chain]


def _measured(job: OptimizationJob, seen: Look, chain: list[BoundStep]) -> list[int]:
    """The steps whose models are loaded to be measured, -1 for the input."""
    if not any(metric.metric.asks for metric in seen.metrics):
        return []
    return [index if index < 0 else chain[index].index for index in measured_steps(job, chain)]


def _refused(problems: list[MillwrightError]) -> RunReport:
    """Returns the report of a job that cannot run: the user's own errors first, for trying again does not mend them."""
    ordered = sorted(problems, key=lambda problem: not isinstance(problem, UserError))
    first = ordered[0]
    return record.failed_report(first, Told(), None, 0.0).model_copy(update={"message": "\n".join(map(str, ordered))})
