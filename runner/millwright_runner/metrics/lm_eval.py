"""lmEval: a task of lm-evaluation-harness, by the harness itself: https://github.com/EleutherAI/lm-evaluation-harness.

The package lm_eval is an extra (`millwright[lm-eval]`) and imported only where it measures. It builds the questions and
judges the answers; the model answers through `harness.bridge`, so that every format is asked the same.
"""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from millwright_api.base import Strict
from millwright_api.errors import InvalidData, InvalidManifest, suggest
from millwright_runner.data.tokens import Tokens
from millwright_runner.metrics import Measured, Metric, MetricContext
from millwright_runner.metrics.asking import SAMPLES
from millwright_runner.metrics.intervals import estimate, resampled
from millwright_runner.subjects import Subject

if TYPE_CHECKING:
    from millwright_runner.metrics.harness.judged import Judged

SHARES: dict[str, tuple[str, ...]] = {
    "multiple_choice": ("acc", "acc_norm", "acc_bytes", "exact_match"),
    "generate_until": ("exact_match",),
    "loglikelihood": ("acc",),
}
"""The harness' metrics that are shares of right answers, by the kind of question; a kind's first one is its default."""

Text = Annotated[str, Field(max_length=4096)]


class OwnTask(Strict):
    """A task of one's own, on the job's data: the harness' keys in camelCase. A text is a column's name, dots lead into what it
    holds, or a Jinja template over the columns."""

    output_type: Literal["multiple_choice", "generate_until", "loglikelihood"] = Field(
        description="multiple_choice: the most probable of docToChoice. generate_until: free text. loglikelihood: whether "
        "greedy search would write the answer."
    )
    doc_to_text: Text | None = Field(default=None, description="The question. Default: the data set's own prompt.")
    doc_to_target: Text | None = Field(
        default=None,
        description="The right answer; of multiple_choice its text or its place from 0. Default: the data set's own answer.",
    )
    doc_to_choice: list[Annotated[str, Field(min_length=1, max_length=1024)]] | None = Field(
        default=None,
        min_length=1,
        max_length=256,
        description="multiple_choice: the answers to choose from; a column that holds a list stands for all that is in it. "
        "Default: none.",
    )
    target_delimiter: str = Field(
        default=" ", max_length=64, description="Between a question and its answer. Default: a space."
    )
    fewshot_delimiter: str = Field(
        default="\n\n", max_length=64, description="Between examples. Default: an empty line."
    )
    until: list[Annotated[str, Field(min_length=1, max_length=64)]] = Field(
        default=["\n"],
        min_length=1,
        max_length=16,
        description="generate_until: an answer ends before any of these texts. Default: a line's end.",
    )
    max_gen_toks: int = Field(
        default=256, ge=1, le=32768, description="generate_until: longest answer, in tokens. Default: 256."
    )
    ignore_case: bool = Field(
        default=False, description="generate_until: upper and lower case are the same. Default: false."
    )
    ignore_punctuation: bool = Field(
        default=False, description="generate_until: punctuation does not count. Default: false."
    )

    @model_validator(mode="after")
    def _choices_where_chosen(self) -> Self:
        chosen = self.output_type == "multiple_choice"
        if chosen and self.doc_to_choice is None:
            raise ValueError("outputType multiple_choice needs docToChoice, the answers to choose from")
        if not chosen and self.doc_to_choice is not None:
            raise ValueError(f"docToChoice goes with outputType multiple_choice, and this is {self.output_type}")
        return self


