"""Checkpoints of one step: in the output's store, whole or not at all, until the step succeeds."""

from __future__ import annotations

from pathlib import Path

from millwright_api.errors import Damaged
from millwright_runner.digests import DigestMemo, digest_folder
from millwright_runner.stores import Store
from millwright_runner.trees import delete_tree, fetch_tree, load_tree, save_tree

KEPT = 2
"""The newest, and the one before it for the case that the newest turns out damaged."""


class StoredCheckpoints:
    """Satisfies `passes.Checkpoints`.

    Args:
        store: the output's store.
        key: the step's cache key: another recipe never goes on from here.
        every_steps: optimizer steps between two checkpoints.
        scratch: a folder of this machine, for those that must be fetched.
        memo: remembered digests.
    """

    def __init__(self, store: Store, key: str, every_steps: int, scratch: Path, memo: DigestMemo) -> None:
        self.every_steps = every_steps
        self._store, self._prefix = store, f".millwright/checkpoints/{key}"
        self._scratch, self._memo = scratch, memo

    def latest(self) -> Path | None:
        """Returns a folder with the newest whole checkpoint, or None; damaged ones are passed over."""
        for step in reversed(self._steps()):
            tree = load_tree(self._store, self._of(step))
            if tree is None:  # its manifest comes last: this one was interrupted
                continue
            try:
                return fetch_tree(self._store, tree, self._scratch / str(step), self._memo)
            except Damaged:
                continue
        return None

    def save(self, folder: Path, step: int) -> None:
        """Stores a checkpoint, then drops all but the newest two."""
        files, _ = digest_folder(folder, self._memo)
        save_tree(self._store, self._of(step), folder, {"step": step}, files)
        for older in self._steps()[:-KEPT]:
            delete_tree(self._store, self._of(older))

    def clear(self) -> None:
        """Drops all of them: the step has succeeded."""
        for step in self._steps():
            delete_tree(self._store, self._of(step))

    def _of(self, step: int) -> str:
        return f"{self._prefix}/{step:09d}"

    def _steps(self) -> list[int]:
        found = (
            entry.key.removeprefix(f"{self._prefix}/").split("/")[0] for entry in self._store.list(f"{self._prefix}/")
        )
        return sorted({int(name) for name in found if name.isdigit()})
