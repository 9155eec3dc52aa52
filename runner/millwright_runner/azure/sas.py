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

SHARE = 0.9
"""Of its time, when that is less than AHEAD leaves: one that is short from the start is not asked for at each request."""

PAUSE = timedelta(seconds=30)
"""How long an old one that still holds is used before another one is asked for again, where none was to be had."""


class RenewedSas(AzureSasCredential):
    """A signature that renews itself; the SDK of Blob Storage asks for it at each request.

    Args:
        first: the signature that holds now: a query, with or without its question mark.
        renew: asks for another one.

    Raises:
        MillwrightError: whatever `renew` raises, when there is none that still holds.
    """

    def __init__(self, first: str, renew: Callable[[], str]) -> None:
        super().__init__("")
        self._renew, self._lock = renew, threading.Lock()
        self._ends: datetime | None = None
        self._due: datetime | None = None
        self._take(first)

    @property
    def signature(self) -> str:
        """The signature that holds now."""
        with self._lock:
            if self._due is not None and self._ends is not None and self._due <= now():
                try:
                    self._take(self._renew())
                except (MillwrightError, AzureError):
                    if self._ends <= now():
                        raise
                    self._due = now() + PAUSE
            return self._signature

    def __repr__(self) -> str:
        return "RenewedSas()"

    def _take(self, signature: str) -> None:
        """Takes a signature, and notes when the next one is due: never, when it says no end or its end is past (by a clock of
        ours that goes wrong: then the service decides)."""
        self._signature = signature.lstrip("?")
        taken, self._ends, self._due = now(), _end(self._signature), None
        if self._ends is not None and self._ends > taken:
            self._due = max(self._ends - AHEAD, taken + SHARE * (self._ends - taken))


def now() -> datetime:
    """Returns the time."""
    return datetime.now(UTC)


def _end(signature: str) -> datetime | None:
    """Returns when a signature ends; None when it does not say, as one that a stored policy ends."""
    said = parse_qs(signature).get("se", [""])[0]
    try:
        ends = datetime.fromisoformat(said)
    except ValueError:
        return None
    return ends if ends.tzinfo else ends.replace(tzinfo=UTC)
