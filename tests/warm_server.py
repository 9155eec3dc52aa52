"""Forks processes that begin with their imports done: see tests.warm, which starts this and asks it."""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import json
import os
import runpy
import selectors
import signal
import socket
import sys
import threading
from pathlib import Path
from typing import Any

LARGEST = 1 << 20


def main() -> None:
    """Loads a module, then forks one process per request, and says how each ends, until who asks has gone."""
    loaded, asked = sys.argv[1], socket.socket(fileno=int(sys.argv[2]))
    importlib.import_module(loaded)
    gc.freeze()  # a fork's collections look at its own objects, and leave the memory that it shares alone
    ended, wake = socket.socketpair()
    for end in (ended, wake):
        end.setblocking(False)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    signal.set_wakeup_fd(wake.fileno(), warn_on_full_buffer=False)
    children: dict[int, socket.socket] = {}
    with selectors.DefaultSelector() as events:
        events.register(asked, selectors.EVENT_READ)
        events.register(ended, selectors.EVENT_READ)
        while True:
            for key, _ in events.select():
                if key.fileobj is ended:
                    _tell_ends(ended, children)
                    continue
                message, fds, _, _ = socket.recv_fds(asked, LARGEST, 4)
                if not message:
                    return
                pid = os.fork()
                if pid == 0:
                    events.close()
                    for mine in (asked, ended, wake, *children.values()):
                        mine.close()
                    os.close(fds[-1])
                    _become(json.loads(message), fds[:-1])
                    return
                children[pid] = socket.socket(fileno=fds.pop())
                children[pid].send(b"%d\n" % pid)
                for fd in fds:
                    os.close(fd)


def _tell_ends(ended: socket.socket, children: dict[int, socket.socket]) -> None:
    with contextlib.suppress(BlockingIOError):
        while ended.recv(4096):
            pass
    with contextlib.suppress(ChildProcessError):
        while children:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                return
            with children.pop(pid) as reply, contextlib.suppress(BrokenPipeError):  # nobody waits for it any more
                reply.send(b"%d" % os.waitstatus_to_exitcode(status))


def _become(request: dict[str, Any], fds: list[int]) -> None:
    """Makes the fork what a fresh interpreter would be, and runs the module."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    if request["session"]:
        os.setsid()
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["folder"])
    for number, fd in enumerate(fds):
        os.dup2(fd, number)
    for fd in fds:
        os.close(fd)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115  as an interpreter opens them
    sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", closefd=False, buffering=1, errors="backslashreplace")  # noqa: SIM115
    sys.argv = [request["module"], *request["arguments"]]
    folders = [folder for folder in request["environment"].get("PYTHONPATH", "").split(os.pathsep) if folder]
    sys.path[:1] = [request["folder"], *folders]
    for hook in (Path(folder) / "sitecustomize.py" for folder in folders):
        if hook.exists():
            runpy.run_path(str(hook))
    try:
        runpy.run_module(request["module"], run_name="__main__", alter_sys=True)
        _leave(0)
    except SystemExit as ended:
        if ended.code is None or isinstance(ended.code, int):
            _leave(ended.code or 0)
        raise


def _leave(code: int) -> None:
    """Ends the fork as multiprocessing ends its own: threads are waited for and what is registered for the end is done.

    An interpreter's way takes all objects down one by one. In a fork that copies whatever it shares with the server, and
    takes longer than many commands do. Where something cannot be flushed, this returns: an interpreter says that itself.
    """
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    main()
