"""What metrics share that compare a model's answers with the right ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar

from pydantic import Field

from millwright_api.errors import InvalidData, suggest
from millwright_runner.data.tokens import Tokens
from millwright_runner.metrics import Asking, Example, Metric, MetricContext, Sample
from millwright_runner.metrics.labels import check_labels

SAMPLES = 8
"""Questions and answers that are kept for people to look at: the data set's first ones."""


class AskingMetric(Metric):
    """A metric that compares answers: how the model is asked for them, and what is the same answer."""

    needs_examples: ClassVar[bool] = True
    needs_answers: ClassVar[bool] = True

    max_new_tokens: int = Field(
        default=32, ge=1, le=32768, description="Longest answer, in tokens; not for labels. Default: 32."
    )
    batch_size: int = Field(default=16, ge=1, le=1024, description="Prompts that are asked at once. Default: 16.")
    labels: list[Annotated[str, Field(min_length=1, max_length=256)]] | None = Field(
        default=None,
        min_length=2,
        max_length=256,
        description="Answers to choose from: the most probable one after the prompt. Default: free text.",
    )
    stop: list[Annotated[str, Field(min_length=1, max_length=64)]] = Field(
        default=["\n"],
        max_length=16,
        description="An answer ends before any of these texts; not for labels. Default: a line's end.",
    )
    ignore_case: bool = Field(
        default=False, description="Upper and lower case are the same. Default: false, they differ."
    )

    def key_options(self) -> dict[str, Any]:
        """All but the batch's size, and of labels what matters for labels."""
        unused = {"batch_size"} | ({"max_new_tokens", "stop"} if self.labels else set())
        return self.model_dump(mode="json", exclude=unused)

    def check(self, tokens: Tokens) -> None:
        """Refuses labels that the tokenizer cannot tell apart. Raises InvalidManifest."""
        if self.labels:
            check_labels(self.labels, tokens)

    def asking(self) -> Asking:
        """Returns how answers are asked for."""
        if self.labels:
            return Asking(new_tokens=1, batch_size=self.batch_size, labels=tuple(self.labels))
        return Asking(self.max_new_tokens, self.batch_size, tuple(self.stop))

    def pairs(self, context: MetricContext) -> list[tuple[str, str]]:
        """Asks the model; returns each right answer with the model's, both as they are compared.

        Raises:
            InvalidData: a right answer is none of the labels.
        """
        expected = [self.compared(example.answer or "") for example in context.examples]
        if self.labels:
            known = [self.compared(label) for label in self.labels]
            for example, right in zip(context.examples, expected, strict=True):
                if right not in known:
                    raise InvalidData(
                        f"the right answer {(example.answer or '')[:80]!r} is none of the labels",
                        where=example.where,
                        hint=suggest(example.answer or "", self.labels),
                    )
        given = context.answers(self.asking())
        return [(right, self.compared(answer)) for right, answer in zip(expected, given, strict=True)]

    def compared(self, answer: str) -> str:
        """Returns an answer as it is compared: without white space around it, and without case when that is ignored."""
        answer = answer.strip()
        return answer.casefold() if self.ignore_case else answer

    def samples(self, context: MetricContext) -> tuple[Sample, ...]:
        """Returns the first questions with the model's answers."""
        given = context.answers(self.asking())[:SAMPLES]
        return tuple(_sample(example, answer) for example, answer in zip(context.examples, given, strict=False))


def share_empty(pairs: Sequence[tuple[str, str]]) -> float:
    """Returns the share of pairs in which the model's answer is empty."""
    return sum(not answer for _, answer in pairs) / len(pairs)


def _sample(example: Example, answer: str) -> Sample:
    return Sample(example.prompt, example.answer, answer)


__all__ = ["SAMPLES", "AskingMetric", "share_empty"]
