"""Fingerprints name content: the same on every machine, another for every change."""

from __future__ import annotations

import pytest

from millwright_api.names import fingerprint


def test_a_fingerprint_does_not_depend_on_the_order_of_keys() -> None:
    assert fingerprint({"a": 1, "b": [1, 2]}) == fingerprint({"b": [1, 2], "a": 1})


def test_a_fingerprint_stays_the_same_from_version_to_version() -> None:
    assert fingerprint({"ä": 1.5, "b": None}) == "dbada929dc2eb949154bdb764253fb0d99033db077491445b3faecb1591a07ce"


@pytest.mark.parametrize("other", [{"a": 2}, {"a": "1"}, {"b": 1}, {"a": 1, "b": None}, [1]])
def test_any_other_value_has_another_fingerprint(other: object) -> None:
    assert fingerprint(other) != fingerprint({"a": 1})


def test_what_is_no_json_has_no_fingerprint() -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        fingerprint(float("nan"))
    with pytest.raises(TypeError):
        fingerprint({1, 2})
