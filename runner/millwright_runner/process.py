"""A process of ours: set up before anything is imported, told by signals, and left quickly."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import sys
import warnings
from collections.abc import Callable, Iterator
from types import FrameType
from typing import NoReturn

from millwright_runner.cores import keep_to_limit

LEFT_BEHIND = ("torch", "onnxruntime", "onnxruntime_genai", "pyarrow")
"""Libraries whose own end is slow, or now and then an abort: Arrow's threads may outlive what they use
(apache/arrow#34314), which turned a preflight that had found all well into a pod that failed."""


def open_streams() -> None:
    """Gives the process the three streams that everything expects, also when it was started with one closed."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free: this one
    sys.stdin = sys.stdin or os.fdopen(0, closefd=False)
    sys.stdout = sys.stdout or os.fdopen(1, "w", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", closefd=False)
    for stream in (sys.stdout, sys.stderr):  # file names need not be UTF-8, and screens neither
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def prepare(arguments: list[str]) -> None:
    """Sets what libraries read when they are imported: no telemetry at all, nothing of theirs on the screen, and no more
    threads than the container has cores."""
    os.environ.update(ORT_DISABLE_TELEMETRY="1", HF_HUB_DISABLE_TELEMETRY="1", DO_NOT_TRACK="1")
    for name, value in (
        ("TOKENIZERS_PARALLELISM", "true"),  # said aloud, else it warns after a fork
        ("TRANSFORMERS_VERBOSITY", "error"),
        ("HF_HUB_DISABLE_PROGRESS_BARS", "1"),
        ("BITSANDBYTES_NOWELCOME", "1"),
    ):
        os.environ.setdefault(name, value)
    keep_to_limit()
    if "--debug" not in arguments and not sys.warnoptions:
        os.environ.setdefault("PYTHONWARNINGS", "ignore")  # for child processes
        warnings.simplefilter("ignore")


@contextlib.contextmanager
def handling(handle: Callable[[int, FrameType | None], None], *numbers: signal.Signals) -> Iterator[None]:
    """Calls something for these signals while the context lasts; not for those that are ignored, as nohup has it."""
    before = {}
    for number in numbers:
        if signal.getsignal(number) is not signal.SIG_IGN:
            before[number] = signal.signal(number, handle)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def leave(code: int) -> NoReturn:
    """Ends the process.

    With torch loaded a normal exit takes 1.3 to 1.7 s, most of it CUDA's and the collector's tidying of memory that
    the system takes back anyway. Everything is on disk by now, so after a flush the process just goes: see LEFT_BEHIND.
    """
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except OSError as error:
            if stream is sys.stdout and code == 0:
                code = 141 if isinstance(error, BrokenPipeError) else 1
                print(f"the result could not be written: {error.strerror}", file=sys.stderr)
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())  # nothing more to say there
    if any(sys.modules.get(name) is not None for name in LEFT_BEHIND):
        os._exit(code)
    sys.exit(code)
