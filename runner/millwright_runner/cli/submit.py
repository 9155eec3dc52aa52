"""`millwright submit`: has a manifest run on Azure ML, without a cluster, and follows it."""

from __future__ import annotations

import shlex
import signal
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, BinaryIO

import typer
from rich.console import Console

from millwright_api.errors import MillwrightError, Stopped
from millwright_api.report import Remote, RunReport
from millwright_api.v1alpha1 import OptimizationJob
from millwright_runner import manifest
from millwright_runner.cli import azureml, failures, screen
from millwright_runner.cli.options import DebugOption, JsonOption, ManifestArgument, QuietOption, SetOption
from millwright_runner.cli.places import settings
from millwright_runner.cli.remote_views import RemoteLines, RemoteWatch
from millwright_runner.cli.submitting import Leaving, Submission
from millwright_runner.manifest import Manifest
from millwright_runner.passes import StopFlag
from millwright_runner.plan import open_output

if TYPE_CHECKING:
    from millwright_runner.remote.courier import Submitted

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
        submission = Submission.of(job, again, settings(job, None))
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


def _followed(
    submission: Submission, *, checks: bool, detach: bool, json: bool, quiet: bool, debug: bool
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
    log, leaving = None if debug else screen.nameless_log(), Leaving()
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


def _left(submission: Submission, remote: Remote, number: int, log: BinaryIO | None) -> failures.RunFailed:
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


def _tell_detached(submission: Submission, sent: Submitted, *, json: bool, quiet: bool) -> None:
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


def _tell(submission: Submission, report: RunReport, *, json: bool, quiet: bool) -> None:
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
