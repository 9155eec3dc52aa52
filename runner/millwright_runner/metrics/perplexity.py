"""perplexity: how surprised a model is by a text, a token at a time."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, Literal, NamedTuple

from pydantic import Field

from millwright_api.errors import InvalidData
from millwright_runner.metrics import Example, Measured, Metric, MetricContext
from millwright_runner.metrics.batches import scored
from millwright_runner.metrics.intervals import bootstrap_ratio
from millwright_runner.subjects import Ids, Subject


class Perplexity(Metric):
    """Perplexity: e to the mean negative log-likelihood of a token; 1 is certainty. `perplexity: {of: answer}`"""

    name: ClassVar[str] = "perplexity"
    unit: ClassVar[str] = "perplexity"
    higher_is_better: ClassVar[bool] = False
    needs_examples: ClassVar[bool] = True

    of: Literal["all", "answer"] = Field(
        default="all",
        description="Which tokens count: all but a row's first, or the answer's, as training with lossOn answer counts them. "
        "Default: all.",
    )
    max_length: int = Field(
        default=1024,
        ge=2,
        le=1_048_576,
        description="Longest window, in tokens. Longer rows are cut into windows that overlap by half; each token counts once, "
        "in the first window that has it. Default: 1024.",
    )
    batch_size: int = Field(default=8, ge=1, le=1024, description="Windows that are scored at once. Default: 8.")

    def key_options(self) -> dict[str, Any]:
        """All but the batch's size."""
        return self.model_dump(mode="json", exclude={"batch_size"})

    def compares_answers(self) -> bool:
        """Whether only the answer counts: then the data set has to name it."""
        return self.of == "answer"

    def measure(self, model: Subject, context: MetricContext) -> Measured:
        """Scores all rows; the interval is the bootstrap's over rows.

        Raises:
            InvalidData: there is no token to predict, or a window is longer than the model takes.
        """
        rows = [_counted(example, self.of) for example in context.examples]
        windows = [
            (index, window)
            for index, (example, counted) in enumerate(zip(context.examples, rows, strict=True))
            for window in cut(example.text_ids, counted, self.max_length)
        ]
        if not windows:
            raise InvalidData(
                f"there is no token to predict in {len(rows)} rows",
                hint="a row needs two tokens, of which the first is never predicted",
            )
        texts = [window.ids for _, window in windows]
        try:
            arrays = scored(model, texts, batch_size=self.batch_size, check=context.check)
        except InvalidData as error:
            error.hint = f"set maxLength, which is {self.max_length}, to what the model takes"
            raise
        surprise, tokens = [0.0] * len(rows), [0] * len(rows)
        for (index, window), array in zip(windows, arrays, strict=True):
            surprise[index] -= float(array[window.start - 1 : window.stop - 1].sum(dtype="float64"))
            tokens[index] += window.stop - window.start
        told = [index for index, count in enumerate(tokens) if count]
        return _measured([surprise[index] for index in told], [tokens[index] for index in told])


class Window(NamedTuple):
    """A part of a row: its tokens, and which of them are predicted in it: from, to."""

    ids: Ids
    start: int
    stop: int


def cut(ids: Ids, counted: tuple[int, int], length: int) -> Iterator[Window]:
    """Yields windows that together predict each of the counted tokens once.

    Each window but the first begins half a window after the one before it, so that what it predicts has at least half a
    window before it: transformers' strided evaluation of texts of fixed length.

    Args:
        ids: a row's tokens.
        counted: those that are to be predicted: from, to; the first of a row never is.
        length: tokens in a window, at most; at least two.
    """
    first, last = max(counted[0], 1), counted[1]
    stride = max(1, length // 2)
    begin, done = 0, 1
    while done < last:
        end = min(begin + length, len(ids))
        start, stop = max(done, first), min(end, last)
        if start < stop:
            yield Window(ids[begin:stop], start - begin, stop - begin)
        begin, done = begin + stride, end


def _counted(example: Example, of: str) -> tuple[int, int]:
    if of == "all":
        return 1, len(example.text_ids)
    if example.answer_at is None and example.answer:
        raise InvalidData(
            "the chat template writes earlier turns anew when later ones follow: the answer's tokens cannot be told",
            where=example.where,
            hint="set of to all, or mark the answer with {% generation %} in the template",
        )
    return example.answer_at or (0, 0)


def _measured(surprise: Sequence[float], tokens: Sequence[int]) -> Measured:
    mean = math.fsum(surprise) / sum(tokens) if not any(map(math.isnan, surprise)) else math.nan
    low: float | None = None
    high: float | None = None
    if len(surprise) > 1 and math.isfinite(mean):
        low, high = (_exp(end) for end in bootstrap_ratio(surprise, tokens))
    return Measured(_exp(mean), low, high, len(surprise), {"tokens": float(sum(tokens))})


def _exp(number: float) -> float:
    """e to a number; infinity where that is too large."""
    try:
        return math.exp(number)
    except OverflowError:
        return math.inf
