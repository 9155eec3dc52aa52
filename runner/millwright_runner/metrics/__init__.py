"""The page an expert reads: what a metric is.

A metric is a class whose fields are its options. Put it into a module of your own package, give it an entry point in
the group `millwright.metrics`, and write its name into a manifest:

    class Politeness(Metric):
        '''Share of answers that say please.'''

        name = "politeness"
        unit = "share"
        higher_is_better = True
        needs_answers = True

        word: str = Field(default="please", min_length=1, description="What is looked for. Default: please.")

        def measure(self, model: Subject, context: MetricContext) -> Measured:
            answers = context.answers(Asking(new_tokens=64))
            return estimate([float(self.word in answer) for answer in answers])

Built-in metrics are registered the same way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Protocol

from millwright_api.base import Strict
from millwright_runner.data.tokens import Tokens
from millwright_runner.subjects import Ids, Subject


@dataclass(frozen=True)
class Example:
    """A row to evaluate on.

    Attributes:
        where: how a message names it.
        text: all of it, as training would see it.
        prompt: the text up to where the answer begins.
        answer: what is right; None where the format names no answer.
        prompt_ids: the prompt's tokens.
        text_ids: all tokens.
        answer_at: which of these are the answer's, as training on answers counts them: from, to; None where there is no
            answer, or the text does not go on from the prompt.
    """

    where: str
    text: str
    prompt: str
    answer: str | None
    prompt_ids: Ids
    text_ids: Ids
    answer_at: tuple[int, int] | None = None


@dataclass(frozen=True)
class Asking:
    """How answers are asked for; metrics that ask alike share the answers.

    Attributes:
        new_tokens: ids generated at most.
        batch_size: prompts at once.
        stop: an answer ends before any of these texts.
        labels: answers to choose from, by their probability after the prompt; empty: free text.
    """

    new_tokens: int
    batch_size: int = 16
    stop: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()


@dataclass(frozen=True)
class Sample:
    """One question and its answer, for people to look at: prompt, what is right, what the model said."""

    prompt: str
    expected: str | None
    answer: str


@dataclass(frozen=True)
class Measured:
    """What a metric found.

    Attributes:
        value: in the metric's unit.
        low: lower end of the 95 % interval; None where the value is no estimate.
        high: its upper end.
        n: examples, or repetitions, that it is of.
        details: more figures, by camelCase name.
        scores: one for each example, in order, where the value is their mean: two models are compared by them.
        samples: a few questions and answers.
    """

    value: float
    low: float | None = None
    high: float | None = None
    n: int | None = None
    details: dict[str, float] = field(default_factory=dict)
    scores: tuple[float, ...] = ()
    samples: tuple[Sample, ...] = ()


class MetricContext(Protocol):
    """What a metric gets besides the model."""

    @property
    def examples(self) -> Sequence[Example]:
        """Rows of the metric's data set, in order; empty where it needs none."""

    @property
    def rows(self) -> Sequence[tuple[str, dict[str, Any]]]:
        """The same rows as they stand in the data set, all columns, each with its place as a message names it."""

    @property
    def tokens(self) -> Tokens:
        """The tokenizer."""

    @property
    def scratch(self) -> Path:
        """An empty folder."""

    @property
    def trust_remote_code(self) -> bool:
        """Whether code that comes with the model may run."""

    def answers(self, asking: Asking) -> list[str]:
        """Returns the model's answer to each example, in order."""

    def check(self) -> None:
        """Raises Stopped when a stop was asked for; a metric that works long calls it now and then."""


class Metric(Strict):
    """Base of all metrics; see the module's text.

    Attributes:
        name: what manifests call it.
        version: raise it when the same options give another value: measurements that were kept no longer match.
        unit: of the value: share, perplexity, ms, tokens/s, bytes.
        higher_is_better: which way is better.
        needs_examples: whether it needs a data set.
        takes_examples: whether it may be given one where it needs none.
        needs_answers: whether that data set has to name the right answer.
        asks: whether it asks the model; else it looks at the folder, whatever its format.
        of_machine: whether the value depends on the machine: then it is measured anew on another one.
        libraries: distributions whose version changes the value.
    """

    name: ClassVar[str]
    version: ClassVar[int] = 1
    unit: ClassVar[str]
    higher_is_better: ClassVar[bool]
    needs_examples: ClassVar[bool] = False
    takes_examples: ClassVar[bool] = False
    needs_answers: ClassVar[bool] = False
    asks: ClassVar[bool] = True
    of_machine: ClassVar[bool] = False
    libraries: ClassVar[tuple[str, ...]] = ("torch", "transformers", "onnxruntime-genai")

    def key_options(self) -> dict[str, Any]:
        """Returns the options that change the value."""
        return self.model_dump(mode="json")

    def reads_examples(self) -> bool:
        """Whether, with these options, it needs a data set."""
        return self.needs_examples

    def compares_answers(self) -> bool:
        """Whether, with these options, the data set has to name the right answer."""
        return self.needs_answers

    def check(self, tokens: Tokens) -> None:
        """Refuses what can be known without the model: raises a UserError whose `where` is an option's name."""

    def measure(self, model: Subject, context: MetricContext) -> Measured:
        """Asks the model, and says what was found. Heavy imports belong here.

        Raises:
            UserError: the data do not fit, whatever is tried.
        """
        raise TypeError(f"{type(self).__name__} does not say what it measures")


__all__ = ["Asking", "Example", "Measured", "Metric", "MetricContext", "Sample"]
