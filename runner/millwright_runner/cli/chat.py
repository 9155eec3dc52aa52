"""`millwright chat`: talk to a model, or let it go on with a text."""

from __future__ import annotations

from typing import Annotated

import typer

from millwright_runner.cli.options import BaseOption, DebugOption, ModelArgument, TrustOption

NAME = "chat"
EXAMPLE = "[bold]Example[/bold]  millwright chat out/emotion --prompt 'Why is the sky blue?' --max-new-tokens 64"


def command(
    model: ModelArgument,
    *,
    prompt: Annotated[
        str | None,
        typer.Option(
            "--prompt",
            "-p",
            metavar="TEXT",
            show_default=False,
            help="Answer this and end. Default: on a terminal a conversation, else what is on stdin.",
        ),
    ] = None,
    system: Annotated[
        str | None,
        typer.Option(
            "--system", metavar="TEXT", show_default=False, help="What the model is told before the conversation."
        ),
    ] = None,
    max_new_tokens: Annotated[
        int, typer.Option("--max-new-tokens", metavar="N", min=1, help="Tokens of an answer at most.")
    ] = 256,
    base: BaseOption = None,
    trust_remote_code: TrustOption = False,
    debug: DebugOption = False,
) -> None:
    """Talk to a model: an onnx-genai folder, a Hugging Face folder or an adapter; or a job's output.

    With a chat template it is a conversation; without one the model goes on with what is typed, and each line stands for
    itself. Answers are greedy: the same question has the same answer. Ctrl-C ends an answer, a second one or Ctrl-D the
    program.
    """
    from millwright_runner.cli.converse import chat

    code = chat(
        model,
        prompt,
        system=system,
        max_new_tokens=max_new_tokens,
        base=base,
        trusted=trust_remote_code,
        debug=debug,
    )
    if code:
        raise typer.Exit(code)
