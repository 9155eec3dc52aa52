"""tokenLatency: how long one waits for a token."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from millwright_runner.data.tokens import Tokens
from millwright_runner.metrics import Measured, Metric, MetricContext
from millwright_runner.metrics.speed import MAX_TOKENS, check_room, interval, prompts
from millwright_runner.subjects import Subject, Timing

PERCENTILES = (50, 90, 99)


class TokenLatency(Metric):
    """How long one waits for a token. `tokenLatency: {percentile: 90, promptTokens: 512}`

    One prompt at a time. A generation always has all of newTokens: an end token does not end it. All percentiles are
    kept with the value, of the first token and of those that follow. The interval is over repetitions.
    """

    name: ClassVar[str] = "tokenLatency"
    unit: ClassVar[str] = "ms"
    higher_is_better: ClassVar[bool] = False
    of_machine: ClassVar[bool] = True

    percentile: Literal[50, 90, 99] = Field(
        default=50, description="This share of the tokens comes at least as fast, in percent. Default: 50."
    )
    of: Literal["perToken", "firstToken"] = Field(
        default="perToken",
        description="perToken: each token after the first. firstToken: from the prompt to the first one. Default: perToken.",
    )
    prompt_tokens: int = Field(default=128, ge=1, le=MAX_TOKENS, description="Tokens of the prompt. Default: 128.")
    new_tokens: int = Field(default=32, ge=2, le=MAX_TOKENS, description="Tokens that are generated. Default: 32.")
    warmup: int = Field(
        default=2, ge=0, le=1000, description="Generations before the first that counts, of the same size. Default: 2."
    )
    repeats: int = Field(
        default=10,
        ge=1,
        le=10_000,
        description="Generations that count. The 99th percentile of firstToken wants hundreds. Default: 10.",
    )

    def check(self, tokens: Tokens) -> None:
        """Refuses lengths that the model has no room for."""
        check_room(tokens, self.prompt_tokens, self.new_tokens)

    def measure(self, model: Subject, context: MetricContext) -> Measured:
        """Generates one prompt after another."""
        timings: list[Timing] = []
        for number, prompt in enumerate(prompts(context.tokens, self.warmup + self.repeats, self.prompt_tokens)):
            context.check()
            timing = model.timed([prompt], new_tokens=self.new_tokens)
            if number >= self.warmup:
                timings.append(timing)
        return self._measured(timings)

    def _measured(self, timings: list[Timing]) -> Measured:
        import numpy as np

        values = {
            "firstToken": [[timing.first * 1000] for timing in timings],
            "perToken": [[seconds * 1000 for seconds in timing.following] for timing in timings],
        }
        details = {
            f"{of}P{percent}": float(np.percentile(repetitions, percent))
            for of, repetitions in values.items()
            for percent in PERCENTILES
        }
        low, high = interval(values[self.of], lambda samples: np.percentile(samples, self.percentile, axis=1))
        return Measured(
            value=details[f"{self.of}P{self.percentile}"], low=low, high=high, n=len(timings), details=details
        )
