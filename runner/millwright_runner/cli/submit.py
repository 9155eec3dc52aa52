"""`millwright submit`: has a manifest run on Azure ML, without a cluster, and follows it."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import FrameType
from typing import TYPE_CHECKING, Annotated, BinaryIO

import typer
from rich.console import Console

from millwright_api.errors import MillwrightError, Stopped, UserError
from millwright_api.names import ENV_SIGNING_KEY
from millwright_api.report import Remote, RunReport
from millwright_api.v1alpha1 import OptimizationJob
from millwright_runner import manifest
from millwright_runner.cli import azureml, failures, screen
from millwright_runner.cli.options import DebugOption, JsonOption, ManifestArgument, QuietOption, SetOption
from millwright_runner.cli.places import settings
from millwright_runner.cli.remote_views import RemoteLines, RemoteWatch
from millwright_runner.manifest import Manifest
from millwright_runner.passes import StopFlag
from millwright_runner.plan import Settings, open_output

if TYPE_CHECKING:
    from millwright_runner.remote.courier import Courier, Latest, Submitted

NAME = "submit"
EXAMPLE = """
[bold]Example[/bold]  millwright submit job.yaml             run it, and follow it to its end

         millwright submit job.yaml --detach    come back once it is submitted
         millwright submit job.yaml             again: follow it, or see its result
         millwright submit job.yaml --cancel    stop it there
         millwright submit job.yaml --set execution.azureML.compute=large

In the manifest: execution: {azureML: {compute: gpu, environment: {image: …}}}.
The login is Azure's own: AZURE_CLIENT_ID and its like, a managed identity, or `az login`.
"""

GRACE_SECONDS = 10.0
"""After Ctrl-C while the job is on its way: how long an answer is waited for, to stop what arrived there."""

DetachOption = Annotated[
    bool,
    typer.Option("--detach", metavar="", help="Come back once it is submitted; the same command follows it later."),
]
CancelOption = Annotated[
    bool, typer.Option("--cancel", metavar="", help="Cancel what runs of it, and do nothing else.")
]


def command(
    path: ManifestArgument,
    *,
    sets: SetOption = None,
    detach: DetachOption = False,
    cancel: CancelOption = False,
    json: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> None:
    """Run a job on Azure ML: check it, submit it, follow it. The manifest's execution.azureML says where.

    The same command again follows the job that is there, or tells its result. Ctrl-C ends the following; the job goes on.
    """
    if detach and cancel:
        raise failures.UsageError("--detach and --cancel exclude one another")
    job = manifest.load(path, sets or ())
    if not quiet:
        screen.tell_imported(job.imported)
        screen.tell_ignored(_ignored(job.job))
    again = shlex.join(["millwright", "submit", str(path), *(word for text in sets or () for word in ("--set", text))])
    try:
        submission = _Submission.of(job, again, settings(job, None))
        if cancel:
            _tell_canceled(submission.courier.cancel(), json=json, quiet=quiet)
            return
        latest = submission.latest()
        report = submission.result(latest) if latest is not None else None
        if report is None:
            checks = latest is None or latest.told
            report = _followed(submission, checks=checks, detach=detach, json=json, quiet=quiet, debug=debug)
        elif not quiet:
            sys.stderr.write("It was done before: this is the result that the output holds.\n")
    except MillwrightError as error:
        job.locate(error)
        raise
    if report is not None:
        _tell(submission, report, json=json, quiet=quiet)


def _ignored(job: OptimizationJob) -> list[str]:
    """Returns what of a manifest is for a cluster only: a search's trials are done in turn, and a job's time is limited."""
    given = [path for path in manifest.for_a_cluster(job) if path != "spec.activeDeadlineSeconds"]
    several = job.spec.search is not None and job.spec.search.parallel_trials > 1
    return given + (["spec.search.parallelTrials"] if several else [])


@dataclass(frozen=True)
class _Submission:
    """A job to be submitted.

    Attributes:
        manifest: what, and where its parts were written.
        again: the command line that does the same again.
        settings: where things lie on this machine.
        courier: who speaks to Azure ML.
    """

    manifest: Manifest
    again: str
    settings: Settings
    courier: Courier

    @classmethod
    def of(cls, job: Manifest, again: str, chosen: Settings) -> _Submission:
        """Asks nobody.

        Raises:
            InvalidManifest: the manifest does not say how to run on Azure ML.
        """
        from millwright_runner.remote.courier import Courier
        from millwright_runner.remote.errand import Errand

        errand = Errand(job.job, job.base, {})
        assert errand.wanted  # raises
        return cls(job, again, chosen, Courier(errand, chosen.home, grace=GRACE_SECONDS))

    def latest(self) -> Latest | None:
        """Returns the newest job of this manifest.

        Raises:
            MillwrightError: nobody can be asked; all that is wrong.
        """
        try:
            return self.courier.latest()
        except UserError:
            self.check()
            raise

    def result(self, latest: Latest) -> RunReport | None:
        """Returns a job's report, where its end was told and its model is what the output holds; else None."""
        from millwright_runner.published import read_published

        report = latest.report
        if not latest.told or report is None or report.artifact is None:
            return None
        there = read_published(open_output(self.manifest.job.spec.output, self.settings))
        if there is None or there.tree.digest != report.artifact.digest:
            return None
        return report.model_copy(update={"artifact": report.artifact.model_copy(update={"uri": there.uri})})

    def check(self) -> list[str]:
        """Looks at all that the manifest names, here and on Azure ML, before anything costs; returns notes.

        Raises:
            MillwrightError: what is wrong; all of it.
        """
        from concurrent.futures import ThreadPoolExecutor

        from millwright_runner.look import look

        with ThreadPoolExecutor(1) as pool:
            there = pool.submit(self.courier.check)
            here = look(self.manifest.job, self.settings, has_folder=True)
            checked = there.result()
        problems = [*here.problems, *checked.problems]
        if problems:
            raise failures.all_of(problems)
        notes = [*here.notes, *checked.notes]
        if os.environ.get(ENV_SIGNING_KEY) and not self.manifest.job.spec.output.sign:
            notes.append(
                f"the key in {ENV_SIGNING_KEY} is not handed over: spec.output.sign does not ask for a signature"
            )
        return notes


