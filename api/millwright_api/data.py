"""How rows become training sequences: text by a template, or chat by the tokenizer's own one."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from millwright_api.base import Name, Strict
from millwright_api.sources import DataSource


class Packing(Strict):
    """How texts become token sequences; the same for text and chat."""

    strategy: Literal["join", "line-by-line"] = Field(
        default="join",
        description="join: all texts in one stream, cut into windows of maxLength. line-by-line: one sequence a row; "
        "longer rows are left out and counted. Default: join (Olive's).",
    )
    shuffle_seed: int | None = Field(
        default=None,
        ge=0,
        le=2**32 - 1,
        description="Shuffle the rows with this seed before anything else. Default: file order.",
    )
    max_length: int = Field(
        default=1024,
        ge=2,
        le=1_048_576,
        description="Longest sequence, in tokens. Default: 1024 (Olive's max_seq_len).",
    )
    stride: int | None = Field(
        default=None,
        ge=1,
        le=1_048_576,
        description="join only: tokens from one window's start to the next one's; less than maxLength overlaps. Default: maxLength.",
    )
    joiner: str | None = Field(
        default=None,
        max_length=64,
        description="join only: text put between two rows. Default: the tokenizer's end-of-text token.",
    )
    padding: Literal["longest", "maxLength"] = Field(
        default="longest", description="Pad a batch to its longest sequence, or always to maxLength. Default: longest."
    )
    padding_side: Literal["right", "left"] = Field(
        default="right", description="Side that padding goes to. Default: right."
    )
    loss_on: Literal["all", "answer"] = Field(
        default="all", description="Train on all tokens, or only on the answer's. Default: all (Olive's)."
    )

    @model_validator(mode="after")
    def _only_join_has_windows(self) -> Self:
        if self.strategy != "join":
            for field, value in (("stride", self.stride), ("joiner", self.joiner)):
                if value is not None:
                    raise ValueError(f"{field} goes with strategy join; strategy is {self.strategy}")
        if self.stride is not None and self.stride > self.max_length:
            raise ValueError(
                f"stride {self.stride} is larger than maxLength {self.max_length}: tokens in between would be lost"
            )
        return self


class TextFormat(Packing):
    """Text made from columns, by a template."""

    columns: list[Annotated[str, StringConstraints(min_length=1, max_length=128)]] = Field(
        default=["text"], min_length=1, max_length=64, description="Columns that are read. Default: [text]."
    )
    template: str | None = Field(
        default=None,
        min_length=1,
        max_length=16384,
        description="Text of a row, columns in braces: '{question}\\n{answer}'; a literal brace is doubled. "
        "Default: the columns joined by a space.",
    )
    answer: str | None = Field(
        default=None,
        min_length=1,
        max_length=128,
        description="Column that holds the answer. With lossOn answer, training counts from where the template puts it; "
        "where the template does not have it, it follows the text.",
    )

    @model_validator(mode="after")
    def _answer_is_known(self) -> Self:
        if self.loss_on == "answer" and self.answer is None:
            raise ValueError("lossOn: answer needs answer, the column that holds it")
        if self.answer is not None and self.answer not in self.columns:
            raise ValueError(f"answer names the column {self.answer!r}, which is not in columns {self.columns}")
        return self


class ChatFormat(Packing):
    """Conversations, by the tokenizer's own chat template."""

    column: str = Field(
        default="messages",
        min_length=1,
        max_length=128,
        description="Column with a list of {role, content}. Default: messages. With lossOn answer, the assistant's turns count.",
    )


class Data(Strict):
    """A named set of rows and how to read them: exactly one of text and chat."""

    name: Name = Field(description="Name that passes refer to.")
    source: DataSource = Field(description="Where the rows are.")
    limit: int | None = Field(default=None, ge=1, description="Read only this many rows from the start. Default: all.")
    text: TextFormat | None = Field(default=None, description="Rows are columns of text.")
    chat: ChatFormat | None = Field(default=None, description="Rows are conversations.")

    @model_validator(mode="after")
    def _exactly_one_format(self) -> Self:
        if (self.text is None) == (self.chat is None):
            found = "both are given" if self.text else "none is given"
            raise ValueError(f"exactly one of text, chat is needed; {found}")
        return self

    @property
    def format(self) -> TextFormat | ChatFormat:
        """The one of text and chat that is given."""
        chosen = self.text or self.chat
        assert chosen is not None
        return chosen
