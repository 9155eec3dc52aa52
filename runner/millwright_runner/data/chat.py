"""Conversations to texts, by the tokenizer's own chat template, in Jinja's sandbox and without transformers.

The environment is transformers' (`utils/chat_template_utils.py`): block trimming, loop controls, `tojson`,
`raise_exception`, `{% generation %}`. `strftime_now` always tells one day, so that the same rows give the same tokens.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import re
from collections.abc import Iterator
from typing import Any

import jinja2
import jinja2.ext
import jinja2.nodes
import jinja2.parser
import jinja2.sandbox

from millwright_api.errors import InvalidData, InvalidModel, MillwrightError
from millwright_api.v1alpha1 import ChatFormat
from millwright_runner.data.text import Asked, Rendered, missing_column
from millwright_runner.data.tokens import Tokens

TODAY = datetime.datetime(2024, 7, 26)
"""The day that templates are told; it is the one that Llama 3's template falls back to."""

BEGIN, END = "\ufdd0\ue000<", "\ufdd1\ue000>"
"""Marks around what `{% generation %}` holds; they begin with code points that Unicode keeps out of all texts."""

_MARKS = re.compile(f"({BEGIN}|{END})")

Message = dict[str, Any]
Span = tuple[int, int]


class ChatRenderer:
    """Makes texts of conversations.

    Args:
        format: the column, and what training counts.
        tokens: the tokenizer whose template it is.

    Raises:
        InvalidData: the tokenizer has no chat template.
        InvalidModel: its template is malformed.
    """

    def __init__(self, format: ChatFormat, tokens: Tokens) -> None:  # noqa: A002
        if tokens.chat_template is None:
            raise InvalidData(
                "the tokenizer has no chat template",
                where=str(tokens.folder),
                hint="use text with a template of your own, or a model that was made for chat",
            )
        self._column, self._answers = format.column, format.loss_on == "answer"
        self._special = tokens.special
        try:
            self._template = self._environment().from_string(tokens.chat_template)
        except jinja2.TemplateError as error:
            raise InvalidModel(f"the chat template is malformed: {error}", where=str(tokens.folder)) from error

    def __call__(self, row: dict[str, Any], where: str) -> Rendered:
        """Returns a conversation's text.

        Raises:
            InvalidData: it is no list of messages, the template refuses it, or there is no assistant's turn to train on.
        """
        messages = messages_of(row, self._column, where)
        with _told_of(where):
            text, generated = _unmark(self._render(messages))
            if not self._answers:
                return Rendered(text, None)
            return Rendered(text, generated or self._turns(messages, text, where))

    def asked(self, row: dict[str, Any], where: str) -> Asked:
        """Returns a conversation as a question: the last turn is the answer, and what comes before it the prompt.

        Raises:
            InvalidData: it is no list of messages, the template refuses it, or the last turn is no text of the assistant's.
        """
        messages = messages_of(row, self._column, where)
        last = messages[-1]
        if last["role"] != "assistant":
            raise InvalidData(
                f"the conversation ends with a turn of the {last['role']}'s, and there is no answer to compare with",
                where=where,
                hint="the last message has the role assistant",
            )
        if not isinstance(last.get("content"), str):
            raise InvalidData("the last turn has no content that is a text, and that is the answer", where=where)
        with _told_of(where):
            text, generated = _unmark(self._render(messages))
            prompt = _unmark(self._render(messages[:-1], ask=True))[0] if len(messages) > 1 else ""
        goes_on = (len(prompt), len(text)) if text.startswith(prompt) else None
        return Asked(text, prompt, last["content"], generated[-1] if generated else goes_on)

    def prompt(self, messages: list[Message], where: str) -> str:
        """Returns a conversation's text up to where the assistant begins to answer.

        Raises:
            InvalidData: the template refuses it.
        """
        with _told_of(where):
            return _unmark(self._render(messages, ask=True))[0]

    def _render(self, messages: list[Message], *, ask: bool = False) -> str:
        return self._template.render(
            **{**self._special, "messages": messages, "tools": None, "documents": None, "add_generation_prompt": ask}
        )

    def _turns(self, messages: list[Message], text: str, where: str) -> list[Span]:
        """Finds the assistant's turns: from where the template would let the model begin, to where the turn ends."""
        spans: list[Span] = []
        for index, message in enumerate(messages):
            if message["role"] == "assistant":
                before = _unmark(self._render(messages[:index], ask=True))[0] if index else ""
                upto = _unmark(self._render(messages[: index + 1]))[0]
                end = self._end_of_turn(text, upto)
                if not (text.startswith(before) and len(before) <= end):
                    raise InvalidData(
                        "the chat template writes earlier turns anew when later ones follow: the assistant's tokens "
                        "cannot be told",
                        where=where,
                        hint="set lossOn to all, or mark them with {% generation %} in the template",
                    )
                spans.append((len(before), end))
        if not spans:
            raise InvalidData("the conversation has no assistant's turn to train on", where=where)
        return spans

    def _end_of_turn(self, text: str, upto: str) -> int:
        """A conversation that ends with the turn may close with an end-of-text token that a longer one has not."""
        for ending in (upto, upto.removesuffix(self._special.get("eos_token", ""))):
            if text.startswith(ending):
                return len(ending)
        return -1

    def _environment(self) -> jinja2.sandbox.ImmutableSandboxedEnvironment:
        environment = jinja2.sandbox.ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, jinja2.ext.loopcontrols]
        )
        environment.filters["tojson"] = _to_json
        environment.globals.update(raise_exception=_refuse, strftime_now=TODAY.strftime)
        return environment


