"""Passes on real models: what each chain makes loads, and computes what it should."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests import tiny
from tests.conftest import S3Bucket
from tests.pipeline.jobs import Here, job, lora

import millwright_runner.passes.lora as lora_module
from millwright_api.errors import PassFailed
from millwright_runner.digests import DigestMemo
from millwright_runner.published import read_published
from millwright_runner.stores import open_store
from millwright_runner.trees import fetch_tree

PROMPT = "The old man looked at the storm"


def genai_logits(folder: Path) -> Any:
    """Logits of the prompt's tokens by onnxruntime-genai, shape (tokens, vocabulary)."""
    import onnxruntime_genai as og

    model = og.Model(str(folder))
    tokens = og.Tokenizer(model).encode(PROMPT)
    params = og.GeneratorParams(model)
    params.set_search_options(max_length=64)
    generator = og.Generator(model, params)
    generator.append_tokens(tokens)
    return np.asarray(generator.get_output("logits"))[0]


def torch_logits(model: Any, folder: Path) -> Any:
    """The same by transformers."""
    import torch
    from tokenizers import Tokenizer

    ids = Tokenizer.from_file(str(folder / "tokenizer.json")).encode(PROMPT).ids
    with torch.no_grad():
        return model.eval()(input_ids=torch.tensor([ids])).logits[0].float().numpy()


def load(folder: Path) -> Any:
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(folder, dtype="float32")


def adapted(base: Path, adapter: Path) -> Any:
    from peft import PeftModel

    return PeftModel.from_pretrained(load(base), str(adapter))


@pytest.mark.parametrize("family", ["phi3", "llama", "qwen2"])
def test_every_family_is_tuned_merged_and_computes_the_same_in_genai(
    family: str, rows: Path, here: Here, tmp_path: Path
) -> None:
    model = tiny.make_model(tmp_path / family, family)

    here.run(job(model, rows, "out", lora(), {"merge": {}}, {"genai": {"precision": "fp32"}}))
    here.run(job(model, rows, "adapter", lora()), cache=tmp_path / "out")

    expected = torch_logits(adapted(model, tmp_path / "adapter" / "model"), model)
    assert np.abs(expected - torch_logits(load(model), model)).max() > 1e-2, "the training changed nothing"
    assert genai_logits(tmp_path / "out" / "model") == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("options", [{"useDora": True}, {"useRslora": True}, {"initialization": "pissa"}, {"initialization": "olora"},
                                     {"initialization": "gaussian", "modulesToSave": ["lm_head"]}, {"bias": "all"}])  # fmt: skip
def test_merging_any_kind_of_adapter_changes_nothing_it_computes(
    options: dict[str, Any], phi3: Path, rows: Path, here: Here, tmp_path: Path
) -> None:
    here.run(job(phi3, rows, "merged", lora(**options), {"merge": {}}))
    here.run(job(phi3, rows, "adapter", lora(**options)), cache=tmp_path / "merged")

    merged = torch_logits(load(tmp_path / "merged" / "model"), phi3)

    assert merged == pytest.approx(torch_logits(adapted(phi3, tmp_path / "adapter" / "model"), phi3), abs=2e-4)


@pytest.mark.parametrize(("precision", "options"), [
    ("int4", {}), ("int4", {"blockSize": 16, "algorithm": "k_quant"}), ("int4", {"symmetric": False, "mixedPrecision": "last"}),
    ("int4", {"accuracyLevel": 1, "excludeNodes": ["/lm_head/MatMul"]}), ("int8", {}), ("fp32", {}),
])  # fmt: skip
def test_every_precision_loads_on_the_cpu_and_stays_close_to_the_model(
    precision: str, options: dict[str, Any], phi3: Path, rows: Path, here: Here, tmp_path: Path
) -> None:
    here.run(job(phi3, rows, "out", {"genai": {"precision": precision, **options}}))

    expected = torch_logits(load(phi3), phi3)
    correlation = np.corrcoef(genai_logits(tmp_path / "out" / "model").ravel(), expected.ravel())[0, 1]
    assert correlation > {"int4": 0.95, "int8": 0.999, "fp32": 0.999999}[precision]


@pytest.mark.parametrize(("provider", "precision"), [
    ("CUDAExecutionProvider", "int4"), ("CUDAExecutionProvider", "bf16"), ("DmlExecutionProvider", "int4"), ("WebGpuExecutionProvider", "int4"),
])  # fmt: skip
def test_models_for_other_devices_are_built_here(
    provider: str, precision: str, phi3: Path, rows: Path, here: Here, tmp_path: Path
) -> None:
    here.run(job(phi3, rows, "out", {"genai": {"precision": precision}}, target={"executionProvider": provider}))

    config = json.loads((tmp_path / "out" / "model" / "genai_config.json").read_text())
    named = {"CUDAExecutionProvider": "cuda", "DmlExecutionProvider": "dml", "WebGpuExecutionProvider": "webgpu"}
    providers = [next(iter(p)).lower() for p in config["model"]["decoder"]["session_options"]["provider_options"]]
    assert providers == [named[provider]]


