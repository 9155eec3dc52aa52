"""Rows to tokens, in batches: one is tokenized on all cores while Python makes the texts of the next one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NamedTuple

from millwright_api.errors import InvalidData
from millwright_api.v1alpha1 import Data
from millwright_runner.data.text import Rendered, TextRenderer
from millwright_runner.data.tokens import Tokens

if TYPE_CHECKING:
    from tokenizers import Encoding

    from millwright_runner.data.chat import ChatRenderer

BATCH_CHARACTERS, BATCH_ROWS = 1 << 17, 2048
"""A batch is full at either: enough work for all cores, and at 100 bytes a token a few megabytes."""

Render = Callable[[dict[str, Any], str], Rendered]


class Row(NamedTuple):
    """A row as tokens.

    Attributes:
        ids: token ids.
        trained: one byte a token, 1 where training counts it; None: all count.
        ended: whether its text ends in the end-of-text token already.
    """

    ids: list[int]
    trained: bytearray | None
    ended: bool


def renderer(data: Data, tokens: Tokens) -> TextRenderer | ChatRenderer:
    """Returns what makes texts of rows, by the entry's format.

    Raises:
        InvalidData: it is chat, and the tokenizer has no chat template.
    """
    if data.text is not None:
        return TextRenderer(data.text, f"spec.data[{data.name}].text")
    from millwright_runner.data.chat import ChatRenderer  # imports jinja2

    assert data.chat is not None  # the manifest has exactly one of the two
    return ChatRenderer(data.chat, tokens)


def tokenize(rows: Iterable[tuple[str, dict[str, Any]]], data: Data, tokens: Tokens) -> Iterator[list[Row]]:
    """Yields all rows as tokens, a batch at a time.

    Args:
        rows: each row's place as a message names it, and the row.
        data: the manifest's entry.
        tokens: the tokenizer.

    Raises:
        InvalidData: a row that does not fit its format, with its place.
    """
    render = renderer(data, tokens)
    with ThreadPoolExecutor(1) as pool:
        waiting: Future[list[Encoding]] | None = None
        batch: list[Rendered] = []
        for places, next_batch in _batches(rows, render):
            future = pool.submit(_encode, tokens, data, places, next_batch)
            if waiting is not None:
                yield _rows(batch, waiting.result(), data, tokens)
            waiting, batch = future, next_batch
        if waiting is not None:
            yield _rows(batch, waiting.result(), data, tokens)


def _batches(rows: Iterable[tuple[str, dict[str, Any]]], render: Render) -> Iterator[tuple[list[str], list[Rendered]]]:
    places: list[str] = []
    batch: list[Rendered] = []
    characters = 0
    for place, row in rows:
        rendered = render(row, place)
        places.append(place)
        batch.append(rendered)
        characters += len(rendered.text)
        if characters >= BATCH_CHARACTERS or len(batch) == BATCH_ROWS:
            yield places, batch
            places, batch, characters = [], [], 0
    if batch:
        yield places, batch


def encode(tokens: Tokens, where: list[str], texts: list[str], *, special: bool, places: bool) -> list[Encoding]:
    """Tokenizes rows; see `Tokens.encode`.

    Args:
        tokens: the tokenizer.
        where: each row's place as a message names it.
        texts: the rows' texts.
        special: whether tokens are added that the tokenizer puts around a text.
        places: whether the encodings know which characters each token stands for.

    Raises:
        InvalidData: a text with half a character, with its place.
    """
    try:
        return tokens.encode(texts, special=special, places=places)
    except (TypeError, UnicodeError):
        for place, text in zip(where, texts, strict=True):
            try:
                text.encode()
            except UnicodeEncodeError as error:
                raise InvalidData(f"{text[error.start]!r} is half a character and no text", where=place) from error
        raise


def adds_special(data: Data) -> bool:
    """Whether the tokenizer puts its special tokens around a row: a chat template writes all of them itself."""
    return data.chat is None


def _encode(tokens: Tokens, data: Data, places: list[str], batch: list[Rendered]) -> list[Encoding]:
    texts = [rendered.text for rendered in batch]
    return encode(tokens, places, texts, special=adds_special(data), places=data.format.loss_on == "answer")


def _rows(batch: list[Rendered], encodings: list[Encoding], data: Data, tokens: Tokens) -> list[Row]:
    ending = tokens.special.get("eos_token") if data.chat else None
    rows: list[Row] = []
    for rendered, encoding in zip(batch, encodings, strict=True):
        ids = encoding.ids
        ended = ids[-1:] == [tokens.end] or (ending is not None and rendered.text.rstrip().endswith(ending))
        trained = None
        if rendered.spans is not None:
            trained = trained_tokens(encoding, rendered.spans)
            if ended and data.text:  # the tokenizer put it there, where no character is
                trained[-1] = 1
        rows.append(Row(ids, trained, ended))
    return rows


def trained_tokens(encoding: Encoding, spans: list[tuple[int, int]]) -> bytearray:
    """Marks, one byte a token, those that hold a character of a span; one that reaches beyond a span's end into what follows is out.

    A token that begins before a span is in: the model has to write it to write the span.
    """
    length = len(encoding)
    trained = bytearray(length)
    for start, end in spans:
        token = _first_token(encoding, start, end, length)
        while token < length and (place := encoding.token_to_chars(token)) and place[1] <= end:
            trained[token] = 1
            token += 1
    return trained


def _first_token(encoding: Encoding, start: int, end: int, length: int) -> int:
    """Returns the first token that reaches beyond `start`.

    White space may belong to no token, or to one that says it stands for nothing and lies where the space ends (as
    byte-level tokenizers do that trim their offsets): so a token is looked for ahead, and then back from there.
    """
    token = next((token for at in range(start, end) if (token := encoding.char_to_token(at)) is not None), length)
    if token == length:
        while token > 0 and encoding.token_to_chars(token - 1) is None:
            token -= 1  # special tokens at the end stand for no text
    while token > 0 and (place := encoding.token_to_chars(token - 1)) and place[1] > start:
        token -= 1
    return token
