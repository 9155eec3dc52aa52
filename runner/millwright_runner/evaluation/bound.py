"""Metrics with their options, and the data that they are measured on."""

from __future__ import annotations

from dataclasses import dataclass

from millwright_api.errors import InvalidManifest, UnknownMetric, UserError
from millwright_api.evaluation import MetricUse
from millwright_api.v1alpha1 import Data, OptimizationJob
from millwright_runner.catalog import Catalog, parse, raise_all
from millwright_runner.data.tokens import Tokens
from millwright_runner.metrics import Metric

METRICS: Catalog[Metric] = Catalog("millwright.metrics", Metric, "metric", UnknownMetric)


@dataclass(frozen=True)
class BoundMetric:
    """A metric of a job whose options have become an object.

    Attributes:
        name: what constraints call it.
        metric: the metric with its options.
        data: the data set that it is measured on; None where it needs none.
        where: the path of its options in the manifest.
    """

    name: str
    metric: Metric
    data: Data | None
    where: str

    def check(self, tokens: Tokens) -> None:
        """Refuses what the tokenizer shows: see `Metric.check`. Raises UserError with the option's path."""
        try:
            self.metric.check(tokens)
        except UserError as error:
            where = f"{self.where}.{error.where}" if error.where else self.where
            raise type(error)(error.message, where=where, hint=error.hint) from error


def bind_metrics(job: OptimizationJob) -> list[BoundMetric]:
    """Gives each metric's options their type, and each metric its data.

    Raises:
        UnknownMetric, InvalidManifest: with the path in the manifest; all that is wrong, when it is in several metrics.
    """
    evaluation = job.spec.evaluation
    if evaluation is None:
        return []
    data = {entry.name: entry for entry in job.spec.data}
    bound: list[BoundMetric] = []
    problems: list[InvalidManifest] = []
    for index, use in enumerate(evaluation.metrics):
        try:
            bound.append(_bind(use, f"spec.evaluation.metrics[{index}]", data, evaluation.data))
        except InvalidManifest as error:
            problems.append(error)
    raise_all(problems)
    return bound


def _bind(use: MetricUse, where: str, data: dict[str, Data], usual: str | None) -> BoundMetric:
    kind = METRICS.chosen(use.metric_name, custom=use.custom, where=where)
    options = f"{where}.custom.options" if use.custom else f"{where}.{use.metric_name}"
    metric = parse(kind, use.options, options)
    return BoundMetric(use.name, metric, _data(metric, use, where, data, usual), options)


def _data(metric: Metric, use: MetricUse, where: str, data: dict[str, Data], usual: str | None) -> Data | None:
    if not metric.reads_examples():
        if use.data is None:
            return None
        if not metric.takes_examples:
            raise InvalidManifest(f"{metric.name} is measured without data", where=f"{where}.data", hint="leave it out")
    name = use.data or usual
    if name is None:
        raise InvalidManifest(
            f"{metric.name} is measured on data, and names none",
            where=where,
            hint="set spec.evaluation.data, or data here, to one of spec.data",
        )
    entry = data[name]
    if metric.compares_answers() and entry.text is not None and entry.text.answer is None:
        index = list(data).index(name)
        raise InvalidManifest(
            f"{metric.name} compares answers, and the data set {name!r} does not say which column holds them",
            where=f"spec.data[{index}].text.answer",
            hint=f"one of {', '.join(entry.text.columns)}",
        )
    return entry