def test_fp16_runs_on_the_cpu_where_no_heads_are_grouped(rows: Path, here: Here, tmp_path: Path) -> None:
    whole = tiny.make_model(tmp_path / "whole", num_key_value_heads=tiny.SHAPE["num_attention_heads"])

    here.run(job(whole, rows, "out", {"genai": {"precision": "fp16"}}))

    expected = torch_logits(load(whole), whole)
    assert np.corrcoef(genai_logits(tmp_path / "out" / "model").ravel(), expected.ravel())[0, 1] > 0.9999


def test_a_model_published_to_s3_is_loaded_by_genai(
    phi3: Path, rows: Path, here: Here, tmp_path: Path, s3: S3Bucket
) -> None:
    here.run(job(phi3, rows, f"{s3.uri}models/x/", lora(), {"merge": {}}, {"genai": {"precision": "int4"}}))
    here.run(job(phi3, rows, "local", lora(), {"merge": {}}, {"genai": {"precision": "int4"}}))

    store = open_store(s3.location("models/x/"))
    published = read_published(store)
    assert published is not None
    fetched = fetch_tree(store, published.tree, tmp_path / "fetched", DigestMemo(tmp_path / "memo"))
    assert genai_logits(fetched) == pytest.approx(genai_logits(tmp_path / "local" / "model"), abs=1e-5)


def test_a_model_does_not_carry_the_commit_of_the_repository_it_was_made_in(
    phi3: Path, rows: Path, here: Here, tmp_path: Path
) -> None:
    import onnx
    from onnxruntime_genai import __version__

    here.run(job(phi3, rows, "out", {"genai": {"precision": "fp32"}}))

    head = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False).stdout.strip()
    stamp = onnx.load(str(tmp_path / "out" / "model" / "model.onnx"), load_external_data=False).producer_version
    assert stamp.startswith(__version__)
    assert not head or head[:7] not in stamp


def test_smaller_precisions_make_smaller_models(phi3: Path, rows: Path, here: Here, tmp_path: Path) -> None:
    sizes = {}
    for precision in ("int4", "int8", "fp32"):
        report = here.run(job(phi3, rows, precision, {"genai": {"precision": precision}}), cache=tmp_path / "cache")
        assert report.artifact is not None
        sizes[precision] = report.artifact.bytes

    assert sizes["int4"] < sizes["int8"] < sizes["fp32"]


def test_a_second_round_of_tuning_starts_from_the_first_ones_result(
    phi3: Path, rows: Path, here: Here, tmp_path: Path
) -> None:
    once = [lora(), {"merge": {}}]
    twice = [*once, {**lora(training={"seed": 1}), "name": "again"}, {"merge": {}, "name": "merge-again"}]

    here.run(job(phi3, rows, "once", *once))
    report = here.run(job(phi3, rows, "twice", *twice), cache=tmp_path / "once")

    assert [p.cache for p in report.passes] == ["Hit", "Hit", "Miss", "Miss"]
    assert (
        np.abs(
            torch_logits(load(tmp_path / "twice" / "model"), phi3)
            - torch_logits(load(tmp_path / "once" / "model"), phi3)
        ).max()
        > 1e-3
    )


@pytest.mark.parametrize(
    "options", [{}, {"quantType": "fp4", "doubleQuant": True, "training": {"optimizer": "paged_adamw_8bit"}}]
)
def test_qlora_trains_on_four_bits_and_merges_into_the_full_base(
    options: dict[str, Any], phi3: Path, rows: Path, here: Here, tmp_path: Path
) -> None:
    step = {"qlora": lora(targetModules="all-linear", **options)["lora"]}

    report = here.run(job(phi3, rows, "out", step, {"merge": {}}, {"genai": {"precision": "int4"}}))
    here.run(job(phi3, rows, "merged", step, {"merge": {}}), cache=tmp_path / "out")

    merged = json.loads((tmp_path / "merged" / "model" / "config.json").read_text())
    assert report.artifact is not None
    assert "quantization_config" not in merged
    assert genai_logits(tmp_path / "out" / "model").shape[1] == 512


def test_an_adapter_names_no_path_of_the_machine_that_made_it(
    phi3: Path, rows: Path, here: Here, tmp_path: Path
) -> None:
    here.run(job(phi3, rows, "out", lora()))

    for file in (tmp_path / "out" / "model").iterdir():
        assert str(tmp_path).encode() not in file.read_bytes(), file.name
        assert str(phi3).encode() not in file.read_bytes(), file.name


def test_the_default_targets_are_pefts(phi3: Path) -> None:
    from peft.utils.constants import TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING as THEIRS

    ours = {name: targets for name, targets in lora_module.DEFAULT_TARGETS.items() if name not in {"phi3", "falcon"}}

    assert "phi3" not in THEIRS, "peft knows phi3 now: take its word"
    assert ours == {name: THEIRS[name] for name in ours}


def test_a_pass_that_breaks_says_which_and_leaves_no_model(phi3: Path, rows: Path, here: Here, tmp_path: Path) -> None:
    config = json.loads((phi3 / "config.json").read_text())
    broken = tmp_path / "broken"
    broken.mkdir()
    for file in phi3.iterdir():
        (broken / file.name).write_bytes(file.read_bytes())
    (broken / "config.json").write_text(json.dumps(config | {"num_attention_heads": 0}))

    with pytest.raises(PassFailed, match=r"spec.passes\[0\].genai: genai failed"):
        here.run(job(broken, rows, "out", {"genai": {}}))

    assert not (tmp_path / "out" / "manifest.json").exists()
