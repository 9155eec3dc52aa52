"""Conversations by the tokenizer's chat template: what is rendered, what training counts, what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.rows import Words, entry, json_lines, packed, write
from tests.tiny import CHAT_TEMPLATE, make_tokenizer

from millwright_api.errors import InvalidData, InvalidModel
from millwright_runner.data import find_data

CHATML = (
    "{% if messages[0]['role'] != 'system' %}{{ '<|im_start|>system\nBe kind.<|im_end|>\n' }}{% endif %}"
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>' + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
"""Qwen 2's: marks that are no special tokens of this tokenizer, and a system turn of its own."""

PLAIN = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
"""No prompt for the assistant: what it says begins with its name."""

MARKED = (
    "{% for m in messages %}{% if m.role == 'assistant' %}bot: {% generation %}{{ m.content }}<|end|>{% endgeneration %}{{ '\n' }}"
    "{% else %}{{ m.role }}: {{ m.content }}\n{% endif %}{% endfor %}"
)
"""Says itself what the assistant's is."""

REWRITES = "{% for m in messages %}{{ m.role }}: {{ m.content if loop.last else '…' }}\n{% endfor %}"
"""Shortens earlier turns when later ones follow, as templates of reasoning models do."""

TURNS = [
    {"role": "user", "content": "Who laughed?"},
    {"role": "assistant", "content": "My sister 🎉"},
    {"role": "user", "content": "And who wept?"},
    {"role": "assistant", "content": "Nobody."},
]
LINES: dict[str, Any] = {"strategy": "line-by-line"}
ANSWERS: dict[str, Any] = {"strategy": "line-by-line", "lossOn": "answer"}


def tokenizer(base: Path, template: str | list[dict[str, str]] | None = CHAT_TEMPLATE, **config: Any) -> Path:
    return make_tokenizer(base / "tokenizer", chat_template=template, **config)


def chats(base: Path, *conversations: Any, column: str = "messages") -> Path:
    write(base / "rows.jsonl", json_lines([{column: turns} for turns in conversations]))
    return base


def only(base: Path, folder: Path, chat: dict[str, Any]) -> tuple[str, str]:
    """Returns text and trained text of the one sequence there is."""
    sequences = packed(base, folder, entry(chat=chat))
    assert len(sequences) == 1
    words = Words(folder)
    return words.text(sequences[0]["input_ids"]), words.trained(sequences[0])


class TestRendering:
    def test_a_conversation_is_what_the_template_writes(self, tmp_path: Path) -> None:
        text, trained = only(chats(tmp_path, TURNS), tokenizer(tmp_path), LINES)

        assert text == (
            "<|user|>\nWho laughed?<|end|>\n<|assistant|>\nMy sister 🎉<|end|>\n"
            "<|user|>\nAnd who wept?<|end|>\n<|assistant|>\nNobody.<|end|>\n<|endoftext|>"
        )
        assert trained == text

    def test_the_templates_marks_are_special_tokens_and_none_is_added(self, tmp_path: Path) -> None:
        from tokenizers import Tokenizer, processors

        folder = tokenizer(tmp_path)
        file = str(folder / "tokenizer.json")
        words = Tokenizer.from_file(file)
        words.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
        words.save(file)

        sequences = packed(chats(tmp_path, TURNS), folder, entry(chat=LINES))

        assert sequences[0]["input_ids"][0] == 2  # <|user|>, and no <s> before it
        assert sequences[0]["input_ids"].count(4) == 4  # <|end|>
        assert sequences[0]["input_ids"].count(1) == 1

    def test_the_column_may_have_another_name(self, tmp_path: Path) -> None:
        base = chats(tmp_path, TURNS, column="talk")

        assert only(base, tokenizer(tmp_path), {**LINES, "column": "talk"})[0].startswith("<|user|>")

    def test_a_template_in_a_file_wins_over_the_config(self, tmp_path: Path) -> None:
        folder = tokenizer(tmp_path)
        (folder / "chat_template.jinja").write_text(PLAIN)

        assert only(chats(tmp_path, TURNS[:2]), folder, LINES)[0] == "user: Who laughed?\nassistant: My sister 🎉\n"

    def test_of_several_templates_the_one_called_default_is_taken(self, tmp_path: Path) -> None:
        folder = tokenizer(tmp_path, [{"name": "tool_use", "template": "x"}, {"name": "default", "template": PLAIN}])

        assert only(chats(tmp_path, TURNS[:1]), folder, LINES)[0] == "user: Who laughed?\n"

    def test_blocks_are_trimmed_as_transformers_does(self, tmp_path: Path) -> None:
        folder = tokenizer(tmp_path, "{%- for m in messages %}\n    {{- m.content }}\n  {%- break %}\n{%- endfor %}\n")

        assert only(chats(tmp_path, TURNS), folder, LINES)[0] == "Who laughed?"

    def test_special_tokens_are_known_to_the_template(self, tmp_path: Path) -> None:
        folder = tokenizer(tmp_path, "{{ bos_token }}{{ messages[0].content }}{{ eos_token }}")

        assert only(chats(tmp_path, TURNS), folder, LINES)[0] == "<s>Who laughed?<|endoftext|>"

    def test_today_is_always_the_same_day(self, tmp_path: Path) -> None:
        folder = tokenizer(tmp_path, "{{ strftime_now('%Y-%m-%d') }}")

        assert only(chats(tmp_path, TURNS), folder, LINES)[0] == "2024-07-26"

    def test_text_of_other_alphabets_passes_tojson_unescaped(self, tmp_path: Path) -> None:
        folder = tokenizer(tmp_path, "{{ messages[0] | tojson }}")

        text, _ = only(chats(tmp_path, [{"role": "user", "content": "Grüße <b>"}]), folder, LINES)

        assert json.loads(text) == {"role": "user", "content": "Grüße <b>"}
        assert "ü" in text and "<b>" in text

    def test_joined_conversations_are_not_separated_twice(self, tmp_path: Path) -> None:
        """Phi-3's template closes a conversation with the end-of-text token already."""
        text, _ = only(chats(tmp_path, TURNS[:2], TURNS[2:]), tokenizer(tmp_path), {})

        assert text.count("<|endoftext|>") == 2
        assert text.endswith("<|endoftext|>")

    def test_joined_conversations_are_separated_where_the_template_does_not(self, tmp_path: Path) -> None:
        text, _ = only(chats(tmp_path, TURNS[:1], TURNS[2:3]), tokenizer(tmp_path, PLAIN), {})

        assert text == "user: Who laughed?\n<|endoftext|>user: And who wept?\n"


