"""Finds a data set: exists, readable, columns there; and names its content."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from millwright_api.errors import DataNotFound, InvalidData, UserError
from millwright_api.names import fingerprint
from millwright_api.v1alpha1 import Data, S3Location
from millwright_runner.data.rows import RowFile, RowReader, format_of, look
from millwright_runner.data.slices import Slice
from millwright_runner.data.text import TextRenderer
from millwright_runner.digests import DigestMemo
from millwright_runner.lookup import close_names, missing_path
from millwright_runner.stores import open_store
from millwright_runner.stores.disk import told

FIRST_ROWS = 20
"""Rows that a look reads: enough for the format's mistakes, which are in every row, and done in a millisecond."""


@dataclass(frozen=True)
class FoundData:
    """Rows that exist and fit their format, as far as the first rows can tell.

    Attributes:
        spec: the manifest's entry.
        digest: names content, limit and format (64 hex digits).
        where: the source as a person knows it, for messages.
        files: brings the rows to this machine, when they are not there yet, and returns their files in order.
        slice: which of the rows; all but for a hub's split with a slice.
    """

    spec: Data
    digest: str
    where: str
    files: Callable[[], list[RowFile]]
    slice: Slice = field(default_factory=Slice)


def find_data(data: Data, base: Path, home: Path) -> FoundData:
    """Looks a data set up; reads its first rows.

    A file in an S3 store is fetched now, once for each content it has; a hub's files are fetched when they are packed.

    Args:
        data: the manifest's entry.
        base: the folder that relative paths start from.
        home: a folder of this machine for downloads and remembered digests.

    Raises:
        InvalidManifest: the template is malformed or names a column that is not in columns.
        DataNotFound: no such file, repository, revision or split.
        InvalidData: empty, malformed, or without the columns that the format reads.
        AccessDenied, StoreUnreachable: the place did not let us look.
    """
    source = data.source
    renderer = TextRenderer(data.text, f"spec.data[{data.name}].text") if data.text else None
    if source.hugging_face is not None:
        from millwright_runner.data.hub import find_split  # imports the hub's client

        split = find_split(source.hugging_face, home, f"spec.data[{data.name}].source.huggingFace.split")
        _check_first_rows(split.first_rows(columns_of(data)), split.where, data, renderer)
        return FoundData(data, _digest(data, ["hub", *split.identity]), split.where, split.files, split.slice)
    if source.s3 is not None:
        file, sha256 = _fetch_s3(source.s3, home)
    else:
        file = _look_at_path(base / str(source.path), str(source.path))
        sha256 = DigestMemo(home).sha256(file.path)
    rows = ((file.place(number), row) for number, row in RowReader(file, columns_of(data)))
    _check_first_rows(rows, file.where, data, renderer)
    return FoundData(data, _digest(data, [file.format, sha256]), file.where, lambda: [file])


def columns_of(data: Data) -> list[str]:
    """Returns the columns that an entry's format reads."""
    return list(data.text.columns) if data.text else [data.chat.column] if data.chat else []


def _digest(data: Data, content: list[Any]) -> str:
    kind = "text" if data.text else "chat"
    return fingerprint([content, data.limit, kind, data.format.model_dump(mode="json")])


def _look_at_path(path: Path, where: str) -> RowFile:
    if not path.exists():
        raise DataNotFound("there is no such file", where=where, hint=missing_path(path))
    if not path.is_file():
        raise DataNotFound(
            "this is a folder, and a file of rows is expected" if path.is_dir() else "this is no file",
            where=where,
            hint=missing_path(path / "*") if path.is_dir() else None,
        )
    return look(path, where)


def _fetch_s3(location: S3Location, home: Path) -> tuple[RowFile, str]:
    folder, _, name = location.uri.rpartition("/")
    if not name or folder == "s3:/":
        raise DataNotFound("a file of rows is expected, and this names no file", where=location.uri)
    format_of(name, location.uri)
    store = open_store(location.model_copy(update={"uri": f"{folder}/"}))
    stat = store.stat(name)
    if stat is None:
        there = (entry.key for entry in itertools.islice(store.list(""), 1000))
        raise DataNotFound("there is no such object", where=location.uri, hint=close_names(name, there, store.uri))
    if stat.size == 0:
        raise InvalidData("the file is empty", where=location.uri)
    content = fingerprint([location.uri, location.endpoint, stat.etag, stat.size])
    target = home / "downloads" / content[:32] / name
    memo = DigestMemo(home)
    if not target.exists():
        with told(target.parent):
            target.parent.mkdir(parents=True, exist_ok=True)
        memo.remember(target, store.get(name, target, stat.sha256))
    return look(target, location.uri), memo.sha256(target)


def _check_first_rows(
    rows: Iterable[tuple[str, dict[str, Any]]], where: str, data: Data, renderer: TextRenderer | None
) -> None:
    found = 0
    for place, row in itertools.islice(rows, min(FIRST_ROWS, data.limit or FIRST_ROWS)):
        found += 1
        if renderer is not None:
            renderer(row, place)
        elif data.chat is not None:
            from millwright_runner.data.chat import messages_of

            messages_of(row, data.chat.column, place)
    if not found:
        raise no_rows(where)


def no_rows(where: str) -> UserError:
    """Returns the exception for a source without a single row."""
    return InvalidData("there are no rows", where=where)
