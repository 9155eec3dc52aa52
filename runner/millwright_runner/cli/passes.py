"""`millwright passes`: which passes there are, and what their options are. Also writes docs/passes.md."""

from __future__ import annotations

import inspect
import sys
from typing import Annotated, Any

import typer
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from millwright_api.errors import UnknownPass
from millwright_runner import registry, schema
from millwright_runner.cli import failures, screen
from millwright_runner.cli.options import DebugOption, JsonOption
from millwright_runner.cli.pages import default_text, markdown
from millwright_runner.passes import Pass

NAME = "passes"
EXAMPLE = "[bold]Example[/bold]  millwright passes lora"


def command(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="Show this pass's options.", show_default=False)
    ] = None,
    *,
    json: JsonOption = False,
    as_markdown: Annotated[
        bool, typer.Option("--markdown", metavar="", help="Print the page docs/passes.md: the built-in passes.")
    ] = False,
    debug: DebugOption = False,
) -> None:
    """List the installed passes, or one pass's options with their types, bounds, defaults and units."""
    if name:
        kind = registry.get(name)
        if as_markdown:
            sys.stdout.write(markdown([kind]))
        elif json:
            screen.print_json(as_document(kind))
        else:
            _show_one(kind)
        return
    kinds, broken = _load(registry.names())
    if as_markdown:
        sys.stdout.write(markdown([kind for kind in kinds if registry.is_builtin(kind.name)]))
    elif json:
        screen.print_json([as_document(kind) for kind in kinds])
    else:
        _show_all(kinds)
    for error in broken:
        failures.tell(error, screen.people())


def _load(names: list[str]) -> tuple[list[type[Pass]], list[UnknownPass]]:
    """Loads passes; a plug-in that cannot be imported does not hide the others."""
    kinds, broken = [], []
    for name in names:
        try:
            kinds.append(registry.get(name))
        except UnknownPass as error:
            broken.append(error)
    return kinds, broken


def as_document(kind: type[Pass]) -> dict[str, Any]:
    """Returns a pass and its options as JSON."""
    return {
        "name": kind.name,
        "description": inspect.getdoc(kind) or "",
        "version": kind.version,
        "reads": sorted(kind.consumes),
        "writes": kind.produces,
        "builtIn": registry.is_builtin(kind.name),
        "options": [
            {"path": o.path, "takes": o.kind, "required": o.required, "default": o.default, "description": o.text}
            for o in schema.options(kind)
        ],
    }


def _show_all(kinds: list[type[Pass]]) -> None:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for heading in ("pass", "reads", "writes"):
        table.add_column(heading, no_wrap=True)
    table.add_column("")
    for kind in kinds:
        first = (inspect.getdoc(kind) or "").splitlines()[:1]
        table.add_row(kind.name, " or ".join(sorted(kind.consumes)), kind.produces, *first)
    console = screen.results()
    console.print(table)
    console.print("\nOptions of one: millwright passes NAME", style="dim")


def _show_one(kind: type[Pass]) -> None:
    console = screen.results()
    console.print(Text.assemble((kind.name, "bold"), f"  {' or '.join(sorted(kind.consumes))} → {kind.produces}"))
    console.print(inspect.getdoc(kind) or "")
    for option in schema.options(kind):
        default = "" if "Default:" in option.text else default_text(option.default)
        notes = [note for note in (default and f"default {default}", "required" if option.required else "") if note]
        console.print()
        console.print(Text.assemble((option.path, "bold"), f"  {option.kind}", (f"  {', '.join(notes)}", "yellow")))
        console.print(Padding(Text(option.text), (0, 0, 0, 4)))
