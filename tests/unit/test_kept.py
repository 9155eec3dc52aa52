"""Measurements that are kept: what comes back is what was put there, or nothing."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millwright_runner.evaluation.kept import as_data, find_measured, keep_measured
from millwright_runner.metrics import Measured, Sample
from millwright_runner.stores import open_store

KEY, OTHER = "a" * 64, "b" * 64
WHOLE = Measured(
    value=0.75,
    low=0.4093,
    high=0.9285,
    n=8,
    details={"empty": 0.125},
    scores=(1.0, 0.0, 1.0),
    samples=(Sample("Tone:\n", "sad", "joy 🎉"), Sample("Tone:\n", None, "")),
)
FLOATS = st.floats(allow_nan=False, allow_infinity=False)


def file_of(folder: Path, key: str = KEY) -> Path:
    return folder / ".millwright" / "evaluations" / f"{key}.json"


class TestWhatComesBack:
    def test_it_is_what_was_put_there(self, tmp_path: Path) -> None:
        store = open_store(tmp_path)

        keep_measured(store, KEY, WHOLE)

        assert find_measured(store, KEY) == WHOLE

    @given(
        st.builds(
            Measured, FLOATS, FLOATS, FLOATS, st.integers(0), st.dictionaries(st.text(), FLOATS), st.tuples(FLOATS)
        )
    )
    def test_so_is_any_measurement_to_the_last_digit(self, measured: Measured) -> None:
        store = Memory()

        keep_measured(store, KEY, measured)  # type: ignore[arg-type]

        assert find_measured(store, KEY) == measured  # type: ignore[arg-type]

    def test_a_value_without_an_interval_keeps_none(self, tmp_path: Path) -> None:
        store = open_store(tmp_path)

        keep_measured(store, KEY, Measured(3.0))

        assert find_measured(store, KEY) == Measured(3.0)

    def test_a_later_one_takes_its_place(self, tmp_path: Path) -> None:
        store = open_store(tmp_path)

        keep_measured(store, KEY, Measured(1.0))
        keep_measured(store, KEY, Measured(2.0))

        assert find_measured(store, KEY) == Measured(2.0)

    def test_there_is_nothing_of_a_key_that_was_never_measured(self, tmp_path: Path) -> None:
        store = open_store(tmp_path)
        keep_measured(store, KEY, WHOLE)

        assert find_measured(store, OTHER) is None


class Memory:
    """The two verbs of a store that are needed."""

    def __init__(self) -> None:
        self.data = b""

    def write(self, key: str, data: bytes) -> None:
        self.data = data

    def read(self, key: str) -> Memory:
        return self


class TestWhatIsNoNumber:
    @pytest.mark.parametrize("broken", [math.nan, math.inf, -math.inf])
    def test_a_value_comes_back_as_no_number(self, tmp_path: Path, broken: float) -> None:
        store = open_store(tmp_path)

        keep_measured(store, KEY, Measured(broken, details={"worst": broken}, scores=(1.0, broken)))

        found = find_measured(store, KEY)
        assert found is not None
        assert [math.isnan(value) for value in (found.value, found.details["worst"], *found.scores)] == [
            True,
            True,
            False,
            True,
        ]

    @pytest.mark.parametrize("broken", [math.nan, math.inf])
    def test_an_end_of_the_interval_that_is_none_is_left_out(self, tmp_path: Path, broken: float) -> None:
        store = open_store(tmp_path)

        keep_measured(store, KEY, Measured(1.0, 0.5, broken))

        assert find_measured(store, KEY) == Measured(1.0, 0.5, None)

    def test_the_file_is_json_all_the_same(self, tmp_path: Path) -> None:
        keep_measured(open_store(tmp_path), KEY, Measured(math.nan))

        text = file_of(tmp_path).read_text()

        assert json.loads(text)["measured"]["value"] is None
        assert "NaN" not in text


class TestDamage:
    @pytest.mark.parametrize("content", [
        b"", b"{", b"[]", b"null", b'"text"', b"{}", b"\xff\xfe", b'{"key": "x", "measured": {}}', b"7", b'{"measured": 1}',
    ])  # fmt: skip
    def test_what_cannot_be_read_is_measured_again(self, tmp_path: Path, content: bytes) -> None:
        store = open_store(tmp_path)
        keep_measured(store, KEY, WHOLE)
        file_of(tmp_path).write_bytes(content)

        assert find_measured(store, KEY) is None

    def test_so_is_what_was_cut_off_anywhere(self, tmp_path: Path) -> None:
        store = open_store(tmp_path)
        keep_measured(store, KEY, WHOLE)
        whole = file_of(tmp_path).read_bytes()

        for length in range(0, len(whole), 7):
            file_of(tmp_path).write_bytes(whole[:length])
            assert find_measured(store, KEY) is None, length

    def test_so_is_what_lies_under_another_name(self, tmp_path: Path) -> None:
        store = open_store(tmp_path)
        keep_measured(store, KEY, WHOLE)
        file_of(tmp_path).rename(file_of(tmp_path, OTHER))

        assert find_measured(store, OTHER) is None

    @pytest.mark.parametrize(("key", "value"), [
        ("value", "high"), ("value", [1]), ("low", "x"), ("high", {}), ("n", "many"), ("n", 1.5), ("scores", [[1]]), ("scores", None),
        ("scores", "12"), ("samples", [{"prompt": 1}]), ("samples", [{"q": "x"}]), ("samples", "x"), ("details", []), ("details", {"a": "b"}),
        ("samples", [{"prompt": 1, "expected": 2, "answer": 3}]), ("low", True),
    ])  # fmt: skip
    def test_so_is_a_field_of_another_kind(self, tmp_path: Path, key: str, value: object) -> None:
        store = open_store(tmp_path)
        keep_measured(store, KEY, WHOLE)
        body = json.loads(file_of(tmp_path).read_text())
        body["measured"][key] = value
        file_of(tmp_path).write_text(json.dumps(body))

        assert find_measured(store, KEY) is None

    def test_a_field_that_is_missing_is_damage_too(self, tmp_path: Path) -> None:
        store = open_store(tmp_path)
        keep_measured(store, KEY, WHOLE)
        body = json.loads(file_of(tmp_path).read_text())

        for name in body["measured"]:
            short = {key: value for key, value in body["measured"].items() if key != name}
            file_of(tmp_path).write_text(json.dumps({**body, "measured": short}))
            assert find_measured(store, KEY) is None, name


def test_as_data_is_what_json_can_say() -> None:
    data = as_data(Measured(math.inf, 1.0, math.nan, 2, {"a": math.nan}, (math.nan, 1.0), (Sample("p", None, "a"),)))

    assert data == {
        "value": None,
        "low": 1.0,
        "high": None,
        "n": 2,
        "details": {"a": None},
        "scores": [None, 1.0],
        "samples": [{"prompt": "p", "expected": None, "answer": "a"}],
    }
