"""data_configs → spec.data. Where rows come from is in sources.py, how they become text in formats.py."""

from __future__ import annotations

from typing import Any

from millwright_api.errors import InvalidManifest, suggest
from millwright_runner.olive.formats import text_format
from millwright_runner.olive.sources import source
from millwright_runner.olive.table import load
from millwright_runner.olive.trace import Path, show, wrong
from millwright_runner.olive.view import Found, View
from millwright_runner.olive.work import Work, label

LOADERS = ("huggingface_dataset",)


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
    for view, known in (
        (rows, LOADERS),
        (words, ("text_generation_huggingface_pre_process", "huggingface_pre_process")),
    ):
        _known_type(work, view.text("type"), known, place)
    found_source, limit = source(work, rows, place, root)
    _known_type(work, outer.text("type"), ("HuggingfaceContainer", "DataContainer"), place)
    form, rows_of_text = text_format(work, words, place)
    limits = [number for number in (limit, rows_of_text) if number]
    return {"source": found_source, **({"limit": min(limits)} if limits else {}), **form}


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
