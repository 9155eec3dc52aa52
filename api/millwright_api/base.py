"""The base of everything that a manifest can say: closed, frozen, strict, camelCase outside and snake_case inside."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import BaseModel, ConfigDict, StringConstraints
from pydantic.alias_generators import to_camel

DNS_LABEL = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"

Name = Annotated[str, StringConstraints(pattern=DNS_LABEL, max_length=63)]
"""A DNS label, as Kubernetes wants names: lower case, digits and dashes, at most 63 characters."""

OBJECT_NAME = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"

ObjectName = Annotated[str, StringConstraints(pattern=OBJECT_NAME, max_length=253)]
"""A DNS subdomain, as most objects' names are."""

SECONDS = 2**31 - 1
"""The most seconds that Kubernetes' controllers count with: 68 years."""


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


def unique(what: str, key: str, values: Sequence[str]) -> None:
    """Refuses a list in which two entries have one key.

    Raises:
        ValueError: with the first that is there twice.
    """
    twice = sorted({value for value in values if values.count(value) > 1})
    if twice:
        raise ValueError(f"{what} has the {key} {twice[0]!r} more than once; give each its own {key}")
