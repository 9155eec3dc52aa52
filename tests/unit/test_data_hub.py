"""Datasets of the Hugging Face hub, against a small hub on loopback. Each look is a process of its own that imports the
client and `datasets` anew: they read their settings once, when they are imported, and whether they are is tested too."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
from tests.hub_server import COMMIT, TOKEN, Hub, Repo
from tests.rows import json_lines
from tests.tiny import make_tokenizer
from tests.warm import ROOT, ROWS_OF_THE_HUB, WarmProcess

ROWS = [{"text": f"row number {n}", "more": n} for n in range(10)]
OTHERS = [{"text": f"other {n}", "more": n} for n in range(4)]


@dataclass
class Place:
    """A hub, and a machine that looks at it."""

    hub: Hub
    base: Path

    def look(
        self, *, do: str = "find", columns: list[str] | None = None, env: dict[str, str] | None = None, **source: Any
    ) -> dict[str, Any]:
        return self.look_at_all([source], do=do, columns=columns, env=env)[0]

    def look_at_all(
        self,
        sources: list[dict[str, Any]],
        *,
        do: str = "find",
        columns: list[str] | None = None,
        env: dict[str, str] | None = None,
    ) -> list[dict[str, Any]]:
        text = {"strategy": "line-by-line", "columns": columns or ["text"]}
        data = [{"name": "train", "source": {"huggingFace": source}, "text": text} for source in sources]
        settings = {
            "HF_HUB_OFFLINE": "0",
            "HF_ENDPOINT": self.hub.url,
            "HF_HOME": str(self.base / "hf"),
            "OMP_NUM_THREADS": "1",
            **(env or {}),
        }
        arguments = [str(self.base), json.dumps(data), do]
        process = WarmProcess("tests.hub_look", arguments, {**os.environ, **settings}, ROOT, loaded=ROWS_OF_THE_HUB)
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
        assert TOKEN not in out + err
        told = list(json.loads(out.splitlines()[-1]))
        assert do == "find" or env or all("texts" in one for one in told), told
        return told


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    parquet = tmp_path_factory.mktemp("parquet") / "x.parquet"
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(ROWS), parquet)
    configs = (
        "---\nconfigs:\n- config_name: default\n  data_files:\n  - split: train\n    path: data/part-*.jsonl\n"
        "- config_name: small\n  data_files: few.json\n---\n# Rows\n"
    )
    hub = Hub({
        "datasets/team/plain": Repo({"data/train-0.jsonl": json_lines(ROWS), "data/train-1.jsonl": json_lines(OTHERS),
                                     "data/test.jsonl": json_lines(OTHERS)}),
        "datasets/team/parquet": Repo({"train.parquet": parquet.read_bytes()}),
        "datasets/team/csv": Repo({"train.csv": b"text,more\n" + b"".join(b"%s,1\n" % r["text"].encode() for r in ROWS)}),
        "datasets/team/subsets": Repo({"README.md": configs.encode(), "data/part-0.jsonl": json_lines(ROWS),
                                       "few.json": json.dumps(OTHERS).encode()}),
        "datasets/team/semicolons": Repo({"README.md": b"---\nconfigs:\n- config_name: default\n  data_files: a.csv\n  sep: ;\n---\n",
                                          "a.csv": b"text;more\nx;1\n"}),
        "datasets/team/pictures": Repo({"train/a.png": b"\x89PNG", "train/b.png": b"\x89PNG"}),
        "datasets/team/private": Repo({"train.jsonl": json_lines(ROWS)}, private=True),
        "datasets/team/gated": Repo({"train.jsonl": json_lines(ROWS)}, gated=True),
    })  # fmt: skip
    yield hub
    hub.stop()


@pytest.fixture
def place(hub: Hub, tmp_path: Path) -> Iterator[Place]:
    make_tokenizer(tmp_path / "tokenizer")
    hub.asked.clear()
    yield Place(hub, tmp_path)
    hub.failing = None


def texts(rows: list[dict[str, Any]]) -> list[str]:
    return [str(row["text"]) for row in rows]


SPLITS: dict[tuple[str, str], list[dict[str, Any]]] = {
    ("team/plain", "train"): ROWS + OTHERS, ("team/parquet", "train"): ROWS, ("team/csv", "train"): ROWS,
    ("team/plain", "test"): OTHERS, ("team/plain", "train[2:5]"): ROWS[2:5], ("team/plain", "train[-5:]"): [ROWS[9], *OTHERS],
    ("team/plain", "train[:50%]"): ROWS[:7], ("team/parquet", "train[50%:]"): ROWS[5:],
}  # fmt: skip
"""Repository and split → the rows that it is; each is read by the same process."""


@pytest.fixture(scope="module")
def read(hub: Hub, tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], dict[str, Any]]:
    """What is told of all that the table has, and of a subset."""
    place = Place(hub, tmp_path_factory.mktemp("read"))
    make_tokenizer(place.base / "tokenizer")
    sources = [{"repo": repo, "split": split} for repo, split in SPLITS]
    told = place.look_at_all([*sources, {"repo": "team/subsets", "subset": "small"}], do="pack")
    return dict(zip([*SPLITS, ("team/subsets", "small")], told, strict=True))


class TestReading:
    @pytest.mark.parametrize(("repo", "split"), SPLITS)
    def test_a_split_or_a_slice_is_all_rows_of_its_files_in_order(
        self, read: dict[tuple[str, str], dict[str, Any]], repo: str, split: str
    ) -> None:
        told = read[repo, split]

        assert told["texts"] == texts(SPLITS[repo, split])
        assert told["where"] == f"hf://datasets/{repo}"
        assert not told["torch"]

    def test_a_subset_is_other_files(self, read: dict[tuple[str, str], dict[str, Any]]) -> None:
        assert read["team/subsets", "small"]["texts"] == texts(OTHERS)

    def test_a_look_fetches_no_whole_file(self, place: Place) -> None:
        place.look(repo="team/plain")

        fetched = [line for line in place.hub.asked if "train-" in line and line.startswith("GET")]
        assert fetched
        assert all("bytes=" in line for line in fetched)


class TestIdentity:
    def test_the_digest_names_the_commit_however_it_was_written_and_the_split(self, place: Place) -> None:
        alike = [{}, {"revision": "main"}, {"revision": COMMIT}]
        others = [{"split": "test"}, {"split": "train[:3]"}]

        told = place.look_at_all([{"repo": "team/plain", **more} for more in (*alike, *others)])

        digests = [one["digest"] for one in told]
        assert len(set(digests[:3])) == 1
        assert len(set(digests[2:])) == 3


class TestAgain:
    def test_a_second_look_does_without_datasets(self, place: Place) -> None:
        first, second = place.look(repo="team/plain"), place.look(repo="team/plain")

        assert (first.pop("datasets"), second.pop("datasets")) == (True, False)
        assert first == second

    def test_what_was_packed_once_needs_no_network(self, place: Place) -> None:
        online = place.look(do="pack", repo="team/plain")
        place.hub.asked.clear()

        offline = place.look(do="pack", repo="team/plain", env={"HF_HUB_OFFLINE": "1"})

        assert offline["texts"] == online["texts"]
        assert offline["digest"] == online["digest"]
        assert place.hub.asked == []

    def test_offline_what_was_never_fetched_is_refused_without_asking(self, place: Place) -> None:
        told = place.look(repo="team/plain", env={"HF_HUB_OFFLINE": "1"})

        assert (told["error"], told["exit"]) == ("DataNotFound", 2)
        assert "HF_HUB_OFFLINE" in told["message"]
        assert place.hub.asked == []

    def test_offline_what_was_only_looked_at_is_refused(self, place: Place) -> None:
        place.look(repo="team/plain")

        told = place.look(do="pack", repo="team/plain", env={"HF_HUB_OFFLINE": "1"})

        assert told["error"] == "DataNotFound"
        assert "not all of it was downloaded" in told["message"]


class TestRefusals:
    def test_what_cannot_be_read_is_said_in_one_message(self, place: Place) -> None:
        expected = [
            ({"repo": "team/plian"}, "DataNotFound", "no such repository"),
            ({"repo": "no name at all"}, "DataNotFound", "no repository's name"),
            ({"repo": "team/plain", "revision": "v9"}, "DataNotFound", "no such revision"),
            ({"repo": "team/plain", "split": "tset"}, "DataNotFound", "no split 'tset' (did you mean 'test'?)"),
            ({"repo": "team/plain", "split": "test["}, "InvalidManifest", "no split"),
            ({"repo": "team/subsets", "subset": "smal"}, "DataNotFound", "no subset 'smal' (did you mean 'small'?)"),
            ({"repo": "team/semicolons"}, "InvalidData", "sets sep to ';'"),
            ({"repo": "team/pictures"}, "InvalidData", "imagefolder"),
            ({"repo": "team/private"}, "DataNotFound", "HF_TOKEN"),
            ({"repo": "team/gated"}, "AccessDenied", "gated"),
        ]

        told = place.look_at_all([source for source, _, _ in expected], env={"HF_TOKEN": ""})

        for one, (source, reason, found) in zip(told, expected, strict=True):
            assert (one["error"], one["exit"]) == (reason, 2), source
            assert found in one["message"]

    def test_a_token_of_the_environment_opens_it(self, place: Place) -> None:
        told = place.look_at_all([{"repo": "team/private"}, {"repo": "team/gated"}], do="pack", env={"HF_TOKEN": TOKEN})

        assert [one["texts"] for one in told] == [texts(ROWS)] * 2

    def test_a_missing_column_is_found_at_first_look(self, place: Place) -> None:
        told = place.look(repo="team/parquet", columns=["txt"])

        assert told["error"] == "InvalidData"
        assert "no column 'txt'; the columns are text, more (did you mean 'text'?)" in told["message"]

    def test_a_hub_that_is_not_there_is_unreachable(self, place: Place) -> None:
        told = place.look(repo="team/plain", env={"HF_ENDPOINT": "http://127.0.0.1:1"})

        assert (told["error"], told["exit"]) == ("StoreUnreachable", 2)
        assert "http://127.0.0.1:1" in told["message"]

    def test_a_hub_that_fails_may_be_tried_again(self, place: Place) -> None:
        place.hub.failing = 503

        told = place.look(repo="team/plain")

        assert (told["error"], told["exit"]) == ("StoreUnavailable", 75)
        assert "503" in told["message"]
