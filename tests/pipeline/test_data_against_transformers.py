"""What is packed without transformers is what transformers would have made: tokens, chat templates, assistants' turns."""

from __future__ import annotations

import json
import random
import warnings
from pathlib import Path
from typing import Any

import pytest
from tests.rows import Words, entry, json_lines, packed, write
from tests.tiny import CHAT_TEMPLATE, PHRASES, make_tokenizer
from tokenizers import Tokenizer, processors

TEXTS = [*PHRASES[:20], "Grüße 🎉", "  two  spaces ", "a\n\nb\tc", "<|user|> inside", "日本語", "ﬁne e\u0301"]

LLAMA = (
    "{%- set loop_messages = messages %}{%- if messages[0]['role'] == 'system' %}{%- set system = messages[0]['content'] | trim %}"
    "{%- set loop_messages = messages[1:] %}{%- else %}{%- set system = '' %}{%- endif %}"
    "{{- bos_token }}{{- '<|user|>system\\n' + system + '<|end|>' }}"
    "{%- for message in loop_messages %}\n    {{- '<|user|>' + message['role'] + '\\n\\n' + message['content'] | trim + '<|end|>' }}\n"
    "{%- endfor %}{%- if add_generation_prompt %}{{- '<|user|>assistant\\n\\n' }}{%- endif %}"
)
"""In the manner of Llama 3's: it trims, keeps state, and puts the begin-of-text token itself."""

MARKED = (
    "{%- for m in messages %}{%- if m.role == 'assistant' %}<|assistant|>{% generation %}{{ m.content + '<|end|>' }}{% endgeneration %}"
    "{%- else %}<|user|>{{ m.content }}<|end|>{%- endif %}{%- endfor %}"
)


def conversations(count: int) -> list[list[dict[str, str]]]:
    choice = random.Random(7)
    return [
        [
            {"role": ("user", "assistant")[turn % 2], "content": choice.choice(TEXTS)}
            for turn in range(choice.choice([2, 4, 6]))
        ]
        for _ in range(count)
    ]


def theirs(folder: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder)


@pytest.mark.parametrize(
    "config", [{}, {"add_bos_token": True}, {"add_eos_token": True}, {"add_bos_token": False}], ids=str
)
@pytest.mark.parametrize("around", ["$A", "<s> $A", "<s> $A <|endoftext|>"])
def test_texts_become_the_same_tokens(tmp_path: Path, config: dict[str, bool], around: str) -> None:
    """Beside a tokenizer.json, transformers does not follow what the config says of tokens to add."""
    folder = make_tokenizer(tmp_path / "tokenizer", **config)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.post_processor = processors.TemplateProcessing(
        single=around, special_tokens=[("<s>", 0), ("<|endoftext|>", 1)]
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    write(tmp_path / "rows.jsonl", json_lines([{"text": text} for text in TEXTS]))

    sequences = packed(tmp_path, folder, entry(strategy="line-by-line"))

    reference, end = theirs(folder), theirs(folder).eos_token_id
    expected = [reference(text)["input_ids"] for text in TEXTS]
    assert [s["input_ids"] for s in sequences] == [ids if ids[-1] == end else [*ids, end] for ids in expected]


@pytest.mark.parametrize("template", [CHAT_TEMPLATE, LLAMA, MARKED], ids=["phi3", "llama3", "marked"])
def test_conversations_become_the_same_tokens(tmp_path: Path, template: str) -> None:
    folder = make_tokenizer(tmp_path / "tokenizer", chat_template=template)
    chats = conversations(40)
    write(tmp_path / "rows.jsonl", json_lines([{"messages": turns} for turns in chats]))

    sequences = packed(tmp_path, folder, entry(chat={"strategy": "line-by-line"}))

    reference = theirs(folder)
    assert [s["input_ids"] for s in sequences] == [reference.apply_chat_template(turns)["input_ids"] for turns in chats]


def test_turns_that_a_template_marks_are_the_same_tokens(tmp_path: Path) -> None:
    folder = make_tokenizer(tmp_path / "tokenizer", chat_template=MARKED)
    chats = conversations(40)
    write(tmp_path / "rows.jsonl", json_lines([{"messages": turns} for turns in chats]))

    sequences = packed(tmp_path, folder, entry(chat={"strategy": "line-by-line", "lossOn": "answer"}))

    reference = theirs(folder)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        masks = [
            reference.apply_chat_template(turns, return_dict=True, return_assistant_tokens_mask=True)["assistant_masks"]
            for turns in chats
        ]
    assert [[int(label != -100) for label in s["labels"]] for s in sequences] == masks


def test_turns_that_are_found_are_the_ones_a_template_would_mark(tmp_path: Path) -> None:
    """The same conversations through a template with marks and through the same one without: the same tokens count."""
    plain = MARKED.replace("{% generation %}", "").replace("{% endgeneration %}", "")
    plain += "{%- if add_generation_prompt %}<|assistant|>{%- endif %}"
    write(tmp_path / "rows.jsonl", json_lines([{"messages": turns} for turns in conversations(40)]))
    chat = {"strategy": "line-by-line", "lossOn": "answer"}

    marked = packed(tmp_path, make_tokenizer(tmp_path / "marked", chat_template=MARKED), entry(chat=chat), "a")
    found = packed(tmp_path, make_tokenizer(tmp_path / "plain", chat_template=plain), entry(chat=chat), "b")

    assert list(found) == list(marked)


def test_a_tokenizer_without_its_fast_file_is_converted(tmp_path: Path) -> None:
    """GPT-2's older form: a vocabulary and merges."""
    folder = make_tokenizer(tmp_path / "tokenizer")
    model = json.loads((folder / "tokenizer.json").read_text())["model"]
    old = tmp_path / "old"
    old.mkdir()
    (old / "vocab.json").write_text(json.dumps(model["vocab"]))
    (old / "merges.txt").write_text("#version: 0.2\n" + "".join(f"{a} {b}\n" for a, b in model["merges"]))
    (old / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "GPT2Tokenizer", "eos_token": "<|endoftext|>"})
    )
    (old / "config.json").write_text(json.dumps({"model_type": "gpt2"}))
    write(tmp_path / "rows.jsonl", json_lines([{"text": text} for text in PHRASES]))

    sequences = packed(tmp_path, old, entry(strategy="line-by-line"))

    words = Words(folder)
    assert [words.text(s["input_ids"]) for s in sequences] == [f"{text}<|endoftext|>" for text in PHRASES]
    assert [s["input_ids"] for s in sequences] == [[*words.ids(text), 1] for text in PHRASES]
