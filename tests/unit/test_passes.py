"""The built-in passes' options: what they accept, and what they refuse before anything is loaded."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from pydantic import ValidationError

from millwright_api.errors import InvalidManifest, InvalidModel
from millwright_api.v1alpha1 import Target
from millwright_runner.models import ModelFacts
from millwright_runner.passes.genai import Genai
from millwright_runner.passes.lora import Lora
from millwright_runner.passes.merge import Merge
from millwright_runner.passes.qlora import Qlora

CPU = Target.model_validate({"executionProvider": "CPUExecutionProvider"})
CUDA = Target.model_validate({"executionProvider": "CUDAExecutionProvider"})


def a_model(model_type: str = "phi3", **config: Any) -> ModelFacts:
    layers = {
        "model.embed_tokens.weight": (100, 8),
        "model.layers.0.self_attn.qkv_proj.weight": (24, 8),
        "model.layers.0.self_attn.o_proj.weight": (8, 8),
        "model.layers.0.mlp.gate_up_proj.weight": (32, 8),
        "model.layers.0.mlp.down_proj.weight": (8, 16),
        "model.layers.0.input_layernorm.weight": (8,),
        "lm_head.weight": (100, 8),
    }
    numbers = sum(a * (b[0] if b else 1) for a, *b in layers.values())
    return ModelFacts(
        where="models/tiny",
        config={"model_type": model_type, **config},
        tensors=layers,
        bytes=4 * numbers,
        files=4 * numbers + 1000,
    )


def lora(**options: Any) -> Lora:
    return Lora.model_validate({"trainData": "train", **options})


def test_lora_takes_all_the_options_of_the_field() -> None:
    pass_ = lora(
        r=8,
        alpha=16,
        dropout=0.1,
        bias="lora_only",
        targetModules=["o_proj"],
        modulesToSave=["lm_head"],
        useDora=True,
        useRslora=True,
        initialization="pissa",
        evalFraction=0.3,
        training={
            "seed": 1,
            "dataSeed": 2,
            "epochs": 1.5,
            "maxSteps": 10,
            "learningRate": 1e-3,
            "scheduler": "cosine",
            "warmupSteps": 3,
            "weightDecay": 0.1,
            "maxGradNorm": 0.3,
            "perDeviceTrainBatchSize": 4,
            "gradientAccumulationSteps": 2,
            "optimizer": "adafactor",
            "gradientCheckpointing": True,
            "dtype": "float32",
            "evalSteps": 5,
            "earlyStopping": {"patience": 2, "threshold": 0.01},
            "groupByLength": True,
            "labelSmoothing": 0.1,
        },
    )

    options = pass_.peft_options("phi3")

    assert options["lora_alpha"] == 16
    assert options["init_lora_weights"] == "pissa"
    assert options["use_dora"] is True
    assert pass_.training.sequences_per_step == 8


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"ranck": 8}, "Extra inputs"),
        ({"lora_r": 8}, "Extra inputs"),
        ({"r": 0}, "greater than or equal to 1"),
        ({"r": "64"}, "valid integer"),
        ({"dropout": 1.0}, "less than 1"),
        ({"alpha": 0}, "greater than 0"),
        ({"bias": "some"}, "'none', 'all' or 'lora_only'"),
        ({"evalFraction": 0.3, "evalSize": 10}, "at most one of"),
        ({"training": {"learningRate": -1e-4}}, "greater than 0"),
        ({"training": {"learning_rate": 1e-4}}, "Extra inputs"),
        ({"training": {"perDeviceTrainBatchSize": 0}}, "greater than or equal to 1"),
        ({"training": {"perDeviceTrainBatchSize": "largest"}}, "'auto'"),
        ({"training": {"warmupSteps": 5, "warmupRatio": 0.1}}, "both given"),
        ({"training": {"evalSteps": 5}}, "needs evaluation data"),
        ({"training": {"earlyStopping": {}}}, "needs evaluation data"),
        ({"training": {"optimizer": "adam"}}, "adamw_torch"),
        ({"training": {"maxSteps": 0}}, "greater than or equal to 1"),
        ({"trainData": None}, "valid string"),
    ],
)
def test_lora_refuses_nonsense(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError) as caught:
        lora(**options)

    assert said in str(caught.value)


@pytest.mark.parametrize("targets", [["o_proj", "qkv_proj"], ["self_attn.o_proj"], r".*\.mlp\..*", "all-linear", None])
def test_target_modules_may_be_names_a_pattern_all_linear_or_left_out(targets: Any) -> None:
    lora(targetModules=targets).check(a_model(), CPU)


@pytest.mark.parametrize("targets", [["q_proj"], ["o_proj", "v_proj"], r".*\.attention\..*", ["layernorm"]])
def test_target_modules_that_match_nothing_are_refused_with_what_exists(targets: Any) -> None:
    with pytest.raises(InvalidModel) as caught:
        lora(targetModules=targets).check(a_model(), CPU)

    assert caught.value.where == "targetModules"
    assert "down_proj, gate_up_proj, o_proj, qkv_proj" in str(caught.value)


def test_a_broken_pattern_is_named_as_such() -> None:
    with pytest.raises(InvalidModel, match="no regular expression"):
        lora(targetModules="(").check(a_model(), CPU)


def test_modules_to_save_must_exist() -> None:
    lora(modulesToSave=["lm_head", "embed_tokens"]).check(a_model(), CPU)
    with pytest.raises(InvalidModel, match="'lm_haed' matches no module"):
        lora(modulesToSave=["lm_haed"]).check(a_model(), CPU)


def test_the_default_targets_are_the_architectures_own() -> None:
    assert lora().targets("phi3") == ["o_proj", "qkv_proj"]
    assert lora().targets("llama") == ["q_proj", "v_proj"]
    assert lora().targets("an-architecture-of-next-year") == "all-linear"


def test_an_adapter_has_rank_times_inputs_and_outputs_numbers() -> None:
    assert lora(r=4, targetModules=["qkv_proj"]).adapter_parameters(a_model()) == 4 * (24 + 8)


def test_alpha_over_r_is_the_scale_also_when_alpha_is_no_whole_number() -> None:
    assert lora(alpha=0.5).peft_options("phi3")["lora_alpha"] == 0.5


def test_qlora_says_how_the_base_is_quantized() -> None:
    pass_ = Qlora.model_validate({"trainData": "train", "quantType": "fp4", "doubleQuant": True})

    assert pass_.quantization() == {
        "load_in_4bit": True,
        "bnb_4bit_quant_type": "fp4",
        "bnb_4bit_use_double_quant": True,
        "bnb_4bit_compute_dtype": "bfloat16",
    }


def test_qlora_refuses_a_base_that_is_quantized_already() -> None:
    with pytest.raises(InvalidModel, match="quantized already"):
        Qlora.model_validate({"trainData": "train"}).check(a_model(quantization_config={"bits": 4}), CPU)


def test_qlora_expects_less_memory_than_lora() -> None:
    facts = a_model()

    assert (
        Qlora.model_validate({"trainData": "t"}).estimate(facts).memory
        < lora(training={"dtype": "float32"}).estimate(facts).memory
    )


def test_bf16_is_refused_on_the_cpu_and_taken_on_cuda() -> None:
    pass_ = Genai.model_validate({"precision": "bf16"})

    pass_.check(a_model(), CUDA)
    with pytest.raises(InvalidManifest) as caught:
        pass_.check(a_model(), CPU)
    assert str(caught.value) == (
        "precision: bf16 does not run on CPUExecutionProvider (there: fp32, fp16, int8, int4; bf16 runs on CUDAExecutionProvider)"
    )


def test_fp16_with_grouped_heads_is_refused_on_the_cpu_alone() -> None:
    pass_, grouped = Genai.model_validate({"precision": "fp16"}), {"num_attention_heads": 32, "num_key_value_heads": 8}

    pass_.check(a_model(**grouped), CUDA)
    pass_.check(a_model(**grouped | {"num_key_value_heads": 32}), CPU)
    with pytest.raises(InvalidManifest) as caught:
        pass_.check(a_model(**grouped), CPU)
    assert str(caught.value) == (
        "precision: fp16 with grouped attention heads (8 for 32) does not run on CPUExecutionProvider (there: fp32, int8, int4)"
    )


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("blockSize", 64),
        ("accuracyLevel", 4),
        ("symmetric", False),
        ("algorithm", "rtn"),
        ("mixedPrecision", "last"),
        ("excludeNodes", ["/x"]),
    ],
)
def test_options_of_quantized_weights_are_not_ignored_elsewhere(option: str, value: Any) -> None:
    Genai.model_validate({"precision": "int4", option: value})

    with pytest.raises(ValidationError, match=rf"{option} goes with int4.*; precision is fp32"):
        Genai.model_validate({"precision": "fp32", option: value})


def test_the_builder_gets_what_was_asked_for_and_no_token() -> None:
    pass_ = Genai.model_validate(
        {"blockSize": 64, "symmetric": False, "mixedPrecision": "last", "excludeNodes": ["/a", "/b"]}
    )

    assert pass_.builder_options(trust_remote_code=False) == [
        "hf_token=false",
        "block_size=64",
        "is_symmetric=false",
        "matmul_mixed_precision=last_matmul:int8",
        "nodes_to_exclude=/a,/b",
        "hf_remote=false",
    ]


@pytest.mark.parametrize("kind", [Lora, Qlora, Merge, Genai])
def test_every_option_is_described_with_its_default(kind: Any) -> None:
    for name, info in kind.model_fields.items():
        assert info.description, f"{kind.name}.{name}"
        assert info.is_required() or "Default: " in info.description or name == "training", f"{kind.name}.{name}"


def test_the_passes_options_can_be_known_without_torch() -> None:
    code = (
        "import sys\n"
        "for name in ('torch', 'transformers', 'peft', 'onnxruntime_genai', 'boto3', 'datasets'): sys.modules[name] = None\n"
        "from millwright_runner import registry\n"
        "print([registry.get(name).name for name in registry.names() if registry.is_builtin(name)])\n"
    )

    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout

    assert said.strip() == "['genai', 'lora', 'merge', 'qlora']"


def test_the_embedding_is_expected_at_full_precision() -> None:
    facts = a_model()
    embedding = 100 * 8

    assert Genai().estimate(facts).disk == int((facts.parameters - embedding) * 4.5 / 8) + embedding * 4
