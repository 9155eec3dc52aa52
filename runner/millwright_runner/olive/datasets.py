"""data_configs → spec.data: where rows come from. How they become text is in formats.py."""

from __future__ import annotations

import re
from pathlib import PurePath
from typing import Any

from millwright_api.errors import InvalidManifest, suggest
from millwright_runner.olive.formats import text_format
from millwright_runner.olive.model import is_repo
from millwright_runner.olive.table import load
from millwright_runner.olive.trace import Path, show, wrong
from millwright_runner.olive.view import Found, View
from millwright_runner.olive.work import Work, label

BUILDERS = {"json": (".json", ".jsonl"), "csv": (".csv",), "parquet": (".parquet",)}
"""datasets' loaders of files, and the suffixes that the runner tells those forms by."""

LOADERS = ("huggingface_dataset",)
AZURE_FILE = "Azure ML's datastores come later: copy the file to {path}"


class DataSets:
    """The data sets of the JSON, converted as passes name them.

    Attributes:
        entries: spec.data so far.
    """

    def __init__(self, work: Work, top: View) -> None:
        self._work = work
        self._known = _by_name(top.get("data_configs"))
        self._labels: dict[Path, str] = {}
        self._root = top.text("data_root")
        self.entries: list[dict[str, Any]] = []
        if self._root:
            work.trace.mapped(self._root.path, "spec.data")

    def refer(self, found: Found, to: str) -> str:
        """Converts the data set that a pass names, or holds, and returns its name in the manifest.

        Raises:
            InvalidManifest: there is no such data set.
        """
        if isinstance(found.value, dict):
            name = found.value.get("name", str(found.path[-1]).removesuffix("_config"))
            return self._convert(Found(found.path, found.value), str(name))
        if not isinstance(found.value, str):
            wrong(found.path, found.value, "data set's name")
        if found.value not in self._known:
            raise InvalidManifest(
                f"no data set is called {found.value!r}", where=show(found.path), hint=suggest(found.value, self._known)
            )
        self._work.trace.mapped(found.path, to)
        return self._convert(self._known[found.value], found.value)

    def finish(self) -> None:
        """Lists the data sets that no pass names."""
        for found in self._known.values():
            if found.path not in self._labels:
                self._work.trace.unmapped(found.path, "no pass trains on this data set", blocks=False)

    def _convert(self, found: Found, name: str) -> str:
        if found.path not in self._labels:
            place = f"spec.data[{len(self.entries)}]"
            self._labels[found.path] = label(name, 63, self._labels.values())
            entry = {"name": self._labels[found.path]}
            self.entries.append(entry)
            entry.update(_entry(self._work, found, place, self._root.value if self._root else None))
        return self._labels[found.path]


def _by_name(found: Found | None) -> dict[str, Found]:
    """data_configs is a list of data sets with names, or a mapping from names."""
    if found is None:
        return {}
    if isinstance(found.value, dict):
        return {name: Found((*found.path, name), value) for name, value in found.value.items()}
    if not isinstance(found.value, list):
        wrong(found.path, found.value, "list of data sets")
    known: dict[str, Found] = {}
    for index, value in enumerate(found.value):
        path = (*found.path, index)
        name = value.get("name") if isinstance(value, dict) else None
        if not isinstance(name, str):
            wrong(path, value, "data set with a name")
        if name in known:
            raise InvalidManifest(f"the name {name!r} is taken by {show(known[name].path)}", where=show(path))
        known[name] = Found(path, value)
    return known


def _entry(work: Work, found: Found, place: str, root: str | None) -> dict[str, Any]:
    sections = load().sections
    outer = View.of(work.trace, found.path, found.value)
    structure = ("load_dataset", "pre_process_data")
    outer.walk(sections["data"], place)
    rows, words = (_component(work, found, key) for key in structure)
    rows.walk(sections["load_dataset"], place)
    if name := outer.get("name"):
        work.trace.mapped(name.path, f"{place}.name")
    for key in ("post_process_data_config", "dataloader_config"):
        if other := outer.get(key):
            work.trace.unmapped(other.path, "of evaluation: training does not use it", blocks=False)
    for view, known in ((rows, LOADERS), (words, ("text_generation_huggingface_pre_process", "huggingface_pre_process"))):
        _known_type(work, view.text("type"), known, place)
    source, limit = _source(work, rows, place, root)
    _known_type(work, outer.text("type"), ("HuggingfaceContainer", "DataContainer"), place)
    form, rows_of_text = text_format(work, words, place)
    limits = [number for number in (limit, rows_of_text) if number]
    return {"source": source, **({"limit": min(limits)} if limits else {}), **form}


