"""Asks a model: free answers, or the most probable one of a set of labels."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from millwright_api.errors import InvalidData, InvalidManifest
from millwright_runner.data.tokens import Tokens
from millwright_runner.metrics import Asking, Example
from millwright_runner.metrics.batches import BATCHES_AT_ONCE, scored
from millwright_runner.metrics.labels import closed
from millwright_runner.subjects import Ids, Subject
from millwright_runner.subjects.batches import batches

Check = Callable[[], None]


def answers(model: Subject, examples: Sequence[Example], tokens: Tokens, asking: Asking, check: Check) -> list[str]:
    """Returns the model's answer to each example, in order.

    Args:
        model: the model.
        examples: the questions.
        tokens: the tokenizer.
        asking: how they are asked.
        check: called now and then; raises when a stop was asked for.

    Raises:
        InvalidData: an example has nothing before its answer, or is longer than the model takes, or after its prompt the
            labels cannot be told apart.
    """
    for example in examples:
        if not example.prompt_ids:
            raise InvalidData(
                "nothing stands before the answer: there is no question to ask",
                where=example.where,
                hint="put the answer's column after other text in the template",
            )
    try:
        return (_chosen if asking.labels else _written)(model, examples, tokens, asking, check)
    except InvalidData as error:
        if error.where is None:  # a model knows no rows: what it cannot take is the longest
            error.where = max(examples, key=lambda example: len(example.prompt_ids)).where
        raise


def _written(model: Subject, examples: Sequence[Example], tokens: Tokens, asking: Asking, check: Check) -> list[str]:
    """Free text: what the model writes, up to the first stop."""
    prompts = _prompts(examples, tokens)
    stops = [ids for text in asking.stop if text in tokens.tokenizer.decode(ids := tokens.in_context(text))]
    found: dict[int, list[int]] = {}
    for chunk in batches(prompts, asking.batch_size * BATCHES_AT_ONCE):
        check()
        asked = [prompts[index] for index in chunk]
        made = model.generate(asked, new_tokens=asking.new_tokens, batch_size=asking.batch_size, stop=stops)
        found |= zip(chunk, made, strict=True)
    texts = tokens.tokenizer.decode_batch([found[index] for index in range(len(prompts))], skip_special_tokens=True)
    return [_cut(text, asking.stop) for text in texts]


def _cut(text: str, stop: Sequence[str]) -> str:
    return text[: min((at for end in stop if (at := text.find(end)) >= 0), default=len(text))]


def _prompts(examples: Sequence[Example], tokens: Tokens) -> list[Ids]:
    """The prompts' tokens. Where the tokenizer makes one token of a space and the word after it, a model never sees the
    space alone: a prompt that ends in one is asked without it, and the model writes the space itself."""
    return [
        _without_space(example, tokens) if example.prompt.endswith(" ") else example.prompt_ids for example in examples
    ]


def _without_space(example: Example, tokens: Tokens) -> Ids:
    texts = [example.prompt, f"{example.prompt}a", example.prompt.rstrip(" ")]
    whole, longer, shorter = (encoding.ids for encoding in tokens.encode(texts, special=False, places=False))
    before = _special_before(example, whole)
    if longer[: len(whole)] == whole or not (before or shorter):
        return example.prompt_ids
    return [*before, *shorter]


def _special_before(example: Example, plain: Ids) -> list[int]:
    """What the tokenizer has put before a prompt whose own tokens are `plain`."""
    return list(example.prompt_ids[: len(example.prompt_ids) - len(plain)])


def _chosen(model: Subject, examples: Sequence[Example], tokens: Tokens, asking: Asking, check: Check) -> list[str]:
    """The label whose tokens are the most probable after the prompt; of equal ones the first. A model whose probabilities
    are no numbers chooses none."""
    labels, count = asking.labels, len(asking.labels)
    texts = [text for one in examples for text in (one.prompt, *(one.prompt + label for label in labels))]
    ids = [encoding.ids for encoding in tokens.encode(texts, special=False, places=False)]
    sequences: list[Ids] = []
    starts: list[int] = []
    for index, example in enumerate(examples):
        plain, *whole = ids[index * (count + 1) : (index + 1) * (count + 1)]
        before, following = _continued(example, plain, whole, labels, tokens.end)
        sequences += [[*before, *label] for label in following]
        starts += [len(before)] * count
    arrays = scored(model, sequences, batch_size=asking.batch_size * count, check=check)
    sums = [float(array[start - 1 :].sum(dtype="float64")) for array, start in zip(arrays, starts, strict=True)]
    return [_best(labels, sums[first : first + count]) for first in range(0, len(sums), count)]


def _continued(
    example: Example, plain: Ids, whole: Sequence[Ids], labels: Sequence[str], end: int | None
) -> tuple[list[int], list[list[int]]]:
    """Returns the tokens that all labels have before them, and those of each label.

    Prompt and label are tokenized together (`whole`): where the prompt's last tokens and a label's first ones become
    others, these belong to all labels, so that all are compared from the same place on.
    """
    shared = min(_common(plain, ids) for ids in whole)
    before = [*_special_before(example, plain), *plain[:shared]]
    if not before:
        raise InvalidData(
            "the tokenizer makes one token of the prompt and the labels",
            where=example.where,
            hint="let the template end in a new line before the answer",
        )
    try:
        return before, closed(labels, [list(ids[shared:]) for ids in whole], end)
    except InvalidManifest as error:
        raise InvalidData(f"after this prompt {error.message}", where=example.where, hint=error.hint) from error


def _common(one: Ids, other: Ids) -> int:
    """How many tokens two sequences share at their start."""
    return next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


def _best(labels: Sequence[str], sums: Sequence[float]) -> str:
    finite = [index for index, value in enumerate(sums) if math.isfinite(value)]
    return labels[max(finite, key=lambda index: sums[index])] if finite else ""
