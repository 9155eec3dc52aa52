"""A plan: everything looked at, nothing loaded, nothing written."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from tests import tiny

from millwright_api.errors import (
    AccessDenied,
    ChainMismatch,
    InvalidData,
    InvalidManifest,
    InvalidModel,
    MillwrightError,
    ModelNotFound,
    StoreNotFound,
)
from millwright_api.v1alpha1 import OptimizationJob
from millwright_runner.plan import Plan, Settings, make_plan

LORA = {"lora": {"r": 8, "trainData": "train", "targetModules": ["o_proj"], "training": {"dtype": "float32"}}}


class Ground:
    """A model's files, rows, and a manifest that can be changed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        tiny.make_model_files(folder / "model")
        (folder / "train.jsonl").write_text(json.dumps({"text": "The old man"}) + "\n")
        self.manifest: dict[str, Any] = {
            "apiVersion": "millwright.dev/v1alpha1",
            "kind": "OptimizationJob",
            "metadata": {"name": "test"},
            "spec": {
                "model": {"path": "model"},
                "data": [{"name": "train", "source": {"path": "train.jsonl"}, "text": {}}],
                "passes": [LORA, {"merge": {}}, {"genai": {"precision": "int4"}}],
                "output": {"path": "out"},
            },
        }

    def plan(self, **spec: Any) -> Plan:
        manifest = copy.deepcopy(self.manifest)
        manifest["spec"] |= spec
        return make_plan(OptimizationJob.model_validate(manifest), Settings(self.folder, self.folder / "home"))

    def refused(self, **spec: Any) -> MillwrightError:
        with pytest.raises(MillwrightError) as caught:
            self.plan(**spec)
        return caught.value


@pytest.fixture
def ground(tmp_path: Path) -> Ground:
    return Ground(tmp_path)


def keys(plan: Plan) -> list[str]:
    return [step.key for step in plan.steps]


class TestWhatItSays:
    def test_all_keys_are_known_before_anything_runs(self, ground: Ground) -> None:
        plan = ground.plan()

        assert len(set(keys(plan))) == 3
        assert all(len(key) == 64 for key in keys(plan))
        assert plan.fingerprint == plan.steps[-1].key
        assert [step.hit for step in plan.steps] == [False, False, False]
        assert plan.published is None

    def test_the_same_job_has_the_same_keys_in_another_folder(
        self, ground: Ground, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        elsewhere = Ground(tmp_path_factory.mktemp("elsewhere"))

        assert keys(ground.plan()) == keys(elsewhere.plan())

    def test_nothing_is_left_in_the_output(self, ground: Ground) -> None:
        ground.plan()

        assert not (ground.folder / "out").exists() or list((ground.folder / "out").rglob("*")) == []

    def test_a_changed_last_step_keeps_the_keys_before_it(self, ground: Ground) -> None:
        one = keys(ground.plan())
        other = keys(ground.plan(passes=[LORA, {"merge": {}}, {"genai": {"precision": "int8"}}]))

        assert one[:2] == other[:2]
        assert one[2] != other[2]

    def test_changed_rows_and_a_changed_model_change_every_key(self, ground: Ground) -> None:
        before = keys(ground.plan())
        (ground.folder / "train.jsonl").write_text(json.dumps({"text": "The young man"}) + "\n")
        rows_changed = keys(ground.plan())
        config = ground.folder / "model" / "config.json"
        config.write_text(json.dumps(json.loads(config.read_text()) | {"rms_norm_eps": 1e-6}))
        model_changed = keys(ground.plan())

        assert not set(before) & set(rows_changed)
        assert not set(rows_changed) & set(model_changed)

    def test_the_estimate_is_of_the_hungriest_step_and_the_sum_of_the_disk(self, ground: Ground) -> None:
        plan = ground.plan()

        assert plan.memory == max(step.estimate.memory for step in plan.steps)
        assert plan.disk == sum(step.estimate.disk for step in plan.steps)
        assert plan.steps[1].estimate.disk >= plan.model.facts.bytes

    def test_a_larger_rank_and_a_larger_precision_need_more(self, ground: Ground) -> None:
        small = ground.plan()
        big = ground.plan(passes=[{"lora": {**LORA["lora"], "r": 64}}, {"merge": {}}, {"genai": {"precision": "fp32"}}])

        assert big.steps[0].estimate.memory > small.steps[0].estimate.memory
        assert big.steps[2].estimate.disk > small.steps[2].estimate.disk

    def test_data_that_no_pass_refers_to_are_looked_at_all_the_same(self, ground: Ground) -> None:
        ground.manifest["spec"]["data"].append(
            {"name": "holdout", "source": {"path": "train.jsonl"}, "text": {"columns": ["phrase"]}}
        )

        assert isinstance(ground.refused(), InvalidData)

    def test_the_cache_can_be_off(self, ground: Ground) -> None:
        assert ground.plan(cache={"mode": "Off"}).cache is None


class TestWhatItRefuses:
    def test_a_chain_that_does_not_fit_before_it_looks_at_the_model(self, ground: Ground) -> None:
        error = ground.refused(model={"path": "nowhere"}, passes=[LORA, {"genai": {}}])

        assert isinstance(error, ChainMismatch)

    def test_a_model_that_is_not_there(self, ground: Ground) -> None:
        error = ground.refused(model={"path": "modle"})

        assert isinstance(error, ModelNotFound)
        assert "model" in str(error.hint)

    def test_an_option_that_does_not_fit_the_model_with_its_path_in_the_manifest(self, ground: Ground) -> None:
        error = ground.refused(passes=[{"lora": {**LORA["lora"], "targetModules": ["q_proj"]}}])

        assert isinstance(error, InvalidModel)
        assert error.where == "spec.passes[0].lora.targetModules"
        assert "qkv_proj" in str(error)

    def test_a_precision_that_the_target_cannot_load(self, ground: Ground) -> None:
        error = ground.refused(passes=[{"genai": {"precision": "bf16"}}])

        assert isinstance(error, InvalidManifest)
        assert error.where == "spec.passes[0].genai.precision"

    def test_a_template_that_names_an_unknown_column_before_any_file_is_opened(self, ground: Ground) -> None:
        data = [
            {"name": "train", "source": {"path": "nowhere.jsonl"}, "text": {"columns": ["text"], "template": "{txt}"}}
        ]

        error = ground.refused(data=data)

        assert isinstance(error, InvalidManifest)
        assert "txt" in str(error)

    def test_an_output_below_a_file(self, ground: Ground) -> None:
        error = ground.refused(output={"path": "train.jsonl/out"})

        assert isinstance(error, StoreNotFound | AccessDenied)
        assert "train.jsonl" in str(error)
