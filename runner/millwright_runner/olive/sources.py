"""load_dataset_config → where rows come from: a file, or a repository of the Hugging Face hub."""

from __future__ import annotations

import re
from pathlib import PurePath
from typing import Any

from millwright_api.errors import InvalidManifest
from millwright_runner.olive.azure import KINDS, address, resource, stand_in, unknown_kind
from millwright_runner.olive.model import is_repo
from millwright_runner.olive.trace import show, wrong
from millwright_runner.olive.view import Found, View
from millwright_runner.olive.work import Work

BUILDERS = {"json": (".json", ".jsonl", ".json.gz", ".jsonl.gz"), "csv": (".csv", ".csv.gz"), "parquet": (".parquet",)}
"""datasets' loaders of files, and the suffixes that the runner tells those forms by."""

ONE_FILE = "one file on this machine is read: join the files into one"
BY_HAND = "a data set is a file in a datastore: copy it to {path}, or name one"


def source(work: Work, view: View, place: str, root: str | None) -> tuple[dict[str, Any], int | None]:
    """Returns a data set's source, and how many of its rows are read, or None for all.

    Args:
        place: the data set's place in the manifest.
        root: Olive's data_root.

    Raises:
        InvalidManifest: it names no data.
    """
    name = view.text("data_name")
    if name is None:
        raise InvalidManifest(
            "it names no data", where=show(view.parts[0][0]) if view.parts else place, hint="data_name"
        )
    if name.value in BUILDERS:
        work.trace.mapped(name.path, f"{place}.source.path")
        return _file(work, view, name.value, place, root)
    for key in ("data_files", "data_dir"):
        if found := view.get(key):
            work.trace.unmapped(found.path, "of a repository, subset and split choose the rows", blocks=True)
    if not is_repo(work, name.value) or name.value == "text":
        why = f"rows are read from {', '.join(BUILDERS)} files and from repositories of the hub"
        work.trace.unmapped(name.path, why, blocks=True)
        return {"path": work.paths.manifest(name.value)}, None
    repo = {"repo": name.value}
    work.trace.mapped(name.path, f"{place}.source.huggingFace.repo")
    for key in ("subset", "split", "revision"):
        if found := view.text(key):
            repo[key] = found.value
            work.trace.mapped(found.path, f"{place}.source.huggingFace.{key}")
    if "split" not in repo:
        repo["split"] = "validation"
        work.trace.note(name.path, "Olive's default split is written out: validation")
    return {"huggingFace": repo}, None


def _file(work: Work, view: View, builder: str, place: str, root: str | None) -> tuple[dict[str, Any], int | None]:
    split, found = view.text("split"), view.get("data_files")
    wanted = split.value.partition("[")[0] if split else "train"
    if found is None:
        raise InvalidManifest("it names no file", where=show(view.parts[0][0]), hint="data_files")
    for key in ("subset", "revision"):
        if other := view.get(key):
            work.trace.unmapped(other.path, "of a repository, not of a file", blocks=False)
    limit = _slice(work, split, isinstance(found.value, dict) and "type" not in found.value, place)
    file = _one_file(work, found, wanted)
    azure = _on_azure(work, view, file, f"{place}.source.azureML", root)
    if azure is not None:
        if "azureML" in azure:
            _check_suffix(work, file, azure["azureML"]["path"], builder)
        return azure, limit
    parts = [root] if root else []
    if folder := view.text("data_dir"):
        work.trace.mapped(folder.path, f"{place}.source.path")
        parts.append(folder.value)
    path = str(PurePath(*parts, file.value))
    if "://" in file.value:
        work.trace.unmapped(file.path, ONE_FILE, blocks=True)
    else:
        work.trace.mapped(file.path, f"{place}.source.path")
        _check_suffix(work, file, path, builder)
    return {"path": work.paths.manifest(path)}, limit


def _check_suffix(work: Work, file: Found, path: str, builder: str) -> None:
    """Lists a file that was taken over and is none that the runner can read."""
    if "*" in path:
        why = ONE_FILE
    elif not path.lower().endswith(BUILDERS[builder]):
        why = f"the form of a file is told by its suffix: rename it to {' or '.join(BUILDERS[builder])}"
    else:
        return
    work.trace.retract(file.path)
    work.trace.unmapped(file.path, why, blocks=True)


def _slice(work: Work, split: Found | None, by_split: bool, place: str) -> int | None:
    """A file is one split, train, unless data_files names others. Returns how many rows of it are read."""
    if split is None:
        work.trace.note((), f"{place} names no split: all rows of the file are read")
        return None
    first = re.fullmatch(r"\w+\[:(\d+)\]", split.value)
    if first and int(first[1]) > 0:
        work.trace.mapped(split.path, f"{place}.limit")
        return int(first[1])
    if re.fullmatch(r"\w+" if by_split else "train|all", split.value):
        work.trace.mapped(split.path, f"{place}.source.path")
    else:
        why = "of a file all rows are read, or the first N: train[:N]; put the rows wanted into a file of their own"
        work.trace.unmapped(split.path, why, blocks=True)
    return None


def _one_file(work: Work, found: Found, split: str) -> Found:
    value = found.value
    if isinstance(value, dict) and "type" not in value and value:
        chosen = split if split in value else next(iter(value))
        for other in value:
            if other != chosen:
                work.trace.unmapped((*found.path, other), f"the split {split!r} does not read it", blocks=False)
        if chosen != split:
            work.trace.unmapped((*found.path, chosen), f"there is no file for the split {split!r}", blocks=True)
        return _one_file(work, Found((*found.path, chosen), value[chosen]), split)
    if isinstance(value, list) and value and all(isinstance(item, str) for item in value):
        if len(value) > 1:
            work.trace.unmapped(found.path, "one file is read: join the files into one", blocks=True)
        return Found(found.path, value[0])
    if not isinstance(value, str | dict) or not value:
        wrong(found.path, value, "file's path")
    return found


def _on_azure(work: Work, view: View, file: Found, place: str, root: str | None) -> dict[str, Any] | None:
    """Returns a source on Azure ML, or what stands for one that was listed; None where the file is not there.

    The file is a resource itself, or is named below a folder that is.
    """
    folder = view.get("data_dir")
    for found in (file, folder):
        if found is not None and isinstance(found.value, dict):
            made = _resource(work, found, place)
            break
        if found is not None and isinstance(found.value, str) and found.value.startswith("azureml:"):
            made = address(work, found, place)
            break
    else:
        if not root or not root.startswith("azureml:"):
            return None
        found, made = None, _below_root(work, file, place, root)
    if made is not None and "datastore" in made:
        if found is folder and folder is not None:
            work.trace.mapped(file.path, f"{place}.path")
            made["path"] = f"{made['path'].rstrip('/')}/{file.value}"
        return {"azureML": made}
    where = stand_in(work, "data", "train.jsonl")
    if made is not None and found is not None:
        work.trace.retract(found.path)
        work.trace.unmapped(found.path, BY_HAND.format(path=where), blocks=True)
    return {"path": where}


def _below_root(work: Work, file: Found, place: str, root: str) -> dict[str, Any] | None:
    """data_root is an address: Olive puts it before the file's."""
    return address(work, Found(file.path, f"{root.rstrip('/')}/{file.value}"), place)


def _resource(work: Work, found: Found, place: str) -> dict[str, Any] | None:
    view = View.of(work.trace, found.path, found.value, "config")
    kind = view.text("type")
    if kind is None or kind.value not in KINDS:
        raise unknown_kind(kind or Found((*found.path, "type"), None), ())
    return resource(work, view, kind, place)
