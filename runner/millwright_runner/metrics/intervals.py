"""95 % intervals of what is an estimate. Pure; all resampling has one seed, so that the same scores give the same interval.

- A share: E. B. Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22 (1927).
- Means and ratios: the percentile bootstrap; B. Efron, "Bootstrap methods: another look at the jackknife", Ann. Stat. 7 (1979).
- The difference of two shares of the same examples: the score interval of T. Tango, "Equivalence test and confidence
  interval for the difference in proportions for the paired-sample design", Statistics in Medicine 17 (1998).

Scores that are all alike say nothing of their spread, and resampling them gives an interval of no width. Where scores lie
between 0 and 1, none spreads more than zeros and ones of the same mean: then it is the interval of these.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from statistics import NormalDist
from typing import TYPE_CHECKING

from millwright_runner.metrics import Measured

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Z = NormalDist().inv_cdf(0.975)
"""How many standard deviations 95 % lie within, on both sides."""

RESAMPLES, SEED = 1000, 20260101

Interval = tuple[float, float]


def wilson(successes: float, n: int) -> Interval:
    """Returns Wilson's interval of a share.

    Args:
        successes: how many succeeded; also a sum of scores between 0 and 1, for which the interval is wide enough.
        n: of how many; of none, nothing is known.
    """
    if n == 0:
        return 0.0, 1.0
    share = successes / n
    middle = share + Z * Z / (2 * n)
    half = Z * math.sqrt(share * (1 - share) / n + Z * Z / (4 * n * n))
    whole = 1 + Z * Z / n
    return max(0.0, min(share, (middle - half) / whole)), min(1.0, max(share, (middle + half) / whole))


def resampled(n: int, statistic: Callable[[NDArray[np.intp]], float]) -> Interval:
    """Returns the percentile bootstrap's interval; (nan, nan) when a resample gives no number.

    Args:
        n: how many examples there are.
        statistic: the value on those of some indices, of which there are `n`, some several times.
    """
    import numpy as np

    generator = np.random.default_rng(SEED)
    values = [statistic(generator.integers(0, n, n)) for _ in range(RESAMPLES)]
    if not np.isfinite(values).all():
        return math.nan, math.nan
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)


def bootstrap_mean(scores: Sequence[float]) -> Interval:
    """Returns the interval of a mean; see `resampled`."""
    import numpy as np

    array = np.asarray(scores, dtype=float)
    return resampled(len(array), lambda chosen: float(array[chosen].mean()))


def bootstrap_ratio(numerators: Sequence[float], denominators: Sequence[float]) -> Interval:
    """Returns the interval of the ratio of two sums, both over the same examples; see `resampled`.

    Args:
        numerators: one for each example.
        denominators: one for each example, each above zero.
    """
    import numpy as np

    above, below = np.asarray(numerators, dtype=float), np.asarray(denominators, dtype=float)
    return resampled(len(above), lambda chosen: float(above[chosen].sum() / below[chosen].sum()))


def paired_difference(a: Sequence[float], b: Sequence[float]) -> tuple[float, float, float]:
    """Compares two models on the same examples.

    Zeros and ones: Tango's interval. Others: the bootstrap over the examples' differences; where these are all alike,
    Tango's interval when all scores are between 0 and 1, and no bounds when there is but one example.

    Args:
        a: one model's scores.
        b: the other one's, of the same examples in the same order.

    Returns:
        The mean of a - b, and its interval's ends.
    """
    differences = [x - y for x, y in zip(a, b, strict=True)]
    n = len(differences)
    if not n or not all(map(math.isfinite, differences)):
        return math.nan, math.nan, math.nan
    value = math.fsum(differences) / n
    alike = len(set(differences)) == 1
    if (alike and _within_one([*a, *b])) or set(a) | set(b) <= {0.0, 1.0}:
        gained = math.fsum(d for d in differences if d > 0)
        lost = math.fsum(-d for d in differences if d < 0)
        return value, *_tango(gained, lost, n)
    if n == 1:
        return value, -math.inf, math.inf
    return value, *bootstrap_mean(differences)


def estimate(scores: Sequence[float]) -> Measured:
    """Returns the mean of scores with its interval: Wilson's of zeros and ones, else the bootstrap's.

    The interval is left out where nothing is known of it: a score is no number, or the one score is not between 0 and 1.

    Args:
        scores: one for each example, at least one.
    """
    n, value = len(scores), math.fsum(scores) / len(scores) if all(map(math.isfinite, scores)) else math.nan
    within = _within_one(scores)
    if within and (set(scores) <= {0.0, 1.0} or len(set(scores)) == 1):
        low, high = wilson(math.fsum(scores), n)
    elif math.isnan(value) or n == 1:
        return Measured(value, n=n, scores=tuple(scores))
    else:
        low, high = bootstrap_mean(scores)
    return Measured(value, low, high, n, scores=tuple(scores))


def _within_one(scores: Sequence[float]) -> bool:
    return all(0 <= score <= 1 for score in scores)


def _tango(gained: float, lost: float, n: int) -> Interval:
    """Tango's interval: the differences that a score test does not refuse, found by bisection.

    Args:
        gained: examples that only the first gets right.
        lost: that only the second gets right.
        n: all examples.
    """
    value = (gained - lost) / n

    def refused(difference: float) -> bool:
        """Whether a score test at 5 % refuses this difference."""
        b = -gained - lost + (2 * n - gained + lost) * difference
        c = -lost * difference * (1 - difference)
        only_second = (math.sqrt(max(b * b - 8 * n * c, 0.0)) - b) / (4 * n)  # its most likely share
        variance = n * (2 * only_second + difference * (1 - difference))
        return (gained - lost - n * difference) ** 2 > Z * Z * variance

    return _edge(value, -1.0, refused), _edge(value, 1.0, refused)


def _edge(inside: float, outside: float, refused: Callable[[float], bool]) -> float:
    """The last difference towards `outside` that is not refused."""
    if not refused(outside):
        return outside
    for _ in range(60):
        middle = (inside + outside) / 2
        inside, outside = (inside, middle) if refused(middle) else (middle, outside)
    return inside
