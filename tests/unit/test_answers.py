"""Asking a model: free answers, and labels by their probability."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.tablemodel import TableModel, examples_of
from tests.unit.test_data_tokenizers import MAKES, folder_of, llama_2, t5
from tests.unit.test_examples import ROWS, TONE, tokens_with
from tokenizers import Tokenizer, normalizers, pre_tokenizers

from millwright_api.errors import InvalidData, Stopped
from millwright_runner.data.tokens import Tokens, load_tokens
from millwright_runner.evaluation.answers import answers
from millwright_runner.metrics import Asking, Example

LABELS = ("sad", "joy", "fear")
FREE = Asking(new_tokens=32, stop=("\n",))
CHOICE = Asking(new_tokens=1, labels=LABELS)


def go_on() -> None:
    """Nobody asked for a stop."""


def asked(model: TableModel, examples: list[Example], tokens: Tokens, asking: Asking = FREE) -> list[str]:
    return answers(model, examples, tokens, asking, go_on)


def says(examples: list[Example], *texts: str) -> dict[str, str]:
    return {example.prompt: text for example, text in zip(examples, texts, strict=True)}


class TestFreeAnswers:
    def test_they_are_what_the_model_writes_after_each_prompt_in_order(self, tmp_path: Path) -> None:
        tokens = tokens_with(tmp_path)
        examples = examples_of(tmp_path, tokens, ROWS, **TONE)
        model = TableModel(tokens, says(examples, "deeply sad", "fear 🎉"))

        assert asked(model, examples, tokens) == ["deeply sad", "fear 🎉"]

    def test_they_end_before_the_first_stop(self, tmp_path: Path) -> None:
        tokens = tokens_with(tmp_path)
        examples = examples_of(tmp_path, tokens, ROWS, **TONE)
        model = TableModel(tokens, says(examples, "sad.\nText: more", "fear###\n"))

        asking = Asking(new_tokens=32, stop=("\n", "###"))

        assert asked(model, examples, tokens, asking) == ["sad.", "fear"]

    def test_without_a_stop_they_go_on_to_their_end(self, tmp_path: Path) -> None:
        tokens = tokens_with(tmp_path)
        examples = examples_of(tmp_path, tokens, ROWS[:1], **TONE)
        model = TableModel(tokens, says(examples, "sad\nsad"))

        assert asked(model, examples, tokens, Asking(new_tokens=32)) == ["sad\nsad"]

    def test_the_model_is_told_the_stops_as_they_stand_inside_a_text(self, tmp_path: Path) -> None:
        tokens = tokens_with(tmp_path)
        model = TableModel(tokens)

        asked(model, examples_of(tmp_path, tokens, ROWS, **TONE), tokens)

        assert [tokens.tokenizer.decode(ids) for ids in model.stops] == ["\n"]

    def test_it_is_not_told_a_stop_that_the_tokenizer_writes_as_something_else(self, tmp_path: Path) -> None:
        folder, _ = folder_of(tmp_path, t5)  # it has no token for a line's end, and writes an unknown one
        tokens = load_tokens(folder)
        model = TableModel(tokens)

        asked(model, examples_of(tmp_path, tokens, ROWS, **TONE), tokens)

        assert model.stops == []

    def test_special_tokens_are_no_part_of_them(self, tmp_path: Path) -> None:
        tokens = tokens_with(tmp_path)
        examples = examples_of(tmp_path, tokens, ROWS[:1], **TONE)
        model = TableModel(tokens, says(examples, "sad<|end|>"))

        assert asked(model, examples, tokens) == ["sad"]

    def test_a_model_that_says_nothing_answers_with_nothing(self, tmp_path: Path) -> None:
        tokens = tokens_with(tmp_path)

        assert asked(TableModel(tokens), examples_of(tmp_path, tokens, ROWS, **TONE), tokens) == ["", ""]

    def test_prompts_of_like_length_go_together_and_answers_keep_their_order(self, tmp_path: Path) -> None:
        tokens = tokens_with(tmp_path)
        rows = [{"phrase": "the storm " * (index % 7), "tone": "sad", "n": index} for index in range(20)]
        options = {**TONE, "columns": ["phrase", "tone", "n"], "template": "{n}: {phrase}\n{tone}"}
        examples = examples_of(tmp_path, tokens, rows, **options)
        model = TableModel(tokens, says(examples, *(f"number {index}" for index in range(20))))

        found = asked(model, examples, tokens, Asking(new_tokens=32, batch_size=2))

        assert found == [f"number {index}" for index in range(20)]
        assert [len(chunk) for chunk in model.asked] == [8, 8, 4]
        lengths = [length for chunk in model.asked for length in chunk]
        assert lengths == sorted(lengths, reverse=True)

    def test_a_stop_is_heeded_between_batches(self, tmp_path: Path) -> None:
        tokens = tokens_with(tmp_path)
        examples = examples_of(tmp_path, tokens, ROWS * 10, **TONE)
        model = TableModel(tokens)

        def check() -> None:
            if model.asked:
                raise Stopped("while measuring")

        with pytest.raises(Stopped):
            answers(model, examples, tokens, Asking(new_tokens=4, batch_size=1), check)

        assert len(model.asked) == 1


class TestPromptsThatEndInASpace:
    """Byte-level tokenizers make one token of a space and the word after it."""

    SPACED: dict[str, Any] = {**TONE, "template": "{phrase} is {tone}"}  # noqa: RUF012

    def test_they_are_asked_without_it(self, tmp_path: Path) -> None:
        tokens = tokens_with(tmp_path, "<s> $A")
        examples = examples_of(tmp_path, tokens, ROWS[:1], **self.SPACED)
        model = TableModel(tokens, {"My sister wept is": " sad"})

        assert asked(model, examples, tokens) == [" sad"]
        assert model.asked == [[len(examples[0].prompt_ids) - 1]]

    def test_a_tokenizer_that_keeps_spaces_apart_is_asked_with_it(self, tmp_path: Path) -> None:
        tokens = tokens_with(tmp_path)
        file = str(tokens.folder / "tokenizer.json")
        tokenizer = Tokenizer.from_file(file)
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
            pre_tokenizers.Split(" ", "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ])  # fmt: skip
        tokenizer.save(file)
        tokens = load_tokens(tokens.folder)
        examples = examples_of(tmp_path, tokens, ROWS[:1], **self.SPACED)
        model = TableModel(tokens, {"My sister wept is ": "sad"})

        assert asked(model, examples, tokens) == ["sad"]


class TestLabels:
    @pytest.mark.parametrize("around", ["$A", "<s> $A", "<s> $A <|endoftext|>"])
    @pytest.mark.parametrize("wanted", LABELS)
    def test_the_most_probable_one_is_chosen(self, tmp_path: Path, around: str, wanted: str) -> None:
        tokens = tokens_with(tmp_path, around)
        examples = examples_of(tmp_path, tokens, ROWS, **TONE)
        model = TableModel(tokens)
        model.prefer(f"Tone:\n{wanted}")

        assert asked(model, examples, tokens, CHOICE) == [wanted, wanted]

    def test_each_labels_tokens_count_and_nothing_before_them(self, tmp_path: Path) -> None:
        tokens = tokens_with(tmp_path)
        examples = examples_of(tmp_path, tokens, ROWS, **TONE)
        model = TableModel(tokens, seed=3)

        found = asked(model, examples, tokens, CHOICE)

        def log_probability(label: str) -> float:
            ids = [tokens.in_context("\n")[-1], *tokens.in_context(label)]
            return float(sum(model.table[before, after] for before, after in itertools.pairwise(ids)))

        assert found == [max(LABELS, key=log_probability)] * 2

    def test_where_prompt_and_label_grow_together_all_labels_are_compared_from_there(self, tmp_path: Path) -> None:
        tokens = tokens_with(tmp_path)
        options = {**TONE, "template": "{phrase} is {tone}"}
        examples = examples_of(tmp_path, tokens, ROWS[:1], **options)
        assert examples[0].text_ids[: len(examples[0].prompt_ids)] != examples[0].prompt_ids
        model = TableModel(tokens)
        model.prefer("My sister wept is fear")

        assert asked(model, examples, tokens, CHOICE) == ["fear"]

    def test_of_equally_probable_ones_the_first_is_chosen(self, tmp_path: Path) -> None:
        tokens = tokens_with(tmp_path)
        model = TableModel(tokens)
        model.table[:] = -1.0
        labels = ("b", "a", "c")

        found = asked(model, examples_of(tmp_path, tokens, ROWS, **TONE), tokens, Asking(1, labels=labels))

        assert found == ["b", "b"]

    def test_a_label_that_begins_another_can_be_chosen_and_so_can_the_other(self, tmp_path: Path) -> None:
        tokens = tokens_with(tmp_path)
        examples = examples_of(tmp_path, tokens, ROWS[:1], **TONE)
        asking = Asking(1, labels=("joy", "joyful"))

        for wanted in asking.labels:
            model = TableModel(tokens)
            model.prefer(f"Tone:\n{wanted}<|endoftext|>")
            assert asked(model, examples, tokens, asking) == [wanted]

    @pytest.mark.parametrize("broken", [math.nan, -math.inf])
    def test_a_broken_model_chooses_none(self, tmp_path: Path, broken: float) -> None:
        tokens = tokens_with(tmp_path)
        model = TableModel(tokens)
        model.table[:] = broken

        assert asked(model, examples_of(tmp_path, tokens, ROWS, **TONE), tokens, CHOICE) == ["", ""]

    def test_a_label_without_a_probability_loses(self, tmp_path: Path) -> None:
        tokens = tokens_with(tmp_path)
        model = TableModel(tokens)
        model.table[:, tokens.in_context("sad")[0]] = np.nan
        model.prefer("Tone:\nfear")

        assert asked(model, examples_of(tmp_path, tokens, ROWS, **TONE), tokens, CHOICE) == ["fear", "fear"]

    def test_a_stop_is_heeded_between_batches(self, tmp_path: Path) -> None:
        tokens = tokens_with(tmp_path)
        examples = examples_of(tmp_path, tokens, ROWS * 10, **TONE)
        model = TableModel(tokens)

        def check() -> None:
            if model.asked:
                raise Stopped("while measuring")

        with pytest.raises(Stopped):
            answers(model, examples, tokens, Asking(1, batch_size=1, labels=LABELS), check)

        assert [len(chunk) for chunk in model.asked] == [12]


class TestOtherTokenizers:
    @pytest.mark.parametrize("make", MAKES, ids=lambda make: make.__name__)
    def test_what_is_scored_is_how_the_tokenizer_writes_prompt_and_label(
        self, tmp_path: Path, make: Callable[[], Tokenizer]
    ) -> None:
        folder, tokenizer = folder_of(tmp_path, make)
        tokens = load_tokens(folder)
        scored: list[list[int]] = []

        class Listening(TableModel):
            def log_probs(self, sequences: Sequence[Sequence[int]], *, batch_size: int) -> list[Any]:
                scored.extend(list(sequence) for sequence in sequences)
                return super().log_probs(sequences, batch_size=batch_size)

        for number, template in enumerate(["Text: {phrase}\nTone:\n{tone}", "{phrase} is {tone}", "{phrase}: {tone}"]):
            (tmp_path / str(number)).mkdir()
            examples = examples_of(tmp_path / str(number), tokens, ROWS, **{**TONE, "template": template})
            scored.clear()

            asked(Listening(tokens), examples, tokens, CHOICE)

            expected = [
                _without_end(tokenizer.encode(one.prompt + label).ids, tokens) for one in examples for label in LABELS
            ]
            assert sorted(scored) == sorted(expected)

    def test_a_free_answer_keeps_its_spaces_where_they_are_marks_in_tokens(self, tmp_path: Path) -> None:
        folder, _ = folder_of(tmp_path, llama_2)
        tokens = load_tokens(folder)
        examples = examples_of(tmp_path, tokens, ROWS, **TONE)
        prompts = tokens.tokenizer.decode_batch([list(one.prompt_ids) for one in examples])
        model = TableModel(tokens, dict(zip(prompts, ("the storm", "her new shoes"), strict=True)))

        assert asked(model, examples, tokens) == ["the storm", "her new shoes"]


def _without_end(ids: list[int], tokens: Tokens) -> list[int]:
    return ids[:-1] if ids[-1] == tokens.end else ids


class TestRefusals:
    @pytest.mark.parametrize("asking", [FREE, CHOICE])
    def test_a_prompt_that_is_too_long_for_the_model_is_told_with_its_line(
        self, tmp_path: Path, asking: Asking
    ) -> None:
        tokens = tokens_with(tmp_path)
        examples = examples_of(tmp_path, tokens, [ROWS[0], {"phrase": "the storm " * 40, "tone": "sad"}], **TONE)
        model = TableModel(tokens)
        model.longest = 40

        with pytest.raises(InvalidData, match="more than the model takes") as caught:
            asked(model, examples, tokens, asking)

        assert caught.value.where == "rows.jsonl, line 2"

    @pytest.mark.parametrize("asking", [FREE, CHOICE])
    def test_a_question_that_is_empty_is_told_with_its_line(self, tmp_path: Path, asking: Asking) -> None:
        tokens = tokens_with(tmp_path)
        examples = examples_of(tmp_path, tokens, ROWS, **{**TONE, "template": "{tone}: {phrase}"})

        with pytest.raises(InvalidData, match="nothing stands before the answer") as caught:
            asked(TableModel(tokens), examples, tokens, asking)

        assert caught.value.where == "rows.jsonl, line 1"
        assert caught.value.hint == "put the answer's column after other text in the template"

    def test_labels_that_only_a_prompt_confounds_are_told_with_its_line(self, tmp_path: Path) -> None:
        tokens = tokens_with(tmp_path)
        file = str(tokens.folder / "tokenizer.json")
        tokenizer = Tokenizer.from_file(file)
        tokenizer.normalizer = normalizers.Replace("wept:sad", "wept:joy")
        tokenizer.save(file)
        tokens = load_tokens(tokens.folder)
        examples = examples_of(tmp_path, tokens, ROWS, **{**TONE, "template": "{phrase}:{tone}"})

        with pytest.raises(InvalidData, match="after this prompt 'sad' and 'joy' become the same tokens") as caught:
            asked(TableModel(tokens), examples, tokens, CHOICE)

        assert caught.value.where == "rows.jsonl, line 1"

    def test_a_prompt_that_is_one_token_with_the_labels_is_told_with_its_line(self, tmp_path: Path) -> None:
        tokens = tokens_with(tmp_path)
        rows = [{"phrase": "to", "tone": "r"}]
        examples = examples_of(tmp_path, tokens, rows, **{**TONE, "template": "{phrase}{tone}"})
        assert len(examples[0].text_ids) == 1

        with pytest.raises(InvalidData, match="makes one token of the prompt and the labels") as caught:
            asked(TableModel(tokens), examples, tokens, Asking(1, labels=("r", "n")))

        assert caught.value.where == "rows.jsonl, line 1"
