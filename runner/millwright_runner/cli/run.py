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
from millwright_api.v1alpha1 import OptimizationJob
from millwright_runner import manifest
from millwright_runner.cli import failures, screen
from millwright_runner.cli.keys import signing_key
from millwright_runner.cli.options import (
    CacheOption,
    DebugOption,
    JsonOption,
    ManifestArgument,
    ParallelOption,
    QuietOption,
    SetOption,
    SignKeyOption,
)
from millwright_runner.cli.places import settings
from millwright_runner.cli.watch import Watch
from millwright_runner.cli.works import How, Once, Searched, Work
from millwright_runner.passes import StopFlag
from millwright_runner.process import handling

NAME = "run"
EXAMPLE = "[bold]Example[/bold]  millwright run job.yaml --set passes.finetune.training.maxSteps=20"

ELSEWHERE = "For Azure ML, ignored on this machine: spec.execution.azureML; `millwright submit` runs it there\n"


def command(
    path: ManifestArgument,
    *,
    sets: SetOption = None,
    cache: CacheOption = None,
    sign_key: SignKeyOption = None,
    parallel: ParallelOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> None:
    """Run a job: make the model and publish it. A search runs its trials and publishes the best.

    What was made before comes from the cache. Ctrl-C or SIGTERM saves a checkpoint; the same command goes on from it.
    """
    from millwright_runner.cli.summary import summary

    job = manifest.load(path, sets or ())
    chosen = replace(settings(job, cache), signer=signing_key(sign_key))
    if not quiet:
        screen.tell_imported(job.imported)
        screen.tell_ignored(_ignored(job.job, parallel))
        if job.job.spec.execution.azure_ml is not None:
            sys.stderr.write(ELSEWHERE)
    work: Work = Once(job.job, chosen)
    if job.job.spec.search is not None:
        work = Searched(job.job, chosen, parallel)
    elif parallel is not None:
        raise failures.UsageError("--parallel is for a search, and the manifest has none", hint="leave it out")
    try:
        notes = work.prepare()
    except MillwrightError as error:
        job.locate(error)
        raise
    if not quiet:
        screen.tell_notes(notes)
    report = _watched(work, job, quiet=quiet, debug=debug)
    if json:
        screen.print_json(report.model_dump(mode="json", exclude_none=True))
    else:
        assert report.artifact is not None  # a run that ends without a model raises
        text = (
            f"{report.artifact.uri}\n" if quiet else f"\n{summary(work.plan, report, screen.results(), work.board)}\n"
        )
        sys.stdout.write(text)


def _ignored(job: OptimizationJob, parallel: int | None) -> list[str]:
    """Returns what of a manifest is for a cluster only."""
    search = job.spec.search
    waits = search is not None and search.parallel_trials > 1 and parallel is None
    return manifest.for_a_cluster(job) + (["spec.search.parallelTrials (here: --parallel)"] if waits else [])


def _watched(work: Work, job: manifest.Manifest, *, quiet: bool, debug: bool) -> RunReport:
    """Does it with somebody watching.

    Raises:
        failures.RunFailed: with the report, and the log of what libraries printed.
    """
    from millwright_runner import record

    log, began = None if debug else screen.nameless_log(), time.monotonic()
    stop = StopFlag()
    with (
        screen.libraries_kept_off(log) as console,
        work.watch(console, _how(console, quiet=quiet, plain=debug)) as watch,
        _stopping(stop, watch),
    ):
        try:
            return work.do(stop)
        except Exception as error:
            failure = failures.as_failure(error)
            job.locate(failure)
            plan = work.plan if work.board is None else None  # a search that failed has no result that could be named
            report = record.failed_report(failure, watch.told, plan, time.monotonic() - began)
            raise failures.RunFailed(error, report, log) from error


def _how(console: Console, *, quiet: bool, plain: bool) -> How:
    if quiet:
        return "not"
    return "live" if console.is_terminal and not console.is_dumb_terminal and not plain else "lines"


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

    with handling(handle, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        yield
