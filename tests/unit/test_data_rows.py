"""Rows of files: each format gives the same rows, and what is wrong is named by file and line."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest
from tests.rows import entry, json_lines, write

from millwright_api.errors import AccessDenied, DataNotFound, InvalidData
from millwright_runner.data import find_data, json_rows
from millwright_runner.data.rows import FORMATS, RowReader, format_of, look

ROWS = [
    {"phrase": 'I wept,\nthen "slept"', "tone": "sad"},
    {"phrase": "Hä? 🎉 {x}", "tone": "joy"},
    {"phrase": "", "tone": "fear"},
]
CSV = 'phrase,tone\r\n"I wept,\nthen ""slept""",sad\r\nHä? 🎉 {x},joy\r\n"",fear\r\n'


def read(path: Path, columns: tuple[str, ...] = ("phrase", "tone")) -> list[tuple[int, dict[str, object]]]:
    return list(RowReader(look(path, path.name), columns))


def refused(path: Path, content: bytes | str) -> InvalidData:
    write(path, content)
    with pytest.raises(InvalidData) as caught:
        read(path)
    return caught.value


class TestFormats:
    @pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz", "a.JSONL"])
    def test_json_lines_give_their_rows_with_line_numbers(self, tmp_path: Path, name: str) -> None:
        assert read(write(tmp_path / name, json_lines(ROWS))) == list(enumerate(ROWS, 1))

    def test_a_json_array_gives_the_same_rows_with_the_lines_they_start_on(self, tmp_path: Path) -> None:
        path = write(tmp_path / "a.json", json.dumps(ROWS, indent=1))

        assert read(path) == [(2, ROWS[0]), (6, ROWS[1]), (10, ROWS[2])]

    @pytest.mark.parametrize("separator", ["\n", " ", "\n\n", ""])
    def test_a_json_file_may_hold_objects_one_after_the_other(self, tmp_path: Path, separator: str) -> None:
        path = write(tmp_path / "a.json", separator.join(json.dumps(row) for row in ROWS))

        assert [row for _, row in read(path)] == ROWS

    @pytest.mark.parametrize("name", ["a.csv", "a.csv.gz"])
    def test_csv_gives_the_same_rows_with_the_lines_they_start_on(self, tmp_path: Path, name: str) -> None:
        assert read(write(tmp_path / name, CSV)) == [(2, ROWS[0]), (4, ROWS[1]), (5, ROWS[2])]

    def test_parquet_gives_the_same_rows_numbered_from_one(self, tmp_path: Path) -> None:
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(ROWS), tmp_path / "a.parquet")

        assert read(tmp_path / "a.parquet") == list(enumerate(ROWS, 1))

    def test_parquet_reads_only_the_columns_that_are_wanted(self, tmp_path: Path) -> None:
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(ROWS), tmp_path / "a.parquet")

        assert read(tmp_path / "a.parquet", ("tone",))[0] == (1, {"tone": "sad"})

    def test_blank_lines_are_no_rows_and_keep_their_numbers(self, tmp_path: Path) -> None:
        jsonl = write(tmp_path / "a.jsonl", b'\n{"a": 1}\n  \n{"a": 2}\n\n')
        csv = write(tmp_path / "a.csv", "\na\n1\n\n2\n")

        assert read(jsonl) == [(2, {"a": 1}), (4, {"a": 2})]
        assert read(csv) == [(3, {"a": "1"}), (5, {"a": "2"})]

    @pytest.mark.parametrize(
        ("name", "content"), [("a.jsonl", '{"a": "x"}\n'), ("a.json", '[{"a": "x"}]'), ("a.csv", "a\nx\n")]
    )
    def test_a_byte_order_mark_is_no_part_of_the_text(self, tmp_path: Path, name: str, content: str) -> None:
        path = write(tmp_path / name, b"\xef\xbb\xbf" + content.encode())

        assert [row for _, row in read(path)] == [{"a": "x"}]

    def test_a_last_line_without_its_end_counts(self, tmp_path: Path) -> None:
        assert read(write(tmp_path / "a.jsonl", b'{"a": 1}\n{"a": 2}')) == [(1, {"a": 1}), (2, {"a": 2})]
        assert read(write(tmp_path / "a.csv", b"a\n1\n2")) == [(2, {"a": "1"}), (3, {"a": "2"})]

    def test_every_suffix_that_is_known_is_listed_when_one_is_not(self) -> None:
        with pytest.raises(InvalidData) as caught:
            format_of("rows.xlsx", "data/rows.xlsx")

        assert caught.value.where == "data/rows.xlsx"
        assert "'.xlsx'" in str(caught.value)
        assert all(suffix in str(caught.value.hint) for suffix in FORMATS)

    @pytest.mark.parametrize("name", ["rows", "rows.gz", "rows.parquet.gz", "rows.jsonl.zip"])
    def test_other_names_are_refused(self, name: str) -> None:
        with pytest.raises(InvalidData):
            format_of(name, name)


