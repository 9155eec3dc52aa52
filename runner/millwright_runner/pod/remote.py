"""The runner inside a job of Azure ML: does what a stage's pod would, and talks to the courier through the mailbox."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any

from millwright_api.errors import MillwrightError
from millwright_api.names import ENV_REMOTE, ENV_STEPS, ENV_TRIAL
from millwright_api.report import RunReport
from millwright_runner.azure.coordinates import coordinates
from millwright_runner.cli.keys import signing_key
from millwright_runner.manifest import Manifest
from millwright_runner.passes import StopFlag
from millwright_runner.plan import Settings, open_output
from millwright_runner.pod import inside, roles, stage
from millwright_runner.pod.reporter import Latest
from millwright_runner.remote.definition import ENV_DATASTORE, ENV_SECRETS
from millwright_runner.remote.mailbox import Mailbox
from millwright_runner.remote.snapshot import PART

POST_SECONDS, LOOK_SECONDS = 10.0, 10.0
"""Between two posts of the same step, and between two looks whether a stop is asked for."""

ENV_IDENTITY = "DEFAULT_IDENTITY_CLIENT_ID"
"""Set by Azure ML where the job has a managed identity of its own."""


def run() -> RunReport:
    """Does the part that the environment names; its report is in the mailbox before it is returned, however it ends."""
    os.environ.setdefault(inside.ENV_TERMINATION_LOG, os.devnull)
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(Path.cwd()), os.environ.get("PYTHONPATH"))))
    box: Mailbox | None = None
    try:
        _identify()
        _secrets()
        _part()
        job = inside.load()
        settings = replace(inside.settings(job), signer=signing_key(None))
        settings = replace(settings, credential=_credential())
        box = Mailbox(open_output(job.job.spec.output, settings), os.environ[ENV_REMOTE])
        box.begin()
        report = _do(job, settings, box)
    except roles.Failed as failed:
        report = failed.report
    except BaseException as error:
        report = roles.report_of(error)
    _last_word(box, report)
    return report


def _do(job: Manifest, settings: Settings, box: Mailbox) -> RunReport:
    post = Latest(box.post, POST_SECONDS)
    threading.Thread(target=_watch_for_stop, args=(box,), name="stop", daemon=True).start()
    if job.job.spec.search is not None and not {ENV_STEPS, ENV_TRIAL} & os.environ.keys():
        from millwright_runner.pod.whole import run_search

        return run_search(job.job, settings, post.tell, _stop_by_signal())
    return stage.do(job, settings, stage.Telling(post))


def _stop_by_signal() -> StopFlag:
    """From here on SIGTERM asks a search for a stop."""
    stop = StopFlag()

    def handle(number: int, frame: FrameType | None) -> None:
        """Asks for it."""
        stop.request(number)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, handle)
    return stop


def _secrets() -> None:
    """Reads what the job's definition names only; an environment for jobs without secrets needs none of Azure's libraries."""
    places = os.environ.pop(ENV_SECRETS, None)
    if places is not None:
        from millwright_runner.remote import secrets

        os.environ.update(secrets.resolve(places))


def _part() -> None:
    """Reads the variables that were too long for the job's definition."""
    file = inside.job_folder() / PART
    if file.is_file():
        os.environ.update(json.loads(file.read_text(encoding="utf-8")))


def _credential() -> Any:
    """Returns what opens the datastore that the output lies in; None where the manifest says itself where that is."""
    datastore = os.environ.get(ENV_DATASTORE)
    if datastore is None:
        return None
    from millwright_runner.azure.datastores import datastore_place

    return datastore_place(coordinates(None, inside.job_folder()), datastore, "").credential


def _identify() -> None:
    """azure-identity takes the job's managed identity by a variable of its own."""
    client = os.environ.get(ENV_IDENTITY)
    if client:
        os.environ.setdefault("AZURE_CLIENT_ID", client)


def _watch_for_stop(box: Mailbox) -> None:
    """A stop in the mailbox is the same as SIGTERM: the courier has no other way to send one."""
    while True:
        with contextlib.suppress(MillwrightError):  # a store that is away is asked again
            if box.asked_to_stop():
                os.kill(os.getpid(), signal.SIGTERM)
                return
        time.sleep(LOOK_SECONDS)


def _last_word(box: Mailbox | None, report: RunReport) -> None:
    try:
        if box is not None:
            box.end(report)
    except MillwrightError as error:
        sys.stderr.write(f"the report cannot be left where the courier looks for it: {error}\n")
