"""Memory does not grow with the file: 10 MB against 100 MB, each packed by a process of its own whose peak is compared.

The tokenizer splits at spaces and the words are long, so that ten times the bytes are cheap to tokenize.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

MEGABYTE = 1_000_000
SMALL, LARGE = 10 * MEGABYTE, 100 * MEGABYTE
MAY_GROW = 8 * MEGABYTE
"""Less than a tenth of what the files differ by; it is one in fact."""

WORDS = [f"{n:03}" + "etaoinshrdlu" * 15 for n in range(100)]
ROW = {"question": " ".join(WORDS[:60]), "answer": " ".join(WORDS[60:90])}
"""A row of 16 KB, and 90 tokens."""

SCRIPT = """
import json, re, sys
from pathlib import Path
from millwright_api.v1alpha1 import Data
from millwright_runner.data import find_data, pack

base, data = Path(sys.argv[1]), Data.model_validate(json.loads(sys.argv[2]))
found = find_data(data, base, base / "home")
sequences = pack(found, base / "tokenizer", base / "packed", lambda done, total: None)
for index in range(0, len(sequences), 97):
    sequences[index]
peak = 1024 * int(re.search(r"VmHWM:\\s*(\\d+) kB", Path("/proc/self/status").read_text())[1])  # rusage's counts the parent's too
print(json.dumps({"peak": peak, "rows": sequences.rows, "tokens": sequences.tokens}))
"""


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("memory")
    tokenizer = folder / "tokenizer"
    tokenizer.mkdir()
    words = {word: number for number, word in enumerate(["<end>", "<unk>", *WORDS])}
    (tokenizer / "tokenizer.json").write_text(json.dumps({
        "version": "1.0", "added_tokens": [], "normalizer": None, "post_processor": None, "decoder": None,
        "truncation": None, "padding": None, "pre_tokenizer": {"type": "WhitespaceSplit"},
        "model": {"type": "WordLevel", "vocab": words, "unk_token": "<unk>"},
    }))  # fmt: skip
    (tokenizer / "tokenizer_config.json").write_text(json.dumps({"eos_token": "<end>"}))
    yield folder
    for path in folder.glob("rows*"):
        path.unlink()  # pytest keeps the folders of three runs


def grow(path: Path, size: int, row: str, *, begin: str = "", between: str = "", end: str = "") -> int:
    """Writes a file of about `size` bytes and returns its rows."""
    block = 64
    count = max(size // len(row) // block, 1) * block
    with path.open("w") as stream:
        stream.write(begin + row)
        stream.write((between + row) * (block - 1))
        for _ in range(count // block - 1):
            stream.write((between + row) * block)
        stream.write(end)
    return count


def peak(base: Path, name: str, rows: int, **text: Any) -> int:
    """Packs a file in a process of its own and returns the most memory it ever held, in bytes."""
    options = {"columns": ["question", "answer"], "strategy": "line-by-line", "maxLength": 128, **text}
    data = {"name": "train", "source": {"path": name}, "text": options}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(base), json.dumps(data)],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["rows"] == rows
    return int(told["peak"])


def test_json_lines_of_100_mb_take_no_more_memory_than_of_10(base: Path) -> None:
    line = json.dumps(ROW) + "\n"
    small = peak(base, "rows.jsonl", grow(base / "rows.jsonl", SMALL, line))
    large = peak(base, "rows.jsonl", grow(base / "rows.jsonl", LARGE, line))

    assert (base / "rows.jsonl").stat().st_size > 0.98 * LARGE
    assert large - small < MAY_GROW


def test_one_json_array_of_100_mb_takes_no_more_memory_than_of_10(base: Path) -> None:
    array = {"begin": "[\n", "between": ",\n", "end": "\n]\n"}
    small = peak(base, "rows.json", grow(base / "rows.json", SMALL, json.dumps(ROW, indent=1), **array))
    large = peak(base, "rows.json", grow(base / "rows.json", LARGE, json.dumps(ROW, indent=1), **array))

    assert large - small < MAY_GROW


def test_csv_streams_as_well(base: Path) -> None:
    def made(size: int) -> int:
        return grow(base / "rows.csv", size, f'"{ROW["question"]}",{ROW["answer"]}\n', begin="question,answer\n")

    small = peak(base, "rows.csv", made(SMALL // 2))
    large = peak(base, "rows.csv", made(LARGE // 2))

    assert large - small < MAY_GROW


def test_parquet_streams_as_well(base: Path) -> None:
    """Of which whole pages are held: that takes more, and no more from some 30 MB on."""
    small = peak(base, "rows.parquet", _grow_parquet(base / "rows.parquet", SMALL))
    large = peak(base, "rows.parquet", _grow_parquet(base / "rows.parquet", 9 * SMALL))

    assert large - small < 25 * MEGABYTE


@pytest.mark.parametrize("strategy", ["join", "line-by-line"])
def test_shuffling_and_answers_stream_as_well(base: Path, strategy: str) -> None:
    """Short rows, for what is kept for each: 8 bytes for the permutation."""
    line = json.dumps({"question": WORDS[1], "answer": WORDS[2]}) + "\n"
    options = {"strategy": strategy, "shuffleSeed": 1, "answer": "answer", "lossOn": "answer"}
    small = peak(base, "rows.jsonl", grow(base / "rows.jsonl", SMALL // 20, line), **options)
    large = peak(base, "rows.jsonl", grow(base / "rows.jsonl", SMALL // 2, line), **options)

    assert large - small < MAY_GROW


def _grow_parquet(path: Path, size: int) -> int:
    """One row group, so that nothing but pages can be read at a time; no dictionary, which would be small."""
    import pyarrow
    import pyarrow.parquet

    few = pyarrow.Table.from_pylist([ROW] * 64)
    table = pyarrow.concat_tables(
        [few] * (size // len(json.dumps(ROW)) // 64)
    )  # all of them are the same bytes in memory
    pyarrow.parquet.write_table(table, path, row_group_size=len(table), use_dictionary=False, compression="NONE")
    assert pyarrow.parquet.read_metadata(path).num_row_groups == 1
    return len(table)
