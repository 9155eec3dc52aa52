"""Measures a model: loads it once, asks for answers once, and keeps what was found."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from millwright_api.errors import MillwrightError, PassFailed
from millwright_api.names import fingerprint
from millwright_api.report import EvaluationReport, MetricReport
from millwright_runner.artifact import Artifact
from millwright_runner.cache import Cache
from millwright_runner.data import FoundData
from millwright_runner.data.reading import DataReader
from millwright_runner.data.tokens import Tokens, load_tokens
from millwright_runner.evaluation.answers import answers
from millwright_runner.evaluation.examples import read_examples
from millwright_runner.evaluation.kept import find_measured, keep_measured
from millwright_runner.evaluation.overlap import shared, texts
from millwright_runner.evaluation.points import Point
from millwright_runner.metrics import Asking, Example, Measured
from millwright_runner.passes import StopFlag
from millwright_runner.subjects import Subject
from millwright_runner.subjects.folder import FolderSubject

Tell = Callable[[str], None]


@dataclass
class Judge:
    """Measures the models of one job.

    Attributes:
        data: the data sets, by name.
        tokenizer: the folder of the tokenizer that all models of the job are asked by.
        open: makes a subject of an artifact; see `subjects.opening.open_subject`.
        cache: where measurements are kept; None: nowhere.
        scratch: a folder for metrics.
        stop: asks for a stop.
        trust_remote_code: whether code that comes with the model may run.
        trained_on: names of the data sets that the job trains on.
    """

    data: dict[str, FoundData]
    tokenizer: Path
    open: Callable[[Artifact], Subject]
    cache: Cache | None
    scratch: Path
    stop: StopFlag
    trust_remote_code: bool
    trained_on: Sequence[str] = ()
    _examples: dict[str, list[Example]] = field(default_factory=dict)
    _overlaps: dict[str, int] = field(default_factory=dict)

    def measure(self, point: Point, artifact: Artifact, tell: Tell) -> EvaluationReport:
        """Makes the measurements of a point that are missing.

        Args:
            point: what is measured; what is found is put there.
            artifact: the model.
            tell: told what is being measured.

        Raises:
            MillwrightError: with the metric's path in the manifest.
        """
        missing = point.missing
        asks = any(one.metric.metric.asks for one in missing)
        model: Subject = self.open(artifact) if asks else FolderSubject(artifact)
        tokens = load_tokens(self.tokenizer)
        asked: dict[tuple[str, Asking], list[str]] = {}
        try:
            for one in missing:
                self.stop.check(f"before measuring {one.metric.name}")
                tell(f"measuring {one.metric.name}")
                name = one.metric.data.name if one.metric.data else ""
                context = _Context(self, model, name, tokens, asked, self._folder())
                try:
                    one.measured = one.metric.metric.measure(model, context)
                except MillwrightError as error:
                    error.where = error.where or one.metric.where
                    raise
                except (Exception, SystemExit) as error:
                    text = f"{one.metric.name} could not be measured: {type(error).__name__}: {error}"
                    raise PassFailed(text, where=one.metric.where) from error
                if self.cache is not None and self.cache.writes:
                    for key in filter(None, (one.key, one.anywhere)):
                        keep_measured(self.cache.store, key, one.measured)
        finally:
            model.close()
        return report_of(point)

    def examples(self, name: str, tokens: Tokens) -> list[Example]:
        """Returns a data set's examples, read once."""
        if not name:
            return []
        if name not in self._examples:
            self._examples[name] = read_examples(self.data[name], tokens)
            self._overlaps[name] = self._overlap(self._examples[name], tokens)
            if self.cache is not None and self.cache.writes:
                keep_measured(self.cache.store, self._overlap_key(name), Measured(float(self._overlaps[name])))
        return self._examples[name]

    def overlap(self, point: Point) -> dict[str, int]:
        """Returns the data sets of a point's metrics, as far as they were read now or before, that share rows with those
        that the job trains on, and how many."""
        used = {one.metric.data.name: None for one in point.measurements if one.metric.data}
        for name in used:
            if name not in self._overlaps and self.cache is not None:
                kept = find_measured(self.cache.store, self._overlap_key(name))
                self._overlaps |= {name: int(kept.value)} if kept else {}
        return {name: self._overlaps[name] for name in used if self._overlaps.get(name)}

    def _overlap_key(self, name: str) -> str:
        return fingerprint(["overlap", self.data[name].digest, [self.data[one].digest for one in self.trained_on]])

    def _overlap(self, examples: Sequence[Example], tokens: Tokens) -> int:
        def check() -> None:
            """Training sets may be long."""
            self.stop.check("while looking for rows that are trained on and measured on")

        trained = itertools.chain.from_iterable(texts(self.data[name], tokens, check) for name in self.trained_on)
        return shared((example.text for example in examples), trained)

    def _folder(self) -> Path:
        folder = self.scratch / f"metric-{time.monotonic_ns()}"
        folder.mkdir(parents=True)
        return folder


def report_of(point: Point) -> EvaluationReport:
    """Returns what is known of a point, for reports."""
    metrics = [_reported(one.metric.name, one.metric.metric.unit, one.measured) for one in point.measurements]
    return EvaluationReport(after=point.after, metrics=metrics)


def _reported(name: str, unit: str, measured: Measured | None) -> MetricReport:
    if measured is None or not math.isfinite(measured.value):
        return MetricReport(name=name, unit=unit, n=measured.n if measured else None)
    return MetricReport(name=name, value=measured.value, low=measured.low, high=measured.high, n=measured.n, unit=unit)


@dataclass
class _Context:
    """What one metric gets: see `metrics.MetricContext`."""

    judge: Judge
    model: Subject
    name: str
    tokens: Tokens
    asked: dict[tuple[str, Asking], list[str]]
    scratch: Path

    @property
    def examples(self) -> list[Example]:
        """The rows of the metric's data set."""
        return self.judge.examples(self.name, self.tokens)

    @property
    def rows(self) -> list[tuple[str, dict[str, Any]]]:
        """The rows of the metric's data set as they stand there, with their places: all columns."""
        return list(DataReader(self.judge.data[self.name], every_column=True)) if self.name else []

    @property
    def trust_remote_code(self) -> bool:
        """Whether code that comes with the model may run."""
        return self.judge.trust_remote_code

    def answers(self, asking: Asking) -> list[str]:
        """Asks once for all metrics that ask alike."""
        key = (self.name, asking)
        if key not in self.asked:
            self.asked[key] = answers(self.model, self.examples, self.tokens, asking, self.check)
        return self.asked[key]

    def check(self) -> None:
        """Raises Stopped when a stop was asked for."""
        self.judge.stop.check("while measuring")
