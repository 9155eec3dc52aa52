"""Datasets on the Hugging Face hub: `datasets` says which files a split is made of; rows are read from those files.

That is asked once for each commit and remembered: later runs, and those without a network, do not import `datasets`.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from millwright_api.errors import AccessDenied, DataNotFound, InvalidData, suggest
from millwright_api.v1alpha1 import HuggingFaceData
from millwright_runner.data.hub_files import plain_files
from millwright_runner.data.rows import RowFile, format_of, look, rows_of
from millwright_runner.data.slices import Slice, parse_split
from millwright_runner.hub import ANSWER_SECONDS, Note, asking, offline, prepare, where_of

BUILDERS = ("json", "csv", "parquet")
"""What `datasets` calls the kinds of files that are read here."""

NO_OPTIONS = ("name", "version", "data_dir", "data_files", "description", "features")
"""Fields of a builder's config that do not change how a file is read; features only give types to columns."""

README = "README.md"

HEAD_BYTES = 1 << 18
"""Bytes asked for at a time when the first rows are looked at."""


@dataclass(frozen=True)
class HubSplit:
    """A split of a dataset at a commit.

    Attributes:
        repo: owner/name.
        commit: the commit.
        names: the split's files in the repository, in order; none where only `datasets` could tell and is not there.
        slice: which of the rows.
        where: how messages name it.
        identity: names the content.
    """

    repo: str
    commit: str
    names: list[str]
    slice: Slice
    where: str
    identity: list[Any]

    def files(self) -> list[RowFile]:
        """Fetches the files into the hub client's own cache (HF_HOME), those that are not there yet."""
        from huggingface_hub import hf_hub_download

        with asking(self.where, DataNotFound):
            paths = [
                Path(hf_hub_download(self.repo, name, repo_type="dataset", revision=self.commit)) for name in self.names
            ]
        return [look(path, f"{self.where}/{name}") for path, name in zip(paths, self.names, strict=True)]

    def first_rows(self, columns: Sequence[str]) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yields rows of the first file with their places, without fetching more of it than they take."""
        from huggingface_hub import HfFileSystem

        name = self.names[0]
        how = format_of(name, f"{self.where}/{name}")
        if offline():
            remote: Any = self.files()[0].path.open("rb")
        else:
            remote = HfFileSystem().open(
                f"datasets/{self.repo}@{self.commit}/{name}", "rb", block_size=HEAD_BYTES, cache_type="readahead"
            )
        with asking(how.where, DataNotFound), io.BufferedReader(remote, HEAD_BYTES) as stream:
            for number, row in rows_of(stream, how, columns):
                yield how.place(number), row


def find_split(source: HuggingFaceData, home: Path, field: str) -> HubSplit:
    """Looks a split up.

    Args:
        source: the manifest's source.
        home: folder for what is remembered.
        field: the path of `split` in the manifest.

    Raises:
        InvalidManifest: the split is malformed.
        DataNotFound: no such repository, revision, subset or split.
        InvalidData: its files are of a kind that is not read here.
        AccessDenied, StoreUnreachable, StoreUnavailable: the hub did not let us look.
    """
    split, slice_ = parse_split(source.split, field)
    prepare()
    where = where_of("datasets", source.repo, source.revision)
    commit = _commit(source, home, where)
    note = Note(home, ["files", source.repo, commit, source.subset, split])
    names = note.recall()
    if names is None and importlib.util.find_spec("datasets") is None:  # the light image
        with asking(where, DataNotFound):
            names = _plain_files(source, commit, split)
    elif names is None:
        with asking(where, DataNotFound):
            names = _files_of(source, commit, split, where)
        note.remember(names)
    identity = [source.repo, commit, source.subset, source.split]
    return HubSplit(source.repo, commit, names, slice_, where, identity)


def _commit(source: HuggingFaceData, home: Path, where: str) -> str:
    note = Note(home, ["commit", "datasets", source.repo, source.revision])
    if offline():
        commit = note.recall()
        if commit is None:
            raise DataNotFound(
                "it was not downloaded before, and HF_HUB_OFFLINE is set",
                where=where,
                hint="run once without HF_HUB_OFFLINE",
            )
        return str(commit)
    from huggingface_hub import HfApi

    with asking(where, DataNotFound):
        commit = str(HfApi().dataset_info(source.repo, revision=source.revision, timeout=ANSWER_SECONDS).sha)
    note.remember(commit)
    return commit


def _plain_files(source: HuggingFaceData, commit: str, split: str) -> list[str]:
    """Returns a split's files as far as they can be told without `datasets`; else nothing."""
    from huggingface_hub import HfApi, hf_hub_download

    info = HfApi().dataset_info(source.repo, revision=commit, timeout=ANSWER_SECONDS)
    names = [entry.rfilename for entry in info.siblings or []]
    readme = ""
    if README in names:
        file = hf_hub_download(source.repo, README, repo_type="dataset", revision=commit)
        readme = Path(file).read_text(encoding="utf-8", errors="replace")
    return plain_files(names, readme, source.subset, split) or []


def _files_of(source: HuggingFaceData, commit: str, split: str, where: str) -> list[str]:
    """Asks `datasets` which files a split is made of; it reads the repository's README and file names."""
    import datasets

    load = partial(datasets.load_dataset_builder, source.repo, revision=commit)
    try:
        builder = load(source.subset)
    except datasets.exceptions.DatasetNotFoundError as error:  # it is there, or its commit would not be known
        raise AccessDenied(
            _first_line(error), where=where, hint="accept its terms on the hub, and set HF_TOKEN"
        ) from error
    except (ValueError, FileNotFoundError, RuntimeError, datasets.exceptions.DatasetsError) as error:
        subsets = _subsets(source.repo, commit)
        if source.subset not in subsets and subsets:
            found = f"there is no subset {source.subset!r}" if source.subset else "a subset has to be named"
            raise DataNotFound(found, where=where, hint=suggest(source.subset or "", subsets)) from error
        raise InvalidData(f"not readable: {_first_line(error)}", where=where) from error
    files = builder.config.data_files or {}
    if builder.name not in BUILDERS:
        raise InvalidData(
            f"its files are read by the builder {builder.name!r}", where=where, hint=f"possible: {', '.join(BUILDERS)}"
        )
    if split not in files:
        raise DataNotFound(
            f"there is no split {split!r}", where=where, hint=suggest(split, [str(name) for name in files])
        )
    plain = type(builder.config)()
    for option in dataclasses.fields(plain):
        value = getattr(builder.config, option.name)
        if option.name not in NO_OPTIONS and value != getattr(plain, option.name):
            raise InvalidData(
                f"its README sets {option.name} to {value!r} for reading the files, which cannot be done here",
                where=where,
                hint="download the files, turn them into JSON lines, and use path or s3",
            )
    prefix = f"hf://datasets/{source.repo}@{commit}/"
    return [str(name).removeprefix(prefix) for name in files[split]]


def _subsets(repo: str, commit: str) -> list[str]:
    import datasets

    try:
        return list(datasets.get_dataset_config_names(repo, revision=commit))
    except (ValueError, FileNotFoundError, RuntimeError, datasets.exceptions.DatasetsError):
        return []  # then the first message is the one that tells what is wrong


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
