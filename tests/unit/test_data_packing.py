"""From rows to token sequences on disk: strategies, windows, shuffling, loss on the answer, and what is refused."""

from __future__ import annotations

import errno
import itertools
import json
import pickle
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, ClassVar

import pytest
from tests import smalldisk
from tests.rows import Words, entry, json_lines, packed, write
from tests.tiny import PHRASES, make_tokenizer

from millwright_api.errors import InvalidData, InvalidModel, NoSpaceLeft
from millwright_runner.data import encoding, find_data, layout, pack, packing, split
from millwright_runner.data.sequences import permutation

TONES = ("sad", "joy", "fear", "surprise")
ROWS = [{"phrase": phrase, "tone": TONES[number % 4]} for number, phrase in enumerate(PHRASES)]
END = 1
"""The tokenizer's <|endoftext|>."""

TEXT: dict[str, Any] = {"columns": ["phrase", "tone"], "template": "### {phrase}\n{tone}"}
TEXTS = [f"### {row['phrase']}\n{row['tone']}" for row in ROWS]


@pytest.fixture(scope="session")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tokenizer(tmp_path_factory.mktemp("tokenizer"))


@pytest.fixture(scope="session")
def words(tokenizer: Path) -> Words:
    return Words(tokenizer)


@pytest.fixture
def base(tmp_path: Path) -> Path:
    write(tmp_path / "rows.jsonl", json_lines(ROWS))
    return tmp_path


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches of seven rows, so that every test crosses their edges."""
    monkeypatch.setattr(encoding, "BATCH_ROWS", 7)


def stream(words: Words, texts: list[str], joiner: list[int]) -> list[int]:
    """What join lays down, said in the plainest way."""
    return list(itertools.chain(*([*(joiner if n else []), *words.ids(text)] for n, text in enumerate(texts))))


class TestJoin:
    def test_rows_follow_one_another_with_the_end_of_text_token_in_between(
        self, base: Path, tokenizer: Path, words: Words
    ) -> None:
        sequences = packed(base, tokenizer, entry(**TEXT, maxLength=50))

        whole = list(itertools.chain(*(s["input_ids"] for s in sequences)))
        assert whole == stream(words, TEXTS, [END])
        assert whole.count(END) == len(ROWS) - 1

    def test_windows_are_full_but_for_the_last_one(self, base: Path, tokenizer: Path, words: Words) -> None:
        sequences = packed(base, tokenizer, entry(**TEXT, maxLength=50))

        total = len(stream(words, TEXTS, [END]))
        assert [len(s["input_ids"]) for s in sequences] == [50] * (total // 50) + [total % 50]
        assert (sequences.rows, sequences.tokens, sequences.counts.longest) == (150, total, 50)

    @pytest.mark.parametrize("stride", [1, 13, 49, 50])
    def test_windows_overlap_by_what_the_stride_leaves(
        self, base: Path, tokenizer: Path, words: Words, stride: int
    ) -> None:
        sequences = packed(
            base,
            tokenizer,
            entry(
                **TEXT,
                maxLength=50,
                stride=stride,
            ),
            "strided",
        )

        whole = stream(words, TEXTS, [END])
        starts = [0, *range(stride, len(whole) - 50 + stride, stride)]
        assert [s["input_ids"] for s in sequences] == [whole[start : start + 50] for start in starts]
        assert sequences[-1]["input_ids"][-1] == whole[-1]

    def test_one_window_takes_all_when_it_is_long_enough(self, base: Path, tokenizer: Path, words: Words) -> None:
        sequences = packed(base, tokenizer, entry(**TEXT, maxLength=100_000))

        assert [s["input_ids"] for s in sequences] == [stream(words, TEXTS, [END])]

    @pytest.mark.parametrize("joiner", ["\n\n", " | ", "<|end|>", ""])
    def test_a_joiner_of_ones_own_is_tokenized_as_it_stands_between_texts(
        self, base: Path, tokenizer: Path, words: Words, joiner: str
    ) -> None:
        sequences = packed(base, tokenizer, entry(**TEXT, maxLength=100_000, joiner=joiner))

        assert words.text(sequences[0]["input_ids"]) == joiner.join(TEXTS)
        assert END not in sequences[0]["input_ids"]

    def test_a_row_that_ends_in_the_end_of_text_token_gets_no_second_one(self, base: Path, tokenizer: Path) -> None:
        write(base / "rows.jsonl", json_lines([{"text": "a<|endoftext|>"}, {"text": "b"}]))

        sequences = packed(base, tokenizer, entry(maxLength=100))

        assert sequences[0]["input_ids"].count(END) == 1

    def test_a_joiner_of_ones_own_stands_also_after_an_end_of_text_token(
        self, base: Path, tokenizer: Path, words: Words
    ) -> None:
        write(base / "rows.jsonl", json_lines([{"text": "a<|endoftext|>"}, {"text": "b"}]))

        sequences = packed(base, tokenizer, entry(maxLength=100, joiner="\n"))

        assert words.text(sequences[0]["input_ids"]) == "a<|endoftext|>\nb"

    def test_a_last_window_of_a_single_token_is_left_out(self, base: Path, tokenizer: Path, words: Words) -> None:
        """Nothing is predicted in it, and the mean over no token is no number."""
        total = len(stream(words, TEXTS[:3], [END]))

        sequences = packed(base, tokenizer, entry(**TEXT, limit=3, maxLength=total - 1))

        assert [len(s["input_ids"]) for s in sequences] == [total - 1]
        assert sequences.counts.untrained == 1


class TestLineByLine:
    LINES: ClassVar[dict[str, Any]] = {**TEXT, "strategy": "line-by-line", "maxLength": 64}

    def test_each_row_is_a_sequence_that_ends_in_the_end_of_text_token(
        self, base: Path, tokenizer: Path, words: Words
    ) -> None:
        sequences = packed(base, tokenizer, entry(**self.LINES))

        assert [s["input_ids"] for s in sequences] == [[*words.ids(text), END] for text in TEXTS]
        assert all(s["labels"] == s["input_ids"] for s in sequences)
        assert (len(sequences), sequences.rows, sequences.left_out) == (150, 150, 0)

    def test_rows_that_are_too_long_are_left_out_and_counted(self, base: Path, tokenizer: Path, words: Words) -> None:
        lengths = [len(words.ids(text)) + 1 for text in TEXTS]
        limit = sorted(lengths)[50]

        sequences = packed(base, tokenizer, entry(**{**self.LINES, "maxLength": limit}))

        assert len(sequences) == sum(length <= limit for length in lengths)
        assert sequences.left_out == sum(length > limit for length in lengths) > 0
        assert sequences.rows == 150
        assert max(len(s["input_ids"]) for s in sequences) == sequences.counts.longest == limit

    def test_when_all_are_too_long_the_shortest_is_named(self, base: Path, tokenizer: Path, words: Words) -> None:
        shortest = min(len(words.ids(text)) + 1 for text in TEXTS)

        with pytest.raises(InvalidData) as caught:
            packed(base, tokenizer, entry(**{**self.LINES, "maxLength": 4}))

        assert caught.value.exit_code == 2
        assert caught.value.where == "rows.jsonl"
        assert f"all 150 rows are longer than maxLength 4; the shortest has {shortest} tokens" in caught.value.message
        assert str(shortest) in str(caught.value.hint)

    def test_empty_rows_train_nothing_and_are_left_out(self, base: Path, tokenizer: Path) -> None:
        write(base / "rows.jsonl", json_lines([{"text": ""}, {"text": "some words"}, {"text": ""}]))

        sequences = packed(base, tokenizer, entry(strategy="line-by-line"))

        assert (len(sequences), sequences.counts.untrained, sequences.left_out) == (1, 2, 0)

    def test_nothing_but_empty_rows_is_refused(self, base: Path, tokenizer: Path) -> None:
        write(base / "rows.jsonl", json_lines([{"text": ""}, {"text": ""}]))

        with pytest.raises(InvalidData, match="nothing to train on: in 2 rows"):
            packed(base, tokenizer, entry(strategy="line-by-line"))


class TestAnswer:
    def test_only_the_answer_and_the_end_of_text_count(self, base: Path, tokenizer: Path, words: Words) -> None:
        sequences = packed(base, tokenizer, entry(**TEXT, strategy="line-by-line", answer="tone", lossOn="answer"))

        assert [words.trained(s) for s in sequences] == [f"{row['tone']}<|endoftext|>" for row in ROWS]
        assert all(len(s["labels"]) == len(s["input_ids"]) for s in sequences)

    def test_a_token_that_reaches_into_the_answer_counts(self, base: Path, tokenizer: Path, words: Words) -> None:
        """' wept' is one token: where the template ends in a space, the model has to write both together."""
        write(base / "rows.jsonl", json_lines([{"q": "My sister", "a": "wept over the letter"}]))

        sequences = packed(
            base, tokenizer, entry(columns=["q", "a"], strategy="line-by-line", answer="a", lossOn="answer")
        )

        assert words.trained(sequences[0]) == " wept over the letter<|endoftext|>"

    @pytest.mark.parametrize("answer", ["🎉", "Grüße, Ærøskøbing", "日本語 🙂🙂", "a\tb\n\nc", "<|end|>", " leading"])
    def test_the_boundary_is_exact_for_any_text(self, base: Path, tokenizer: Path, words: Words, answer: str) -> None:
        write(base / "rows.jsonl", json_lines([{"q": "Ünï 🎈:", "a": answer}]))

        sequences = packed(
            base, tokenizer,
            entry(columns=["q", "a"], template="{q}\n{a}", strategy="line-by-line", answer="a", lossOn="answer"),
        )  # fmt: skip

        assert words.trained(sequences[0]) == f"{answer}<|endoftext|>"

    def test_an_empty_answer_trains_the_end_of_text(self, base: Path, tokenizer: Path, words: Words) -> None:
        write(base / "rows.jsonl", json_lines([{"q": "why", "a": ""}]))

        sequences = packed(
            base, tokenizer, entry(columns=["q", "a"], strategy="line-by-line", answer="a", lossOn="answer")
        )

        assert words.trained(sequences[0]) == "<|endoftext|>"

    def test_joined_answers_count_with_the_end_of_text_that_follows_them(
        self, base: Path, tokenizer: Path, words: Words
    ) -> None:
        sequences = packed(base, tokenizer, entry(**TEXT, maxLength=100_000, answer="tone", lossOn="answer"))

        assert words.trained(sequences[0]) == "<|endoftext|>".join(row["tone"] for row in ROWS)

    def test_a_joiner_of_ones_own_does_not_count(self, base: Path, tokenizer: Path, words: Words) -> None:
        sequences = packed(
            base, tokenizer, entry(**TEXT, maxLength=100_000, answer="tone", lossOn="answer", joiner="\n~\n")
        )

        assert words.trained(sequences[0]) == "".join(row["tone"] for row in ROWS)

    def test_windows_without_any_answer_are_left_out(self, base: Path, tokenizer: Path) -> None:
        write(base / "rows.jsonl", json_lines([{"q": "word " * 200, "a": "yes"}]))

        sequences = packed(base, tokenizer, entry(columns=["q", "a"], maxLength=20, answer="a", lossOn="answer"))

        assert len(sequences) == 1
        assert sequences.counts.untrained > 5
        assert any(label != -100 for label in sequences[0]["labels"][1:])


class TestShuffling:
    @pytest.mark.parametrize("strategy", ["join", "line-by-line"])
    @pytest.mark.parametrize("loss", ["all", "answer"])
    def test_rows_come_in_another_order_and_none_is_lost(
        self, base: Path, tokenizer: Path, words: Words, strategy: str, loss: str
    ) -> None:
        options = {**TEXT, "strategy": strategy, "maxLength": 100_000, "answer": "tone", "lossOn": loss}

        plain = packed(base, tokenizer, entry(**options), "plain")
        shuffled = packed(base, tokenizer, entry(**options, shuffleSeed=5), "shuffled")

        assert _rows(words, shuffled) != _rows(words, plain)
        assert sorted(_rows(words, shuffled)) == sorted(_rows(words, plain))
        assert sum(len(words.trained(s)) for s in shuffled) == sum(len(words.trained(s)) for s in plain)

    def test_join_shuffles_rows_and_joins_them_afterwards(self, base: Path, tokenizer: Path, words: Words) -> None:
        sequences = packed(base, tokenizer, entry(**TEXT, maxLength=100_000, shuffleSeed=5))

        order = [TEXTS[row] for row in permutation(len(TEXTS), 5)]
        assert sequences[0]["input_ids"] == stream(words, order, [END])

    @pytest.mark.parametrize("seed", range(12))
    def test_the_row_that_comes_last_loses_its_joiner(
        self, base: Path, tokenizer: Path, words: Words, seed: int
    ) -> None:
        write(base / "rows.jsonl", json_lines([{"text": "a"}, {"text": "b<|endoftext|>"}, {"text": "c"}]))

        sequences = packed(base, tokenizer, entry(maxLength=100, shuffleSeed=seed))

        text = words.text(sequences[0]["input_ids"])
        assert text.endswith(("a", "c", "b<|endoftext|>"))
        assert text.count("<|endoftext|>") == 2 + text.endswith("b<|endoftext|>") * 1

    def test_the_same_seed_gives_the_same_order_and_another_one_another(self, base: Path, tokenizer: Path) -> None:
        def first(seed: int, folder: str) -> list[int]:
            return packed(base, tokenizer, entry(**TEXT, strategy="line-by-line", shuffleSeed=seed), folder)[0][
                "input_ids"
            ]

        assert first(1, "a") == first(1, "b")
        assert first(1, "a") != first(2, "c")

    def test_the_order_is_the_same_on_every_machine(self) -> None:
        """The stream of numpy's RandomState is frozen; these numbers were computed once."""
        assert list(permutation(10, 0)) == [2, 8, 4, 9, 1, 6, 7, 3, 0, 5]
        assert sorted(permutation(1000, 2**32 - 1)) == list(range(1000))


