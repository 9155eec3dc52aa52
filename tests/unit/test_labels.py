"""Labels as tokens: which sets a model can choose from, and which the tokenizer confounds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from tests.tiny import make_tokenizer
from tokenizers import Tokenizer, normalizers

from millwright_api.errors import InvalidManifest
from millwright_runner.data.tokens import Tokens, load_tokens
from millwright_runner.metrics.labels import check_labels, closed

END = 1


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> Tokens:
    return load_tokens(make_tokenizer(tmp_path_factory.mktemp("tokenizer")))


def refusal(labels: list[str], tokens: Tokens) -> InvalidManifest:
    with pytest.raises(InvalidManifest) as caught:
        check_labels(labels, tokens)
    assert caught.value.exit_code == 2
    return caught.value


class TestWhatCanBeChosenFrom:
    @pytest.mark.parametrize(
        "labels", [["sad", "joy", "fear", "surprise"], ["yes", "no"], ["0", "1", "2"], [" joy", " sad"], ["é", "è"]]
    )
    def test_labels_of_different_tokens_are_fine(self, labels: list[str], tokens: Tokens) -> None:
        check_labels(labels, tokens)

        ids = [tokens.in_context(label) for label in labels]
        assert closed(labels, ids, END) == ids

    def test_a_label_that_begins_another_is_told_from_it_by_the_end_token(self, tokens: Tokens) -> None:
        check_labels(["joy", "joyful", "sad"], tokens)

        assert closed(["a", "ab", "c"], [[5], [5, 6], [7]], END) == [[5, END], [5, 6, END], [7, END]]


class TestWhatIsRefused:
    def test_a_label_that_begins_another_where_there_is_no_end_token(self, tokens: Tokens) -> None:
        error = refusal(["joy", "joyful"], replace(tokens, end=None))

        assert str(error) == (
            "labels: 'joyful' begins with 'joy', which would always be the more probable one "
            "(use labels of which none begins another, or set eos_token in tokenizer_config.json)"
        )

    @pytest.mark.parametrize("empty", ["", " ", "\n\t"])
    def test_an_empty_label_with_its_place(self, empty: str, tokens: Tokens) -> None:
        error = refusal(["joy", empty], tokens)

        assert (error.where, error.message) == ("labels[1]", "the label is empty")

    @pytest.mark.parametrize("twice", [["joy", "sad", "joy"], ["joy", " joy"]])
    def test_the_same_answer_twice(self, twice: list[str], tokens: Tokens) -> None:
        error = refusal(twice, tokens)

        assert error.where == "labels"
        assert "are the same answer" in error.message

    def test_labels_that_the_tokenizer_makes_equal(self, tmp_path: Path) -> None:
        folder = make_tokenizer(tmp_path / "tokenizer")
        file = str(folder / "tokenizer.json")
        tokenizer = Tokenizer.from_file(file)
        tokenizer.normalizer = normalizers.Lowercase()
        tokenizer.save(file)

        error = refusal(["Joy", "sad", "joy"], load_tokens(folder))

        assert error.message == "'Joy' and 'joy' become the same tokens: the tokenizer cannot tell the labels apart"

    def test_a_label_that_the_tokenizer_swallows(self, tmp_path: Path) -> None:
        folder = make_tokenizer(tmp_path / "tokenizer")
        file = str(folder / "tokenizer.json")
        tokenizer = Tokenizer.from_file(file)
        tokenizer.normalizer = normalizers.Replace("?", "")
        tokenizer.save(file)

        error = refusal(["joy", "?"], load_tokens(folder))

        assert error.message == "'?' becomes no token: the tokenizer cannot tell the labels apart"
