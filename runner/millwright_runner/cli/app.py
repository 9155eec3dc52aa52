"""The app: its verbs, and what becomes of their exceptions."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import traceback
from collections.abc import Callable
from importlib.metadata import version
from types import FrameType
from typing import Annotated, NoReturn

import typer
from typer.exceptions import TyperException

from millwright_api.errors import Stopped
from millwright_runner.cli import (
    bench,
    chat,
    failures,
    import_,
    metrics,
    passes,
    plan,
    report,
    run,
    screen,
    submit,
    validate,
    verify,
    watch_,
)

EPILOG = """
[bold]A first run[/bold]

  millwright validate job.yaml      is it right? opens no model and no data
  millwright plan job.yaml          what would run, and what does it need?
  millwright run job.yaml           run it; after a stop it goes on
  millwright run job.yaml --set passes.lora.r=8
  millwright submit job.yaml        run it on Azure ML, without a cluster
  millwright import olive.json      an Olive workflow as a manifest
  millwright watch team-a/emotion   a job on a cluster, as it goes
  millwright report out/emotion     what it did, as a page
  millwright verify out/emotion     is it still what was published?

Exit codes: 0 done · 2 the input is wrong · 3 a constraint failed
75 try again · 130, 143 stopped, checkpoint saved · 1 a bug

No telemetry, and no network but what the manifest names.
"""

app = typer.Typer(
    name="millwright",
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
"""The command line."""

for verb in (run, plan, validate, submit, passes, metrics, import_, watch_, bench, chat, report, verify):
    app.command(verb.NAME, epilog=verb.EXAMPLE)(verb.command)


def _version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"millwright {version('millwright')}\n")
        raise typer.Exit


@app.callback(invoke_without_command=True, epilog=EPILOG)
def _millwright(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, metavar="", help="Print the version.")
    ] = False,
) -> None:
    """Turns a declaration (model, data, passes, target) into a tuned, compressed model."""
    if context.invoked_subcommand is None:
        with contextlib.redirect_stdout(sys.stderr):  # typer prints it by itself; nothing was asked for on stdout
            context.get_help()
        raise typer.Exit(2)


_commands = typer.main.get_command(app)


def main(arguments: list[str]) -> int:
    """Runs a command line and returns its exit code; failures are told on stderr, and on stdout with --json."""
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _leave_at_once(arguments))
    try:
        code = _commands.main(arguments, prog_name="millwright", standalone_mode=False)
    except TyperException as error:
        return _usage(error, arguments)
    except SystemExit:  # typer's way when who reads the result has gone
        return 128 + signal.SIGPIPE
    except Exception as error:
        return _failed(error, arguments)
    return code if isinstance(code, int) else 0


def _leave_at_once(arguments: list[str]) -> Callable[[int, FrameType | None], NoReturn]:
    """Returns the handler until a run takes over: nothing has been made that had to be saved.

    It raises nothing, because what is raised in the middle of a library may be caught there.
    """

    def handle(number: int, frame: FrameType | None) -> NoReturn:
        """Says that it stops, and is gone."""
        try:
            _failed(
                Stopped(f"{signal.Signals(number).name}: stopped before anything was made", signal=number), arguments
            )
            sys.stdout.flush()
        finally:
            os._exit(128 + number)

    return handle


def _usage(error: TyperException, arguments: list[str]) -> int:
    context = getattr(error, "ctx", None)
    command = context.command_path if context else "millwright"
    message = error.format_message().rstrip(".")
    sys.stderr.write(f"{command}: {message[:1].lower()}{message[1:]} ({command} --help)\n")
    if "--json" in arguments:
        failed = failures.report(failures.UsageError(message))
        screen.print_json(failed.model_dump(mode="json", exclude_none=True))
    return 2


def _failed(error: BaseException, arguments: list[str]) -> int:
    ran = error if isinstance(error, failures.RunFailed) else None
    cause = ran.cause if ran else error
    failure, details = failures.as_failure(cause), None
    if "--debug" in arguments:
        traceback.print_exception(cause)
    elif failures.needs_traceback(failure):
        details = screen.write_details(cause, ran.log if ran else None)
    failures.tell(failure, screen.people(), details)
    if "--json" in arguments:
        document = ran.report if ran else failures.report(failure)
        with contextlib.suppress(OSError):  # that stdout takes nothing may be what failed
            screen.print_json(document.model_dump(mode="json", exclude_none=True))
    return failures.exit_code(failure)
