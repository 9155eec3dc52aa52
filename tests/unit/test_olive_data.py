"""data_configs → spec.data: files and repositories, text and conversations, strategies, limits."""

from __future__ import annotations

from typing import Any

import pytest
from tests.olive.samples import lines, lora, note_on, rows, workflow

from millwright_runner.olive import Imported, convert

LOAD, WORDS = "data_configs[0].load_dataset_config", "data_configs[0].pre_process_data_config"


def converted(
    load: dict[str, Any] | None = None, words: dict[str, Any] | None = None, **more: Any
) -> tuple[Imported, dict[str, Any]]:
    """Returns what the import gives, and the manifest's data set."""
    found = convert(workflow(data_configs=[rows(load, words, **more)]))
    return found, found.manifest["spec"]["data"][0]


@pytest.mark.parametrize(("builder", "file"), [
    ("json", "a.json"), ("json", "a.jsonl"), ("json", "a.jsonl.gz"), ("csv", "a.csv"), ("parquet", "a.parquet"),
])  # fmt: skip
def test_a_file_is_read_by_its_path(builder: str, file: str):
    found, data = converted({"data_name": builder, "data_files": file, "split": "train"})

    assert data["source"] == {"path": file}
    assert found.unmapped == []


@pytest.mark.parametrize("files", ["a.jsonl", ["a.jsonl"], {"train": "a.jsonl"}, {"train": ["a.jsonl"]}])
def test_one_file_may_be_written_in_several_ways(files: Any):
    found, data = converted({"data_name": "json", "data_files": files, "split": "train"})

    assert data["source"] == {"path": "a.jsonl"}
    assert found.unmapped == []


@pytest.mark.parametrize(
    "files", [["a.jsonl", "b.jsonl"], "parts/*.jsonl", {"train": ["a.jsonl", "b.jsonl"]}, "https://example.org/a.jsonl"]
)
def test_several_files_are_listed_and_keep_the_workflow_from_running(files: Any):
    found, _ = converted({"data_name": "json", "data_files": files, "split": "train"})

    (line,) = found.unmapped
    assert line.path.startswith(f"{LOAD}.data_files")
    assert line.blocks
    assert "join the files into one" in line.why


def test_of_files_by_split_the_one_of_the_split_is_read():
    found, data = converted(
        {"data_name": "json", "data_files": {"train": "a.jsonl", "test": "b.jsonl"}, "split": "test"}
    )

    assert data["source"] == {"path": "b.jsonl"}
    assert lines(found) == {f"{LOAD}.data_files.train": False}


def test_a_split_without_a_file_is_listed():
    found, _ = converted({"data_name": "json", "data_files": {"train": "a.jsonl"}, "split": "validation"})

    assert lines(found) == {f"{LOAD}.data_files.train": True}


@pytest.mark.parametrize("file", ["a.txt", "a", "a.csv"])
def test_a_file_whose_suffix_does_not_tell_its_form_is_listed(file: str):
    found, _ = converted({"data_name": "json", "data_files": file, "split": "train"})

    assert lines(found) == {f"{LOAD}.data_files": True}
    assert "rename it" in found.unmapped[0].why


def test_the_first_rows_of_a_file_are_a_limit():
    found, data = converted({"data_name": "json", "data_files": "a.jsonl", "split": "train[:200]"})

    assert data["limit"] == 200
    assert found.unmapped == []


@pytest.mark.parametrize("split", ["train[:70%]", "train[10:20]", "validation", "train+test"])
def test_another_slice_of_a_file_is_listed(split: str):
    found, _ = converted({"data_name": "json", "data_files": "a.jsonl", "split": split})

    assert lines(found) == {f"{LOAD}.split": True}


def test_the_folders_of_data_come_before_the_file():
    config = workflow(
        data_root="/sets",
        data_configs=[rows({"data_name": "json", "data_dir": "emotion", "data_files": "a.jsonl", "split": "train"})],
    )

    found = convert(config)

    assert found.manifest["spec"]["data"][0]["source"] == {"path": "/sets/emotion/a.jsonl"}
    assert found.unmapped == []


