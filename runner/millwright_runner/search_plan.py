"""What a search would do: everything looked at before its first trial, and what its trials need. Imports nothing heavy."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from millwright_api.search import Parameter, Point, Search
from millwright_api.v1alpha1 import OptimizationJob
from millwright_runner import registry
from millwright_runner.artifact import HF
from millwright_runner.catalog import raise_all
from millwright_runner.data.tokens import load_tokens
from millwright_runner.evaluation import bind_metrics, measured_steps, memory_to_measure
from millwright_runner.models import FoundModel
from millwright_runner.passes import Estimate
from millwright_runner.plan import Found, Settings, check_step, look_up
from millwright_runner.published import read_published
from millwright_runner.recipe import refuse_other_recipe
from millwright_runner.registry import BoundStep
from millwright_runner.trials import chains, check_search, search_of
from millwright_runner.variants import Setting, Values, Variant, bound, settings_of, tried
from millwright_search import space
from millwright_search.segments import segments

MOST_POINTS = 2000
"""Points of a space that are looked at to say what its trials share."""


@dataclass(frozen=True)
class SearchPlan:
    """What a search would do.

    Attributes:
        job: the manifest.
        found: what it names; all trials share it.
        notes: what a person should know, for people.
        size: different points that there are; None: a continuous range.
        steps: the manifest's passes, each with the values that need the most memory.
        needs: what each of them is expected to need at most, in bytes.
        memory: the peak of the hungriest trial, in bytes.
        disk: bytes that the hungriest trial writes on this machine; results that are kept besides.
    """

    job: OptimizationJob
    found: Found
    notes: list[str]
    size: int | None
    steps: list[BoundStep]
    needs: list[Estimate]
    memory: int
    disk: int

    @property
    def trials(self) -> int:
        """How many there will be at most."""
        most = search_of(self.job).max_trials
        return most if self.size is None else min(self.size, most)


@dataclass(frozen=True)
class Piece:
    """Passes that are done in one go, by one Job on a cluster.

    Attributes:
        steps: their names.
        variants: how often they are done at most, with other values; None: anew for each trial.
        last: whether trials end with them.
    """

    steps: tuple[str, ...]
    variants: int | None
    last: bool


def plan_search(job: OptimizationJob, settings: Settings) -> SearchPlan:
    """Looks at everything that a search names, and writes nothing to the output.

    Raises:
        UserError: anything that would make every trial fail, or the best one unpublishable, and can be known now.
    """
    notes = check_search(job)
    variants: list[list[Variant]] = []

    def fits(model: FoundModel) -> None:
        """Keeps what the search's values make of passes that the model is for."""
        made, told = fitting(job, model)
        variants.extend(made)
        notes.extend(told)

    found = look_up(job, settings, fits)
    tokens = load_tokens(found.model.tokenizer)
    for metric in bind_metrics(job):
        metric.check(tokens)
    steps = registry.bind(job)
    refuse_other_recipe(
        job, steps, read_published(found.output), found.output.uri, model=found.model.digest, data=found.digests
    )
    hungry = hungriest(variants, found.model)
    needs = [estimate_of(of_step, found.model) for of_step in variants]
    memory, disk = 0, 0
    for chain, _ in chains(job):
        memory = max(memory, *(needs[step.index].memory for step in chain), _to_measure(job, chain, found.model))
        disk = max(disk, sum(needs[step.index].disk for step in chain))
    return SearchPlan(job, found, notes, space.size(search_of(job)), hungry, needs, memory, disk)


def fitting(job: OptimizationJob, model: FoundModel) -> tuple[list[list[Variant]], list[str]]:
    """Returns what the search's values make of each step of the manifest for a model, and what a person should know of those
    that make nothing.

    Raises:
        UserError: a value that makes no pass for this model with any others; all that is wrong.
    """
    settings = settings_of(job)
    found, problems, notes = [], [], []
    for index, step in enumerate(job.spec.passes):
        own = [setting for setting in settings if setting.step == index]

        def make(values: Values, index: int = index, own: Sequence[Setting] = own) -> BoundStep:
            """Returns the pass of some values."""
            made = bound(job, index, own, values)
            check_step(made, model, job.spec.target)
            return made

        if not own:
            found.append([Variant(make({}), {})])
            continue
        made, wrong, told = tried(own, make)
        found.append(made)
        problems += wrong
        notes += [f"{step.name}: {line}" for line in told]
    raise_all(problems)
    return found, notes


def hungriest(variants: Sequence[Sequence[Variant]], model: FoundModel) -> list[BoundStep]:
    """Returns of each step the variant that is expected to need the most memory, and of equals the most disk."""

    def needs(variant: Variant) -> tuple[int, int]:
        """What it needs, to be compared."""
        estimate = variant.step.pass_.estimate(model.facts)
        return estimate.memory, estimate.disk

    return [max(of_step, key=needs).step for of_step in variants]


def estimate_of(variants: Sequence[Variant], model: FoundModel) -> Estimate:
    """Returns what a step needs at most, whatever its values."""
    every = [variant.step.pass_.estimate(model.facts) for variant in variants]
    return Estimate(memory=max(one.memory for one in every), disk=max(one.disk for one in every))


def pieces_of(job: OptimizationJob) -> list[Piece]:
    """Returns what trials share, as far as the first points of the space show it, in the manifest's order."""
    search = search_of(job)
    names = [step.name for step in job.spec.passes]
    keys: dict[tuple[tuple[str, ...], bool], set[str]] = {}
    endless: set[tuple[tuple[str, ...], bool]] = set()
    for at in itertools.islice(_samples(search), MOST_POINTS):
        for segment in segments(job.spec, at):
            piece = (segment.steps, segment.last)
            keys.setdefault(piece, set()).add(segment.key)
            if any(
                value is not None and _range(parameter)
                for parameter, value in zip(search.parameters, segment.at, strict=True)
            ):
                endless.add(piece)
    ordered = sorted(keys, key=lambda piece: ([names.index(name) for name in piece[0]], piece[1]))
    return [Piece(piece[0], None if piece in endless else len(keys[piece]), piece[1]) for piece in ordered]


def _samples(search: Search) -> Iterator[Point]:
    """Points as `space.points` has them; of a continuous range its lower end."""
    order = space.draws(search)
    at: list[bool | int | float | str | None] = [None] * len(search.parameters)

    def rest(place: int) -> Iterator[Point]:
        """Goes on from there."""
        if place == len(order):
            yield tuple(at)
            return
        index = order[place]
        parameter = search.parameters[index]
        given = _range(parameter)
        values = space.values(parameter) if given is None else (given,)
        for value in (values or ()) if space.acts(search, at, index) else (None,):
            at[index] = value
            yield from rest(place + 1)
        at[index] = None

    return rest(0)


def _range(parameter: Parameter) -> float | None:
    """The lower end of a continuous range; None of others."""
    given = parameter.uniform or parameter.log_uniform
    return given.min if given else None


def _to_measure(job: OptimizationJob, steps: list[BoundStep], model: FoundModel) -> int:
    """Bytes that measuring a trial's models takes at the peak."""
    if not any(metric.metric.asks for metric in bind_metrics(job)):
        return 0
    formats = [HF if index < 0 else steps[index].pass_.produces for index in measured_steps(job, steps)]
    return max((memory_to_measure(model.facts, made) for made in formats), default=0)