class TestStreaming:
    """The window on a JSON file is a few bytes here, so that every object lies across its edge."""

    @pytest.fixture(autouse=True)
    def small_window(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(json_rows, "CHUNK", 7)

    @pytest.mark.parametrize("indent", [None, 1])
    def test_objects_longer_than_the_window_are_whole(self, tmp_path: Path, indent: int | None) -> None:
        rows = [{"phrase": "ü🎉" * n, "tone": {"deep": ["]", "}", '"', n]}} for n in range(40)]

        found = read(write(tmp_path / "a.json", json.dumps(rows, ensure_ascii=False, indent=indent)))

        assert [row for _, row in found] == rows

    def test_lines_are_counted_across_windows(self, tmp_path: Path) -> None:
        found = read(
            write(tmp_path / "a.json", "\n\n[\n" + ",\n\n".join(f'{{"a":\n {n}}}' for n in range(5)) + "\n]\n")
        )

        assert found == [(4 + 3 * n, {"a": n}) for n in range(5)]

    def test_an_error_names_its_line_across_windows(self, tmp_path: Path) -> None:
        error = refused(tmp_path / "a.json", '[\n{"a": 1},\n{"a": 2},\n{"a": oops}\n]')

        assert str(error.where).startswith("a.json, line 4")

    def test_bytes_that_are_no_utf8_name_their_line_across_windows(self, tmp_path: Path) -> None:
        error = refused(tmp_path / "a.json", b'[\n{"a": "1"},\n{"a": "\xff"}\n]')

        assert error.where == "a.json, line 3"
        assert "not UTF-8: byte 0xff" in str(error)

    def test_a_row_that_never_ends_is_given_up_and_not_loaded(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(json_rows, "LARGEST_ROW", 1000)

        error = refused(tmp_path / "a.json", '[{"a": "' + "x" * 100_000)

        assert "Unterminated string" in str(error)

    def test_a_line_that_never_ends_is_given_up_and_not_loaded(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(json_rows, "LARGEST_ROW", 1 << 20)

        error = refused(tmp_path / "a.jsonl", b'{"a": "' + b"x" * (2 << 20) + b'"}')

        assert error.where == "a.jsonl, line 1"
        assert "longer than 1 MiB" in str(error)


class TestBadLines:
    def test_malformed_json_lines_name_file_line_and_column(self, tmp_path: Path) -> None:
        error = refused(tmp_path / "a.jsonl", b'{"a": 1}\n{"a": 2}\n{"a": 3,}\n')

        assert error.exit_code == 2
        assert error.where == "a.jsonl, line 3, column 9"
        assert "malformed JSON" in str(error)

    @pytest.mark.parametrize(
        ("content", "kind"),
        [
            ("[1]", "a list"),
            ('"x"', "a text"),
            ("7", "a number"),
            ("-1", "a number"),
            ("true", "true or false"),
            ("null", "null"),
        ],
    )
    def test_a_line_that_is_no_object_says_what_it_is(self, tmp_path: Path, content: str, kind: str) -> None:
        error = refused(tmp_path / "a.jsonl", f'{{"a": 1}}\n{content}\n')

        assert error.where == "a.jsonl, line 2"
        assert kind in error.message

    @pytest.mark.parametrize("content", ['[{"a": 1},\n 7]', '{"a": 1}\n7'])
    def test_an_entry_that_is_no_object_says_what_it_is(self, tmp_path: Path, content: str) -> None:
        error = refused(tmp_path / "a.json", content)

        assert error.where == "a.json, line 2"
        assert "a number" in error.message

    @pytest.mark.parametrize(
        ("content", "found"),
        [
            ('[{"a": 1}\n{"a": 2}]', "instead of a comma"),
            ('[{"a": 1},\n{"a": 2}', "has no end"),
            ('[{"a": 1},\n{"a": ', "Expecting value"),
            ('[{"a": 1}]\n{"a": 2}', "follows the array"),
            ('[{"a": 1},\n]', "where an object should start"),
            ('[{"a": 1},\n', "this is nothing"),
        ],
    )
    def test_an_array_that_is_torn_or_malformed_names_the_line(self, tmp_path: Path, content: str, found: str) -> None:
        error = refused(tmp_path / "a.json", content)

        assert str(error.where).startswith("a.json, line 2")
        assert found in error.message

    @pytest.mark.parametrize("name", ["a.jsonl", "a.json"])
    def test_nesting_without_bound_is_refused_and_does_not_crash(self, tmp_path: Path, name: str) -> None:
        error = refused(tmp_path / name, '{"a": ' + "[" * 200_000)

        assert "nested too deeply" in error.message

    def test_a_number_of_too_many_digits_is_refused(self, tmp_path: Path) -> None:
        error = refused(tmp_path / "a.jsonl", '{"a": ' + "9" * 5000 + "}")

        assert error.where == "a.jsonl, line 1"

    @pytest.mark.parametrize(("name", "start"), [("a.jsonl", b'{"a": "1"}\n{"a": "'), ("a.csv", b"a\n")])
    def test_bytes_that_are_no_utf8_name_their_line(self, tmp_path: Path, name: str, start: bytes) -> None:
        error = refused(tmp_path / name, start + b'\xe4"}\n')

        assert error.where == f"{name}, line 2"
        assert "0xe4" in error.message
        assert "UTF-8" in str(error.hint)

    def test_utf16_is_refused_at_its_first_byte(self, tmp_path: Path) -> None:
        error = refused(tmp_path / "a.jsonl", '{"a": 1}'.encode("utf-16"))

        assert "not UTF-8: byte 0xff" in error.message

    def test_a_quote_that_is_never_closed_names_the_line_that_opens_it(self, tmp_path: Path) -> None:
        error = refused(tmp_path / "a.csv", 'a,b\n1,2\n"3,4\n5,6\n')

        assert error.where == "a.csv, line 3"
        assert "never closed" in error.message

    def test_text_after_a_closing_quote_is_refused(self, tmp_path: Path) -> None:
        error = refused(tmp_path / "a.csv", 'a,b\n"1"x,2\n')

        assert error.where == "a.csv, line 2"
        assert "malformed CSV" in error.message

    @pytest.mark.parametrize(("line", "found"), [("1", "1 field,"), ("1,2,3", "3 fields,")])
    def test_a_csv_row_of_another_length_than_the_header_is_refused(
        self, tmp_path: Path, line: str, found: str
    ) -> None:
        error = refused(tmp_path / "a.csv", f"a,b\n1,2\n{line}\n")

        assert error.where == "a.csv, line 3"
        assert found in error.message
        assert "header names 2" in error.message

    @pytest.mark.parametrize(("header", "found"), [("a,b,a", "'a' more than once"), ("a,,b", "without a name")])
    def test_a_header_that_does_not_name_columns_is_refused(self, tmp_path: Path, header: str, found: str) -> None:
        error = refused(tmp_path / "a.csv", f"{header}\n1,2,3\n")

        assert error.where == "a.csv, line 1"
        assert found in error.message

    @pytest.mark.parametrize("cut", [8, 40, 100])
    def test_a_torn_parquet_file_is_named(self, tmp_path: Path, cut: int) -> None:
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(ROWS), tmp_path / "whole.parquet")
        content = (tmp_path / "whole.parquet").read_bytes()

        error = refused(tmp_path / "a.parquet", content[:-cut])

        assert error.where == "a.parquet"
        assert "not a whole Parquet file" in error.message

    def test_a_torn_gzip_file_is_named(self, tmp_path: Path) -> None:
        content = write(tmp_path / "whole.jsonl.gz", json_lines(ROWS * 1000)).read_bytes()
        (tmp_path / "a.jsonl.gz").write_bytes(content[:-20])

        with pytest.raises(InvalidData, match="not a whole gzip file") as caught:
            read(tmp_path / "a.jsonl.gz")

        assert caught.value.where == "a.jsonl.gz"

    def test_a_file_that_is_no_gzip_file_is_named(self, tmp_path: Path) -> None:
        (tmp_path / "a.jsonl.gz").write_bytes(b'{"a": 1}\n')

        with pytest.raises(InvalidData, match="not a whole gzip file"):
            read(tmp_path / "a.jsonl.gz")


class TestFinding:
    def test_a_missing_file_names_one_that_is_spelt_alike(self, tmp_path: Path) -> None:
        write(tmp_path / "train.jsonl", json_lines(ROWS))

        with pytest.raises(DataNotFound) as caught:
            find_data(entry("trian.jsonl", columns=["phrase"]), tmp_path, tmp_path / "home")

        assert caught.value.exit_code == 2
        assert caught.value.where == "trian.jsonl"
        assert caught.value.hint == "did you mean 'train.jsonl'?"

    def test_a_missing_folder_names_one_that_is_spelt_alike(self, tmp_path: Path) -> None:
        (tmp_path / "dataset").mkdir()

        with pytest.raises(DataNotFound) as caught:
            find_data(entry("datset/deep/train.jsonl"), tmp_path, tmp_path / "home")

        assert caught.value.hint == "did you mean 'dataset'?"

    def test_of_many_files_a_few_are_listed(self, tmp_path: Path) -> None:
        for number in range(30):
            write(tmp_path / f"part-{number:02}.csv", "a\n1\n")

        with pytest.raises(DataNotFound) as caught:
            find_data(entry("quite-another.jsonl"), tmp_path, tmp_path / "home")

        assert "part-00.csv" in str(caught.value.hint)
        assert "and 22 more" in str(caught.value.hint)

    def test_a_folder_is_no_file_of_rows(self, tmp_path: Path) -> None:
        (tmp_path / "rows.jsonl").mkdir()

        with pytest.raises(DataNotFound, match="this is a folder"):
            find_data(entry("rows.jsonl"), tmp_path, tmp_path / "home")

    @pytest.mark.parametrize(
        ("name", "content", "found"),
        [
            ("a.jsonl", b"", "the file is empty"),
            ("a.jsonl", b"\n \n", "there are no rows"),
            ("a.json", b"[]", "there are no rows"),
            ("a.json", b" \n", "there are no rows"),
            ("a.csv", b"text\n", "there are no rows"),
            ("a.csv", b"\n\n", "there are no rows"),
        ],
    )
    def test_a_file_without_rows_is_refused(self, tmp_path: Path, name: str, content: bytes, found: str) -> None:
        write(tmp_path / name, content)

        with pytest.raises(InvalidData, match=found) as caught:
            find_data(entry(name), tmp_path, tmp_path / "home")

        assert caught.value.where == name

    def test_a_parquet_file_without_rows_is_refused(self, tmp_path: Path) -> None:
        pyarrow.parquet.write_table(
            pyarrow.table({"text": pyarrow.array([], pyarrow.string())}), tmp_path / "a.parquet"
        )

        with pytest.raises(InvalidData, match="there are no rows"):
            find_data(entry("a.parquet"), tmp_path, tmp_path / "home")

    @pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.csv", "a.parquet"])
    def test_a_missing_column_lists_those_that_are_there(self, tmp_path: Path, name: str) -> None:
        if name.endswith("parquet"):
            pyarrow.parquet.write_table(pyarrow.Table.from_pylist(ROWS), tmp_path / name)
        else:
            content = {"a.jsonl": json_lines(ROWS), "a.json": json.dumps(ROWS).encode(), "a.csv": CSV.encode()}[name]
            write(tmp_path / name, content)

        with pytest.raises(InvalidData) as caught:
            find_data(entry(name, columns=["phrase", "tune"]), tmp_path, tmp_path / "home")

        assert str(caught.value.where).startswith(f"{name}, ")
        assert "no column 'tune'" in caught.value.message
        assert "phrase, tone" in caught.value.message
        assert caught.value.hint == "did you mean 'tone'?"

    def test_a_file_that_may_not_be_read_says_so(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = write(tmp_path / "a.jsonl", json_lines(ROWS))
        monkeypatch.setattr(Path, "open", _denied)  # the tests may run as root, whom no mode bits stop

        with pytest.raises(AccessDenied) as caught:
            read(path)

        assert caught.value.where == "a.jsonl"

    def test_only_the_first_rows_are_read(self, tmp_path: Path) -> None:
        write(tmp_path / "a.jsonl", json_lines([{"text": "x"}] * 100) + b"{broken\n")

        found = find_data(entry("a.jsonl"), tmp_path, tmp_path / "home")

        assert found.where == "a.jsonl"

    def test_rows_beyond_the_limit_are_not_looked_at(self, tmp_path: Path) -> None:
        write(tmp_path / "a.jsonl", json_lines([{"text": "x"}] * 2) + b"{broken\n")

        assert find_data(entry("a.jsonl", limit=2), tmp_path, tmp_path / "home")


class TestDigest:
    def digest(self, base: Path, **changes: object) -> str:
        file = str(changes.pop("file", "a.jsonl"))
        return find_data(entry(file, **changes), base, base / "home").digest  # type: ignore[arg-type]

    @pytest.fixture
    def base(self, tmp_path: Path) -> Path:
        write(tmp_path / "a.jsonl", json_lines([{"text": "x", "more": "y"}]))
        return tmp_path

    def test_it_names_the_content_and_not_the_path(self, base: Path) -> None:
        before = self.digest(base)
        write(base / "b.jsonl", (base / "a.jsonl").read_bytes())

        assert self.digest(base, file="b.jsonl") == before
        assert len(before) == 64

    def test_another_content_has_another_digest(self, base: Path) -> None:
        before = self.digest(base)
        write(base / "a.jsonl", json_lines([{"text": "z", "more": "y"}]))

        assert self.digest(base) != before

    @pytest.mark.parametrize(
        "change",
        [
            {"limit": 5}, {"template": "{text}."}, {"columns": ["text", "more"]}, {"strategy": "line-by-line"}, {"shuffleSeed": 1},
            {"maxLength": 8}, {"stride": 8}, {"joiner": "\n"}, {"answer": "text"}, {"answer": "text", "lossOn": "answer"},
            {"padding": "maxLength"}, {"paddingSide": "left"},
        ],
        ids=str,
    )  # fmt: skip
    def test_another_option_has_another_digest(self, base: Path, change: dict[str, object]) -> None:
        assert self.digest(base, **change) != self.digest(base)

    def test_the_same_content_in_another_format_has_another_digest(self, base: Path) -> None:
        write(base / "a.json", (base / "a.jsonl").read_bytes())

        assert self.digest(base, file="a.json") != self.digest(base)


def _denied(*_: object, **__: object) -> None:
    raise PermissionError(13, "Permission denied")
