"""`millwright verify`: is an output still what was published, and by whom?"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from millwright_api.errors import ModelNotFound, UserError
from millwright_runner.cli import screen
from millwright_runner.cli.keys import read_key
from millwright_runner.cli.options import DebugOption, JsonOption, QuietOption
from millwright_runner.cli.places import place_named
from millwright_runner.lookup import missing_path
from millwright_runner.signing import PublicKey
from millwright_runner.stores import Store, open_store
from millwright_runner.verification import Verified, verify
from millwright_runner.words import plural, size

NAME = "verify"
EXAMPLE = "[bold]Example[/bold]  millwright verify s3://team-a/models/emotion --key team-a.pub.pem"


class NotAsPublished(UserError):
    """An output is not what was published: a message for each thing that is wrong."""


def command(
    output: Annotated[
        str,
        typer.Argument(
            metavar="PATH|URI",
            show_default=False,
            help="A job's output: the folder that holds manifest.json, or the same in S3 or Azure Blob Storage.",
        ),
    ],
    *,
    key: Annotated[
        Path | None,
        typer.Option(
            "--key",
            metavar="PUBLIC.pem",
            show_default=False,
            help="The output has to be signed by this key's private half. Default: no signature is looked for.",
        ),
    ] = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> None:
    """Check a job's output: every file's digest, what lies beside them, the signature.

    Every byte is read. Exit code 0: all is as it was published; 2: something is not, and which file is said.
    """
    public = PublicKey.load(read_key(key, "--key"), str(key)) if key is not None else None
    store = _open(output)
    found = verify(store, public)
    if json:
        screen.print_json(_document(store, found))
        if found.problems:
            raise typer.Exit(2)
    elif found.problems:
        raise NotAsPublished("\n".join(found.problems), where=store.uri.rstrip("/"))
    elif not quiet:
        sys.stdout.write(_text(store, found, public))


def _open(output: str) -> Store:
    place = place_named(output, "output")
    if isinstance(place, Path):
        if not place.is_dir():
            hint = "an output is a folder" if place.exists() else missing_path(place)
            raise ModelNotFound("there is no such folder", where=output, hint=hint)
        return open_store(place)
    return open_store(place.model_copy(update={"uri": f"{place.uri.rstrip('/')}/"}))


def _text(store: Store, found: Verified, key: PublicKey | None) -> str:
    made = found.published
    assert made is not None  # where it is None, that is a problem
    signature = {
        "None": "none",
        "Unchecked": f"there, not checked (by key {', '.join(id_[:12] for id_ in found.signed_by)}): --key PUBLIC.pem",
        "Right": f"right, by key {key.id[:12] if key else ''}",
    }
    rows = [
        ("model", f"{made.format}, {plural(len(made.files), 'file')}, {size(made.tree.bytes)}, as published"),
        ("digest", made.tree.digest),
        ("beside", ", ".join(file.path for file in made.beside) or "nothing"),
        ("signature", signature[found.signature]),
    ]
    return "".join(f"{name:<11}{value}\n" for name, value in rows)


def _document(store: Store, found: Verified) -> dict[str, Any]:
    made = found.published
    said: dict[str, Any] = {
        "uri": store.uri,
        "verified": not found.problems,
        "problems": found.problems,
        "signature": found.signature,
        "signedBy": found.signed_by,
    }
    if made is not None:
        files = [*made.files, *made.beside]
        said |= {
            "fingerprint": made.fingerprint,
            "format": made.format,
            "digest": made.tree.digest,
            "files": {file.path: file.sha256 for file in files},
        }
    return said
