"""A search as the API server sees it: what its parts say of one another, and of the rest of the spec.

A choice's values are of any type, so CEL's compiler knows nothing of the list; `dyn` lets a rule ask for it all the same,
and compare its values with others, which is all that the server can do with them.
"""

from __future__ import annotations

from collections.abc import Iterator

from millwright_runner.crd import metrics, searched, steps, structural
from millwright_runner.crd.rule import Rule
from millwright_runner.crd.searched import NUMBERS, on_search
from millwright_runner.schema import Schema

CHOICE = "dyn(self).choice"

PARAMETER: tuple[Rule, ...] = (
    Rule(
        "!has(self.onOff) && !has(self.oneOf) || [has(self.onOff), has(self.oneOf), has(self.option) || "
        f"has({CHOICE}) || {' || '.join(f'has(self.{name})' for name in NUMBERS)}].filter(given, given).size() == 1",
        "a parameter is of one kind: an option with its values, onOff, or oneOf",
    ),
    Rule("!has(self.oneOf) || !has(self.pass)", "oneOf names the steps itself; leave pass out", field=".pass"),
    Rule(
        "!has(self.oneOf) || self.oneOf.all(a, self.oneOf.exists_one(b, a == b))",
        "oneOf names a step more than once",
        field=".oneOf",
    ),
    Rule(
        "has(self.pass) || has(self.oneOf)",
        "pass is needed: the name of a step (or oneOf, with the names of several)",
        field=".pass",
    ),
    Rule(
        "!has(self.pass) || has(self.option) || has(self.onOff) || has(self.oneOf)",
        "option is needed (or onOff: true, for the whole pass)",
        field=".option",
    ),
    Rule(
        f"!has(self.option) || has(self.onOff) || has(self.oneOf) || [has({CHOICE}), "
        f"{', '.join(f'has(self.{name})' for name in NUMBERS)}].filter(given, given).size() == 1",
        "exactly one of choice, uniform, logUniform, integer is needed",
    ),
    Rule(
        f"!has({CHOICE}) || {CHOICE}.all(a, {CHOICE}.exists_one(b, a == b))",
        "choice has a value more than once",
        field=".choice",
    ),
)
"""On one parameter."""

SEARCH: tuple[Rule, ...] = (
    Rule(
        "self.parameters.all(p, !has(p.option) || !has(p.pass) || self.parameters.exists_one(q, has(q.option) && "
        "has(q.pass) && q.pass == p.pass && q.option == p.option))",
        "an option of a pass is searched twice; give all of its values in one place",
        field=".parameters",
    ),
    Rule(
        "self.objectives.all(o, self.objectives.exists_one(p, p.metric == o.metric))",
        "objectives name a metric more than once",
        field=".objectives",
    ),
    Rule(
        "self.parameters.all(p, (has(p.oneOf) ? p.oneOf : has(p.onOff) && has(p.pass) ? [p.pass] : []).all(n, "
        "self.parameters.exists_one(q, (has(q.oneOf) && n in q.oneOf) || (has(q.onOff) && has(q.pass) && q.pass == n))))",
        "a step is switched by onOff or oneOf more than once",
        field=".parameters",
    ),
    Rule(
        "!has(self.algorithm) || !has(self.algorithm.grid) || "
        "self.parameters.all(p, !has(p.uniform) && !has(p.logUniform))",
        "algorithm.grid tries every value, and a parameter has a continuous range: take choice or integer, or the algorithm "
        "random or tpe",
        field=".parameters",
    ),
    Rule(
        "!has(self.earlyStopping) || self.objectives.size() <= 1",
        "earlyStopping goes with one objective: of several, none alone says that a trial does badly",
        field=".earlyStopping",
    ),
)
"""On the search."""


def add_rules(search: Schema) -> None:
    """Puts the rules of a search, and of its parameters, into its schema."""
    parameter = search["properties"]["parameters"]["items"]
    parameter |= structural.validations(PARAMETER)
    for name in NUMBERS:
        parameter["properties"][name] |= structural.validations((Rule("self.min < self.max", "min is below max"),))
    search |= structural.validations(SEARCH)


def references() -> tuple[Rule, ...]:
    """Returns the rules on the spec: what a search names is there, and can be searched."""
    return (*_named(), *_goes_with(), *searched.rules())


def _named() -> Iterator[Rule]:
    step = steps.union().called("s")
    yield on_search(
        f"self.search.parameters.all(p, !has(p.pass) || self.passes.exists(s, ({step}) == p.pass))",
        "a parameter names a step that spec.passes does not have (a step without a name is called by its pass)",
    )
    yield on_search(
        f"self.search.parameters.all(p, !has(p.oneOf) || p.oneOf.all(n, self.passes.exists(s, ({step}) == n)))",
        "oneOf names a step that spec.passes does not have (a step without a name is called by its pass)",
    )
    yield on_search(
        "!has(self.evaluation) || self.search.objectives.all(o, self.evaluation.metrics.exists(m, "
        f"({metrics.union().called('m')}) == o.metric))",
        "an objective names a metric that evaluation.metrics does not have (one without a name is called by its kind)",
        field=".search.objectives",
    )
    yield on_search(
        "self.search.parameters.exists(p, has(p.oneOf)) || self.passes.exists(s, "
        f"!self.search.parameters.exists(p, has(p.onOff) && has(p.pass) && p.pass == ({step})))",
        "every pass is onOff; one has to run in every trial",
    )


def _goes_with() -> Iterator[Rule]:
    yield on_search("has(self.evaluation)", "search compares trials by metrics: evaluation is needed", field=".search")
    yield on_search(
        "!has(self.search.earlyStopping) || !has(self.evaluation) || 'each' in self.evaluation.after",
        "earlyStopping looks at figures after each pass: evaluation.after: [each] is needed",
        field=".search.earlyStopping",
    )
    yield on_search(
        "self.cache.mode == 'ReadWrite'",
        "cache.mode other than ReadWrite does not go with search: trials share passes, and the best is published, through "
        "the cache",
        field=".cache.mode",
    )
