"""Signatures that are handed out for an hour renew themselves before they end."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from millwright_api.errors import AzureUnavailable
from millwright_runner.azure.sas import RenewedSas


def signed(minutes: float, name: str = "a") -> str:
    ends = datetime.now(UTC) + timedelta(minutes=minutes)
    return f"sv=2022-11-02&se={ends:%Y-%m-%dT%H%%3A%M%%3A%SZ}&sp=rl&sig={name}"


class Service:
    """Hands out signatures, and counts how often it was asked."""

    def __init__(self, *answers: str) -> None:
        self.answers, self.asked = list(answers), 0

    def __call__(self) -> str:
        self.asked += 1
        if not self.answers:
            raise AzureUnavailable("no answer from Azure")
        return self.answers.pop(0)


def test_one_that_holds_is_used_again() -> None:
    service = Service()
    sas = RenewedSas(first := signed(60), service)

    assert [sas.signature, sas.signature] == [first, first]
    assert service.asked == 0


def test_one_that_ends_soon_is_replaced_before_it_ends() -> None:
    service = Service(second := signed(60, "b"))
    sas = RenewedSas(signed(4), service)

    assert [sas.signature, sas.signature] == [second, second]
    assert service.asked == 1


def test_while_no_other_is_to_be_had_the_old_one_serves_to_its_end() -> None:
    sas = RenewedSas(first := signed(4), Service())

    assert sas.signature == first


def test_after_its_end_the_services_refusal_is_told() -> None:
    sas = RenewedSas(signed(-1), Service())

    with pytest.raises(AzureUnavailable):
        _ = sas.signature


def test_one_that_does_not_say_when_it_ends_is_kept() -> None:
    service = Service()

    assert RenewedSas("?si=policy&sig=x", service).signature == "si=policy&sig=x"
    assert service.asked == 0


def test_it_shows_itself_without_the_signature() -> None:
    assert "secret" not in f"{RenewedSas(signed(60, 'secret'), Service())!r}"
