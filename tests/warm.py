"""Processes of ours that begin with their imports done: forks of a server, a second less each, and seven with torch.

For tests of what happens once they run. What a fresh interpreter imports, and when, is seen by test_cli_process,
test_imports and test_network, which start one.
"""

from __future__ import annotations

import atexit
import functools
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO

ROOT = Path(__file__).parent.parent
TRAINING = "tests.warm_imports"
"""What is loaded: torch, transformers and peft. One thread for sums is fixed."""
COMMAND = "tests.warm_command"
"""What is loaded: the command line and what it imports at its start, nothing heavy."""
ROWS_OF_THE_HUB = "tests.warm_rows"
"""What is loaded: what `datasets` is built on, and neither it nor the hub's client."""

AZURE = "tests.warm_azure"
"""What is loaded: the same, and Azure's SDKs, which take two seconds."""


class WarmProcess:
    """As subprocess.Popen of `python -m MODULE ARGUMENTS`, with text streams.

    Args:
        module: what is run.
        arguments: its command line.
        environment: all of its environment.
        folder: where it runs.
        err: a file that its standard error goes to; None: a pipe.
        loaded: what it begins with: TRAINING, COMMAND or ROWS_OF_THE_HUB.
        given: what it reads on its standard input.
        terminal: a terminal that its three streams are, in a session of its own; then nothing is read from here.
    """

    def __init__(
        self,
        module: str,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        folder: Path,
        err: Path | None = None,
        loaded: str = TRAINING,
        given: str | None = None,
        terminal: int | None = None,
    ) -> None:
        assert loaded != TRAINING or environment["OMP_NUM_THREADS"] == "1"  # read when torch was imported
        self.stdin: IO[str] | None = None
        self.stdout: IO[str] | None = None
        self.stderr: IO[str] | None = None
        self._given = given
        theirs = [terminal] * 3 if terminal is not None else self._streams(err)
        self._reply, reply = socket.socketpair()
        request = {
            "module": module,
            "arguments": list(arguments),
            "environment": dict(environment),
            "folder": str(folder),
            "session": terminal is not None,
        }
        fds = [fd for fd in theirs if fd is not None]
        socket.send_fds(_server(loaded), [os.fsencode(json.dumps(request))], [*fds, reply.fileno()])
        reply.close()
        if terminal is None:
            for fd in fds:
                os.close(fd)
        self._words = self._reply.makefile("r")
        self.pid = int(self._words.readline())
        """Its process id."""
        self._code: int | None = None

    def _streams(self, err: Path | None) -> list[int]:
        """Makes the pipes; returns the other side's ends of stdin, stdout, stderr."""
        if self._given is None:
            given = os.open(os.devnull, os.O_RDONLY)
        else:
            given, ours = os.pipe()
            self.stdin = os.fdopen(ours, "w", encoding="utf-8", errors="surrogateescape")
        ours, out = os.pipe()
        self.stdout = os.fdopen(ours, "r", encoding="utf-8", errors="surrogateescape")
        if err is not None:
            return [given, out, os.open(err, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)]
        ours, errors = os.pipe()
        self.stderr = os.fdopen(ours, "r", encoding="utf-8", errors="surrogateescape")
        return [given, out, errors]

    @property
    def returncode(self) -> int:
        """Its exit code, or minus the signal that ended it; it has ended."""
        code = self.poll()
        assert code is not None
        return code

    def poll(self) -> int | None:
        """Returns the exit code, or None while it runs."""
        try:
            return self.wait(timeout=0)
        except subprocess.TimeoutExpired:
            return None

    def send_signal(self, number: int) -> None:
        """Sends a signal, if it still runs."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Ends it at once."""
        self.send_signal(signal.SIGKILL)

    def wait(self, timeout: float | None = None) -> int:
        """Waits for its end."""
        if self._code is None:
            self._reply.settimeout(timeout)
            try:
                word = self._reply.recv(16)  # one write of the server's
            except (TimeoutError, BlockingIOError):
                raise subprocess.TimeoutExpired("a warm process", timeout or 0) from None
            assert word, "the server of warm processes has gone"
            self._code = int(word)
            self._reply.close()
        return self._code

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """Gives it what it reads, reads both streams to their end, side by side, and waits."""
        with ThreadPoolExecutor(3) as pool:
            given = pool.submit(self._give)
            both = [pool.submit(_drain, stream) for stream in (self.stdout, self.stderr)]
            try:
                out, errors = (read.result(timeout) for read in both)
            except TimeoutError:
                self.kill()
                raise
            given.result(timeout)
        self.wait(timeout)
        return out, errors

    def _give(self) -> None:
        if self.stdin is not None and not self.stdin.closed:
            try:
                self.stdin.write(self._given or "")
                self.stdin.close()
            except BrokenPipeError:  # it ended without reading all
                pass


def _drain(stream: IO[str] | None) -> str:
    if stream is None or stream.closed:
        return ""
    with stream:
        return stream.read()


@functools.cache
def _server(loaded: str) -> socket.socket:
    """Starts a server of forks, once in this process; it ends with it."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.warm_server", loaded, str(theirs.fileno())],
        cwd=ROOT,
        pass_fds=[theirs.fileno()],
        stdin=subprocess.DEVNULL,
    )
    theirs.close()
    atexit.register(process.wait, 60)
    atexit.register(ours.close)  # the first of the two: its end is the server's
    return ours
