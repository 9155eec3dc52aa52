"""The card and the provenance of a model that a search has found."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.unit.test_card import FACTS
from tests.unit.test_judging import Entry, Length, Write
from tests.unit.test_pipeline import Listening
from tests.unit.test_provenance import Ground

from millwright_api.v1alpha1 import OptimizationJob
from millwright_runner import catalog, pipeline
from millwright_runner.beside import Chosen
from millwright_runner.beside.card import card
from millwright_runner.beside.provenance import provenance
from millwright_runner.beside.public import public_spec
from millwright_runner.catalog import Catalog
from millwright_runner.passes import StopFlag

SEARCH: dict[str, Any] = {
    "parameters": [
        {"pass": "finetune", "option": "training.learningRate", "logUniform": {"min": 1e-5, "max": 1e-3}},
        {"oneOf": ["finetune", "other"]},
    ],
    "objectives": [
        {"metric": "accuracy", "direction": "Maximize"},
        {"metric": "size", "direction": "Minimize"},
    ],
}
JOB = OptimizationJob.model_validate(
    {
        "apiVersion": "millwright.dev/v1alpha1",
        "kind": "OptimizationJob",
        "metadata": {"name": "emotion"},
        "spec": {
            "model": {"path": "base"},
            "passes": [{"name": "finetune", "lora": {}}, {"name": "other", "lora": {}}],
            "evaluation": {"metrics": [{"name": "accuracy", "exactMatch": {}}, {"name": "size", "sizeOnDisk": {}}]},
            "search": SEARCH,
            "output": {"path": "out"},
        },
    }
)
CHOSEN = Chosen(
    job=JOB,
    number=3,
    at={"finetune.training.learningRate": 2.5e-4, "finetune|other": "finetune"},
    phases={"Succeeded": 9, "ConstraintsNotMet": 2, "Pruned": 0, "Failed": 1},
)


def searched(**changes: Any) -> str:
    """The card's section on the search."""
    _, _, text = card(replace(FACTS, chosen=replace(CHOSEN, **changes))).partition("## Search\n\n")
    return text.partition("\n\n## ")[0]


class TestTheCard:
    def test_it_says_of_how_many_trials_the_model_is_the_best_and_how_they_ended(self) -> None:
        assert searched().startswith(
            "The model is the best of 12 trials (9 succeeded, 2 missed a constraint, 1 failed), number 3; sought was the most "
            "accuracy, then the least size. `trials.jsonl` in the output has them all.\n"
        )

    def test_a_model_that_is_kept_beside_the_best_says_that_it_is_not(self) -> None:
        assert searched(best=False).startswith("The model is one of 12 trials")

    def test_its_parameters_are_a_table_in_which_a_bar_is_no_border(self) -> None:
        assert searched().splitlines()[2:] == [
            "| parameter | value |",
            "| --- | --- |",
            "| `finetune.training.learningRate` | `0.00025` |",
            r"| `finetune\|other` | `finetune` |",
        ]

    @pytest.mark.parametrize(
        ("value", "cell"), [(True, "`true`"), (8, "`8`"), ("int4", "`int4`"), ("a`b", "`` a`b ``"), ("a\nb", "`a b`")]
    )
    def test_a_value_stands_as_a_manifest_has_it(self, value: Any, cell: str) -> None:
        assert f"| `x.y` | {cell} |" in searched(at={"x.y": value})

    def test_without_a_search_there_is_no_such_section(self) -> None:
        assert "## Search" not in card(FACTS)


class TestThePublicSpec:
    def test_the_search_is_in_it_as_it_was_written(self) -> None:
        assert public_spec(JOB)["search"] == SEARCH


class TestProvenance:
    @pytest.fixture(autouse=True)
    def plug_ins(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        groups = {"millwright.passes": {"write": Entry(Write)}, "millwright.metrics": {"length": Entry(Length)}}
        monkeypatch.setattr(catalog, "_entry_points", groups.__getitem__)
        Catalog.get.cache_clear()
        yield
        Catalog.get.cache_clear()

    def statement(self, folder: Path) -> Any:
        ground = Ground(folder)
        plan = ground.plan("b")
        pipeline.run(plan, ground.settings, Listening(), StopFlag())
        return json.loads(provenance(plan, list(ground.published.files), chosen=CHOSEN))["predicate"]["buildDefinition"]

    def test_what_was_asked_for_is_the_search_and_the_trial_is_what_came_of_it(self, tmp_path: Path) -> None:
        said = self.statement(tmp_path)

        assert said["externalParameters"] == public_spec(JOB)
        assert said["internalParameters"]["trial"] == {"number": 3, "parameters": CHOSEN.at}

    def test_the_steps_are_those_of_the_trial(self, tmp_path: Path) -> None:
        steps = self.statement(tmp_path)["internalParameters"]["steps"]

        assert [(step["name"], step["pass"]) for step in steps] == [("letter", "write")]
