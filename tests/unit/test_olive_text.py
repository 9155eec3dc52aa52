"""What a person reads: the imported manifest as YAML, and the documentation of the table."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from tests.olive.samples import NAMES, imported, rows, workflow

from millwright_api.v1alpha1 import OptimizationJob
from millwright_runner import registry
from millwright_runner.olive import convert, to_yaml
from millwright_runner.olive.document import BEGIN, END, markdown, renew
from millwright_runner.olive.table import Row, load
from millwright_runner.training.options import Training

PAGE = Path(__file__).parents[2] / "docs/olive.md"


@pytest.mark.parametrize("name", NAMES)
def test_the_text_is_the_manifest_again_when_read(name: str):
    found = imported(name)

    assert yaml.safe_load(to_yaml(found)) == found.manifest


@pytest.mark.parametrize("name", NAMES)
def test_the_text_is_a_job(name: str):
    OptimizationJob.model_validate(yaml.safe_load(to_yaml(imported(name))))


@pytest.mark.parametrize("name", NAMES)
def test_the_comments_name_each_line_that_was_not_taken_over_and_each_note(name: str):
    found = imported(name)
    comments = [line for line in to_yaml(found).splitlines() if line.startswith("#")]

    for entry in (*found.unmapped, *found.notes):
        assert any(" ".join(str(entry).split()) in line for line in comments)


def test_lines_that_change_the_model_stand_first():
    text = to_yaml(imported("new_search"))

    blocking = text.index("another one without it")
    assert blocking < text.index("search_strategy.sampler") < text.index("the same without it") < text.index("Notes:")
    assert text.index("Notes:") < text.index("apiVersion")


def test_a_clean_import_has_no_list_of_what_is_missing():
    assert "Not taken over" not in to_yaml(imported("new_tiny"))


def test_keys_stand_in_the_order_a_person_expects():
    spec = [line for line in to_yaml(imported("seed")).splitlines() if line.startswith("  ") and line[2] != " "]

    assert spec == ["  name: seed", "  model:", "  data:", "  passes:", "  execution:", "  target:", "  output:"]


def test_line_breaks_of_a_value_do_not_break_out_of_its_comment():
    config = workflow(evaluators={"e": {"note": "one\ntwo: {x: 1}\napiVersion: evil"}})

    text = to_yaml(convert(config))

    assert yaml.safe_load(text) == convert(config).manifest


def test_strange_texts_survive():
    template = 'é "quoted" \\ {a}\n\t: # - {{brace}} 🙂 yes'
    found = convert(workflow(data_configs=[rows(words={"text_template": template})]))

    assert yaml.safe_load(to_yaml(found))["spec"]["data"][0]["text"]["template"] == template


def test_small_numbers_stay_numbers():
    training = {"learning_rate": 1e-5, "adam_epsilon": 1e-8}
    found = convert(
        workflow(passes={"lora": {"type": "LoRA", "train_data_config": "train", "training_args": training}})
    )

    read = yaml.safe_load(to_yaml(found))["spec"]["passes"][0]["lora"]["training"]
    assert (read["learningRate"], read["adamEpsilon"]) == (1e-5, 1e-8)


def test_the_page_says_what_the_table_says():
    page = PAGE.read_text()

    assert renew(page, load()) == page, "run: python -m millwright_runner.olive docs/olive.md"


def command(*arguments: str) -> int:
    return subprocess.run(
        [sys.executable, "-m", "millwright_runner.olive", *arguments], check=False, capture_output=True
    ).returncode


def test_one_command_renews_the_page_and_another_tells_whether_it_is(tmp_path: Path):
    page = tmp_path / "olive.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")

    assert command(str(page), "--check") == 1
    assert command(str(page)) == 0
    assert command(str(page), "--check") == 0
    text = page.read_text()
    assert text.startswith("before\n")
    assert text.endswith(f"{END}\nafter\n")
    assert "| `r`, `lora_r` |" in text
    assert command() == 2


def test_a_page_without_the_marks_is_refused():
    with pytest.raises(ValueError, match="needs the lines"):
        renew("no marks", load())


def test_every_key_and_every_pass_is_documented():
    text = markdown(load())

    for section in load().sections.values():
        for name in section.names:
            assert f"`{name}`" in text
    for one in (*load().passes.values(), *load().older_passes.values()):
        assert f"| {one.name} |" in text


def rows_of_table() -> list[tuple[str, Row]]:
    return [(key, row) for key, section in load().sections.items() for row in section.rows]


@pytest.mark.parametrize(
    ("key", "row"), rows_of_table(), ids=lambda part: part if isinstance(part, str) else part.olive[0]
)
def test_a_row_says_one_thing(key: str, row: Row):
    """It goes somewhere, or the code decides, or it is listed with a reason, or noted with a word."""
    assert [row.to is not None, row.code, row.why is not None].count(True) <= 1
    assert row.to or row.why or row.says
    assert not row.fine or row.why, "values that ask for nothing stand beside a reason for those that do"
    assert len(set(row.olive)) == len(row.olive)


@pytest.mark.parametrize("key", list(load().sections))
def test_no_key_has_two_rows_in_a_section(key: str):
    names = [name for row in load().sections[key].rows for name in row.olive]

    assert sorted(names) == sorted(set(names))


@pytest.mark.parametrize(
    ("section", "passes"), [("lora", ("lora", "qlora")), ("qlora", ("qlora",)), ("genai", ("genai",))]
)
def test_what_the_table_maps_to_is_an_option_of_the_pass(section: str, passes: tuple[str, ...]):
    for name in passes:
        options = {field.alias for field in registry.get(name).model_fields.values()}
        for row in load().sections[section].rows:
            assert row.to is None or row.to.partition(".")[0] in options


def test_what_the_table_maps_training_arguments_to_is_an_option_of_training():
    options = {field.alias for field in Training.model_fields.values()}

    assert {row.to for row in load().sections["training_args"].rows if row.to} <= options


def test_counterparts_of_passes_are_installed():
    assert {one.to for one in load().passes.values() if one.to} <= set(registry.names())


def test_importing_loads_nothing_heavy():
    code = (
        "import sys, json; from millwright_runner.olive import convert, to_yaml;"
        f"to_yaml(convert(json.load(open({str(PAGE.parents[1] / 'tests/olive/seed.json')!r}))));"
        "print([m for m in ('torch', 'transformers', 'peft', 'datasets', 'pyarrow', 'boto3', 'onnxruntime') if m in sys.modules])"
    )

    out = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout

    assert out.strip() == "[]"
