"""Arguments and options that several verbs have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

ManifestArgument = Annotated[
    Path,
    typer.Argument(
        metavar="MANIFEST",
        help="The job: YAML or JSON, or an Olive workflow. - reads standard input.",
        show_default=False,
    ),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="PATH=VALUE",
        show_default=False,
        help="Change a value, for example passes.lora.r=8 or data.train.limit=100. May be repeated.",
    ),
]
CacheOption = Annotated[
    str | None,
    typer.Option(
        "--cache",
        metavar="PLACE",
        show_default=False,
        help="Keep results of passes here: a folder or s3://bucket/key. Default: the output.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", metavar="", help="Print one JSON document to stdout.")]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", metavar="", help="Show no progress.")]
DebugOption = Annotated[bool, typer.Option("--debug", metavar="", help="Show tracebacks, and what libraries print.")]
