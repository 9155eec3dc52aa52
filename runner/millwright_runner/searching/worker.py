"""A worker: a process that does a search's segments one after the other, with torch loaded once.

It stops when it is told to, and is gone at once when the process that started it is. Signals are not for it: Ctrl-C and
service managers send them to every process of a run.
"""

from __future__ import annotations

import os
import queue
import signal
import sys
import threading
import time
import traceback
from collections.abc import Sequence
from multiprocessing.connection import Connection

from millwright_api.report import ConstraintReport, EvaluationReport, PassReport, Progress
from millwright_runner.passes import StopFlag
from millwright_runner.plan import Plan
from millwright_runner.process import leave, open_streams, prepare
from millwright_runner.searching.segment import Bench
from millwright_runner.searching.words import Begin, Do, Done, Raised, Stop, Told
from millwright_runner.unforeseen import InternalError, as_failure

PAUSE_SECONDS = 0.1
"""Between two tellings of how far the same phase is."""


class Teller:
    """An observer that sends on what it is told.

    Args:
        connection: to the process that watches.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._phase, self._last = ("", ""), 0.0

    def planned(self, plan: Plan) -> None:
        """The other side has planned it too."""

    def progress(self, progress: Progress) -> None:
        """Sends a new phase at once, and how far one is ten times a second."""
        phase, now = (progress.step_name, progress.message), time.monotonic()
        if phase != self._phase or now - self._last >= PAUSE_SECONDS:
            self._phase, self._last = phase, now
            self._connection.send(Told("progress", progress))

    def finished(self, report: PassReport) -> None:
        """Sends it on."""
        self._connection.send(Told("finished", report))

    def measured(self, report: EvaluationReport) -> None:
        """Sends it on."""
        self._connection.send(Told("measured", report))

    def judged(self, reports: list[ConstraintReport]) -> None:
        """Sends it on."""
        self._connection.send(Told("judged", reports))


def work(connection: Connection, tasks: queue.SimpleQueue[Do], begin: Begin, stop: StopFlag) -> None:
    """Does what comes, until something ends the search."""
    try:
        bench = Bench(begin.job, begin.settings, stop)
        while True:
            task = tasks.get()
            connection.send(Done(bench.do(task.trial, task.segment, Teller(connection))))
    except Exception as error:
        failure = as_failure(error)
        if isinstance(failure, InternalError):
            traceback.print_exception(error)
        connection.send(Raised(failure))


def listen(connection: Connection, tasks: queue.SimpleQueue[Do], stop: StopFlag) -> None:
    """Takes what the other side says; ends the process when there is no other side any more."""
    try:
        while True:
            said = connection.recv()
            if isinstance(said, Stop):
                stop.request(said.signal)
            else:
                tasks.put(said)
    except (EOFError, OSError):
        os._exit(0)


def main(arguments: Sequence[str]) -> None:
    """Runs a worker.

    Args:
        arguments: the number of the pipe's descriptor.
    """
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    open_streams()
    prepare(list(arguments))
    connection = Connection(int(arguments[0]))
    os.set_inheritable(connection.fileno(), False)  # it is to end with this process
    tasks: queue.SimpleQueue[Do] = queue.SimpleQueue()
    stop = StopFlag()
    begin: Begin = connection.recv()
    threading.Thread(target=listen, args=(connection, tasks, stop), daemon=True).start()
    work(connection, tasks, begin, stop)
    leave(0)


if __name__ == "__main__":
    main(sys.argv[1:])
