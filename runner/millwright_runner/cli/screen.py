"""What a person sees, and what is kept off the screen."""

from __future__ import annotations

import contextlib
import faulthandler
import json
import os
import sys
import tempfile
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console


def people() -> Console:
    """Returns a console on stderr, for progress and messages."""
    return Console(stderr=True, highlight=False, emoji=False, markup=False)


def results() -> Console:
    """Returns a console on stdout, for results."""
    return Console(highlight=False, emoji=False, markup=False)


def print_json(document: Any) -> None:
    """Writes the one JSON document of a verb to stdout."""
    sys.stdout.write(json.dumps(document, indent=2, ensure_ascii=False) + "\n")


def tell_imported(lines: Sequence[str]) -> None:
    """Lists on stderr what was not taken over from an Olive workflow that is run, planned or validated directly."""
    if lines:
        text = "\n  ".join(["Not taken over from the Olive workflow; the model is the same without:", *lines])
        sys.stderr.write(text + "\n")


@contextlib.contextmanager
def libraries_kept_off(log: Path | None) -> Iterator[Console]:
    """Sends what libraries print, also from C++ and from child processes, to a log while a run lasts.

    They would tear the live view and mix with the JSON on stdout. A crash in native code is still shown.

    Args:
        log: the file; None leaves both streams as they are.

    Yields:
        A console on the screen that stderr was.
    """
    if log is None:
        yield people()
        return
    sys.stdout.flush()
    sys.stderr.flush()
    kept = [os.dup(1), os.dup(2)]
    width = None if sys.stdin is not None and sys.stdin.isatty() else people().width  # rich asks fds 0, 1 and 2
    screen = os.fdopen(os.dup(2), "w", encoding="utf-8", errors="replace", buffering=1)
    target = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    faulthandler.enable(screen)
    try:
        for stream in (1, 2):
            os.dup2(target, stream)
        os.close(target)
        yield Console(file=screen, width=width, highlight=False, emoji=False, markup=False)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        faulthandler.disable()
        for stream, saved in zip((1, 2), kept, strict=True):
            os.dup2(saved, stream)
            os.close(saved)
        screen.close()


def new_log() -> Path | None:
    """Returns a new, empty file in the system's folder for temporary files, or None when there can be none."""
    try:
        handle, name = tempfile.mkstemp(prefix="millwright-", suffix=".log")
    except OSError:
        return None
    os.close(handle)
    return Path(name)


def write_traceback(error: BaseException, log: Path | None) -> Path | None:
    """Adds an error's traceback to a log, a new one when there is none yet; returns where, or None when it cannot."""
    place = log or new_log()
    if place is None:
        return None
    try:
        with place.open("a", encoding="utf-8", errors="replace") as file:
            traceback.print_exception(error, file=file)
    except OSError:
        return None
    return place
