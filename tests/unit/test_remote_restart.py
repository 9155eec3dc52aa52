"""Couriers that are killed, and couriers at once: never a second job while one is active, and each end is told once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.azureml.stub import Azure
from tests.courierground import CourierGround, succeeded

from millwright_api.report import RunReport
from millwright_runner.passes import StopFlag
from millwright_runner.remote import jobs

FAILED = RunReport(outcome="Failed", reason="Damaged", message="it arrived torn", exit_code=75)
STOPPED = RunReport(outcome="Stopped", reason="Stopped", message="stopped at step 3", exit_code=143)


class Killed(BaseException):
    """What SIGKILL is to a courier in this process."""


def kill(*given: object, **named: object) -> None:
    raise Killed


@pytest.fixture
def ground(azure: Azure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CourierGround:
    return CourierGround.make(azure, tmp_path, monkeypatch)


def killed_where(ground: CourierGround, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    """Runs a courier until it is killed at a place."""
    with monkeypatch.context() as patch:
        patch.setattr(place, kill)
        going = ground.start()
        with pytest.raises(Killed):
            going.end()


class TestACourierThatIsKilled:
    @pytest.mark.parametrize(
        "place",
        [
            "millwright_runner.remote.courier.make_snapshot",
            "millwright_runner.remote.mailbox.Mailbox.ask",
            "millwright_runner.remote.secrets.hand_over",
            "millwright_runner.remote.jobs.submit",
            "millwright_runner.remote.courier.Following",
        ],
    )
    def test_at_any_point_is_followed_by_one_that_has_one_job(
        self, ground: CourierGround, monkeypatch: pytest.MonkeyPatch, place: str
    ) -> None:
        killed_where(ground, monkeypatch, place)

        going = ground.start()
        (job,) = ground.azure.jobs.arrive(1)
        ground.box(job.name).end(succeeded())
        job.complete()

        assert going.end().outcome == "Succeeded"
        assert len(ground.azure.jobs) == 1

    def test_while_the_job_ends_is_followed_by_one_that_tells_it(
        self, ground: CourierGround, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        killed_where(ground, monkeypatch, "millwright_runner.remote.courier.Following")
        ground.box(ground.azure.jobs.only.name).end(FAILED)
        ground.azure.jobs.only.fail()

        assert ground.start().end().reason == "Damaged"
        assert len(ground.azure.jobs) == 1

    def test_before_the_end_counted_as_told_is_followed_by_one_that_tells_it_again(self, ground: CourierGround) -> None:
        courier = ground.courier()
        job = courier.submit(lambda told: None, StopFlag())
        ground.box(job.remote.name).end(succeeded())
        ground.azure.jobs.only.complete()
        courier.follow(job, lambda told: None, StopFlag())  # and no told()

        assert ground.start().end().outcome == "Succeeded"
        assert len(ground.azure.jobs) == 1

    def test_after_it_asked_for_a_stop_is_followed_by_one_that_begins_anew_once_that_job_has_ended(
        self, ground: CourierGround
    ) -> None:
        courier = ground.courier()
        first = courier.submit(lambda told: None, StopFlag()).remote.name
        ground.azure.jobs[first].state("Running").cancels_by_itself = False
        ground.box(first).stop()

        going = ground.start()
        going.wait_for("still being stopped")
        assert len(ground.azure.jobs) == 1
        ground.box(first).end(STOPPED)
        ground.azure.jobs[first].state("Canceled")
        second = ground.azure.jobs.arrive(2)[-1]
        ground.box(second.name).end(succeeded())
        second.complete()

        assert going.end().outcome == "Succeeded"
        assert ground.azure.jobs[first].canceling > 0


class TestTheNextNumber:
    @pytest.mark.parametrize("said", [FAILED, succeeded()])
    def test_follows_an_end_that_was_told(self, ground: CourierGround, said: RunReport) -> None:
        names = []
        for _ in range(3):
            going, job = ground.submitted()
            names.append(job.name)
            ground.box(job.name).end(said)
            job.complete()
            going.end()

        assert [name.rsplit("-", 1)[1] for name in names] == ["1", "2", "3"]
        assert len({name.rsplit("-", 1)[0] for name in names}) == 1

    def test_follows_a_stop_that_was_asked_for(self, ground: CourierGround) -> None:
        going, first = ground.submitted()
        first.state("Queued")
        going.wait_for("Queued")
        going.stop.request(15)
        going.end()

        going, second = ground.submitted()
        second.fail()
        going.end()

        assert second.name.endswith("-2")

    def test_asks_only_for_jobs_whose_end_was_not_told(self, ground: CourierGround) -> None:
        for _ in range(3):
            going, job = ground.submitted()
            ground.box(job.name).end(succeeded())
            job.complete()
            going.end()
        before = len(ground.azure.requests)

        latest = ground.courier().latest()

        asked = [line for line in ground.azure.requests[before:] if "/jobs/" in line]
        assert latest is not None
        assert (latest.remote.name, latest.told) == (job.name, True)
        assert len(asked) == 2  # the third, and that there is no fourth


class TestTwoCouriersAtOnce:
    def test_follow_one_job(self, ground: CourierGround, monkeypatch: pytest.MonkeyPatch) -> None:
        """Each looks before the other has submitted."""
        real: Callable[..., jobs.Submitted] = jobs.submit
        made: list[bool] = []

        def submit(*given: object) -> jobs.Submitted:
            first = real(*given)  # another courier, in the moment before
            second = real(*given)
            made.extend((first.made, second.made))
            return second

        monkeypatch.setattr(jobs, "submit", submit)
        courier = ground.courier()

        followed = courier.submit(lambda told: None, StopFlag())

        assert list(ground.azure.jobs) == [followed.remote.name]
