"""Work done some items ahead, in threads, with results in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

A = TypeVar("A")
B = TypeVar("B")

AT_ONCE = 4
"""Requests under way at once: with parts of 8 MiB, about 40 MiB of memory."""


def ahead(work: Callable[[A], B], items: Iterable[A]) -> Generator[B, None, None]:
    """Yields `work(item)` of each item, in order; items are taken only as fast as results are.

    When it is closed, or work raises, no further item is begun and those under way are waited for.
    """
    with ThreadPoolExecutor(AT_ONCE) as pool:
        under_way: deque[Future[B]] = deque()
        try:
            for item in items:
                under_way.append(pool.submit(work, item))
                if len(under_way) > AT_ONCE:
                    yield under_way.popleft().result()
            while under_way:
                yield under_way.popleft().result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
