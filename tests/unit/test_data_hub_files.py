"""Which files a split is made of, without `datasets`: certain, or left to it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.hub_server import Hub, Repo
from tests.warm import ROOT, ROWS_OF_THE_HUB, WarmProcess

from millwright_runner.data.hub_files import plain_files

PARQUET = [
    "README.md",
    "data/test-00000-of-00001.parquet",
    "data/train-00000-of-00002.parquet",
    "data/train-00001-of-00002.parquet",
]


def readme(configs: str) -> str:
    return f"---\nlicense: mit\nconfigs:\n{configs}\n---\n# Rows\n"


class TestByFileNames:
    def test_a_splits_shards_are_those_with_its_word_in_order(self) -> None:
        assert plain_files(PARQUET, "", None, "train") == PARQUET[2:]
        assert plain_files(PARQUET, "", None, "test") == PARQUET[1:2]

    def test_a_single_file_is_the_train_split(self) -> None:
        assert plain_files(["rows.jsonl", ".gitattributes"], "", None, "train") == ["rows.jsonl"]

    @pytest.mark.parametrize("name", ["dev.csv", "valid.csv", "my_val.csv", "validation/rows.csv"])
    def test_a_split_has_several_spellings(self, name: str) -> None:
        assert plain_files([name, "train.csv"], "", None, "validation") == [name]

    def test_a_word_inside_another_word_is_no_split(self) -> None:
        assert plain_files(["latest.csv", "trainers.csv"], "", None, "test") is None

    @pytest.mark.parametrize(
        ("names", "subset", "split"),
        [
            (["a.jsonl", "b.jsonl"], None, "train"),
            (["rows.jsonl"], None, "test"),
            (PARQUET, "en", "train"),
            (PARQUET, None, "mine"),
            (["train.txt"], None, "train"),
        ],
        ids=["several files", "no such word", "a subset", "a split of one's own", "no rows"],
    )
    def test_what_is_not_clear_is_left_to_datasets(self, names: list[str], subset: str | None, split: str) -> None:
        assert plain_files(names, "", subset, split) is None


class TestByReadme:
    CONFIGS = (
        "- config_name: en\n  data_files:\n  - split: train\n    path: en/*.jsonl\n  - split: test\n    path: [t/a.csv, t/b.csv]\n"
        "- config_name: de\n  data_files: de.jsonl"
    )
    NAMES = ("de.jsonl", "en/1.jsonl", "en/2.jsonl", "t/a.csv", "t/b.csv", "t/c.csv")

    def test_a_subsets_patterns_say_which_files(self) -> None:
        assert plain_files(self.NAMES, readme(self.CONFIGS), "en", "train") == ["en/1.jsonl", "en/2.jsonl"]
        assert plain_files(self.NAMES, readme(self.CONFIGS), "en", "test") == ["t/a.csv", "t/b.csv"]

    def test_one_pattern_for_all_is_the_train_split(self) -> None:
        assert plain_files(self.NAMES, readme(self.CONFIGS), "de", "train") == ["de.jsonl"]

    def test_the_default_subset_is_taken_where_none_is_named(self) -> None:
        configs = self.CONFIGS + "\n  default: true"

        assert plain_files(self.NAMES, readme(configs), None, "train") == ["de.jsonl"]

    def test_without_a_default_several_subsets_are_left_to_datasets(self) -> None:
        assert plain_files(self.NAMES, readme(self.CONFIGS), None, "train") is None

    def test_two_stars_reach_into_folders(self) -> None:
        configs = "- config_name: default\n  data_files:\n  - split: train\n    path: '**/*.jsonl'"

        assert plain_files(["en/a/1.jsonl", "t.csv"], readme(configs), None, "train") == ["en/a/1.jsonl"]

    @pytest.mark.parametrize("text", ["---\n: {\n---\n", "---\nconfigs: 3\n---\n", "no head at all"])
    def test_a_readme_that_says_nothing_leaves_it_to_file_names(self, text: str) -> None:
        assert plain_files(["train.csv"], text, None, "train") == ["train.csv"]


class TestInTheLightImage:
    def test_columns_are_checked_without_datasets_and_the_digest_is_the_same(self, tmp_path: Path) -> None:
        hub = Hub()
        rows = b'{"text": "one"}\n{"text": "two"}\n'
        hub.repos["datasets/team/rows"] = Repo({"train.jsonl": rows})
        entry = {"name": "train", "source": {"huggingFace": {"repo": "team/rows"}}, "text": {}}
        environment = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "hf"), "PATH": "/usr/bin:/bin"}

        def look(do: str) -> dict[str, Any]:
            (tmp_path / do).mkdir()
            arguments = [str(tmp_path / do), json.dumps([entry]), do]
            process = WarmProcess("tests.hub_look", arguments, environment, ROOT, loaded=ROWS_OF_THE_HUB)
            out, err = process.communicate(timeout=120)
            assert process.returncode == 0, err
            return dict(json.loads(out.splitlines()[-1])[0])

        light, whole = look("light"), look("sample")
        hub.stop()

        assert light["rows"] == [{"text": "one"}, {"text": "two"}]
        assert (light["datasets"], whole["datasets"]) == (False, True)
        assert light["digest"] == whole["digest"]
