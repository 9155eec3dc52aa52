"""What `millwright plan` says of a search: its space, its trials, what they share, what they need."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rich.table import Table

from millwright_api.search import Parameter, Search
from millwright_runner.cli import screen
from millwright_runner.search_plan import Piece, SearchPlan, pieces_of
from millwright_runner.trials import search_of
from millwright_runner.words import plural, size


def tell(plan: SearchPlan, *, json: bool, besides: Mapping[str, Any]) -> None:
    """Prints what a search would do, and on stderr what a person should know; as JSON with what is said besides."""
    screen.tell_notes(plan.notes)
    if json:
        screen.print_json(as_document(plan) | dict(besides))
    else:
        show(plan)


def as_document(plan: SearchPlan) -> dict[str, Any]:
    """Returns it as JSON; memory and disk in bytes. `points` is null where a range is continuous, and `variants` where
    passes are done anew for each trial."""
    search = search_of(plan.job)
    return {
        "job": plan.job.metadata.name,
        "output": plan.found.output.uri,
        "model": {
            "where": plan.found.model.facts.where,
            "digest": plan.found.model.digest,
            "bytes": plan.found.model.facts.bytes,
        },
        "data": [
            {"name": name, "where": found.where, "digest": found.digest} for name, found in plan.found.data.items()
        ],
        "search": {
            "algorithm": _algorithm(search),
            "parameters": [{"label": one.label, "values": _values(one)} for one in search.parameters],
            "objectives": [one.model_dump(mode="json") for one in search.objectives],
            "points": plan.size,
            "trials": plan.trials,
            "keep": search.keep,
            "pieces": [
                {"steps": list(piece.steps), "variants": piece.variants, "last": piece.last}
                for piece in pieces_of(plan.job)
            ],
        },
        "steps": [
            {
                "name": step.name,
                "pass": step.pass_.name,
                "produces": step.pass_.produces,
                "memoryBytes": needs.memory,
                "diskBytes": needs.disk,
            }
            for step, needs in zip(plan.steps, plan.needs, strict=True)
        ],
        "notes": plan.notes,
        "memoryBytes": plan.memory,
        "diskBytes": plan.disk,
    }


def show(plan: SearchPlan) -> None:
    """Prints it for a person."""
    console, search = screen.results(), search_of(plan.job)
    for label, text in _heads(plan, search):
        console.print(f"{label:<11}{text}", soft_wrap=True)
    console.print()
    for columns, rows in (
        (("parameter", "values"), [(one.label, _values(one)) for one in search.parameters]),
        (("step", "pass", "memory", "disk"), list(_steps(plan))),
    ):
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
        for column in columns:
            table.add_column(
                column, no_wrap=column != "values", justify="right" if column in ("memory", "disk") else "left"
            )
        for row in rows:
            table.add_row(*row)
        console.print(table)
        console.print()
    for piece in pieces_of(plan.job):
        console.print(_piece(piece), soft_wrap=True)
    console.print(
        f"{plural(plan.trials, 'trial')} would run: about {size(plan.memory)} of memory at the peak of the hungriest, "
        f"{size(plan.disk)} written to this disk.",
        soft_wrap=True,
    )


def _heads(plan: SearchPlan, search: Search) -> Iterator[tuple[str, str]]:
    yield "job", plan.job.metadata.name
    yield "model", plan.found.model.facts.where
    for name, found in plan.found.data.items():
        yield f"data {name}", found.where
    yield "output", plan.found.output.uri
    points = "no end of points" if plan.size is None else plural(plan.size, "point")
    yield "search", f"{_algorithm(search)}, {plural(plan.trials, 'trial')} of {points}"
    for one in search.objectives:
        yield "objective", f"{one.direction.lower()} {one.metric}"


def _steps(plan: SearchPlan) -> Iterator[tuple[str, ...]]:
    for step, needs in zip(plan.steps, plan.needs, strict=True):
        yield step.name, step.pass_.name, size(needs.memory), size(needs.disk)


def _piece(piece: Piece) -> str:
    """Returns `finetune, merge: once for each of 2 variants; trials share them`."""
    names = ", ".join(piece.steps)
    if piece.variants is None:
        return f"{names}: anew for each trial"
    often = "once" if piece.variants == 1 else f"once for each of {piece.variants} variants"
    return f"{names}: {often}{'' if piece.last else ', which trials share'}"


def _algorithm(search: Search) -> str:
    return next(name for name in search.algorithm.choices() if getattr(search.algorithm, name) is not None)


def _values(parameter: Parameter) -> str:
    """Returns what a parameter may be, for people: `4, 8, 16`, `1e-05 to 0.001 by order of magnitude`."""
    if parameter.one_of is not None:
        return f"one of {', '.join(parameter.one_of)}"
    if parameter.on_off:
        return "on, off"
    if parameter.choice is not None:
        return ", ".join(str(value).lower() if isinstance(value, bool) else str(value) for value in parameter.choice)
    if parameter.integer is not None:
        given, step = parameter.integer, parameter.integer.step
        return f"{given.min} to {given.max}{f' in steps of {step}' if step > 1 else ''}"
    wide = parameter.uniform or parameter.log_uniform
    assert wide is not None  # the contract: an option has one kind of values
    return f"{wide.min:g} to {wide.max:g}{' by order of magnitude' if parameter.log_uniform else ''}"
