"""Finds a data set: exists, readable, columns there; and names its content."""

from __future__ import annotations

import io
import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from millwright_api.errors import DataNotFound, InvalidData, UserError
from millwright_api.names import fingerprint
from millwright_api.v1alpha1 import Data, DataSource, S3Location
from millwright_runner.data.rows import RowFile, RowFormat, RowReader, format_of, look, rows_of
from millwright_runner.data.slices import Slice
from millwright_runner.data.text import TextRenderer
from millwright_runner.digests import DigestMemo
from millwright_runner.lookup import close_names, missing_path
from millwright_runner.stores import Location, Stat, Store, open_store
from millwright_runner.stores.disk import told
from millwright_runner.stores.locations import folder_and_name
from millwright_runner.stores.stream import StoredFile
from millwright_runner.volumes import place_of, volume_name

PlacedRow = tuple[str, dict[str, Any]]
"""A row, and how a message names it."""

FIRST_ROWS = 20
"""Rows that a look reads: enough for the format's mistakes, which are in every row, and done in a millisecond."""

HEAD_BYTES = 1 << 18
"""Bytes asked for at a time when the first rows of a file elsewhere are looked at."""


@dataclass(frozen=True)
class FoundData:
    """Rows that exist and fit their format, as far as the first rows can tell.

    Attributes:
        spec: the manifest's entry.
        digest: names content, limit and format (64 hex digits); empty when the content was not to be read.
        where: the source as a person knows it, for messages.
        files: brings the rows to this machine, when they are not there yet, and returns their files in order.
        slice: which of the rows; all but for a hub's split with a slice.
        sample: the first rows, with their places.
    """

    spec: Data
    digest: str
    where: str
    files: Callable[[], list[RowFile]]
    slice: Slice = field(default_factory=Slice)
    sample: tuple[PlacedRow, ...] = ()


def find_data(
    data: Data, base: Path, home: Path, *, volumes: Path | None = None, read_up_to: int | None = None
) -> FoundData:
    """Looks a data set up; reads its first rows.

    A file in a store is fetched now, once for each content it has; a hub's files are fetched when they are packed.

    Args:
        data: the manifest's entry.
        base: the folder that relative paths start from.
        home: a folder of this machine for downloads and remembered digests.
        volumes: the folder that a cluster's claims are mounted in; None without a cluster.
        read_up_to: bytes that may be read to name the content; of a larger file only the first rows are read, and the
            digest stays empty where nobody knows it. None: as many as there are.

    Raises:
        InvalidManifest: the template is malformed or names a column that is not in columns.
        DataNotFound: no such file, repository, revision or split.
        InvalidData: empty, malformed, or without the columns that the format reads.
        AccessDenied, StoreUnreachable: the place did not let us look.
        UserError, AzureUnavailable: what a workspace of Azure ML says of a datastore, see `azure.datastores`.
    """
    source = data.source
    renderer = TextRenderer(data.text, f"spec.data[{data.name}].text") if data.text else None
    if source.hugging_face is not None:
        from millwright_runner.data.hub import find_split  # imports the hub's client

        split = find_split(source.hugging_face, home, f"spec.data[{data.name}].source.huggingFace.split")
        first = (
            _check_first_rows(split.first_rows(columns_of(data)), split.where, data, renderer) if split.names else ()
        )
        return FoundData(data, _digest(data, ["hub", *split.identity]), split.where, split.files, split.slice, first)
    there = _stored(source, base, f"spec.data[{data.name}].source")
    if there is not None:
        if read_up_to is not None and there.stat.size > read_up_to:
            first = _check_first_rows(there.first_rows(columns_of(data)), there.how.where, data, renderer)
            digest = _digest(data, [there.how.format, there.stat.sha256]) if there.stat.sha256 else ""
            return FoundData(data, digest, there.how.where, lambda: [there.fetch(home)[0]], sample=first)
        file, sha256 = there.fetch(home)
    else:
        file = _look_at_path(*_path_of(source, base, volumes, f"spec.data[{data.name}].source.volume"))
        unread = read_up_to is not None and file.size > read_up_to
        sha256 = "" if unread else DigestMemo(home).sha256(file.path)
    rows = ((file.place(number), row) for number, row in RowReader(file, columns_of(data)))
    first = _check_first_rows(rows, file.where, data, renderer)
    digest = _digest(data, [file.format, sha256]) if sha256 else ""
    return FoundData(data, digest, file.where, lambda: [file], sample=first)


