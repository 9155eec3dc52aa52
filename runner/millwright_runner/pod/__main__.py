"""`python -m millwright_runner.pod preflight|stage|report|azureml|cancel|remote`: runs a role; its last word is written however it ends."""

from __future__ import annotations

import logging
import os
import signal
import sys
from types import FrameType
from typing import NoReturn

from millwright_runner.process import leave, open_streams, prepare

ROLES = ("preflight", "stage", "report", "azureml", "cancel", "remote")

AFTER_THE_PREFLIGHT = ("stage", "report")
"""Roles that begin when the preflight has had an answer from each store: one that is silent now is away for a while, and the
address, which is frozen, is not to blame."""


def main() -> NoReturn:
    """Runs the role that the command line names."""
    open_streams()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _leave_at_once)
    prepare([])
    for name in ("azure", "msal"):  # what they warn of is in the exceptions, which are told in our words
        logging.getLogger(name).setLevel(logging.CRITICAL)
    if sys.argv[1:] not in [[role] for role in ROLES]:
        sys.stderr.write(f"one of {', '.join(ROLES)} is needed, not {' '.join(sys.argv[1:]) or 'nothing'}\n")
        leave(2)
    from millwright_runner.pod import roles
    from millwright_runner.stores.line import ENV_ANSWERED

    if sys.argv[1] in AFTER_THE_PREFLIGHT:
        os.environ.setdefault(ENV_ANSWERED, "1")
    leave(roles.run(sys.argv[1]))


def _leave_at_once(number: int, frame: FrameType | None) -> NoReturn:
    """Until a stage's work begins there is nothing to save."""
    try:
        from millwright_runner.pod import roles

        roles.leave_at_once(number)
    finally:
        os._exit(128 + number)  # the signal came in the middle of that import


if __name__ == "__main__":
    main()
