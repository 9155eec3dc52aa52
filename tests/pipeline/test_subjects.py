"""Models that answer: every format gives what plain transformers gives, one at a time or many at once."""

from __future__ import annotations

import contextlib
import gc
import json
import math
import os
import random
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from tests import tiny

from millwright_api.errors import InvalidData, InvalidModel
from millwright_api.v1alpha1 import Target
from millwright_runner.artifact import HF, HF_ADAPTER, ONNX_GENAI, Artifact
from millwright_runner.passes import StopFlag
from millwright_runner.passes.genai import Genai
from millwright_runner.subjects import Subject
from millwright_runner.subjects import batches as subject_batches
from millwright_runner.subjects.opening import open_subject

END, LAST = 1, 511  # the model's end token, which its config also names as padding; the last of its vocabulary
PROMPTS = [[7, 300, 21], [5] * 40, [260, END, 261, 262], [9], list(range(100, 117)), [END, 30], [LAST, 12, LAST]]
NEW = 12


def opened(artifact: Artifact, provider: str = "CPUExecutionProvider") -> Subject:
    return open_subject(artifact, provider=provider, trust_remote_code=False)


def built(source: Path, folder: Path, precision: str, provider: str = "CPUExecutionProvider") -> Artifact:
    """Converts a folder by the genai pass."""
    target = Target.model_validate({"executionProvider": provider})
    folder.mkdir()
    context: Any = SimpleNamespace(
        folder=folder, scratch=folder.parent / "scratch", target=target, trust_remote_code=False, stop=StopFlag(),
        tell=lambda message: None,
    )  # fmt: skip
    Genai(precision=precision).run(Artifact(source, HF, ""), context)
    return Artifact(folder, ONNX_GENAI, "")


def copied(artifact: Artifact, folder: Path, file: str, change: Callable[[dict[str, Any]], object]) -> Artifact:
    """A copy of an artifact with one of its configs changed."""
    shutil.copytree(artifact.folder, folder)
    config = json.loads((folder / file).read_text())
    change(config)
    (folder / file).write_text(json.dumps(config))
    return Artifact(folder, artifact.format, "")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Artifact]:
    """One weak model, which says something else wherever it is asked something else, in every format."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    folder = tmp_path_factory.mktemp("subjects")
    base = Artifact(tiny.make_model(folder / "hf", initializer_range=0.3), HF, "")
    torch.manual_seed(1)
    lora = LoraConfig(r=4, target_modules=["qkv_proj"], init_lora_weights=False)
    adapted = get_peft_model(AutoModelForCausalLM.from_pretrained(base.folder), lora)
    adapted.save_pretrained(folder / "adapter")
    adapted.merge_and_unload().save_pretrained(folder / "merged")
    tiny.make_tokenizer(folder / "merged")
    return {
        "hf": base,
        "adapter": Artifact(folder / "adapter", HF_ADAPTER, "", base=base),
        "merged": Artifact(folder / "merged", HF, ""),
        "fp32": built(base.folder, folder / "fp32", "fp32"),
        "int4": built(base.folder, folder / "int4", "int4"),
    }


@pytest.fixture(scope="module")
def plain(models: dict[str, Artifact]) -> Any:
    """The same model in plain transformers."""
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(models["hf"].folder, dtype="float32").eval()


def plain_log_probs(model: Any, ids: list[int]) -> Any:
    """By definition: the logarithm of the softmax of one sequence's logits, at the tokens that came."""
    import torch

    with torch.no_grad():
        probable = model(input_ids=torch.tensor([ids])).logits[0].double().softmax(dim=-1).log()
    return probable[torch.arange(len(ids) - 1), torch.tensor(ids[1:])].numpy()


def plain_answer(model: Any, ids: list[int], new_tokens: int = NEW) -> list[int]:
    """By definition: the likeliest token after all that came before, again and again."""
    import torch

    made = list(ids)
    with torch.no_grad():
        while len(made) < len(ids) + new_tokens:
            token = int(model(input_ids=torch.tensor([made])).logits[0, -1].argmax())
            if token == END:
                break
            made.append(token)
    return made[len(ids) :]


