"""`millwright run`: does what a manifest says."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from types import FrameType

from rich.console import Console

from millwright_api.errors import MillwrightError
from millwright_api.report import RunReport
from millwright_runner import manifest
from millwright_runner.cli import failures, screen
from millwright_runner.cli.keys import signing_key
from millwright_runner.cli.options import (
    CacheOption,
    DebugOption,
    JsonOption,
    ManifestArgument,
    QuietOption,
    SetOption,
    SignKeyOption,
)
from millwright_runner.cli.places import settings
from millwright_runner.cli.watch import Lines, Watch
from millwright_runner.passes import StopFlag
from millwright_runner.plan import Plan, Settings, make_plan

NAME = "run"
EXAMPLE = "[bold]Example[/bold]  millwright run job.yaml --set passes.finetune.training.maxSteps=20"


def command(
    path: ManifestArgument,
    *,
    sets: SetOption = None,
    cache: CacheOption = None,
    sign_key: SignKeyOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> None:
    """Run a job: make the model and publish it.

    What was made before comes from the cache. Ctrl-C or SIGTERM saves a checkpoint; the same command goes on from it.
    """
    from millwright_runner.cli.summary import summary

    job = manifest.load(path, sets or ())
    chosen = replace(settings(job, cache), signer=signing_key(sign_key))
    began = time.monotonic()
    if not quiet:
        screen.tell_imported(job.imported)
        screen.tell_ignored(manifest.for_a_cluster(job.job))
    try:
        plan = make_plan(job.job, chosen)
    except MillwrightError as error:
        job.locate(error)
        raise
    report = _run(plan, chosen, job, quiet=quiet, debug=debug, began=began)
    if json:
        screen.print_json(report.model_dump(mode="json", exclude_none=True))
    else:
        assert report.artifact is not None  # a run that ends without a model raises
        sys.stdout.write(f"{report.artifact.uri}\n" if quiet else f"\n{summary(plan, report, screen.results())}\n")


def _run(plan: Plan, chosen: Settings, job: manifest.Manifest, *, quiet: bool, debug: bool, began: float) -> RunReport:
    """Runs a plan with somebody watching.

    Raises:
        failures.RunFailed: with the report, and the log of what libraries printed.
    """
    from millwright_runner import pipeline, record

    log = None if debug else screen.nameless_log()
    stop = StopFlag()
    with (
        screen.libraries_kept_off(log) as console,
        _watch(console, quiet=quiet, plain=debug) as watch,
        _stopping(stop, watch),
    ):
        try:
            return pipeline.run(plan, chosen, watch, stop)
        except Exception as error:
            failure = failures.as_failure(error)
            job.locate(failure)
            report = record.failed_report(failure, watch.told, plan, time.monotonic() - began)
            raise failures.RunFailed(error, report, log) from error


def _watch(console: Console, *, quiet: bool, plain: bool) -> Watch:
    if quiet:
        return Watch()
    if console.is_terminal and not console.is_dumb_terminal and not plain:
        from millwright_runner.cli.live import LiveView

        return LiveView(console)
    return Lines(console.file)


@contextlib.contextmanager
def _stopping(stop: StopFlag, watch: Watch) -> Iterator[None]:
    """Turns signals into a request to stop; a second Ctrl-C stops at once."""

    def handle(number: int, frame: FrameType | None) -> None:
        """Asks for a stop; the second Ctrl-C ends the process."""
        if number == signal.SIGINT and stop.signal == signal.SIGINT:
            watch.abandon()
            os._exit(128 + number)
        stop.request(number)
        again = "; Ctrl-C again stops at once" if number == signal.SIGINT else ""
        watch.stopping(f"{signal.Signals(number).name}: stopping, a checkpoint is saved first{again}")

    before = {}
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup
            before[number] = signal.signal(number, handle)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
