"""Who does a search's segments: this process, one after the other."""

from __future__ import annotations

from collections import deque
from typing import Protocol

from millwright_runner.searching.segment import Bench
from millwright_runner.steps import Observer
from millwright_search.trials import Seen, Segment, Trial


class Crew(Protocol):
    """Does segments.

    Attributes:
        limit: how many at once.
    """

    limit: int

    def start(self, trial: Trial, segment: Segment, observer: Observer) -> None:
        """Begins a segment, or puts it on the list.

        Args:
            trial: one that needs it.
            segment: what to do.
            observer: told what happens, from the thread that calls `wait`.
        """

    def wait(self) -> tuple[str, Seen]:
        """Returns the key of a segment that has ended, and how.

        Raises:
            Stopped: a stop was asked for; all have saved a checkpoint.
            TryAgain: something outside failed.
        """

    def close(self) -> None:
        """Ends what still runs; nothing of it is waited for."""


class InTurn:
    """This process.

    Args:
        bench: where segments are done.
    """

    limit = 1

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._waiting: deque[tuple[Trial, Segment, Observer]] = deque()

    def start(self, trial: Trial, segment: Segment, observer: Observer) -> None:
        """Satisfies `Crew`: it is done when somebody waits for it."""
        self._waiting.append((trial, segment, observer))

    def wait(self) -> tuple[str, Seen]:
        """Satisfies `Crew`."""
        trial, segment, observer = self._waiting.popleft()
        return segment.key, self._bench.do(trial, segment, observer)

    def close(self) -> None:
        """Satisfies `Crew`: nothing runs between two calls."""
