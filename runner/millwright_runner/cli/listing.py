"""Kinds of things that packages bring, shown: all of them, or one with its options. `passes` and `metrics` are this."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Generic, TypeVar

import typer
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from millwright_api.base import Strict
from millwright_runner import schema
from millwright_runner.catalog import Catalog
from millwright_runner.cli import failures, screen
from millwright_runner.cli.pages import Entry, default_text, markdown

T = TypeVar("T", bound=Strict)

NameArgument = Annotated[
    str | None, typer.Argument(metavar="NAME", help="Show the options of this one.", show_default=False)
]


@dataclass(frozen=True)
class Listing(Generic[T]):
    """How a catalog is shown.

    Attributes:
        catalog: what there is.
        verb: of the command line.
        columns: headings of what `cells` returns.
        cells: what the table says of one besides its name and description: for each column, what is true of it.
        summary: what stands behind its name.
        head: the beginning of the page in docs.
        quote: what that page puts around the words of `cells`: a backtick where they are names.
        sentence: what that page says of one, in Markdown.
        facts: what --json says of one besides name, description, version and options.
    """

    catalog: Catalog[T]
    verb: str
    columns: tuple[str, ...]
    cells: Callable[[type[T]], tuple[list[str], ...]]
    summary: Callable[[type[T]], str]
    head: str
    quote: str
    sentence: Callable[[type[T]], str]
    facts: Callable[[type[T]], dict[str, Any]]

    def show(self, name: str | None, *, json: bool, as_markdown: bool) -> None:
        """Prints one, or all that are installed: for a person, as JSON, or as the page in docs.

        Raises:
            UserError: there is none of that name.
        """
        names = [name] if name else self.catalog.names()
        kinds: dict[str, type[T]] = {}
        for each in names:
            try:
                kinds[each] = self.catalog.get(each)
            except self.catalog.unknown as error:
                if name:
                    raise
                failures.tell(error, screen.people())  # a plug-in that cannot be imported does not hide the others
        if as_markdown:
            sys.stdout.write(
                markdown(self.head, (self.catalog.noun, *self.columns), self._entries(kinds, all_=not name))
            )
        elif json:
            documents = [self._document(each, kind) for each, kind in kinds.items()]
            screen.print_json(documents[0] if name else documents)
        elif name:
            self._show_one(name, kinds[name])
        else:
            self._show_all(kinds)

    def _entries(self, kinds: dict[str, type[T]], *, all_: bool) -> list[Entry]:
        entries = []
        for name, kind in kinds.items():
            builtin = self.catalog.is_builtin(name)
            if builtin or not all_:
                cells = tuple(
                    " or ".join(f"{self.quote}{part}{self.quote}" for part in parts) for parts in self.cells(kind)
                )
                entries.append(Entry(name, kind, builtin, cells, self.sentence(kind)))
        return entries

    def _document(self, name: str, kind: type[T]) -> dict[str, Any]:
        return {
            "name": name,
            "description": inspect.getdoc(kind) or "",
            **self.facts(kind),
            "builtIn": self.catalog.is_builtin(name),
            "options": [
                {"path": o.path, "takes": o.kind, "required": o.required, "default": o.default, "description": o.text}
                for o in schema.options(kind)
            ],
        }

    def _show_all(self, kinds: dict[str, type[T]]) -> None:
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
        for heading in (self.catalog.noun, *self.columns):
            table.add_column(heading, no_wrap=True)
        table.add_column("")
        for name, kind in kinds.items():
            first = (inspect.getdoc(kind) or "").splitlines()[:1]
            table.add_row(name, *(" or ".join(parts) for parts in self.cells(kind)), *first)
        console = screen.results()
        console.print(table)
        console.print(f"\nOptions of one: millwright {self.verb} NAME", style="dim")

    def _show_one(self, name: str, kind: type[T]) -> None:
        console = screen.results()
        console.print(Text.assemble((name, "bold"), f"  {self.summary(kind)}"))
        console.print(inspect.getdoc(kind) or "")
        for option in schema.options(kind):
            default = "" if "Default:" in option.text else default_text(option.default)
            notes = [note for note in (default and f"default {default}", "required" if option.required else "") if note]
            told = (f"  {', '.join(notes)}", "yellow")
            console.print()
            console.print(Text.assemble((option.path, "bold"), f"  {option.kind}", told))
            console.print(Padding(Text(option.text), (0, 0, 0, 4)))
