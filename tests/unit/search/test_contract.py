"""What a manifest's search may say, and what is said of what it may not."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError
from tests.unit.search.simulated import LEARNING_RATES, VARIANTS, search_of, spec

RANGE = {"pass": "finetune", "option": "learningRate", "logUniform": {"min": 1e-5, "max": 1e-3}}
ON_OFF = {"pass": "merge", "onOff": True}


def refused(*parameters: dict[str, Any], **more: Any) -> str:
    with pytest.raises(ValidationError) as caught:
        spec(*parameters, **more)
    return str(caught.value)


def test_tpe_is_asked_for_twenty_trials_one_at_a_time_unless_said_otherwise() -> None:
    found = search_of(LEARNING_RATES)

    assert found.algorithm.tpe is not None
    assert (found.max_trials, found.parallel_trials, found.max_failed_trials, found.keep) == (20, 1, 3, "best")


@pytest.mark.parametrize("kind", ["uniform", "logUniform"])
def test_a_grid_over_a_continuous_range_is_refused(kind: str) -> None:
    wide = {"pass": "genai", "option": "scale", kind: {"min": 1.0, "max": 2.0}}

    assert (
        "algorithm.grid tries every value, and parameters[1], genai.scale, has a continuous range: "
        "take choice or integer, or the algorithm random or tpe"
    ) in refused(LEARNING_RATES, wide, algorithm={"grid": {}})


@pytest.mark.parametrize("values", [[1, 1.0], [8, 8], ["a", "a"], [0.5, 0.5]])
def test_a_choice_with_one_value_twice_is_refused(values: list[Any]) -> None:
    assert "choice has the value" in refused(VARIANTS | {"choice": values})


def test_true_and_one_are_two_values() -> None:
    assert search_of(VARIANTS | {"choice": [True, 1, "1"]}).parameters[0].choice == [True, 1, "1"]


@pytest.mark.parametrize(
    ("parameter", "said"),
    [
        ({"option": "r", "choice": [1]}, "pass is needed"),
        ({"pass": "merge"}, "option is needed (or onOff: true, for the whole pass)"),
        (
            {"pass": "merge", "option": "r"},
            "exactly one of choice, uniform, logUniform, integer is needed; none is given",
        ),
        (
            {"pass": "merge", "option": "r", "choice": [1], "integer": {"min": 1, "max": 2}},
            "exactly one of choice, uniform, logUniform, integer is needed; choice and integer are given",
        ),
        (ON_OFF | {"option": "r", "choice": [1]}, "a parameter is of one kind"),
        ({"pass": "merge", "oneOf": ["finetune", "genai"]}, "oneOf names the steps itself; leave pass out"),
        ({"oneOf": ["merge", "merge"]}, "oneOf has the step 'merge' more than once"),
        ({"pass": "merge", "option": "r", "integer": {"min": 4, "max": 4}}, "min is below max; found 4 and 4"),
        ({"pass": "merge", "option": "r", "logUniform": {"min": 0, "max": 1}}, "greater than 0"),
        ({"pass": "mrege", "onOff": True}, "search.parameters[0].pass names the step 'mrege'; did you mean 'merge'?"),
        ({"oneOf": ["merge", "gena"]}, "search.parameters[0].oneOf[1] names the step 'gena'; did you mean 'genai'?"),
    ],
)
def test_a_parameter_that_cannot_be_is_refused_and_says_why(parameter: dict[str, Any], said: str) -> None:
    assert said in refused(parameter)


@pytest.mark.parametrize(
    ("parameters", "more", "said"),
    [
        ([RANGE, RANGE], {}, "parameters has the label 'finetune.learningRate' more than once"),
        (
            [ON_OFF, {"oneOf": ["merge", "genai"]}],
            {},
            "parameters has the step switched by onOff or oneOf 'merge' more than once",
        ),
        (
            [{"pass": step, "onOff": True} for step in ("finetune", "merge", "genai")],
            {},
            "every pass is onOff; one has to run in every trial",
        ),
        ([RANGE], {"metrics": 2, "earlyStopping": {}}, "earlyStopping goes with one objective"),
        (
            [RANGE],
            {"objectives": [{"metric": "los", "direction": "Minimize"}]},
            "search.objectives[0].metric names the metric 'los'; did you mean 'loss'?",
        ),
        ([RANGE], {"maxTrials": 201}, "less than or equal to 200"),
    ],
)
def test_a_search_that_cannot_be_is_refused_and_says_why(
    parameters: list[dict[str, Any]], more: dict[str, Any], said: str
) -> None:
    assert said in refused(*parameters, **more)