def _followed(
    submission: _Submission, *, checks: bool, detach: bool, json: bool, quiet: bool, debug: bool
) -> RunReport | None:
    """Submits the job, or finds it, and follows it to its end; None when nobody is to follow.

    Raises:
        failures.RunFailed: it did not end in a model, or is no longer followed.
        MillwrightError: it was not submitted.
    """
    if checks:
        notes = submission.check()
        if not quiet:
            screen.tell_notes(notes)
    if not quiet:
        _tell_where(submission.manifest)
    log, leaving = None if debug else screen.nameless_log(), _Leaving()
    with screen.libraries_kept_off(log) as console, _view(console, quiet=quiet, plain=debug) as view, leaving.on(view):
        view.about(submission.manifest.job)
        sent = submission.courier.submit(view.progress, leaving.stop)
        leaving.sent = True
        report = None if detach else submission.courier.follow(sent, view.progress, StopFlag(), leaving.left)
    if detach:
        _tell_detached(submission, sent, json=json, quiet=quiet)
        return None
    if report is None:
        raise _left(submission, view.remote or sent.remote, leaving.number, log)
    if report.outcome != "Succeeded":
        failure = failures.RemoteFailed(report)
        submission.manifest.locate(failure)
        submission.courier.told()
        raise failures.RunFailed(failure, report, log)
    submission.courier.told()
    return report


