"""What the metrics of speed share: prompts that say nothing, the model's room for them, and intervals over repetitions."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from millwright_api.errors import InvalidManifest
from millwright_runner.data.tokens import Tokens, read_json
from millwright_runner.metrics.intervals import RESAMPLES

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MAX_TOKENS = 131_072
"""Bound on lengths in options; the model's own room is mostly smaller."""

SEED = 0

ROOMS = ("max_position_embeddings", "n_positions", "max_seq_len", "seq_length")
"""Keys of config.json that say how many tokens a model takes, by the habit of its family."""


def prompts(tokens: Tokens, count: int, length: int) -> list[list[int]]:
    """Returns prompts of equal length, each with other tokens, and the same ones each time: a seed is fixed.

    Speed does not depend on what a text says, so tokens are drawn from the ordinary vocabulary: none that was added to
    it, as special ones are, and not its last one: onnxruntime-genai needs an id to pad with that is in no prompt.

    Args:
        tokens: the tokenizer.
        count: how many.
        length: tokens of each.
    """
    added = set(tokens.tokenizer.get_added_tokens_decoder())
    ordinary = sorted(set(tokens.tokenizer.get_vocab(with_added_tokens=True).values()) - added)
    draw = random.Random(SEED)
    return [draw.choices(ordinary[:-1], k=length) for _ in range(count)]


def room(folder: Path) -> int | None:
    """Returns how many tokens a model takes, prompt and answer together; None where its configuration does not say."""
    genai = read_json(folder / "genai_config.json").get("model")
    found: Any = genai.get("context_length") if isinstance(genai, dict) else None
    if found is None:
        config = read_json(folder / "config.json")
        found = next((config[key] for key in ROOMS if key in config), None)
    return found if isinstance(found, int) and found > 0 else None


def check_room(tokens: Tokens, prompt_tokens: int, new_tokens: int) -> None:
    """Refuses lengths that the model has no room for.

    Raises:
        InvalidManifest: its `where` is the option.
    """
    most = room(tokens.folder)
    if most is not None and prompt_tokens + new_tokens > most:
        raise InvalidManifest(
            f"found {prompt_tokens}, and with {new_tokens} new ones that is more than the {most} tokens that the model takes",
            where="promptTokens",
            hint=f"at most {most - new_tokens} here" if most > new_tokens else f"fewer than {most} newTokens",
        )


def interval(
    repetitions: Sequence[Sequence[float]], statistic: Callable[[NDArray[np.float64]], NDArray[np.float64]]
) -> tuple[float, float]:
    """Returns the 95 % interval of a statistic of all values, by the percentile bootstrap (Efron 1979).

    Whole repetitions are drawn, not single values: what disturbs a machine lasts longer than one token, so that values
    of one repetition know of one another (a cluster bootstrap, Davison and Hinkley 1997, section 3.8).

    Args:
        repetitions: the values of each repetition, as many in each.
        statistic: of shape (samples, values) to shape (samples).
    """
    import numpy as np

    values = np.asarray(repetitions, dtype=np.float64)
    drawn = np.random.default_rng(SEED).integers(0, len(values), (RESAMPLES, len(values)))
    low, high = np.percentile(statistic(values[drawn].reshape(RESAMPLES, -1)), [2.5, 97.5])
    return float(low), float(high)
