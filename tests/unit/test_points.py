"""A trial's point as text, in full and short."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millwright_api import points
from millwright_api.search import Point, Search

CHOICES: list[Any] = [1, True, 1.5, "x" * 64, 'quote " and \\', "ü"]


def search(*parameters: dict[str, Any]) -> Search:
    """A search over these."""
    return Search.model_validate(
        {"parameters": list(parameters), "objectives": [{"metric": "accuracy", "direction": "Maximize"}]}
    )


MIXED = search(
    {"pass": "a", "option": "choice", "choice": CHOICES},
    {"oneOf": ["lora", "qlora"]},
    {"pass": "b", "onOff": True},
    {"pass": "b", "option": "rate", "logUniform": {"min": 1e-6, "max": 1e15}},
    {"pass": "b", "option": "count", "integer": {"min": -5, "max": 10**9}},
)
AT: Point = (True, "qlora", False, 1.23457e-05, 12)


class TestInFull:
    def test_is_a_list_of_values_that_people_can_read(self) -> None:
        assert points.written(MIXED, AT, 1024) == '[true,"qlora",false,1.23457e-05,12]'

    def test_text_of_any_language_takes_no_more_than_it_has(self) -> None:
        assert points.written(MIXED, ("ü", None, None, None, None), 1024) == '["ü",null,null,null,null]'


class TestShort:
    def test_has_places_instead_of_values(self) -> None:
        assert points.written(MIXED, AT, 10) == "#[1,1,false,1.23457e-05,12]"

    def test_is_short_for_the_longest_values_too(self) -> None:
        many = search(*({"pass": "a", "option": f"o{n}", "choice": ["\\" * 63 + str(n)]} for n in range(10)))

        text = points.written(many, tuple("\\" * 63 + str(n) for n in range(10)), 1024)

        assert text == "#[0,0,0,0,0,0,0,0,0,0]"

    def test_a_number_has_thirteen_characters_at_most(self) -> None:
        rates = search({"pass": "a", "option": "rate", "uniform": {"min": -1e15, "max": 1e15}})

        assert points.shortened(rates, (-1.23457e14,)) == "#[-1.23457e+14]"


class TestReadAgain:
    @given(
        st.tuples(
            st.sampled_from([*CHOICES, None]),
            st.sampled_from(["lora", "qlora", None]),
            st.sampled_from([True, False, None]),
            st.one_of(st.none(), st.floats(1e-6, 1e15)),
            st.one_of(st.none(), st.integers(-5, 10**9)),
        ),
        st.sampled_from([0, 10_000]),
    )
    def test_it_is_the_same_with_the_same_types(self, at: Point, limit: int) -> None:
        read = points.read(MIXED, points.written(MIXED, at, limit))

        assert read is not None
        assert [(type(value), value) for value in read] == [(type(value), value) for value in at]

    @pytest.mark.parametrize("text", ["", "#", "{}", "[1]", "#[99,0,true,1,1]", '#["x",0,true,1,1]', "damaged", "[1,2"])
    def test_what_is_no_point_of_this_search_is_none(self, text: str) -> None:
        assert points.read(MIXED, text) is None

    def test_a_whole_float_stays_a_float(self) -> None:
        read = points.read(MIXED, json.dumps([1, None, None, 3.0, 4]))

        assert read is not None
        assert [type(value).__name__ for value in read[3:]] == ["float", "int"]
