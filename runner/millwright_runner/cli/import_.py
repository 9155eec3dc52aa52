"""`millwright import`: an Olive workflow becomes a manifest."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from millwright_api.errors import AccessDenied, UserError
from millwright_runner.cli import screen
from millwright_runner.cli.options import DebugOption, JsonOption, QuietOption

NAME = "import"
EXAMPLE = "[bold]Example[/bold]  millwright import olive-config.json -o job.yaml && millwright run job.yaml"


class FileExists(UserError):
    """The file to be written is there already, with other content."""


def command(
    config: Annotated[
        Path,
        typer.Argument(metavar="CONFIG", help="Olive's workflow: JSON or YAML, new format or old.", show_default=False),
    ],
    *,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="FILE", help="Write the manifest here. Default: stdout.", show_default=False
        ),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", metavar="", help="Replace FILE when it holds something else.")
    ] = False,
    json: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> None:
    """Turn an Olive workflow into a manifest.

    Lines that were not taken over are listed on stderr, each with its path in the workflow and the reason.
    """
    from millwright_runner import olive

    folder = output.parent if output else Path.cwd()
    found = olive.convert(olive.read_config(config), config_path=config, folder=folder)
    text = olive.to_yaml(found)
    if output is not None:
        _write(output, text, force)
    if not quiet:
        for line in found.unmapped:
            sys.stderr.write(f"{line}{' (the model is another one without it)' if line.blocks else ''}\n")
    if json:
        screen.print_json(
            {
                "manifest": found.manifest,
                "runnable": found.runnable,
                "notTakenOver": [
                    {"path": u.path, "value": u.value, "why": u.why, "blocks": u.blocks} for u in found.unmapped
                ],
                "notes": [str(note) for note in found.notes],
                "otherExecutions": found.alternatives,
            }
        )
    elif output is None:
        sys.stdout.write(text)


def _write(file: Path, text: str, force: bool) -> None:
    """Writes a file as a whole.

    Raises:
        FileExists: it holds something else, and `force` is off.
        AccessDenied: it cannot be written.
    """
    try:
        if file.exists() and not force and file.read_bytes() != text.encode():
            raise FileExists("it is there already, with other content", where=str(file), hint="--force replaces it")
        part = file.with_name(f".{file.name}.part")
        part.write_text(text, encoding="utf-8")
        part.replace(file)
    except FileNotFoundError as error:
        raise AccessDenied(f"there is no folder {file.parent}", where=str(file)) from error
    except (PermissionError, IsADirectoryError, NotADirectoryError) as error:
        raise AccessDenied(f"it cannot be written: {error.strerror}", where=str(file)) from error