def columns_of(data: Data) -> list[str]:
    """Returns the columns that an entry's format reads."""
    return list(data.text.columns) if data.text else [data.chat.column] if data.chat else []


def _digest(data: Data, content: list[Any]) -> str:
    kind = "text" if data.text else "chat"
    return fingerprint([content, data.limit, kind, data.format.model_dump(mode="json")])


def _path_of(source: DataSource, base: Path, volumes: Path | None, where: str) -> tuple[Path, str]:
    """Returns a file's path and its name for messages."""
    if source.volume is not None:
        return place_of(source.volume, volumes, where), volume_name(source.volume)
    return base / str(source.path), str(source.path)


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


def _stored(source: DataSource, base: Path, where: str) -> _StoredRows | None:
    """Returns the file that a source in a store names; None for a source of another kind."""
    if source.s3 is not None:
        return _StoredRows.find(source.s3)
    if source.azure_blob is not None:
        return _StoredRows.find(source.azure_blob)
    if source.azure_ml is not None:
        from millwright_runner.azure.datastores import find_datastore  # imports Azure's SDKs

        place = find_datastore(source.azure_ml, base, f"{where}.azureML")
        return _StoredRows.find(place.location, place.where, place.credential)
    return None


@dataclass(frozen=True)
class _StoredRows:
    """A file of rows in a store, not fetched yet."""

    store: Store
    name: str
    stat: Stat
    how: RowFormat
    identity: str

    @classmethod
    def find(cls, location: Location, where: str | None = None, credential: Any = None) -> Self:
        """Asks the store for it.

        Args:
            location: where it lies.
            where: what a person calls the place, when that is not its address.
            credential: see `open_store`.
        """
        where = where or location.uri
        found = folder_and_name(location)
        if found is None:
            raise DataNotFound("a file of rows is expected, and this names no file", where=where)
        folder, name = found
        how = format_of(name, where)
        store = open_store(folder, credential=credential)
        stat = store.stat(name)
        if stat is None:
            there = (entry.key for entry in itertools.islice(store.list(""), 1000))
            raise DataNotFound("there is no such object", where=where, hint=close_names(name, there, store.uri))
        if stat.size == 0:
            raise InvalidData("the file is empty", where=where)
        endpoint = location.endpoint if isinstance(location, S3Location) else None
        return cls(store, name, stat, how, fingerprint([location.uri, endpoint, stat.etag, stat.size]))

    def fetch(self, home: Path) -> tuple[RowFile, str]:
        """Brings it to this machine, unless it is there; returns it and its sha256."""
        target = home / "downloads" / self.identity[:32] / self.name
        memo = DigestMemo(home)
        if not target.exists():
            with told(target.parent):
                target.parent.mkdir(parents=True, exist_ok=True)
            memo.remember(target, self.store.get(self.name, target, self.stat.sha256))
        return look(target, self.how.where), memo.sha256(target)

    def first_rows(self, columns: list[str]) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yields rows with their places, without fetching more of the file than they take."""
        with io.BufferedReader(StoredFile(self.store, self.name, self.stat.size), HEAD_BYTES) as stream:
            for number, row in rows_of(stream, self.how, columns):
                yield self.how.place(number), row


def _check_first_rows(
    rows: Iterable[PlacedRow], where: str, data: Data, renderer: TextRenderer | None
) -> tuple[PlacedRow, ...]:
    """Returns the first rows."""
    found = []
    for place, row in itertools.islice(rows, min(FIRST_ROWS, data.limit or FIRST_ROWS)):
        found.append((place, row))
        if renderer is not None:
            renderer(row, place)
        elif data.chat is not None:
            from millwright_runner.data.chat import messages_of

            messages_of(row, data.chat.column, place)
    if not found:
        raise no_rows(where)
    return tuple(found)


def no_rows(where: str) -> UserError:
    """Returns the exception for a source without a single row."""
    return InvalidData("there are no rows", where=where)
