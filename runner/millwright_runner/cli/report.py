"""`millwright report`: the page that shows what a run did."""

from __future__ import annotations

import json
import os
import sys
import webbrowser
from pathlib import Path
from typing import Annotated, Any

import typer

from millwright_api.errors import AccessDenied, NoSpaceLeft, UserError
from millwright_api.names import fingerprint
from millwright_runner.cli.options import DebugOption
from millwright_runner.cli.places import home, place_named
from millwright_runner.lookup import close_names, missing_path
from millwright_runner.stores import Store, open_store
from millwright_runner.stores.disk import FULL
from millwright_runner.trees import MANIFEST

NAME = "report"
EXAMPLE = "[bold]Example[/bold]  millwright report out/emotion --serve"
REPORT, PAGE = "report.json", "report.html"
LISTED = 200
"""Names that are looked at where there is no report."""


WhereArgument = Annotated[
    str,
    typer.Argument(
        metavar="PATH|URI",
        show_default=False,
        help="A job's output: a folder, or the same in S3 or Azure Blob Storage; or a report.json.",
    ),
]
OutputOption = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        metavar="FILE",
        show_default=False,
        help="Write the page here. Default: report.html beside report.json; of a bucket, a file in the machine's folder.",
    ),
]
ServeOption = Annotated[
    bool, typer.Option("--serve", metavar="", help="Serve the page to browsers of this machine until Ctrl-C.")
]
PortOption = Annotated[
    int | None,
    typer.Option(
        "--port", metavar="N", min=1, max=65535, show_default=False, help="With --serve. Default: a free one."
    ),
]
OpenOption = Annotated[
    bool | None,
    typer.Option(
        "--open/--no-open",
        show_default=False,
        help="Show the page in a browser. Default: on a terminal with a display.",
    ),
]


class ReportNotFound(UserError):
    """No run has left a report there."""


def command(
    where: WhereArgument,
    *,
    output: OutputOption = None,
    serve: ServeOption = False,
    port: PortOption = None,
    open_: OpenOption = None,
    debug: DebugOption = False,
) -> None:
    """Build the page that shows what a run did, from the report that it left, and print where the page lies.

    One HTML file that needs no network: figures before and after, curves, answers, what ran.
    """
    from millwright_runner.page import NotAReport, render

    if port is not None and not serve:
        raise typer.BadParameter("only with --serve", param_hint="--port")
    store, name = find(where)
    place = f"{store.uri}{name}"
    try:
        page = render(_read(store, name, place), _manifest(store)).encode(errors="replace")
    except NotAReport as error:
        error.where = place
        raise
    target = output or _beside(store, place)
    _write(target, page)
    wanted = _has_display() if open_ is None else open_
    if serve:
        from millwright_runner.cli.serving import serve_page

        serve_page(page, port or 0, lambda url: _show(url, url, wanted))
    else:
        _show(str(target), target.absolute().as_uri(), wanted)


def find(where: str) -> tuple[Store, str]:
    """Returns the store that holds a report, and its name there.

    Raises:
        ReportNotFound: there is none; with what there is.
        InvalidManifest: the place is none.
    """
    place = place_named(where, "report")
    if isinstance(place, Path):
        if not place.exists():
            raise ReportNotFound("there is no such file or folder", where=where, hint=missing_path(place))
        folder, name = (place, REPORT) if place.is_dir() else (place.parent, place.name)
        store = open_store(folder)
    else:
        uri, _, name = place.uri.rstrip("/").rpartition("/") if place.uri.endswith(".json") else (place.uri, "", REPORT)
        store = open_store(place.model_copy(update={"uri": f"{uri.rstrip('/')}/"}))
    if store.stat(name) is None:
        raise _none(store, where, place)
    return store, name


def _none(store: Store, where: str, place: Any) -> ReportNotFound:
    above = place.parent if isinstance(place, Path) else None
    if above is not None and (above / REPORT).is_file():
        hint = f"this is the model's own folder; did you mean {above}?"
    else:
        keys = [entry.key for _, entry in zip(range(LISTED), store.list(""), strict=False)]
        below = next((key for key in keys if key.rpartition("/")[2] == REPORT), None)
        names = {key.partition("/")[0] for key in keys}
        meant = f"{where.rstrip('/')}/{below}" if below else ""
        hint = f"did you mean {meant}?" if meant else close_names(REPORT, names, "it")
    return ReportNotFound(f"there is no {REPORT}: no run has ended with this as its output", where=where, hint=hint)


def _read(store: Store, name: str, place: str) -> Any:
    from millwright_runner.page import NotAReport

    blob = store.read(name)
    if blob is None:
        raise ReportNotFound("it is gone", where=place)
    try:
        return json.loads(blob.data)
    except (ValueError, RecursionError) as error:
        raise NotAReport(f"this is not JSON: {error}") from error


def _manifest(store: Store) -> Any:
    blob = store.read(MANIFEST)
    try:
        return json.loads(blob.data) if blob else None
    except ValueError:
        return None


def _beside(store: Store, place: str) -> Path:
    return store.local(PAGE) or home() / "pages" / f"{fingerprint(place)[:12]}.html"


def _write(target: Path, page: bytes) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(page)
    except OSError as error:
        kind = NoSpaceLeft if error.errno in FULL else AccessDenied
        raise kind(
            f"the page cannot be written: {error.strerror}", where=str(target), hint="choose a place with --output FILE"
        ) from error


def _show(said: str, url: str, wanted: bool) -> None:
    sys.stdout.write(f"{said}\n")
    sys.stdout.flush()
    if wanted:
        webbrowser.open(url)


def _has_display() -> bool:
    display = sys.platform == "darwin" or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    return bool(display) and sys.stdout.isatty()
