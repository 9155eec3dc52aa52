"""What a job measures, and of which of its models; what is known of it already. Imports nothing heavy."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from millwright_api.errors import ChainMismatch
from millwright_api.evaluation import INPUT, Constraint
from millwright_api.names import fingerprint
from millwright_api.v1alpha1 import OptimizationJob, Target
from millwright_runner.artifact import HF, HF_ADAPTER, ONNX_GENAI
from millwright_runner.cache import library_versions
from millwright_runner.cores import cores
from millwright_runner.data.tokens import load_tokens
from millwright_runner.evaluation.bound import BoundMetric, bind_metrics
from millwright_runner.evaluation.kept import FindMeasured
from millwright_runner.metrics import Measured
from millwright_runner.models import FoundModel, ModelFacts
from millwright_runner.registry import BoundStep

ASKED = frozenset({HF, HF_ADAPTER, ONNX_GENAI})
"""Formats that `subjects` can ask."""


PROCESS_BYTES = 512 << 20
"""Memory of the process itself, with the libraries loaded: what is left on the host when the model lies on a GPU."""


@dataclass
class Measurement:
    """One metric of one model.

    Attributes:
        metric: what is measured.
        key: names all that changes its value (64 hex digits).
        anywhere: the same without the machine, of a metric that depends on it: names what was measured last, wherever that was.
        measured: what was found, now or before.
    """

    metric: BoundMetric
    key: str
    anywhere: str | None = None
    measured: Measured | None = None


@dataclass(frozen=True)
class Point:
    """A model of the job that is measured.

    Attributes:
        after: the step that makes it, or INPUT.
        index: the step's place, from 0; -1: the model that the job starts with.
        measurements: one for each metric, in the manifest's order.
    """

    after: str
    index: int
    measurements: list[Measurement]

    @property
    def missing(self) -> list[Measurement]:
        """Those that have to be made."""
        return [one for one in self.measurements if one.measured is None]

    @property
    def found(self) -> dict[str, Measured]:
        """What is known, by the metric's name."""
        return {one.metric.name: one.measured for one in self.measurements if one.measured is not None}


@dataclass(frozen=True)
class EvaluationPlan:
    """What a job measures.

    Attributes:
        metrics: with their options, in the manifest's order.
        points: of which models, in the recipe's order.
        constraints: what the finished model has to reach.
        fails: whether a constraint that is not met keeps the model from being published.
    """

    metrics: list[BoundMetric] = field(default_factory=list)
    points: list[Point] = field(default_factory=list)
    constraints: Sequence[Constraint] = ()
    fails: bool = True

    def at(self, index: int) -> Point | None:
        """Returns what is measured after a step; None when nothing is."""
        return next((point for point in self.points if point.index == index), None)

    def compared(self, last: int) -> set[int]:
        """Returns the models that constraints compare the finished one with, as `Point.index` has them.

        Args:
            last: the last step's index.
        """
        return {
            -1 if constraint.relative_to == INPUT else last - 1
            for constraint in self.constraints
            if constraint.relative
        }


def plan_evaluation(
    job: OptimizationJob,
    steps: list[BoundStep],
    keys: list[str],
    model: FoundModel,
    *,
    data: Mapping[str, str],
    find: FindMeasured | None,
    anywhere: bool = False,
    checked: bool = False,
) -> EvaluationPlan:
    """Looks at what a job measures, and at what is known of it.

    Args:
        job: the manifest.
        steps: its passes.
        keys: their cache keys.
        model: where it starts.
        data: digests of the data sets, by name.
        find: looks for a measurement by its key; None: none is kept.
        anywhere: whether what another machine has measured counts, where this one has not.
        checked: whether it was looked at before what the tokenizer shows of the metrics.

    Raises:
        UnknownMetric, InvalidManifest: with the path in the manifest. What only the tokenizer shows is looked at where
            something has to be measured: what was measured once has passed that.
        ChainMismatch: a metric cannot be measured on what a step makes.
    """
    spec = job.spec.evaluation
    if spec is None:
        return EvaluationPlan()
    metrics = bind_metrics(job)
    check_formats(job, steps, metrics)
    points = []
    for index in measured_steps(job, steps):
        after = steps[index].name if index >= 0 else INPUT
        key = model.digest if index < 0 else keys[index]
        found = [_measurement(metric, key, data, job.spec.target) for metric in metrics]
        if find is not None:
            for one in found:
                one.measured = find(one.key) or (find(one.anywhere) if anywhere and one.anywhere else None)
        points.append(Point(after, index, found))
    missing = {one.metric.name for point in points for one in point.missing}
    if missing and not checked:
        tokens = load_tokens(model.tokenizer)
        for metric in metrics:
            if metric.name in missing:
                metric.check(tokens)
    return EvaluationPlan(metrics, points, spec.constraints, spec.on_violation == "Fail")


def check_formats(job: OptimizationJob, steps: Sequence[BoundStep], metrics: Sequence[BoundMetric]) -> None:
    """Refuses to measure what no metric can ask.

    Raises:
        ChainMismatch: a metric cannot be measured on what a step makes.
    """
    asking = next((metric for metric in metrics if metric.metric.asks), None)
    for index in measured_steps(job, steps):
        after, made = (steps[index].name, steps[index].pass_.produces) if index >= 0 else (INPUT, HF)
        if made not in ASKED and asking is not None:
            raise ChainMismatch(
                f"{asking.metric.name} asks a model of format {' or '.join(sorted(ASKED))}, and {after} gives {made}",
                where=asking.where,
                hint="leave it out, or measure after another step (spec.evaluation.after)",
            )


def _measurement(bound: BoundMetric, key: str, data: Mapping[str, str], target: Target) -> Measurement:
    metric = bound.metric
    named = {
        "metric": metric.name,
        "version": metric.version,
        "options": metric.key_options(),
        "data": data[bound.data.name] if bound.data else None,
        "model": key,
        "libraries": library_versions(metric.libraries),
        "target": target.model_dump(mode="json"),
        "machine": machine() if metric.of_machine else None,
    }
    anywhere = fingerprint(named | {"machine": None}) if metric.of_machine else None
    return Measurement(bound, fingerprint(named), anywhere)


def measured_steps(job: OptimizationJob, steps: Sequence[BoundStep]) -> list[int]:
    """Returns whose models are measured: steps by index, -1 for the model that the job starts with."""
    spec, names = job.spec.evaluation, [step.name for step in steps]
    return [-1 if after == INPUT else names.index(after) for after in (spec.measured(names) if spec else ())]


def memory_to_measure(model: ModelFacts, made: str, *, accelerator: bool = False) -> int:
    """Returns the bytes that measuring is expected to take at the peak: a model of the size of the job's first, loaded.

    Args:
        model: what the job starts with.
        made: the format of what is measured: transformers loads it in float32 where it does not compute on a GPU.
        accelerator: whether it does.
    """
    wide = made in (HF, HF_ADAPTER) and not accelerator
    return (max(model.bytes, model.parameters * 4) if wide else model.bytes) + PROCESS_BYTES


def machine() -> list[str]:
    """Returns what speed depends on: the processor, the cores that this process may use, accelerators."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        processor = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    except OSError:
        processor = platform.processor()
    cards = sorted(path.read_text() for path in Path("/proc/driver/nvidia/gpus").glob("*/information"))
    return [platform.machine(), processor, str(cores()), *cards]
