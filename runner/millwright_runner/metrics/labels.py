"""Answers to choose from, as tokens: which of them the tokenizer can tell apart.

A label is chosen by the probability of its tokens. One whose tokens begin another's would always be the more probable of
the two; so where that is, all labels are followed by the end-of-text token, which says that nothing more comes.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from millwright_api.errors import InvalidManifest
from millwright_runner.data.tokens import Tokens

WHERE = "labels"
"""The option's name, for messages."""


def check_labels(labels: Sequence[str], tokens: Tokens) -> None:
    """Refuses labels that no model could choose between.

    Raises:
        InvalidManifest: a label is empty, two are the same text or the same tokens, or one begins another and there is no
            end-of-text token that tells them apart.
    """
    for index, label in enumerate(labels):
        if not label.strip():
            raise InvalidManifest("the label is empty", where=f"{WHERE}[{index}]", hint="name what can be answered")
    for one, other in itertools.combinations(labels, 2):
        if one.strip() == other.strip():
            raise InvalidManifest(
                f"{one!r} and {other!r} are the same answer: white space around it does not count",
                where=WHERE,
                hint="leave one of them out",
            )
    closed(labels, [tokens.in_context(label) for label in labels], tokens.end)


def closed(labels: Sequence[str], ids: Sequence[list[int]], end: int | None) -> list[list[int]]:
    """Returns the labels' tokens so that none begins another: with the end-of-text token behind, where that is needed.

    Args:
        labels: their texts, for messages.
        ids: their tokens.
        end: the end-of-text token; None when there is none.

    Raises:
        InvalidManifest: see `check_labels`.
    """
    open_ended = False
    for (one, first), (other, second) in itertools.permutations(zip(labels, ids, strict=True), 2):
        if first == second or not first:
            same = f"{one!r} and {other!r} become the same tokens" if first else f"{one!r} becomes no token"
            raise InvalidManifest(
                f"{same}: the tokenizer cannot tell the labels apart",
                where=WHERE,
                hint="use labels of other words, and train on the same ones",
            )
        if second[: len(first)] == first:
            open_ended = True
            if end is None:
                raise InvalidManifest(
                    f"{other!r} begins with {one!r}, which would always be the more probable one",
                    where=WHERE,
                    hint="use labels of which none begins another, or set eos_token in tokenizer_config.json",
                )
    return [[*label, end] for label in ids] if open_ended and end is not None else [list(label) for label in ids]
