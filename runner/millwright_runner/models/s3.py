"""Models in an S3 store: looked at by their first bytes, fetched when a pass needs them."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

from millwright_api.errors import Damaged, ModelNotFound
from millwright_api.names import fingerprint
from millwright_api.v1alpha1 import S3Location
from millwright_runner.artifact import HF, Artifact
from millwright_runner.models.examine import TELLS, examine
from millwright_runner.models.facts import FoundModel
from millwright_runner.stores import Store, open_store
from millwright_runner.stores.disk import told


class StoreFiles:
    """A folder of a store: satisfies `ModelFiles`."""

    def __init__(self, store: Store) -> None:
        self.store, self.where = store, store.uri

    @cached_property
    def sizes(self) -> dict[str, int]:
        """Sizes by name, of the folder's own files."""
        return {entry.key: entry.size for entry in self.store.list("") if "/" not in entry.key}

    def first(self, name: str, size: int) -> bytes:
        """Returns the first bytes of a file."""
        blob = self.store.read(name, first=size)
        if blob is None:
            raise Damaged("the file was there a moment ago and is gone", where=f"{self.where}{name}")
        return blob.data


def find_s3(location: S3Location, home: Path, *, trusted: bool) -> FoundModel:
    """Looks a folder of a store up and fetches its small files.

    Raises:
        ModelNotFound: nothing lies there.
        InvalidModel: see `examine`.
        AccessDenied, StoreNotFound, StoreUnreachable: the store did not let us look.
    """
    files = StoreFiles(open_store(location.model_copy(update={"uri": f"{location.uri.rstrip('/')}/"})))
    if not files.sizes:
        raise ModelNotFound("nothing lies there", where=files.where, hint="a model's key is its folder's")
    examined = examine(files, trusted=trusted)
    stats = {name: files.store.stat(name) for name in examined.names}
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
            if not (target.exists() and target.stat().st_size == files.sizes[name]):
                files.store.get(name, target, known.get(name))

    def fetch_all() -> Artifact:
        """Brings the whole model."""
        fetch(examined.names)
        return Artifact(folder, HF, digest)

    fetch([*examined.small, *(name for name in TELLS if name in files.sizes)])
    return FoundModel(digest, examined.facts, folder, fetch_all)
