"""Who uses the ground: the test processes of one run share it, and other runs wait until it is free."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tests.cluster.ground import life, namespaces
from tests.cluster.ground.settings import HOME
from tests.cluster.ground.shell import locked, say

FOLDER, LOCK = HOME / "users", HOME / "users.lock"


class User(NamedTuple):
    """A process that uses the ground.

    Attributes:
        run: the test run that it belongs to.
        pid: its id.
        started: when it started, in the kernel's ticks: ids are used again, with another start.
    """

    run: str
    pid: int
    started: int


@contextlib.contextmanager
def borrowed(run: str) -> Iterator[None]:
    """A ground for one test process: the first of a run starts a fresh one, the last takes it down.

    One that shall stay up (`up --keep`, or MILLWRIGHT_GROUND_KEEP=1) is used as it is, by several runs too, and left up.

    Raises:
        GroundError: it can't be started.
    """
    life.demand_root()
    join(run)
    try:
        yield
    finally:
        leave(run)


def join(run: str) -> None:
    """Waits until no other run has the ground, and starts it if nobody of this run has."""
    told = False
    while not _joined(run):
        if not told:
            say("another test run uses the test cluster: waiting for it")
        told = True
        time.sleep(1)


def _joined(run: str) -> bool:
    with locked(LOCK):
        present = living()
        if life.is_kept() or wants_to_keep():
            if not namespaces.is_up():
                life.up(keep=True)
        elif any(user.run != run for user in present):
            return False
        elif not present:
            life.up()
        me = User(run, os.getpid(), started(os.getpid()))
        FOLDER.mkdir(parents=True, exist_ok=True)
        (FOLDER / str(me.pid)).write_text(json.dumps(me))
        return True


def leave(run: str) -> None:
    """Takes this process off the list; the last one of a run takes the ground down."""
    with locked(LOCK):
        (FOLDER / str(os.getpid())).unlink(missing_ok=True)
        if not living() and not life.is_kept() and not wants_to_keep():
            life.down()


def wants_to_keep() -> bool:
    """Whether the environment says that the ground shall stay up."""
    return os.environ.get("MILLWRIGHT_GROUND_KEEP", "") not in ("", "0")


def living() -> list[User]:
    """The users that still run; the others are taken off the list."""
    users = []
    for file in FOLDER.glob("*"):
        user = User(*json.loads(file.read_text()))
        if started(user.pid) == user.started:
            users.append(user)
        else:
            file.unlink()
    return users


def started(pid: int) -> int:
    """When a process started, in the kernel's ticks; 0 when there is none."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    except FileNotFoundError:
        return 0
