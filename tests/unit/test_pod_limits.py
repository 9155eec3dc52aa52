"""What stages may have and are expected to need."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from millwright_api.errors import GPUMemoryInsufficient, MemoryInsufficient, NoSpaceLeft
from millwright_api.v1alpha1 import OptimizationJob
from millwright_runner import registry
from millwright_runner.artifact import HF, Artifact
from millwright_runner.models import FoundModel, ModelFacts
from millwright_runner.pod.limits import Needs, StageLimits, amount, needs_of, parse_limits, shortages, told
from millwright_runner.registry import BoundStep

GIB = 2**30


@pytest.fixture
def steps() -> list[BoundStep]:
    job = OptimizationJob.model_validate({
        "apiVersion": "millwright.dev/v1alpha1", "kind": "OptimizationJob", "metadata": {"name": "test"},
        "spec": {
            "model": {"path": "m"}, "data": [{"name": "train", "source": {"path": "t"}, "text": {}}],
            "passes": [{"lora": {"trainData": "train"}}, {"merge": {}}, {"genai": {"precision": "int4"}}],
            "output": {"path": "out"},
        },
    })  # fmt: skip
    return registry.bind(job)


@pytest.fixture
def model(tmp_path: Path) -> FoundModel:
    """Two thousand million numbers in bfloat16."""
    tensors = {"model.layers.0.self_attn.qkv_proj.weight": (100_000, 20_000)}
    facts = ModelFacts(where="m", config={"model_type": "phi3"}, tensors=tensors, bytes=4 * 10**9, files=4 * 10**9)
    return FoundModel("0" * 64, facts, tmp_path, lambda: Artifact(tmp_path, HF, "0" * 64))


class TestFormat:
    def test_what_the_operator_writes_is_read(self) -> None:
        text = json.dumps([
            {"steps": "0:2", "memory": 4 * GIB, "accelerator": 24 * GIB, "accelerators": 1, "ephemeralStorage": None},
            {"steps": "2:3", "memory": None, "accelerator": None, "accelerators": 0, "ephemeralStorage": 10 * GIB},
        ])  # fmt: skip

        assert parse_limits(text, 3) == [
            StageLimits(range(2), 4 * GIB, 24 * GIB, 1, None),
            StageLimits(range(2, 3), None, None, 0, 10 * GIB),
        ]

    @pytest.mark.parametrize("text", [None, ""])
    def test_without_a_word_all_steps_are_one_stage_without_limits(self, text: str | None) -> None:
        assert parse_limits(text, 3) == [StageLimits(range(3))]

    @pytest.mark.parametrize("text", ["{", "[{}]", '[{"steps": 3}]', '[{"steps": "two"}]'])
    def test_anything_else_is_the_operators_mistake(self, text: str) -> None:
        with pytest.raises((ValueError, KeyError, TypeError)):
            parse_limits(text, 3)


class TestNeeds:
    def test_without_a_gpu_the_hungriest_step_counts_and_the_disk_adds_up(
        self, steps: list[BoundStep], model: FoundModel
    ) -> None:
        estimates = [step.pass_.estimate(model.facts) for step in steps]

        needs = needs_of(StageLimits(range(3)), steps, model, fetched=False)

        assert needs == Needs(max(e.memory for e in estimates), 0, sum(e.disk for e in estimates))

    def test_a_model_that_is_fetched_first_takes_its_own_disk(self, steps: list[BoundStep], model: FoundModel) -> None:
        here, fetched = (needs_of(StageLimits(range(3)), steps, model, fetched=f) for f in (False, True))

        assert fetched.disk - here.disk == model.facts.files

    def test_on_a_gpu_training_lies_in_its_memory_and_merging_on_the_host(
        self, steps: list[BoundStep], model: FoundModel
    ) -> None:
        lora, merge = (step.pass_.estimate(model.facts).memory for step in steps[:2])

        training = needs_of(StageLimits(range(1), accelerators=1), steps, model, fetched=False)
        both = needs_of(StageLimits(range(2), accelerators=1), steps, model, fetched=False)

        assert (training.memory, training.accelerator) == (GIB // 2, lora - GIB // 2)
        assert (both.memory, both.accelerator) == (merge, lora - GIB // 2)

    def test_a_model_that_is_measured_is_loaded_once_more(self, steps: list[BoundStep], model: FoundModel) -> None:
        training = steps[0].pass_.estimate(model.facts).memory
        large = replace(model, facts=replace(model.facts, bytes=3 * training))
        stage = StageLimits(range(1))

        without, after, other = (
            needs_of(stage, steps, large, fetched=False, measured=measured) for measured in ([], [0], [1, 2])
        )

        assert without == other
        assert after.memory == 3 * training + (512 << 20)
        assert after.disk == without.disk

    def test_without_a_gpu_transformers_loads_it_in_float32(self, steps: list[BoundStep], model: FoundModel) -> None:
        merging, building = (
            needs_of(StageLimits(range(index, index + 1)), steps, model, fetched=False, measured=[index])
            for index in (1, 2)
        )

        assert merging.memory == 4 * model.facts.parameters + (512 << 20)
        assert building == needs_of(StageLimits(range(2, 3)), steps, model, fetched=False)

    def test_the_input_is_measured_in_the_first_stage(self, steps: list[BoundStep], model: FoundModel) -> None:
        large = replace(model, facts=replace(model.facts, bytes=40 * GIB))

        first, second = (
            needs_of(StageLimits(part), steps, large, fetched=False, measured=[-1]) for part in (range(1), range(1, 2))
        )

        assert first.memory == 40 * GIB + (512 << 20)
        assert second == needs_of(StageLimits(range(1, 2)), steps, large, fetched=False)

    def test_on_a_gpu_it_is_the_gpus_memory(self, steps: list[BoundStep], model: FoundModel) -> None:
        large = replace(model, facts=replace(model.facts, bytes=40 * GIB))

        needs = needs_of(StageLimits(range(1), accelerators=1), steps, large, fetched=False, measured=[0])

        assert needs.accelerator == 40 * GIB
        assert needs.memory == 512 << 20


class TestShortages:
    NEEDS = Needs(memory=3 * GIB, accelerator=10 * GIB, disk=8 * GIB)

    def test_what_is_enough_is_no_shortage(self, steps: list[BoundStep]) -> None:
        enough = StageLimits(range(2), 3 * GIB, 10 * GIB, 1, 8 * GIB)

        assert list(shortages(enough, self.NEEDS, steps)) == []

    def test_what_is_not_limited_is_no_shortage(self, steps: list[BoundStep]) -> None:
        assert list(shortages(StageLimits(range(2)), self.NEEDS, steps)) == []

    def test_each_shortage_has_its_reason_both_figures_and_a_way_out(self, steps: list[BoundStep]) -> None:
        little = StageLimits(range(2), 2 * GIB, 8 * GIB, 1, 5 * GIB)

        found = list(shortages(little, self.NEEDS, steps))

        assert [type(error) for error in found] == [GPUMemoryInsufficient, MemoryInsufficient, NoSpaceLeft]
        assert [str(error) for error in found] == [
            "spec.passes: lora, merge needs about 10.0 GiB of GPU memory, and the GPU has 8.0 GiB "
            "(take a larger GPU, qlora instead of lora, or a smaller model)",
            "spec.passes: lora, merge needs about 3.0 GiB of memory, and the limit is 2.0 GiB "
            "(raise resources.limits.memory)",
            "spec.passes: lora, merge needs about 8.0 GiB of disk, and the limit is 5.0 GiB "
            "(raise resources.limits.ephemeral-storage)",
        ]

    def test_more_than_the_scratch_space_is_a_shortage_where_the_manifest_says_so(self, steps: list[BoundStep]) -> None:
        (error,) = shortages(StageLimits(range(2), ephemeral_storage=9 * GIB, scratch=5 * GIB), self.NEEDS, steps)

        assert isinstance(error, NoSpaceLeft)
        assert str(error).startswith("spec.execution.kubernetes.scratch: lora, merge needs about 8.0 GiB of disk")

    def test_a_shortage_of_a_hair_is_told_in_bytes(self, steps: list[BoundStep]) -> None:
        (error,) = shortages(StageLimits(range(2), memory=3 * GIB - 1), self.NEEDS, steps)

        assert "needs about 3,221,225,472 bytes of memory, and the limit is 3,221,225,471 bytes" in str(error)

    def test_a_stage_of_one_step_is_named_by_its_path(self, steps: list[BoundStep]) -> None:
        (error,) = shortages(StageLimits(range(2, 3), memory=GIB), self.NEEDS, steps)

        assert error.where == "spec.passes[2]"


class TestWords:
    def test_of_two_limits_of_the_disk_the_lower_is_told(self) -> None:
        stage = StageLimits(range(1), ephemeral_storage=4 * GIB, scratch=2 * GIB)

        assert told(stage, Needs(0, 0, GIB)).endswith("1.0 GiB of disk (limit 2.0 GiB)")

    def test_a_need_is_told_with_its_limit_where_there_is_one(self) -> None:
        needs = Needs(memory=int(1.3 * GIB), accelerator=0, disk=int(0.8 * GIB))

        assert told(StageLimits(range(1), 4 * GIB), needs) == "1.3 GiB of memory (limit 4.0 GiB), 820 MiB of disk"

    @pytest.mark.parametrize(
        ("size", "words"), [(0, "0 MiB"), (1, "1 MiB"), (2**20, "1 MiB"), (GIB - 1, "1024 MiB"), (GIB, "1.0 GiB")]
    )
    def test_amounts_are_written_as_resources_are(self, size: int, words: str) -> None:
        assert amount(size) == words
