"""The exception tree: reasons, exit codes, and messages for a person."""

from __future__ import annotations

import inspect

import pytest

from millwright_api import errors
from millwright_api.errors import (
    ConstraintsNotMet,
    InvalidData,
    MillwrightError,
    PassFailed,
    Stopped,
    StoreUnavailable,
    StoreUnreachable,
    TryAgain,
    UserError,
    suggest,
)


def leaves() -> list[type[MillwrightError]]:
    return [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, MillwrightError)]


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (UserError, 2),
        (InvalidData, 2),
        (StoreUnreachable, 2),
        (ConstraintsNotMet, 3),
        (TryAgain, 75),
        (StoreUnavailable, 75),
        (Stopped, 143),
        (PassFailed, 1),
    ],
)
def test_exit_codes_are_those_of_the_design(kind: type[MillwrightError], code: int) -> None:
    assert kind.exit_code == code


def test_every_class_stands_in_the_tree_of_the_docstring() -> None:
    for kind in leaves():
        assert kind.__name__ in (errors.__doc__ or "")


def test_only_what_heals_by_itself_is_retryable() -> None:
    assert {kind.__name__ for kind in leaves() if kind.retryable} == {
        "TryAgain",
        "StoreUnavailable",
        "AzureUnavailable",
        "HandoverMissing",
        "Damaged",
        "Stopped",
    }


def test_a_message_says_where_what_and_what_is_possible() -> None:
    error = InvalidData("no column is called 'phrasee'", where="train.jsonl:1", hint="did you mean 'phrase'?")

    assert str(error) == "train.jsonl:1: no column is called 'phrasee' (did you mean 'phrase'?)"
    assert error.reason == "InvalidData"


@pytest.mark.parametrize(
    ("written", "possible", "said"),
    [
        ("lorra", ["lora", "merge"], "did you mean 'lora'?"),
        ("LORA", ["lora", "merge"], "did you mean 'lora'?"),
        ("Q", ["q"], "did you mean 'q'?"),
        ("xyz", ["merge", "lora"], "possible: lora, merge"),
        ("xyz", [], "none is possible here"),
    ],
)
def test_suggestions(written: str, possible: list[str], said: str) -> None:
    assert suggest(written, possible) == said