def test_a_repository_of_the_hub_keeps_its_subset_split_and_revision():
    load = {"data_name": "acme/phrases", "subset": "en", "split": "train[:10%]", "revision": "v2"}

    found, data = converted(load)

    assert data["source"] == {
        "huggingFace": {"repo": "acme/phrases", "subset": "en", "split": "train[:10%]", "revision": "v2"}
    }
    assert found.unmapped == []


def test_olives_default_split_is_written_out():
    found, data = converted({"data_name": "acme/phrases"})

    assert data["source"]["huggingFace"]["split"] == "validation"
    assert "default split" in note_on(found, f"{LOAD}.data_name")


@pytest.mark.parametrize(("load", "path"), [
    ({"data_name": "acme/phrases", "col_filters": {"language": "Python"}}, "col_filters.language"),
    ({"data_name": "acme/phrases", "data_files": "x.json"}, "data_files"),
    ({"data_name": "./local_script.py"}, "data_name"),
    ({"data_name": "text", "data_files": "a.txt"}, "data_name"),
    ({"type": "load_mine", "data_name": "acme/phrases"}, "type"),
])  # fmt: skip
def test_a_way_of_loading_without_a_counterpart_blocks(load: dict[str, Any], path: str):
    found, _ = converted(load)

    assert lines(found)[f"{LOAD}.{path}"] is True


@pytest.mark.parametrize(("words", "text"), [
    ({}, {"columns": ["text"]}),
    ({"text_cols": "phrase"}, {"columns": ["phrase"]}),
    ({"text_cols": ["a", "b"]}, {"columns": ["a", "b"]}),
    ({"text_template": "{a} and {b}"}, {"columns": ["a", "b"], "template": "{a} and {b}"}),
    ({"text_template": "{a} {a} {{x}}"}, {"columns": ["a"], "template": "{a} {a} {{x}}"}),
    ({"text_template": "{b}{a}", "text_cols": ["a", "b"]}, {"columns": ["a", "b"], "template": "{b}{a}"}),
])  # fmt: skip
def test_columns_and_template(words: dict[str, Any], text: dict[str, Any]):
    found, data = converted(words=words)

    assert data["text"] == {**text, "strategy": "join", "maxLength": 512}
    assert found.unmapped == []


def test_columns_that_the_template_does_not_use_are_not_read_as_in_olive():
    found, data = converted(words={"text_template": "{a}", "text_cols": ["a", "unused"]})

    assert data["text"]["columns"] == ["a"]
    assert "no effect beside text_template" in note_on(found, f"{WORDS}.text_cols")


@pytest.mark.parametrize("template", ["{a:>10}", "{a!r}", "{a[0]}", "{a.b}", "{}", "no column"])
def test_a_template_with_more_than_columns_is_listed(template: str):
    found, data = converted(words={"text_template": template})

    assert lines(found) == {f"{WORDS}.text_template": True}
    assert "template" not in data["text"]


@pytest.mark.parametrize(("words", "options"), [
    ({"strategy": "join"}, {"strategy": "join"}),
    ({"strategy": "line-by-line"}, {"strategy": "line-by-line"}),
    ({"strategy": "join-sliding-window", "stride": 128}, {"strategy": "join", "stride": 128}),
    ({"strategy": "line-by-line-random", "random_seed": 7}, {"strategy": "line-by-line", "shuffleSeed": 7}),
    ({"strategy": "line-by-line-random"}, {"strategy": "line-by-line", "shuffleSeed": 0}),
    ({"strategy": "join-random", "random_seed": 7}, {"strategy": "join", "shuffleSeed": 7}),
    ({"strategy": None, "corpus_strategy": "join"}, {"strategy": "join"}),
    ({"strategy": None, "corpus_strategy": "line-by-line"}, {"strategy": "line-by-line"}),
])  # fmt: skip
def test_a_strategy(words: dict[str, Any], options: dict[str, Any]):
    found, data = converted(words=words)

    assert data["text"] == {"columns": ["text"], **options, "maxLength": 512}
    assert found.unmapped == []