class TestAnswers:
    def test_they_are_those_of_plain_transformers(self, models: dict[str, Artifact], plain: Any) -> None:
        expected = [plain_answer(plain, prompt) for prompt in PROMPTS]

        assert len({tuple(answer) for answer in expected}) == len(PROMPTS), "the model says always the same"
        assert opened(models["hf"]).generate(PROMPTS, new_tokens=NEW, batch_size=4) == expected
        assert opened(models["fp32"]).generate(PROMPTS, new_tokens=NEW, batch_size=4) == expected

    @pytest.mark.parametrize("name", ["hf", "adapter", "fp32", "int4"])
    def test_many_at_once_answer_as_one_at_a_time(self, name: str, models: dict[str, Artifact]) -> None:
        model = opened(models[name])
        single = [model.generate([prompt], new_tokens=NEW, batch_size=1)[0] for prompt in PROMPTS]

        assert model.generate(PROMPTS, new_tokens=NEW, batch_size=len(PROMPTS)) == single
        assert model.generate(PROMPTS, new_tokens=NEW, batch_size=3) == single

    def test_an_adapter_on_a_base_of_four_bits_answers_many_at_once_as_one_at_a_time(
        self, models: dict[str, Artifact], tmp_path: Path
    ) -> None:
        from transformers import AutoModelForCausalLM, BitsAndBytesConfig

        four_bits = BitsAndBytesConfig(load_in_4bit=True)
        quantized = AutoModelForCausalLM.from_pretrained(models["hf"].folder, quantization_config=four_bits)
        quantized.save_pretrained(tmp_path / "base")
        tiny.make_tokenizer(tmp_path / "base")
        base = Artifact(tmp_path / "base", HF, "")
        model = opened(Artifact(models["adapter"].folder, HF_ADAPTER, "", base=base))

        answers = model.generate(PROMPTS, new_tokens=NEW, batch_size=4)

        assert answers == [model.generate([prompt], new_tokens=NEW, batch_size=1)[0] for prompt in PROMPTS]
        assert answers != opened(base).generate(PROMPTS, new_tokens=NEW, batch_size=4)

    def test_an_answer_in_int4_does_not_hang_on_how_many_are_asked_for(self, models: dict[str, Artifact]) -> None:
        model = opened(models["int4"])
        draw = random.Random(0)
        prompts = [[draw.randrange(512) for _ in range(draw.randrange(1, 40))] for _ in range(61)]

        answers = model.generate(prompts, new_tokens=NEW, batch_size=20)

        assert answers == [model.generate([prompt], new_tokens=NEW, batch_size=1)[0] for prompt in prompts]

    @pytest.mark.parametrize("name", ["adapter", "merged"])
    def test_an_adapter_answers_as_what_it_is_merged_into(self, name: str, models: dict[str, Artifact]) -> None:
        from transformers import AutoModelForCausalLM

        merged = AutoModelForCausalLM.from_pretrained(models["merged"].folder, dtype="float32").eval()

        answers = opened(models[name]).generate(PROMPTS, new_tokens=NEW, batch_size=8)

        assert answers == [plain_answer(merged, prompt) for prompt in PROMPTS]

    @pytest.mark.parametrize("name", ["hf", "fp32"])
    def test_more_than_genai_takes_at_once_are_answered_in_order(self, name: str, models: dict[str, Artifact]) -> None:
        model = opened(models[name])
        prompts = [[20 + index] * (1 + index % 5) for index in range(70)]

        answers = model.generate(prompts, new_tokens=2, batch_size=64)

        assert answers == [model.generate([prompt], new_tokens=2, batch_size=1)[0] for prompt in prompts]

    @pytest.mark.parametrize("name", ["hf", "fp32"])
    def test_nothing_asked_is_nothing_answered(self, name: str, models: dict[str, Artifact]) -> None:
        assert opened(models[name]).generate([], new_tokens=NEW, batch_size=4) == []

    @pytest.mark.parametrize(("name", "file"), [("hf", "generation_config.json"), ("fp32", "genai_config.json")])
    def test_they_are_greedy_whatever_the_folder_says(
        self, name: str, file: str, models: dict[str, Artifact], tmp_path: Path
    ) -> None:
        sampling = {"do_sample": True, "temperature": 3.0, "repetition_penalty": 5.0, "no_repeat_ngram_size": 1}
        wild = copied(
            models[name], tmp_path / "wild", file, lambda config: config.get("search", config).update(sampling)
        )

        answers = opened(wild).generate(PROMPTS, new_tokens=NEW, batch_size=4)

        assert answers == opened(models[name]).generate(PROMPTS, new_tokens=NEW, batch_size=4)

    def test_an_adapters_are_greedy_whatever_its_base_says(self, models: dict[str, Artifact], tmp_path: Path) -> None:
        sampling = {"do_sample": True, "temperature": 3.0, "repetition_penalty": 5.0}
        base = copied(models["hf"], tmp_path / "wild", "generation_config.json", lambda config: config.update(sampling))
        wild = Artifact(models["adapter"].folder, HF_ADAPTER, "", base=base)

        answers = opened(wild).generate(PROMPTS, new_tokens=NEW, batch_size=4)

        assert answers == opened(models["merged"]).generate(PROMPTS, new_tokens=NEW, batch_size=4)


