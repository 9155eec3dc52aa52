"""Evaluators of a workflow: what measures the same here is taken over, all else is listed with its reason."""

from __future__ import annotations

from typing import Any

import pytest
from tests.olive.samples import lines, note_on, sample, workflow

from millwright_api.errors import InvalidManifest
from millwright_api.v1alpha1 import OptimizationJob
from millwright_runner.olive import Imported, convert

BYTES: dict[str, Any] = {"name": "bytes", "priority": 1}


def metric(kind: str = "size_on_disk", name: str = "size", **rest: Any) -> dict[str, Any]:
    return {"name": name, "type": kind, **rest}


def measuring(*metrics: dict[str, Any], **rest: Any) -> Imported:
    return convert(workflow(evaluators={"common": {"metrics": list(metrics)}}, evaluator="common", **rest))


def evaluation(found: Imported) -> Any:
    return found.manifest["spec"].get("evaluation")


def goal(kind: str, value: Any) -> dict[str, Any]:
    return metric(sub_types=[{**BYTES, "goal": {"type": kind, "value": value}}])


class TestTheSizeOnDisk:
    def test_is_taken_over(self) -> None:
        found = measuring(metric(sub_types=[BYTES]))

        assert evaluation(found) == {"metrics": [{"name": "size", "sizeOnDisk": {}}]}
        assert found.unmapped == []
        assert found.mapped["evaluators.common.metrics[0].type"] == "spec.evaluation.metrics[0].sizeOnDisk"

    def test_without_sub_types_too(self) -> None:
        assert evaluation(measuring(metric())) == {"metrics": [{"name": "size", "sizeOnDisk": {}}]}

    def test_of_an_evaluator_that_stands_in_the_engine(self) -> None:
        config = workflow(engine={"evaluator": {"metrics": [metric()]}})

        found = convert(config)

        assert evaluation(found) == {"metrics": [{"name": "size", "sizeOnDisk": {}}]}
        assert found.unmapped == []

    def test_names_become_names_that_are_free(self) -> None:
        found = measuring(metric(name="Size on disk"), metric(name="size_on_disk"))

        assert [entry["name"] for entry in evaluation(found)["metrics"]] == ["size-on-disk", "size-on-disk-2"]

    def test_the_manifest_is_valid(self) -> None:
        found = measuring(goal("max-degradation", 100), evaluate_input_model=True)

        job = OptimizationJob.model_validate(found.manifest)

        assert job.spec.evaluation is not None
        assert job.spec.evaluation.measured(["a", "b"]) == ["input", "b"]

    def test_its_place_among_a_searchs_objectives_is_noted(self) -> None:
        found = measuring(metric(sub_types=[{**BYTES, "higher_is_better": False}]))

        assert note_on(found, "evaluators.common.metrics[0].sub_types[0].priority")
        assert note_on(found, "evaluators.common.metrics[0].sub_types[0].higher_is_better")


class TestGoals:
    @pytest.mark.parametrize(
        ("kind", "bound"),
        [
            ("threshold", "max"), ("max-degradation", "maxDrop"), ("percent-max-degradation", "maxDropPercent"),
            ("min-improvement", "minImprovement"), ("Threshold", "max"),
        ],
    )  # fmt: skip
    def test_become_constraints_that_warn_as_olive_makes_the_model_all_the_same(self, kind: str, bound: str) -> None:
        found = measuring(goal(kind, 5))

        assert evaluation(found)["constraints"] == [{"metric": "size", bound: 5}]
        assert evaluation(found)["onViolation"] == "Warn"
        assert found.unmapped == []
        assert any("Fail makes it a gate" in note.text for note in found.notes)

    def test_one_that_no_constraint_says_is_listed(self) -> None:
        found = measuring(goal("percent-min-improvement", 20))

        place = "evaluators.common.metrics[0].sub_types[0].goal"
        assert lines(found) == {f"{place}.type": False, f"{place}.value": False}
        assert "constraints" not in evaluation(found)

    @pytest.mark.parametrize(("kind", "value"), [("max-degradation", -1), ("threshold", "5"), ("threshold", True)])
    def test_one_that_is_no_number_is_refused_with_its_place(self, kind: str, value: Any) -> None:
        with pytest.raises(InvalidManifest) as caught:
            measuring(goal(kind, value))

        assert caught.value.where == "evaluators.common.metrics[0].sub_types[0].goal.value"


class TestWhatIsNotTheSame:
    @pytest.mark.parametrize(
        ("kind", "words"),
        [
            ("latency", "tokenLatency"), ("throughput", "tokens of a generation"), ("accuracy", "exactMatch, f1 or perplexity"),
            ("custom", "entry point"), ("energy", "no counterpart"),
        ],
    )  # fmt: skip
    def test_is_listed_with_what_comes_near_and_changes_no_model(self, kind: str, words: str) -> None:
        found = measuring(metric(kind, sub_types=[{"name": "avg"}]))

        assert evaluation(found) is None
        assert found.runnable
        assert "evaluators.common.metrics[0].type" in lines(found)
        assert all(words in line.why for line in found.unmapped if "metrics" in line.path)

    def test_leaves_what_stands_beside_it(self) -> None:
        found = measuring(metric("latency"), metric())

        assert evaluation(found) == {"metrics": [{"name": "size", "sizeOnDisk": {}}]}
        assert {line.path for line in found.unmapped} == {
            "evaluators.common.metrics[0].name", "evaluators.common.metrics[0].type",
        }  # fmt: skip

    def test_an_evaluator_that_nobody_names_is_listed(self) -> None:
        found = convert(workflow(evaluators={"common": {"metrics": [metric()]}}))

        assert evaluation(found) is None
        assert all("does not measure with it" in line.why and not line.blocks for line in found.unmapped)

    def test_so_is_one_of_a_pass(self) -> None:
        found = convert(sample("old_azure"))

        (line,) = [line for line in found.unmapped if line.path == "passes.lora.evaluator"]
        assert "spec.evaluation.after" in line.why
        assert not line.blocks


class TestTheInput:
    def test_is_measured_where_the_engine_says_so(self) -> None:
        found = measuring(metric(), evaluate_input_model=True)

        assert evaluation(found)["after"] == ["input", "last"]
        assert found.mapped["evaluate_input_model"] == "spec.evaluation.after"

    def test_is_not_where_it_says_no(self) -> None:
        found = measuring(metric(), evaluate_input_model=False)

        assert "after" not in evaluation(found)
        assert note_on(found, "evaluate_input_model") == "off, as here"

    def test_is_listed_where_nothing_is_measured(self) -> None:
        assert lines(convert(workflow(evaluate_input_model=True))) == {"evaluate_input_model": False}
