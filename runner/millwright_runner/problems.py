"""Turns what pydantic found into lines for a person: where, what was found, what is possible."""

from __future__ import annotations

from pydantic import BaseModel, ValidationError


def describe(error: ValidationError, model: type[BaseModel], where: str = "") -> str:
    """Returns one line per problem: `spec.passes[0].lora.ranck: unknown key (did you mean 'r'?)`.

    Args:
        error: what pydantic raised.
        model: the class that was validated, for the names that would have been possible.
        where: the path in the manifest that the error's own paths continue.
    """
    raise NotImplementedError
