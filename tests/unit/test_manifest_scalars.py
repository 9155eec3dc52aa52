"""What plain scalars mean: the same as to kubectl.

The right-hand sides were printed by sigs.k8s.io/yaml 1.6.0 (YAMLToJSONStrict), which kubectl and the API server use.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from millwright_api.errors import InvalidManifest
from millwright_runner import kubeyaml
from millwright_runner.scalars import from_json, scalar

BOOLEANS: list[tuple[str, Any]] = [
    ("y", True),
    ("Y", True),
    ("n", False),
    ("N", False),
    ("yes", True),
    ("Yes", True),
    ("YES", True),
    ("yEs", "yEs"),
    ("no", False),
    ("No", False),
    ("NO", False),
    ("nO", "nO"),
    ("on", True),
    ("On", True),
    ("ON", True),
    ("oN", "oN"),
    ("off", False),
    ("Off", False),
    ("OFF", False),
    ("oFF", "oFF"),
    ("true", True),
    ("True", True),
    ("TRUE", True),
    ("tRue", "tRue"),
    ("false", False),
    ("False", False),
    ("FALSE", False),
    ("fAlse", "fAlse"),
]

NULLS: list[tuple[str, Any]] = [
    ("~", None),
    ("null", None),
    ("Null", None),
    ("NULL", None),
    ("nULL", "nULL"),
    ("none", "none"),
    ("None", "None"),
    ("nil", "nil"),
]

INTEGERS: list[tuple[str, Any]] = [
    ("0", 0),
    ("1", 1),
    ("+1", 1),
    ("-1", -1),
    ("00", 0),
    ("01", 1),
    ("-01", -1),
    ("07", 7),
    ("08", 8),
    ("010", 8),
    ("+010", 8),
    ("0777", 511),
    ("0888", 888),
    ("0o10", 8),
    ("0O17", 15),
    ("0o8", "0o8"),
    ("0x1F", 31),
    ("0X1f", 31),
    ("-0x1F", -31),
    ("+0x1F", 31),
    ("0x", "0x"),
    ("0xg", "0xg"),
    ("0b101", 5),
    ("0B11", 3),
    ("-0b101", -5),
    ("0b12", "0b12"),
    ("1_000", 1000),
    ("1__0", 10),
    ("1_", 1),
    ("_1", "_1"),
    ("0_7", 7),
    ("0_888", 888),
    ("0x_1F", 31),
    ("9223372036854775807", 9223372036854775807),
    ("9223372036854775808", 9223372036854775808),
    ("18446744073709551615", 18446744073709551615),
    ("-9223372036854775808", -9223372036854775808),
    ("0xFFFFFFFFFFFFFFFF", 18446744073709551615),
    ("0x1FFFFFFFFFFFFFFFF", "0x1FFFFFFFFFFFFFFFF"),
]

FLOATS: list[tuple[str, Any]] = [
    ("1e-4", 0.0001),
    ("1.0e-4", 0.0001),
    ("1E-4", 0.0001),
    ("1e-7", 1e-07),
    (".5", 0.5),
    ("-.5", -0.5),
    ("+.5", 0.5),
    ("0.1_5", 0.15),
    ("1._5", 1.5),
    ("-.5e-3", -0.0005),
    ("1.50", 1.5),
    ("00.5", 0.5),
    ("01.5", 1.5),
    ("0.30000000000000004", 0.30000000000000004),
    ("1e22", 1e22),
    ("1e21", 1e21),
    ("1e5_0", 1e50),
    ("4e-324", 5e-324),
    ("1.e-3", 0.001),
]

WHOLE: list[tuple[str, Any]] = [
    ("1.0", 1),
    ("5.", 5),
    ("0.", 0),
    ("-0", 0),
    ("-0.0", 0),
    ("1e3", 1000),
    ("1E3", 1000),
    ("1E+3", 1000),
    ("1e+4", 10000),
    ("1.0e+4", 10000),
    ("1.e+3", 1000),
    (".1e5", 10000),
    ("+.5E3", 500),
    ("1e05", 100000),
    ("0e0", 0),
    ("1e19", 10000000000000000000),
    ("1e20", 100000000000000000000),
    ("123456.789e3", 123456789),
    ("18446744073709551616", 18446744073709551616),
    ("-9223372036854775809", -9223372036854775808),
]

TEXTS: list[tuple[str, Any]] = [
    ("1:30", "1:30"),
    ("1:30:45", "1:30:45"),
    ("190:20:30", "190:20:30"),
    ("2024-01-01", "2024-01-01"),
    ("2024-1-1", "2024-1-1"),
    ("2024-01-01T00:00:00Z", "2024-01-01T00:00:00Z"),
    ("12:30:45", "12:30:45"),
    ("1.2.3", "1.2.3"),
    ("1e", "1e"),
    ("e5", "e5"),
    ("1e3.5", "1e3.5"),
    (".e3", ".e3"),
    ("._5", "._5"),
    (".", "."),
    ("..", ".."),
    ("+", "+"),
    ("--", "--"),
    ("+y", "+y"),
    ("1-", "1-"),
    ("1,000", "1,000"),
    ("0x1p-2", "0x1p-2"),
    ("1e400", "1e400"),
    ("2e308", "2e308"),
    ("Inf", "Inf"),
    ("NaN", "NaN"),
    ("nan", "nan"),
    ("infinity", "infinity"),
    ("=", "="),
    ("<<", "<<"),
]


@pytest.mark.parametrize(("text", "meaning"), [*BOOLEANS, *NULLS, *INTEGERS, *FLOATS, *WHOLE, *TEXTS])
def test_a_plain_scalar_means_what_kubectl_makes_of_it(text: str, meaning: Any) -> None:
    found = scalar(text)

    assert found == meaning
    assert type(found) is type(meaning)


@pytest.mark.parametrize("text", ["y", "no", "1", "1e-4", "~", "null", "0x1F", "2024-01-01", ".inf", "<<"])
@pytest.mark.parametrize("quote", ["'{}'", '"{}"', "!!str {}", "! {}", "|-\n  {}", ">-\n  {}"])
def test_what_is_quoted_stays_text(text: str, quote: str) -> None:
    document = f"a: {quote.format(text)}\n"

    assert kubeyaml.read(document.encode(), "job.yaml").value == {"a": text}


@pytest.mark.parametrize("text", [".nan", ".NaN", ".NAN", ".inf", ".Inf", "+.inf", "-.INF"])
def test_infinities_and_nan_are_refused_since_json_has_no_form_for_them(text: str) -> None:
    with pytest.raises(InvalidManifest) as caught:
        kubeyaml.read(f"a: 1\nb: {text}\n".encode(), "job.yaml")

    assert str(caught.value) == f"job.yaml:2: {text} is no number that a manifest can hold"


def test_a_number_of_thousands_of_digits_is_too_large_and_stays_text() -> None:
    digits = "9" * 6000

    assert scalar(digits) == digits


@pytest.mark.parametrize(
    ("key", "meaning"),
    [
        ("y", "true"),
        ("off", "false"),
        ("1", "1"),
        ("0x10", "16"),
        ("1e3", "1000"),
        (".5", "0.5"),
        ("-0", "0"),
        ("2024-01-01", "2024-01-01"),
    ],
)
def test_keys_become_text_by_way_of_what_they_mean(key: str, meaning: str) -> None:
    assert kubeyaml.read(f"{key}: x\n".encode(), "job.yaml").value == {meaning: "x"}


@pytest.mark.parametrize("text", ['{"a": 1.0, "b": 1e3, "c": 0.5, "d": "\\ud83d\\ude00", "e": null, "f": [true]}'])
def test_json_goes_the_same_way(text: str) -> None:
    assert from_json(text) == {"a": 1, "b": 1000, "c": 0.5, "d": "😀", "e": None, "f": [True]}
    assert json.dumps(from_json(text)) == '{"a": 1, "b": 1000, "c": 0.5, "d": "\\ud83d\\ude00", "e": null, "f": [true]}'


@pytest.mark.parametrize(
    "text", ['{"a": NaN}', '{"a": Infinity}', '{"a": 1, "a": 2}', '{"a": 1,}', "{a: 1}", '{"a": ' * 3000]
)
def test_what_only_python_calls_json_is_none(text: str) -> None:
    assert from_json(text) is None
