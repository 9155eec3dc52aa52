"""throughput: how many tokens a second, in batches."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from millwright_runner.data.tokens import Tokens
from millwright_runner.metrics import Measured, Metric, MetricContext
from millwright_runner.metrics.speed import MAX_TOKENS, check_room, interval, prompts
from millwright_runner.subjects import Subject


class Throughput(Metric):
    """Generated tokens a second, of all prompts of a batch together. `throughput: {batchSize: 16}`

    The time is all of it, from the prompts to the last token. The interval is over repetitions.
    """

    name: ClassVar[str] = "throughput"
    unit: ClassVar[str] = "tokens/s"
    higher_is_better: ClassVar[bool] = True
    of_machine: ClassVar[bool] = True

    batch_size: int = Field(
        default=8, ge=1, le=32, description="Prompts at once; onnxruntime-genai takes up to 32. Default: 8."
    )
    prompt_tokens: int = Field(default=128, ge=1, le=MAX_TOKENS, description="Tokens of each prompt. Default: 128.")
    new_tokens: int = Field(
        default=32, ge=1, le=MAX_TOKENS, description="Tokens that are generated for each prompt. Default: 32."
    )
    warmup: int = Field(
        default=1, ge=0, le=1000, description="Batches before the first that counts, of the same size. Default: 1."
    )
    repeats: int = Field(default=3, ge=1, le=10_000, description="Batches that count. Default: 3.")

    def check(self, tokens: Tokens) -> None:
        """Refuses lengths that the model has no room for."""
        check_room(tokens, self.prompt_tokens, self.new_tokens)

    def measure(self, model: Subject, context: MetricContext) -> Measured:
        """Generates one batch after another."""
        import numpy as np

        batch = prompts(context.tokens, self.batch_size, self.prompt_tokens)
        seconds: list[list[float]] = []
        for number in range(self.warmup + self.repeats):
            context.check()
            timing = model.timed(batch, new_tokens=self.new_tokens)
            if number >= self.warmup:
                seconds.append([timing.first + sum(timing.following)])
        generated = self.batch_size * self.new_tokens
        low, high = interval(seconds, lambda samples: generated / samples.mean(axis=1))
        return Measured(value=generated / float(np.mean(seconds)), low=low, high=high, n=self.repeats)
