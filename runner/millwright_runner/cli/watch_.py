"""`millwright watch`: a job on a cluster, as it goes."""

from __future__ import annotations

import contextlib
import re
import signal
import sys
import threading
from collections.abc import Iterator
from queue import Empty, SimpleQueue
from types import FrameType
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console

from millwright_api.errors import ConstraintsNotMet, MillwrightError
from millwright_runner.cli import failures, screen, tables
from millwright_runner.cli.jobs import trials
from millwright_runner.cli.jobs.kubectl import Lost, Target, Watches, explain
from millwright_runner.cli.jobs.lines import JobLines, JobView, JsonLines
from millwright_runner.cli.jobs.look import Look, happening, look
from millwright_runner.cli.options import DebugOption
from millwright_runner.cli.summary import try_it
from millwright_runner.cli.trials import ROWS
from millwright_runner.process import handling
from millwright_runner.stores.locations import is_uri
from millwright_runner.words import duration, plural, size

NAME = "watch"
EXAMPLE = "[bold]Example[/bold]  millwright watch team-a/emotion --context production"

DNS = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"

LOOK_SECONDS = 0.5
"""A signal that comes just before the wait begins does not end it: its handler runs when Python does again."""

JobArgument = Annotated[
    str,
    typer.Argument(
        metavar="NAMESPACE/NAME",
        show_default=False,
        help="The job. NAME alone is looked for in the kubeconfig's namespace.",
    ),
]
ContextOption = Annotated[
    str | None,
    typer.Option("--context", metavar="NAME", show_default=False, help="The kubeconfig's context. Default: its own."),
]
KubeconfigOption = Annotated[
    str | None,
    typer.Option("--kubeconfig", metavar="FILE", show_default=False, help="The kubeconfig. Default: kubectl's."),
]
JsonLinesOption = Annotated[
    bool, typer.Option("--json", metavar="", help="Print one JSON document a line: each status.")
]


class JobDeleted(MillwrightError):
    """The job was deleted while it was watched."""


def command(
    job: JobArgument,
    *,
    context: ContextOption = None,
    kubeconfig: KubeconfigOption = None,
    json: JsonLinesOption = False,
    debug: DebugOption = False,
) -> None:
    """Watch a job on a cluster until it ends.

    Asks through kubectl. Ctrl-C ends the watching; the job goes on. Exit code 0: complete; 3: a constraint failed; 1: it
    failed otherwise.
    """
    inbox: SimpleQueue[Any] = SimpleQueue()
    watches = Watches()
    try:
        target = _target(job, context, kubeconfig)
        with _interrupted(inbox), _view(json=json) as view:
            ended = _Watching(target, inbox, watches, view).until_it_ends()
    except MillwrightError as error:
        _fail(error, json=json)
    finally:
        watches.end()
    if isinstance(ended, signal.Signals):
        sys.stderr.write(f"the job goes on; look again: millwright watch {target}\n")
        raise typer.Exit(128 + ended)
    if ended.ended == "Failed":
        failed = ended.condition("Failed")
        assert failed is not None  # that is what Failed means
        logs = f"kubectl logs -n {ended.namespace} -l millwright.dev/job={ended.name} --tail=50"
        kind = failures.JobMissedGate if failed.reason == ConstraintsNotMet.__name__ else failures.JobFailed
        _fail(kind(failed.reason, failed.message or "it failed", where=ended.title, hint=f"logs: {logs}"), json=json)
    if not json:
        sys.stdout.write(f"\n{result(ended, screen.results())}\n")


def _fail(error: MillwrightError, *, json: bool) -> NoReturn:
    """Ends with an error; with --json stdout has statuses and nothing else, so that who reads its lines is not disturbed."""
    if not json:
        raise error
    failures.tell(error, screen.people())
    raise typer.Exit(failures.exit_code(error))


def result(ended: Look, console: Console | None = None) -> str:
    """Returns the closing text of a job that is complete.

    Args:
        ended: the last look at it.
        console: the terminal that it is for; None: plain text.
    """
    rows, tries = [("job", ended.title)], []
    for made in ended.status.artifacts:
        rows += [
            ("model", made.uri),
            ("size", f"{size(made.bytes)} in {plural(made.files, 'file')}, format {made.format}"),
        ]
        if is_uri(made.uri):
            tries.append(try_it(made.uri, made.format, ended.base))
    if ended.seconds is not None:
        times = ", ".join(
            f"{p.name} {'cached' if p.cache == 'Hit' else duration(p.seconds or 0)}" for p in ended.passes
        )
        rows.append(("time", f"{duration(ended.seconds)} ({times})"))
    known = ended.status.evaluation
    measured = tables.text(known.results, known.constraints, console) if known else ""
    rows += trials.closing(ended)
    grid = trials.table(ended, ROWS)
    tried = tables.lines(grid, console) if grid is not None else ""
    text = "\n".join(f"{name:<8}{value}" for name, value in rows)
    return "\n\n".join(filter(None, (tried, measured, text, *tries)))


