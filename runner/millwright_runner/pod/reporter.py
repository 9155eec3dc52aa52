"""Tells others how far a stage is: the latest Progress, from a thread of its own. Losing who listens never fails or slows the
work. The operator is told over its endpoint, a courier of Azure ML through the job's mailbox."""

from __future__ import annotations

import contextlib
import http.client
import ssl
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from millwright_api.report import Progress

INTERVAL_SECONDS = 5.0
"""Least time between two reports of the same step; a new step is told at once."""

LONGEST_PAUSE_SECONDS = 60.0
"""Between two tries while the endpoint is away or refuses; doubling from the interval up to this."""

TIMEOUT_SECONDS = 3.0
"""How long the endpoint may be silent."""


class Latest:
    """Tells the latest progress to somebody. Its thread starts with the first one and goes with the process.

    Args:
        send: tells it; whatever it raises, the work goes on.
        interval: least seconds between two reports of the same step.
        drop: called when it could not be told.
    """

    def __init__(
        self, send: Callable[[Progress], None], interval: float, drop: Callable[[], None] = lambda: None
    ) -> None:
        self._send, self._interval, self._drop = send, interval, drop
        self._news = threading.Condition()
        self._latest: Progress | None = None
        self._last: Progress | None = None
        self._thread: threading.Thread | None = None
        self._complained = False

    def tell(self, progress: Progress) -> None:
        """Takes the latest progress; it replaces one that was not sent yet. Never waits for the network.

        The loss is told at every few steps only: it stays with what is told until the step does something else.
        """
        last = self._last
        if progress.loss is None and last and (last.step_name, last.message) == (progress.step_name, progress.message):
            progress = progress.model_copy(update={"loss": last.loss})
        with self._news:
            self._last = self._latest = progress
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="progress", daemon=True)
                self._thread.start()
            self._news.notify()

    def _run(self) -> None:
        """Sends until the process ends."""
        told, pause = "", self._interval
        while True:
            progress = self._take()
            try:
                self._send(progress)
            except Exception as error:  # whatever it is, the work goes on without
                self._complain(error)
                self._drop()
                time.sleep(pause)
                pause = min(pause * 2, LONGEST_PAUSE_SECONDS)
            else:
                told, pause = progress.step_name, self._interval
                self._rest(told)

    def _take(self) -> Progress:
        """Waits for news and returns it."""
        with self._news:
            self._news.wait_for(lambda: self._latest is not None)
            progress, self._latest = self._latest, None
        assert progress is not None  # waited for
        return progress

    def _rest(self, told: str) -> None:
        """Waits for the interval, or until another step begins."""
        with self._news:
            self._news.wait_for(lambda: self._latest is not None and self._latest.step_name != told, self._interval)

    def _complain(self, error: Exception) -> None:
        """Says it once: a log is no place for the same line every minute."""
        if not self._complained:
            self._complained = True
            sys.stderr.write(f"progress cannot be reported, the job goes on without: {error}\n")


class Reporter(Latest):
    """Posts progress to the operator's endpoint.

    Args:
        url: https://host:port/path.
        ca: a file with the CA that signed the endpoint's certificate; read anew for each report.
        token: a file with the pod's token; read anew for each report.
        interval: least seconds between two reports of the same step.
        timeout: seconds that the endpoint may be silent.
    """

    def __init__(
        self,
        url: str,
        ca: Path,
        token: Path,
        *,
        interval: float = INTERVAL_SECONDS,
        timeout: float = TIMEOUT_SECONDS,
    ) -> None:
        super().__init__(self._report, interval, self._disconnect)
        self._url, self._ca, self._token = urlsplit(url), ca, token
        self._timeout = timeout
        self._connection: http.client.HTTPSConnection | None = None
        self._trusted = b""

    def _report(self, progress: Progress) -> None:
        """Posts it; a connection that the endpoint has closed in the meantime is made anew.

        Raises:
            OSError, http.client.HTTPException, ValueError: it did not arrive, or was refused.
        """
        body = progress.model_dump_json(exclude_none=True).encode()
        reused = self._connection is not None
        try:
            self._post(body)
        except (OSError, http.client.HTTPException) as error:
            if not reused or isinstance(error, TimeoutError):
                raise
            self._disconnect()
            self._post(body)

    def _post(self, body: bytes) -> None:
        headers = {"Authorization": f"Bearer {self._token.read_text().strip()}", "Content-Type": "application/json"}
        connection = self._connected()
        connection.request("POST", self._url.path, body, headers)
        answer = connection.getresponse()
        answer.read()
        if answer.status // 100 != 2:
            raise ValueError(f"the operator answers with HTTP {answer.status}")

    def _connected(self) -> http.client.HTTPSConnection:
        """Returns the connection; another one when the CA is another one."""
        trusted = self._ca.read_bytes()
        if self._connection is None or trusted != self._trusted:
            self._disconnect()
            context = ssl.create_default_context(cadata=trusted.decode())
            self._connection = http.client.HTTPSConnection(
                str(self._url.hostname), self._url.port, timeout=self._timeout, context=context
            )
            self._trusted = trusted
        return self._connection

    def _disconnect(self) -> None:
        if self._connection is not None:
            with contextlib.suppress(OSError):
                self._connection.close()
            self._connection = None
