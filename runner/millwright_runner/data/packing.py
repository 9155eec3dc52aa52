"""Packs rows: tokenizes them and lays the tokens down as sequences, in memory that does not grow with them.

First all rows are written one after the other, each followed by the joiner where the strategy has one. Then
line-by-line's sequences are the rows, and join's are windows on all of it. Shuffling reorders the rows in between.
"""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

from millwright_api.errors import InvalidData, MillwrightError, NoSpaceLeft
from millwright_api.names import fingerprint
from millwright_api.v1alpha1 import Data
from millwright_runner.data.encoding import Row, tokenize
from millwright_runner.data.find import FoundData, no_rows
from millwright_runner.data.layout import RowWriter, cut_windows, shuffle_index, shuffle_rows
from millwright_runner.data.reading import DataReader, Tell
from millwright_runner.data.sequences import Counts, PackedSequences, open_packed, write_record
from millwright_runner.data.tokens import Tokens, load_tokens
from millwright_runner.stores.disk import FULL

VERSION = 1
"""Raise it when the same rows become other sequences."""

NOTHING = Row([], None, True)


def pack(found: FoundData, tokenizer: Path, folder: Path, tell: Tell) -> PackedSequences:
    """Tokenizes all rows into a folder; returns at once when it holds them already.

    Args:
        found: the data set.
        tokenizer: a folder with the tokenizer's files.
        folder: for the sequences; what else it holds is removed.
        tell: told bytes read and bytes in all.

    Raises:
        InvalidData: a row that does not fit its format, or nothing is left to train on.
        InvalidModel: the tokenizer cannot be used.
        NoSpaceLeft: the disk cannot hold the tokens, which take about as much as the file.
    """
    data, tokens = found.spec, load_tokens(tokenizer)
    key = fingerprint([VERSION, found.digest, tokens.digest])
    ready = open_packed(folder, key, data.format)
    if ready is not None:
        return ready
    shutil.rmtree(folder, ignore_errors=True)
    try:
        folder.mkdir(parents=True)
        counts = _lay_down(found, tokens, folder, tell)
        write_record(folder, key, counts)
    except OSError as error:
        if error.errno not in FULL:
            raise
        shutil.rmtree(folder, ignore_errors=True)
        raise NoSpaceLeft(
            "no space left for the tokens",
            where=str(folder),
            hint="they take about as much as the rows; set MILLWRIGHT_HOME or the output to a larger disk",
        ) from error
    return PackedSequences(folder, data.format, counts)


def _lay_down(found: FoundData, tokens: Tokens, folder: Path, tell: Tell) -> Counts:
    data, joins = found.spec, found.spec.format.strategy == "join"
    counts = _write_joined(found, tokens, folder, tell) if joins else _write_lines(found, tokens, folder, tell)
    if not counts.rows:
        raise no_rows(found.where)
    seed = data.format.shuffle_seed
    if seed is not None:
        (shuffle_rows if joins else shuffle_index)(folder, seed)
    if joins:
        counts = cut_windows(folder, data.format.max_length, data.format.stride or data.format.max_length, counts)
    if not counts.sequences:
        raise InvalidData(
            f"nothing to train on: in {counts.rows} rows there is no token that the loss would count",
            where=found.where,
            hint="a sequence needs two tokens, of which the first is never predicted",
        )
    return counts


def _write_joined(found: FoundData, tokens: Tokens, folder: Path, tell: Tell) -> Counts:
    data, rows = found.spec, 0
    joiner = _joiner(data, tokens)
    reader = DataReader(found)
    always = data.format.joiner is not None
    with RowWriter(folder, masked=data.format.loss_on == "answer") as writer:
        for batch in tokenize(reader, data, tokens):
            writer.add([row._replace(ended=False) for row in batch] if always else batch, joiner)
            rows += len(batch)
            tell(reader.done, reader.total)
    return Counts(rows=rows)


def _joiner(data: Data, tokens: Tokens) -> Row:
    """Returns what comes between two rows. The end-of-text token is part of an answer; text of the user's is not."""
    text = data.format.joiner
    ids = [tokens.required_end("join puts one between two rows")] if text is None else tokens.in_context(text)
    return Row(ids, bytearray(data.text is not None and i == tokens.end for i in ids), True)


def _write_lines(found: FoundData, tokens: Tokens, folder: Path, tell: Tell) -> Counts:
    data, limit = found.spec, found.spec.format.max_length
    end = tokens.required_end("line-by-line puts one after each row") if data.text else None
    reader = DataReader(found)
    counts, shortest = Counts(), 0
    with RowWriter(folder, masked=data.format.loss_on == "answer") as writer:
        for batch in tokenize(reader, data, tokens):
            rows = [_closed(row, end) for row in batch]
            short = [row for row in rows if len(row.ids) <= limit]
            kept = [row for row in short if len(row.ids) > 1 and (row.trained is None or 1 in row.trained[1:])]
            writer.add(kept, NOTHING)
            shortest = min([len(row.ids) for row in rows] + ([shortest] if shortest else []))
            counts = _counted(counts, len(rows), len(short), [len(row.ids) for row in kept])
            tell(reader.done, reader.total)
    if counts.rows and counts.left_out == counts.rows:
        raise _too_long(found, counts, shortest, limit)
    return counts


def _closed(row: Row, end: int | None) -> Row:
    """A row with its end-of-text token; a chat template has put down its own."""
    if end is None or row.ended:
        return row
    return Row([*row.ids, end], None if row.trained is None else row.trained + b"\1", True)


def _counted(counts: Counts, rows: int, short: int, kept: list[int]) -> Counts:
    return replace(
        counts,
        rows=counts.rows + rows,
        left_out=counts.left_out + rows - short,
        untrained=counts.untrained + short - len(kept),
        sequences=counts.sequences + len(kept),
        tokens=counts.tokens + sum(kept),
        longest=max([counts.longest, *kept]),
    )


def _too_long(found: FoundData, counts: Counts, shortest: int, limit: int) -> MillwrightError:
    return InvalidData(
        f"all {counts.rows} rows are longer than maxLength {limit}; the shortest has {shortest} tokens",
        where=found.where,
        hint=f"set maxLength to {shortest} or more, or strategy to join",
    )