def _component(work: Work, found: Found, key: str) -> View:
    """Looks at one component, in the new form (`KEY_config`, its `params`) and the one before (params_config, components)."""
    parts: list[tuple[Path, dict[str, Any]]] = []
    for *parents, last in ((f"{key}_config",), ("components", key), ("params_config", "component_kwargs", key)):
        below, path = found.value, found.path
        for parent in (*parents, last):
            below, path = (below.get(parent) if isinstance(below, dict) else None), (*path, parent)
            work.trace.possible(path[:-1], {parent})
        if below is not None:
            parts += View.of(work.trace, path, below, "params").parts
            work.trace.possible(path, {"params"})
            for named in ("name",) if parents[:1] == ["components"] else ():
                if named in below:
                    work.trace.note((*path, named), "a name that nothing refers to")
    shared = found.value.get("params_config")
    if isinstance(shared, dict):
        parts.append(((*found.path, "params_config"), shared))
    return View(work.trace, parts)


def _known_type(work: Work, found: Found | None, known: tuple[str, ...], place: str) -> None:
    if found is None:
        return
    if found.value.lower() in (name.lower() for name in known):
        work.trace.mapped(found.path, place)
    else:
        work.trace.unmapped(found.path, f"rows are read by {' or '.join(known)} only", blocks=True)


def _source(work: Work, view: View, place: str, root: str | None) -> tuple[dict[str, Any], int | None]:
    name = view.text("data_name")
    if name is None:
        raise InvalidManifest("it names no data", where=show(view.parts[0][0]) if view.parts else place, hint="data_name")
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
    source = {"repo": name.value}
    work.trace.mapped(name.path, f"{place}.source.huggingFace.repo")
    for key in ("subset", "split", "revision"):
        if found := view.text(key):
            source[key] = found.value
            work.trace.mapped(found.path, f"{place}.source.huggingFace.{key}")
    if "split" not in source:
        source["split"] = "validation"
        work.trace.note(name.path, "Olive's default split is written out: validation")
    return {"huggingFace": source}, None


def _file(work: Work, view: View, builder: str, place: str, root: str | None) -> tuple[dict[str, Any], int | None]:
    split, found = view.text("split"), view.get("data_files")
    wanted = re.match(r"\w*", split.value).group() if split else "train"  # type: ignore[union-attr]
    if found is None:
        raise InvalidManifest("it names no file", where=show(view.parts[0][0]), hint="data_files")
    for key in ("subset", "revision"):
        if other := view.get(key):
            work.trace.unmapped(other.path, "of a repository, not of a file", blocks=False)
    limit = _slice(work, split, isinstance(found.value, dict), place)
    file = _one_file(work, found, wanted)
    if isinstance(file.value, dict):
        return {"path": _datastore(work, file)}, limit
    parts = [root] if root else []
    if folder := view.text("data_dir"):
        work.trace.mapped(folder.path, f"{place}.source.path")
        parts.append(folder.value)
    path = str(PurePath(*parts, file.value))
    if path.startswith("azureml:"):
        return {"path": _datastore(work, file)}, limit
    if "*" in path or "://" in path:
        work.trace.unmapped(file.path, "one file on this machine is read: join the files into one", blocks=True)
    elif PurePath(path).suffix.lower() not in BUILDERS[builder]:
        why = f"the form of a file is told by its suffix: rename it to {' or '.join(BUILDERS[builder])}"
        work.trace.unmapped(file.path, why, blocks=True)
    else:
        work.trace.mapped(file.path, f"{place}.source.path")
    return {"path": work.paths.manifest(path)}, limit


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
    if (isinstance(value, str) and value) or isinstance(value, dict):
        return found
    wrong(found.path, value, "file's path")


def _datastore(work: Work, found: Found) -> str:
    config = found.value.get("config") if isinstance(found.value, dict) else None
    name = (config if isinstance(config, dict) else {}).get("relative_path") or (config or {}).get("datastore_url") or found.value
    file = PurePath(str(name)).name if isinstance(name, str) else "train.jsonl"
    place = work.paths.manifest(f"data/{file}")
    work.trace.unmapped(found.path, AZURE_FILE.format(path=place), blocks=True)
    return place
