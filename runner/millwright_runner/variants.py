"""The passes of a search with the values that it may give them: what each value makes of a pass, and which make none."""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from millwright_api.errors import InvalidManifest, UserError
from millwright_api.search import Parameter
from millwright_api.v1alpha1 import OptimizationJob, Step
from millwright_runner import registry
from millwright_runner.catalog import raise_all
from millwright_runner.registry import BoundStep
from millwright_runner.searchable import Option, range_problem, resolve
from millwright_search.space import whole

MOST = 512
"""Combinations of one pass's values that are looked at. Of more, each value is looked at once, beside the manifest's own."""

Value = bool | int | float | str
Values = Mapping[int, Value]
"""Parameter's index → its value."""


@dataclass(frozen=True)
class Setting:
    """A parameter that is about an option.

    Attributes:
        index: the parameter's, in `search.parameters`.
        parameter: as the manifest has it.
        option: what it sets.
        step: the index of the step that it is about.
    """

    index: int
    parameter: Parameter
    option: Option
    step: int

    @property
    def where(self) -> str:
        """Its path in the manifest."""
        return f"spec.search.parameters[{self.index}]"

    @property
    def values(self) -> Sequence[Value]:
        """Its values; of a range both ends."""
        parameter = self.parameter
        if parameter.choice is not None:
            return parameter.choice
        if parameter.integer is not None:
            every = whole(parameter.integer)
            return list(dict.fromkeys([every[0], every[-1]]))
        given = parameter.uniform or parameter.log_uniform
        assert given is not None  # the contract: an option has one kind of values
        return [given.min, given.max]

    def place(self, value: Value) -> str:
        """Returns the path of a value: spec.search.parameters[1].choice[2]."""
        parameter = self.parameter
        if parameter.choice is not None:
            same = ((type(one), one) == (type(value), value) for one in parameter.choice)
            at = next((at for at, is_it in enumerate(same) if is_it), None)
            return f"{self.where}.choice" if at is None else f"{self.where}.choice[{at}]"
        kinds = {"uniform": parameter.uniform, "logUniform": parameter.log_uniform, "integer": parameter.integer}
        return f"{self.where}.{next(name for name, given in kinds.items() if given is not None)}"


@dataclass(frozen=True)
class Variant:
    """A pass with values of a search.

    Attributes:
        step: the step, with its place in the manifest.
        values: what it was given.
    """

    step: BoundStep
    values: Values


def settings_of(job: OptimizationJob) -> list[Setting]:
    """Returns the parameters of a search that are about options.

    Raises:
        UnknownPass, InvalidManifest: with the path in the manifest; all that is wrong.
    """
    search = job.spec.search
    places = {step.name: index for index, step in enumerate(job.spec.passes)}
    found: list[Setting] = []
    problems: list[InvalidManifest] = []
    for index, parameter in enumerate(search.parameters if search else ()):
        if parameter.option is None:
            continue
        where, place = f"spec.search.parameters[{index}]", places[parameter.steps[0]]
        kind = registry.kind_of(job.spec.passes[place], f"spec.passes[{place}]")
        try:
            option = resolve(kind, parameter.option, where=f"{where}.option")
        except InvalidManifest as error:
            problems.append(error)
            continue
        if wrong := range_problem(kind, option, parameter):
            given, _, words = wrong.partition(": ")
            problems.append(InvalidManifest(words, where=f"{where}.{given}"))
        twice = next((one for one in found if (one.step, one.option.path) == (place, option.path)), None)
        if twice is not None:
            text = f"{parameter.steps[0]}.{option.name} is searched twice, see parameters[{twice.index}]"
            problems.append(InvalidManifest(text, where=f"{where}.option"))
        found.append(Setting(index, parameter, option, place))
    raise_all(problems)
    return found


def with_values(step: Step, settings: Sequence[Setting], values: Values) -> Step:
    """Returns a step whose options are those of a trial."""
    options = copy.deepcopy(step.options)
    for setting in settings:
        if setting.index not in values:
            continue
        *above, last = setting.option.path
        inner = options
        for key in above:
            inner[key] = dict(inner.get(key) or {})
            inner = inner[key]
        inner[last] = _as_option(values[setting.index], setting.option)
    return step.model_copy(update={"options": options})


