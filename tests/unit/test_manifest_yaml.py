"""Documents: what is read, what is refused, and on which line."""

from __future__ import annotations

from typing import Any

import pytest

from millwright_api.errors import InvalidManifest
from millwright_runner import kubeyaml
from millwright_runner.kubeyaml import MAX_BYTES, Document


def read(text: str | bytes) -> Document:
    return kubeyaml.read(text if isinstance(text, bytes) else text.encode(), "job.yaml")


def refused(text: str | bytes) -> str:
    with pytest.raises(InvalidManifest) as caught:
        read(text)
    return str(caught.value)


# What is read. The right-hand sides are those of sigs.k8s.io/yaml 1.6.0.


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        ("# only a comment", None),
        ("null", None),
        ("5", 5),
        ("- a\n- b", ["a", "b"]),
        ("a: {b, c: 1}", {"a": {"b": None, "c": 1}}),
        ("a: [1, [2, {b: 3}]]", {"a": [1, [2, {"b": 3}]]}),
        ("a: [\t1]", {"a": [1]}),
        ("--- {a: 1}\n...\n", {"a": 1}),
        ("%YAML 1.1\n---\na: y", {"a": True}),
        ("\ufeffa: 1", {"a": 1}),
        ("a: 'it''s'", {"a": "it's"}),
        ('a: "\\x41\\n"', {"a": "A\n"}),
        ("a: |\n  x\n  y\n", {"a": "x\ny\n"}),
        ("a: >-\n  x\n  y\n", {"a": "x y"}),
        ("a: 1 # b", {"a": 1}),
        ("a: b#c", {"a": "b#c"}),
        ("? a\n: 1", {"a": 1}),
        ('"<<": {a: 1}', {"<<": {"a": 1}}),
        ('{"a": 1e2, "b": "\\u00e9"}', {"a": 100, "b": "é"}),
        ("phrase: 日本語 🙂", {"phrase": "日本語 🙂"}),
    ],
)
def test_a_document_is_read_as_kubectl_reads_it(text: str, value: Any) -> None:
    assert read(text).value == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a: &x {b: 1}\nc: *x", {"a": {"b": 1}, "c": {"b": 1}}),
        ("a: &x 1\nb: &x 2\nc: *x", {"a": 1, "b": 2, "c": 2}),
        ("a: &x {b: 1}\nc:\n  <<: *x\n  d: 2", {"a": {"b": 1}, "c": {"b": 1, "d": 2}}),
        ("c:\n  <<: [{a: 1}, {b: 2}]", {"c": {"a": 1, "b": 2}}),
        (
            "a: &x {b: 1}\nc: &y {<<: *x, d: 2}\ne: {<<: *y}",
            {"a": {"b": 1}, "c": {"b": 1, "d": 2}, "e": {"b": 1, "d": 2}},
        ),
    ],
)
def test_anchors_and_merges_are_expanded(text: str, value: Any) -> None:
    assert read(text).value == value


def test_an_alias_gives_a_value_of_its_own() -> None:
    value = read("a: &x {b: 1}\nc: *x").value

    value["c"]["b"] = 2

    assert value["a"] == {"b": 1}


def test_empty_documents_around_the_one_do_not_count() -> None:
    assert read("---\n---\na: 1\n---\n# end\n").value == {"a": 1}


# Lines.


def test_each_place_knows_its_line() -> None:
    document = read("a: 1\nb:\n  c:\n  - x\n  - d: 2\n    e: 3\n")

    assert document.lines[("a",)] == 1
    assert document.lines[("b", "c")] == 3
    assert document.lines[("b", "c", 0)] == 4
    assert document.lines[("b", "c", 1)] == 5
    assert document.lines[("b", "c", 1, "e")] == 6


def test_lines_are_known_in_json_too() -> None:
    assert read('{\n "a": {\n  "b": [\n   1,\n   2]}}').lines[("a", "b", 1)] == 5


def test_windows_line_ends_count_once() -> None:
    document = read("a: 1\r\nb:\r\n  c: x\r\n")

    assert document.value == {"a": 1, "b": {"c": "x"}}
    assert document.lines[("b", "c")] == 3


