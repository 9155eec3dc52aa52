"""Models as metrics see them: batches, ends, limits, and what is opened, all without a library that computes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests import tiny

from millwright_api.errors import ChainMismatch, InvalidData, InvalidModel
from millwright_runner.artifact import HF, HF_ADAPTER, ONNX_GENAI, Artifact
from millwright_runner.subjects import Timing
from millwright_runner.subjects.batches import (
    LOGITS_BYTES,
    batches,
    check_fits,
    end_ids,
    padded,
    pieces,
    stops,
    until_stop,
)
from millwright_runner.subjects.opening import open_subject

CPU = "CPUExecutionProvider"


class TestBatches:
    def test_those_of_like_length_are_together_and_the_longest_come_first(self) -> None:
        sequences = [[1], [1] * 9, [1] * 2, [1] * 8]

        assert list(batches(sequences, 2)) == [[1, 3], [2, 0]]

    def test_a_batch_takes_no_more_than_its_share_of_memory(self) -> None:
        sequences = [[1] * 4] * 5

        assert list(batches(sequences, 16, bytes_each=LOGITS_BYTES // 10)) == [[0, 1], [2, 3], [4]]

    def test_the_longest_of_a_batch_counts_for_all_of_it(self) -> None:
        sequences = [[1] * 8, [1], [1], [1]]

        assert list(batches(sequences, 16, bytes_each=LOGITS_BYTES // 16)) == [[0, 1], [2, 3]]

    def test_what_exceeds_the_memory_alone_is_a_batch_of_its_own(self) -> None:
        assert list(batches([[1, 2], [3, 4]], 16, bytes_each=LOGITS_BYTES)) == [[0], [1]]

    def test_nothing_makes_no_batch(self) -> None:
        assert list(batches([], 4)) == []

    @given(st.lists(st.integers(1, 50)), st.integers(1, 8), st.integers(0, LOGITS_BYTES))
    def test_each_sequence_is_in_one_batch_of_at_most_the_size(
        self, lengths: list[int], size: int, bytes_each: int
    ) -> None:
        made = list(batches([[0] * length for length in lengths], size, bytes_each=bytes_each))

        assert sorted(index for batch in made for index in batch) == list(range(len(lengths)))
        assert all(1 <= len(batch) <= size for batch in made)


class TestPieces:
    def test_what_fits_is_one_piece(self) -> None:
        assert pieces(10, 2, bytes_each=LOGITS_BYTES // 20) == [slice(0, 10)]

    def test_more_is_worked_on_in_parts(self) -> None:
        assert pieces(10, 1, bytes_each=LOGITS_BYTES // 4) == [slice(0, 4), slice(4, 8), slice(8, 10)]

    def test_no_part_but_the_last_is_of_one_token(self) -> None:
        assert pieces(5, 1, bytes_each=LOGITS_BYTES) == [slice(0, 2), slice(2, 4), slice(4, 5)]

    @given(st.integers(2, 60), st.integers(1, 8), st.integers(1, LOGITS_BYTES))
    def test_every_token_is_in_one_of_them_in_order(self, length: int, rows: int, bytes_each: int) -> None:
        made = pieces(length, rows, bytes_each=bytes_each)

        assert [position for part in made for position in range(length)[part]] == list(range(length))


class TestPadding:
    def test_rows_become_as_long_as_the_longest(self) -> None:
        assert padded([[5, 6], [7]], 0) == [[5, 6], [7, 0]]

    def test_on_the_left_they_all_end_at_the_same_place(self) -> None:
        assert padded([[5, 6], [7]], 0, left=True) == [[5, 6], [0, 7]]


class TestWhereAContinuationEnds:
    def test_at_the_end_token_which_is_left_out(self) -> None:
        assert until_stop([4, 5, 1, 6], {1, 2}, []) == [4, 5]

    def test_after_a_sequence_to_stop_after(self) -> None:
        assert until_stop([4, 5, 6, 7], {1}, [[5, 6]]) == [4, 5, 6]

    def test_the_first_of_them_counts(self) -> None:
        assert until_stop([4, 5, 6, 7, 1], {1}, [[6, 7], [5]]) == [4, 5]

    def test_nothing_to_stop_at_keeps_it_whole(self) -> None:
        assert until_stop([4, 5], set(), []) == [4, 5]

    def test_an_answer_may_be_empty(self) -> None:
        assert until_stop([1, 4], {1}, []) == []

    def test_a_sequence_longer_than_what_there_is_does_not_stop_it(self) -> None:
        assert not stops([6], {1}, [[5, 6]])

    @given(st.lists(st.integers(0, 4), max_size=12), st.lists(st.lists(st.integers(0, 4), min_size=1, max_size=3)))
    def test_what_comes_after_the_end_changes_nothing(self, ids: list[int], stop: list[list[int]]) -> None:
        kept = until_stop(ids, {0}, stop)

        assert kept == ids[: len(kept)]
        assert until_stop([*ids, 0, 3, 3], {0}, stop) == kept


class TestWhatAModelCanTake:
    def test_a_prompt_with_its_answer_may_fill_the_model(self) -> None:
        check_fits([[1] * 500], 12, longest=512, vocabulary=10, where=Path("m"))

    def test_more_is_refused_with_the_models_maximum(self) -> None:
        with pytest.raises(
            InvalidData, match="a text of 500 tokens and 13 new ones is more than the model takes, which is 512"
        ):
            check_fits([[1], [1] * 500], 13, longest=512, vocabulary=10, where=Path("m"))

    def test_a_text_to_score_has_no_new_tokens(self) -> None:
        with pytest.raises(InvalidData, match="a text of 513 tokens is more than the model takes, which is 512"):
            check_fits([[1] * 513], 0, longest=512, vocabulary=10, where=Path("m"))

    def test_a_model_that_names_no_maximum_takes_all(self) -> None:
        check_fits([[1] * 5000], 100, longest=None, vocabulary=10, where=Path("m"))

    def test_a_token_without_an_embedding_is_refused(self) -> None:
        with pytest.raises(InvalidModel, match="m: its tokenizer gives the token 10, and the model knows 10"):
            check_fits([[9, 10]], 0, longest=None, vocabulary=10, where=Path("m"))

    def test_no_text_is_no_trouble(self) -> None:
        check_fits([], 5, longest=4, vocabulary=10, where=Path("m"))


class TestEndTokens:
    def test_all_that_the_configs_name_and_the_tokenizers_end_a_text(self, tmp_path: Path) -> None:
        tiny.make_model_files(tmp_path, eos_token_id=7)
        (tmp_path / "generation_config.json").write_text(json.dumps({"eos_token_id": [4, 9]}))

        assert end_ids(tmp_path) == {1, 4, 7, 9}  # 1: the tokenizer's <|endoftext|>

    def test_genai_names_them_in_its_own_config(self, tmp_path: Path) -> None:
        (tmp_path / "genai_config.json").write_text(json.dumps({"model": {"eos_token_id": [2, 3]}}))

        assert end_ids(tmp_path) == {2, 3}

    def test_a_folder_may_name_none(self, tmp_path: Path) -> None:
        (tmp_path / "config.json").write_text(json.dumps({"eos_token_id": None}))

        assert end_ids(tmp_path) == frozenset()

    def test_an_adapter_ends_where_its_base_does(self, tmp_path: Path) -> None:
        base = Artifact(tiny.make_model_files(tmp_path / "base", eos_token_id=7), HF, "0" * 64)
        adapter = Artifact(tmp_path / "adapter", HF_ADAPTER, "1" * 64, base=base)

        assert open_subject(adapter, provider=CPU, trust_remote_code=False).end == {1, 7}


class TestOpening:
    def test_another_format_is_refused_with_those_that_are_possible(self, tmp_path: Path) -> None:
        with pytest.raises(
            ChainMismatch, match=r"format gguf cannot be asked anything; possible: hf, hf\+adapter, onnx-genai"
        ):
            open_subject(Artifact(tmp_path, "gguf", "0" * 64), provider=CPU, trust_remote_code=False)

    def test_an_adapter_needs_its_base(self, tmp_path: Path) -> None:
        with pytest.raises(InvalidModel, match="does not say what it sits on"):
            open_subject(Artifact(tmp_path, HF_ADAPTER, "0" * 64), provider=CPU, trust_remote_code=False)

    def test_a_genai_config_without_a_length_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "genai_config.json").write_text(json.dumps({"model": {"vocab_size": 512}}))
        model = open_subject(Artifact(tmp_path, ONNX_GENAI, "0" * 64), provider=CPU, trust_remote_code=False)

        with pytest.raises(InvalidModel, match=r"genai_config.json has no model.context_length"):
            model.generate([[1]], new_tokens=1, batch_size=1)

    def test_nothing_heavy_is_imported_before_the_first_question(self, tmp_path: Path) -> None:
        tiny.make_model_files(tmp_path)
        code = f"""
import sys
from pathlib import Path
from millwright_runner.artifact import Artifact
from millwright_runner.subjects.opening import open_subject
for format in ("hf", "onnx-genai"):
    model = open_subject(Artifact(Path({str(tmp_path)!r}), format, ""), provider={CPU!r}, trust_remote_code=False)
    assert model.end == {{1}}
    model.close()
print(sorted({{"torch", "transformers", "peft", "numpy", "onnxruntime", "onnxruntime_genai"}} & set(sys.modules)))
"""
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

        assert done.stdout == "[]\n"


def test_times_are_what_lies_between_moments() -> None:
    assert Timing.between([1.0, 3.0, 3.5, 4.5]) == Timing(first=2.0, following=(0.5, 1.0))
