"""What a run says at its end: where the model is, what it took, and how to try it."""

from __future__ import annotations

import shlex
import shutil
import sys
from typing import TYPE_CHECKING

from rich.console import Console

from millwright_api.report import RunReport
from millwright_api.v1alpha1 import OptimizationJob
from millwright_runner.beside.snippets import SNIPPETS, snippet
from millwright_runner.cli import tables
from millwright_runner.plan import Plan
from millwright_runner.words import duration, plural, size

if TYPE_CHECKING:
    from millwright_runner.cli.trials import Board


def summary(plan: Plan, report: RunReport, console: Console | None = None, board: Board | None = None) -> str:
    """Returns the closing text of a run that made a model.

    Args:
        plan: of the run; of a search, of any of its trials.
        report: of the run.
        console: the terminal that it is for; None: plain text.
        board: of the search, if it was one.
    """
    base = base_of(plan.job, str(plan.model.tokenizer.absolute()))
    return closing_text(report, plan.output.uri, base, console, board)


def closing_text(
    report: RunReport, output: str, base: str, console: Console | None = None, board: Board | None = None
) -> str:
    """Returns the closing text of a run, wherever it ran. Lines may be longer than a screen is wide: paths stay whole.

    Args:
        report: of the run, which made a model.
        output: what a person would type to find the output, ending in a slash.
        base: where the model lies that the job started from.
        console: the terminal that it is for; None: plain text.
        board: of the search, if it was one.
    """
    made = report.artifact
    assert made is not None  # a run that ends without a model raises
    hits = [entry for entry in report.passes if entry.cache == "Hit"]
    times = ", ".join(f"{p.name} {'cached' if p.cache == 'Hit' else duration(p.seconds)}" for p in report.passes)
    rows = [
        ("model", made.uri),
        ("size", f"{size(made.bytes)} in {plural(made.files, 'file')}, format {made.format}"),
        ("time", f"{duration(report.seconds)} ({times})"),
        ("cache", f"{len(hits)} of {plural(len(report.passes), 'step')}"),
        ("report", f"{output}report.html"),
    ]
    if report.peak_memory_bytes:
        rows.insert(3, ("memory", f"{size(report.peak_memory_bytes)} at most"))
    searched = ""
    if board is not None:
        from millwright_runner.cli.trials import TRIALS, closing

        searched = closing(board, console)
        rows.append(("trials", f"{made.uri}{TRIALS}"))
        rows[2] = ("time", f"{duration(board.seconds)} for {plural(len(board.outcomes), 'trial')}")
    text = "\n".join(f"{name:<8}{value}" for name, value in rows)
    how = try_it(made.uri, made.format, base)
    measured = tables.text(report.evaluation, report.constraints, console)
    return "\n\n".join(filter(None, (searched, measured, text, how)))


def try_it(uri: str, kind: str, base: str, prompt: str = "Hello") -> str:
    """Returns the commands that try a model, or nothing for a format of a plug-in's.

    Args:
        uri: where the model lies.
        kind: its format.
        base: where the model lies that the job started from: an adapter sits on it.
        prompt: what to ask it.
    """
    if kind not in SNIPPETS:
        return ""
    places = {"folder": (uri, "model"), "base": (base, "base")}
    here = {name: local if "://" in place else place.rstrip("/") for name, (place, local) in places.items()}
    code = snippet(kind, prompt=prompt, **here)
    wanted = [
        (place, local) for name, (place, local) in places.items() if "://" in place and f"{{{name}}}" in SNIPPETS[kind]
    ]
    fetch = "".join(_fetch(place, local) for place, local in wanted)
    return f"Try it:\n\n{fetch}ORT_DISABLE_TELEMETRY=1 {_python()} - <<'END'\n{code}\nEND"


def base_of(job: OptimizationJob, local: str) -> str:
    """Returns where the model lies that a job starts from, as what tries a model can read it.

    Args:
        job: the manifest.
        local: where it lies on this machine, if it does not lie in a store or on the hub.
    """
    model = job.spec.model
    if model.hugging_face is not None:
        return model.hugging_face.repo
    stored = model.s3 or model.azure_blob
    return stored.uri if stored is not None else local


def _fetch(place: str, local: str) -> str:
    """Returns the command that brings a folder of a store to this machine."""
    if place.startswith("s3://"):
        return f"aws s3 cp --recursive {shlex.quote(place)} {local}\n"
    everything = f"{place.rstrip('/')}/*"
    return f"azcopy copy --recursive {shlex.quote(everything)} {local}\n"


def _python() -> str:
    """Returns how the interpreter that has these libraries is called in this shell."""
    return "python" if shutil.which("python") == sys.executable else sys.executable