# What is refused.


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\na: 2", "job.yaml:2: the key 'a' is given twice"),
        ("y: 1\ntrue: 2", "job.yaml:2: the key 'true' is given twice"),
        ("1: a\n'1': b", "job.yaml:2: the key '1' is given twice"),
        ("a: &x {b: 1}\nc:\n  <<: *x\n  b: 2", "job.yaml:4: the key 'b' is given twice"),
        ("c:\n  <<: [{a: 1}, {a: 2}]", "job.yaml:2: the key 'a' is given twice"),
        ("a: 1\n~: x", "job.yaml:2: a key is text, not null, a list or a mapping"),
        ("? [a]\n: 1", "job.yaml:1: a key is text, not null, a list or a mapping"),
        ("c:\n  <<: 1", "job.yaml:2: << takes a mapping or a list of mappings"),
        ("a: *x", "job.yaml:1: *x refers to no anchor"),
        ("b: &y 1\na: *x", "job.yaml:2: *x refers to no anchor (anchors: y)"),
        ("a:\n  &x [1, *x]", "job.yaml:2: *x contains itself"),
        ("---\na: 1\n---\nb: 2", "job.yaml:4: a second document begins here (one manifest to a file)"),
        ("a: !!binary aGk=", "job.yaml:1: the tag !!binary is not supported (write the value without it)"),
        (
            "a: !!python/object:os.system x",
            "job.yaml:1: the tag !!python/object:os.system is not supported (write the value without it)",
        ),
        ("a: !!set {b}", "job.yaml:1: the tag !!set is not supported (write the value without it)"),
        ("a: !!timestamp 2024-01-01", "job.yaml:1: the tag !!timestamp is not supported (write the value without it)"),
        ("a: !mine x", "job.yaml:1: the tag !mine is not supported (write the value without it)"),
    ],
)
def test_what_would_be_lost_or_guessed_is_refused(text: str, message: str) -> None:
    assert refused(text) == message


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a: b: c", 1),
        ("a: 1\nb: @x", 2),
        ("a: `x", 1),
        ("a: [1,,2]", 1),
        ("a: 1\n b: 2", 2),
        ("a: 'x", 1),
        ("{", 1),
        ("a: ]", 1),
    ],
)
def test_malformed_yaml_names_the_line(text: str, line: int) -> None:
    assert refused(text).startswith(f"job.yaml:{line}: this is no YAML: ")


def test_a_tab_as_indentation_is_explained() -> None:
    message = refused("a:\n\tb: 1")

    assert message.startswith("job.yaml:2: this is no YAML: ")
    assert message.endswith("(indent with spaces, not tabs)")


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"a: \x00", "job.yaml:1: the character 0x00 is not allowed in YAML (expected YAML or JSON)"),
        (b"a: 1\nb: \x07", "job.yaml:2: the character 0x07 is not allowed in YAML (expected YAML or JSON)"),
        (b"\x7fELF\x02", "job.yaml:1: the character 0x7f is not allowed in YAML (expected YAML or JSON)"),
        (b"a: 1\nb: \xff", "job.yaml:2: this is no text in UTF-8 (expected YAML or JSON)"),
        ("a: 1".encode("utf-16"), "job.yaml:1: this is no text in UTF-8 (expected YAML or JSON)"),
        (b"PK\x03\x04\x14\x00\x89", "job.yaml:1: this is no text in UTF-8 (expected YAML or JSON)"),
    ],
)
def test_what_is_no_text_is_refused(raw: bytes, message: str) -> None:
    assert refused(raw) == message


def test_json_that_yaml_cannot_express_is_read_as_json() -> None:
    document = read('{\n\t"a": "\\ud83d\\ude00",\n\t"b": [1.0]}')

    assert document.value == {"a": "😀", "b": [1]}


# What tries to eat the machine.


def test_a_file_beyond_the_bound_is_refused_unparsed() -> None:
    assert (
        refused(b"a" * (MAX_BYTES + 1)) == "job.yaml: 1,048,577 bytes are too many for a manifest (at most 1,048,576)"
    )


@pytest.mark.parametrize("text", ["[" * 100_000, "{a: " * 100_000, "- " * 100_000, "? " * 100_000])
def test_deep_nesting_is_refused(text: str) -> None:
    assert refused(text) == "job.yaml:1: nested deeper than 64 levels"


def lists_of_lists(width: int = 10, depth: int = 12) -> str:
    lines = ["a0: &a0 x", *(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * width)}]" for i in range(1, depth))]
    return "\n".join(lines)


def merges_of_nothing(width: int = 10, depth: int = 12) -> str:
    lines = ["a0: &a0 {}", *(f"a{i}: &a{i} {{<<: [{', '.join([f'*a{i - 1}'] * width)}]}}" for i in range(1, depth))]
    return "\n".join(lines)


def aliases_below_aliases() -> str:
    return "\n".join(["a0: &a0 {b: 1}", *(f"a{i}: &a{i} {{b: *a{i - 1}}}" for i in range(1, 200))])


@pytest.mark.parametrize("text", [lists_of_lists(), merges_of_nothing(), aliases_below_aliases(), "- 1\n" * 60_000])
def test_a_bomb_is_refused_while_it_is_small(text: str) -> None:
    assert refused(text).endswith("more than 50,000 values or 64 levels once its aliases are expanded")


def test_a_long_text_is_no_bomb() -> None:
    assert len(read("a: " + "x\n  " * 200_000).value["a"]) == 399_999