class _Watching:
    """What comes in, and what becomes of it."""

    def __init__(self, target: Target, inbox: SimpleQueue[Any], watches: Watches, view: JobView) -> None:
        self._target, self._inbox, self._watches, self._view = target, inbox, watches, view
        self._seen: Look | None = None
        self._failures = 0

    def until_it_ends(self) -> Look | signal.Signals:
        """Returns the last look, or the signal that ended the watching.

        Raises:
            MillwrightError: the job cannot be watched, or was deleted.
        """
        self._start(self._target.job_watch(), "job")
        while True:
            try:
                kind, news = self._inbox.get(timeout=LOOK_SECONDS)
            except Empty:
                continue
            if kind == "signal":
                return signal.Signals(news)
            if kind == "error":
                raise news
            if kind == "event":
                self._event(news)
            elif isinstance(news, Lost):
                self._lost(news)
            elif news.get("type") == "DELETED":
                raise JobDeleted("it was deleted while it was watched", where=str(self._target))
            elif news.get("type") in ("ADDED", "MODIFIED"):
                seen = self._show(look(news["object"]))
                if seen.ended:
                    return seen

    def _show(self, seen: Look) -> Look:
        before, self._seen = self._seen, seen
        if before is None:
            self._start(self._target.event_watch(seen.namespace), "event")
        elif before.uid != seen.uid:
            self._view.note(f"{seen.title} was deleted and made anew; this is the new one")
        if self._failures > 1:
            self._view.note("connected again")
        self._failures = 0
        self._view.show(seen)
        return seen

    def _event(self, news: dict[str, Any] | Lost) -> None:
        if not isinstance(news, Lost) and news.get("type") in ("ADDED", "MODIFIED") and self._seen is not None:
            event = news["object"]
            if event.get("regarding", {}).get("uid") == self._seen.uid:
                self._view.event(happening(event))

    def _lost(self, lost: Lost) -> None:
        """Takes a closed watch as usual; says so when it cannot be opened again."""
        if self._seen is None:
            raise explain(lost.message or "the API server closed the connection", self._target)
        if "(NotFound)" in lost.message:
            raise JobDeleted("it was deleted while it was watched", where=str(self._target))
        self._failures += 1 if lost.message else 0
        if self._failures == 2:
            self._view.note(f"connection lost, trying again: {lost.message}")

    def _start(self, arguments: list[str], kind: str) -> None:
        def run() -> None:
            """Follows one watch, and puts what it says into the inbox."""
            try:
                self._watches.follow(arguments, lambda news: self._inbox.put((kind, news)))
            except Exception as error:  # told by the thread that waits
                self._inbox.put(("error", error))

        threading.Thread(target=run, daemon=True).start()


def _target(job: str, context: str | None, kubeconfig: str | None) -> Target:
    found = re.fullmatch(rf"(?:(?P<namespace>{DNS})/)?(?P<name>{DNS})", job)
    if found is None:
        raise failures.UsageError(
            f"expected NAMESPACE/NAME or NAME, found '{job}'", hint="names as Kubernetes has them"
        )
    options = [f"--{key}={value}" for key, value in (("context", context), ("kubeconfig", kubeconfig)) if value]
    return Target(found["name"], found["namespace"], tuple(options))


def _view(*, json: bool) -> JobView:
    console = screen.people()
    if json:
        return JsonLines(sys.stdout)
    if console.is_terminal and not console.is_dumb_terminal:
        from millwright_runner.cli.jobs.live import LiveJob

        return LiveJob(console)
    return JobLines(console.file)


@contextlib.contextmanager
def _interrupted(inbox: SimpleQueue[Any]) -> Iterator[None]:
    """Turns signals into news: nothing has to be saved, and the screen is left in order."""

    def handle(number: int, frame: FrameType | None) -> None:
        """Wakes who waits; a SimpleQueue may be put to from a signal handler."""
        inbox.put(("signal", number))

    with handling(handle, signal.SIGTERM, signal.SIGINT):
        yield
