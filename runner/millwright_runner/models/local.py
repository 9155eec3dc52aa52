"""Models in a folder of this machine."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

from millwright_api.errors import AccessDenied, ModelNotFound
from millwright_runner.artifact import HF, Artifact, FileDigest, digest_of
from millwright_runner.digests import DigestMemo
from millwright_runner.lookup import missing_path
from millwright_runner.models.examine import examine
from millwright_runner.models.facts import FoundModel


class LocalFiles:
    """A folder: satisfies `ModelFiles`."""

    def __init__(self, folder: Path, where: str) -> None:
        self.folder, self.where = folder, where

    @cached_property
    def sizes(self) -> dict[str, int]:
        """Sizes by name, of the folder's own files; a link counts as what it leads to."""
        return {path.name: path.stat().st_size for path in sorted(self.folder.iterdir()) if path.is_file()}

    def first(self, name: str, size: int) -> bytes:
        """Returns the first bytes of a file."""
        with (self.folder / name).open("rb") as stream:
            return stream.read(size)


def find_local(
    folder: Path, where: str, home: Path, *, trusted: bool, digest: str | None = None, read_up_to: int | None = None
) -> FoundModel:
    """Looks a folder up; nothing has to be fetched.

    Args:
        folder: the model's folder.
        where: its name in the manifest.
        home: folder for remembered digests.
        trusted: whether code that comes with it may run.
        digest: names the content, when that is known without reading it.
        read_up_to: bytes that may be read to name it; with more the digest stays empty.

    Raises:
        ModelNotFound: there is no such folder.
        InvalidModel: see `examine`.
        AccessDenied: it may not be read.
    """
    if not folder.exists():
        raise ModelNotFound("there is no such folder", where=where, hint=missing_path(folder))
    if not folder.is_dir():
        raise ModelNotFound("this is a file, and a model is a folder", where=where)
    try:
        examined = examine(files := LocalFiles(folder, where), trusted=trusted)
        if digest is None and read_up_to is not None and examined.facts.files > read_up_to:
            digest = ""
        if digest is None:
            hashes = DigestMemo(home).sha256_all([folder / name for name in examined.names])
            digest = digest_of(
                FileDigest(name, files.sizes[name], sha256) for name, sha256 in zip(examined.names, hashes, strict=True)
            )
    except PermissionError as error:
        raise AccessDenied(f"{error.filename} may not be read by this user", where=where) from error
    artifact = Artifact(folder, HF, digest)
    return FoundModel(digest, examined.facts, folder, lambda: artifact)
