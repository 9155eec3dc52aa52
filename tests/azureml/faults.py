"""What goes wrong on demand: throttling, errors, delays, hangs, lost connections, refusals."""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass, field

from tests.azureml.wire import Answer, Refused, Request

ANY = ""


class Dropped(Exception):
    """The connection is cut without an answer."""


@dataclass
class _Fault:
    path: re.Pattern[str]
    times: int | None
    answer: Answer | None = None
    delay: float = 0.0
    hang: bool = False
    drop: bool = False

    def takes(self, request: Request) -> bool:
        return self.times != 0 and self.path.search(request.place) is not None


@dataclass(frozen=True)
class Met:
    """What becomes of a call.

    Attributes:
        answer: given in place of carrying it out.
    """

    answer: Answer | None = None
    _delay: float = 0.0
    _released: threading.Event | None = None

    def hold(self) -> None:
        """Keeps the answer back for as long as it is delayed."""
        if self._delay and self._released is not None:
            self._released.wait(self._delay)


@dataclass
class Faults:
    """Faults of one stub. Each `path` is a regular expression that is searched in `METHOD /path`, in
    what comes through the proxy in `METHOD https://HOST/path`; by default all calls, those for a login and for blobs too.
    `times`: how many calls it hits; None: all."""

    _faults: list[_Fault] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _released: threading.Event = field(default_factory=threading.Event)

    def throttle(self, times: int | None = 1, retry_after: float = 0, path: str = ANY) -> None:
        """429 with Retry-After, in seconds."""
        self._add(
            path, times, Refused(429, "TooManyRequests", "The request is being throttled as the limit has been reached "
            "for operation type - Read. Please try again later.", headers={"Retry-After": f"{retry_after:g}"}).answer(),
        )  # fmt: skip

    def error(self, status: int = 500, times: int | None = 1, path: str = ANY) -> None:
        """A server error without much to read."""
        code = {500: "InternalServerError", 502: "BadGateway", 503: "ServiceUnavailable", 504: "GatewayTimeout"}
        message = "The server encountered an internal error. Please retry the request."
        headers = {"Retry-After": "0"}
        self._add(
            path, times, Refused(status, code.get(status, "InternalServerError"), message, headers=headers).answer()
        )

    def refuse(self, path: str, code: str, message: str, status: int = 400, times: int | None = None) -> None:
        """An error of the service's: its code and message."""
        self._add(path, times, Refused(status, code, message).answer())

    def forbid(self, path: str = ANY, action: str = "Microsoft.MachineLearningServices/workspaces/read") -> None:
        """403 AuthorizationFailed, for ever: the login may not do this."""
        message = (
            "The client '33333333-3333-3333-3333-333333333333' with object id '33333333-3333-3333-3333-333333333333' does "
            f"not have authorization to perform action '{action}' over scope '/subscriptions/…' or the scope is invalid. "
            "If access was recently granted, please refresh your credentials."
        )
        self.refuse(path, "AuthorizationFailed", message, status=403)

    def quota(self, path: str = "PUT .*/jobs/") -> None:
        """A job is refused for the subscription's quota."""
        message = (
            "Requested node count of 1 exceeds the quota: the specified subscription has a standardNCADSA100v4Family "
            "vCPU quota of 0 and is less than the requested 24. Please upgrade your subscription's quota."
        )
        self.refuse(path, "ClusterCoreQuotaReached", message)

    def delay(self, seconds: float, path: str = ANY, times: int | None = None) -> None:
        """Each answer comes later; the call is carried out."""
        self._faults.append(_Fault(re.compile(path, re.IGNORECASE), times, delay=seconds))

    def hang(self, path: str = ANY, times: int | None = None) -> None:
        """No answer until `clear()` or the test's end; the connection is cut then, the call is not carried out."""
        self._faults.append(_Fault(re.compile(path, re.IGNORECASE), times, hang=True))

    def drop(self, path: str = ANY, times: int | None = 1) -> None:
        """The connection is cut before the call is carried out."""
        self._faults.append(_Fault(re.compile(path, re.IGNORECASE), times, drop=True))

    def clear(self) -> None:
        """All is well again; what hangs or waits is let go."""
        with self._lock:
            self._faults.clear()
            self._released.set()
            self._released = threading.Event()

    def meet(self, request: Request) -> Met:
        """Returns what the first fault that this call runs into does to it.

        Raises:
            Dropped: cut the connection.
        """
        with self._lock:
            fault = next((each for each in self._faults if each.takes(request)), None)
            if fault is None:
                return Met()
            if fault.times is not None:
                fault.times -= 1
            released = self._released
        if fault.hang:
            released.wait()
            raise Dropped
        if fault.drop:
            raise Dropped
        return Met(fault.answer, fault.delay, released)

    def _add(self, path: str, times: int | None, answer: Answer) -> None:
        self._faults.append(_Fault(re.compile(path, re.IGNORECASE), times, answer=answer))
