"""How tokens lie in files: windows, reordering, and readers that must agree with plain Python on random input."""

from __future__ import annotations

import csv
import io
import json
import random
from array import array
from pathlib import Path
from typing import Any

import pytest
from tests.rows import entry, json_lines, write

from millwright_api.v1alpha1 import TextFormat
from millwright_runner.data import find_data, json_rows
from millwright_runner.data.csv_rows import read_csv
from millwright_runner.data.encoding import Row
from millwright_runner.data.json_rows import read_json, read_json_lines
from millwright_runner.data.layout import RowWriter, count_rows, cut_windows, shuffle_index, shuffle_rows
from millwright_runner.data.reading import DataReader
from millwright_runner.data.sequences import Counts, PackedSequences, permutation

JOINER = Row([7, 8], bytearray([0, 1]), True)


def laid_down(folder: Path, rows: list[Row], *, masked: bool = True) -> Path:
    folder.mkdir()
    with RowWriter(folder, masked=masked) as writer:
        writer.add(rows[: len(rows) // 2], JOINER)
        writer.add(rows[len(rows) // 2 :], JOINER)
    return folder


def random_rows(seed: int, count: int = 40) -> list[Row]:
    choice = random.Random(seed)
    rows = []
    for _ in range(count):
        length = choice.choice([0, 1, 2, 5, 11])
        trained = bytearray(choice.choice([0, 0, 1]) for _ in range(length))
        rows.append(Row([choice.randrange(100, 2**32) for _ in range(length)], trained, choice.random() < 0.3))
    return rows


def stream_of(rows: list[Row]) -> tuple[list[int], list[int]]:
    """Tokens and marks of rows with the joiner between them, in the plainest way."""
    ids: list[int] = []
    trained: list[int] = []
    for number, row in enumerate(rows):
        ids += row.ids
        trained += list(row.trained or b"")
        if not row.ended and number < len(rows) - 1:
            ids += JOINER.ids
            trained += list(JOINER.trained or b"")
    return ids, trained


def sequences_of(folder: Path) -> list[dict[str, list[int]]]:
    counts = Counts(sequences=count_rows(folder))
    return list(PackedSequences(folder, TextFormat(), counts))


class TestWindows:
    @pytest.mark.parametrize("seed", range(8))
    @pytest.mark.parametrize(("length", "stride"), [(2, 1), (2, 2), (7, 3), (10, 10), (50, 49), (1000, 1000)])
    def test_they_are_cut_as_the_definition_says(self, tmp_path: Path, seed: int, length: int, stride: int) -> None:
        rows = random_rows(seed)
        ids, trained = stream_of(rows)

        counts = cut_windows(laid_down(tmp_path / "x", rows), length, stride, Counts())

        expected, left_out, start = [], 0, 0
        while True:
            window = slice(start, min(start + length, len(ids)))
            if 1 in trained[window][1:]:
                expected.append({
                    "input_ids": ids[window],
                    "labels": [i if t else -100 for i, t in zip(ids[window], trained[window], strict=True)],
                })  # fmt: skip
            else:
                left_out += 1
            if start + length >= len(ids):
                break
            start += stride
        assert sequences_of(tmp_path / "x") == expected
        assert (counts.sequences, counts.untrained) == (len(expected), left_out)
        assert counts.tokens == sum(len(s["input_ids"]) for s in expected)
        assert counts.longest == max((len(s["input_ids"]) for s in expected), default=0)

    def test_without_marks_only_a_single_token_trains_nothing(self, tmp_path: Path) -> None:
        rows = [Row([1, 2, 3, 4, 5], None, True)]

        counts = cut_windows(laid_down(tmp_path / "x", rows, masked=False), 2, 2, Counts(rows=1))

        assert [s["input_ids"] for s in sequences_of(tmp_path / "x")] == [[1, 2], [3, 4]]
        assert counts == Counts(rows=1, untrained=1, sequences=2, tokens=4, longest=2)

    def test_of_nothing_there_are_none(self, tmp_path: Path) -> None:
        counts = cut_windows(laid_down(tmp_path / "x", [Row([], bytearray(), True)]), 10, 10, Counts(rows=1))

        assert counts == Counts(rows=1, untrained=1)
        assert sequences_of(tmp_path / "x") == []


class TestReordering:
    @pytest.mark.parametrize("seed", range(8))
    def test_rows_are_rewritten_with_the_joiners_that_follow_them(self, tmp_path: Path, seed: int) -> None:
        rows = random_rows(seed)
        folder = laid_down(tmp_path / "x", rows)

        shuffle_rows(folder, seed)

        ids, trained = stream_of([rows[number] for number in permutation(len(rows), seed)])
        cut_windows(folder, 10_000, 10_000, Counts())
        assert sequences_of(folder)[0]["input_ids"] == ids
        assert [int(label != -100) for label in sequences_of(folder)[0]["labels"]] == trained

    @pytest.mark.parametrize("seed", range(4))
    def test_an_index_is_reordered_without_its_tokens(self, tmp_path: Path, seed: int) -> None:
        rows = random_rows(seed)
        folder = laid_down(tmp_path / "x", rows)
        before = (folder / "tokens").read_bytes()

        shuffle_index(folder, seed)

        assert [s["input_ids"] for s in sequences_of(folder)] == [
            rows[number].ids for number in permutation(len(rows), seed)
        ]
        assert (folder / "tokens").read_bytes() == before

    def test_nothing_is_left_beside_the_files(self, tmp_path: Path) -> None:
        folder = laid_down(tmp_path / "x", random_rows(0))
        shuffle_rows(folder, 1)
        shuffle_index(folder, 1)

        assert sorted(path.name for path in folder.iterdir()) == ["index", "tokens", "trained"]

    def test_files_are_little_endian_numbers_of_the_width_that_is_documented(self, tmp_path: Path) -> None:
        folder = laid_down(tmp_path / "x", [Row([1, 2**32 - 1], bytearray([0, 1]), True)])

        assert (folder / "tokens").read_bytes() == b"\1\0\0\0\xff\xff\xff\xff"
        assert (folder / "index").read_bytes() == array("Q", [0, 2]).tobytes()
        assert (folder / "trained").read_bytes() == b"\0\1"


class TestReadersAgreeWithPython:
    def value(self, choice: random.Random, depth: int = 0) -> Any:
        kinds = ["text", "number", "null", "bool"] + (["list", "object"] if depth < 3 else [])
        match choice.choice(kinds):
            case "text":
                return "".join(choice.choices('ab "\\\n\t{}[],:ü🎉\u2028\x01', k=choice.randint(0, 12)))
            case "number":
                return choice.choice([0, -1, 10**20, 1.5e-7, -2.25])
            case "null":
                return None
            case "bool":
                return choice.random() < 0.5
            case "list":
                return [self.value(choice, depth + 1) for _ in range(choice.randint(0, 3))]
            case _:
                return {self.key(choice): self.value(choice, depth + 1) for _ in range(choice.randint(0, 3))}

    def key(self, choice: random.Random) -> str:
        return "".join(choice.choices('k"{ü', k=3))

    @pytest.mark.parametrize("seed", range(10))
    @pytest.mark.parametrize("window", [1, 3, 64])
    def test_json_in_any_layout(self, seed: int, window: int, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(json_rows, "CHUNK", window)
        choice = random.Random(seed)
        rows = [{self.key(choice): self.value(choice) for _ in range(3)} for _ in range(12)]
        text = json.dumps(rows, ensure_ascii=choice.random() < 0.5, indent=choice.choice([None, 0, 2]))

        found = list(read_json(io.BytesIO(text.encode()), lambda line: f"line {line}"))

        assert [row for _, row in found] == rows == json.loads(text)
        for line, _ in found:
            assert "{" in text.split("\n")[line - 1]

    @pytest.mark.parametrize("seed", range(10))
    def test_json_lines_of_any_content(self, seed: int) -> None:
        choice = random.Random(seed)
        rows = [{self.key(choice): self.value(choice) for _ in range(3)} for _ in range(12)]

        assert list(read_json_lines(io.BytesIO(json_lines(rows)), str)) == list(enumerate(rows, 1))

    @pytest.mark.parametrize("seed", range(10))
    @pytest.mark.parametrize("end", ["\n", "\r\n"])
    def test_csv_of_any_content(self, seed: int, end: str) -> None:
        choice = random.Random(seed)
        rows = [
            {name: "".join(choice.choices('ab ",\nü🎉;', k=choice.randint(1, 9))) for name in "xyz"} for _ in range(12)
        ]
        text = io.StringIO()
        writer = csv.DictWriter(text, ["x", "y", "z"], lineterminator=end)
        writer.writeheader()
        writer.writerows(rows)

        found = list(read_csv(io.BytesIO(text.getvalue().encode()), str))

        assert [row for _, row in found] == rows


class TestReading:
    def test_places_limit_and_progress(self, tmp_path: Path) -> None:
        write(tmp_path / "rows.jsonl", json_lines([{"text": "x" * 100}] * 2000))
        reader = DataReader(find_data(entry(limit=1500), tmp_path, tmp_path / "home"))
        before = reader.done

        rows = list(reader)

        assert len(rows) == 1500
        assert rows[0][0] == "rows.jsonl, line 1"
        assert before == 0 < reader.done <= reader.total == (tmp_path / "rows.jsonl").stat().st_size

    def test_a_gzipped_files_progress_counts_compressed_bytes(self, tmp_path: Path) -> None:
        write(tmp_path / "rows.jsonl.gz", json_lines([{"text": "x" * 100}] * 2000))
        reader = DataReader(find_data(entry("rows.jsonl.gz"), tmp_path, tmp_path / "home"))

        assert sum(1 for _ in reader) == 2000
        assert reader.done == reader.total == (tmp_path / "rows.jsonl.gz").stat().st_size
