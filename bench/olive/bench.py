"""The same jobs through Microsoft Olive and through Millwright, in turns, cold each time: ratios of the medians.

    python bench.py [--rounds 3] [--sizes tiny big]

Both get the same workflow JSON: Olive as it is, Millwright through `millwright import`, with the micro-batch left to it
at the same effective batch. Everything is made under bench/build; OLIVE_BENCH_DIR names a folder whose venv has Olive
already. Run it on a quiet machine: about ten minutes, and about 6 GB of disk for Olive's environment.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from inputs import SHAPES, olive_job
from measure import Measured, measure
from rich.console import Console
from rich.table import Table

HERE = Path(__file__).parent
BUILD = HERE.parent / "build"
OLIVE = Path(os.environ.get("OLIVE_BENCH_DIR", BUILD / "olive")).resolve()
MILLWRIGHT = Path(sys.executable).with_name("millwright")
AUTO = "passes.lora.training.perDeviceTrainBatchSize=auto"
OTHERS_TOLERATED = 5.0
"""CPU seconds of other processes during a run from which its line is marked."""
FIGURES = ("wall_s", "cpu_s", "peak_mib", "tree_mib", "written_mib")

console = Console(width=120)


def say(text: str) -> None:
    """Tells how far it is, on stderr."""
    print(text, file=sys.stderr, flush=True)


@dataclass(frozen=True)
class Contender:
    """One side: its command for a size, its environment, and what to empty before a cold run."""

    name: str
    command: Callable[[str], list[str]]
    environment: dict[str, str]
    empty: Callable[[str], list[Path]]
    output: Callable[[str], Path]
    sizes: tuple[str, ...] = tuple(SHAPES)


@dataclass
class Results:
    """All runs: key → figures of each round; and of the last round, the training loss and the MiB left on disk."""

    runs: dict[str, list[Measured]] = field(default_factory=dict)
    losses: dict[str, float] = field(default_factory=dict)
    disk: dict[str, float] = field(default_factory=dict)

    def add(self, key: str, run: Measured) -> None:
        """Notes a run and says so."""
        self.runs.setdefault(key, []).append(run)
        busy = f"  others used {run.others_cpu_s:.0f} s of CPU: discard" if run.others_cpu_s > OTHERS_TOLERATED else ""
        say(f"  {key:34} {run.wall_s:6.1f} s wall {run.cpu_s:6.1f} s CPU {run.peak_mib:6.0f} MiB{busy}")

    def median(self, key: str, figure: str) -> float:
        """Returns the median of one figure over the rounds."""
        return statistics.median(getattr(run, figure) for run in self.runs[key])


def prepare() -> None:
    """Makes Olive's environment, the models and the jobs, where they are missing."""
    if not (OLIVE / "venv" / "bin" / "olive").exists():
        say("installing Olive (about 6 GB, once)")
        python = OLIVE / "venv" / "bin" / "python"
        uv = shutil.which("uv") or str(HERE.parents[1] / ".tools" / "uv" / "bin" / "uv")
        pins = ["-r", str(HERE / "requirements.txt"), "-c", str(HERE / "constraints.txt")]
        subprocess.run([uv, "venv", "-q", "--python", sys.executable, str(OLIVE / "venv")], check=True)
        subprocess.run([uv, "pip", "install", "-q", "--python", str(python), "--compile-bytecode", *pins], check=True)
    if not (BUILD / "inputs" / "made").exists():
        say("making data and models")
        subprocess.run(
            [sys.executable, str(HERE / "inputs.py"), str(BUILD / "inputs")], check=True, stdout=subprocess.DEVNULL
        )
    for size in SHAPES:
        for side in ("olive", "millwright"):
            work = BUILD / "work" / side / size
            work.mkdir(parents=True, exist_ok=True)
            (work / "job.json").write_text(json.dumps(olive_job(size, BUILD / "inputs", work), indent=1))
        job = BUILD / "work" / "millwright" / size
        subprocess.run(
            [str(MILLWRIGHT), "import", str(job / "job.json"), "-o", str(job / "job.yaml"), "--force"],
            check=True,
            stdout=subprocess.DEVNULL,
        )


def contenders() -> list[Contender]:
    """Returns Olive as installed, Olive without telemetry, and Millwright."""
    clean = {
        name: value
        for name, value in os.environ.items()
        if name not in ("CI", "TF_BUILD", "GITHUB_ACTIONS", "OMP_NUM_THREADS")
    }
    caches = BUILD / "xdg"
    shared = clean | {"HF_HUB_OFFLINE": "1", "XDG_CACHE_HOME": str(caches), "HF_HOME": str(caches / "huggingface")}

    def work(side: str, size: str) -> Path:
        return BUILD / "work" / side / size

    def olive(name: str, environment: dict[str, str], sizes: tuple[str, ...]) -> Contender:
        return Contender(
            name=name,
            command=lambda size: [
                str(OLIVE / "venv" / "bin" / "olive"),
                "run",
                "--config",
                str(work("olive", size) / "job.json"),
            ],
            environment=shared | environment,
            empty=lambda size: [
                work("olive", size) / "cache",
                work("olive", size) / "out",
                caches / "huggingface" / "datasets",
            ],
            output=lambda size: work("olive", size) / "out",
            sizes=sizes,
        )

    ours = Contender(
        name="millwright",
        command=lambda size: [str(MILLWRIGHT), "run", str(work("millwright", size) / "job.yaml"), "--set", AUTO],
        environment=shared | {"MILLWRIGHT_HOME": str(BUILD / "home")},
        empty=lambda size: [work("millwright", size) / "out", BUILD / "home"],
        output=lambda size: work("millwright", size) / "out",
    )
    return [olive("olive as installed", {}, ("tiny",)), olive("olive, CI=1", {"CI": "1"}, tuple(SHAPES)), ours]


