"""Models in a store: looked at by their first bytes, fetched when a pass needs them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

from millwright_api.errors import Damaged, ModelNotFound
from millwright_api.names import fingerprint
from millwright_runner.artifact import HF, Artifact
from millwright_runner.models.examine import TELLS, examine
from millwright_runner.models.facts import FoundModel
from millwright_runner.stores import Entry, Store
from millwright_runner.stores.disk import told


class StoreFiles:
    """A model's files in a store: satisfies `ModelFiles`.

    Args:
        store: the store.
        where: what a person calls the place.
        files: which files of the store these are, by the names that they have in Hugging Face's form.
    """

    def __init__(self, store: Store, where: str, files: Mapping[str, Entry]) -> None:
        self.store, self.where, self.files = store, where, files

    @cached_property
    def sizes(self) -> dict[str, int]:
        """Sizes by name."""
        return {name: entry.size for name, entry in self.files.items()}

    def first(self, name: str, size: int) -> bytes:
        """Returns the first bytes of a file."""
        blob = self.store.read(self.files[name].key, first=size)
        if blob is None:
            raise Damaged("the file was there a moment ago and is gone", where=f"{self.where.rstrip('/')}/{name}")
        return blob.data


def find_stored(
    store: Store, home: Path, *, trusted: bool, where: str | None = None, files: Mapping[str, Entry] | None = None
) -> FoundModel:
    """Looks up a model in a store and fetches its small files.

    Args:
        store: the model's folder, or one around it.
        home: a folder of this machine for downloads.
        trusted: whether code that comes with it may run.
        where: what a person calls the place. None: as the store calls itself.
        files: which files of the store make the model, by the names that they have in Hugging Face's form. None: those in
            the store's own folder, as they are called.

    Raises:
        ModelNotFound: nothing lies there.
        InvalidModel: see `examine`.
        AccessDenied, StoreNotFound, StoreUnreachable: the store did not let us look.
    """
    if files is None:
        files = {entry.key: entry for entry in store.list("") if "/" not in entry.key}
    found = StoreFiles(store, where or store.uri, files)
    if not files:
        raise ModelNotFound("nothing lies there", where=found.where, hint="a model's key is its folder's")
    examined = examine(found, trusted=trusted)
    stats = {name: store.stat(files[name].key) for name in examined.names}
    # A digest the store was told is the content's own; without one the etag stands for it.
    digest = fingerprint([[name, stat.size, stat.sha256 or stat.etag] for name, stat in stats.items() if stat])
    folder = home / "models" / digest
    known = {name: stat.sha256 for name, stat in stats.items() if stat}

    def fetch(names: list[str]) -> None:
        """Brings these files, those that are not there yet."""
        with told(folder):
            folder.mkdir(parents=True, exist_ok=True)
        for name in names:
            target = folder / name
            if not (target.exists() and target.stat().st_size == files[name].size):
                store.get(files[name].key, target, known.get(name))

    def fetch_all() -> Artifact:
        """Brings the whole model."""
        fetch(examined.names)
        return Artifact(folder, HF, digest)

    fetch([*examined.small, *(name for name in TELLS if name in files)])
    return FoundModel(digest, examined.facts, folder, fetch_all)
