"""Measures a model on this machine, by the metrics of evaluations, and shows what was found."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.table import Table

from millwright_api.errors import InvalidManifest
from millwright_runner.artifact import ONNX_GENAI
from millwright_runner.cli import screen
from millwright_runner.cli.failures import UsageError
from millwright_runner.cli.named import Named, ask, find_named, load
from millwright_runner.cli.places import home
from millwright_runner.cores import threads
from millwright_runner.data.tokens import Tokens, read_json
from millwright_runner.evaluation.points import machine
from millwright_runner.metrics import Asking, Example, Measured, Metric
from millwright_runner.metrics.peak_memory import PeakMemory
from millwright_runner.metrics.size_on_disk import SizeOnDisk
from millwright_runner.metrics.throughput import Throughput
from millwright_runner.metrics.token_latency import PERCENTILES, TokenLatency
from millwright_runner.stores.disk import told
from millwright_runner.subjects import Subject
from millwright_runner.words import plural, size
from millwright_runner.workplace import PrivateFolder

FIRST, EACH = "firstToken", "perToken"


@dataclass
class Bench:
    """What a model takes; satisfies `MetricContext`.

    Attributes:
        tokens: the tokenizer.
        scratch: an empty folder.
        trust_remote_code: whether code that comes with the model may run.
        examples: none.
        rows: none.
    """

    tokens: Tokens
    scratch: Path
    trust_remote_code: bool
    examples: Sequence[Example] = field(default=())
    rows: Sequence[tuple[str, dict[str, Any]]] = field(default=())

    def answers(self, asking: Asking) -> list[str]:
        """There is no question, and so no answer."""
        return []

    def check(self) -> None:
        """A signal ends this process at once."""


def measure(
    model: str,
    *,
    sizes: dict[str, int],
    batch_size: int,
    repeats: int,
    base: str | None,
    trusted: bool,
    quiet: bool,
    debug: bool,
) -> dict[str, Any]:
    """Measures a model, and returns all figures, as --json prints them.

    Args:
        model: a path or a URI.
        sizes: promptTokens and newTokens.
        batch_size: prompts at once, for the throughput.
        repeats: generations whose time is taken.
        base: of an adapter: its base.
        trusted: whether code that comes with the model may run.
        quiet: whether nothing is said of what is going on.
        debug: whether what libraries print is shown.

    Raises:
        UsageError: the model has no room for so many tokens.
        MillwrightError: see `find_named` and `load`.
    """
    found = find_named(model, base, trusted=trusted)
    metrics: dict[str, Metric] = {
        "latency": TokenLatency.model_validate({**sizes, "repeats": repeats}),
        "throughput": Throughput.model_validate({**sizes, "batchSize": batch_size}),
        "size": SizeOnDisk(),
        "memory": PeakMemory.model_validate(sizes),
    }
    _check(metrics, found.tokens)
    with screen.libraries_kept_off(None if debug else screen.nameless_log()) as console:
        return _measured(found, metrics, lambda text: None if quiet else console.print(text, style="dim"))


def _check(metrics: dict[str, Metric], tokens: Tokens) -> None:
    for metric in metrics.values():
        try:
            metric.check(tokens)
        except InvalidManifest as error:
            hint = (error.hint or "").replace("newTokens", "--new-tokens")
            raise UsageError(error.message, where="--prompt-tokens", hint=hint) from error


def _measured(found: Named, metrics: dict[str, Metric], tell: Any) -> dict[str, Any]:
    """Returns all figures, as --json prints them."""
    tell("loading")
    subject = load(found)
    subject.close()  # once more, for its time: the first time libraries are imported, and files come from the disk
    began = time.perf_counter()
    ask(subject, found)
    seconds = time.perf_counter() - began
    measured: dict[str, Measured] = {}
    with told(home()):
        scratch = PrivateFolder(home() / "bench")
    try:
        context = Bench(found.tokens, scratch.path, found.trusted)
        for name, metric in metrics.items():
            tell(f"measuring {name}")
            measured[name] = metric.measure(subject, context)
    finally:
        scratch.close()
    latency, throughput = metrics["latency"], metrics["throughput"]
    return {
        "model": {"where": found.where, "format": found.artifact.format},
        "machine": _machine(found, subject),
        "asked": {
            **latency.model_dump(include={"prompt_tokens", "new_tokens", "warmup", "repeats"}),
            **throughput.model_dump(include={"batch_size"}),
        },
        "loadSeconds": seconds,
        "firstTokenMs": _percentiles(measured["latency"], FIRST),
        "perTokenMs": _percentiles(measured["latency"], EACH),
        "tokensPerSecond": measured["throughput"].value,
        "sizeBytes": int(measured["size"].value),
        "files": int(measured["size"].details["files"]),
        "peakMemoryBytes": int(measured["memory"].value),
        "peakCudaBytes": int(measured["memory"].details.get("cudaBytes", 0)),
    }


def _percentiles(measured: Measured, of: str) -> dict[str, float]:
    return {f"p{percent}": measured.details[f"{of}P{percent}"] for percent in PERCENTILES}


def _machine(found: Named, subject: Subject) -> dict[str, Any]:
    architecture, processor, cores, *cards = machine()
    return {
        "processor": processor or architecture,
        "cores": int(cores),
        "threads": _threads(found),
        "device": subject.device,
        "accelerators": len(cards),
    }


def _threads(found: Named) -> int | None:
    """Returns the threads that compute; None where onnxruntime chooses by itself."""
    if found.artifact.format == ONNX_GENAI:
        decoder = read_json(found.artifact.folder / "genai_config.json")["model"]["decoder"]
        own = decoder.get("session_options", {}).get("intra_op_num_threads")
        return threads() or (own if isinstance(own, int) and own > 0 else None)
    import torch

    return torch.get_num_threads()


def show(document: dict[str, Any]) -> None:
    """Prints what `measure` returns, for a person."""
    console = screen.results()
    here, asked = document["machine"], document["asked"]
    computing = plural(here["threads"], "thread") if here["threads"] else "threads as onnxruntime chooses"
    rows = [
        ("model", f"{document['model']['where']} ({document['model']['format']})"),
        ("machine", f"{here['processor']}, {plural(here['cores'], 'core')}, {computing}, on {here['device']}"),
        (
            "asked",
            f"{asked['promptTokens']} tokens and {asked['newTokens']} new ones, {plural(asked['repeats'], 'time')} "
            f"after {asked['warmup']} to warm up",
        ),
    ]
    console.print("\n".join(f"{name:<8}{value}" for name, value in rows) + "\n", soft_wrap=True)
    table = Table(box=None, padding=(0, 3, 0, 0), header_style="bold")
    table.add_column("")
    for heading in ("p50", "p90", "p99"):
        table.add_column(heading, justify="right")
    for name, key in (("first token", "firstTokenMs"), ("each further token", "perTokenMs")):
        table.add_row(name, *(f"{value:.3g} ms" for value in document[key].values()))
    console.print(table)
    cuda = document["peakCudaBytes"]
    memory = f"{size(document['peakMemoryBytes'])}{f', and {size(cuda)} of the GPU' if cuda else ''}"
    batches = "one prompt at a time" if asked["batchSize"] == 1 else f"in batches of {asked['batchSize']}"
    rows = [
        ("load", f"{document['loadSeconds']:.2g} s, with its files in the system's memory"),
        ("throughput", f"{document['tokensPerSecond']:.4g} tokens/s {batches}"),
        ("size", f"{size(document['sizeBytes'])} in {plural(document['files'], 'file')}"),
        ("memory", f"{memory} at most, in a process of its own"),
    ]
    console.print("\n" + "\n".join(f"{name:<12}{value}" for name, value in rows), soft_wrap=True)
