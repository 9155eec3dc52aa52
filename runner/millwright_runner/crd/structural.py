"""From pydantic's JSON schemas to structural ones, as a CustomResourceDefinition takes them: no references, no unions
of types, and each description tells bounds too, since `kubectl explain` prints nothing else."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, TypeAdapter
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import core_schema

from millwright_runner.crd.rule import Rule
from millwright_runner.crd.rules import FIELD_RULES, LIST_KEYS, rules_of
from millwright_runner.schema import Schema, bounds, expected, text_words

CLASS = "class"
"""Where a schema keeps the model that it was made of, until it is structural."""

ENUM_SHOWN = 4
"""Values that `kubectl explain` prints of an enum."""

KEPT = (
    "description",
    "type",
    "format",
    "default",
    "enum",
    "minimum",
    "exclusiveMinimum",
    "maximum",
    "exclusiveMaximum",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "minProperties",
    "maxProperties",
    "required",
)
"""What is taken over, in the order in which it is written."""


class _WithClasses(GenerateJsonSchema):
    """Writes into each model's schema which model it was, so that rules find their place."""

    def model_schema(self, schema: core_schema.ModelSchema) -> Schema:
        """Satisfies GenerateJsonSchema."""
        return {**super().model_schema(schema), CLASS: schema["cls"]}


def of(model: type[BaseModel]) -> Schema:
    """Returns a model's structural schema, with its rules in place."""
    root = model.model_json_schema(by_alias=True, schema_generator=_WithClasses)
    return _structural(root, root.get("$defs", {}))


def of_type(annotation: Any) -> Schema:
    """Returns the structural schema of a plain type such as a bounded text."""
    return _structural(TypeAdapter(annotation).json_schema(), {})


def without_defaults(node: Any) -> Any:
    """Returns a schema without defaults: of what a program writes, nothing is filled in."""
    if isinstance(node, list):
        return [without_defaults(item) for item in node]
    if not isinstance(node, dict):
        return node
    return {key: without_defaults(value) for key, value in node.items() if key != "default" or isinstance(value, dict)}


def validations(rules: tuple[Rule, ...]) -> Schema:
    """Returns rules as the keyword that holds them; nothing when there are none."""
    return {"x-kubernetes-validations": [rule.as_schema() for rule in rules]} if rules else {}


def _structural(node: Schema, defs: Mapping[str, Schema]) -> Schema:
    node = _resolved(node, defs)
    result: Schema = {key: node[key] for key in KEPT if key in node}
    if "description" in result:
        result["description"] = " ".join(inspect.cleandoc(result["description"]).split())
    if "const" in node:
        result["enum"] = [node["const"]]
    for exclusive, limit in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        if exclusive in node:
            result |= {limit: node[exclusive], exclusive: True}
    if "anyOf" in node:
        result |= _union(node)
    if "pattern" in node:
        result |= validations((Rule(f"self.matches(r'{node['pattern']}')", f"expected {text_words(node)}"),))
    if result.get("type") == "integer":
        result["format"] = "int32" if abs(node.get("maximum", 2**63)) < 2**31 else "int64"
    if result.get("type") == "array":
        result |= {"items": _structural(node["items"], defs), "x-kubernetes-list-type": "atomic"}
    if result.get("type") == "object":
        result |= _object(node, defs)
    _tell_bounds(result, node)
    return _default(result)


def _resolved(node: Schema, defs: Mapping[str, Schema]) -> Schema:
    """Returns a schema with its reference followed and null taken out of its union: absent is the only null."""
    if "$ref" in node:
        target = defs[node["$ref"].rsplit("/", 1)[1]]
        return _resolved({**target, **{key: value for key, value in node.items() if key != "$ref"}}, defs)
    branches = [_resolved(branch, defs) for branch in node.get("anyOf", ()) if branch != {"type": "null"}]
    if not branches:
        return node
    rest = {key: value for key, value in node.items() if key != "anyOf"}
    return {**branches[0], **rest} if len(branches) == 1 else {**rest, "anyOf": branches}


def _union(node: Schema) -> Schema:
    """Returns what a structural schema can say of two types: a whole number or text, and of all else the bounds alone."""
    by_type = {branch["type"]: branch for branch in node["anyOf"]}
    limits = {
        key: part[key] for part in by_type.values() for key in ("minLength", "maxLength", "maxItems") if key in part
    }
    if set(by_type) != {"integer", "string"}:
        return {"x-kubernetes-preserve-unknown-fields": True} | limits
    text, least = by_type["string"], by_type["integer"].get("minimum")
    form = {"anyOf": [{"type": "integer"}, {"type": "string"}], "x-kubernetes-int-or-string": True}
    if "const" in text:  # an enum would refuse the numbers beside it
        return form | {"maxLength": len(text["const"])}
    if "pattern" not in text or least is None:
        return form | limits
    rule = f"type(self) == int ? self >= {least} : self.matches(r'{text['pattern']}')"
    return form | limits | validations((Rule(rule, f"expected {expected(node, {})}"),))


def _object(node: Schema, defs: Mapping[str, Schema]) -> Schema:
    values = [*node.get("patternProperties", {}).values(), node.get("additionalProperties", False)]
    if "properties" not in node:
        return {"additionalProperties": _structural(values[0], defs)} if isinstance(values[0], dict) else {}
    model: type[BaseModel] = node[CLASS]
    fields = {key: _field(model, key, _structural(value, defs)) for key, value in node["properties"].items()}
    return {"properties": fields} | validations(rules_of(model))


def _field(model: type[BaseModel], key: str, field: Schema) -> Schema:
    for owner in model.__mro__:
        if keys := LIST_KEYS.get((owner, key)):
            field |= {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": list(keys)}
        if rules := FIELD_RULES.get((owner, key)):
            field["x-kubernetes-validations"] = [
                *field.get("x-kubernetes-validations", ()),
                *(rule.as_schema() for rule in rules),
            ]
    return field


def _tell_bounds(result: Schema, node: Schema) -> None:
    """Adds to a description what kubectl would not tell."""
    if "description" not in result or "anyOf" in result:
        return
    if told := [
        words for words in (bounds(node), text_words(node) if "pattern" in node else "", *_sizes(result)) if words
    ]:
        result["description"] += f" Bounds: {', '.join(told)}."
    if len(choices := result.get("enum", [])) > ENUM_SHOWN:
        result["description"] += f" One of {', '.join(map(str, choices))}."


def _sizes(result: Schema) -> list[str]:
    """Returns how long a text and how large a list or mapping may be, in words."""
    if result.get("minItems") == result.get("maxItems") == 1:
        return ["one entry"]
    kinds = (("Length", "characters"), ("Items", "entries"), ("Properties", "entries"))
    return [
        f"{f'{least} to' if (least := result.get(f'min{key}')) else 'up to'} {result[f'max{key}']} {what}"
        for key, what in kinds
        if f"max{key}" in result
    ]


def _default(result: Schema) -> Schema:
    """Leaves out defaults that say nothing; a mapping's are those of its keys."""
    default = result.get("default")
    if default in (None, "", [], {}):
        result.pop("default", None)
    if "default" in result and "properties" in result:
        result["default"] = {}
        if not any("default" in field for field in result["properties"].values()):
            del result["default"]
    return result