@pytest.mark.parametrize(
    ("words", "strategy"),
    [({"strategy": None}, "join"), ({"strategy": None, "dataset_type": "corpus"}, "line-by-line")],
)
def test_the_default_strategy_is_that_of_the_format(words: dict[str, Any], strategy: str):
    found, data = converted(words=words)

    assert data["text"]["strategy"] == strategy
    assert any(f"strategy {strategy}" in note.text for note in found.notes)


@pytest.mark.parametrize(("words", "limit"), [
    ({"strategy": "line-by-line", "max_samples": 100}, 100),
    ({"strategy": "line-by-line-random", "max_samples": 100, "random_seed": 1}, 100),
    ({"strategy": "join"}, None),
])  # fmt: skip
def test_rows_are_limited_line_by_line(words: dict[str, Any], limit: int | None):
    _, data = converted(words=words)

    assert data.get("limit") == limit


def test_the_smaller_of_two_limits_counts():
    _, data = converted(
        {"data_name": "json", "data_files": "a.jsonl", "split": "train[:50]"},
        {"strategy": "line-by-line", "max_samples": 100},
    )

    assert data["limit"] == 50


def test_a_number_of_windows_is_listed():
    found, _ = converted(words={"strategy": "join", "max_samples": 100})

    assert lines(found) == {f"{WORDS}.max_samples": True}


@pytest.mark.parametrize(("words", "padding"), [
    ({"strategy": "line-by-line", "pad_to_max_len": True}, "maxLength"),
    ({"strategy": "line-by-line", "pad_to_max_len": False}, "longest"),
    ({"strategy": "line-by-line"}, None),
    ({"strategy": "join", "pad_to_max_len": True}, None),
])  # fmt: skip
def test_padding(words: dict[str, Any], padding: str | None):
    _, data = converted(words=words)

    assert data["text"].get("padding") == padding


def test_padding_on_the_left():
    assert converted(words={"padding_side": "left"})[1]["text"]["paddingSide"] == "left"


@pytest.mark.parametrize(("words", "joiner"), [
    ({"add_special_tokens": False}, "\n\n"),
    ({"add_special_tokens": False, "joiner": " | "}, " | "),
    ({"add_special_tokens": False, "dataset_type": "corpus"}, ""),
    ({"add_special_tokens": True}, None),
    ({}, None),
])  # fmt: skip
def test_what_stands_between_rows(words: dict[str, Any], joiner: str | None):
    found, data = converted(words=words)

    assert data["text"].get("joiner") == joiner
    assert found.unmapped == []


def test_a_joiner_beside_special_tokens_is_listed():
    found, data = converted(words={"joiner": " | "})

    assert "joiner" not in data["text"]
    assert lines(found) == {f"{WORDS}.joiner": False}


@pytest.mark.parametrize(("words", "path", "blocks"), [
    ({"text_formatting_func": "mine"}, "text_formatting_func", True),
    ({"user_script": "mine.py"}, "user_script", True),
    ({"dataset_type": "pair", "strategy": None}, "dataset_type", True),
    ({"strategy": "line-by-line", "drop_short_sequences": True}, "drop_short_sequences", True),
    ({"strategy": "line-by-line", "add_special_tokens": False}, "add_special_tokens", True),
    ({"task": "text-classification"}, "task", True),
    ({"type": "image_resizing"}, "type", True),
    ({"model_name": "acme/other"}, "model_name", False),
])  # fmt: skip
def test_a_way_of_making_text_without_a_counterpart_is_listed(words: dict[str, Any], path: str, blocks: bool):
    found, _ = converted(words=words)

    assert lines(found) == {f"{WORDS}.{path}": blocks}


