"""Who does a search's segments: processes, several at once."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
from dataclasses import dataclass, replace
from multiprocessing import connection
from multiprocessing.connection import Connection

from millwright_api.errors import MillwrightError, PassFailed, Stopped
from millwright_api.v1alpha1 import OptimizationJob
from millwright_runner.cores import THREADS, cores
from millwright_runner.passes import StopFlag
from millwright_runner.plan import Settings
from millwright_runner.searching.words import Begin, Do, Done, Raised, Stop, Told
from millwright_runner.steps import Observer
from millwright_search.trials import Seen, Segment, Trial

POLL_SECONDS = 0.2
"""Between two looks whether a stop was asked for."""


@dataclass
class _Worker:
    """A process.

    Attributes:
        process: itself.
        pipe: to it.
        busy: what it does, and who watches; None: nothing.
    """

    process: subprocess.Popen[bytes]
    pipe: Connection
    busy: tuple[Segment, Observer] | None = None

    def end(self) -> int:
        """Ends it at once; returns its exit code."""
        self.pipe.close()
        self.process.kill()
        return self.process.wait()


class Workers:
    """Processes that do segments, each one at a time; started when there is work, and kept.

    Args:
        job: with the search.
        settings: where.
        stop: asks for a stop.
        limit: how many processes at most.
    """

    def __init__(self, job: OptimizationJob, settings: Settings, stop: StopFlag, limit: int) -> None:
        self.limit = limit
        self._begin, self._stop = Begin(job, replace(settings, signer=None)), stop
        self._workers: list[_Worker] = []
        self._stopping = False

    def start(self, trial: Trial, segment: Segment, observer: Observer) -> None:
        """Satisfies `Crew`."""
        worker = next((one for one in self._workers if one.busy is None), None) or self._hire()
        worker.busy = segment, observer
        with contextlib.suppress(OSError):  # it has died, as `wait` will see
            worker.pipe.send(Do(trial, segment))

    def wait(self) -> tuple[str, Seen]:
        """Satisfies `Crew`. A worker that dies fails its segment alone."""
        while True:
            if self._stop.signal is not None:
                raise self._stopped(self._stop.signal)
            for worker in self._ready():
                ended = self._hear(worker)
                if isinstance(ended, MillwrightError):
                    raise self._end_with(ended)
                if ended is not None:
                    return ended

    def close(self) -> None:
        """Satisfies `Crew`."""
        while self._workers:
            self._workers.pop().end()

    def _hire(self) -> _Worker:
        ours, theirs = socket.socketpair()
        with theirs:
            process = subprocess.Popen(
                [sys.executable, "-m", "millwright_runner.searching.worker", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))} | threads(self.limit),
                start_new_session=True,  # Ctrl-C is for the process that tells it
            )
        worker = _Worker(process, Connection(ours.detach()))
        self._workers.append(worker)
        with contextlib.suppress(OSError):
            worker.pipe.send(self._begin)
        return worker

    def _ready(self) -> list[_Worker]:
        """Returns the workers that have something to say, after a while at the latest."""
        by_pipe = {worker.pipe: worker for worker in self._workers}
        return [by_pipe[pipe] for pipe in connection.wait(by_pipe, POLL_SECONDS) if isinstance(pipe, Connection)]

    def _hear(self, worker: _Worker) -> tuple[str, Seen] | MillwrightError | None:
        """Takes one thing that a worker says; returns the end of what it did, if it is that."""
        try:
            said = worker.pipe.recv()
        except (EOFError, OSError):
            return self._lost(worker)
        busy = worker.busy
        if isinstance(said, Raised):
            worker.busy = None
            return said.error
        if busy is None:
            return None
        segment, observer = busy
        if isinstance(said, Done):
            worker.busy = None
            return segment.key, said.seen
        if isinstance(said, Told):
            getattr(observer, said.method)(said.what)
        return None

    def _lost(self, worker: _Worker) -> tuple[str, Seen] | None:
        self._workers.remove(worker)
        code = worker.end()
        if worker.busy is None:
            return None
        return worker.busy[0].key, Seen("Failed", reason=PassFailed.__name__, message=died(code))

    def _stopped(self, number: int) -> Stopped:
        """Has all workers stop; returns what is to be raised."""
        told = self._stop_all(number)
        message = f"{signal.Signals(number).name}: stopped between two passes"
        return next((error for error in told if isinstance(error, Stopped)), Stopped(message, signal=number))

    def _end_with(self, error: MillwrightError) -> MillwrightError:
        """Has the other workers stop; returns the error."""
        self._stop_all(signal.SIGTERM)
        return error

    def _stop_all(self, number: int) -> list[MillwrightError]:
        """Waits until nobody is busy any more; what was finished meanwhile is in the cache."""
        for worker in self._workers:
            with contextlib.suppress(OSError):
                worker.pipe.send(Stop(number))
        told: list[MillwrightError] = []
        while any(worker.busy for worker in self._workers):
            for worker in self._ready():
                ended = self._hear(worker)
                if isinstance(ended, MillwrightError):
                    told.append(ended)
        return told


def threads(workers: int) -> dict[str, str]:
    """Returns what of the environment lets several workers share the cores; nothing where a person has set another number."""
    here = cores()
    if os.environ.get(THREADS, str(here)) != str(here):
        return {}
    return {THREADS: str(max(1, here // workers))}


def died(code: int) -> str:
    """Returns what is said of a worker that has gone.

    Args:
        code: its exit code, or minus the signal that ended it.
    """
    if code == -signal.SIGKILL:
        return "the process that ran it was killed: most often, memory ran out"
    how = f"by {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"
    return f"the process that ran it ended {how}"