class TestLossOnAnswers:
    def test_turns_of_the_assistant_count_with_what_ends_them(self, tmp_path: Path) -> None:
        _, trained = only(chats(tmp_path, TURNS), tokenizer(tmp_path), ANSWERS)

        assert trained == "My sister 🎉<|end|>\nNobody.<|end|>\n<|endoftext|>"

    def test_marks_that_are_no_special_tokens_do_not_count(self, tmp_path: Path) -> None:
        text, trained = only(chats(tmp_path, TURNS), tokenizer(tmp_path, CHATML), ANSWERS)

        assert text.startswith("<|im_start|>system\nBe kind.")
        assert trained == "My sister 🎉<|im_end|>\nNobody.<|im_end|>\n"

    def test_a_template_without_a_prompt_counts_the_whole_turn(self, tmp_path: Path) -> None:
        assert (
            only(chats(tmp_path, TURNS), tokenizer(tmp_path, PLAIN), ANSWERS)[1]
            == "assistant: My sister 🎉\nassistant: Nobody.\n"
        )

    def test_a_template_that_marks_the_assistants_text_is_followed(self, tmp_path: Path) -> None:
        text, trained = only(chats(tmp_path, TURNS), tokenizer(tmp_path, MARKED), ANSWERS)

        assert text == "user: Who laughed?\nbot: My sister 🎉<|end|>\nuser: And who wept?\nbot: Nobody.<|end|>\n"
        assert trained == "My sister 🎉<|end|>Nobody.<|end|>"

    def test_marks_leave_no_trace_when_all_counts(self, tmp_path: Path) -> None:
        text, _ = only(chats(tmp_path, TURNS[:2]), tokenizer(tmp_path, MARKED), LINES)

        assert text == "user: Who laughed?\nbot: My sister 🎉<|end|>\n"

    def test_a_conversation_that_the_assistant_begins_counts_from_the_start(self, tmp_path: Path) -> None:
        _, trained = only(chats(tmp_path, TURNS[1:3]), tokenizer(tmp_path, PLAIN), ANSWERS)

        assert trained == "assistant: My sister 🎉\n"

    def test_what_follows_the_last_answer_does_not_count(self, tmp_path: Path) -> None:
        assert only(chats(tmp_path, TURNS[:3]), tokenizer(tmp_path), ANSWERS)[1] == "My sister 🎉<|end|>\n"

    def test_joined_conversations_count_the_same_tokens(self, tmp_path: Path) -> None:
        assert only(chats(tmp_path, TURNS[:2], TURNS[2:]), tokenizer(tmp_path), {"lossOn": "answer"})[1] == (
            "My sister 🎉<|end|>\n<|endoftext|>Nobody.<|end|>\n<|endoftext|>"
        )

    def test_an_answer_equal_to_the_question_is_not_confused_with_it(self, tmp_path: Path) -> None:
        turns = [{"role": "user", "content": "echo"}, {"role": "assistant", "content": "echo"}]

        sequence = packed(chats(tmp_path, turns), tokenizer(tmp_path), entry(chat=ANSWERS))[0]

        first = next(n for n, label in enumerate(sequence["labels"]) if label != -100)
        assert sequence["input_ids"][first - 2] == 3  # right after <|assistant|> and its line's end

    def test_a_template_that_rewrites_earlier_turns_is_refused_with_a_way_out(self, tmp_path: Path) -> None:
        with pytest.raises(InvalidData, match="writes earlier turns anew") as caught:
            packed(chats(tmp_path, TURNS), tokenizer(tmp_path, REWRITES), entry(chat=ANSWERS))

        assert caught.value.where == "rows.jsonl, line 1"
        assert "lossOn to all" in str(caught.value.hint)

    def test_a_template_that_rewrites_earlier_turns_is_fine_when_all_counts(self, tmp_path: Path) -> None:
        assert (
            only(chats(tmp_path, TURNS[:2]), tokenizer(tmp_path, REWRITES), LINES)[0]
            == "user: …\nassistant: My sister 🎉\n"
        )

    def test_a_conversation_without_the_assistant_is_refused_with_its_line(self, tmp_path: Path) -> None:
        with pytest.raises(InvalidData, match="no assistant's turn") as caught:
            packed(chats(tmp_path, TURNS, TURNS[:1]), tokenizer(tmp_path), entry(chat=ANSWERS))

        assert caught.value.where == "rows.jsonl, line 2"