@pytest.mark.parametrize("words", [
    {"use_attention_mask": False}, {"drop_short_sequences": True}, {"stride": 5}, {"random_seed": 3}, {"random_retries": 10},
    {"processing_batch_size": 8}, {"task": "text-generation"}, {"trust_remote_code": False}, {"message_col": "m"}, {"chat_template": False},
    {"strategy": "line-by-line", "joiner": "x"},
])  # fmt: skip
def test_what_asks_for_nothing_is_noted(words: dict[str, Any]):
    found, _ = converted(words=words)

    assert found.unmapped == []
    assert note_on(found, f"{WORDS}.{list(words)[-1]}")


def test_conversations_go_through_the_tokenizers_own_template():
    found, data = converted(
        words={"chat_template": True, "message_col": "turns", "strategy": "line-by-line", "text_cols": ["x"]}
    )

    assert data["chat"] == {"column": "turns", "strategy": "line-by-line", "maxLength": 512}
    assert "text" not in data
    assert found.unmapped == []


def test_a_template_of_ones_own_for_conversations_is_listed():
    found, data = converted(words={"chat_template": "{% for m in messages %}{{ m }}{% endfor %}"})

    assert "chat" in data
    assert lines(found) == {f"{WORDS}.chat_template": True}


def test_code_of_the_tokenizer_is_trusted_where_the_workflow_says_so():
    found, _ = converted(words={"trust_remote_code": True})

    assert found.manifest["spec"]["model"]["trustRemoteCode"] is True


def test_names_become_dns_labels_and_stay_apart():
    config = workflow(
        data_configs=[rows(), {**rows(), "name": "Train_Set"}, {**rows(), "name": "train.set"}],
        passes={"lora": lora(train_data_config="Train_Set", eval_data_config="train.set")},
    )

    found = convert(config)

    spec = found.manifest["spec"]
    assert [data["name"] for data in spec["data"]] == ["train-set", "train-set-2"]
    assert (spec["passes"][0]["lora"]["trainData"], spec["passes"][0]["lora"]["evalData"]) == (
        "train-set",
        "train-set-2",
    )


def test_a_data_set_that_two_passes_name_is_there_once():
    config = workflow(passes={"one": lora(), "merge": {"type": "MergeAdapterWeights"}, "two": lora()})

    assert len(convert(config).manifest["spec"]["data"]) == 1


def test_data_sets_by_name_in_a_mapping():
    data = rows()
    del data["name"]

    found = convert(workflow(data_configs={"train": data}))

    assert found.manifest["spec"]["data"][0]["name"] == "train"
    assert found.unmapped == []


def test_a_data_set_inside_a_pass():
    found = convert(workflow(data_configs=None, passes={"lora": lora(train_data_config=rows())}))

    assert found.manifest["spec"]["data"][0]["name"] == "train"
    assert found.manifest["spec"]["passes"][0]["lora"]["trainData"] == "train"
    assert found.unmapped == []


def test_a_data_set_that_no_pass_names_is_listed_and_not_converted():
    found = convert(workflow(data_configs=[rows(), {"name": "dummy", "type": "DummyDataContainer"}]))

    assert len(found.manifest["spec"]["data"]) == 1
    assert lines(found) == {"data_configs[1].name": False, "data_configs[1].type": False}


def test_a_container_that_reads_no_text_blocks():
    found = convert(workflow(data_configs=[{**rows(), "type": "DummyDataContainer"}]))

    assert lines(found) == {"data_configs[0].type": True}


def test_what_comes_after_the_text_is_of_evaluation():
    config = workflow(
        data_configs=[
            rows(post_process_data_config={"type": "text_generation_post_process"}, dataloader_config={"batch_size": 4})
        ]
    )

    assert lines(convert(config)) == {
        "data_configs[0].post_process_data_config.type": False,
        "data_configs[0].dataloader_config.batch_size": False,
    }
