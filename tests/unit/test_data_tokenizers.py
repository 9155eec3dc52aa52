"""The answer's boundary with tokenizers of every make: Llama's, Gemma's, T5's and BERT's ways of cutting a text."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.rows import entry, json_lines, packed, write
from tests.tiny import PHRASES
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

END = "</s>"
SPECIAL = ["<unk>", "<s>", END]
BYTES = [f"<0x{n:02X}>" for n in range(256)]


def _trained(tokenizer: Tokenizer, trainer: trainers.Trainer) -> Tokenizer:
    tokenizer.train_from_iterator(PHRASES, trainer)
    return tokenizer


def llama_2() -> Tokenizer:
    """BPE with a mark for spaces put before the text by the normalizer, unknown characters as bytes, <s> first."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    _trained(tokenizer, trainers.BpeTrainer(vocab_size=600, special_tokens=SPECIAL + BYTES, show_progress=False))
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    return tokenizer


def llama_2_as_saved_now() -> Tokenizer:
    """The same with the mark put there by the pre-tokenizer."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    return _trained(tokenizer, trainers.BpeTrainer(vocab_size=600, special_tokens=SPECIAL + BYTES, show_progress=False))


def llama_3() -> Tokenizer:
    """Byte-level BPE after a split by a pattern, with <s> and </s> around a text."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(pattern=r"\s+|\w+|[^\s\w]+", behavior="isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ])  # fmt: skip
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    _trained(
        tokenizer,
        trainers.BpeTrainer(vocab_size=500, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False),
    )
    tokenizer.post_processor = processors.Sequence([
        processors.ByteLevel(trim_offsets=True),
        processors.TemplateProcessing(single=f"<s> $A {END}", special_tokens=[("<s>", 1), (END, 2)]),
    ])  # fmt: skip
    return tokenizer


def t5() -> Tokenizer:
    """Unigram, after compatibility normalization: some characters become several or fewer."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    return _trained(
        tokenizer,
        trainers.UnigramTrainer(vocab_size=300, special_tokens=SPECIAL, unk_token="<unk>", show_progress=False),
    )


def bert() -> Tokenizer:
    """WordPiece on lower-cased words; white space belongs to no token."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="<unk>"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return _trained(tokenizer, trainers.WordPieceTrainer(vocab_size=400, special_tokens=SPECIAL, show_progress=False))


MAKES = [llama_2, llama_2_as_saved_now, llama_3, t5, bert]


def folder_of(base: Path, make: Callable[[], Tokenizer]) -> tuple[Path, Tokenizer]:
    folder = base / make.__name__
    folder.mkdir()
    tokenizer = make()
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps({"eos_token": END}))
    return folder, tokenizer


def texts(count: int) -> list[tuple[str, str]]:
    """Questions and answers of words, punctuation, other alphabets, and white space in all places."""
    choice = random.Random(3)
    pieces = [*" ".join(PHRASES[:9]).split(), "🎉", "ﬁne", "e\u0301", "Å", "日本", ",", "?!", "\n", "  ", "½", "ÆØÅ"]

    def text() -> str:
        return choice.choice(["", " "]).join(choice.choices(pieces, k=choice.randint(1, 8)))

    return [(text(), text()) for _ in range(count)]


