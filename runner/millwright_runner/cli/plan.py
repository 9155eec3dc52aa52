"""`millwright plan`: what a run would do, without doing it."""

from __future__ import annotations

from typing import Any

from rich.table import Table

from millwright_api.errors import MillwrightError
from millwright_api.evaluation import INPUT
from millwright_runner import manifest
from millwright_runner.cli import azureml, screen, searched
from millwright_runner.cli.options import CacheOption, DebugOption, JsonOption, ManifestArgument, SetOption
from millwright_runner.cli.places import settings
from millwright_runner.evaluation import Point
from millwright_runner.plan import Plan, StepPlan, make_plan
from millwright_runner.search_plan import SearchPlan, plan_search
from millwright_runner.words import plural, size

NAME = "plan"
EXAMPLE = "[bold]Example[/bold]  millwright plan job.yaml --set passes.finetune.r=8"


def command(
    path: ManifestArgument,
    *,
    sets: SetOption = None,
    cache: CacheOption = None,
    json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Show what a run would do: steps, cache hits, memory and disk; of a search its space, and what trials share.

    Looks at the model, the data and the output, and makes nothing.
    """
    job = manifest.load(path, sets or ())
    screen.tell_imported(job.imported)
    place = settings(job, cache)
    try:
        plan = plan_search(job.job, place) if job.job.spec.search is not None else make_plan(job.job, place)
    except MillwrightError as error:
        job.locate(error)
        raise
    execution = job.job.spec.execution.azure_ml
    if execution is not None and not json:
        screen.results().print(f"submit  on Azure ML: {azureml.line(job, execution)}", soft_wrap=True)
    if isinstance(plan, SearchPlan):
        searched.tell(plan, json=json, besides=azureml.as_document(job.job))
        return
    if json:
        screen.print_json(as_document(plan) | azureml.as_document(job.job))
    else:
        show(plan)


def as_document(plan: Plan) -> dict[str, Any]:
    """Returns a plan as JSON; memory and disk in bytes."""
    return {
        "job": plan.job.metadata.name,
        "fingerprint": plan.fingerprint,
        "output": plan.output.uri,
        "published": plan.published is not None,
        "model": {"where": plan.model.facts.where, "digest": plan.model.digest, "bytes": plan.model.facts.bytes},
        "data": [{"name": name, "where": found.where, "digest": found.digest} for name, found in plan.data.items()],
        "steps": [
            {
                "name": step.step.name,
                "pass": step.step.pass_.name,
                "key": step.key,
                "cache": _cache(plan, step),
                "produces": step.step.pass_.produces,
                "memoryBytes": step.estimate.memory,
                "diskBytes": step.estimate.disk,
            }
            for step in plan.steps
        ],
        "measured": [
            {
                "after": point.after,
                "metrics": [
                    {
                        "name": one.metric.name,
                        "metric": one.metric.metric.name,
                        "key": one.key,
                        "kept": one.measured is not None,
                    }
                    for one in point.measurements
                ],
            }
            for point in plan.evaluation.points
        ],
        "memoryBytes": plan.memory,
        "diskBytes": plan.disk,
    }


def show(plan: Plan) -> None:
    """Prints a plan for a person."""
    console = screen.results()
    for label, text in (("job", plan.job.metadata.name), ("model", plan.model.facts.where),
                        *((f"data {name}", found.where) for name, found in plan.data.items()),
                        ("output", plan.output.uri)):  # fmt: skip
        console.print(f"{label:<8}{'' if len(label) < 8 else ' '}{text}", soft_wrap=True)
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for heading in ("", "step", "pass", "key", "cache"):
        table.add_column(heading, no_wrap=True)
    for heading in ("memory", "disk"):
        table.add_column(heading, justify="right", no_wrap=True)
    for step in plan.steps:
        memory, disk = ("–", "–") if step.hit else (size(step.estimate.memory), size(step.estimate.disk))
        cache = _cache(plan, step).lower()
        table.add_row(
            str(step.step.index + 1), step.step.name, step.step.pass_.name, step.key[:12], cache, memory, disk
        )
    console.print()
    console.print(table)
    console.print()
    for point in plan.evaluation.points:
        console.print(_measured(point), soft_wrap=True)
    console.print(_verdict(plan), soft_wrap=True)


def _cache(plan: Plan, step: StepPlan) -> str:
    if step.hit:
        return "Hit"
    return "Off" if plan.cache is None else "Miss"


def _measured(point: Point) -> str:
    """Returns `measured after merge: accuracy, latency (kept)`."""
    metrics = (f"{one.metric.name}{' (kept)' if one.measured is not None else ''}" for one in point.measurements)
    return f"measured {'of the input' if point.after == INPUT else f'after {point.after}'}: {', '.join(metrics)}"


def _verdict(plan: Plan) -> str:
    to_run = [step for step in plan.steps if not step.hit]
    measured = "measured" if any(point.missing for point in plan.evaluation.points) else ""
    if plan.published is not None:
        return f"The output holds this very result: {'it would only be measured' if measured else 'nothing would run'}."
    if not to_run:
        return f"All steps are in the cache: the result would only be {measured and 'measured and '}published."
    return (
        f"{len(to_run)} of {plural(len(plan.steps), 'step')} would run: about {size(plan.memory)} of memory at the peak, "
        f"{size(plan.disk)} written to this disk."
    )
