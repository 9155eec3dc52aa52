"""f1: the harmonic mean of precision and recall, over classes or over an answer's words."""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from millwright_runner.metrics import Measured, MetricContext
from millwright_runner.metrics.asking import AskingMetric, share_empty
from millwright_runner.metrics.intervals import estimate, resampled, wilson
from millwright_runner.subjects import Subject

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Average = Literal["macro", "micro", "weighted", "token"]
Pair = tuple[str, str]

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)


class F1(AskingMetric):
    """F1 of answers, over classes or over an answer's words. `f1: {labels: [joy, fear], average: macro}`"""

    name: ClassVar[str] = "f1"
    unit: ClassVar[str] = "share"
    higher_is_better: ClassVar[bool] = True

    average: Average | None = Field(
        default=None,
        description="macro: the mean over classes. weighted: the mean over classes, each as often as it is right. micro: over "
        "all answers, which is the share of right ones. token: the mean over answers, of the words that both have (SQuAD's; "
        "case, punctuation and articles do not count). Classes are the right answers that occur, with labels also the "
        "labels that were given. Default: macro with labels, else token.",
    )

    def measure(self, model: Subject, context: MetricContext) -> Measured:
        """Asks greedily, or for the most probable label; the interval is the percentile bootstrap's over examples, of micro
        Wilson's."""
        pairs = self.pairs(context)
        average = self.average or ("macro" if self.labels else "token")
        if average == "token":
            found = estimate([token_f1(right, answer) for right, answer in pairs])
        elif average == "micro":
            found = estimate([float(right == answer) for right, answer in pairs])
        else:
            found = _over_classes(pairs, weighted=average == "weighted", closed=bool(self.labels))
        return replace(found, details={"empty": share_empty(pairs)}, samples=self.samples(context))


def token_f1(right: str, answer: str) -> float:
    """Returns the F1 of the words that two texts have: the official evaluation of SQuAD (Rajpurkar et al. 2016); two texts
    without any word are equal (SQuAD 2.0, 2018)."""
    one, other = _words(right), _words(answer)
    if not one or not other:
        return float(one == other)
    shared = sum((Counter(one) & Counter(other)).values())
    return 2 * shared / (len(one) + len(other))


def class_f1(pairs: Sequence[Pair], *, weighted: bool, closed: bool) -> float:
    """Returns the mean of the classes' F1.

    Args:
        pairs: right answers and given ones, at least one pair.
        weighted: each class counts as often as it is right, instead of all alike.
        closed: also what was only given is a class; else it is merely wrong.
    """
    return _statistic(pairs, weighted=weighted, closed=closed)(None)


def _words(text: str) -> list[str]:
    return _ARTICLES.sub(" ", text.lower().translate(_NO_PUNCTUATION)).split()


def _over_classes(pairs: Sequence[Pair], *, weighted: bool, closed: bool) -> Measured:
    value = class_f1(pairs, weighted=weighted, closed=closed)
    low, high = resampled(len(pairs), _statistic(pairs, weighted=weighted, closed=closed))
    if low == high:  # all right or all wrong: resampling says nothing of the spread
        low, high = wilson(value * len(pairs), len(pairs))
    return Measured(value, low, high, len(pairs))


def _statistic(pairs: Sequence[Pair], *, weighted: bool, closed: bool) -> Callable[[NDArray[np.intp] | None], float]:
    """Returns the value as a function of which examples count; None: all of them, once."""
    import numpy as np

    names = sorted({text for pair in pairs for text in pair})
    places = {name: place for place, name in enumerate(names)}
    right = np.array([places[one] for one, _ in pairs])
    given = np.array([places[other] for _, other in pairs])

    def value(chosen: NDArray[np.intp] | None) -> float:
        """The mean F1 on the chosen examples."""
        truth, said = (right, given) if chosen is None else (right[chosen], given[chosen])
        supports, claims, hits = (
            np.bincount(classes, minlength=len(names)) for classes in (truth, said, truth[truth == said])
        )
        counted = (supports + claims > 0) if closed else supports > 0
        scores = 2 * hits[counted] / (supports + claims)[counted]
        return float(np.average(scores, weights=supports[counted] if weighted else None))

    return value