class _Generation(jinja2.ext.Extension):
    """`{% generation %}…{% endgeneration %}` around what the assistant says: put between marks, cut out afterwards."""

    tags = {"generation"}  # noqa: RUF012  # as jinja2 declares it

    def parse(self, parser: jinja2.parser.Parser) -> jinja2.nodes.Node | list[jinja2.nodes.Node]:
        """Returns the body between two marks."""
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        begin, end = (jinja2.nodes.Output([jinja2.nodes.TemplateData(mark)]).set_lineno(line) for mark in (BEGIN, END))
        return [begin, *body, end]


@contextlib.contextmanager
def _told_of(where: str) -> Iterator[None]:
    """Says of which row it was that a template failed: it is a program that came with the model, and may fail in any way."""
    try:
        yield
    except jinja2.TemplateError as error:
        raise InvalidData(f"the chat template refuses the conversation: {error}", where=where) from error
    except MillwrightError:
        raise
    except Exception as error:
        raise InvalidData(f"the chat template fails on the conversation: {error}", where=where) from error


def _unmark(text: str) -> tuple[str, list[Span]]:
    """Cuts the marks out of a text and returns where they were."""
    pieces: list[str] = []
    spans: list[Span] = []
    length = start = 0
    for piece in _MARKS.split(text):
        if piece == BEGIN:
            start = length
        elif piece == END:
            spans.append((start, length))
        else:
            pieces.append(piece)
            length += len(piece)
    return "".join(pieces), spans


def messages_of(row: dict[str, Any], column: str, where: str) -> list[Message]:
    """Returns a row's conversation.

    Raises:
        InvalidData: the column is missing, or is no list of messages with a role and a content.
    """
    if column not in row:
        raise missing_column(column, row, where)
    messages = row[column]
    if not isinstance(messages, list) or not messages:
        raise InvalidData(
            f"the column {column!r} holds no list of messages",
            where=where,
            hint='such as [{"role": "user", "content": "…"}]',
        )
    for number, message in enumerate(messages, 1):
        if not isinstance(message, dict) or not isinstance(message.get("role"), str):
            raise InvalidData(f"message {number} is no object with a role", where=where)
        if not isinstance(message.get("content"), str) and not message.get("tool_calls"):
            raise InvalidData(f"message {number} ({message['role']}) has no content that is a text", where=where)
    return messages


def _refuse(message: str) -> None:
    raise jinja2.TemplateError(message)


def _to_json(value: Any, **options: Any) -> str:
    return json.dumps(value, **{"ensure_ascii": False, **options})