def bound(job: OptimizationJob, index: int, settings: Sequence[Setting], values: Values) -> BoundStep:
    """Returns a step with values of a search.

    Args:
        job: the manifest.
        index: the step's.
        settings: the parameters that are about it.
        values: theirs; the manifest's own for those that are not in it.

    Raises:
        InvalidManifest: with the path of the value that is wrong; where several do not go together, with that of the pass.
    """
    try:
        step = with_values(job.spec.passes[index], settings, values)
        return registry.bind_step(index, step, {entry.name for entry in job.spec.data})
    except InvalidManifest as error:
        raise _moved(error, job.spec.passes[index], index, settings, values) from error


def tried(
    settings: Sequence[Setting], work: Callable[[Values], BoundStep]
) -> tuple[list[Variant], list[InvalidManifest], list[str]]:
    """Tries the values of one pass in all combinations.

    Args:
        settings: the parameters that are about the pass.
        work: makes the pass of values; raises UserError where they make none.

    Returns:
        What they make; what is wrong with values that never make one; what a person should know of combinations that
        do not.
    """
    points = list(_combinations(settings))
    made: list[Variant] = []
    failed: list[tuple[Values, UserError]] = []
    for values in points:
        try:
            made.append(Variant(work(values), values))
        except UserError as error:
            failed.append((values, error))
    if not failed:
        return made, [], []
    never = [] if len(settings) > 1 and _count(settings) > MOST else list(_never(settings, made, failed))
    if never:
        return made, never, []
    return made, [], [f"{len(failed)} of {len(points)} combinations of values make no pass, such as: {failed[0][1]}"]


def _never(
    settings: Sequence[Setting], made: Sequence[Variant], failed: Sequence[tuple[Values, UserError]]
) -> Iterator[InvalidManifest]:
    """Yields what is wrong with each value that is in no combination that makes a pass."""
    told: set[str] = set()
    for setting in settings:
        good = {_same(variant.values[setting.index]) for variant in made}
        for value in setting.values:
            error = next((e for values, e in failed if _same(values[setting.index]) == _same(value)), None)
            if error is None or _same(value) in good or str(error) in told:
                continue
            told.add(str(error))
            where, _, text = str(error).partition(": ")
            known = where.startswith("spec.search")
            yield InvalidManifest(
                text if known else f"{text}, in {where}", where=where if known else setting.place(value)
            )


def _combinations(settings: Sequence[Setting]) -> Iterator[Values]:
    indices = [setting.index for setting in settings]
    if _count(settings) <= MOST:
        for values in itertools.product(*(setting.values for setting in settings)):
            yield dict(zip(indices, values, strict=True))
        return
    for setting in settings:
        yield from ({setting.index: value} for value in setting.values)


def _count(settings: Sequence[Setting]) -> int:
    return math.prod(len(setting.values) for setting in settings)


def _same(value: Value) -> tuple[bool, Value]:
    return isinstance(value, bool), value


def _as_option(value: Value, option: Option) -> Any:
    """A whole number that JSON has made a float of."""
    whole_only = "integer" in option.types and "number" not in option.types
    return int(value) if whole_only and isinstance(value, float) and value.is_integer() else value


def _moved(
    error: InvalidManifest, step: Step, index: int, settings: Sequence[Setting], values: Values
) -> InvalidManifest:
    """Returns an error about options with the paths of the values that they came from."""
    options = "custom.options" if step.custom else step.pass_name
    given = {
        f"spec.passes[{index}].{options}.{setting.option.name}": setting.place(values[setting.index])
        for setting in settings
        if setting.index in values
    }
    lines = [_line(line, given) for line in error.message.split("\n")]
    return InvalidManifest("\n".join(lines), where=given.get(error.where or "", error.where), hint=error.hint)


def _line(line: str, given: Mapping[str, str]) -> str:
    path, colon, text = line.partition(": ")
    return f"{given[path]}{colon}{text}" if path in given else line