class _Leaving:
    """Turns signals into the end of following: the job goes on there. Until there is one, into a stop.

    Attributes:
        stop: asks for a stop before the job is submitted.
        sent: whether it is.
        left: set when nobody follows any more.
        number: the signal.
    """

    def __init__(self) -> None:
        self.stop, self.sent, self.left, self.number = StopFlag(), False, threading.Event(), 0

    @contextlib.contextmanager
    def on(self, view: RemoteWatch) -> Iterator[None]:
        """While a job is submitted and followed."""

        def handle(number: int, frame: FrameType | None) -> None:
            """Ends the following; the second Ctrl-C ends the process."""
            if self.number == number == signal.SIGINT:
                view.abandon()
                os._exit(128 + number)
            self.number = number
            self.stop.request(number)
            self.left.set()
            if not self.sent:
                again = "; Ctrl-C again leaves at once" if number == signal.SIGINT else ""
                view.stopping(f"{signal.Signals(number).name}: stopping before there is a job{again}")

        before = {}
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN:  # nohup
                before[number] = signal.signal(number, handle)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _left(submission: _Submission, remote: Remote, number: int, log: BinaryIO | None) -> failures.RunFailed:
    message = f"{signal.Signals(number).name}: no longer followed; the job goes on on Azure ML as {remote.name}"
    stopped = Stopped(message, signal=number)
    stopped.hint = f"follow it again: {submission.again}; cancel it: {submission.again} --cancel"
    return failures.RunFailed(stopped, failures.report(stopped).model_copy(update={"remote": remote}), log)


def _view(console: Console, *, quiet: bool, plain: bool) -> RemoteWatch:
    if quiet:
        return RemoteWatch()
    if plain or not console.is_terminal or console.is_dumb_terminal:
        return RemoteLines(console.file)
    from millwright_runner.cli.live_remote import RemoteView

    return RemoteView(console)


def _tell_where(job: Manifest) -> None:
    execution = job.job.spec.execution.azure_ml
    assert execution is not None  # who has none is not submitted
    for label, text in azureml.rows(job, execution):
        sys.stderr.write(f"{label:<{azureml.LABEL}}{text}\n")


def _tell_detached(submission: _Submission, sent: Submitted, *, json: bool, quiet: bool) -> None:
    remote = sent.remote
    follow, cancel = submission.again, f"{submission.again} --cancel"
    if json:
        document = remote.model_dump(mode="json", exclude_none=True)
        screen.print_json(document | {"submitted": sent.made, "follow": follow, "cancel": cancel})
    elif quiet:
        sys.stdout.write(f"{remote.name}\n")
    else:
        rows = [
            ("job", remote.name),
            ("state", remote.state),
            ("url", remote.url),
            ("follow", follow),
            ("cancel", cancel),
        ]
        sys.stdout.write("".join(f"{label:<8}{text}\n" for label, text in rows if text))


def _tell_canceled(canceled: Sequence[Remote], *, json: bool, quiet: bool) -> None:
    if json:
        screen.print_json({"canceled": [remote.model_dump(mode="json", exclude_none=True) for remote in canceled]})
    elif not quiet:
        for remote in canceled:
            sys.stdout.write(f"canceled {remote.name}, which was {remote.state}\n")
        if not canceled:
            sys.stdout.write("nothing of it runs on Azure ML\n")


def _tell(submission: _Submission, report: RunReport, *, json: bool, quiet: bool) -> None:
    from millwright_runner.cli.summary import base_of, closing_text

    if json:
        screen.print_json(report.model_dump(mode="json", exclude_none=True))
        return
    assert report.artifact is not None  # a run that ends without a model is told as a failure
    if quiet:
        sys.stdout.write(f"{report.artifact.uri}\n")
        return
    job = submission.manifest.job
    output = open_output(job.spec.output, submission.settings).uri
    base = base_of(job, str(submission.manifest.base / str(job.spec.model.path)))
    text = closing_text(report, output, base, screen.results())
    sys.stdout.write(f"\n{text}\n")