class TestLimit:
    def test_only_the_first_rows_are_read(self, base: Path, tokenizer: Path, words: Words) -> None:
        sequences = packed(base, tokenizer, entry(**TEXT, limit=10, strategy="line-by-line"))

        assert [words.text(s["input_ids"]) for s in sequences] == [f"{text}<|endoftext|>" for text in TEXTS[:10]]
        assert sequences.rows == 10

    def test_a_limit_beyond_the_end_reads_all(self, base: Path, tokenizer: Path) -> None:
        assert packed(base, tokenizer, entry(**TEXT, limit=10_000, strategy="line-by-line")).rows == 150


class TestEveryFormat:
    @pytest.mark.parametrize("name", ["rows.json", "rows.csv", "rows.parquet", "rows.jsonl.gz"])
    def test_it_gives_the_same_sequences_as_json_lines(self, base: Path, tokenizer: Path, name: str) -> None:
        import pyarrow
        import pyarrow.parquet

        if name == "rows.parquet":
            pyarrow.parquet.write_table(pyarrow.Table.from_pylist(ROWS), base / name)
        else:
            csv = "phrase,tone\n" + "".join(f"{row['phrase']},{row['tone']}\n" for row in ROWS)
            write(
                base / name,
                {"rows.json": json.dumps(ROWS).encode(), "rows.csv": csv.encode()}.get(name, json_lines(ROWS)),
            )

        expected = packed(base, tokenizer, entry(**TEXT, maxLength=64), "lines")
        assert list(packed(base, tokenizer, entry(name, **TEXT, maxLength=64), "other")) == list(expected)


