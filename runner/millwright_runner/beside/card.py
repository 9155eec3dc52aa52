"""The model card: README.md as the Hugging Face hub reads it, metadata first. Pure: the same facts give the same bytes."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from millwright_api.evaluation import INPUT
from millwright_api.report import ConstraintReport, EvaluationReport, MetricReport
from millwright_api.v1alpha1 import Data
from millwright_runner.artifact import HF, HF_ADAPTER, ONNX_GENAI
from millwright_runner.beside.chosen import Chosen
from millwright_runner.beside.snippets import snippet
from millwright_runner.words import plural

LIBRARIES = {ONNX_GENAI: "onnxruntime-genai", HF: "transformers", HF_ADAPTER: "peft"}
TASK = "text-generation"
FOLDER = "model"
"""What the card calls the folder that its reader has the model in."""

AIMS = {"Maximize": "the most", "Minimize": "the least"}
ENDS = {
    "Succeeded": "succeeded",
    "ConstraintsNotMet": "missed a constraint",
    "Pruned": "were ended early",
    "Failed": "failed",
}
"""How trials end, as part of a sentence that counts them."""


@dataclass(frozen=True)
class Metric:
    """A metric of the evaluation.

    Attributes:
        kind: what manifests call it: exactMatch.
        data: what it is measured on; None where it needs no data.
        of_machine: whether its value depends on the machine.
    """

    kind: str
    data: Data | None
    of_machine: bool


@dataclass(frozen=True)
class Facts:
    """What a card says.

    Attributes:
        name: the job's.
        format: the artifact's.
        base: the hub's repository that the job started from; None where it came from elsewhere.
        licence: the metadata's keys, as the base model says them.
        trained_on: the data sets that passes read.
        passes: step's name and pass, in order.
        spec: the manifest's part that everybody may read.
        metrics: by the name that reports call them.
        evaluation: what was measured of which model, in the recipe's order.
        constraints: what became of them.
        bytes: size of the model's files.
        chosen: the trial of a search that the model is of; None without a search.
    """

    name: str
    format: str
    base: str | None
    licence: Mapping[str, str]
    trained_on: Sequence[Data]
    passes: Sequence[tuple[str, str]]
    spec: Mapping[str, Any]
    metrics: Mapping[str, Metric]
    evaluation: Sequence[EvaluationReport]
    constraints: Sequence[ConstraintReport]
    bytes: int
    chosen: Chosen | None = None

    @property
    def final(self) -> EvaluationReport | None:
        """What was measured of the model that the card is of."""
        last = self.passes[-1][0]
        return next((report for report in self.evaluation if report.after == last), None)


def card(facts: Facts) -> str:
    """Returns a model card: metadata, what was done, figures, how to try it, limits."""
    parts = [_head(facts), _search(facts), _how(facts), _figures(facts), _try(facts), _limits(facts)]
    return f"---\n{_yaml(metadata(facts))}---\n\n" + "\n\n".join(filter(None, parts)) + "\n"


def metadata(facts: Facts) -> dict[str, Any]:
    """Returns what stands between the dashes; keys are the hub's, and what is not known is left out."""
    hub = [data.source.hugging_face.repo for data in facts.trained_on if data.source.hugging_face]
    results = list(_results(facts))
    found: dict[str, Any] = {
        "base_model": facts.base,
        "base_model_relation": "adapter" if facts.base and facts.format == HF_ADAPTER else None,
        **facts.licence,
        "library_name": LIBRARIES.get(facts.format),
        "pipeline_tag": TASK,
        "datasets": list(dict.fromkeys(hub)),
        "tags": list(dict.fromkeys(["millwright", *(pass_ for _, pass_ in facts.passes)])),
        "model-index": [{"name": facts.name, "results": results}] if results else None,
    }
    return {key: value for key, value in found.items() if value}


def _results(facts: Facts) -> Iterator[dict[str, Any]]:
    """Yields the figures of the finished model, by data set: the hub's form has no place for one without data."""
    by_data: dict[str, tuple[Data, list[dict[str, Any]]]] = {}
    for report in facts.final.metrics if facts.final else ():
        metric = facts.metrics.get(report.name)
        if metric is None or metric.data is None or not _is_number(report.value):
            continue
        figure = {"type": _snake(metric.kind), "name": report.name, "value": report.value}
        by_data.setdefault(metric.data.name, (metric.data, []))[1].append(figure)
    for data, figures in by_data.values():
        yield {"task": {"type": TASK}, "dataset": _dataset(data), "metrics": figures}


def _dataset(data: Data) -> dict[str, str]:
    hub = data.source.hugging_face
    if hub is None:
        return {"type": data.name, "name": data.name}
    said = {"type": hub.repo, "name": data.name, "config": hub.subset, "split": hub.split, "revision": hub.revision}
    return {key: value for key, value in said.items() if value}


