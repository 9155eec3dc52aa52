"""How many cores this process may use. A container's limit is a share of time, which no library looks at: each starts a
thread for every core of the node, and they wait for one another's turns."""

from __future__ import annotations

import math
import os
from pathlib import Path

THREADS = "OMP_NUM_THREADS"
"""The variable by which people say how many threads compute; torch reads it when it is imported."""

CGROUPS = Path("/sys/fs/cgroup")
"""Where a container sees its own control group."""


def cores(cgroups: Path = CGROUPS) -> int:
    """Returns the cores that this process may use: those that it may run on, and no more than its container's limit,
    rounded up."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    limit = _limit(cgroups)
    return allowed if limit is None else max(1, min(allowed, math.ceil(limit)))


def threads() -> int | None:
    """Returns how many threads are to compute; None where the libraries may choose."""
    said = os.environ.get(THREADS, "")
    return int(said) if said.isascii() and said.isdigit() and int(said) else None


def keep_to_limit(cgroups: Path = CGROUPS) -> None:
    """Has libraries start no more threads than the container's limit has cores. What a person has set stays."""
    if _limit(cgroups) is not None:
        os.environ.setdefault(THREADS, str(cores(cgroups)))


def _limit(cgroups: Path) -> float | None:
    """A container's limit in cores: https://docs.kernel.org/admin-guide/cgroup-v2.html, cpu.max; of version 1, cpu.cfs_*."""
    try:
        if (cgroups / "cgroup.controllers").exists():
            quota, period = (cgroups / "cpu.max").read_text().split()
        else:
            quota, period = ((cgroups / "cpu" / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period"))
        limit = float(quota) / float(period)
    except (OSError, ValueError):  # no container, or "max"
        return None
    return limit if limit > 0 else None  # version 1 says -1
