"""Rules about searched options: one for each option of each pass, as the classes have them."""

from __future__ import annotations

import re

import pytest

from millwright_runner.crd import searched, steps
from millwright_runner.crd.rule import Rule
from millwright_runner.passes import Pass
from millwright_runner.searchable import Option, names, searchable

RULES = list(searched.rules())
KINDS = list(steps.builtin().values())
OPTIONS = [(kind, option) for kind in KINDS for option in searchable(kind).values()]
LONGEST = 2048
"""Characters of a rule's message that the API server takes."""


def of_step(kind: type[Pass]) -> str:
    """What a rule says where it is about steps of a pass."""
    return f'(has(s.{kind.name}) && (has(s.name) ? s.name : "{kind.name}") == p.pass)'


def names_rule(kind: type[Pass]) -> Rule:
    (rule,) = [rule for rule in RULES if rule.message.startswith(f"an option that {kind.name} does not have")]
    return rule


def values_rule(kind: type[Pass], option: Option) -> Rule:
    """The rule about an option's values: found as the server finds it, by the option's path and its step's pass."""
    (rule,) = [
        rule
        for rule in RULES
        if (listed := re.search(r"!\(p\.option in \[([^]]*)\]\)", rule.rule))
        and f'"{option.name}"' in listed[1].split(", ")
        and of_step(kind) in rule.rule
    ]
    return rule


class TestNames:
    @pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
    def test_the_pattern_takes_all_names_of_a_passs_options_and_nothing_else(self, kind: type[Pass]) -> None:
        (pattern,) = re.findall(r"matches\(r'(.*?)'\)", names_rule(kind).rule)
        every = {name for other in KINDS for name in names(other)}
        strange = {
            *kind.data_options(),
            "training",
            "training.r",
            "earlyStopping.patience",
            "xr",
            "rx",
            "training_seed",
        }

        taken = {name for name in every | strange if re.search(pattern, name)}

        assert taken == set(names(kind))

    @pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
    def test_a_person_reads_which_there_are(self, kind: type[Pass]) -> None:
        assert names_rule(kind).message.endswith(": " + ", ".join(searchable(kind)))
        assert of_step(kind) in names_rule(kind).rule

    @pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
    def test_no_last_part_is_an_option_of_its_own(self, kind: type[Pass]) -> None:
        """Else the rule on an option that is searched by two names would refuse two options."""
        assert [name for name in searchable(kind) if "." in name and name.rpartition(".")[2] in searchable(kind)] == []


class TestValues:
    @pytest.mark.parametrize(("kind", "option"), OPTIONS, ids=lambda value: value.name)
    def test_each_option_is_judged_by_what_its_pass_says_of_it(self, kind: type[Pass], option: Option) -> None:
        rule = values_rule(kind, option)

        assert option.name in rule.message
        assert option.words in rule.message
        assert ("!has(p.integer) &&" in rule.rule or "!has(p.integer))" in rule.rule) == (not option.is_number)
        for value in option.choices or ():
            assert f"v == {searched._literal(value)}" in rule.rule
        if option.is_number and option.minimum is not None:
            assert f"double(p.integer.min) {'>' if option.above else '>='} {float(option.minimum)}" in rule.rule
        if option.is_number and option.maximum is not None:
            assert f"double(p.integer.max) {'<' if option.below else '<='} {float(option.maximum)}" in rule.rule

    @pytest.mark.parametrize(("kind", "option"), OPTIONS, ids=lambda value: value.name)
    def test_all_names_of_an_option_are_judged_alike(self, kind: type[Pass], option: Option) -> None:
        rule = values_rule(kind, option)

        assert all(f'"{name}"' in rule.rule for name, meant in names(kind).items() if meant == option)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.message[:60])
def test_a_rule_is_about_searches_only_and_short_enough(rule: Rule) -> None:
    assert rule.rule.startswith("!has(self.search) || ")
    assert rule.field == ".search.parameters"
    assert len(rule.message) <= LONGEST
