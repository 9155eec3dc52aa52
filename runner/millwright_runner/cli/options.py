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
        help="Keep results of passes here: a folder, s3://bucket/key or https://account.blob.core.windows.net/container/key. Default: the output.",
    ),
]
SignKeyOption = Annotated[
    Path | None,
    typer.Option(
        "--sign-key",
        metavar="FILE",
        show_default=False,
        help="Sign what is published by this private key: PEM, Ed25519 or ECDSA P-256. Default: the key in "
        "MILLWRIGHT_SIGNING_KEY, else no signature.",
    ),
]
ParallelOption = Annotated[
    int | None,
    typer.Option(
        "--parallel",
        metavar="N",
        min=1,
        max=64,
        show_default=False,
        help="Of a search: do the passes of so many trials at once, each in a process. Default: one after the other.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", metavar="", help="Print one JSON document to stdout.")]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", metavar="", help="Show no progress.")]
DebugOption = Annotated[bool, typer.Option("--debug", metavar="", help="Show tracebacks, and what libraries print.")]
ModelArgument = Annotated[
    str,
    typer.Argument(
        metavar="PATH|URI",
        show_default=False,
        help="The model: a folder, a job's output, or the same in S3 or Azure Blob Storage.",
    ),
]
BaseOption = Annotated[
    str | None,
    typer.Option(
        "--base",
        metavar="PATH|URI",
        show_default=False,
        help="Of an adapter: the model that it sits on. Default: the folder that adapter_config.json names.",
    ),
]
TrustOption = Annotated[
    bool, typer.Option("--trust-remote-code", metavar="", help="Run code that comes with the model.")
]