@pytest.mark.parametrize("make", MAKES, ids=lambda make: make.__name__)
def test_every_character_of_the_answer_counts_and_no_token_before_it(
    tmp_path: Path, make: Callable[[], Tokenizer]
) -> None:
    """Said by offsets of the reference: a token counts exactly when it stands for some character of the answer."""
    folder, tokenizer = folder_of(tmp_path, make)
    pairs = texts(200)
    write(tmp_path / "rows.jsonl", json_lines([{"q": q, "a": a} for q, a in pairs]))
    text = {
        "columns": ["q", "a"],
        "template": "Q: {q}\nA: {a}",
        "strategy": "line-by-line",
        "answer": "a",
        "lossOn": "answer",
    }

    sequences = packed(tmp_path, folder, entry(**text))

    end = tokenizer.token_to_id(END)
    assert len(sequences) == len(pairs)
    for sequence, (question, answer) in zip(sequences, pairs, strict=True):
        whole = f"Q: {question}\nA: {answer}"
        encoding = tokenizer.encode(whole)
        start = len(whole) - len(answer)
        expected = [
            token if reach > start else -100 for token, (_, reach) in zip(encoding.ids, encoding.offsets, strict=True)
        ]
        if encoding.ids[-1] == end:
            expected[-1] = end
        else:
            expected.append(end)
        assert sequence["labels"] == expected, whole


@pytest.mark.parametrize("make", MAKES, ids=lambda make: make.__name__)
def test_every_token_within_the_assistants_turns_counts_and_no_other(
    tmp_path: Path, make: Callable[[], Tokenizer]
) -> None:
    folder, tokenizer = folder_of(tmp_path, make)
    (folder / "chat_template.jinja").write_text("{% for m in messages %}{{ m.role }}: {{ m.content }} |{% endfor %}")
    pairs = texts(100)
    turns = [
        [
            {"role": role, "content": text}
            for _ in range(2)
            for role, text in zip(("user", "assistant"), pair, strict=True)
        ]
        for pair in pairs
    ]
    write(tmp_path / "rows.jsonl", json_lines([{"messages": messages} for messages in turns]))

    sequences = packed(tmp_path, folder, entry(chat={"strategy": "line-by-line", "lossOn": "answer"}))

    for sequence, (question, answer) in zip(sequences, pairs, strict=True):
        asked, said = f"user: {question} |", f"assistant: {answer} |"
        encoding = tokenizer.encode((asked + said) * 2, add_special_tokens=False)
        spans = [(len(asked), len(asked + said)), (len(asked + said + asked), len(asked + said) * 2)]
        expected = [
            token if any(start < reach <= end for start, end in spans) else -100
            for token, (_, reach) in zip(encoding.ids, encoding.offsets, strict=True)
        ]
        assert sequence["labels"] == expected, (question, answer)


@pytest.mark.parametrize("make", MAKES, ids=lambda make: make.__name__)
def test_texts_are_what_the_tokenizer_makes_of_them(tmp_path: Path, make: Callable[[], Tokenizer]) -> None:
    folder, tokenizer = folder_of(tmp_path, make)
    rows = [q for q, _ in texts(100)]
    write(tmp_path / "rows.jsonl", json_lines([{"text": row} for row in rows]))

    sequences = packed(tmp_path, folder, entry(strategy="line-by-line"))

    end = tokenizer.token_to_id(END)
    encoded = [tokenizer.encode(row).ids for row in rows]
    expected = [ids if ids[-1:] == [end] else [*ids, end] for ids in encoded]
    assert [s["input_ids"] for s in sequences] == [ids for ids in expected if len(ids) > 1]


@pytest.mark.parametrize("make", [llama_2, llama_2_as_saved_now], ids=lambda make: make.__name__)
def test_a_joiner_gets_no_space_that_belongs_to_the_start_of_a_text(
    tmp_path: Path, make: Callable[[], Tokenizer]
) -> None:
    folder, tokenizer = folder_of(tmp_path, make)
    write(tmp_path / "rows.jsonl", json_lines([{"text": "letter"}, {"text": "storm"}]))

    sequence = packed(tmp_path, folder, entry(joiner="the"))[0]

    joined = tokenizer.encode("athe", add_special_tokens=False).ids[
        len(tokenizer.encode("a", add_special_tokens=False).ids) :
    ]
    assert sequence["input_ids"] == [*tokenizer.encode("letter").ids, *joined, *tokenizer.encode("storm").ids]
    assert "▁" not in "".join(tokenizer.id_to_token(token) for token in joined)
