"""A search's trials as jobs: what a point of the space makes of a manifest, and whether the space can be searched at all."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from typing import Any

from millwright_api.errors import ChainMismatch, InvalidManifest, MillwrightError
from millwright_api.search import Point, Search
from millwright_api.v1alpha1 import OptimizationJob
from millwright_runner import registry
from millwright_runner.catalog import raise_all
from millwright_runner.evaluation import BoundMetric, bind_metrics, check_formats
from millwright_runner.passes import Pass
from millwright_runner.registry import BoundStep
from millwright_runner.variants import Setting, Variant, bound, settings_of, tried, with_values
from millwright_search import space

MOST_CHAINS = 4096
"""Combinations of onOff and oneOf that are looked at."""

_STEP = re.compile(r"spec\.passes\[(\d+)\]")


def trial_job(job: OptimizationJob, at: Point) -> OptimizationJob:
    """Returns the job that a trial is: the manifest without its search, with the passes that run at a point and their options.

    Args:
        job: a job with a search.
        at: the trial's values; None: as the manifest has it. Of a segment that others share, whose later switches are not
            known, the recipe begins as that of any of them: a oneOf that comes later is then its last step.

    Raises:
        UnknownPass, InvalidManifest: with the path in the manifest (spec.search.parameters[1].choice[2]).
    """
    search = search_of(job)
    settings = settings_of(job)
    names = [step.name for step in job.spec.passes]
    passes = []
    for step in space.recipe(job.spec, _completed(search, at, names)):
        place = names.index(step.name)
        own = [setting for setting in settings if setting.step == place]
        values = {setting.index: value for setting in own if (value := at[setting.index]) is not None}
        bound(job, place, own, values)
        passes.append(with_values(step, own, values))
    changes: dict[str, Any] = {"passes": passes, "search": None, "evaluation": job.spec.evaluation}
    evaluation = job.spec.evaluation
    if evaluation is not None and not {"each", "last"} & set(evaluation.after):  # what is compared has to be measured
        changes["evaluation"] = evaluation.model_copy(update={"after": [*evaluation.after, "last"]})
    return job.model_copy(update={"spec": job.spec.model_copy(update=changes)})


def point_of(job: OptimizationJob, values: Sequence[Any]) -> Point:
    """Returns a point from what JSON has made of it.

    Raises:
        ValueError: it has another number of values than the search has parameters.
    """
    wanted = len(search_of(job).parameters)
    if len(values) != wanted:
        raise ValueError(f"a point of this search has {wanted} values, not {len(values)}")
    return tuple(values)


def in_manifest(error: MillwrightError, job: OptimizationJob, at: Point) -> None:
    """Puts the manifest's paths in place of the trial's own in an error: a trial may leave passes out.

    Args:
        error: what was raised in the trial.
        job: the manifest, with its search.
        at: the trial's values.
    """
    names = [step.name for step in job.spec.passes]
    steps = space.recipe(job.spec, _completed(search_of(job), at, names))

    def place(match: re.Match[str]) -> str:
        """Returns a step's path."""
        index = int(match[1])
        return f"spec.passes[{names.index(steps[index].name) if index < len(steps) else index}]"

    error.message = _STEP.sub(place, error.message)
    error.where = error.where and _STEP.sub(place, error.where)


def passes_of(job: OptimizationJob) -> list[Pass]:
    """Returns all passes that trials of a search are made of: with the values of each option, of a range both ends.

    Raises:
        UnknownPass, InvalidManifest: with the path in the manifest.
    """
    return [variant.step.pass_ for variants in variants_of(job)[0] for variant in variants]


def variants_of(job: OptimizationJob) -> tuple[list[list[Variant]], list[str]]:
    """Returns what the search's values make of each step of the manifest, and what a person should know of those that make
    no pass.

    Raises:
        UnknownPass, InvalidManifest: a value is none that its option takes, or makes no pass with any others; all that is wrong.
    """
    registry.bind(job)
    settings = settings_of(job)
    raise_all([wrong for setting in settings for wrong in _alone(job, setting)])
    found, problems, notes = [], [], []
    for index, step in enumerate(job.spec.passes):
        own = [setting for setting in settings if setting.step == index]
        made, wrong, told = tried(own, lambda values, index=index, own=own: bound(job, index, own, values))  # type: ignore[misc]
        found.append(made)
        problems += wrong
        notes += [f"{step.name}: {line}" for line in told]
    raise_all(problems)
    return found, notes


