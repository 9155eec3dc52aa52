"""A work queue: each key once, one worker per key, delays, backoff. asyncio only; it knows nothing of Kubernetes."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)

logger = logging.getLogger(__name__)

FIRST_BACKOFF, LONGEST_BACKOFF = 0.2, 60.0
"""Seconds until a key that failed is tried again: doubling, with up to a quarter more or less."""


class TryLater(Exception):
    """Work failed in a way that was foreseen: it is tried again, and the log has one line without a traceback.

    Args:
        message: for the log.
        after: seconds to wait at least, as a server asked (Retry-After); None: the usual backoff.
    """

    def __init__(self, message: str, after: float | None = None) -> None:
        super().__init__(message)
        self.after = after


class WorkQueue(Generic[K]):
    """Runs `work` for keys that were added.

    A key that waits is not added twice; a key that is being worked on is done once more afterwards. Two workers never
    have the same key. Work that raises is tried again after a backoff of its own; others do not wait for it.

    Args:
        work: what is done for a key.
        workers: how many keys at once.
        jitter: returns a number in [-1, 1].
    """

    def __init__(
        self,
        work: Callable[[K], Awaitable[None]],
        *,
        workers: int = 32,
        jitter: Callable[[], float] = lambda: random.uniform(-1, 1),
    ) -> None:
        self._work, self._workers, self._jitter = work, workers, jitter
        self._ready: asyncio.Queue[K] = asyncio.Queue()
        self._waiting: set[K] = set()
        self._timers: dict[K, asyncio.TimerHandle] = {}
        self._busy: dict[K, float] = {}
        self._again: set[K] = set()
        self._failures: dict[K, int] = {}

    @property
    def depth(self) -> int:
        """Keys that wait for a worker; those with a delay do not count."""
        return len(self._waiting)

    @property
    def busy(self) -> int:
        """Keys that are being worked on."""
        return len(self._busy)

    def longest(self) -> float:
        """Returns for how many seconds the oldest work has been going on; 0 when there is none."""
        return asyncio.get_running_loop().time() - min(self._busy.values()) if self._busy else 0.0

    def add(self, key: K, delay: float = 0.0) -> None:
        """Asks for work on a key.

        Args:
            key: on what.
            delay: seconds from now; of several delays the earliest counts.
        """
        if delay > 0:
            self._later(key, delay)
        elif key in self._busy:
            self._again.add(key)
        elif key not in self._waiting:
            self._waiting.add(key)
            self._ready.put_nowait(key)

    def _later(self, key: K, delay: float) -> None:
        loop = asyncio.get_running_loop()
        timer = self._timers.get(key)
        if timer is not None and timer.when() <= loop.time() + delay:
            return
        if timer is not None:
            timer.cancel()
        self._timers[key] = loop.call_later(delay, self._fire, key)

    def _fire(self, key: K) -> None:
        del self._timers[key]
        self.add(key)

    async def run(self) -> None:
        """Works until it is cancelled; work that is under way then is cancelled too."""
        async with asyncio.TaskGroup() as group:
            for number in range(self._workers):
                group.create_task(self._loop(), name=f"worker {number}")

    async def _loop(self) -> None:
        while True:
            await self._one(await self._ready.get())

    async def _one(self, key: K) -> None:
        self._waiting.discard(key)
        if timer := self._timers.pop(key, None):
            timer.cancel()
        self._busy[key] = asyncio.get_running_loop().time()
        delay = 0.0
        try:
            await self._work(key)
        except TryLater as reason:
            delay = max(self._backoff(key), reason.after or 0.0)
            logger.warning("%s: %s; again in %.1f s", key, reason, delay)
        except Exception:
            delay = self._backoff(key)
            logger.exception("%s: this was not foreseen; again in %.1f s", key, delay)
        else:
            self._failures.pop(key, None)
        finally:
            del self._busy[key]
        if delay:
            # News that came in meanwhile wait for the backoff too: else failing work that causes news would never rest
            self._again.discard(key)
            self.add(key, delay)
        elif key in self._again:
            self._again.discard(key)
            self.add(key)

    def _backoff(self, key: K) -> float:
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        return min(LONGEST_BACKOFF, FIRST_BACKOFF * 2.0 ** min(failures, 32)) * (1 + self._jitter() / 4)
