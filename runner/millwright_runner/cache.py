"""The cache: a step's key, and the result that lies under it.

A key is made of everything that changes a result, and of the key of the step before: so all keys of a job are known
before anything runs, and two jobs that share a beginning share its results.
"""

from __future__ import annotations

import functools
import importlib.metadata
from pathlib import Path
from typing import Any

from millwright_api.names import fingerprint
from millwright_api.v1alpha1 import Target
from millwright_runner.artifact import FileDigest
from millwright_runner.digests import DigestMemo
from millwright_runner.passes import Pass
from millwright_runner.stores import Store
from millwright_runner.trees import Tree, delete_tree, load_tree, save_tree, verify_tree


def step_key(pass_: Pass, before: str, data: dict[str, str], target: Target) -> str:
    """Returns a step's key (64 hex digits).

    Args:
        pass_: the pass with its options.
        before: the key of the step before; of the first step, the model's digest.
        data: option's name → digest of the data set it refers to.
        target: what the model shall run on; counts where the pass says so.
    """
    return fingerprint(
        {
            "pass": pass_.name,
            "version": pass_.version,
            "options": pass_.key_options(),
            "before": before,
            "data": data,
            "libraries": library_versions(pass_.libraries),
            "target": target.model_dump(mode="json") if pass_.uses_target else None,
        }
    )


def library_versions(names: tuple[str, ...]) -> dict[str, str]:
    """Returns the installed version of each distribution, "absent" where there is none."""
    return {name: _version(name) for name in names}


@functools.cache  # reading one takes milliseconds, and each of a search's trials asks for several
def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "absent"


class Cache:
    """Results of steps in a store, by key.

    Args:
        store: where they lie, under `.millwright/cache/`.
        writes: whether new results are kept.
        memo: remembered digests.
    """

    def __init__(self, store: Store, writes: bool, memo: DigestMemo) -> None:
        self.store, self.writes, self._memo = store, writes, memo

    def find(self, key: str) -> Tree | None:
        """Returns the result under a key, or None when there is none or it is damaged."""
        tree = load_tree(self.store, prefix(key))
        return None if tree is None or verify_tree(self.store, tree, self._memo) else tree

    def peek(self, key: str) -> Tree | None:
        """Returns what the result under a key says of itself; its files are not looked at."""
        return load_tree(self.store, prefix(key))

    def keep(self, key: str, folder: Path, meta: dict[str, Any], files: list[FileDigest]) -> Tree:
        """Stores a step's result; when another process was faster, returns what that one stored."""
        there = load_tree(self.store, prefix(key))
        if there is not None and not verify_tree(self.store, there, self._memo):
            return there
        if there is not None:
            delete_tree(self.store, prefix(key))  # a damaged one would otherwise count as there
        tree = save_tree(self.store, prefix(key), folder, meta, files)
        self._memo.remember_tree(self.store.local(tree.root), tree.files)
        return tree


def prefix(key: str) -> str:
    """Returns where a key's result lies in the store."""
    return f".millwright/cache/{key}"
