"""Metrics of quality on a real model: perplexity and accuracy are those that plain transformers gives, in every format."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tests import tiny
from tests.tablemodel import Room, examples_of

from millwright_api.v1alpha1 import Target
from millwright_runner.artifact import HF, ONNX_GENAI, Artifact
from millwright_runner.data.tokens import Tokens, load_tokens
from millwright_runner.metrics import Example, Measured, Metric
from millwright_runner.metrics.exact_match import ExactMatch
from millwright_runner.metrics.f1 import F1
from millwright_runner.metrics.perplexity import Perplexity
from millwright_runner.passes import StopFlag
from millwright_runner.passes.genai import Genai
from millwright_runner.subjects.opening import open_subject

CUES = {"laughed about": "joy", "wept over": "sadness", "ran away from": "fear", "looked at": "calm"}
LABELS = ["joy", "sadness", "fear", "calm", "noise"]
ROWS = [{"phrase": phrase, "tone": tone} for phrase in tiny.PHRASES for cue, tone in CUES.items() if cue in phrase]
HELD = [row | {"tone": "noise" if index % 4 == 3 else row["tone"]} for index, row in enumerate(ROWS[::3])]
"""What is measured on: phrases that the model has not seen, every fourth with an answer that nobody could know."""

PROMPT = "Text: {phrase}\nTone:\n"


def opened(artifact: Artifact) -> Any:
    return open_subject(artifact, provider="CPUExecutionProvider", trust_remote_code=False)


@pytest.fixture(scope="module")
def hf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that has learned the task by half."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = tiny.make_model(tmp_path_factory.mktemp("quality") / "hf")
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    texts = [PROMPT.format(**row) + row["tone"] + "\n" for index, row in enumerate(ROWS) if index % 3]
    torch.manual_seed(0)
    for _ in range(75):
        batch = tokenizer([texts[at] for at in torch.randperm(len(texts))[:16]], return_tensors="pt", padding=True)
        labels = batch.input_ids.masked_fill(batch.attention_mask == 0, -100)
        model(**batch, labels=labels).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def artifacts(hf: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Artifact]:
    """The model as it is, and as the genai pass writes it."""
    folder = tmp_path_factory.mktemp("fp32")
    context: Any = SimpleNamespace(
        folder=folder, scratch=folder / "scratch", target=Target(), trust_remote_code=False, stop=StopFlag(),
        tell=lambda message: None,
    )  # fmt: skip
    Genai(precision="fp32").run(Artifact(hf, HF, ""), context)
    return {HF: Artifact(hf, HF, ""), ONNX_GENAI: Artifact(folder, ONNX_GENAI, "")}


@pytest.fixture(scope="module")
def held(hf: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Tokens, list[Example]]:
    """The held out rows as examples."""
    folder, tokens = tmp_path_factory.mktemp("rows"), load_tokens(hf)
    return tokens, examples_of(
        folder, tokens, HELD, columns=["phrase", "tone"], template=PROMPT + "{tone}\n", answer="tone"
    )


@pytest.fixture(params=[HF, ONNX_GENAI])
def room(
    request: pytest.FixtureRequest, artifacts: dict[str, Artifact], held: tuple[Tokens, list[Example]]
) -> Iterator[Room]:
    """What a metric gets: the model in one format, and the held out rows."""
    model = opened(artifacts[request.param])
    yield Room(model, *held)
    model.close()


class Plain:
    """The same questions to transformers alone, one row at a time."""

    def __init__(self, folder: Path) -> None:
        from transformers import AutoModelForCausalLM, AutoTokenizer

        self.model = AutoModelForCausalLM.from_pretrained(folder, dtype="float32").eval()
        self.tokenizer = AutoTokenizer.from_pretrained(folder)

    def ids(self, text: str) -> list[int]:
        return list(self.tokenizer(text).input_ids)

    def surprises(self, ids: list[int]) -> list[float]:
        """The negative log-likelihood of each token but the first."""
        import torch

        with torch.no_grad():
            logits = self.model(input_ids=torch.tensor([ids])).logits[0, :-1].double()
        return [
            float(one) for one in torch.nn.functional.cross_entropy(logits, torch.tensor(ids[1:]), reduction="none")
        ]

    @functools.cached_property
    def answers(self) -> list[str]:
        """What greedy search writes after each prompt, up to the line's end."""
        return [self._answer(prompt_of(row)) for row in HELD]

    @functools.cached_property
    def labels(self) -> list[str]:
        """The label of the least surprise after each prompt."""
        return [self._label(prompt_of(row)) for row in HELD]

    def _answer(self, prompt: str) -> str:
        batch = self.tokenizer(prompt, return_tensors="pt")
        made = self.model.generate(**batch, max_new_tokens=16, do_sample=False)[0, batch.input_ids.shape[1] :]
        return str(self.tokenizer.decode(made, skip_special_tokens=True)).split("\n")[0].strip()

    def _label(self, prompt: str) -> str:
        before = len(self.ids(prompt)) - 1
        return min(LABELS, key=lambda label: sum(self.surprises(self.ids(prompt + label))[before:]))


