"""A metric of an evaluation as the API server sees it, and what the parts of an evaluation say of one another."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from millwright_api.base import Name
from millwright_api.evaluation import INPUT, METRIC_NAME, MetricName
from millwright_runner.crd import structural
from millwright_runner.crd.rule import Rule
from millwright_runner.crd.unions import Union
from millwright_runner.evaluation.bound import METRICS
from millwright_runner.metrics import Metric
from millwright_runner.schema import Schema

CUSTOM = (
    "A metric that the runner image brings (execution.kubernetes.image), by the name of its entry point. The preflight "
    "checks its options."
)
COMPARES = {
    "lmEval": "has(m.lmEval.config) && !has(m.lmEval.config.docToTarget)",
    "perplexity": "m.perplexity.of == 'answer'",
}
"""Metrics that compare answers with some of their options only, and which: `Metric.compares_answers` in CEL."""

NEEDS = {"lmEval": "has(m.lmEval.config)"}
"""Metrics that need data with some of their options only, and which: `Metric.reads_examples` in CEL."""

DATA = "Name of the data set that it is measured on. Default: evaluation.data."


def builtin() -> dict[str, type[Metric]]:
    """Returns the metrics that come with Millwright, by name, sorted."""
    return METRICS.builtin()


def union() -> Union:
    """Returns the kinds of metrics."""
    return Union(
        noun="metric",
        holder="metric",
        fields={name: _metric(kind) for name, kind in builtin().items()},
        beside={"data": structural.of_type(Annotated[Name, Field(description=DATA)])},
        description="One metric and its options.",
        example="sizeOnDisk: {}",
        custom=CUSTOM,
        options="Its options; `millwright metrics NAME` lists them. Default: none.",
        alike="two metrics are called alike; give each its own name (one without a name is called by its kind)",
    )


def metric() -> Schema:
    """Returns the schema of one metric of an evaluation."""
    schema = union().schema(MetricName, METRIC_NAME)
    without = [name for name, kind in builtin().items() if not (kind.needs_examples or kind.takes_examples)]
    rule = Rule(
        f"!has(self.data) || !({_is_one('self', without)})",
        f"{', '.join(without)}: measured without data; leave data out",
        field=".data",
    )
    return schema | {"x-kubernetes-validations": [*schema["x-kubernetes-validations"], rule.as_schema()]}


def rules() -> tuple[Rule, ...]:
    """Returns the rules on an evaluation: what its constraints and metrics need is there."""
    needing = [name for name, kind in builtin().items() if kind.needs_examples]
    reads = " || ".join([_is_one("m", needing), *(f"(has(m.{name}) && {on})" for name, on in NEEDS.items())])
    return (
        Rule(
            f"!has(self.constraints) || self.constraints.all(c, self.metrics.exists(m, ({union().called('m')}) == c.metric))",
            "a constraint names a metric that evaluation.metrics does not have (one without a name is called by its kind)",
            field=".constraints",
        ),
        Rule(
            f"has(self.data) || self.metrics.all(m, has(m.data) || !({reads}))",
            f"{', '.join([*needing, *(f'{name} with config' for name in NEEDS)])}: measured on data; set evaluation.data, or the metric's own, to one of spec.data",
            field=".metrics",
        ),
    )


def references() -> tuple[Rule, ...]:
    """Returns the rules on the spec: the data sets that an evaluation names are there, and say what the right answers are."""
    answered = [name for name, kind in builtin().items() if kind.needs_answers]
    compares = " || ".join([_is_one("m", answered), *(f"(has(m.{name}) && {on})" for name, on in COMPARES.items())])
    there = "has(self.data) && self.data.exists(d, d.name == "
    used = "(has(m.data) ? m.data : self.evaluation.data)"
    return (
        Rule(
            f"!has(self.evaluation) || !has(self.evaluation.data) || ({there}self.evaluation.data))",
            "evaluation.data names a data set that spec.data does not have",
            field=".evaluation.data",
        ),
        Rule(
            f"!has(self.evaluation) || self.evaluation.metrics.all(m, !has(m.data) || ({there}m.data)))",
            "a metric's data names a data set that spec.data does not have",
            field=".evaluation.metrics",
        ),
        Rule(
            f"!has(self.evaluation) || !has(self.data) || !self.evaluation.metrics.exists(m, ({compares}) && "
            f"(has(m.data) || has(self.evaluation.data)) && "
            f"self.data.exists(d, d.name == {used} && has(d.text) && !has(d.text.answer)))",
            f"{', '.join([*answered, *COMPARES])}: compared with the right answers; set text.answer of the data set to the column of theirs",
            field=".evaluation.metrics",
        ),
        Rule(
            f"!has(self.evaluation) || !self.passes.exists(p, has(p.name) && p.name == '{INPUT}')",
            f"a step is called {INPUT}, as evaluation calls the model that the job starts with; give it another name",
            field=".passes",
        ),
    )


def _is_one(which: str, names: list[str]) -> str:
    return " || ".join(f"has({which}.{name})" for name in names) or "false"


def _metric(kind: type[Metric]) -> Schema:
    schema = structural.of(kind)
    unit = f"In {kind.unit}; " if kind.unit else ""
    better = "higher" if kind.higher_is_better else "lower"
    data = (
        " Needs a data set that names its right answers." if kind.needs_answers
        else " Needs a data set." if kind.needs_examples else ""
    )  # fmt: skip
    return schema | {"description": f"{schema['description']} {unit}{better} is better.{data}"}