def check_search(job: OptimizationJob) -> list[str]:
    """Refuses a search that cannot work, before anything costs; returns what a person should know all the same.

    That is: a space smaller than maxTrials, with both numbers; values that do not go together; an objective whose metric
    is better the other way round.

    Raises:
        UnknownPass, UnknownMetric, InvalidManifest: an option that the pass has not ("did you mean"), a value out of the option's
            bounds, with the path in the manifest; all that is wrong.
        ChainMismatch: passes that do not follow one another, at a point that onOff and oneOf allow; it is named.
    """
    search = search_of(job)
    _, notes = variants_of(job)
    metrics = bind_metrics(job)
    for steps, which in chains(job):
        _check_chain(job, steps, metrics, which)
    count = space.size(search)
    if count is not None and count < search.max_trials:
        points = "1 point" if count == 1 else f"{count} points"
        trials = "there is one trial" if count == 1 else f"there are {count} trials"
        notes.append(f"search: the space has {points}, fewer than maxTrials {search.max_trials}: {trials}")
    return [*notes, *_directions(search, metrics)]


def chains(job: OptimizationJob) -> Iterator[tuple[list[BoundStep], str]]:
    """Yields the passes that run in some trial, at most MOST_CHAINS times, and what onOff and oneOf say then, for people.

    Their options are the manifest's own, and so are their places.
    """
    search = search_of(job)
    steps = registry.bind(job)
    switches = [(index, parameter) for index, parameter in enumerate(search.parameters) if parameter.switches]
    kinds: list[Sequence[bool | str]] = [parameter.one_of or (True, False) for _, parameter in switches]
    for values in itertools.islice(itertools.product(*kinds), MOST_CHAINS):
        at: list[bool | int | float | str | None] = [None] * len(search.parameters)
        words = []
        for (index, parameter), value in zip(switches, values, strict=True):
            at[index] = value
            words.append(str(value) if parameter.one_of else f"{parameter.pass_} {'on' if value else 'off'}")
        yield [step for step in steps if space.runs(search, at, step.name)], ", ".join(words)


def search_of(job: OptimizationJob) -> Search:
    """Returns a job's search.

    Raises:
        TypeError: it has none.
    """
    if job.spec.search is None:
        raise TypeError("the job has no search")
    return job.spec.search


def _alone(job: OptimizationJob, setting: Setting) -> Iterator[InvalidManifest]:
    """Yields what is wrong with each value of a parameter in itself, whatever the others are."""
    for value in setting.values:
        try:
            bound(job, setting.step, [setting], {setting.index: value})
        except InvalidManifest as error:
            place = setting.place(value)
            own = [line for line in str(error).split("\n") if line.startswith(f"{place}:")]
            yield from (InvalidManifest(line.removeprefix(f"{place}: "), where=place) for line in own)


def _check_chain(job: OptimizationJob, steps: list[BoundStep], metrics: list[BoundMetric], which: str) -> None:
    try:
        registry.check_chain(steps)
        check_formats(job, steps, metrics)
    except ChainMismatch as error:
        if which:
            error.message = f"in trials with {which}: {error.message}"
        raise


def _directions(search: Search, metrics: Sequence[BoundMetric]) -> Iterator[str]:
    better = {metric.name: metric.metric.higher_is_better for metric in metrics}
    for index, objective in enumerate(search.objectives):
        if better[objective.metric] != (objective.direction == "Maximize"):
            way = "more" if better[objective.metric] else "less"
            yield (
                f"search.objectives[{index}]: {way} {objective.metric} is better, and the direction is {objective.direction}"
            )


def _completed(search: Search, at: Point, names: Sequence[str]) -> Point:
    """A segment's point as one of its trials may go on: a oneOf whose step is not known comes after the segment, so the one that
    stands last does not change how the recipe begins."""
    return tuple(
        max(parameter.one_of, key=names.index) if value is None and parameter.one_of is not None else value
        for parameter, value in zip(search.parameters, at, strict=True)
    )
