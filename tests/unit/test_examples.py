"""Rows to evaluate on: the prompt, the answer, and the tokens of both."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.rows import entry as data_entry
from tests.rows import json_lines, packed, write
from tests.tablemodel import examples_of
from tests.tiny import make_tokenizer
from tests.unit.test_data_chat import MARKED, PLAIN, REWRITES, TURNS
from tokenizers import Tokenizer, processors

from millwright_api.errors import InvalidData
from millwright_runner.data import find_data
from millwright_runner.data.slices import Bound, Slice
from millwright_runner.data.tokens import Tokens, load_tokens
from millwright_runner.evaluation.examples import read_examples
from millwright_runner.metrics import Example

ROWS = [{"phrase": "My sister wept", "tone": "sad"}, {"phrase": "Nobody ran away", "tone": "fear"}]
TONE: dict[str, Any] = {"columns": ["phrase", "tone"], "template": "Text: {phrase}\nTone:\n{tone}", "answer": "tone"}
BOS, END = 0, 1


def tokens_with(base: Path, around: str = "$A", **config: Any) -> Tokens:
    """A tokenizer that puts special tokens around a text."""
    folder = make_tokenizer(base / "tokenizer", **config)
    file = str(folder / "tokenizer.json")
    tokenizer = Tokenizer.from_file(file)
    special = [("<s>", BOS), ("<|endoftext|>", END)]
    tokenizer.post_processor = processors.TemplateProcessing(single=around, special_tokens=special)
    tokenizer.save(file)
    return load_tokens(folder)


def words(tokens: Tokens, ids: Any) -> str:
    return str(tokens.tokenizer.decode(list(ids), skip_special_tokens=False))


def answered(example: Example) -> list[int]:
    """The tokens that answer."""
    assert example.answer_at is not None
    return list(example.text_ids[slice(*example.answer_at)])


class TestText:
    def test_the_prompt_ends_where_the_template_puts_the_answer(self, tmp_path: Path) -> None:
        first, second = examples_of(tmp_path, tokens_with(tmp_path), ROWS, **TONE)

        assert (first.prompt, first.answer) == ("Text: My sister wept\nTone:\n", "sad")
        assert first.text == "Text: My sister wept\nTone:\nsad"
        assert (second.where, second.answer) == ("rows.jsonl, line 2", "fear")

    def test_an_answer_that_the_template_does_not_have_follows_it(self, tmp_path: Path) -> None:
        example = examples_of(tmp_path, tokens_with(tmp_path), ROWS, **{**TONE, "template": "Text: {phrase}\nTone:\n"})[
            0
        ]

        assert example.prompt == "Text: My sister wept\nTone:\n"
        assert example.text == example.prompt + "sad"

    def test_what_the_template_has_behind_the_answer_is_in_the_text_and_not_in_the_prompt(self, tmp_path: Path) -> None:
        example = examples_of(tmp_path, tokens_with(tmp_path), ROWS, **{**TONE, "template": "{phrase}: {tone}. Next"})[
            0
        ]

        assert (example.prompt, example.text) == ("My sister wept: ", "My sister wept: sad. Next")

    def test_of_several_places_of_the_answer_the_first_ends_the_prompt(self, tmp_path: Path) -> None:
        example = examples_of(
            tmp_path, tokens_with(tmp_path), ROWS, **{**TONE, "template": "{phrase}\n{tone}\n{tone}"}
        )[0]

        assert (example.prompt, example.answer) == ("My sister wept\n", "sad")

    def test_without_an_answer_the_prompt_is_all_of_the_text(self, tmp_path: Path) -> None:
        example = examples_of(tmp_path, tokens_with(tmp_path), ROWS, columns=["phrase"])[0]

        assert (example.prompt, example.answer, example.answer_at) == ("My sister wept", None, None)
        assert example.prompt_ids == example.text_ids

    def test_a_number_is_an_answer_as_the_template_writes_it(self, tmp_path: Path) -> None:
        rows = [{"phrase": "two and two", "tone": 4}]

        assert examples_of(tmp_path, tokens_with(tmp_path), rows, **TONE)[0].answer == "4"

    def test_loss_on_changes_nothing(self, tmp_path: Path) -> None:
        tokens = tokens_with(tmp_path)

        on_all = examples_of(tmp_path, tokens, ROWS, **TONE)

        assert examples_of(tmp_path, tokens, ROWS, **TONE, lossOn="answer") == on_all

    def test_limit_holds_and_max_length_cuts_nothing(self, tmp_path: Path) -> None:
        tokens = tokens_with(tmp_path)
        rows = [{"phrase": "the storm " * 50, "tone": "sad"}] * 3

        examples = examples_of(tmp_path, tokens, rows, limit=2, **TONE, maxLength=8, strategy="line-by-line")

        assert len(examples) == 2
        assert words(tokens, examples[0].text_ids) == examples[0].text

    def test_more_rows_than_a_batch_keep_their_order(self, tmp_path: Path) -> None:
        rows = [{"phrase": f"number {index}", "tone": str(index)} for index in range(2100)]

        examples = examples_of(tmp_path, tokens_with(tmp_path), rows, **TONE)

        assert [example.answer for example in examples] == [str(index) for index in range(2100)]

    def test_half_a_character_is_told_with_its_line(self, tmp_path: Path) -> None:
        (tmp_path / "rows.jsonl").write_text(
            '{"phrase": "fine", "tone": "sad"}\n{"phrase": "\\ud83c", "tone": "sad"}\n'
        )

        found = find_data(data_entry(**TONE), tmp_path, tmp_path / "home")

        with pytest.raises(InvalidData, match="half a character") as caught:
            read_examples(found, tokens_with(tmp_path))

        assert caught.value.where == "rows.jsonl, line 2"

    def test_a_slice_without_rows_is_refused(self, tmp_path: Path) -> None:
        write(tmp_path / "rows.jsonl", json_lines(ROWS))
        found = find_data(data_entry(**TONE), tmp_path, tmp_path / "home")

        with pytest.raises(InvalidData, match="there are no rows"):
            read_examples(replace(found, slice=Slice(Bound(5))), tokens_with(tmp_path))


class TestSpecialTokens:
    def test_a_prompt_begins_as_training_texts_do(self, tmp_path: Path) -> None:
        tokens = tokens_with(tmp_path, "<s> $A")

        example = examples_of(tmp_path, tokens, ROWS, **TONE)[0]

        assert (example.prompt_ids[0], example.text_ids[0]) == (BOS, BOS)

    def test_an_end_that_the_tokenizer_puts_behind_stays_on_the_text_and_not_on_the_prompt(
        self, tmp_path: Path
    ) -> None:
        tokens = tokens_with(tmp_path, "<s> $A <|endoftext|>")

        example = examples_of(tmp_path, tokens, ROWS, **TONE)[0]

        assert example.text_ids[-1] == END
        assert words(tokens, example.prompt_ids) == "<s>" + example.prompt

    def test_an_end_that_the_template_writes_stays(self, tmp_path: Path) -> None:
        tokens = tokens_with(tmp_path, "<s> $A <|endoftext|>")

        example = examples_of(tmp_path, tokens, ROWS, **{**TONE, "template": "{phrase}<|endoftext|>{tone}"})[0]

        assert words(tokens, example.prompt_ids) == "<s>My sister wept<|endoftext|>"


class TestTheAnswersTokens:
    @pytest.mark.parametrize("around", ["$A", "<s> $A", "<s> $A <|endoftext|>"])
    @pytest.mark.parametrize("template", [TONE["template"], "{phrase}: {tone}", "{phrase}\n{tone}\nNext"])
    def test_they_are_those_that_training_on_answers_counts(self, tmp_path: Path, around: str, template: str) -> None:
        tokens = tokens_with(tmp_path, around)
        options = {**TONE, "template": template, "strategy": "line-by-line", "lossOn": "answer"}

        examples = examples_of(tmp_path, tokens, ROWS, **options)

        for example, sequence in zip(examples, packed(tmp_path, tokens.folder, data_entry(**options)), strict=True):
            trained = [label for label in sequence["labels"] if label != -100]
            assert trained in (answered(example), [*answered(example), END])  # training closes a row that has no end

    def test_an_empty_answer_has_none(self, tmp_path: Path) -> None:
        example = examples_of(tmp_path, tokens_with(tmp_path), [{"phrase": "Nobody", "tone": ""}], **TONE)[0]

        assert (example.answer, example.answer_at) == ("", None)


class TestChat:
    def test_the_last_turn_is_the_answer_and_what_comes_before_asks_for_it(self, tmp_path: Path) -> None:
        example = examples_of(tmp_path, tokens_with(tmp_path), [{"messages": TURNS}], chat={})[0]

        assert example.answer == "Nobody."
        assert example.prompt == (
            "<|user|>\nWho laughed?<|end|>\n<|assistant|>\nMy sister 🎉<|end|>\n<|user|>\nAnd who wept?<|end|>\n<|assistant|>\n"
        )
        assert example.text == example.prompt + "Nobody.<|end|>\n<|endoftext|>"

    def test_only_the_last_turns_tokens_answer(self, tmp_path: Path) -> None:
        tokens = tokens_with(tmp_path)

        example = examples_of(tmp_path, tokens, [{"messages": TURNS}], chat={})[0]

        assert words(tokens, answered(example)) == "Nobody.<|end|>\n<|endoftext|>"

    def test_a_template_that_marks_the_answer_is_followed(self, tmp_path: Path) -> None:
        tokens = tokens_with(tmp_path, chat_template=MARKED)

        example = examples_of(tmp_path, tokens, [{"messages": TURNS}], chat={})[0]

        assert words(tokens, answered(example)) == "Nobody.<|end|>"

    def test_the_template_writes_all_special_tokens(self, tmp_path: Path) -> None:
        example = examples_of(tmp_path, tokens_with(tmp_path, "<s> $A"), [{"messages": TURNS}], chat={})[0]

        assert BOS not in (*example.prompt_ids, *example.text_ids)

    def test_a_template_that_rewrites_earlier_turns_asks_all_the_same(self, tmp_path: Path) -> None:
        example = examples_of(
            tmp_path, tokens_with(tmp_path, chat_template=REWRITES), [{"messages": TURNS[:2]}], chat={}
        )[0]

        assert (example.prompt, example.answer_at) == ("user: Who laughed?\n", None)

    def test_a_template_without_a_prompt_for_the_assistant_asks_after_the_users_turn(self, tmp_path: Path) -> None:
        example = examples_of(tmp_path, tokens_with(tmp_path, chat_template=PLAIN), [{"messages": TURNS[:2]}], chat={})[
            0
        ]

        assert (example.prompt, example.answer) == ("user: Who laughed?\n", "My sister 🎉")

    def test_a_conversation_that_ends_with_the_user_is_refused_with_its_line(self, tmp_path: Path) -> None:
        rows = [{"messages": TURNS}, {"messages": TURNS[:3]}]

        with pytest.raises(InvalidData, match="ends with a turn of the user's") as caught:
            examples_of(tmp_path, tokens_with(tmp_path), rows, chat={})

        assert caught.value.where == "rows.jsonl, line 2"
        assert caught.value.hint == "the last message has the role assistant"

    def test_a_call_of_a_tool_is_no_answer(self, tmp_path: Path) -> None:
        turns = [TURNS[0], {"role": "assistant", "tool_calls": [{"name": "look"}]}]

        with pytest.raises(InvalidData, match="no content that is a text"):
            examples_of(tmp_path, tokens_with(tmp_path), [{"messages": turns}], chat={})

    def test_what_the_template_refuses_is_told_with_its_line(self, tmp_path: Path) -> None:
        tokens = tokens_with(tmp_path, chat_template="{{ raise_exception('one turn only') }}")

        with pytest.raises(InvalidData, match="refuses the conversation: one turn only") as caught:
            examples_of(tmp_path, tokens, [{"messages": TURNS}], chat={})

        assert caught.value.where == "rows.jsonl, line 1"
