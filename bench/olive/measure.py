"""Runs a command and measures it with all its children: wall, CPU, memory, bytes written."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

SAMPLE_SECONDS = 0.05
PAGE = os.sysconf("SC_PAGE_SIZE")
MIB = 1 << 20
CLOCK = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Measured:
    """One run.

    Attributes:
        exit: exit status.
        wall_s: seconds from start to exit.
        cpu_s: seconds of CPU, user and system, of all its processes.
        peak_mib: largest resident set of any one process.
        tree_mib: largest sum over the tree, sampled; pages that processes share count once.
        written_mib: bytes put into the page cache for disks; 0 on file systems that do not count.
        others_cpu_s: CPU that the rest of the machine used meanwhile: discard the run where it is large.
    """

    exit: int
    wall_s: float
    cpu_s: float
    peak_mib: float
    tree_mib: float
    written_mib: float
    others_cpu_s: float

    def as_dict(self) -> dict[str, float]:
        """Returns the figures, rounded."""
        return {name: round(value, 2) for name, value in asdict(self).items()}


def measure(command: list[str], folder: Path, log: Path, environment: Mapping[str, str]) -> Measured:
    """Runs a command in a folder, its output into a log, with exactly this environment.

    To be called from a small process: until a child runs its program, the kernel counts its parent's memory as its own.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    busy, started = _busy(), time.monotonic()
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=folder, env=dict(environment), stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
    sampler = _Sampler(process.pid)
    sampler.start()
    _, status, usage = os.wait4(process.pid, 0)  # usage covers the children that it waited for
    wall = time.monotonic() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    sampler.ended.set()
    sampler.join()
    cpu = usage.ru_utime + usage.ru_stime
    peak = usage.ru_maxrss / 1024
    written = usage.ru_oublock * 512 / MIB
    return Measured(
        process.returncode, wall, cpu, peak, max(peak, sampler.peak / MIB), written, max(0.0, _busy() - busy - cpu)
    )


class _Sampler(threading.Thread):
    def __init__(self, root: int) -> None:
        super().__init__(daemon=True)
        self.root, self.peak, self.ended = root, 0, threading.Event()

    def run(self) -> None:
        while not self.ended.wait(SAMPLE_SECONDS):
            tree = _tree(self.root)
            size = _resident if len(tree) == 1 else _proportional
            self.peak = max(self.peak, sum(size(pid) for pid in tree))


def _tree(root: int) -> list[int]:
    found, queue = [], [root]
    while queue:
        pid = queue.pop()
        found.append(pid)
        for task in _read(Path(f"/proc/{pid}/task"), lambda p: list(p.iterdir()), []):
            queue += map(int, _read(task / "children", lambda p: p.read_text().split(), []))
    return found


def _resident(pid: int) -> int:
    return _read(Path(f"/proc/{pid}/statm"), lambda p: int(p.read_text().split()[1]) * PAGE, 0)


def _proportional(pid: int) -> int:
    lines = _read(Path(f"/proc/{pid}/smaps_rollup"), lambda p: p.read_text().splitlines(), [])
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))


def _read(path, how, otherwise):  # type: ignore[no-untyped-def]
    try:
        return how(path)
    except (OSError, IndexError):  # it ended meanwhile
        return otherwise


def _busy() -> float:
    fields = list(map(int, Path("/proc/stat").read_text().splitlines()[0].split()[1:]))
    return (fields[0] + fields[1] + fields[2] + sum(fields[5:8])) / CLOCK