class TestProgress:
    def test_bytes_are_told_up_to_the_files_size(self, base: Path, tokenizer: Path) -> None:
        told: list[tuple[int, int | None]] = []
        found = find_data(entry(**TEXT), base, base / "home")

        pack(found, tokenizer, base / "packed", lambda done, total: told.append((done, total)))

        size = (base / "rows.jsonl").stat().st_size
        assert told == sorted(told)
        assert told[-1] == (size, size)
        assert len(told) > 5


class TestAgain:
    def test_a_second_call_reads_nothing(self, base: Path, tokenizer: Path) -> None:
        first = packed(base, tokenizer, entry(**TEXT, maxLength=64))
        found = find_data(entry(**TEXT, maxLength=64), base, base / "home")
        before = (base / "packed" / "tokens").stat().st_mtime_ns

        again = pack(found, tokenizer, base / "packed", _must_not_be_told)

        assert (base / "packed" / "tokens").stat().st_mtime_ns == before
        assert again.counts == first.counts
        assert list(again) == list(first)

    def test_other_rows_are_packed_anew(self, base: Path, tokenizer: Path, words: Words) -> None:
        packed(base, tokenizer, entry(**TEXT, strategy="line-by-line"))
        write(base / "rows.jsonl", json_lines([{"phrase": "new", "tone": "joy"}]))

        sequences = packed(base, tokenizer, entry(**TEXT, strategy="line-by-line"))

        assert [words.text(s["input_ids"]) for s in sequences] == ["### new\njoy<|endoftext|>"]

    def test_another_tokenizer_packs_anew(self, base: Path, tokenizer: Path, tmp_path: Path) -> None:
        packed(base, tokenizer, entry(**TEXT, strategy="line-by-line"))

        sequences = packed(
            base, make_tokenizer(tmp_path / "smaller", vocab=280), entry(**TEXT, strategy="line-by-line")
        )

        assert sequences.tokens > packed(base, tokenizer, entry(**TEXT, strategy="line-by-line"), "again").tokens

    @pytest.mark.parametrize("torn", ["packed.json", "index", "tokens", "trained"])
    def test_what_a_kill_left_half_made_is_made_anew(self, base: Path, tokenizer: Path, torn: str) -> None:
        data = entry(**TEXT, maxLength=64, answer="tone", lossOn="answer")
        expected = list(packed(base, tokenizer, data, "undisturbed"))
        packed(base, tokenizer, data)
        content = (base / "packed" / torn).read_bytes()
        (base / "packed" / torn).write_bytes(content[: len(content) // 2])

        assert list(packed(base, tokenizer, data)) == expected

    @pytest.mark.parametrize("lost", ["packed.json", "index", "tokens", "trained"])
    def test_what_lost_a_file_is_made_anew(self, base: Path, tokenizer: Path, lost: str) -> None:
        data = entry(**TEXT, maxLength=64, answer="tone", lossOn="answer")
        expected = list(packed(base, tokenizer, data))
        (base / "packed" / lost).unlink()

        assert list(packed(base, tokenizer, data)) == expected

    def test_a_stop_in_the_middle_leaves_nothing_that_counts(self, base: Path, tokenizer: Path) -> None:
        found = find_data(entry(**TEXT, maxLength=64), base, base / "home")

        with pytest.raises(KeyboardInterrupt):
            pack(found, tokenizer, base / "packed", _interrupt)

        assert not (base / "packed" / "packed.json").exists()
        assert packed(base, tokenizer, entry(**TEXT, maxLength=64)).rows == 150


class TestBadInput:
    def test_a_malformed_line_deep_in_the_file_is_named(self, base: Path, tokenizer: Path) -> None:
        write(base / "rows.jsonl", json_lines(ROWS) + b'{"phrase": "x"\n')

        with pytest.raises(InvalidData) as caught:
            packed(base, tokenizer, entry(**TEXT))

        assert str(caught.value.where).startswith("rows.jsonl, line 151")

    def test_a_column_that_goes_missing_deep_in_the_file_is_named(self, base: Path, tokenizer: Path) -> None:
        write(base / "rows.jsonl", json_lines([*ROWS, {"phrase": "x", "Tone": "joy"}]))

        with pytest.raises(InvalidData, match="no column 'tone'; the columns are phrase, Tone") as caught:
            packed(base, tokenizer, entry(**TEXT))

        assert caught.value.where == "rows.jsonl, line 151"

    def test_half_a_character_is_named_with_its_line(self, base: Path, tokenizer: Path) -> None:
        write(base / "rows.jsonl", json_lines([{"text": "x"}] * 30) + b'{"text": "a\\ud800b"}\n')

        with pytest.raises(InvalidData, match="half a character") as caught:
            packed(base, tokenizer, entry())

        assert caught.value.where == "rows.jsonl, line 31"

    def test_a_file_that_changed_since_it_was_looked_at_is_refused(self, base: Path, tokenizer: Path) -> None:
        found = find_data(entry(**TEXT), base, base / "home")
        write(base / "rows.jsonl", json_lines(ROWS[:30]))

        with pytest.raises(InvalidData, match="changed while it was read"):
            pack(found, tokenizer, base / "packed", lambda done, total: None)

    def test_a_full_disk_is_said_and_leaves_no_litter(
        self, base: Path, tokenizer: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def full(*_: object) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(layout.RowWriter, "add", full)

        with pytest.raises(NoSpaceLeft) as caught:
            packed(base, tokenizer, entry(**TEXT))

        assert caught.value.exit_code == 2
        assert not (base / "packed").exists()

    def test_other_faults_of_the_disk_are_not_hidden(
        self, base: Path, tokenizer: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def broken(*_: object) -> None:
            raise OSError(errno.EIO, "Input/output error")

        monkeypatch.setattr(packing, "write_record", broken)

        with pytest.raises(OSError, match="Input/output"):
            packed(base, tokenizer, entry(**TEXT))


class TestTokenizers:
    def write_config(self, folder: Path, **config: Any) -> Path:
        make_tokenizer(folder)
        (folder / "tokenizer_config.json").write_text(json.dumps(config))
        return folder

    @pytest.mark.parametrize("options", [{}, {"strategy": "line-by-line"}])
    def test_one_without_an_end_of_text_token_is_refused(
        self, base: Path, tmp_path: Path, options: dict[str, str]
    ) -> None:
        folder = self.write_config(tmp_path / "t")

        with pytest.raises(InvalidModel, match="names no end-of-text token") as caught:
            packed(base, folder, entry(**TEXT, **options))

        assert "eos_token" in str(caught.value.hint)

    def test_a_joiner_of_ones_own_needs_no_end_of_text_token(self, base: Path, tmp_path: Path) -> None:
        assert packed(base, self.write_config(tmp_path / "t"), entry(**TEXT, joiner="\n")).rows == 150

    @pytest.mark.parametrize("ids", [1, [1, 4]])
    def test_the_models_config_may_name_the_end_of_text_token(self, base: Path, tmp_path: Path, ids: object) -> None:
        folder = self.write_config(tmp_path / "t")
        (folder / "config.json").write_text(json.dumps({"eos_token_id": ids}))

        sequences = packed(base, folder, entry(**TEXT, strategy="line-by-line"))

        assert sequences[0]["input_ids"][-1] == END

    def test_special_tokens_may_be_objects(self, base: Path, tmp_path: Path) -> None:
        folder = self.write_config(tmp_path / "t", eos_token={"content": "<|end|>", "lstrip": False})

        assert packed(base, folder, entry(**TEXT, strategy="line-by-line"))[0]["input_ids"][-1] == 4

    def test_special_tokens_may_lie_in_a_file_of_their_own(self, base: Path, tmp_path: Path) -> None:
        folder = self.write_config(tmp_path / "t")
        (folder / "special_tokens_map.json").write_text(json.dumps({"eos_token": "<|end|>"}))

        assert packed(base, folder, entry(**TEXT, strategy="line-by-line"))[0]["input_ids"][-1] == 4

    def test_an_end_of_text_token_that_is_not_in_the_vocabulary_is_refused(self, base: Path, tmp_path: Path) -> None:
        with pytest.raises(InvalidModel, match="'</s>' is not in the vocabulary"):
            packed(base, self.write_config(tmp_path / "t", eos_token="</s>"), entry(**TEXT))

    def test_tokens_that_the_tokenizer_puts_around_a_text_are_kept(self, base: Path, tmp_path: Path) -> None:
        from tokenizers import Tokenizer, processors

        folder = make_tokenizer(tmp_path / "t")
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        tokenizer.post_processor = processors.TemplateProcessing(
            single="<s> $A <|endoftext|>", special_tokens=[("<s>", 0), ("<|endoftext|>", END)]
        )
        tokenizer.save(str(folder / "tokenizer.json"))

        sequences = packed(base, folder, entry(**TEXT, strategy="line-by-line", answer="tone", lossOn="answer"))

        first = sequences[0]
        assert (first["input_ids"][0], first["input_ids"][-2:].count(END)) == (0, 1)
        assert Words(folder).trained(first) == "sad<|endoftext|>"

    def test_truncation_and_padding_that_were_saved_with_it_are_switched_off(
        self, base: Path, tmp_path: Path, words: Words
    ) -> None:
        from tokenizers import Tokenizer

        folder = make_tokenizer(tmp_path / "t")
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        tokenizer.enable_truncation(4)
        tokenizer.enable_padding(length=30)
        tokenizer.save(str(folder / "tokenizer.json"))

        sequences = packed(base, folder, entry(**TEXT, strategy="line-by-line"))

        assert words.text(sequences[0]["input_ids"]) == f"{TEXTS[0]}<|endoftext|>"

    def test_one_that_is_no_tokenizer_is_named(self, base: Path, tmp_path: Path) -> None:
        folder = make_tokenizer(tmp_path / "t")
        (folder / "tokenizer.json").write_text("{}")

        with pytest.raises(InvalidModel, match="not a tokenizer") as caught:
            packed(base, folder, entry(**TEXT))

        assert str(caught.value.where).endswith("tokenizer.json")

    def test_a_config_that_is_no_json_is_named(self, base: Path, tmp_path: Path) -> None:
        folder = make_tokenizer(tmp_path / "t")
        (folder / "tokenizer_config.json").write_text("{")

        with pytest.raises(InvalidModel, match="malformed JSON") as caught:
            packed(base, folder, entry(**TEXT))

        assert str(caught.value.where).endswith("tokenizer_config.json")


class TestSequences:
    @pytest.fixture
    def sequences(self, base: Path, tokenizer: Path) -> Any:
        return packed(base, tokenizer, entry(**TEXT, strategy="line-by-line"))

    def test_they_are_reached_by_number_from_either_end(self, sequences: Any) -> None:
        assert sequences[-1] == sequences[149]
        for index in (150, -151):
            with pytest.raises(IndexError):
                sequences[index]

    def test_they_travel_to_another_process(self, sequences: Any) -> None:
        sequences[0]

        assert list(pickle.loads(pickle.dumps(sequences))) == list(sequences)

    def test_they_know_their_format_and_their_folder(self, sequences: Any, base: Path) -> None:
        assert sequences.format.max_length == 1024
        assert sequences.path == base / "packed"

    @pytest.mark.parametrize(
        ("options", "held"), [({"eval_fraction": 0.3}, 45), ({"eval_size": 20}, 20), ({"eval_fraction": 0.001}, 1)]
    )
    def test_a_split_shares_nothing_and_loses_nothing(self, sequences: Any, options: dict[str, Any], held: int) -> None:
        train, evaluation = split(sequences, **options, seed=3)

        assert (len(train), len(evaluation)) == (150 - held, held)
        assert sorted(s["input_ids"] for s in [*train, *evaluation]) == sorted(s["input_ids"] for s in sequences)
        assert train.path == sequences.path
        assert train.format == sequences.format

    def test_a_split_depends_on_the_seed_alone(self, sequences: Any) -> None:
        first, again, other = (list(split(sequences, eval_size=20, seed=seed)[1]) for seed in (1, 1, 2))

        assert first == again
        assert first != other

    @pytest.mark.parametrize("options", [{"eval_size": 150}, {"eval_size": 1000}, {"eval_fraction": 0.999}])
    def test_a_split_that_leaves_nothing_to_train_on_is_refused(self, sequences: Any, options: dict[str, Any]) -> None:
        with pytest.raises(InvalidData, match="150 sequences are there"):
            split(sequences, **options)


def _rows(words: Words, sequences: Any) -> list[str]:
    text = "".join(words.text(s["input_ids"]) + "<|endoftext|>" for s in sequences)
    return [row for row in text.split("<|endoftext|>") if row]


def _must_not_be_told(done: int, total: int | None) -> None:
    raise AssertionError("rows were read again")


def _interrupt(done: int, total: int | None) -> None:
    raise KeyboardInterrupt


PACK = """
import json, sys
from pathlib import Path
from millwright_api.errors import NoSpaceLeft
from millwright_api.v1alpha1 import Data
from millwright_runner.data import find_data, pack

folder, base, tokenizer, data = Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), json.loads(sys.argv[4])
found = find_data(Data.model_validate(data), base, base / "home")

def tell(done, total):
    print(done, flush=True)

try:
    pack(found, tokenizer, folder / "packed", tell)
except NoSpaceLeft as error:
    print("NoSpaceLeft", error.where, (folder / "packed").exists())
"""


@pytest.mark.parametrize("kind", [smalldisk.TMPFS, smalldisk.LIMIT])
def test_a_disk_that_is_really_full_is_said_and_left_clean(base: Path, tokenizer: Path, kind: str) -> None:
    write(base / "rows.jsonl", json_lines(ROWS * 250))
    data = entry(**TEXT).model_dump_json(exclude_none=True)

    done = smalldisk.run(kind, PACK, base / "disk", str(base), str(tokenizer), data)

    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == f"NoSpaceLeft {base / 'disk' / 'packed'} False"


def test_a_kill_in_the_middle_costs_only_time(base: Path, tokenizer: Path) -> None:
    write(base / "rows.jsonl", json_lines(ROWS * 100))
    data = entry(**TEXT, maxLength=64, shuffleSeed=1)
    arguments = [str(base), str(base), str(tokenizer), data.model_dump_json(exclude_none=True)]
    waiting = PACK.replace("print(done, flush=True)", "print(done, total, flush=True); sys.stdin.read()")
    command = [sys.executable, "-c", waiting, *arguments]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        done, total = map(int, process.stdout.readline().split())
        process.kill()
    assert 0 < done < total
    assert process.returncode == -signal.SIGKILL
    assert (base / "packed" / "tokens").exists()

    sequences = packed(base, tokenizer, data)

    assert list(sequences) == list(packed(base, tokenizer, data, "undisturbed"))
