"""Candidates of a job against one another: which are worth a look, because no other is better in all that counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Candidate:
    """A model with two figures.

    Attributes:
        name: the step that made it.
        cost: what it takes: bytes, milliseconds; less is better.
        quality: what it gives; more is better where `front` is told so.
    """

    name: str
    cost: float
    quality: float


def front(candidates: Sequence[Candidate], *, higher: bool) -> list[Candidate]:
    """Returns the Pareto front, by rising cost: those that no other beats in one figure and matches in the other.

    Args:
        candidates: in any order.
        higher: whether more quality is better; False: less is (perplexity).
    """
    sign = 1 if higher else -1
    best: list[Candidate] = []
    for one in sorted(candidates, key=lambda c: (c.cost, -sign * c.quality)):
        if not best or sign * one.quality > sign * best[-1].quality:
            best.append(one)
    return best
