"""The `millwright` command."""

from __future__ import annotations

import os
import signal
import sys
from typing import NoReturn

from millwright_runner.process import leave, open_streams, prepare

NO_COMMAND_LINE = "this installation has no command line: pip install 'millwright[runner]', or use the runner's image\n"
"""The light images and an installation without extras have the command, but not what it needs."""


def main() -> NoReturn:
    """Runs the command line."""
    for number in (signal.SIGINT, signal.SIGTERM):  # until the command line takes over: imports hold nothing to save
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, lambda number, frame: os._exit(128 + number))
    open_streams()
    arguments = sys.argv[1:]
    prepare(arguments)
    try:
        from millwright_runner.cli.app import main as run
    except ModuleNotFoundError as error:
        if error.name != "typer":
            raise
        sys.stderr.write(NO_COMMAND_LINE)
        leave(2)
    leave(run(arguments))


if __name__ == "__main__":
    main()
