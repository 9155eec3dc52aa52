"""From what was seen to figures: percentiles, counts of writes, and what they are held against."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

_LINE = re.compile(r"^(\w+)(?:\{(.*)\})? (\S+)$")
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
WRITES = ("POST", "PUT", "PATCH", "APPLY", "DELETE")


@dataclass(frozen=True)
class Figure:
    """One line of the table.

    Attributes:
        name: what was measured.
        value: what came out.
        unit: of both.
        goal: the most that is fine; None: it is only told.
        note: how it was measured, where that matters.
    """

    name: str
    value: float
    unit: str
    goal: float | None = None
    note: str = ""

    @property
    def met(self) -> bool:
        """Whether it is within its goal."""
        return self.goal is None or self.value <= self.goal


def percentile(values: Iterable[float], percent: float) -> float:
    """Returns the smallest value that at least so many percent of the values do not exceed (nearest rank).

    Raises:
        ValueError: there are no values.
    """
    ordered = sorted(values)
    if not ordered:
        raise ValueError("no values to take a percentile of")
    return ordered[max(0, math.ceil(percent / 100 * len(ordered)) - 1)]


def samples(text: str, name: str) -> list[tuple[dict[str, str], float]]:
    """Returns a metric's samples, labels and value, from a page in Prometheus' text format."""
    lines = (_LINE.match(line) for line in text.splitlines() if line.startswith(name))
    return [(dict(_LABEL.findall(found[2] or "")), float(found[3])) for found in lines if found and found[1] == name]


def operator_writes(metrics: str) -> Counter[str]:
    """Counts, by kind, the writes that only the operator makes, from the API server's metrics; Events and its lease apart.

    Jobs' status is written by the Job controller, their spec by nobody but the operator; who else works in the cluster
    with Jobs or ConfigMaps is counted too, so nobody should.
    """
    found: Counter[str] = Counter()
    for labels, value in samples(metrics, "apiserver_request_total"):
        verb, resource, part = labels["verb"], labels["resource"], labels.get("subresource", "")
        if verb not in WRITES or not labels["code"].startswith("2"):
            continue
        if (resource, part) == ("optimizationjobs", "status"):
            found["status"] += int(value)
        elif (resource, part) in (("jobs", ""), ("configmaps", "")):
            found[f"{resource} {verb.lower()}"] += int(value)
    return found
