"""What a rule of the API server is: an expression in CEL, and what a person reads when it is not true."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Rule:
    """A rule in CEL.

    Attributes:
        rule: an expression that is true of what is good.
        message: what a person reads when it is not.
        field: the field that the message is about, below the one that the rule sits on.
        reason: Kubernetes' kind of error, when it is not FieldValueInvalid.
    """

    rule: str
    message: str
    field: str | None = None
    reason: str | None = None

    def as_schema(self) -> dict[str, str]:
        """Returns it as an entry of x-kubernetes-validations."""
        given = {"rule": self.rule, "message": self.message, "fieldPath": self.field, "reason": self.reason}
        return {key: value for key, value in given.items() if value is not None}


def exactly_one(names: list[str], *, or_none: bool = False) -> str:
    """Returns the expression for exactly one of some fields being set, or at most one."""
    count = f"[{', '.join(f'has(self.{name})' for name in names)}].filter(given, given).size()"
    return f"{count} <= 1" if or_none else f"{count} == 1"


def goes_with(field: str, condition: str, message: str) -> Rule:
    """Returns the rule that a field is only there when something holds, and the message is about that field."""
    return Rule(f"!has(self.{field}) || {condition}", message, field=f".{field}")
