"""Shared access signatures that are handed out for an hour: a long download needs another one in the middle. Imports azure-core."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs

from azure.core.credentials import AzureSasCredential
from azure.core.exceptions import AzureError

from millwright_api.errors import MillwrightError

AHEAD = timedelta(minutes=5)
"""How long before its end another one is asked for: an answer under way must still fit."""


class RenewedSas(AzureSasCredential):
    """A signature that renews itself; the SDK of Blob Storage asks for it at each request.

    Args:
        first: the signature that holds now: a query, with or without its question mark.
        renew: asks for another one.

    Raises:
        MillwrightError: whatever `renew` raises, when there is none that still holds.
    """

    def __init__(self, first: str, renew: Callable[[], str]) -> None:
        super().__init__(first.lstrip("?"))
        self._renew, self._lock = renew, threading.Lock()

    @property
    def signature(self) -> str:
        """The signature that holds now."""
        with self._lock:
            ends, now = _end(self._signature), datetime.now(UTC)
            if ends is not None and ends - now < AHEAD:
                try:
                    self.update(self._renew().lstrip("?"))
                except (MillwrightError, AzureError):
                    if ends <= now:
                        raise
            return self._signature

    def __repr__(self) -> str:
        return "RenewedSas()"


def _end(signature: str) -> datetime | None:
    """Returns when a signature ends; None when it does not say, as one that a stored policy ends."""
    said = parse_qs(signature).get("se", [""])[0]
    try:
        ends = datetime.fromisoformat(said)
    except ValueError:
        return None
    return ends if ends.tzinfo else ends.replace(tzinfo=UTC)