class TestRefusals:
    def test_a_tokenizer_without_a_chat_template_is_refused_with_a_way_out(self, tmp_path: Path) -> None:
        with pytest.raises(InvalidData, match="has no chat template") as caught:
            packed(chats(tmp_path, TURNS), tokenizer(tmp_path, None), entry(chat={}))

        assert caught.value.exit_code == 2
        assert "text" in str(caught.value.hint)

    def test_a_malformed_template_is_the_models_fault(self, tmp_path: Path) -> None:
        with pytest.raises(InvalidModel, match="chat template is malformed"):
            packed(chats(tmp_path, TURNS), tokenizer(tmp_path, "{% for %}"), entry(chat={}))

    def test_what_the_template_refuses_is_said_in_its_words(self, tmp_path: Path) -> None:
        folder = tokenizer(tmp_path, "{{ raise_exception('Only user and assistant roles are supported!') }}")

        with pytest.raises(InvalidData, match="Only user and assistant roles are supported!") as caught:
            packed(chats(tmp_path, TURNS), folder, entry(chat={}))

        assert caught.value.where == "rows.jsonl, line 1"

    @pytest.mark.parametrize(
        "template", ["{{ nothing.at.all }}", "{{ messages[0] + 1 }}", "{{ messages.x() }}", "{{ 1 / 0 }}"]
    )
    def test_a_template_that_breaks_on_a_row_is_told_with_the_row(self, tmp_path: Path, template: str) -> None:
        with pytest.raises(InvalidData, match="chat template") as caught:
            packed(chats(tmp_path, TURNS), tokenizer(tmp_path, template), entry(chat={}))

        assert caught.value.where == "rows.jsonl, line 1"

    @pytest.mark.parametrize(
        "template", ["{{ ''.__class__.__mro__ }}", "{{ messages.append(1) }}", "{{ self.__init__.__globals__ }}"]
    )
    def test_a_template_stays_in_its_sandbox(self, tmp_path: Path, template: str) -> None:
        with pytest.raises(InvalidData, match="refuses"):
            packed(chats(tmp_path, TURNS), tokenizer(tmp_path, template), entry(chat={}))

    @pytest.mark.parametrize(
        ("turns", "found"),
        [
            ("hello", "no list of messages"),
            ([], "no list of messages"),
            (None, "no list of messages"),
            ({"role": "user"}, "no list of messages"),
            (["hello"], "message 1 is no object with a role"),
            ([TURNS[0], {"content": "x"}], "message 2 is no object with a role"),
            ([{"role": "user"}], "message 1 (user) has no content"),
            ([{"role": "user", "content": None}], "message 1 (user) has no content"),
            ([{"role": "user", "content": [{"type": "text"}]}], "message 1 (user) has no content"),
        ],
    )  # fmt: skip
    def test_what_is_no_conversation_is_refused_at_first_look(self, tmp_path: Path, turns: Any, found: str) -> None:
        with pytest.raises(InvalidData) as caught:
            find_data(entry(chat={}), chats(tmp_path, turns), tmp_path / "home")

        assert found in caught.value.message
        assert caught.value.where == "rows.jsonl, line 1"

    def test_a_call_of_a_tool_needs_no_content(self, tmp_path: Path) -> None:
        turns = [TURNS[0], {"role": "assistant", "tool_calls": [{"name": "look"}]}]
        folder = tokenizer(tmp_path, "{% for m in messages %}{{ m.content or m.tool_calls[0].name }} {% endfor %}")

        assert only(chats(tmp_path, turns), folder, LINES)[0] == "Who laughed? look "

    def test_a_missing_column_lists_those_that_are_there(self, tmp_path: Path) -> None:
        with pytest.raises(InvalidData, match="no column 'messages'; the columns are message") as caught:
            find_data(entry(chat={}), chats(tmp_path, TURNS, column="message"), tmp_path / "home")

        assert caught.value.hint == "did you mean 'message'?"
