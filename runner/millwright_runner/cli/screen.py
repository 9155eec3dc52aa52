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
from typing import Any, BinaryIO

from rich.console import Console

KEPT_BYTES = 256 * 1024
"""What is kept of libraries' prints when a run fails: their end."""


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


def tell_ignored(keys: Sequence[str]) -> None:
    """Says on stderr which keys of a manifest are for a cluster and do nothing without one."""
    if keys:
        sys.stderr.write(f"For a cluster, ignored on this machine: {', '.join(keys)}\n")


def tell_notes(lines: Sequence[str]) -> None:
    """Says on stderr what a person should know of a job that runs all the same."""
    sys.stderr.writelines(f"note: {line}\n" for line in lines)


def nameless_log() -> BinaryIO:
    """Returns a file for what libraries print; it has no name, so that no end of the process leaves it behind."""
    try:
        return tempfile.TemporaryFile("w+b", buffering=0)
    except OSError:  # no place for temporary files: then it is not kept
        return Path(os.devnull).open("w+b", buffering=0)


@contextlib.contextmanager
def libraries_kept_off(log: BinaryIO | None) -> Iterator[Console]:
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
    _flush()
    kept = [os.dup(1), os.dup(2)]
    width = None if sys.stdin is not None and sys.stdin.isatty() else people().width  # rich asks fds 0, 1 and 2
    screen = os.fdopen(os.dup(2), "w", encoding="utf-8", errors="replace", buffering=1)
    faulthandler.enable(screen)
    try:
        for stream in (1, 2):
            os.dup2(log.fileno(), stream)
        yield Console(file=screen, width=width, highlight=False, emoji=False, markup=False)
    finally:
        _flush()
        faulthandler.disable()
        for stream, saved in zip((1, 2), kept, strict=True):
            os.dup2(saved, stream)
            os.close(saved)
        screen.close()


def write_details(error: BaseException, log: BinaryIO | None) -> Path | None:
    """Writes an error's traceback, and before it the end of what libraries printed, to a file in the system's folder
    for temporary files; returns where, or None when that cannot be written.
    """
    said = b""
    if log is not None:
        size = log.seek(0, os.SEEK_END)
        log.seek(max(0, size - KEPT_BYTES))
        said = log.read()
    try:
        handle, name = tempfile.mkstemp(prefix="millwright-", suffix=".log")
        with os.fdopen(handle, "w", encoding="utf-8", errors="replace") as file:
            file.write(said.decode("utf-8", "replace"))
            traceback.print_exception(error, file=file)
    except OSError:
        return None
    return Path(name)


def _flush() -> None:
    sys.stdout.flush()
    sys.stderr.flush()
