"""Which worker runs which tests, and in which order: so that none of them waits while another could work.

A worker takes whole files, whose fixtures are then made once. Tests that need the cluster for themselves are one unit, and
the first: while one worker goes through them, the others do what needs no cluster, and then share the cluster. The
smaller files come last and fill the ends.
"""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator
from pathlib import Path

import pytest
from xdist.scheduler import LoadFileScheduling

ROOT = Path(__file__).parent.parent
CLUSTER = "tests/cluster/"
ALONE = f"{CLUSTER}: alone"


class Scheduling(LoadFileScheduling):
    """A unit of work is a file, without its tests that need the cluster for themselves."""

    def _split_scope(self, nodeid: str) -> str:
        return unit_of(nodeid)


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
