"""A search as the API server sees it: what its parts say of one another, and of the options of passes that come with
Millwright. Of plug-ins' options only the preflight knows.

A choice's values are of any type, so CEL's compiler knows nothing of the list; `dyn` lets a rule ask for it all the same,
and compare its values with others, which is all that the server can do with them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

from millwright_runner.crd import metrics, steps, structural
from millwright_runner.crd.rules import Rule
from millwright_runner.passes import Pass
from millwright_runner.schema import Schema
from millwright_runner.searchable import Option, names, searchable

CHOICE = "dyn(self).choice"
NUMBERS = ("uniform", "logUniform", "integer")
PARAMETERS = ".search.parameters"

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
    return (*_named(), *_goes_with(), *_options())


def _named() -> Iterator[Rule]:
    step = steps.union().called("s")
    yield _rule(
        f"self.search.parameters.all(p, !has(p.pass) || self.passes.exists(s, ({step}) == p.pass))",
        "a parameter names a step that spec.passes does not have (a step without a name is called by its pass)",
    )
    yield _rule(
        f"self.search.parameters.all(p, !has(p.oneOf) || p.oneOf.all(n, self.passes.exists(s, ({step}) == n)))",
        "oneOf names a step that spec.passes does not have (a step without a name is called by its pass)",
    )
    yield _rule(
        "!has(self.evaluation) || self.search.objectives.all(o, self.evaluation.metrics.exists(m, "
        f"({metrics.union().called('m')}) == o.metric))",
        "an objective names a metric that evaluation.metrics does not have (one without a name is called by its kind)",
        field=".search.objectives",
    )
    yield _rule(
        "self.search.parameters.exists(p, has(p.oneOf)) || self.passes.exists(s, "
        f"!self.search.parameters.exists(p, has(p.onOff) && has(p.pass) && p.pass == ({step})))",
        "every pass is onOff; one has to run in every trial",
    )


def _goes_with() -> Iterator[Rule]:
    yield _rule("has(self.evaluation)", "search compares trials by metrics: evaluation is needed", field=".search")
    yield _rule(
        "!has(self.search.earlyStopping) || !has(self.evaluation) || 'each' in self.evaluation.after",
        "earlyStopping looks at figures after each pass: evaluation.after: [each] is needed",
        field=".search.earlyStopping",
    )
    yield _rule(
        "self.cache.mode == 'ReadWrite'",
        "cache.mode other than ReadWrite does not go with search: trials share passes, and the best is published, through "
        "the cache",
        field=".cache.mode",
    )


def _options() -> Iterator[Rule]:
    for kind in steps.builtin().values():
        yield _of_options(
            [kind], f"p.option.matches(r'{_pattern(kind)}')",
            f"an option that {kind.name} does not have, or that is no single value, or names a data set, is searched; "
            f"possible, by path or by its last part: {', '.join(searchable(kind))}",
        )  # fmt: skip
    custom = "self.passes.exists(s, has(s.custom) && (has(s.name) ? s.name : s.custom.pass) == p.pass)"
    yield _rule(
        "self.search.parameters.all(p, !has(p.option) || !has(p.pass) || !self.search.parameters.exists(q, has(q.option) && "
        f"has(q.pass) && q.pass == p.pass && q.option.endsWith('.' + p.option)) || {custom})",
        "an option of a pass is searched twice, by its path and by its last part; give all of its values in one place",
    )
    for kinds, options in _alike():
        given = _literal([name for name, option in names(kinds[0]).items() if option in options])
        good, how = _searched(options[0])
        called = f"{', '.join(option.name for option in options)} ({', '.join(kind.name for kind in kinds)})"
        yield _of_options(
            kinds, f"!(p.option in {given}) || ({good})",
            f"{called} take{'s' if len(options) == 1 else ''} {options[0].words}; {how}",
        )  # fmt: skip


def _pattern(kind: type[Pass]) -> str:
    """Returns a regular expression of all names that a pass's options go by: shorter by far than a list of them."""
    known = names(kind)
    groups: dict[str, list[str]] = {}
    for path in searchable(kind):
        above, dot, leaf = path.rpartition(".")
        optional = "?" if dot and leaf in known else ""
        groups.setdefault(f"({re.escape(above + dot)}){optional}" if dot else "", []).append(leaf)
    return f"^({_or(above + '(' + _or(leaves) + ')' for above, leaves in groups.items())})$"


def _or(parts: Iterable[str]) -> str:
    return "|".join(parts)


def _alike() -> Iterator[tuple[list[type[Pass]], list[Option]]]:
    """Yields passes with the options of theirs that take the same: lora and its kin share most of their options."""
    kinds: dict[Option, list[type[Pass]]] = {}
    for kind in steps.builtin().values():
        for option in searchable(kind).values():
            kinds.setdefault(option, []).append(kind)
    alike: dict[tuple[str, ...], list[Option]] = {}
    for option, having in kinds.items():
        alike.setdefault((option.words, *(kind.name for kind in having)), []).append(option)
    for options in alike.values():
        yield kinds[options[0]], options


def _searched(option: Option) -> tuple[str, str]:
    """Returns what a parameter's values have to be, as CEL about `p`, and in words how they may be given."""
    no_range = " && ".join(f"!has(p.{name})" for name in NUMBERS)
    if option.is_number:
        within = [_within(name, option) for name in NUMBERS if name == "integer" or "number" in option.types]
        taken = ", ".join(name for name in NUMBERS if name == "integer" or "number" in option.types)
        whole = [] if "number" in option.types else ["!has(p.uniform)", "!has(p.logUniform)"]
        return " && ".join([*whole, *within]), f"search it by choice or {taken}, within that"
    values = option.choices or ((True, False) if option.types == {"boolean"} else None)
    if values is None:
        return no_range, "search it by choice"
    known = " || ".join(f"v == {_literal(value)}" for value in values)
    return f"{no_range} && (!has(dyn(p).choice) || dyn(p).choice.all(v, {known}))", "search it by choice, among these"


def _within(name: str, option: Option) -> str:
    """Returns that a range, where it is given, lies in an option's bounds."""
    number = f"double(p.{name}.%s)" if name == "integer" else f"p.{name}.%s"
    low, high = number % "min", number % "max"
    bounds = []
    if option.minimum is not None:
        bounds.append(f"{low} {'>' if option.above else '>='} {float(option.minimum)!r}")
    if option.maximum is not None:
        bounds.append(f"{high} {'<' if option.below else '<='} {float(option.maximum)!r}")
    return f"(!has(p.{name}) || ({' && '.join(bounds)}))" if bounds else "true"


def _of_options(kinds: list[type[Pass]], good: str, message: str) -> Rule:
    """Returns the rule that what parameters say of options of some passes is good."""
    step = " || ".join(
        f"(has(s.{kind.name}) && (has(s.name) ? s.name : {_literal(kind.name)}) == p.pass)" for kind in kinds
    )
    return _rule(
        f"self.search.parameters.all(p, !has(p.option) || !has(p.pass) || {good} || !self.passes.exists(s, {step}))",
        message,
    )


def _rule(good: str, message: str, field: str = PARAMETERS) -> Rule:
    return Rule(f"!has(self.search) || ({good})", message, field=field)


def _literal(value: Any) -> str:
    """Returns a value as CEL has it: as JSON does."""
    return json.dumps(value)
