"""What the API server knows of a search's options: those of the passes that come with Millwright, with their types and bounds.

Of a range it sees the two ends. A choice's values it can only compare with others: those of an option that takes one of few
are looked at here, numbers between two bounds by the preflight.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator

from millwright_runner.crd import steps
from millwright_runner.crd.rule import Rule
from millwright_runner.passes import Pass
from millwright_runner.passes.genai import PRECISIONS, Genai
from millwright_runner.searchable import Option, names, searchable

PARAMETERS = ".search.parameters"
NUMBERS = ("uniform", "logUniform", "integer")
"""Keys of a parameter that hold a range of numbers."""

CHOICE = "dyn(p).choice"
"""A parameter's list of values, whose types CEL's compiler does not know."""


def on_search(good: str, message: str, field: str = PARAMETERS) -> Rule:
    """Returns the rule on a spec that something holds where there is a search."""
    return Rule(f"!has(self.search) || ({good})", message, field=field)


def rules() -> Iterator[Rule]:
    """Yields the rules on the spec: what is searched is an option of its pass, and within its bounds."""
    for kind in steps.builtin().values():
        yield _of_options(
            [kind], f"p.option.matches(r'{_pattern(kind)}')",
            f"an option that {kind.name} does not have, or that is no single value, or names a data set, is searched; "
            f"possible, by path or by its last part: {', '.join(searchable(kind))}",
        )  # fmt: skip
    custom = "self.passes.exists(s, has(s.custom) && (has(s.name) ? s.name : s.custom.pass) == p.pass)"
    yield on_search(
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
    yield from _precisions()


def _precisions() -> Iterator[Rule]:
    """Yields, of what can't be loaded everywhere, that it is not among the values where the target can't."""
    for provider, loadable in PRECISIONS.items():
        others = [name for known in PRECISIONS.values() for name in known if name not in loadable]
        for name in dict.fromkeys(others):
            yield _of_options(
                [Genai], f"self.target.executionProvider != '{provider}' || p.option != 'precision' || "
                f"!has({CHOICE}) || !{CHOICE}.exists(v, v == '{name}')",
                f"genai.precision on {provider} is one of {', '.join(loadable)}; {name} is among those that are searched",
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
    return f"{no_range} && (!has({CHOICE}) || {CHOICE}.all(v, {known}))", "search it by choice, among these"


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
    return on_search(
        f"self.search.parameters.all(p, !has(p.option) || !has(p.pass) || {good} || !self.passes.exists(s, {step}))",
        message,
    )


def _literal(value: object) -> str:
    """Returns a value as CEL has it: as JSON does."""
    return json.dumps(value)
