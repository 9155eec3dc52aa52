"""The manifests of examples/search: they can be searched, on one machine and on a cluster alike, and trials share the training."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from millwright_api.v1alpha1 import OptimizationJob
from millwright_runner.trials import check_search
from millwright_search import space
from millwright_search.segments import segments

SEARCH = Path(__file__).parents[2] / "examples" / "search"
EMOTION = SEARCH.parent / "emotion"


def job(path: Path) -> OptimizationJob:
    return OptimizationJob.model_validate(yaml.safe_load(path.read_text()))


@pytest.fixture(params=sorted(SEARCH.glob("*.yaml")), ids=lambda path: path.name)
def example(request: pytest.FixtureRequest) -> OptimizationJob:
    return job(request.param)


def test_nothing_is_wrong_with_it_and_nothing_has_to_be_said(example: OptimizationJob) -> None:
    assert check_search(example) == []


def test_its_twelve_trials_train_once_for_each_learning_rate(example: OptimizationJob) -> None:
    search = example.spec.search
    assert search is not None
    trained = {segments(example.spec, at)[0].key for at in space.points(search)}

    assert (space.size(search), search.max_trials, len(trained)) == (16, 12, 2)


def test_both_search_the_same() -> None:
    here, there = job(SEARCH / "job.yaml"), job(SEARCH / "job-cluster.yaml")

    assert here.spec.search == there.spec.search
    assert here.spec.evaluation == there.spec.evaluation
    assert [step.options for step in here.spec.passes] == [step.options for step in there.spec.passes]


@pytest.mark.parametrize("name", ["job.yaml", "job-cluster.yaml"])
def test_but_for_the_search_it_is_the_recipe_of_the_demo(name: str) -> None:
    searched, demo = job(SEARCH / name), job(EMOTION / name)

    assert [step.options for step in searched.spec.passes] == [step.options for step in demo.spec.passes]
    assert [entry.text for entry in searched.spec.data] == [entry.text for entry in demo.spec.data]
