"""Talks to a model: a conversation on a terminal, or one answer; Ctrl-C ends what is being said."""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType

from millwright_api.errors import InvalidData
from millwright_runner.cli import failures, screen
from millwright_runner.cli.failures import UsageError
from millwright_runner.cli.named import Named, find_named, load
from millwright_runner.cli.talk import Talk
from millwright_runner.subjects import Subject

INTERRUPTED = 128 + signal.SIGINT


def chat(
    model: str,
    prompt: str | None,
    *,
    system: str | None,
    max_new_tokens: int,
    base: str | None,
    trusted: bool,
    debug: bool,
) -> int:
    """Talks to a model, or lets it answer once; returns the exit code.

    Args:
        model: a path or a URI.
        prompt: answer this; None: on a terminal a conversation, else what is on stdin.
        system: what the model is told before the conversation.
        max_new_tokens: tokens of an answer at most.
        base: of an adapter: its base.
        trusted: whether code that comes with the model may run.
        debug: whether what libraries print is shown.

    Raises:
        UsageError: the prompt is empty; `system` without a chat template.
        MillwrightError: see `find_named` and `load`.
    """
    conversing = prompt is None and sys.stdin.isatty() and sys.stdout.isatty()
    text = "" if conversing else _text(prompt)
    found = find_named(model, base, trusted=trusted)
    talk = Talk(found.tokens, room=found.room, new_tokens=max_new_tokens, system=system)
    subject = _loaded(found, debug=debug)
    with _Interrupts() as interrupts:
        if conversing:
            _converse(found, talk, subject, interrupts)
        else:
            _say(talk, text, subject, interrupts)
    return INTERRUPTED if interrupts.wanted else 0


class _Interrupts:
    """What Ctrl-C does: it ends the answer that is being given; else, or the second time, the program.

    Attributes:
        answering: whether an answer is being given.
        wanted: whether it shall end.
    """

    def __init__(self) -> None:
        self.answering = self.wanted = False
        self._before = signal.getsignal(signal.SIGINT)

    def __enter__(self) -> _Interrupts:
        if self._before is not signal.SIG_IGN:
            signal.signal(signal.SIGINT, self._handle)
        return self

    def __exit__(self, *exc: object) -> None:
        signal.signal(signal.SIGINT, self._before)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        """Raises only where a line is awaited: in the middle of a library it may be caught there."""
        if not self.answering:
            raise KeyboardInterrupt
        if self.wanted:
            os.write(1, b"\n")
            os._exit(INTERRUPTED)
        self.wanted = True


def _text(prompt: str | None) -> str:
    """Returns the one prompt there is.

    Raises:
        UsageError: it is empty.
    """
    text = sys.stdin.read().removesuffix("\n") if prompt is None else prompt
    if not text.strip():
        where, hint = ("--prompt", None) if prompt is not None else ("stdin", "--prompt TEXT gives one")
        raise UsageError("the prompt is empty", where=where, hint=hint)
    return text


def _loaded(found: Named, *, debug: bool) -> Subject:
    with screen.libraries_kept_off(None if debug else screen.nameless_log()) as console:
        if not console.is_terminal:
            return load(found)
        with console.status(f"loading {found.where}"):
            return load(found)


def _say(talk: Talk, text: str, subject: Subject, interrupts: _Interrupts) -> bool:
    """Writes an answer to stdout, piece by piece; returns whether there was one."""
    ids, new_tokens = talk.ask(text)
    shown = _harmless if sys.stdout.isatty() else str
    interrupts.answering, interrupts.wanted = True, False
    piece = ""
    for piece in talk.answer(ids, subject.stream(ids, new_tokens=new_tokens)):
        sys.stdout.write(shown(piece))
        sys.stdout.flush()
        if interrupts.wanted:
            break
    interrupts.answering = False
    sys.stdout.write("" if piece.endswith("\n") else "\n")
    sys.stdout.flush()
    return bool(piece)


def _harmless(text: str) -> str:
    """Leaves out control characters: a model may say what a terminal takes for commands."""
    return "".join(letter if letter.isprintable() or letter in "\n\t" else "\ufffd" for letter in text)


def _converse(found: Named, talk: Talk, subject: Subject, interrupts: _Interrupts) -> None:
    """Answers line by line."""
    import readline  # noqa: F401 - gives input() its line editing

    people = screen.people()
    kind = "a conversation" if talk.chats else "no chat template: it goes on with each line"
    people.print(f"{found.where} ({found.artifact.format}, on {subject.device}), {kind}. Ctrl-D ends.", style="dim")
    forgotten = 0
    try:
        while True:
            text = input("> ")
            if not text.strip():
                continue
            try:
                answered = _say(talk, text, subject, interrupts)
            except InvalidData as error:  # the line is too long, or the template does not take it: the next may fit
                failures.tell(error, people)
                continue
            if not answered:
                people.print("(no answer)", style="dim")
            if talk.forgotten > forgotten:
                forgotten = talk.forgotten
                people.print(
                    "(the conversation is longer than the model's room: its beginning is left out)", style="dim"
                )
            interrupts.wanted = False
    except EOFError:
        sys.stdout.write("\n")
    except KeyboardInterrupt:
        sys.stdout.write("\n")
        interrupts.wanted = True
