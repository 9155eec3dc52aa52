"""What tests of data share: entries, files of rows, and a look at the packed sequences."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from millwright_api.v1alpha1 import Data
from millwright_runner.data import PackedSequences, find_data, pack


def entry(
    file: str = "rows.jsonl", *, limit: int | None = None, chat: dict[str, Any] | None = None, **text: Any
) -> Data:
    """Returns a manifest's data entry for a file; text's keys in camelCase, or chat."""
    body: dict[str, Any] = {"name": "train", "source": {"path": file}}
    body |= {"chat": chat} if chat is not None else {"text": text}
    return Data.model_validate(body if limit is None else {**body, "limit": limit})


def json_lines(rows: Iterable[Any]) -> bytes:
    return b"".join(json.dumps(row, ensure_ascii=False).encode() + b"\n" for row in rows)


def write(path: Path, content: bytes | str) -> Path:
    """Writes a file; compressed when its name ends in .gz."""
    content = content.encode() if isinstance(content, str) else content
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


def packed(base: Path, tokenizer: Path, data: Data, folder: str = "packed") -> PackedSequences:
    """Finds and packs a data set whose files lie in `base`."""
    found = find_data(data, base, base / "home")
    return pack(found, tokenizer, base / folder, lambda done, total: None)


class Words:
    """A tokenizer's folder read back: token ids to text, one by one, so that tests can say what they expect."""

    def __init__(self, folder: Path) -> None:
        from tokenizers import Tokenizer

        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))

    def text(self, ids: Iterable[int]) -> str:
        return str(self.tokenizer.decode(list(ids), skip_special_tokens=False))

    def trained(self, sequence: dict[str, list[int]]) -> str:
        """Returns the text that the loss counts."""
        return self.text(label for label in sequence["labels"] if label != -100)

    def ids(self, text: str) -> list[int]:
        return list(self.tokenizer.encode(text).ids)
