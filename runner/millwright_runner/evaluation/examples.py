"""Rows to evaluate on: the same texts and tokens that training would see, and where the answer begins in them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING

from millwright_runner.data import FoundData
from millwright_runner.data.encoding import BATCH_ROWS, adds_special, encode, renderer, trained_tokens
from millwright_runner.data.find import no_rows
from millwright_runner.data.reading import DataReader
from millwright_runner.data.text import Asked
from millwright_runner.data.tokens import Tokens
from millwright_runner.metrics import Example

if TYPE_CHECKING:
    from tokenizers import Encoding


def read_examples(found: FoundData, tokens: Tokens) -> list[Example]:
    """Reads all rows of a data set as questions. The format's maxLength cuts none: it is training's.

    Text: the prompt is what the template has before the answer; without an answer it is the whole text. Chat: the
    answer is the last turn, the prompt what the chat template writes before it.

    Args:
        found: the data set.
        tokens: the tokenizer.

    Raises:
        InvalidData: there are no rows; or a row that does not fit its format, or a conversation that does not end with the
            assistant's turn, with its place.
    """
    asked = renderer(found.spec, tokens).asked
    rows = ((place, asked(row, place)) for place, row in DataReader(found))
    special = adds_special(found.spec)
    examples: list[Example] = []
    while batch := list(itertools.islice(rows, BATCH_ROWS)):
        examples += _examples(batch, tokens, special=special)
    if not examples:
        raise no_rows(found.where)
    return examples


def _examples(batch: list[tuple[str, Asked]], tokens: Tokens, *, special: bool) -> Iterator[Example]:
    places, rows = [place for place, _ in batch], [row for _, row in batch]
    answered = any(row.span for row in rows)
    texts = encode(tokens, places, [row.text for row in rows], special=special, places=answered)
    prompts = encode(tokens, places, [row.prompt for row in rows], special=special, places=False)
    for place, row, text, prompt in zip(places, rows, texts, prompts, strict=True):
        yield Example(
            where=place,
            text=row.text,
            prompt=row.prompt,
            answer=row.answer,
            prompt_ids=prompt_tokens(prompt, tokens.end),
            text_ids=text.ids,
            answer_at=_answer_at(text, row.span, tokens.end),
        )


def prompt_tokens(prompt: Encoding, end: int | None) -> list[int]:
    """Returns a prompt's tokens, without the end-of-text token that the tokenizer has put after it: the answer goes on there."""
    ids = list(prompt.ids)
    while ids and ids[-1] == end and prompt.special_tokens_mask[len(ids) - 1]:
        ids.pop()
    return ids


def _answer_at(text: Encoding, span: tuple[int, int] | None, end: int | None) -> tuple[int, int] | None:
    if span is None:
        return None
    marks = trained_tokens(text, [span])
    if text.ids[-1:] == [end] and text.special_tokens_mask[-1]:
        marks[-1] = 1  # the tokenizer put it there, and training counts it
    return (marks.index(1), marks.rindex(1) + 1) if 1 in marks else None
