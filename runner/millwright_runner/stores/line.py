"""What lines to all servers of objects share: how long one is waited for, and what its answers are called."""

from __future__ import annotations

import os
import random
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, TypeVar

from millwright_api.errors import MillwrightError, StoreUnavailable, StoreUnreachable

T = TypeVar("T")

CONNECT_SECONDS = 3
"""How long a connection may take: decides how fast a typo shows."""

FIRST_READ_SECONDS, READ_SECONDS = 4, 60
"""How long a server may be silent, before it has answered for the first time and after. It is asked twice: a preflight is
to say within 15 seconds that nobody answers."""


ENV_ANSWERED = "MILLWRIGHT_STORES_ANSWERED"
"""Set to 1 where all servers have answered before, under the same addresses: to a job's preflight."""


def answered_before() -> bool:
    """Whether a server that does not answer is away for a while, and its address is not to blame."""
    return os.environ.get(ENV_ANSWERED) == "1"


class Absent(Exception):
    """The server has no such key, upload or part."""


class Taken(Exception):
    """A condition did not hold.

    Attributes:
        retried: an earlier attempt may have been carried out although its answer was lost.
    """

    def __init__(self, retried: bool) -> None:
        super().__init__(retried)
        self.retried = retried


@dataclass(frozen=True)
class Patience:
    """How long a server that had answered is waited for.

    Attributes:
        seconds: in all, from the first failure of a call.
        first_pause, longest_pause: seconds between attempts, doubling from one to the other, with jitter.
    """

    seconds: float = 180.0
    first_pause: float = 0.25
    longest_pause: float = 5.0


class PatientLine(ABC):
    """Calls that wait for a server that is away.

    Args:
        uri: what errors call the place.
        patience: how long a server that had answered is waited for.
    """

    failures: ClassVar[tuple[type[Exception], ...]]
    """What the client's library raises."""

    endpoint: str
    """The server's address, without a login."""

    def __init__(self, uri: str, patience: Patience) -> None:
        self.uri, self._patience, self._answered = uri, patience, False
        self._known = answered_before()

    def patiently(self, attempt: Callable[[], T]) -> T:
        """Repeats an attempt while the server is away or overloaded.

        Raises:
            Absent, Taken: an answer, for the caller to handle.
            MillwrightError: as in `stores.Store`.
        """
        give_up, pause, tries = 0.0, self._patience.first_pause, 0
        while True:
            try:
                result = attempt()
            except self.failures as error:
                tries += 1
                self._raise_if_final(error, tries)
                give_up = give_up or time.monotonic() + self._patience.seconds
                if time.monotonic() + pause > give_up:
                    raise self._stopped(self._short(error)) from self._cause(error)
                time.sleep(pause * random.uniform(0.5, 1.0))
                pause = min(pause * 2, self._patience.longest_pause)
            else:
                self._answered = True
                return result

    @abstractmethod
    def _raise_if_final(self, error: Exception, tries: int) -> None:
        """Raises what an error means, unless another attempt may help."""

    @abstractmethod
    def _short(self, error: Exception) -> str:
        """Says in a few words why an attempt failed."""

    @property
    def _trusted(self) -> bool:
        """Whether the address is known to be right: silence will end by itself then."""
        return self._answered or self._known

    def _cause(self, error: Exception) -> Exception | None:
        """What a traceback shows as the cause."""
        return error

    def _silent(self, why: str, hint: str) -> StoreUnreachable:
        return StoreUnreachable(f"no answer from {self.endpoint}: {why}", where=self.uri, hint=hint)

    def _stopped(self, why: str) -> MillwrightError:
        had = "had answered and stopped" if self._answered else "had answered the preflight and does not now"
        return StoreUnavailable(
            f"{self.endpoint} {had}, for {self._patience.seconds:.0f} s of retries: {why}",
            where=self.uri,
            hint="the same command goes on from here",
        )


def root_cause(error: BaseException) -> str:
    """Returns the system's own words for why a connection failed: they say more than the layers around them."""
    seen: list[BaseException] = []
    current: BaseException | None = error
    while current is not None and current not in seen:
        seen.append(current)
        inner = getattr(current, "kwargs", {}).get("error") or getattr(current, "inner_exception", None)
        inner = inner or getattr(current, "reason", None)
        current = current.__cause__ or current.__context__ or (inner if isinstance(inner, BaseException) else None)
    words = [e.strerror for e in seen if isinstance(e, OSError) and isinstance(e.strerror, str)]
    return words[-1] if words else type(error).__name__.removesuffix("Error")
