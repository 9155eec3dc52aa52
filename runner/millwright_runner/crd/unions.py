"""A mapping that names what it is by a key, as the API server sees it: one typed field for each class that comes with
Millwright, and `custom` for those of plug-ins. Steps of the recipe are such mappings, and metrics."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field

from millwright_runner.crd import structural
from millwright_runner.crd.rule import Rule, exactly_one
from millwright_runner.schema import Schema, text_words

NAME_LENGTH = 63
"""Characters of a class's name, which is an entry's name as well."""

MAX_OPTIONS = 256


@dataclass(frozen=True)
class Union:
    """Kinds of entries of one list.

    Attributes:
        noun: what messages call a class, and the key of a plug-in's name: pass, metric.
        holder: what messages call an entry: step, metric.
        fields: schemas of the classes that come with Millwright, by name.
        beside: schemas of the other keys; `name` is one always.
        description: of an entry.
        example: an entry without options.
        custom: the description of a plug-in's form.
        options: the description of a plug-in's options.
        alike: what is said of two entries of one name.
    """

    noun: str
    holder: str
    fields: Mapping[str, Schema]
    beside: Mapping[str, Schema]
    description: str
    example: str
    custom: str
    options: str
    alike: str

    def schema(self, name: Any, pattern: str) -> Schema:
        """Returns the schema of one entry.

        Args:
            name: the type of its name.
            pattern: the regular expression of its name: the name of a plug-in's class has to match it, where the entry
                has none of its own.
        """
        choices = [*self.fields, "custom"]
        rules = (
            Rule(
                exactly_one(choices),
                f"a {self.holder} names exactly one {self.noun}: {', '.join(choices)}; one without options is written "
                f"{self.example}",
            ),
            Rule(
                f"has(self.name) || !has(self.custom) || self.custom.{self.noun}.matches('{pattern}')",
                f"a {self.holder} is called as the plug-in's {self.noun} is, unless it has a name of its own, and that is "
                f"none for a {self.holder}: {text_words({'pattern': pattern})}",
                field=".name",
            ),
        )
        own = f"What others call this {self.holder}. Default: the {self.noun}'s name."
        named = structural.of_type(Annotated[name, Field(description=own)])
        fields = {"name": named, **self.beside, **self.fields, "custom": self._custom()}
        return {
            "description": self.description,
            "type": "object",
            "properties": fields,
        } | structural.validations(rules)

    def unique_names(self) -> Rule:
        """Returns the rule that no two entries of the list are called alike."""
        return Rule(f"self.all(p, self.exists_one(q, ({self.called('q')}) == ({self.called('p')})))", self.alike)

    def called(self, which: str) -> str:
        """Returns the expression for an entry's name: its own, or else the class's.

        Args:
            which: the variable that holds the entry.
        """
        builtin = " : ".join(f"has({which}.{name}) ? '{name}'" for name in self.fields)
        plugin = f"has({which}.custom) ? {which}.custom.{self.noun}"
        return f"has({which}.name) ? {which}.name : {plugin} : {builtin} : ''"

    def _custom(self) -> Schema:
        return {
            "description": self.custom,
            "type": "object",
            "required": [self.noun],
            "properties": {
                self.noun: {
                    "description": f"Name of the {self.noun}. Bounds: 1 to {NAME_LENGTH} characters.",
                    "type": "string",
                    "minLength": 1,
                    "maxLength": NAME_LENGTH,
                },
                "options": {
                    "description": self.options,
                    "type": "object",
                    "maxProperties": MAX_OPTIONS,
                    "x-kubernetes-preserve-unknown-fields": True,
                },
            },
        }