def _head(facts: Facts) -> str:
    start = f"[{facts.base}](https://huggingface.co/{facts.base})" if facts.base else "a model that is not on the hub"
    chain = " → ".join(pass_ for _, pass_ in facts.passes)
    return (
        f"# {facts.name}\n\nMade by Millwright from {start}: {chain}. "
        f"Format {facts.format}, {facts.bytes:,} bytes. `provenance.json` names every input by its digest."
    )


def _search(facts: Facts) -> str:
    """Of how many trials it is the best, and what it was made with."""
    chosen = facts.chosen
    search = chosen.job.spec.search if chosen else None
    if chosen is None or search is None:
        return ""
    aims = ", then ".join(f"{AIMS[one.direction]} {one.metric}" for one in search.objectives)
    ended = ", ".join(f"{count} {ENDS.get(phase, phase)}" for phase, count in chosen.phases.items() if count)
    what = "the best" if chosen.best else "one"
    rows = [("parameter", "value"), ("---", "---"), *((_code(name), _code(value)) for name, value in chosen.at.items())]
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    return (
        f"## Search\n\nThe model is {what} of {plural(chosen.trials, 'trial')} ({ended}), number {chosen.number}; sought was {aims}. "
        f"`trials.jsonl` in the output has them all.\n\n{table}"
    )


def _code(value: Any) -> str:
    """A value as it stands in a table's cell, whatever is in it."""
    text = value if isinstance(value, str) else json.dumps(value)
    fence = "`" * (max(map(len, re.findall(r"`+", text)), default=0) + 1)
    room = " " if len(fence) > 1 else ""
    return f"{fence}{room}{text}{room}{fence}".replace("|", r"\|").replace("\n", " ")


def _how(facts: Facts) -> str:
    text = _yaml(dict(facts.spec))
    fence = max(re.findall(r"`{3,}", text), key=len, default="``") + "`"  # a template may hold one
    return f"## How it was made\n\n{fence}yaml\n{text}{fence}"


def _figures(facts: Facts) -> str:
    if not facts.evaluation:
        return "## Figures\n\nNothing was measured."
    places = [report.after for report in facts.evaluation]
    titles = ["before" if after == INPUT else f"after {after}" for after in places]
    rows = [("metric", "unit", *titles, "n"), ("---",) * (len(titles) + 3)]
    for name in dict.fromkeys(metric.name for report in facts.evaluation for metric in report.metrics):
        found = [next((m for m in report.metrics if m.name == name), None) for report in facts.evaluation]
        there = [metric for metric in found if metric is not None]
        counts = [str(metric.n) for metric in there if metric.n is not None]
        rows.append((name, there[0].unit, *map(_cell, found), counts[-1] if counts else ""))
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    verdicts = [f"- {'met' if entry.met else '**not met**'}: {entry.message}" for entry in facts.constraints]
    said = ["## Figures", table]
    if any(metric.low is not None for report in facts.evaluation for metric in report.metrics):
        said.append("In brackets: the 95 % interval.")
    return "\n\n".join([*said, *(["Constraints:\n\n" + "\n".join(verdicts)] if verdicts else [])])


def _cell(metric: MetricReport | None) -> str:
    if metric is None:
        return ""
    ends = "" if metric.low is None or metric.high is None else f" ({_figure(metric.low)} to {_figure(metric.high)})"
    return f"{_figure(metric.value)}{ends}"


def _figure(value: float | None) -> str:
    if value is None or not _is_number(value):
        return "no number"
    return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:.4g}"


def _try(facts: Facts) -> str:
    code = snippet(facts.format, folder=FOLDER, base=facts.base or "base")
    base = " and the model that it sits on in `base`" if facts.format == HF_ADAPTER and not facts.base else ""
    return f"## Try it\n\nWith these files in the folder `{FOLDER}`{base}:\n\n```python\n{code}\n```" if code else ""


def _limits(facts: Facts) -> str:
    lines = ["What limits the model that this one was made from limits this one too."]
    if not facts.licence:
        lines.append("That model says nothing of its licence, so neither does this card: ask its owner.")
    used = sorted({m.data.name for m in facts.metrics.values() if m.data}) if facts.evaluation else []
    if used:
        lines.append(f"The figures are of {' and '.join(used)}, and say nothing of other texts.")
    if facts.evaluation and any(metric.of_machine for metric in facts.metrics.values()):
        lines.append("Speed and memory are those of the machine that measured them.")
    shared: dict[str, int] = {}
    for report in facts.evaluation:
        shared |= report.overlap or {}
    lines += [
        f"Rows of {name} that were trained on as well: {count}. The figures flatter the model."
        for name, count in shared.items()
    ]
    return "## Limits\n\n" + "\n".join(f"- {line}" for line in lines)


def _yaml(value: dict[str, Any]) -> str:
    return yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=10_000, default_flow_style=False)


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])([A-Z])", r"_\1", name).lower()


def _is_number(value: float | None) -> bool:
    return value is not None and math.isfinite(value)
