"""A step of the recipe as the API server sees it."""

from __future__ import annotations

from millwright_api.base import DNS_LABEL, Name
from millwright_api.execution import Resources
from millwright_runner import registry
from millwright_runner.crd import structural
from millwright_runner.crd.rule import Rule
from millwright_runner.crd.unions import Union
from millwright_runner.passes import Pass
from millwright_runner.schema import Schema

CUSTOM = (
    "A pass that the runner image brings (execution.kubernetes.image), by the name of its entry point. The preflight "
    "checks its options."
)
RESOURCES = (
    "What its pod asks for, in place of execution.kubernetes.resources. Neighbours with equal resources share a Job."
)


def builtin() -> dict[str, type[Pass]]:
    """Returns the passes that come with Millwright, by name, sorted."""
    return registry.PASSES.builtin()


def union() -> Union:
    """Returns the kinds of steps."""
    return Union(
        noun="pass",
        holder="step",
        fields={name: _pass(kind) for name, kind in builtin().items()},
        beside={"resources": structural.of(Resources) | {"description": RESOURCES}},
        description="One step: a pass and its options.",
        example="merge: {}",
        custom=CUSTOM,
        options="Its options; `millwright passes NAME` lists them. Default: none.",
        alike="two steps are called alike; give each its own name (a step without one is called by its pass)",
    )


def step() -> Schema:
    """Returns the schema of one step."""
    return union().schema(Name, DNS_LABEL)


def references() -> tuple[Rule, ...]:
    """Returns the rules that each data set that a pass names is there."""
    return tuple(
        Rule(
            f"!self.passes.exists(p, has(p.{name}) && has(p.{name}.{option}) && "
            f"!(has(self.data) && self.data.exists(d, d.name == p.{name}.{option})))",
            f"{name}.{option} names a data set that spec.data does not have",
            field=".passes",
        )
        for name, kind in builtin().items()
        for option in kind.data_options()
    )


def _pass(kind: type[Pass]) -> Schema:
    schema = structural.of(kind)
    reads = " or ".join(sorted(kind.consumes))
    return schema | {"description": f"{schema['description']} Reads {reads}, makes {kind.produces}."}
