"""`millwright bench`: how fast a model is here, how large, and what memory it takes."""

from __future__ import annotations

from typing import Annotated

import typer

from millwright_runner.cli import screen
from millwright_runner.cli.options import BaseOption, DebugOption, JsonOption, ModelArgument, QuietOption, TrustOption

NAME = "bench"
EXAMPLE = "[bold]Example[/bold]  millwright bench out/emotion --prompt-tokens 512 --new-tokens 128"


def command(
    model: ModelArgument,
    *,
    prompt_tokens: Annotated[
        int, typer.Option("--prompt-tokens", metavar="N", min=1, max=131_072, help="Tokens of each prompt.")
    ] = 128,
    new_tokens: Annotated[
        int, typer.Option("--new-tokens", metavar="N", min=2, max=131_072, help="Tokens that are generated after each.")
    ] = 32,
    batch_size: Annotated[
        int, typer.Option("--batch-size", metavar="N", min=1, max=32, help="Prompts at once, for the throughput.")
    ] = 8,
    repeats: Annotated[
        int,
        typer.Option("--repeats", metavar="N", min=1, max=10_000, help="Generations whose time is taken, one by one."),
    ] = 10,
    base: BaseOption = None,
    trust_remote_code: TrustOption = False,
    json: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> None:
    """Measure a model on this machine: time to load, to the first token and to each further one, throughput, size, memory.

    An onnx-genai folder, a Hugging Face folder or an adapter; or a job's output. The same metrics as in an evaluation.
    """
    from millwright_runner.cli.measuring import measure, show

    document = measure(
        model,
        sizes={"promptTokens": prompt_tokens, "newTokens": new_tokens},
        batch_size=batch_size,
        repeats=repeats,
        base=base,
        trusted=trust_remote_code,
        quiet=quiet,
        debug=debug,
    )
    if json:
        screen.print_json(document)
    else:
        show(document)
