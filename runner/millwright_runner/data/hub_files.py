"""Which files a split of a hub's dataset is made of, without `datasets`: as far as its README or its file names say it.

The light image has no `datasets`. What is not clear here is left to it, in the runner's image.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Any

from millwright_runner.data.rows import FORMATS

SPLIT_WORDS = {
    "train": ("train", "training"),
    "test": ("test", "testing", "eval", "evaluation"),
    "validation": ("validation", "valid", "val", "dev"),
}
"""How file names spell the usual splits."""

_HEAD = re.compile(r"\A---\s*\n(.*?)\n---", re.DOTALL)


def plain_files(names: Iterable[str], readme: str, subset: str | None, split: str) -> list[str] | None:
    """Returns the files of a split, in order; None where only `datasets` can tell.

    Args:
        names: all files of the repository.
        readme: its README, whose head may say which files belong to what.
        subset: the configuration that is wanted; None: the default one.
        split: the split's name, without a slice.
    """
    rows = sorted(name for name in names if name.lower().removesuffix(".gz").endswith(tuple(FORMATS)))
    configs = _configs(readme)
    if configs:
        patterns = _patterns(configs, subset, split)
        return [name for name in rows if any(_matches(name, p) for p in patterns)] or None if patterns else None
    if subset is not None:
        return None
    named = {split: [name for name in rows if _is_named(name, words)] for split, words in SPLIT_WORDS.items()}
    if any(named.values()):
        return named.get(split) or None
    return rows if split == "train" and len(rows) == 1 else None


def _configs(readme: str) -> list[Mapping[str, Any]]:
    import yaml

    head = _HEAD.search(readme)
    try:
        found = yaml.safe_load(head[1]) if head else None
    except yaml.YAMLError:
        return []
    configs = found.get("configs") if isinstance(found, dict) else None
    return [config for config in configs if isinstance(config, dict)] if isinstance(configs, list) else []


def _patterns(configs: list[Mapping[str, Any]], subset: str | None, split: str) -> list[str]:
    """Returns the patterns that the README has for a split; none where it says nothing that is read here."""
    chosen = [c for c in configs if c.get("config_name") == subset] if subset else _default(configs)
    files = chosen[0].get("data_files") if len(chosen) == 1 else None
    if isinstance(files, str):
        return [files] if split == "train" else []
    entries = [entry for entry in files if isinstance(entry, dict)] if isinstance(files, list) else []
    paths = [entry.get("path") for entry in entries if entry.get("split") == split]
    flat = [part for path in paths for part in (path if isinstance(path, list) else [path])]
    return [path for path in flat if isinstance(path, str)]


def _default(configs: list[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    marked = [c for c in configs if c.get("default") is True or c.get("config_name") == "default"]
    return marked or configs


def _matches(name: str, pattern: str) -> bool:
    return fnmatchcase(name, pattern.replace("**/", "*"))


def _is_named(name: str, words: tuple[str, ...]) -> bool:
    return re.search(rf"(?:^|[^a-z])(?:{'|'.join(words)})(?:[^a-z]|$)", name.lower()) is not None
