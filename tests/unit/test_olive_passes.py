"""Olive's passes and their options → spec.passes."""

from __future__ import annotations

from typing import Any

import pytest
from tests.olive.samples import genai, lines, lora, lora_of, note_on, spec_of, workflow

from millwright_runner.olive import convert
from millwright_runner.olive.table import load


def steps(passes: dict[str, Any], **more: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = spec_of(workflow(passes=passes, **more))["passes"]
    return found


def test_steps_keep_their_order_and_their_names_as_dns_labels():
    passes = {"Tune_It": lora(), "merge": {"type": "MergeAdapterWeights"}, "4bit": genai(), "tune it": lora()}

    found = steps(passes)

    assert [(step.get("name"), next(key for key in step if key != "name")) for step in found] == [
        ("tune-it", "lora"),
        (None, "merge"),
        ("4bit", "genai"),
        ("tune-it-2", "lora"),
    ]


@pytest.mark.parametrize("kind", ["LoRA", "lora", "LORA"])
def test_a_passs_type_is_known_in_any_case_as_olive_has_it(kind: str):
    assert "lora" in steps({"lora": lora(type=kind)})[0]


@pytest.mark.parametrize(("options", "key", "value"), [
    ({"r": 8}, "r", 8),
    ({"lora_r": 8}, "r", 8),
    ({"alpha": 32}, "alpha", 32),
    ({"alpha": 12.5}, "alpha", 12.5),
    ({"lora_alpha": 32}, "alpha", 32),
    ({"lora_dropout": 0.2}, "dropout", 0.2),
    ({"bias": "lora_only"}, "bias", "lora_only"),
    ({"target_modules": ["q_proj"]}, "targetModules", ["q_proj"]),
    ({"target_modules": "all-linear"}, "targetModules", "all-linear"),
    ({"modules_to_save": ["lm_head"]}, "modulesToSave", ["lm_head"]),
    ({"eval_dataset_size": 0.25}, "evalFraction", 0.25),
    ({"eval_dataset_size": 1}, "evalSize", 1),
    ({"eval_dataset_size": 120.0}, "evalSize", 120),
    ({"r": "16"}, "r", 16),
])  # fmt: skip
def test_an_option_of_the_adapter(options: dict[str, Any], key: str, value: Any):
    assert lora_of(workflow(passes={"lora": lora(**options)}))[key] == value


@pytest.mark.parametrize(("written", "key", "value"), [
    ({"seed": 3}, "seed", 3),
    ({"data_seed": 4}, "dataSeed", 4),
    ({"num_train_epochs": 1.5}, "epochs", 1.5),
    ({"max_steps": 20}, "maxSteps", 20),
    ({"learning_rate": "1e-3"}, "learningRate", 1e-3),
    ({"lr_scheduler_type": "cosine"}, "scheduler", "cosine"),
    ({"warmup_steps": 5}, "warmupSteps", 5),
    ({"warmup_ratio": 0.1}, "warmupRatio", 0.1),
    ({"lr_scheduler_type": "linear"}, "warmupRatio", 0.03),
    ({"weight_decay": 0.01}, "weightDecay", 0.01),
    ({"max_grad_norm": 0.3}, "maxGradNorm", 0.3),
    ({"per_device_train_batch_size": 2}, "perDeviceTrainBatchSize", 2),
    ({"per_device_eval_batch_size": 2}, "perDeviceEvalBatchSize", 2),
    ({"gradient_accumulation_steps": 2}, "gradientAccumulationSteps", 2),
    ({"optim": "adamw_torch"}, "optimizer", "adamw_torch"),
    ({"optim": "paged_adamw"}, "optimizer", "paged_adamw_32bit"),
    ({"adam_beta1": 0.8}, "adamBeta1", 0.8),
    ({"adam_beta2": 0.99}, "adamBeta2", 0.99),
    ({"adam_epsilon": 1e-6}, "adamEpsilon", 1e-6),
    ({"gradient_checkpointing": False}, "gradientCheckpointing", False),
    ({"gradient_checkpointing": "false"}, "gradientCheckpointing", False),
    ({"logging_steps": 5}, "loggingSteps", 5),
    ({"group_by_length": True}, "groupByLength", True),
    ({"train_sampling_strategy": "group_by_length"}, "groupByLength", True),
    ({"label_smoothing_factor": 0.1}, "labelSmoothing", 0.1),
])  # fmt: skip
def test_a_training_argument(written: dict[str, Any], key: str, value: Any):
    found = convert(workflow(passes={"lora": lora(written)}))

    assert found.manifest["spec"]["passes"][0]["lora"]["training"][key] == value
    assert found.unmapped == []


@pytest.mark.parametrize("written", [{"max_steps": -1}, {"max_steps": 0}])
def test_no_limit_of_steps_leaves_it_to_the_epochs(written: dict[str, Any]):
    training = lora_of(workflow(passes={"lora": lora(written)}))["training"]

    assert "maxSteps" not in training
    assert training["epochs"] == 3


def test_warm_up_in_steps_goes_before_warm_up_by_share():
    found = convert(
        workflow(passes={"lora": lora({"warmup_steps": 5, "warmup_ratio": 0.1, "lr_scheduler_type": "linear"})})
    )

    training = found.manifest["spec"]["passes"][0]["lora"]["training"]
    assert (training["warmupSteps"], training.get("warmupRatio")) == (5, None)
    assert note_on(found, "passes.lora.training_args.warmup_ratio") == "warmup_steps goes before it"


EVALUATED = [
    ({"eval_strategy": "steps", "eval_steps": 20}, 20),
    ({"evaluation_strategy": "steps", "eval_steps": 20}, 20),
    ({"eval_steps": 20}, 20),
    ({"eval_strategy": "steps", "logging_steps": 7}, 7),
    ({"eval_strategy": "epoch", "eval_steps": 20}, None),
    ({"eval_strategy": "no"}, None),
    ({"eval_strategy": "steps", "eval_steps": 0.1}, None),
]


@pytest.mark.parametrize(("written", "interval"), EVALUATED)
def test_when_it_is_evaluated_where_there_are_evaluation_data(written: dict[str, Any], interval: int | None):
    passes = {"lora": lora(written, eval_data_config="train")}

    found = lora_of(workflow(passes=passes))

    assert found["evalData"] == "train"
    assert found["training"].get("evalSteps") == interval


@pytest.mark.parametrize("written", [{"eval_strategy": "steps", "eval_steps": 20}, {"evaluation_strategy": "epoch"}])
def test_evaluation_without_data_is_noted_as_without_effect(written: dict[str, Any]):
    found = convert(workflow(passes={"lora": lora(written)}))

    assert "evalSteps" not in found.manifest["spec"]["passes"][0]["lora"]["training"]
    for key in written:
        assert note_on(found, f"passes.lora.training_args.{key}") == "no effect without evaluation data"


def test_a_share_held_back_has_no_effect_beside_evaluation_data():
    found = convert(workflow(passes={"lora": lora(eval_data_config="train", eval_dataset_size=0.3)}))

    step = found.manifest["spec"]["passes"][0]["lora"]
    assert step["evalData"] == "train"
    assert "evalFraction" not in step
    assert note_on(found, "passes.lora.eval_dataset_size") == "no effect beside eval_data_config"


@pytest.mark.parametrize(("written", "blocks"), [
    ({"deepspeed": "ds.json"}, True),
    ({"load_best_model_at_end": True}, True),
    ({"optim": "lion_32bit"}, True),
    ({"lr_scheduler_type": "reduce_lr_on_plateau"}, True),
    ({"resume_from_checkpoint": "runs/3"}, True),
    ({"fsdp": "full_shard"}, True),
    ({"report_to": "wandb"}, False),
    ({"save_strategy": "epoch"}, False),
    ({"save_steps": 0.1}, False),
    ({"metric_for_best_model": "loss"}, False),
    ({"train_sampling_strategy": "by_weather"}, True),
])  # fmt: skip
def test_a_training_argument_without_a_counterpart_is_listed(written: dict[str, Any], blocks: bool):
    found = convert(workflow(passes={"lora": lora(written)}))

    assert lines(found) == {f"passes.lora.training_args.{key}": blocks for key in written}
    assert found.runnable is not blocks


@pytest.mark.parametrize("written", [
    {"report_to": "none"}, {"deepspeed": False}, {"load_best_model_at_end": False}, {"fp16": True}, {"output_dir": "x"},
    {"save_total_limit": 2}, {"dataloader_num_workers": 4}, {"bf16": True}, {"save_strategy": "steps"}, {"disable_tqdm": True},
    {"report_to": []}, {"overwrite_output_dir": True}, {"train_sampling_strategy": "random"}, {"warmup_steps": 0},
])  # fmt: skip
def test_a_training_argument_that_asks_for_nothing_is_noted(written: dict[str, Any]):
    found = convert(workflow(passes={"lora": lora(written)}))

    assert found.unmapped == []
    for key in written:
        assert note_on(found, f"passes.lora.training_args.{key}")


def test_mixed_precision_is_listed_where_torch_dtype_says_otherwise():
    found = convert(workflow(passes={"lora": lora({"bf16": True}, torch_dtype="float32")}))

    assert lines(found) == {"passes.lora.training_args.bf16": True}


def test_checkpoints_are_saved_as_often():
    assert spec_of(workflow(passes={"lora": lora({"save_steps": 25})}))["checkpoint"] == {"everySteps": 25}


def test_qlora_has_its_own_options_and_optimizer():
    passes = {
        "q": lora(type="QLoRA", double_quant=True, quant_type="fp4", compute_dtype="float32", save_quant_config=True)
    }

    (step,) = steps(passes)

    options = step["qlora"]
    assert (options["quantType"], options["doubleQuant"], options["computeDtype"]) == ("fp4", True, "float32")
    assert options["training"]["optimizer"] == "paged_adamw_32bit"


@pytest.mark.parametrize(("kind", "more", "optimizer"), [
    ("LoRA", {}, None),
    ("LoRA", {"lora_r": 8}, "adamw_torch"),
    ("QLoRA", {}, "paged_adamw_32bit"),
    ("QLoRA", {"lora_r": 8}, "paged_adamw_32bit"),
])  # fmt: skip
def test_the_default_optimizer_is_paged_only_where_the_base_is_quantized(
    kind: str, more: dict[str, Any], optimizer: str | None
):
    """To 0.7 Olive's default was paged for LoRA too: the updates are the same."""
    found = convert(workflow(passes={"step": lora(type=kind, **more)}))

    assert found.manifest["spec"]["passes"][0][kind.lower()]["training"].get("optimizer") == optimizer
    assert any("without bitsandbytes" in note.text for note in found.notes) is (optimizer == "adamw_torch")


def test_options_of_qlora_on_a_plain_lora_are_noted_as_without_effect_as_in_olive():
    found = convert(workflow(passes={"lora": lora(double_quant=True, quant_type="nf4")}))

    assert found.unmapped == []
    for option in ("double_quant", "quant_type"):
        assert "Olive ignores it on LoRA" in note_on(found, f"passes.lora.{option}")


def test_dora_is_lora_with_weight_decomposition():
    assert steps({"d": lora(type="DoRA")})[0]["lora"]["useDora"] is True


@pytest.mark.parametrize(("written", "options"), [
    ({"precision": "fp32"}, {"precision": "fp32"}),
    ({"precision": "bf16"}, {"precision": "bf16"}),
    ({"precision": "int8"}, {"precision": "int8"}),
    ({"int4_block_size": 64}, {"precision": "int4", "blockSize": 64}),
    ({"int4_accuracy_level": 4}, {"precision": "int4", "accuracyLevel": 4}),
    ({"int4_is_symmetric": False}, {"precision": "int4", "symmetric": False}),
    ({"int4_nodes_to_exclude": ["/lm_head/MatMul"]}, {"precision": "int4", "excludeNodes": ["/lm_head/MatMul"]}),
    ({"int4_algo_config": "rtn"}, {"precision": "int4", "algorithm": "rtn"}),
    ({"int4_algo_config": "k_quant_last"}, {"precision": "int4", "algorithm": "k_quant", "mixedPrecision": "last"}),
    ({"int4_algo_config": "k_quant_mixed"}, {"precision": "int4", "algorithm": "k_quant", "mixedPrecision": "last-and-sensitive"}),
    ({"exclude_lm_head": True}, {"precision": "int4", "excludeLmHead": True}),
    ({"exclude_embeds": False}, {"precision": "int4", "excludeEmbeds": False}),
    ({"extra_options": {"int4_block_size": "128", "int4_is_symmetric": "true"}}, {"precision": "int4", "blockSize": 128, "symmetric": True}),
    ({"extra_options": {"int4_nodes_to_exclude": "/a,/b"}}, {"precision": "int4", "excludeNodes": ["/a", "/b"]}),
])  # fmt: skip
def test_an_option_of_the_model_builder(written: dict[str, Any], options: dict[str, Any]):
    found = convert(workflow(passes={"genai": genai(**written)}, data_configs=None))

    assert found.manifest["spec"]["passes"] == [{"genai": options}]
    assert found.unmapped == []


@pytest.mark.parametrize("written", [
    {"metadata_only": True}, {"search": {"max_length": 64}}, {"use_qdq": True}, {"enable_cuda_graph": True},
    {"include_hidden_states": True}, {"int4_op_types_to_quantize": ["MatMul", "Gather"]}, {"int4_algo_config": "best"},
    {"extra_options": {"adapter_path": "x"}},
])  # fmt: skip
def test_an_option_of_the_builder_without_a_counterpart_blocks(written: dict[str, Any]):
    found = convert(workflow(passes={"genai": genai(**written)}, data_configs=None))

    (line,) = found.unmapped
    assert line.blocks
    assert line.path.startswith(f"passes.genai.{next(iter(written))}")


@pytest.mark.parametrize("written", [
    {"metadata_only": False}, {"search": {}}, {"use_qdq": False}, {"enable_cuda_graph": None}, {"int4_op_types_to_quantize": ["MatMul"]},
])  # fmt: skip
def test_an_option_of_the_builder_at_its_default_does_not(written: dict[str, Any]):
    assert convert(workflow(passes={"genai": genai(**written)}, data_configs=None)).unmapped == []


def test_the_builders_default_precision_is_olives():
    found = convert(workflow(passes={"genai": {"type": "ModelBuilder"}}, data_configs=None))

    assert found.manifest["spec"]["passes"] == [{"genai": {"precision": "fp32"}}]


def test_the_table_has_all_of_olives_passes():
    assert len(load().passes) == 81


@pytest.mark.parametrize(
    "name", [one.name for one in (*load().passes.values(), *load().older_passes.values()) if one.to is None]
)
def test_a_pass_without_a_counterpart_is_listed_and_keeps_the_workflow_from_running(name: str):
    found = convert(
        workflow(passes={"genai": genai(), "next": {"type": name, "config": {"depth": 3}}}, data_configs=None)
    )

    assert lines(found) == {"passes.next.type": True, "passes.next.config.depth": True}
    assert found.unmapped[0].why.startswith(f"{name} has no counterpart")
    assert found.manifest["spec"]["passes"] == [{"genai": {"precision": "int4"}}]
    assert not found.runnable


def test_the_exporter_of_zero_point_five_is_the_model_builder():
    passes = {"genai": {"type": "GenAIModelExporter", "config": {"precision": "fp16"}}}

    assert steps(passes, data_configs=None) == [{"genai": {"precision": "fp16"}}]


def test_the_first_flow_gives_order_and_choice():
    passes = {"merge": {"type": "MergeAdapterWeights"}, "lora": lora(), "genai": genai()}

    found = convert(workflow(passes=passes, pass_flows=[["lora", "merge"], ["genai"]]))

    assert [next(iter(step)) for step in found.manifest["spec"]["passes"]] == ["lora", "merge"]
    assert lines(found) == {"passes.genai.type": False, "passes.genai.precision": False, "pass_flows[1]": True}


@pytest.mark.parametrize(("key", "value", "blocks"), [
    ("host", {"type": "Docker", "config": {"local_docker_config": {"image_name": "i"}}}, False),
    ("evaluator", {"metrics": [{"name": "m"}]}, False),
    ("output_name", "adapter", False),
    ("clean_run_cache", True, False),
])  # fmt: skip
def test_what_surrounds_a_pass_is_listed(key: str, value: Any, blocks: bool):
    found = convert(workflow(passes={"lora": lora(**{key: value})}))

    assert found.unmapped
    assert all(line.path.startswith(f"passes.lora.{key}") and line.blocks is blocks for line in found.unmapped)


def test_a_mapping_in_place_of_a_value_is_listed():
    found = convert(workflow(passes={"lora": lora(r={"search_values": [8, 16]})}))

    assert lines(found) == {"passes.lora.r.search_values": True}


def test_both_names_of_one_option_are_not_both_taken():
    found = convert(workflow(passes={"lora": lora(r=8, lora_r=16)}))

    assert found.manifest["spec"]["passes"][0]["lora"]["r"] == 8
    assert lines(found) == {"passes.lora.lora_r": True}