class TestWhereAnswersEnd:
    @pytest.mark.parametrize(("name", "file"), [("hf", "generation_config.json"), ("fp32", "genai_config.json")])
    def test_before_any_end_token_that_the_model_names(
        self, name: str, file: str, models: dict[str, Artifact], tmp_path: Path
    ) -> None:
        whole = opened(models[name]).generate(PROMPTS, new_tokens=NEW, batch_size=8)
        ends = [whole[0][5], whole[1][3]]
        ending = copied(
            models[name], tmp_path / "e", file, lambda config: config.get("model", config).update(eos_token_id=ends)
        )

        model = opened(ending)
        answers = model.generate(PROMPTS, new_tokens=NEW, batch_size=8)

        assert model.end == {END, *ends}
        assert [len(answer) for answer in answers[:2]] == [whole[0].index(ends[0]), whole[1].index(ends[1])]
        assert all(answer == full[: len(answer)] for answer, full in zip(answers, whole, strict=True))

    @pytest.mark.parametrize("name", ["hf", "fp32"])
    @pytest.mark.parametrize("batch_size", [1, 8])
    def test_after_a_sequence_to_stop_after(self, name: str, batch_size: int, models: dict[str, Artifact]) -> None:
        model = opened(models[name])
        whole = model.generate(PROMPTS, new_tokens=NEW, batch_size=8)
        stop = [whole[0][2:4], whole[1][4:7]]

        answers = model.generate(PROMPTS, new_tokens=NEW, batch_size=batch_size, stop=stop)

        assert [answers[0], answers[1]] == [whole[0][:4], whole[1][:7]]
        assert all(answer == full[: len(answer)] for answer, full in zip(answers, whole, strict=True))

    @pytest.mark.parametrize("name", ["hf", "adapter", "fp32"])
    def test_an_answer_that_is_streamed_is_the_same(self, name: str, models: dict[str, Artifact]) -> None:
        model = opened(models[name])
        whole = model.generate([PROMPTS[4]], new_tokens=NEW, batch_size=1)[0]

        assert list(model.stream(PROMPTS[4], new_tokens=NEW)) == whole

    @pytest.mark.parametrize(("name", "file"), [("hf", "generation_config.json"), ("fp32", "genai_config.json")])
    def test_a_stream_ends_before_the_end_token(
        self, name: str, file: str, models: dict[str, Artifact], tmp_path: Path
    ) -> None:
        whole = opened(models[name]).generate([PROMPTS[0]], new_tokens=NEW, batch_size=1)[0]
        ending = copied(
            models[name], tmp_path / "e", file, lambda config: config.get("model", config).update(eos_token_id=whole[5])
        )

        assert list(opened(ending).stream(PROMPTS[0], new_tokens=NEW)) == whole[: whole.index(whole[5])]


