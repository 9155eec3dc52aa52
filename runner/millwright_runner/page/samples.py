"""Answers of two models side by side: which questions both were asked, which words differ, who was right."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from millwright_runner.page.document import Kept, Sample

MOST, LONGEST = 24, 700
"""Questions shown, and characters of each text: the page stays far below a megabyte."""


@dataclass(frozen=True)
class Words:
    """A piece of an answer.

    Attributes:
        text: its words, with the white space between them.
        differs: whether the other model's answer does not have them here.
    """

    text: str
    differs: bool


@dataclass(frozen=True)
class Answer:
    """What one model said.

    Attributes:
        words: the answer, in pieces.
        right: whether it is the right answer; None where none is known.
    """

    words: list[Words]
    right: bool | None


@dataclass(frozen=True)
class Pair:
    """A question with two answers.

    Attributes:
        prompt: the question.
        expected: the right answer.
        before: what the first model said.
        after: what the last one said.
    """

    prompt: str
    expected: str | None
    before: Answer
    after: Answer


def pairs(before: Mapping[str, Kept], after: Mapping[str, Kept]) -> list[Pair]:
    """Returns the questions that both models have answered, each once; those whose answers differ come first.

    Args:
        before: what the first model's metrics found, by their names.
        after: the same of the last model.
    """
    found: dict[tuple[str, str | None, str, str], Pair] = {}
    for name in (name for name in before if name in after):
        answered = {(one.prompt, one.expected): one for one in after[name].samples}
        for one in before[name].samples:
            other = answered.get((one.prompt, one.expected))
            if other is not None:
                found.setdefault((one.prompt, one.expected, one.answer, other.answer), _pair(one, other))
    ordered = sorted(found.items(), key=lambda item: item[0][2].strip() == item[0][3].strip())
    return [pair for _, pair in ordered[:MOST]]


def _pair(before: Sample, after: Sample) -> Pair:
    one, other = _short(before.answer.strip()), _short(after.answer.strip())
    first, second = _pieces(one), _pieces(other)
    matcher = difflib.SequenceMatcher(None, first, second, autojunk=False)
    codes = matcher.get_opcodes()
    return Pair(
        _short(before.prompt.strip(), tail=True),
        _short(before.expected.strip()) if before.expected is not None else None,
        Answer(list(_marked(first, [(a, b, tag) for tag, a, b, _, _ in codes])), _right(before)),
        Answer(list(_marked(second, [(a, b, tag) for tag, _, _, a, b in codes])), _right(after)),
    )


def _marked(pieces: Sequence[str], spans: Sequence[tuple[int, int, str]]) -> Iterator[Words]:
    for start, end, tag in spans:
        text = "".join(pieces[start:end])
        bare = text.lstrip()
        if len(bare) < len(text):
            yield Words(text[: len(text) - len(bare)], False)  # a gap is no difference
        if bare:
            yield Words(bare, tag != "equal")


def _pieces(text: str) -> list[str]:
    return re.findall(r"\s*\S+", text)


def _right(sample: Sample) -> bool | None:
    return None if sample.expected is None else sample.answer.strip() == sample.expected.strip()


def _short(text: str, *, tail: bool = False) -> str:
    """Cuts what is too long: of a prompt the beginning, since the question stands at its end."""
    if len(text) <= LONGEST:
        return text
    return f"…{text[-LONGEST:]}" if tail else f"{text[:LONGEST]}…"
