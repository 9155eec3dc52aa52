"""Which worker runs which tests, and in which order: so that none of them waits while another could work.

A worker takes whole files, whose fixtures are then made once. Tests that need the cluster for themselves are one unit, and
the first: while one worker goes through them, the others do what needs no cluster. Tests that share the cluster wait for
pods most of the time, the others compute all the time: so from then on some workers wait while the others compute. The
smaller files come last and fill the ends.
"""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator
from pathlib import Path

import pytest
from xdist.scheduler import LoadFileScheduling
from xdist.workermanage import WorkerController

ROOT = Path(__file__).parent.parent
CLUSTER = "tests/cluster/"
ALONE = f"{CLUSTER}: alone"


WAITING = 2
"""Workers that share the cluster while there is something to compute; more of them take its pods' cores away."""


class Scheduling(LoadFileScheduling):
    """A unit of work is a file, without its tests that need the cluster for themselves."""

    def _split_scope(self, nodeid: str) -> str:
        return unit_of(nodeid)

    def _assign_work_unit(self, node: WorkerController) -> None:
        """Gives a worker the next unit, with regard to what the others are at."""
        others = [work for worker, work in self.assigned_work.items() if worker is not node]
        running = [unit for work in others for unit, tests in work.items() if not all(tests.values())]
        self.workqueue.move_to_end(next_unit(list(self.workqueue), running), last=False)
        super()._assign_work_unit(node)


def next_unit(waiting: list[str], running: list[str]) -> str:
    """Returns the unit that a worker takes.

    Args:
        waiting: units that nobody has, in order; at least one.
        running: units that the other workers are at.
    """
    if waiting[0] == ALONE:
        return ALONE
    sharing = [unit for unit in waiting if unit.startswith(CLUSTER)]
    computing = [unit for unit in waiting if not unit.startswith(CLUSTER)]
    is_free = ALONE not in running and sum(unit.startswith(CLUSTER) for unit in running) < WAITING
    return next(iter([*sharing, *computing] if is_free else [*computing, *sharing]))


def unit_of(nodeid: str) -> str:
    """Returns the unit that a test belongs to: its file, or ALONE."""
    path, *names = nodeid.partition("[")[0].split("::")
    is_alone = path.startswith(CLUSTER) and any(
        "::".join(names[:n]) in alone_in(path) for n in range(1, len(names) + 1)
    )
    return ALONE if is_alone else path


@functools.cache
def alone_in(path: str) -> frozenset[str]:
    """Returns the classes and functions of a test file that are marked `alone`, as nodeids name them.

    Read from the source, since the process that schedules collects nothing itself.
    """
    return frozenset(_marked(ast.parse((ROOT / path).read_text()), ""))


def _marked(tree: ast.Module | ast.ClassDef, within: str) -> Iterator[str]:
    for node in tree.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            if any(ast.unparse(decorator) == "pytest.mark.alone" for decorator in node.decorator_list):
                yield f"{within}{node.name}"
            elif isinstance(node, ast.ClassDef):
                yield from _marked(node, f"{within}{node.name}::")


def ordered(items: list[pytest.Item]) -> list[pytest.Item]:
    """Returns tests in the order in which their units are given out; within a unit the order stays."""
    units: dict[str, list[pytest.Item]] = {}
    for item in items:
        units.setdefault(unit_of(item.nodeid), []).append(item)
    return [item for unit in sorted(units, key=_turn) for item in units[unit]]


def _turn(unit: str) -> tuple[int, int]:
    """A file's length stands for how long it runs."""
    if unit == ALONE:
        return 0, 0
    length = -(ROOT / unit).stat().st_size
    if unit.startswith(CLUSTER):
        return 3, length
    if unit.startswith("tests/unit/"):
        return (2 if length < -SMALL else 4), length
    return 1, length


SMALL = 9000
"""Bytes of a unit test's file up to which it is one of the last."""
