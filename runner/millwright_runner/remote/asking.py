"""Asking Azure from a thread, so that a signal is heeded while an answer takes a minute, or never comes."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from millwright_api.errors import AzureUnavailable, MillwrightError, TryAgain

T = TypeVar("T")

GLANCE = 0.2
"""Seconds between two looks at whether a stop was asked for."""


@dataclass(frozen=True)
class Pace:
    """How often is asked, in seconds.

    Attributes:
        least, most: between two questions about a job's state: it doubles while nothing changes.
        mail: between two looks into the mailbox while the runner works.
        patience: how long a service is outwaited that does not answer, before there is a job.
        doubt: how long a refusal is outwaited while a job runs: a login that was taken away may come back.
    """

    least: float = 2.0
    most: float = 20.0
    mail: float = 5.0
    patience: float = 600.0
    doubt: float = 600.0


def ask(question: Callable[[], T], heed: Callable[[], None]) -> T:
    """Returns the answer to a question that may take long.

    Args:
        question: asked in a thread of its own, which is left behind when it is not waited for any more.
        heed: called all the while from this one; what it raises ends the waiting.
    """
    answers: queue.SimpleQueue[tuple[bool, T | BaseException]] = queue.SimpleQueue()

    def run() -> None:
        """Asks, and passes on what came of it."""
        try:
            answers.put((True, question()))
        except BaseException as error:
            answers.put((False, error))

    threading.Thread(target=run, name="asking", daemon=True).start()
    while True:
        heed()
        try:
            well, answer = answers.get(timeout=GLANCE)
        except queue.Empty:
            continue
        if well:
            return answer  # type: ignore[return-value]
        raise answer  # type: ignore[misc]


def rest(seconds: float, heed: Callable[[], None]) -> None:
    """Waits, and heeds meanwhile."""
    end = time.monotonic() + seconds
    while True:
        heed()
        left = end - time.monotonic()
        if left <= 0:
            return
        time.sleep(min(left, GLANCE))


def outwait(
    question: Callable[[], T], heed: Callable[[], None], tell: Callable[[MillwrightError], None], pace: Pace
) -> T:
    """Asks until there is an answer: before there is a job, a service that is away is waited for.

    Args:
        question: see `ask`.
        heed: see `ask`.
        tell: told why it takes longer.
        pace: how often, and how long.

    Raises:
        TryAgain: there was none for the whole of `pace.patience`.
    """
    began, pause = time.monotonic(), pace.least
    while True:
        try:
            return ask(question, heed)
        except TryAgain as error:
            if time.monotonic() - began + pause > pace.patience:
                raise
            tell(error)
        rest(pause, heed)
        pause = min(pause * 2, pace.most)


@dataclass
class Doubt:
    """Whether a job that runs can still be followed: a service that is away never fails it, a refusal after a while does.

    Attributes:
        pace: how long.
    """

    pace: Pace
    _since: float | None = None

    def well(self) -> None:
        """There was an answer."""
        self._since = None

    def trouble(self, error: MillwrightError) -> None:
        """There was none.

        Raises:
            AzureUnavailable: refusals only, for a long time. Another courier, with other credentials, may do better.
        """
        if isinstance(error, TryAgain):
            return
        now = time.monotonic()
        self._since = self._since or now
        if now - self._since > self.pace.doubt:
            raise AzureUnavailable(
                f"the job cannot be followed any more: {error}", hint="it runs on; see it in the studio"
            ) from error
