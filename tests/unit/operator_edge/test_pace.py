"""How often status is written for progress alone."""

from __future__ import annotations

from collections import defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millwright_operator.observed import Key
from millwright_operator.pace import Pace


def key(number: int) -> Key:
    return Key("team-a", f"job-{number}")


def simulate(pace: Pace, jobs: int, seconds: float, every: float) -> dict[Key, list[float]]:
    """Jobs that report all the time: each asks when it may, and again when it was told to. Returns when each wrote."""
    writes: defaultdict[Key, list[float]] = defaultdict(list)
    due = [(number * every / jobs, key(number)) for number in range(jobs)]
    while due:
        due.sort()
        at, asking = due.pop(0)
        if at > seconds:
            return writes
        wait = pace.wait(asking, at)
        if wait == 0:
            writes[asking].append(at)
        due.append((at + (wait or every), asking))
    return writes


class TestOneJob:
    def test_the_first_write_goes_at_once_and_the_next_waits_five_seconds(self) -> None:
        pace = Pace()

        assert pace.wait(key(1), 100.0) == 0.0
        assert pace.wait(key(1), 102.0) == pytest.approx(3.0)
        assert pace.wait(key(1), 105.0) == 0.0

    def test_a_write_that_said_more_than_progress_counts_too(self) -> None:
        pace = Pace()

        pace.wrote(key(1), 100.0)

        assert pace.wait(key(1), 101.0) == pytest.approx(4.0)
        assert pace.rest(key(1), 101.0) == pytest.approx(4.0)

    def test_asking_how_long_to_rest_counts_nothing(self) -> None:
        pace = Pace()

        assert [pace.rest(key(1), 100.0) for _ in range(3)] == [0.0, 0.0, 0.0]
        assert pace.wait(key(1), 100.0) == 0.0

    def test_a_job_that_is_gone_is_forgotten(self) -> None:
        pace = Pace()
        pace.wait(key(1), 100.0)

        pace.forget(key(1))

        assert pace.rest(key(1), 100.0) == 0.0


class TestAllJobs:
    def test_a_thousand_jobs_share_twenty_writes_a_second_fairly(self) -> None:
        writes = simulate(Pace(), jobs=1000, seconds=200.0, every=1.0)

        times = sorted(at for all_of_one in writes.values() for at in all_of_one)
        assert max(sum(1 for t in times if start <= t < start + 1) for start in range(200)) <= 21
        assert {len(of_one) for of_one in writes.values()} <= {3, 4, 5}

    def test_a_few_jobs_get_their_write_each_five_seconds(self) -> None:
        writes = simulate(Pace(), jobs=10, seconds=60.0, every=1.0)

        assert {len(of_one) for of_one in writes.values()} <= {11, 12, 13}

    def test_a_burst_of_other_writes_delays_progress_by_a_second_at_most(self) -> None:
        pace = Pace()

        for number in range(1000):
            pace.wrote(key(number), 100.0)

        assert pace.wait(key(5000), 100.0) <= 1.1

    @given(st.lists(st.tuples(st.integers(0, 5), st.floats(0, 3)), max_size=80))
    def test_no_job_writes_twice_in_five_seconds_whatever_is_asked_when(self, asked: list[tuple[int, float]]) -> None:
        pace, now, last = Pace(), 0.0, dict[int, float]()

        for number, pause in asked:
            now += pause
            if pace.wait(key(number), now) == 0.0:
                assert now - last.get(number, -5.0) >= 5.0 - 1e-9
                last[number] = now