class LmEval(Metric):
    """A task of lm-evaluation-harness, by the package lm_eval. `lmEval: {task: arc_easy, numFewshot: 5}`

    Either a task that comes with lm_eval, by its name, on its data at the Hugging Face hub, or on the job's when `data` stands
    beside its options; or one of one's own on the job's data. Only metrics that are shares of right answers. Needs the extra
    lm-eval.
    """

    name: ClassVar[str] = "lmEval"
    unit: ClassVar[str] = "share"
    higher_is_better: ClassVar[bool] = True
    takes_examples: ClassVar[bool] = True
    libraries: ClassVar[tuple[str, ...]] = (*Metric.libraries, "lm-eval")

    task: Annotated[str, Field(min_length=1, max_length=256)] | None = Field(
        default=None,
        description="A task that comes with lm_eval, by its name; exactly one of task and config is given. Default: none.",
    )
    config: OwnTask | None = Field(
        default=None, description="A task of one's own, on the metric's data set. Default: none."
    )
    num_fewshot: Annotated[int, Field(ge=0, le=64)] | None = Field(
        default=None,
        description="Examples with their answers before each question. Default: the task's own, else none.",
    )
    limit: Annotated[int, Field(ge=1, le=1_000_000)] | None = Field(
        default=None, description="Questions at most, the first ones. Default: all."
    )
    metric: Annotated[str, Field(min_length=1, max_length=64)] | None = Field(
        default=None, description="Which of the task's metrics, such as acc_norm. Default: the task's first."
    )
    filter: Annotated[str, Field(min_length=1, max_length=64)] | None = Field(
        default=None, description="Which of the task's filters, such as flexible-extract. Default: the task's first."
    )
    seed: int = Field(
        default=1234, ge=0, le=2**31 - 1, description="Of the choice of few-shot examples. Default: 1234."
    )
    batch_size: int = Field(default=16, ge=1, le=1024, description="Texts that are asked at once. Default: 16.")

    @model_validator(mode="after")
    def _one_task(self) -> Self:
        if (self.task is None) == (self.config is None):
            found = "both are given" if self.task else "none is given"
            raise ValueError(f"exactly one of task, config is needed; {found}")
        if self.config is not None:
            possible = SHARES[self.config.output_type]
            if self.metric is not None and self.metric not in possible:
                raise ValueError(
                    f"{self.config.output_type} has no metric {self.metric!r} here; {suggest(self.metric, possible)}"
                )
            if self.filter is not None:
                raise ValueError("filter goes with task: a task of one's own has none")
        return self

    def key_options(self) -> dict[str, Any]:
        """All but the batch's size."""
        return self.model_dump(mode="json", exclude={"batch_size"})

    def reads_examples(self) -> bool:
        """Whether the task is one's own: then it is on the job's data."""
        return self.config is not None

    def compares_answers(self) -> bool:
        """Whether the data set's own answers are the right ones."""
        return self.config is not None and self.config.doc_to_target is None

    def check(self, tokens: Tokens) -> None:
        """Refuses what can be known without the model, and without importing the harness.

        The light half of the runner, which has no torch either, looks at jobs for another installation: there only the
        options are looked at.

        Raises:
            InvalidManifest: lm_eval is not installed, or has no such task, or the task no such metric; or a template is malformed.
        """
        from millwright_runner.metrics.harness.own import check_templates
        from millwright_runner.metrics.harness.shipped import check_shipped

        if self.config is not None:
            check_templates(self.config)
        if importlib.util.find_spec("lm_eval") is None:
            if importlib.util.find_spec("torch") is None:
                return
            raise InvalidManifest(
                "lmEval needs the package lm_eval, which is not installed here",
                hint="pip install 'millwright[lm-eval]'; on a cluster an image that has it, as execution.kubernetes.image",
            )
        if self.task is not None:
            check_shipped(self.task, metric=self.metric, filter=self.filter, num_fewshot=self.num_fewshot)

    def measure(self, model: Subject, context: MetricContext) -> Measured:
        """Asks; the interval is Wilson's of zeros and ones, else the bootstrap's over questions.

        Raises:
            DataNotFound: the task's data cannot be reached.
            InvalidData: a row does not fit the task.
        """
        from millwright_runner.metrics.harness.judged import judged
        from millwright_runner.metrics.harness.own import own_config
        from millwright_runner.metrics.harness.shipped import shipped_config
        from millwright_runner.training.loading import show_hidden

        show_hidden()
        if self.config is not None:
            task = own_config(self.config, self.metric or SHARES[self.config.output_type][0], context)
        else:
            task = shipped_config(str(self.task), context.rows)
        return _measured(judged(task, self, model, context))


def _measured(found: Judged) -> Measured:
    """Returns what was found with its interval; no number where the model's probabilities are none."""
    n = len(found.items)
    if found.broken:
        return Measured(math.nan, n=n)
    if not 0 <= found.value <= 1:
        raise InvalidData(f"{found.metric} is {found.value:g}, and no share", hint="take another of the task's metrics")
    details = {"truncated": float(found.truncated)} if found.truncated else {}
    if found.scores:
        measured = estimate(found.scores)
        low, high, scores = measured.low, measured.high, measured.scores
        details |= _error(found.scores)
    else:
        low, high = resampled(n, lambda chosen: float(found.aggregate([found.items[index] for index in chosen])))
        scores = ()
    return Measured(found.value, low, high, n, details, scores, tuple(found.samples[:SAMPLES]))


def _error(scores: Sequence[float]) -> dict[str, float]:
    """Returns the standard error of a mean, as the harness has it."""
    if len(scores) < 2:
        return {}
    mean = math.fsum(scores) / len(scores)
    variance = math.fsum((score - mean) ** 2 for score in scores) / (len(scores) - 1)
    return {"standardError": math.sqrt(variance / len(scores))}
