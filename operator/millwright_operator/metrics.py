"""What the operator counts, for Prometheus."""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Callable, Iterable
from typing import get_args

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from millwright_api.status import JobPhase
from millwright_operator.observed import Resource


class Metrics:
    """Counters in a registry of their own."""

    def __init__(self) -> None:
        registry = self.registry = CollectorRegistry()
        ProcessCollector(registry=registry)  # memory and CPU of this process
        self.reconciles = Counter("millwright_reconciles", "Reconciles that were begun.", registry=registry)
        self.errors = Counter(
            "millwright_reconcile_errors",
            "Reconciles that failed and are tried again.",
            ["reason"],
            registry=registry,
        )
        self.seconds = Histogram(
            "millwright_reconcile_seconds", "Seconds of a reconcile, its writes included.", registry=registry
        )
        self.reports = Counter(
            "millwright_progress_reports", "Answers of the progress endpoint.", ["code"], registry=registry
        )
        self.leading = Gauge("millwright_leading", "1 while this process is the leader.", registry=registry)
        self._writes = Counter("millwright_writes", "Writes that the API server took.", ["kind"], registry=registry)

    def wrote(self, kind: str) -> None:
        """Counts a write: job-create, job-patch, job-delete, configmap-apply, status, status-progress, event …"""
        self._writes.labels(kind).inc()

    def watch(self, depth: Callable[[], int], resources: Callable[[], Iterable[Resource]]) -> None:
        """Reads the queue's depth and the jobs' phases whenever somebody asks for the metrics."""
        self.registry.register(_Live(depth, resources))


class _Live(Collector):
    def __init__(self, depth: Callable[[], int], resources: Callable[[], Iterable[Resource]]) -> None:
        self._depth, self._resources = depth, resources

    def collect(self) -> Iterable[Metric]:
        """Yields what is true at this moment."""
        yield GaugeMetricFamily("millwright_queue_depth", "Jobs that wait for a worker.", value=self._depth())
        found = Tally(resource.status.phase for resource in self._resources())
        phases = GaugeMetricFamily("millwright_jobs", "OptimizationJobs by phase.", labels=["phase"])
        for phase in get_args(JobPhase):
            phases.add_metric([phase], found[phase])
        yield phases
