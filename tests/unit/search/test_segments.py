"""Where a trial's passes are cut, and which trials share what."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.search.simulated import LEARNING_RATES, STEPS, VARIANTS, spec

from millwright_api.search import Point
from millwright_api.v1alpha1 import Spec
from millwright_search import space
from millwright_search.segments import segments

PRUNE = {"pass": "prune", "onOff": True}
TUNE = {"oneOf": ["lora", "qlora"]}
RANGE = {"pass": "finetune", "option": "learningRate", "logUniform": {"min": 1e-5, "max": 1e-3}}
GPU = {"limits": {"nvidia.com/gpu": "1"}}


def cut(job: Spec, at: Point) -> list[tuple[str, ...]]:
    return [segment.steps for segment in segments(job, at)]


def distinct(job: Spec) -> dict[str, int]:
    """How many different segments end with each step, over the whole space."""
    assert job.search is not None
    found = {segment.key: segment for at in space.points(job.search) for segment in segments(job, at)}
    ends = [segment.steps[-1] for segment in found.values()]
    return {step: ends.count(step) for step in dict.fromkeys(ends)}


def needs(name: str, resources: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "custom": {"pass": name}, "resources": resources}


def test_six_variants_of_one_fine_tune_train_it_once() -> None:
    assert distinct(spec(VARIANTS)) == {"merge": 1, "genai": 6}


def test_two_learning_rates_and_six_variants_are_two_beginnings_and_twelve_ends() -> None:
    job = spec(LEARNING_RATES, VARIANTS, maxTrials=12)

    assert distinct(job) == {"merge": 2, "genai": 12}
    assert cut(job, (1e-4, 16)) == [("finetune", "merge"), ("genai",)]


def test_a_segment_says_where_it_lies_and_what_it_is_made_with() -> None:
    first, last = segments(spec(LEARNING_RATES, VARIANTS), (1e-3, 64))

    assert (first.index, first.first, first.end, first.at, first.last) == (0, 0, 2, (1e-3, None), False)
    assert (last.index, last.first, last.end, last.at, last.last) == (1, 2, 3, (1e-3, 64), True)


def test_what_differs_from_the_first_pass_on_is_not_cut() -> None:
    assert cut(spec(LEARNING_RATES), (1e-4,)) == [STEPS]


def test_behind_a_continuous_range_nothing_is_shared() -> None:
    assert cut(spec(RANGE, VARIANTS), (2e-4, 16)) == [STEPS]


def test_before_a_continuous_range_all_is_shared() -> None:
    late = {"pass": "genai", "option": "scale", "uniform": {"min": 0, "max": 1}}

    assert cut(spec(LEARNING_RATES, late), (1e-4, 0.5)) == [("finetune", "merge"), ("genai",)]


def test_a_continuous_range_of_a_pass_that_does_not_run_keeps_nobody_from_sharing() -> None:
    job = spec(TUNE, RANGE | {"pass": "lora"}, VARIANTS, steps=("lora", "qlora", "genai"))

    assert cut(job, ("qlora", None, 16)) == [("qlora",), ("genai",)]
    assert cut(job, ("lora", 2e-4, 16)) == [("lora", "genai")]


@pytest.mark.parametrize(("trials", "cuts"), [(4, 1), (5, 2)])
def test_a_beginning_with_as_many_variants_as_trials_is_not_worth_a_cut(trials: int, cuts: int) -> None:
    four = {"pass": "finetune", "option": "r", "choice": [4, 8, 16, 32]}

    assert len(segments(spec(four, VARIANTS, maxTrials=trials), (4, 16))) == cuts


def test_one_trial_is_not_cut() -> None:
    assert cut(spec(VARIANTS, maxTrials=1), (16,)) == [STEPS]


def test_a_choice_of_one_value_parts_nobody() -> None:
    one = {"pass": "merge", "option": "dtype", "choice": ["float16"]}

    assert cut(spec(one, VARIANTS), ("float16", 16)) == [("finetune", "merge"), ("genai",)]


def test_a_pass_that_may_be_left_out_does_not_part_what_comes_before() -> None:
    job = spec(PRUNE, steps=("finetune", "prune", "genai"))

    with_it, without = segments(job, (True,)), segments(job, (False,))

    assert [segment.steps for segment in with_it] == [("finetune",), ("prune", "genai")]
    assert [segment.steps for segment in without] == [("finetune",), ("genai",)]
    assert with_it[0] == without[0]
    assert with_it[0].at == (None,)


def test_what_follows_a_pass_that_was_left_out_is_other_work() -> None:
    job = spec(PRUNE, VARIANTS, steps=("finetune", "prune", "merge", "genai"))

    assert [segment.at for segment in segments(job, (False, 16))] == [(None, None), (False, None), (False, 16)]
    assert distinct(job) == {"finetune": 1, "merge": 2, "genai": 12}


def test_of_one_of_several_passes_the_chosen_one_parts_trials_and_the_next_steps_do_not() -> None:
    job = spec(TUNE, VARIANTS, steps=("prepare", "lora", "qlora", "merge", "genai"))

    assert cut(job, ("lora", 16)) == [("prepare",), ("lora", "merge"), ("genai",)]
    assert cut(job, ("qlora", 16)) == [("prepare",), ("qlora", "merge"), ("genai",)]
    assert distinct(job) == {"prepare": 1, "merge": 2, "genai": 12}


def test_a_choice_that_lies_ahead_is_not_yet_made() -> None:
    job = spec({"oneOf": ["early", "middle", "late"]}, steps=("tune", "early", "merge", "middle", "genai", "late"))

    early, middle, late = (segments(job, (name,)) for name in ("early", "middle", "late"))

    assert early[0] == middle[0] == late[0]
    assert [segment.steps for segment in middle] == [("tune",), ("merge",), ("middle", "genai")]
    assert [segment.steps for segment in late] == [("tune",), ("merge",), ("genai", "late")]
    assert middle[1] == late[1]
    assert middle[1].at == (None,)


def test_a_choice_that_was_made_parts_nobody_once_more() -> None:
    job = spec({"oneOf": ["a", "b", "c"]}, steps=("tune", "a", "merge", "b", "x", "c", "genai"), maxTrials=20)
    more = spec({"oneOf": ["a", "b", "c"]}, VARIANTS, steps=("tune", "a", "merge", "b", "x", "c", "genai"))

    assert cut(job, ("a",)) == [("tune",), ("a", "merge", "x", "genai")]
    assert cut(more, ("a", 16)) == [("tune",), ("a", "merge", "x"), ("genai",)]
    assert cut(more, ("c", 16)) == [("tune",), ("merge",), ("x", "c"), ("genai",)]


def test_other_resources_are_a_cut() -> None:
    job = spec(LEARNING_RATES, steps=(needs("finetune", GPU), "merge", "genai"))

    assert cut(job, (1e-4,)) == [("finetune",), ("merge", "genai")]


def test_resources_are_compared_by_value() -> None:
    gib, mib = (
        needs("merge", {"limits": {"memory": "1Gi"}}),
        needs("genai", {"requests": {"memory": "1024Mi"}, "limits": {"memory": "1024Mi"}}),
    )

    assert cut(spec(LEARNING_RATES, steps=("finetune", gib, mib)), (1e-4,)) == [("finetune",), ("merge", "genai")]


def test_early_stopping_decides_after_each_pass() -> None:
    job = spec(RANGE, earlyStopping={})

    assert cut(job, (2e-4,)) == [("finetune",), ("merge",), ("genai",)]


def test_a_whole_number_that_was_a_float_is_the_same_work() -> None:
    job = spec({"pass": "finetune", "option": "alpha", "choice": [1.0, 2.0]}, VARIANTS)

    assert segments(job, (1.0, 16))[0].key == segments(job, (1, 16))[0].key


def test_true_and_one_are_different_work() -> None:
    job = spec({"pass": "finetune", "option": "alpha", "choice": [True, 1]}, VARIANTS)

    assert segments(job, (True, 16))[0].key != segments(job, (1, 16))[0].key


SPACES = [
    spec(LEARNING_RATES, VARIANTS),
    spec(LEARNING_RATES, VARIANTS, earlyStopping={}),
    spec(TUNE, PRUNE, VARIANTS, steps=("prepare", "lora", "merge", "qlora", "prune", "genai")),
    spec(PRUNE, {"pass": "merge", "onOff": True}, VARIANTS, steps=("finetune", "prune", "merge", needs("genai", GPU))),
    spec(
        {"oneOf": ["a", "c"]},
        {"oneOf": ["b", "d"]},
        {"pass": "a", "option": "x", "choice": [1, 2]},
        {"pass": "d", "option": "y", "choice": [1, 2]},
        steps=("s", "a", "b", "c", "d", "genai"),
        maxTrials=9,
    ),
]


@pytest.mark.parametrize("job", SPACES)
def test_the_steps_of_a_segment_are_those_of_the_recipe_at_its_own_point(job: Spec) -> None:
    assert job.search is not None
    for at in space.points(job.search):
        for segment in segments(job, at):
            names = tuple(step.name for step in space.recipe(job, segment.at))
            assert names[segment.first : segment.end] == segment.steps


@pytest.mark.parametrize("job", SPACES)
def test_segments_follow_one_another_and_cover_the_recipe(job: Spec) -> None:
    assert job.search is not None
    for at in space.points(job.search):
        path = segments(job, at)
        assert [step for segment in path for step in segment.steps] == [step.name for step in space.recipe(job, at)]
        assert [segment.last for segment in path] == [False] * (len(path) - 1) + [True]
        assert path[-1].at == at


@pytest.mark.parametrize("job", SPACES)
def test_one_key_is_one_piece_of_work_after_one_beginning(job: Spec) -> None:
    """What two trials share, they share with all that comes before it."""
    assert job.search is not None
    before: dict[str, tuple[Any, ...]] = {}
    for at in space.points(job.search):
        path = segments(job, at)
        for segment in path:
            assert before.setdefault(segment.key, path[: segment.index]) == path[: segment.index]


@pytest.mark.parametrize("job", SPACES)
def test_different_trials_end_with_different_work(job: Spec) -> None:
    assert job.search is not None
    ends = [segments(job, at)[-1].key for at in space.points(job.search)]

    assert len(set(ends)) == len(ends)
