"""Times as Kubernetes writes them, and the time that stages have used."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from millwright_api.status import StageStatus
from millwright_operator.clock import ran, read, remaining, seconds_between, written
from millwright_operator.observed import SeenJob
from millwright_operator.passes import duration

NOW = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)


def job(**changes: object) -> SeenJob:
    return SeenJob("s0", "u", "stage", 0, **changes)  # type: ignore[arg-type]


def entry(since: str | None = None, used: int = 0) -> StageStatus:
    return StageStatus(name="s0", phase="Running", active_since=since, active_seconds=used)


class TestTimes:
    def test_they_are_written_in_utc_and_whole_seconds(self) -> None:
        moment = datetime(2026, 11, 21, 11, 0, 0, 999, tzinfo=timezone(timedelta(hours=2)))

        assert written(moment) == "2026-11-21T09:00:00Z"

    def test_what_was_written_is_read(self) -> None:
        assert read("2026-11-21T09:00:00Z") == NOW

    @pytest.mark.parametrize("text", [None, "", "yesterday"])
    def test_what_is_none_is_none(self, text: str | None) -> None:
        assert read(text) is None

    def test_no_time_is_negative_and_an_unknown_one_is_nothing(self) -> None:
        assert seconds_between("2026-11-21T09:00:00Z", "2026-11-21T08:00:00Z") == 0
        assert seconds_between(None, NOW) == 0
        assert seconds_between("2026-11-21T08:59:00Z", NOW) == 60

    @pytest.mark.parametrize(
        ("seconds", "said"),
        [(0, "0s"), (59.4, "59s"), (60, "1m"), (3600, "1h"), (4800, "1h20m"), (86400, "1d"), (273_600, "3d4h")],
    )
    def test_spans_are_short(self, seconds: float, said: str) -> None:
        assert duration(seconds) == said


class TestTheTimeThatAStageRan:
    START, LATER = "2026-11-21T08:00:00Z", "2026-11-21T08:10:00Z"

    def test_while_it_runs_its_start_is_kept(self) -> None:
        assert ran(entry(self.START, 5), job(started_at=self.START), NOW) == (5, self.START)

    def test_suspended_the_time_until_then_is_added(self) -> None:
        assert ran(entry(self.START, 5), job(suspended=True, suspended_at=self.LATER), NOW) == (605, None)

    def test_told_to_suspend_it_runs_on_until_kubernetes_says_that_it_is(self) -> None:
        assert ran(entry(self.START, 5), job(suspended=True, suspended_at=None), NOW) == (5, self.START)

    def test_finished_the_time_until_then_is_added(self) -> None:
        found = ran(entry(self.START), job(complete=True, started_at=self.START, completed_at=self.LATER), NOW)

        assert found == (600, None)

    def test_finished_before_anybody_saw_it_run_it_counts_as_well(self) -> None:
        found = ran(entry(), job(complete=True, started_at=self.START, completed_at=self.LATER), NOW)

        assert found == (600, None)

    def test_gone_it_ran_until_now(self) -> None:
        assert ran(entry(self.START), None, NOW) == (3600, None)

    def test_gone_twice_it_counts_once(self) -> None:
        assert ran(entry(None, 3600), None, NOW) == (3600, None)

    def test_a_pause_that_nobody_saw_is_not_counted(self) -> None:
        assert ran(entry(self.START, 5), job(started_at="2026-11-21T08:50:00Z"), NOW) == (5, "2026-11-21T08:50:00Z")


class TestWhatRemains:
    def test_all_stages_count_together(self) -> None:
        assert remaining(5000, [entry(None, 1000), entry("2026-11-21T08:30:00Z", 200)], NOW) == 2000

    def test_used_up_it_is_nothing_or_less(self) -> None:
        assert remaining(100, [entry(None, 150)], NOW) == -50

    def test_without_a_limit_there_is_no_end(self) -> None:
        assert remaining(None, [entry(None, 10**9)], NOW) is None
