"""The work queue: each key once at a time, delays, backoff."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections import Counter
from collections.abc import Awaitable, Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.operator_edge.virtual import now, run

from millwright_operator.queue import LONGEST_BACKOFF, TryLater, WorkQueue

Work = Callable[[str], Awaitable[None]]


async def for_a_while(queue: WorkQueue[str], seconds: float) -> None:
    """Lets the queue work for so many virtual seconds."""
    task = asyncio.create_task(queue.run())
    await asyncio.sleep(seconds)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


def recorder(done: list[tuple[str, float]], takes: float = 0.0) -> Work:
    async def work(key: str) -> None:
        done.append((key, now()))
        await asyncio.sleep(takes)

    return work


def failing(done: list[tuple[str, float]], *errors: Exception) -> Work:
    left = list(errors)

    async def work(key: str) -> None:
        done.append((key, now()))
        if left:
            raise left.pop(0)

    return work


class TestEachKeyOnce:
    def test_a_key_that_waits_is_not_added_twice(self) -> None:
        done: list[tuple[str, float]] = []

        async def main() -> None:
            queue = WorkQueue(recorder(done))
            for _ in range(5):
                queue.add("a")
            await for_a_while(queue, 1)

        run(main())

        assert done == [("a", 0.0)]

    def test_a_key_that_is_worked_on_is_done_once_more_afterwards(self) -> None:
        done: list[tuple[str, float]] = []

        async def main() -> None:
            queue = WorkQueue(recorder(done, takes=10))
            queue.add("a")
            asyncio.get_running_loop().call_later(3, queue.add, "a")
            asyncio.get_running_loop().call_later(4, queue.add, "a")
            await for_a_while(queue, 60)

        run(main())

        assert done == [("a", 0.0), ("a", 10.0)]

    def test_no_more_keys_at_once_than_there_are_workers(self) -> None:
        most = [0]

        async def main() -> None:
            queue: WorkQueue[int]

            async def work(_: int) -> None:
                most[0] = max(most[0], queue.busy)
                await asyncio.sleep(1)

            queue = WorkQueue(work, workers=3)
            for number in range(10):
                queue.add(number)
            assert queue.depth == 10
            task = asyncio.create_task(queue.run())
            await asyncio.sleep(20)
            task.cancel()

        run(main())

        assert most == [3]

    @given(
        st.lists(
            st.tuples(st.sampled_from("abc"), st.floats(0, 20), st.floats(0, 5), st.booleans()),
            min_size=1,
            max_size=30,
        )
    )
    def test_whatever_is_added_when_each_addition_is_followed_by_work_and_never_two_at_once(
        self, additions: list[tuple[str, float, float, bool]]
    ) -> None:
        began: list[tuple[str, float]] = []
        at_once: Counter[str] = Counter()
        asked: list[tuple[str, float]] = []

        async def main() -> None:
            fails = iter([fail for *_, fail in additions])

            async def work(key: str) -> None:
                at_once[key] += 1
                assert at_once[key] == 1
                began.append((key, now()))
                await asyncio.sleep(0.7)
                at_once[key] -= 1
                if next(fails, False):
                    raise TryLater("as ordered")

            queue = WorkQueue(work, workers=2)

            def add(key: str, delay: float) -> None:
                asked.append((key, now() + delay))
                queue.add(key, delay)

            for key, at, delay, _ in additions:
                asyncio.get_running_loop().call_later(at, add, key, delay)
            await for_a_while(queue, 600)
            assert (queue.depth, queue.busy) == (0, 0)

        run(main())

        for key, due in asked:
            # An earlier run may stand for a later delay: whoever ran it knew more and would have asked again
            assert any(k == key and at >= min(due, asked_at(asked, key)) - 1e-6 for k, at in began)


def asked_at(asked: list[tuple[str, float]], key: str) -> float:
    return min(due for k, due in asked if k == key)


class TestDelays:
    def test_of_several_delays_the_earliest_counts(self) -> None:
        done: list[tuple[str, float]] = []

        async def main() -> None:
            queue = WorkQueue(recorder(done))
            for delay in (30, 10, 20):
                queue.add("a", delay)
            await for_a_while(queue, 100)

        run(main())

        assert done == [("a", 10.0)]

    def test_a_delay_does_not_hold_up_news(self) -> None:
        done: list[tuple[str, float]] = []

        async def main() -> None:
            queue = WorkQueue(recorder(done))
            queue.add("a", 50)
            queue.add("a")
            await for_a_while(queue, 100)

        run(main())

        assert done == [("a", 0.0)]


class TestFailures:
    def test_a_failure_is_tried_again_ever_more_slowly_and_never_given_up(self) -> None:
        done: list[tuple[str, float]] = []

        async def main() -> None:
            queue = WorkQueue(failing(done, *(ValueError("no") for _ in range(100))), jitter=lambda: 0.0)
            queue.add("a")
            await for_a_while(queue, 1000)

        run(main())

        pauses = [later - earlier for (_, earlier), (_, later) in itertools.pairwise(done)]
        assert pauses[:5] == pytest.approx([0.2, 0.4, 0.8, 1.6, 3.2])
        assert max(pauses) == pytest.approx(LONGEST_BACKOFF)
        assert done[-1][1] > 900

    def test_success_ends_the_backoff(self) -> None:
        done: list[tuple[str, float]] = []

        async def main() -> None:
            work = failing(done, ValueError("no"), ValueError("no"))
            queue = WorkQueue(work, jitter=lambda: 0.0)
            queue.add("a")
            await for_a_while(queue, 10)
            assert queue._failures == {}

        run(main())

        assert [at for _, at in done] == pytest.approx([0.0, 0.2, 0.6])

    def test_the_server_may_ask_for_more_time(self) -> None:
        done: list[tuple[str, float]] = []

        async def main() -> None:
            queue = WorkQueue(failing(done, TryLater("busy", after=7)), jitter=lambda: 0.0)
            queue.add("a")
            await for_a_while(queue, 100)

        run(main())

        assert done == [("a", 0.0), ("a", 7.0)]

    def test_one_that_fails_does_not_hold_up_others(self) -> None:
        done: list[tuple[str, float]] = []

        async def main() -> None:
            queue = WorkQueue(failing(done, ValueError("no")), workers=1, jitter=lambda: 0.0)
            queue.add("a")
            queue.add("b")
            await for_a_while(queue, 10)

        run(main())

        assert done == [("a", 0.0), ("b", 0.0), ("a", 0.2)]

    def test_news_during_work_that_fails_wait_for_the_backoff_too(self) -> None:
        done: list[tuple[str, float]] = []

        async def main() -> None:
            async def work(key: str) -> None:
                done.append((key, now()))
                queue.add(key)  # as a write does that was answered before the next one failed
                if len(done) < 3:
                    raise TryLater("no")

            queue = WorkQueue(work, jitter=lambda: 0.0)
            queue.add("a")
            task = asyncio.create_task(queue.run())
            await asyncio.sleep(0.5)
            task.cancel()

        run(main())

        assert [at for _, at in done[:2]] == pytest.approx([0.0, 0.2])

    def test_how_long_the_oldest_work_has_been_going_on_is_known(self) -> None:
        async def main() -> tuple[float, float]:
            queue = WorkQueue(recorder([], takes=100))
            before = queue.longest()
            queue.add("a")
            task = asyncio.create_task(queue.run())
            await asyncio.sleep(42)
            found = before, queue.longest()
            task.cancel()
            return found

        assert run(main()) == (0.0, 42.0)
