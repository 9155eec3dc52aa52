"""Processes of ours that begin with torch, transformers and peft imported: forks of one server, seven seconds less each.

For tests of what happens once they run: signals, kills, lost stores. What a fresh interpreter imports, and when, is seen
by test_imports and test_network, which start one.
"""

from __future__ import annotations

import multiprocessing
import os
import runpy
import signal
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from pathlib import Path
from typing import IO

_SERVER = multiprocessing.get_context("forkserver")
_SERVER.set_forkserver_preload(["tests.warm_imports"])


class WarmProcess:
    """As subprocess.Popen of `python -m MODULE ARGUMENTS`, with text streams.

    Args:
        module: what is run.
        arguments: its command line.
        environment: all of its environment; one thread for sums is fixed.
        folder: where it runs.
        err: a file that its standard error goes to; None: a pipe.
    """

    def __init__(
        self,
        module: str,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        folder: Path,
        err: Path | None = None,
    ) -> None:
        assert environment["OMP_NUM_THREADS"] == "1"  # read when torch was imported
        self.stdout, out = _pipe()
        self.stderr, errors = (None, err) if err is not None else _pipe()
        self._process = _SERVER.Process(
            target=_become, args=(module, list(arguments), dict(environment), str(folder), out, errors)
        )
        self._process.start()
        for end in (out, errors):
            if isinstance(end, Connection):
                end.close()

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self._process.pid is not None
        return self._process.pid

    @property
    def returncode(self) -> int:
        """Its exit code, or minus the signal that ended it; it has ended."""
        code = self.poll()
        assert code is not None
        return code

    def poll(self) -> int | None:
        """Returns the exit code, or None while it runs."""
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        """Sends a signal, if it still runs."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Ends it at once."""
        self.send_signal(signal.SIGKILL)

    def wait(self, timeout: float | None = None) -> int:
        """Waits for its end."""
        self._process.join(timeout)
        return self.returncode

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """Reads both streams to their end, side by side, and waits."""
        with ThreadPoolExecutor(2) as pool:
            both = [pool.submit(stream.read) if stream is not None else None for stream in (self.stdout, self.stderr)]
            out, errors = (read.result(timeout) if read is not None else "" for read in both)
        self.wait(timeout)
        return out, errors


def _pipe() -> tuple[IO[str], Connection]:
    ours, theirs = _SERVER.Pipe(duplex=False)
    stream = os.fdopen(os.dup(ours.fileno()), "r")
    ours.close()
    return stream, theirs


def _become(
    module: str, arguments: list[str], environment: dict[str, str], folder: str, out: Connection, err: Connection | Path
) -> None:
    """Makes the fork what a fresh interpreter would be, and runs the module."""
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    os.dup2(out.fileno(), 1)
    os.dup2(err.fileno() if isinstance(err, Connection) else os.open(err, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
    for end in (out, err):
        if isinstance(end, Connection):
            end.close()
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    sys.stdin = sys.stdout = sys.stderr = None  # type: ignore[assignment]  # the program opens them anew
    sys.argv = [module, *arguments]
    sys.path[:0] = [folder, *environment.get("PYTHONPATH", "").split(os.pathsep)]
    runpy.run_module(module, run_name="__main__", alter_sys=True)
