"""Tries the first rows of a data set on the model's tokenizer, as training will do with all of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from millwright_api.v1alpha1 import Data
from millwright_runner.data.encoding import tokenize
from millwright_runner.data.find import PlacedRow
from millwright_runner.data.tokens import load_tokens


def try_rows(rows: Sequence[PlacedRow], data: Data, tokenizer: Path) -> int:
    """Renders and tokenizes rows; returns how many tokens they are.

    Args:
        rows: the rows, with their places.
        data: the manifest's entry.
        tokenizer: a folder with the tokenizer's files.

    Raises:
        InvalidData: a row does not fit its format or the tokenizer's chat template.
        InvalidModel: the tokenizer cannot be used, or has no end-of-text token where one is needed.
    """
    tokens = load_tokens(tokenizer)
    if data.text is not None and data.format.joiner is None:
        tokens.required_end("one goes after each row")
    return sum(len(row.ids) for batch in tokenize(rows, data, tokens) for row in batch)