@pytest.fixture(scope="module")
def plain(hf: Path) -> Plain:
    return Plain(hf)


def prompt_of(row: dict[str, str]) -> str:
    return PROMPT.format(**row)


def text_of(row: dict[str, str]) -> str:
    return prompt_of(row) + row["tone"] + "\n"


def measured(kind: type[Metric], room: Room, **options: Any) -> Measured:
    return kind.model_validate(options).measure(room.model, room)


class TestAgainstPlainTransformers:
    def test_perplexity_of_all_tokens(self, room: Room, plain: Plain) -> None:
        told = [one for row in HELD for one in plain.surprises(plain.ids(text_of(row)))]

        found = measured(Perplexity, room)

        assert found.value == pytest.approx(math.exp(sum(told) / len(told)), rel=1e-4)
        assert found.details == {"tokens": len(told)}

    def test_perplexity_of_the_answer(self, room: Room, plain: Plain) -> None:
        told: list[float] = []
        for row in HELD:
            told += plain.surprises(plain.ids(text_of(row)))[len(plain.ids(prompt_of(row))) - 1 :]

        found = measured(Perplexity, room, of="answer")

        assert found.value == pytest.approx(math.exp(sum(told) / len(told)), rel=1e-4)
        assert found.details == {"tokens": len(told)}

    def test_perplexity_in_windows(self, room: Room, plain: Plain) -> None:
        told: list[float] = []
        for row in HELD:
            ids = plain.ids(text_of(row))
            for begin in range(0, max(1, len(ids) - 4), 4):
                told += plain.surprises(ids[begin : begin + 8])[3 if begin else 0 :]

        found = measured(Perplexity, room, maxLength=8)

        assert found.value == pytest.approx(math.exp(sum(told) / len(told)), rel=1e-4)
        assert found.value != pytest.approx(measured(Perplexity, room).value, rel=1e-3)

    def test_accuracy_of_free_answers(self, room: Room, plain: Plain) -> None:
        right = [answer == row["tone"] for answer, row in zip(plain.answers, HELD, strict=True)]

        found = measured(ExactMatch, room, maxNewTokens=16)

        assert 0 < sum(right) < len(right), "the model is always right or never: nothing could differ"
        assert found.scores == tuple(map(float, right))
        assert found.value == pytest.approx(sum(right) / len(right), abs=1e-4)

    def test_accuracy_of_labels(self, room: Room, plain: Plain) -> None:
        found = measured(ExactMatch, room, labels=LABELS)

        assert len(set(plain.labels)) > 1, "the model says always the same"
        assert [sample.answer for sample in found.samples] == plain.labels[:8]
        assert found.scores == tuple(float(row["tone"] == label) for row, label in zip(HELD, plain.labels, strict=True))

    def test_f1_of_labels(self, room: Room, plain: Plain) -> None:
        scores = []
        for label in LABELS:
            hits = sum(one == label == row["tone"] for one, row in zip(plain.labels, HELD, strict=True))
            scores.append(2 * hits / (plain.labels.count(label) + sum(row["tone"] == label for row in HELD)))

        assert measured(F1, room, labels=LABELS).value == pytest.approx(sum(scores) / len(scores), abs=1e-4)


def test_a_model_of_no_numbers_is_measured_all_the_same(
    hf: Path, held: tuple[Tokens, list[Example]], tmp_path: Path
) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(hf)
    torch.nn.init.constant_(model.lm_head.weight, math.nan)
    model.save_pretrained(tmp_path / "broken")
    tiny.make_tokenizer(tmp_path / "broken")
    there = Room(opened(Artifact(tmp_path / "broken", HF, "")), *held)

    assert math.isnan(measured(Perplexity, there).value)
    assert measured(ExactMatch, there, labels=LABELS).value == 0
    assert measured(ExactMatch, there).value == 0
    assert measured(F1, there).value == 0
