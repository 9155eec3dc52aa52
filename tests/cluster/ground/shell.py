"""Running commands and waiting, for the ground."""

from __future__ import annotations

import contextlib
import fcntl
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

PATIENCE = 90.0
"""Seconds that any part of the ground may take to be ready."""


class GroundError(RuntimeError):
    """What keeps the ground from working, for a person: one message says it."""


def say(text: str) -> None:
    """Tells what is done, on stderr: a command's answer is on stdout."""
    print(f"ground: {text}", file=sys.stderr, flush=True)


def run(*command: object, cwd: Path | None = None, env: dict[str, str] | None = None, stdin: str | None = None) -> str:
    """Runs a command and returns what it printed.

    Raises:
        GroundError: it failed; the message has both of its streams.
    """
    words = [str(word) for word in command]
    done = subprocess.run(words, cwd=cwd, env=env, input=stdin, capture_output=True, text=True, check=False)
    if done.returncode:
        raise GroundError(f"{shlex.join(words)}: exit {done.returncode}\n{done.stdout}{done.stderr}".rstrip())
    return done.stdout


def succeeds(*command: object) -> bool:
    """Whether a command ends with 0; what it prints is dropped."""
    return subprocess.run([str(word) for word in command], capture_output=True, check=False).returncode == 0


def wait(what: str, ready: Callable[[], object], seconds: float = PATIENCE) -> None:
    """Waits until `ready` returns something true; what it raises meanwhile counts as no.

    Raises:
        GroundError: it took longer than `seconds`.
    """
    end = time.monotonic() + seconds
    last = ""
    while time.monotonic() < end:
        try:
            if ready():
                return
        except (OSError, ValueError, GroundError) as error:
            last = f": {error}"
        time.sleep(0.1)
    raise GroundError(f"waited {seconds:.0f} s for {what}{last}; see python -m tests.cluster.ground logs NAME")


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Holds a lock that other processes wait for; it falls with the process, however that ends."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def turn(path: Path, *, alone: bool) -> Iterator[None]:
    """Holds a place among those who share something, or has it alone. Who waits to be alone lets no more of them in."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        with locked(path.with_suffix(".gate")):
            fcntl.flock(file, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        yield


@contextlib.contextmanager
def using(path: Path) -> Iterator[Callable[[], bool]]:
    """Counts this process among those who use something, and yields a question: is it the last one, and no longer counted?"""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_SH)

        def is_last() -> bool:
            """Gives the place back; whoever could have it alone now is the last."""
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                fcntl.flock(file, fcntl.LOCK_UN)
                return False
            return True

        yield is_last
