"""From a pass's name to its class, and from a step's options to a pass: entry points of the group `millwright.passes`."""

from __future__ import annotations

from dataclasses import dataclass

from millwright_api.errors import ChainMismatch, InvalidManifest, UnknownPass, suggest
from millwright_api.v1alpha1 import OptimizationJob, Step
from millwright_runner.artifact import HF
from millwright_runner.catalog import Catalog, parse, raise_all
from millwright_runner.passes import Pass

PASSES: Catalog[Pass] = Catalog("millwright.passes", Pass, "pass", UnknownPass)


@dataclass(frozen=True)
class BoundStep:
    """A step whose options have become a pass.

    Attributes:
        index: its place in spec.passes, from 0.
        name: the step's name.
        pass_: the pass with its options.
        where: the path of its options in the manifest.
    """

    index: int
    name: str
    pass_: Pass
    where: str


def names() -> list[str]:
    """Returns the names of all installed passes, sorted."""
    return PASSES.names()


def is_builtin(name: str) -> bool:
    """Whether a pass comes with Millwright: see `Catalog.is_builtin`."""
    return PASSES.is_builtin(name)


def get(name: str) -> type[Pass]:
    """Returns the class of a pass.

    Raises:
        UnknownPass: none of that name is installed, or what is installed is broken.
    """
    return PASSES.get(name)


def bind(job: OptimizationJob) -> list[BoundStep]:
    """Gives each step's options their type.

    Raises:
        UnknownPass, InvalidManifest: with the path in the manifest; all that is wrong, when it is in several steps.
    """
    data = {entry.name for entry in job.spec.data}
    bound: list[BoundStep] = []
    problems: list[InvalidManifest] = []
    for index, step in enumerate(job.spec.passes):
        try:
            bound.append(bind_step(index, step, data))
        except InvalidManifest as error:
            problems.append(error)
    raise_all(problems)
    return bound


def kind_of(step: Step, where: str) -> type[Pass]:
    """Returns the class of a step's pass.

    Raises:
        UnknownPass: with the step's path in the manifest.
    """
    return PASSES.chosen(step.pass_name, custom=step.custom, where=where)


def bind_step(index: int, step: Step, data: set[str]) -> BoundStep:
    """Gives a step's options their type.

    Args:
        index: its place in spec.passes.
        step: the step.
        data: names of the job's data sets.

    Raises:
        UnknownPass, InvalidManifest: with the path in the manifest.
    """
    where = f"spec.passes[{index}]"
    kind = kind_of(step, where)
    where = f"{where}.custom.options" if step.custom else f"{where}.{step.pass_name}"
    bound = BoundStep(index, step.name, parse(kind, step.options, where), where)
    for option, name in bound.pass_.data_refs().items():
        if name not in data:
            raise InvalidManifest(
                f"no data set is called {name!r}", where=f"{where}.{option}", hint=suggest(name, data)
            )
    return bound


def check_chain(steps: list[BoundStep]) -> None:
    """Checks that each pass reads what the one before it writes; the first gets a whole Hugging Face model.

    Raises:
        ChainMismatch: with the passes that would fit in between.
    """
    have, maker = HF, "the model"
    for step in steps:
        kind = step.pass_
        if have not in kind.consumes:
            raise ChainMismatch(
                f"{kind.name} reads {' or '.join(sorted(kind.consumes))}, and {maker} gives {have}",
                where=f"spec.passes[{step.index}]",
                hint=_bridge(have, kind.consumes),
            )
        have, maker = kind.produces, f"{kind.name} before it"


def _bridge(have: str, want: frozenset[str]) -> str:
    between = [name for name in names() if have in get(name).consumes and get(name).produces in want]
    return f"put {' or '.join(between)} in between" if between else "no installed pass turns the one into the other"
