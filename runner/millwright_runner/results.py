"""What the cache has of a job: its steps' keys, which results are there, and from which step on it has to run."""

from __future__ import annotations

from dataclasses import dataclass

from millwright_api.v1alpha1 import Target
from millwright_runner.artifact import HF_ADAPTER
from millwright_runner.cache import Cache, step_key
from millwright_runner.evaluation import EvaluationPlan
from millwright_runner.registry import BoundStep
from millwright_runner.trees import Tree


def first_gone(
    evaluation: EvaluationPlan, steps: list[BoundStep], keys: list[str], cache: Cache | None, published: bool
) -> int | None:
    """Returns the first step whose result is to be measured and lies nowhere: it has to be made again.

    Args:
        evaluation: what is measured.
        steps: the passes.
        keys: their cache keys.
        cache: where results lie.
        published: whether the output holds what the last step makes.

    An adapter cannot be asked without what it sits on: see `find_results`.
    """

    def lies(index: int) -> bool:
        """Whether a step's result is somewhere."""
        there = cache is not None and cache.find(keys[index]) is not None
        return there or (published and index == len(keys) - 1)

    for point in evaluation.points:
        if not point.missing or point.index < 0:
            continue
        alone = steps[point.index].pass_.produces != HF_ADAPTER or point.index == 0
        if not (lies(point.index) and (alone or lies(point.index - 1))):
            return point.index
    return None


def step_keys(steps: list[BoundStep], model: str, data: dict[str, str], target: Target) -> list[str]:
    """Returns each step's cache key: see `cache.step_key`."""
    keys: list[str] = []
    for step in steps:
        refs = {option: data[name] for option, name in step.pass_.data_refs().items()}
        keys.append(step_key(step.pass_, keys[-1] if keys else model, refs, target))
    return keys


@dataclass(frozen=True)
class Results:
    """What the cache has of a job.

    Attributes:
        trees: step's index → its result; only those that a run would need.
        start: the first step that has to run; the number of steps when none has.
    """

    trees: dict[int, Tree]
    start: int


def find_results(steps: list[BoundStep], keys: list[str], cache: Cache | None, upto: int | None = None) -> Results:
    """Looks for the last result that is there, from the end: earlier ones are then not needed.

    Args:
        steps: the passes.
        keys: their cache keys.
        cache: where results lie.
        upto: the first step that has to run in any case; None: none has to.

    An adapter is of use only with what it sits on: the model, or the result of the step before it.
    """
    if cache is None:
        return Results({}, 0)
    for index in reversed(range(len(steps) if upto is None else upto)):
        tree = cache.find(keys[index])
        if tree is None:
            continue
        trees = {index: tree}
        last = index == len(steps) - 1
        if steps[index].pass_.produces == HF_ADAPTER and index > 0 and not last:
            under = cache.find(keys[index - 1])
            if under is None:
                continue
            trees[index - 1] = under
        return Results(trees, index + 1)
    return Results({}, 0)