def job(results: Results, side: Contender, size: str, how: str) -> None:
    """Runs one job, cold or as a second run, and looks whether a model came of it."""
    key = f"{size} {how}: {side.name}"
    if how == "cold":
        for place in side.empty(size):
            shutil.rmtree(place, ignore_errors=True)
    log = BUILD / "logs" / f"{key}.log".replace(" ", "-").replace(":", "").replace(",", "")
    run = measure(side.command(size), side.output(size).parent, log, side.environment)
    if run.exit != 0 or not any(side.output(size).rglob("*.onnx")):
        sys.exit(f"{key}: exit {run.exit}, model: {any(side.output(size).rglob('*.onnx'))}; see {log}")
    results.add(key, run)
    if how == "cold":
        results.losses[key] = train_loss(side.output(size), log)
        results.disk[key] = on_disk(side, size)


def train_loss(output: Path, log: Path) -> float:
    """Returns the mean training loss: from Millwright's report, else from Olive's log."""
    report = output / "report.json"
    if report.exists():
        return float(json.loads(report.read_text())["passes"][0]["metrics"]["trainLoss"])
    return float(re.findall(r"training_loss=([\d.]+)", log.read_text())[-1])


def starts(results: Results, sides: list[Contender]) -> None:
    """Times what a person waits for before anything runs."""
    ours, olive = sides[-1], sides[1]
    manifest = str(BUILD / "work" / "millwright" / "tiny" / "job.yaml")
    for key, command, side in (
        ("--help: olive, CI=1", [olive.command("tiny")[0], "--help"], olive),
        ("--help: millwright", [str(MILLWRIGHT), "--help"], ours),
        ("validate: millwright", [str(MILLWRIGHT), "validate", manifest], ours),
    ):
        results.add(key, measure(command, BUILD, BUILD / "logs" / "start.log", side.environment))


def table(results: Results) -> Table:
    """Returns medians, and each of ours divided by Olive's."""
    shown = Table(title="Medians; in brackets Millwright ÷ that line", title_justify="left")
    shown.add_column("", no_wrap=True)
    for column in ("wall s", "CPU s", "peak MiB", "tree MiB", "written MiB", "loss"):
        shown.add_column(column, justify="right", no_wrap=True)
    for key in results.runs:
        what, side = key.split(": ")
        own = f"{what}: millwright"
        cells = []
        for figure in FIGURES:
            value = results.median(key, figure)
            ratio = (
                f" ({results.median(own, figure) / value:.2f})"
                if side != "millwright" and own in results.runs and value
                else ""
            )
            cells.append(f"{value:,.1f}{ratio}" if figure in ("wall_s", "cpu_s") else f"{value:,.0f}{ratio}")
        shown.add_row(key, *cells, f"{results.losses[key]:.3f}" if key in results.losses else "")
    return shown


def on_disk(side: Contender, size: str) -> float:
    """Returns MiB of all files that a run left in its folders; a file with several names counts once."""
    stats = {
        (s.st_dev, s.st_ino): s.st_size
        for place in side.empty(size)
        for f in place.rglob("*")
        if f.is_file()
        for s in [f.lstat()]
    }
    return round(sum(stats.values()) / (1 << 20), 1)


def report(results: Results) -> dict[str, Any]:
    """Returns everything as data: each run, and the medians."""
    return {
        "runs": {key: [run.as_dict() for run in runs] for key, runs in results.runs.items()},
        "medians": {key: {figure: round(results.median(key, figure), 2) for figure in FIGURES} for key in results.runs},
        "train_loss": results.losses,
        "left_on_disk_mib": results.disk,
    }


def main() -> None:
    """Prepares, runs in turns, prints one table, writes bench/build/olive.json."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--sizes", nargs="+", default=list(SHAPES), choices=list(SHAPES))
    chosen = parser.parse_args()
    prepare()
    results, sides = Results(), contenders()
    for size in chosen.sizes:
        for _ in range(chosen.rounds):
            for side in sides:
                if size in side.sizes:
                    job(results, side, size, "cold")
        for side in sides[1:]:
            job(results, side, size, "again")
    for _ in range(chosen.rounds):
        starts(results, sides)
    console.print(table(results))
    target = BUILD / "olive.json"
    target.write_text(json.dumps(report(results), indent=1))
    console.print(f"left on disk, MiB: {results.disk}\nall figures: {target.relative_to(HERE.parents[1])}")


if __name__ == "__main__":
    main()
