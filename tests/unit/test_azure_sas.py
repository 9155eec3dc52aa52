"""Signatures that are handed out for an hour renew themselves before they end."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from millwright_api.errors import AzureUnavailable
from millwright_runner.azure import sas as module
from millwright_runner.azure.sas import RenewedSas


class Clock:
    """Shows the time that a test sets, in minutes."""

    def __init__(self) -> None:
        self.minutes = 0.0

    def __call__(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=self.minutes)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "now", clock)
    return clock


class Service:
    """Hands out signatures that hold so many minutes, and counts how often it was asked."""

    def __init__(self, clock: Clock, minutes: float = 60) -> None:
        self.clock, self.minutes, self.asked, self.away = clock, minutes, 0, False

    def __call__(self) -> str:
        self.asked += 1
        if self.away:
            raise AzureUnavailable("no answer from Azure")
        ends = self.clock() + timedelta(minutes=self.minutes)
        return f"sv=2022-11-02&se={ends:%Y-%m-%dT%H%%3A%M%%3A%SZ}&sp=rl&sig={self.asked}"


def number(sas: RenewedSas) -> int:
    return int(sas.signature.rpartition("sig=")[2])


def test_one_that_holds_is_used_again(clock: Clock) -> None:
    sas = RenewedSas((service := Service(clock))(), service)
    clock.minutes = 54

    assert [number(sas), number(sas)] == [1, 1]


def test_one_that_ends_soon_is_replaced_before_it_ends(clock: Clock) -> None:
    sas = RenewedSas((service := Service(clock))(), service)
    clock.minutes = 56

    assert [number(sas), number(sas)] == [2, 2]


def test_those_that_are_short_from_the_start_are_not_asked_for_at_each_request(clock: Clock) -> None:
    sas = RenewedSas((service := Service(clock, minutes=4))(), service)
    clock.minutes = 3
    early = number(sas)
    clock.minutes = 3.8

    assert (early, number(sas), number(sas)) == (1, 2, 2)


def test_while_no_other_is_to_be_had_the_old_one_serves_to_its_end(clock: Clock) -> None:
    sas = RenewedSas((service := Service(clock))(), service)
    service.away, clock.minutes = True, 57

    assert [number(sas), number(sas)] == [1, 1]
    assert service.asked == 2


def test_after_its_end_the_services_refusal_is_told(clock: Clock) -> None:
    sas = RenewedSas((service := Service(clock))(), service)
    service.away, clock.minutes = True, 61

    with pytest.raises(AzureUnavailable):
        _ = sas.signature


def test_by_a_clock_that_is_ahead_none_is_thrown_away(clock: Clock) -> None:
    service = Service(clock)
    first = service()
    clock.minutes = 90

    assert number(RenewedSas(first, service)) == 1


def test_one_that_does_not_say_when_it_ends_is_kept(clock: Clock) -> None:
    assert RenewedSas("?si=policy&sig=7", Service(clock)).signature == "si=policy&sig=7"


def test_it_shows_itself_without_the_signature(clock: Clock) -> None:
    assert "sig" not in f"{RenewedSas((service := Service(clock))(), service)!r}"
