"""Notes which packages a process and its children really import: not what they look for, but what is executed."""

from __future__ import annotations

import os
from pathlib import Path

HOOK = '''\
"""Imported by every interpreter at its start: writes down the package of each module whose code is executed."""
import os
import sys

_seen = set()
_packages = os.sep + "site-packages" + os.sep


def _note(event, arguments):
    if event == "exec":
        _write(getattr(arguments[0], "co_filename", ""))


def _write(file):
    name = file.rpartition(_packages)[2].partition(os.sep)[0]
    if name and name not in _seen and "<" not in name:
        _seen.add(name)
        handle = os.open(os.environ["IMPORT_LOG"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        os.write(handle, (name.removesuffix(".py") + "\\n").encode())
        os.close(handle)


for module in list(sys.modules.values()):  # what a fork began with
    _write(getattr(module, "__file__", None) or "")
sys.addaudithook(_note)
'''


class ImportLog:
    """A log of imports.

    Args:
        folder: where the hook and its log lie; made here.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        (folder / "sitecustomize.py").write_text(HOOK)
        self._folder, self._log = folder, folder / "log"

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs in its environment to be watched."""
        path = os.pathsep.join([str(self._folder), *filter(None, [os.environ.get("PYTHONPATH")])])
        return {"PYTHONPATH": path, "IMPORT_LOG": str(self._log)}

    @property
    def packages(self) -> set[str]:
        """Names of the packages outside the standard library that were imported so far."""
        return set(self._log.read_text().split()) if self._log.exists() else set()
