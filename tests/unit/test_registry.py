"""From names to passes, and chains that fit."""

from __future__ import annotations

import importlib.metadata
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from millwright_api.errors import ChainMismatch, InvalidManifest, UnknownPass
from millwright_api.v1alpha1 import OptimizationJob
from millwright_runner import catalog, registry
from millwright_runner.artifact import HF
from millwright_runner.catalog import Catalog
from millwright_runner.passes import Pass


class Shrink(Pass):
    """An outsider's pass."""

    name = "shrink"
    consumes = frozenset({HF})
    produces = HF
    layers: int = 1


class Impostor:
    """Registered as a pass, and none."""


@pytest.fixture
def plug_ins(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Registers outsiders' passes, as an installed package would."""
    group = {entry.name: entry for entry in importlib.metadata.entry_points(group=registry.PASSES.group)}
    here = __name__
    for name, value in (("shrink", f"{here}:Shrink"), ("impostor", f"{here}:Impostor"), ("broken", "no_such_module:X")):
        group[name] = importlib.metadata.EntryPoint(name, value, registry.PASSES.group)
    monkeypatch.setattr(catalog, "_entry_points", lambda _: group)
    Catalog.get.cache_clear()
    monkeypatch.setitem(sys.modules, here, sys.modules.get(here) or type(sys)(here))
    sys.modules[here].__dict__.update(globals())
    yield
    Catalog.get.cache_clear()


def job(*passes: dict[str, Any]) -> OptimizationJob:
    return OptimizationJob.model_validate(
        {
            "apiVersion": "millwright.dev/v1alpha1",
            "kind": "OptimizationJob",
            "metadata": {"name": "x"},
            "spec": {
                "model": {"path": "m"},
                "data": [{"name": "train", "source": {"path": "t.jsonl"}, "text": {}}],
                "passes": list(passes),
                "output": {"path": "o"},
            },
        }
    )


LORA = {"lora": {"trainData": "train"}}
QLORA = {"qlora": {"trainData": "train"}}
MERGE: dict[str, Any] = {"merge": {}}
GENAI: dict[str, Any] = {"genai": {}}


def test_the_built_in_passes_are_entry_points_like_any_other() -> None:
    assert {"lora", "qlora", "merge", "genai"} <= set(registry.names())
    assert registry.is_builtin("lora")


def test_a_misspelt_pass_is_named_with_a_suggestion() -> None:
    with pytest.raises(UnknownPass) as caught:
        registry.bind(job({"lorra": {}}))

    assert str(caught.value) == "spec.passes[0]: no pass is called 'lorra' (did you mean 'lora'?)"


def test_a_wrong_option_is_named_with_its_place() -> None:
    with pytest.raises(InvalidManifest) as caught:
        registry.bind(
            job(MERGE | {"name": "a"}, {"lora": {"trainData": "train", "ranck": 8, "training": {"learningRate": -1}}})
        )

    assert "spec.passes[1].lora.ranck" in str(caught.value)
    assert "spec.passes[1].lora.training.learningRate" in str(caught.value)


def test_data_that_is_not_declared_is_named_with_a_suggestion() -> None:
    with pytest.raises(InvalidManifest) as caught:
        registry.bind(job({"lora": {"trainData": "trian"}}))

    assert str(caught.value) == "spec.passes[0].lora.trainData: no data set is called 'trian' (did you mean 'train'?)"


@pytest.mark.parametrize(
    "chain",
    [
        [LORA, MERGE, GENAI],
        [QLORA, MERGE, GENAI],
        [GENAI],
        [LORA],
        [LORA, MERGE],
        [LORA, MERGE, {**LORA, "name": "again"}, {**MERGE, "name": "twice"}],
    ],
)
def test_passes_combine_freely_where_formats_fit(chain: list[dict[str, Any]]) -> None:
    registry.check_chain(registry.bind(job(*chain)))


@pytest.mark.parametrize(
    ("chain", "said"),
    [
        ([QLORA, GENAI], "spec.passes[1]: genai reads hf, and qlora before it gives hf+adapter (put merge in between)"),
        (
            [LORA, {**LORA, "name": "two"}],
            "spec.passes[1]: lora reads hf, and lora before it gives hf+adapter (put merge in between)",
        ),
        ([MERGE], "spec.passes[0]: merge reads hf+adapter, and the model gives hf (put lora or qlora in between)"),
        (
            [GENAI, MERGE],
            "spec.passes[1]: merge reads hf+adapter, and genai before it gives onnx-genai (no installed pass turns the one into the other)",
        ),
    ],
)
def test_a_chain_that_does_not_fit_says_what_would(chain: list[dict[str, Any]], said: str) -> None:
    with pytest.raises(ChainMismatch) as caught:
        registry.check_chain(registry.bind(job(*chain)))

    assert str(caught.value) == said


@pytest.mark.usefixtures("plug_ins")
def test_a_plug_in_is_bound_like_a_built_in() -> None:
    (step,) = registry.bind(job({"custom": {"pass": "shrink", "options": {"layers": 2}}}))

    assert isinstance(step.pass_, Shrink)
    assert step.pass_.layers == 2
    assert step.where == "spec.passes[0].custom.options"


@pytest.mark.usefixtures("plug_ins")
def test_a_plug_in_in_a_built_ins_place_is_told_its_own() -> None:
    with pytest.raises(UnknownPass, match=r"'shrink' is a plug-in \(write custom: \{pass: shrink"):
        registry.bind(job({"shrink": {}}))


@pytest.mark.usefixtures("plug_ins")
@pytest.mark.parametrize(("name", "said"), [("broken", "cannot be imported"), ("impostor", "is no pass of that name")])
def test_a_broken_plug_in_is_named_and_not_passed_over(name: str, said: str) -> None:
    with pytest.raises(UnknownPass, match=said):
        registry.bind(job({"custom": {"pass": name}}))