class TestScores:
    @pytest.mark.parametrize(("name", "tolerance"), [("hf", 1e-4), ("fp32", 1e-4)])
    @pytest.mark.parametrize("batch_size", [1, 8])
    def test_they_are_those_of_plain_transformers(
        self, name: str, tolerance: float, batch_size: int, models: dict[str, Artifact], plain: Any
    ) -> None:
        sequences = [prompt for prompt in PROMPTS if len(prompt) > 1]

        scores = opened(models[name]).log_probs(sequences, batch_size=batch_size)

        for found, sequence in zip(scores, sequences, strict=True):
            assert found.dtype == np.float32
            assert found == pytest.approx(plain_log_probs(plain, sequence), abs=tolerance)

    @pytest.mark.parametrize(("name", "tolerance"), [("hf", 1e-4), ("fp32", 1e-4)])
    @pytest.mark.parametrize("positions", [2, 3, 16])
    def test_a_text_whose_logits_would_fill_the_memory_is_scored_in_pieces(
        self, name: str, tolerance: float, positions: int, models: dict[str, Artifact], plain: Any,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:  # fmt: skip
        monkeypatch.setattr(subject_batches, "LOGITS_BYTES", 4 * 512 * positions)

        scores = opened(models[name]).log_probs([PROMPTS[4], PROMPTS[1]], batch_size=8)

        assert scores[0] == pytest.approx(plain_log_probs(plain, PROMPTS[4]), abs=tolerance)
        assert scores[1] == pytest.approx(plain_log_probs(plain, PROMPTS[1]), abs=tolerance)

    def test_an_adapter_scores_as_what_it_is_merged_into(self, models: dict[str, Artifact]) -> None:
        sequences = [PROMPTS[0], PROMPTS[4]]
        merged = opened(models["merged"]).log_probs(sequences, batch_size=8)
        base = opened(models["hf"]).log_probs(sequences, batch_size=8)

        scores = opened(models["adapter"]).log_probs(sequences, batch_size=8)

        for found, expected, without in zip(scores, merged, base, strict=True):
            assert found == pytest.approx(expected, abs=1e-4)
            assert np.abs(found - without).max() > 0.01, "the adapter changes nothing"

    def test_int4_scores_many_at_once_as_one_at_a_time(self, models: dict[str, Artifact]) -> None:
        model = opened(models["int4"])
        sequences = [prompt for prompt in PROMPTS if len(prompt) > 1]
        single = [model.log_probs([sequence], batch_size=1)[0] for sequence in sequences]

        scores = model.log_probs(sequences, batch_size=8)

        for found, expected in zip(scores, single, strict=True):
            assert found == pytest.approx(expected, abs=1e-4)


class TestTimes:
    @pytest.mark.parametrize("name", ["hf", "adapter", "fp32", "int4"])
    def test_each_token_takes_time(self, name: str, models: dict[str, Artifact]) -> None:
        timing = opened(models[name]).timed([[5] * 16] * 2, new_tokens=6)

        assert timing.first > 0
        assert len(timing.following) == 5
        assert min(timing.following) > 0

    @pytest.mark.parametrize(("name", "file"), [("hf", "generation_config.json"), ("fp32", "genai_config.json")])
    def test_an_end_token_does_not_stop_it(
        self, name: str, file: str, models: dict[str, Artifact], tmp_path: Path
    ) -> None:
        first = opened(models[name]).generate([PROMPTS[0]], new_tokens=1, batch_size=1)[0]
        ending = copied(
            models[name], tmp_path / "e", file, lambda config: config.get("model", config).update(eos_token_id=first)
        )
        assert opened(ending).generate([PROMPTS[0]], new_tokens=4, batch_size=1) == [[]]

        assert len(opened(ending).timed([PROMPTS[0]], new_tokens=4).following) == 3


class TestWhatAModelCanTake:
    @pytest.mark.parametrize("name", ["hf", "adapter", "fp32"])
    def test_a_prompt_and_its_answer_may_fill_it_and_not_more(self, name: str, models: dict[str, Artifact]) -> None:
        model = opened(models[name])

        assert len(model.log_probs([[5] * 512], batch_size=1)[0]) == 511
        assert len(model.generate([[5] * 509], new_tokens=3, batch_size=1)[0]) <= 3
        with pytest.raises(InvalidData, match="which is 512"):
            model.generate([[5] * 510], new_tokens=3, batch_size=1)
        with pytest.raises(InvalidData, match="which is 512"):
            model.log_probs([[5] * 513], batch_size=1)
        with pytest.raises(InvalidData, match="which is 512"):
            model.timed([[5] * 510], new_tokens=3)

    @pytest.mark.parametrize("name", ["hf", "fp32"])
    def test_another_models_token_is_refused(self, name: str, models: dict[str, Artifact]) -> None:
        with pytest.raises(InvalidModel, match="gives the token 512, and the model knows 512"):
            opened(models[name]).generate([[512]], new_tokens=1, batch_size=1)

    def test_what_genai_cannot_load_is_said(self, models: dict[str, Artifact], tmp_path: Path) -> None:
        torn = copied(models["fp32"], tmp_path / "torn", "genai_config.json", lambda config: None)
        (torn.folder / "model.onnx").write_bytes(b"not a model")

        with pytest.raises(InvalidModel, match="onnxruntime-genai cannot load it on cpu"):
            opened(torn).generate([[5]], new_tokens=1, batch_size=1)

    def test_what_genai_cannot_run_is_said(self, models: dict[str, Artifact], tmp_path: Path) -> None:
        halved = built(models["hf"].folder, tmp_path / "fp16", "fp16")  # 0.18 breaks on grouped heads there

        with pytest.raises(InvalidModel, match="fp16: onnxruntime-genai cannot run it on cpu: Non-zero status"):
            opened(halved).generate([[5]], new_tokens=3, batch_size=1)


@pytest.fixture(scope="module")
def broken(models: dict[str, Artifact], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Artifact]:
    """A model whose weights that are no numbers, as a training that diverged leaves them."""
    import torch
    from safetensors.torch import load_file, save_file

    folder = tmp_path_factory.mktemp("broken") / "hf"
    shutil.copytree(models["hf"].folder, folder)
    weights = load_file(folder / "model.safetensors")
    weights["lm_head.weight"] = torch.full_like(weights["lm_head.weight"], math.nan)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return {"hf": Artifact(folder, HF, ""), "fp32": built(folder, folder.parent / "fp32", "fp32")}


class TestABrokenModel:
    @pytest.mark.parametrize("name", ["hf", "fp32"])
    def test_it_is_asked_without_a_word(
        self, name: str, broken: dict[str, Artifact], capfd: pytest.CaptureFixture[str]
    ) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            model = opened(broken[name])
            answers = model.generate(PROMPTS, new_tokens=3, batch_size=4)
            scores = model.log_probs([PROMPTS[0], PROMPTS[1]], batch_size=4)
            timing = model.timed([PROMPTS[0]], new_tokens=3)

        assert len(answers) == len(PROMPTS)
        assert all(np.isnan(score).all() for score in scores)
        assert len(timing.following) == 2
        assert capfd.readouterr() == ("", "")


class TestWhereItRuns:
    def test_genai_may_tell_its_makers_nothing(
        self, models: dict[str, Artifact], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("ORT_DISABLE_TELEMETRY", "0")

        opened(models["fp32"]).generate([[5]], new_tokens=1, batch_size=1)

        assert os.environ["ORT_DISABLE_TELEMETRY"] == "1"

    @pytest.mark.parametrize("name", ["hf", "fp32"])
    def test_it_says_on_what_it_computes(self, name: str, models: dict[str, Artifact]) -> None:
        import torch

        expected = "cuda" if name == "hf" and torch.cuda.is_available() else "cpu"

        assert opened(models[name]).device == expected

    def test_genai_computes_with_as_many_threads_as_the_container_has_cores(
        self, models: dict[str, Artifact], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def started(threads: int) -> int:
            monkeypatch.setenv("OMP_NUM_THREADS", str(threads))
            gc.collect()  # models of other tests end their threads
            before = len(list(Path("/proc/self/task").iterdir()))
            with contextlib.closing(opened(models["int4"])) as subject:
                subject.generate([[7]], new_tokens=1, batch_size=1)
                return len(list(Path("/proc/self/task").iterdir())) - before

        assert started(5) - started(2) == 3

    @pytest.mark.parametrize(("provider", "precision"), [
        ("CUDAExecutionProvider", "fp16"), ("DmlExecutionProvider", "fp16"), ("WebGpuExecutionProvider", "fp32"),
    ])  # fmt: skip
    def test_a_model_for_a_device_that_is_not_here_runs_on_the_cpu(
        self, provider: str, precision: str, models: dict[str, Artifact], plain: Any, tmp_path: Path
    ) -> None:
        model = opened(built(models["hf"].folder, tmp_path / "elsewhere", precision, provider), provider)

        device, scores = model.device, model.log_probs([PROMPTS[0], PROMPTS[4]], batch_size=4)

        assert device == "cpu"
        for found, prompt in zip(scores, (PROMPTS[0], PROMPTS[4]), strict=True):
            assert found == pytest.approx(plain_log_probs(plain, prompt), abs=1e-4 if precision == "fp32" else 0.1)

    @pytest.mark.parametrize("name", ["hf", "adapter", "fp32"])
    def test_a_closed_model_is_loaded_again_by_the_next_question(self, name: str, models: dict[str, Artifact]) -> None:
        model = opened(models[name])
        before = model.generate(PROMPTS, new_tokens=3, batch_size=4)

        model.close()
        model.close()

        assert model.generate(PROMPTS, new_tokens=3, batch_size=4) == before
