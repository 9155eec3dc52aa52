"""The space: which points there are, and what runs at one."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.search.simulated import LEARNING_RATES, VARIANTS, search_of, spec

from millwright_search import space

TUNE = {"oneOf": ["lora", "qlora"]}
R = {"pass": "lora", "option": "r", "choice": [8, 16]}
BITS = {"pass": "qlora", "option": "bits", "choice": [2, 4, 8]}
PRUNE = {"pass": "prune", "onOff": True}
SPARSITY = {"pass": "prune", "option": "sparsity", "choice": [0.25, 0.5]}
STEPS = ("lora", "qlora", "prune", "merge")


def points(*parameters: dict[str, Any], **more: Any) -> list[Any]:
    return list(space.points(search_of(*parameters, steps=STEPS, **more)))


def test_all_combinations_come_with_the_last_parameter_fastest() -> None:
    found = list(space.points(search_of(LEARNING_RATES, VARIANTS | {"choice": [16, 32]})))

    assert found == [(1e-4, 16), (1e-4, 32), (1e-3, 16), (1e-3, 32)]


def test_an_option_of_a_pass_that_does_not_run_is_none_and_makes_no_points() -> None:
    assert points(TUNE, R, BITS) == [
        ("lora", 8, None),
        ("lora", 16, None),
        ("qlora", None, 2),
        ("qlora", None, 4),
        ("qlora", None, 8),
    ]


def test_a_pass_that_may_be_left_out_is_on_first() -> None:
    assert points(PRUNE, SPARSITY) == [(True, 0.25), (True, 0.5), (False, None)]


def test_a_switch_is_drawn_before_its_options_wherever_it_stands() -> None:
    assert points(SPARSITY, R, PRUNE) == [
        (0.25, 8, True),
        (0.25, 16, True),
        (0.5, 8, True),
        (0.5, 16, True),
        (None, 8, False),
        (None, 16, False),
    ]
    assert space.draws(search_of(SPARSITY, R, PRUNE, steps=STEPS)) == [2, 0, 1]


def test_the_points_of_whole_numbers_go_in_steps_up_to_the_upper_end_where_they_meet_it() -> None:
    upto = {"pass": "lora", "option": "r", "integer": {"min": 4, "max": 12, "step": 4}}
    short_of = {"pass": "lora", "option": "r", "integer": {"min": 4, "max": 11, "step": 4}}

    assert points(upto) == [(4,), (8,), (12,)]
    assert points(short_of) == [(4,), (8,)]


@pytest.mark.parametrize(
    "parameters",
    [
        (R,),
        (TUNE,),
        (PRUNE,),
        (TUNE, R, BITS),
        (R, TUNE, BITS),
        (SPARSITY, PRUNE),
        (BITS, SPARSITY, TUNE, PRUNE, R),
        (TUNE, R, BITS, PRUNE, SPARSITY, {"pass": "merge", "option": "n", "integer": {"min": 1, "max": 9, "step": 3}}),
    ],
)
def test_the_size_is_the_number_of_different_points(parameters: tuple[dict[str, Any], ...]) -> None:
    found = points(*parameters)

    assert space.size(search_of(*parameters, steps=STEPS)) == len(found) == len({space.same(at) for at in found})


@pytest.mark.parametrize("kind", ["uniform", "logUniform"])
def test_a_continuous_range_cannot_be_counted(kind: str) -> None:
    wide = {"pass": "lora", "option": "alpha", kind: {"min": 1.0, "max": 2.0}}

    assert space.size(search_of(TUNE, wide, BITS, steps=STEPS, algorithm={"random": {}})) is None


def test_more_points_than_a_status_can_say_are_as_good_as_continuous() -> None:
    huge = [{"pass": "lora", "option": name, "integer": {"min": 0, "max": 10**9}} for name in ("a", "b")]

    assert space.size(search_of(huge[0], steps=STEPS)) == 10**9 + 1
    assert space.size(search_of(*huge, steps=STEPS)) is None


def test_the_first_points_of_a_huge_space_come_at_once() -> None:
    huge = {"pass": "qlora", "option": "seed", "integer": {"min": 0, "max": 10**9}}
    found = space.points(search_of(huge, TUNE, R, steps=STEPS))

    assert [next(found) for _ in range(3)] == [(None, "lora", 8), (None, "lora", 16), (0, "qlora", None)]


def test_what_runs_follows_the_switches() -> None:
    job = spec(TUNE, PRUNE, steps=STEPS)

    assert [step.name for step in space.recipe(job, ("qlora", False))] == ["qlora", "merge"]
    assert [step.name for step in space.recipe(job, ("lora", True))] == ["lora", "prune", "merge"]


def test_a_value_that_is_not_there_switches_nothing_off_and_chooses_nothing() -> None:
    search = search_of(TUNE, PRUNE, steps=STEPS)

    assert [step for step in STEPS if space.runs(search, (None, None), step)] == ["prune", "merge"]


def test_a_point_is_told_to_people_by_what_makes_a_difference() -> None:
    search = search_of(TUNE, R, BITS, PRUNE, LEARNING_RATES | {"pass": "merge"}, steps=STEPS)

    told = space.described(search, ("qlora", None, 4, False, 1e-4))

    assert told == {
        "lora|qlora": "qlora",
        "qlora.bits": "4",
        "prune on/off": "off",
        "merge.learningRate": "0.0001",
    }


def test_values_are_told_as_a_manifest_says_them() -> None:
    values = {"pass": "lora", "option": "bias", "choice": ["none", True]}
    search = search_of(values, steps=STEPS)

    assert [space.described(search, at) for at in space.points(search)] == [
        {"lora.bias": "none"},
        {"lora.bias": "true"},
    ]


def test_true_is_not_one_and_a_whole_float_is() -> None:
    assert space.same((True,)) != space.same((1,))
    assert space.same((1.0,)) == space.same((1,))


def test_how_trials_can_begin_counts_what_acts_on_the_first_steps() -> None:
    search = search_of(TUNE, R, BITS, PRUNE, SPARSITY, steps=STEPS)

    assert space.variants(search, set()) == 1
    assert space.variants(search, {"lora"}) == 3  # two with lora, and all without it
    assert space.variants(search, {"lora", "qlora"}) == 5
    assert space.variants(search, {"lora", "qlora", "prune"}) == 15
