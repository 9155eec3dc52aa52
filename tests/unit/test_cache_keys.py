"""Cache keys: everything that changes a result changes the key, and nothing else does."""

from __future__ import annotations

from typing import Any

import pytest

from millwright_api.v1alpha1 import Target
from millwright_runner.cache import library_versions, step_key
from millwright_runner.passes.genai import Genai
from millwright_runner.passes.lora import Lora

CPU = Target.model_validate({"executionProvider": "CPUExecutionProvider"})
CUDA = Target.model_validate({"executionProvider": "CUDAExecutionProvider"})
DATA = {"trainData": "d" * 64}


def lora(**options: Any) -> Lora:
    return Lora.model_validate({"trainData": "train", **options})


def test_the_same_step_has_the_same_key() -> None:
    assert step_key(lora(r=8), "m", DATA, CPU) == step_key(lora(r=8), "m", DATA, CPU)


def test_an_option_at_its_default_is_the_same_as_one_left_out() -> None:
    assert step_key(lora(r=64), "m", DATA, CPU) == step_key(lora(), "m", DATA, CPU)


def test_data_count_by_content_and_not_by_name() -> None:
    renamed = Lora.model_validate({"trainData": "another-name"})

    assert step_key(renamed, "m", DATA, CPU) == step_key(lora(), "m", DATA, CPU)
    assert step_key(lora(), "m", {"trainData": "e" * 64}, CPU) != step_key(lora(), "m", DATA, CPU)


@pytest.mark.parametrize(
    "change", [{"r": 8}, {"dropout": 0.0}, {"training": {"seed": 1}}, {"training": {"maxSteps": 3}}]
)
def test_any_option_changes_the_key(change: dict[str, Any]) -> None:
    assert step_key(lora(**change), "m", DATA, CPU) != step_key(lora(), "m", DATA, CPU)


def test_what_came_before_changes_the_key() -> None:
    assert step_key(lora(), "m", DATA, CPU) != step_key(lora(), "n", DATA, CPU)


def test_the_target_counts_only_where_it_changes_the_result() -> None:
    assert step_key(lora(), "m", DATA, CPU) == step_key(lora(), "m", DATA, CUDA)
    assert step_key(Genai(), "m", {}, CPU) != step_key(Genai(), "m", {}, CUDA)


def test_another_version_of_a_library_or_of_the_pass_changes_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    before = step_key(lora(), "m", DATA, CPU)

    monkeypatch.setattr(Lora, "version", 2)
    newer_pass = step_key(lora(), "m", DATA, CPU)
    monkeypatch.undo()
    monkeypatch.setattr(Lora, "libraries", ("torch",))
    other_libraries = step_key(lora(), "m", DATA, CPU)

    assert len({before, newer_pass, other_libraries}) == 3


def test_a_library_that_is_not_installed_is_said_to_be_absent() -> None:
    assert library_versions(("no-such-distribution",)) == {"no-such-distribution": "absent"}
