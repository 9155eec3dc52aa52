"""The base of everything that a manifest can say: closed, frozen, strict, camelCase outside and snake_case inside."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel


class Strict(BaseModel):
    """A mapping of known keys; unknown ones are errors, and values are not bent to fit: "64" is no integer, as the API
    server has it."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        alias_generator=to_camel,
        validate_by_alias=True,
        validate_by_name=False,
        serialize_by_alias=True,
    )
