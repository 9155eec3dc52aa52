"""A talk with a model: what was said so far, as tokens, and answers as text. Pure, but for the tokenizer's template."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from millwright_api.errors import InvalidData
from millwright_api.v1alpha1 import ChatFormat
from millwright_runner.cli.failures import UsageError
from millwright_runner.data.tokens import Tokens
from millwright_runner.evaluation.examples import prompt_tokens


class Talk:
    """What was said so far.

    Args:
        tokens: the tokenizer; with a chat template this is a conversation, else each prompt stands for itself.
        room: tokens that the model takes, prompt and answer together; None: nobody knows.
        new_tokens: tokens of an answer at most.
        system: what the model is told before the conversation.

    Attributes:
        messages: the conversation, as chat templates take it.
        forgotten: turns that were left out because there was no room for them.

    Raises:
        UsageError: `system` without a chat template.
        InvalidModel: the chat template is malformed.
    """

    def __init__(self, tokens: Tokens, *, room: int | None, new_tokens: int, system: str | None) -> None:
        self._tokens, self._room, self._new_tokens = tokens, room, new_tokens
        self._renderer = None
        if tokens.chat_template is not None:
            from millwright_runner.data.chat import ChatRenderer  # imports jinja2

            self._renderer = ChatRenderer(ChatFormat(), tokens)
        elif system is not None:
            raise UsageError("the tokenizer has no chat template, and only that can tell it", where="--system")
        self.messages = [{"role": "system", "content": system}] if system is not None else []
        self._kept = len(self.messages)
        self.forgotten = 0

    @property
    def chats(self) -> bool:
        """Whether it is a conversation."""
        return self._renderer is not None

    def ask(self, text: str) -> tuple[list[int], int]:
        """Returns a prompt's tokens, with all of the conversation that there is room for, and how many new ones fit.

        Raises:
            InvalidData: there is no room for an answer, or the template refuses the conversation.
        """
        self.messages.append({"role": "user", "content": text})
        try:
            ids = self._tokens_of(text)
            while self._room is not None and len(ids) > self._room - self._wanted and self._forget():
                ids = self._tokens_of(text)
            left = self._new_tokens if self._room is None else min(self._new_tokens, self._room - len(ids))
            if left < 1:
                raise InvalidData(
                    f"{len(ids)} tokens leave no room for an answer: the model takes {self._room}",
                    hint="say it shorter",
                )
        except InvalidData:
            self.messages.pop()
            raise
        return ids, left

    def answer(self, ids: Sequence[int], made: Iterable[int]) -> Iterator[str]:
        """Yields an answer's text as its tokens come, and notes it as the assistant's turn; letters stay whole.

        Args:
            ids: the prompt's tokens.
            made: the answer's.
        """
        from tokenizers.decoders import DecodeStream

        decode = DecodeStream(ids=list(ids), skip_special_tokens=True)
        turn = {"role": "assistant", "content": ""}
        self.messages.append(turn)
        for token in made:
            piece = decode.step(self._tokens.tokenizer, token)
            if piece:
                turn["content"] += piece
                yield piece

    @property
    def _wanted(self) -> int:
        """Room that is made for an answer: what was asked for, and half of what there is at most."""
        return min(self._new_tokens, (self._room or 0) // 2)

    def _forget(self) -> bool:
        """Leaves out the oldest question with its answer; False when there is none."""
        if len(self.messages) - self._kept < 3:
            return False
        del self.messages[self._kept : self._kept + 2]
        self.forgotten += 2
        return True

    def _tokens_of(self, text: str) -> list[int]:
        if self._renderer is not None:
            text = self._renderer.prompt(self.messages, "the conversation")
        (encoding,) = self._tokens.encode([text], special=self._renderer is None, places=False)
        return prompt_tokens(encoding, self._tokens.end)
