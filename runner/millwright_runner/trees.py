"""Folders in a store that appear all at once: files first, then the manifest that names them, by a conditional write.

A tree without its manifest does not exist for any reader; a tree that is removed loses its manifest first.

    <prefix>/manifest.json
    <prefix>/<digest>/…      the files (in a flat tree they lie straight in <prefix>/)
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from millwright_api.errors import Damaged, StoreUnavailable, UserError
from millwright_api.names import API_VERSION, fingerprint
from millwright_runner.artifact import FileDigest, digest_of
from millwright_runner.digests import DigestMemo
from millwright_runner.stores import Conflict, Store, is_safe_key
from millwright_runner.stores.ahead import ahead

MANIFEST = "manifest.json"

SMALL = 1024 * 1024
"""Bytes up to which files are moved several at once; larger ones are split by the store itself."""

ATTEMPTS = 10
"""How often a manifest that others write at the same moment is looked at again."""

OnBytes = Callable[[int], None]


@dataclass(frozen=True)
class Tree:
    """A whole folder in a store.

    Attributes:
        prefix: where its manifest lies.
        root: where its files lie.
        digest: over its files, see `artifact.digest_of`.
        files: in path order.
        meta: whatever its writer noted; JSON.
    """

    prefix: str
    root: str
    digest: str
    files: list[FileDigest]
    meta: dict[str, Any]

    @property
    def bytes(self) -> int:
        """Size of all its files."""
        return sum(file.size for file in self.files)


def save_tree(
    store: Store,
    prefix: str,
    folder: Path,
    meta: dict[str, Any],
    files: Sequence[FileDigest],
    *,
    on_bytes: OnBytes | None = None,
    flat: bool = False,
) -> Tree:
    """Stores a folder; goes on where an interrupted call stopped. The first of several writers wins.

    Args:
        prefix: where it goes.
        folder: where the files are; it is not written to afterwards (a file store may share them by hard links).
        meta: noted in the manifest; JSON.
        files: which of the folder's files, see `digests.digest_folder`.
        on_bytes: told the bytes moved.
        flat: files straight under the prefix, for people to use in place.

    Returns:
        What lies there now: the tree of another writer when that one was faster.

    Raises:
        Damaged: a file is not what `files` says.
        UserError: a flat tree's file has the manifest's name.
    """
    tree = _planned(prefix, meta, files, flat)

    def put(file: FileDigest, tell: OnBytes | None) -> None:
        """Sends one file."""
        store.put(f"{tree.root}/{file.path}", folder / file.path, file.sha256, tell)

    _move(tree, put, on_bytes)
    return _commit(store, tree)


def copy_tree(
    store: Store, tree: Tree, prefix: str, meta: dict[str, Any], *, on_bytes: OnBytes | None = None, flat: bool = False
) -> Tree:
    """Makes a second tree of the same files in the same store, without moving them through this machine.

    See `save_tree` for the arguments and what is returned.

    Raises:
        Damaged: a file of the source is not there any more.
    """
    copied = _planned(prefix, meta, tree.files, flat)

    def copy(file: FileDigest, tell: OnBytes | None) -> None:
        """Copies one file."""
        store.copy(f"{tree.root}/{file.path}", f"{copied.root}/{file.path}")
        if tell:
            tell(file.size)

    _move(copied, copy, on_bytes)
    return _commit(store, copied)


def load_tree(store: Store, prefix: str) -> Tree | None:
    """Returns the tree under a prefix, or None when there is no manifest or not a whole one. Its files are not looked at."""
    blob = store.read(f"{prefix}/{MANIFEST}")
    return None if blob is None else _parse(prefix, blob.data)


def verify_tree(store: Store, tree: Tree, memo: DigestMemo) -> list[str]:
    """Returns what is damaged, one line a file; empty when the tree is whole.

    On this machine's disk each file's sha256 is compared, remembered ones without reading. Elsewhere size and the
    sha256 that the store was told are; the bytes themselves are compared when they are fetched.
    """
    sizes = {entry.key: entry.size for entry in store.list(f"{tree.root}/")}
    found = [(file, sizes.get(f"{tree.root}/{file.path}")) for file in tree.files]
    wrong = [
        f"{file.path}: it is gone" if size is None else f"{file.path}: {size:,} bytes, not {file.size:,}"
        for file, size in found
        if size != file.size
    ]
    return wrong or [f"{path}: its sha256 is another one" for path in _other_digests(store, tree, memo)]


def fetch_tree(store: Store, tree: Tree, folder: Path, memo: DigestMemo, on_bytes: OnBytes | None = None) -> Path:
    """Returns a folder of this machine with the tree's files, verified.

    From a file store that is the tree's own place, not to be written into. Else the files are fetched into `folder`,
    which should be named after the digest; those that are there already are kept.

    Raises:
        Damaged: a file is not what the manifest says.
    """
    place = store.local(tree.root)
    if place is not None and tree.files:
        wrong = verify_tree(store, tree, memo)
        if wrong:
            raise Damaged(wrong[0], where=f"{store.uri}{tree.root}")
        return place

    def get(file: FileDigest, tell: OnBytes | None) -> None:
        """Fetches one file, unless it is there."""
        target = folder / file.path
        if target.is_file() and target.stat().st_size == file.size and memo.sha256(target) == file.sha256:
            if tell:
                tell(file.size)
            return
        store.get(f"{tree.root}/{file.path}", target, file.sha256, tell)
        memo.remember(target, file.sha256)

    folder.mkdir(parents=True, exist_ok=True)
    _move(tree, get, on_bytes)
    return folder


def delete_tree(store: Store, prefix: str) -> None:
    """Removes everything under a prefix, the manifest first."""
    store.delete([f"{prefix}/{MANIFEST}"])
    store.delete([entry.key for entry in store.list(f"{prefix}/")])


def sealed(body: dict[str, Any]) -> bytes:
    """Returns a manifest's bytes: JSON with a seal, the fingerprint of all the rest. NaN and infinities become null."""
    body = _without_nan(body)
    return json.dumps(body | {"seal": fingerprint(body)}, indent=1, ensure_ascii=False).encode() + b"\n"


def unsealed(data: bytes, kind: str) -> dict[str, Any] | None:
    """Returns a manifest's content, or None when it is of another kind or not as it was written."""
    try:
        body = json.loads(data)
        seal = body.pop("seal")
        whole = body["apiVersion"] == API_VERSION and body["kind"] == kind and seal == fingerprint(body)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    return body if whole else None


def files_as_data(files: Sequence[FileDigest]) -> list[dict[str, Any]]:
    """Returns files as they stand in a manifest."""
    return [{"path": file.path, "size": file.size, "sha256": file.sha256} for file in files]


def files_from_data(data: list[dict[str, Any]]) -> list[FileDigest] | None:
    """Returns files as a manifest names them; None when a path would lead out of the tree."""
    files = [FileDigest(file["path"], file["size"], file["sha256"]) for file in data]
    return files if all(is_safe_key(file.path) for file in files) else None


def _without_nan(value: Any) -> Any:
    """A loss may be NaN; JSON has no form for it, and a result that took hours is not to fail on that."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: _without_nan(part) for key, part in value.items()}
    return [_without_nan(part) for part in value] if isinstance(value, list | tuple) else value


def _planned(prefix: str, meta: dict[str, Any], files: Sequence[FileDigest], flat: bool) -> Tree:
    if flat and any(file.path == MANIFEST for file in files):
        raise UserError(
            f"the result has a file of its own named {MANIFEST}, where the store's manifest has to lie", where=prefix
        )
    digest = digest_of(files)
    root = prefix if flat else f"{prefix}/{digest[:16]}"  # so that two writers of different content never mix files
    return Tree(prefix, root, digest, sorted(files, key=lambda file: file.path), meta)


def _parse(prefix: str, data: bytes) -> Tree | None:
    body = unsealed(data, "Tree")
    files = files_from_data(body["files"]) if body else None
    if (
        body is None
        or files is None
        or body["root"] not in {"", body["digest"][:16]}
        or digest_of(files) != body["digest"]
    ):
        return None
    return Tree(prefix, f"{prefix}/{body['root']}".rstrip("/"), body["digest"], files, body["meta"])


def _move(tree: Tree, move: Callable[[FileDigest, OnBytes | None], None], on_bytes: OnBytes | None) -> None:
    """Moves large files one after another and small ones several at once; `on_bytes` is called from this thread only."""

    def move_small(file: FileDigest) -> int:
        """Moves one file and returns its size."""
        move(file, None)
        return file.size

    for file in tree.files:
        if file.size > SMALL:
            move(file, on_bytes)
    with closing(ahead(move_small, [file for file in tree.files if file.size <= SMALL])) as moved:
        for size in moved:
            if on_bytes:
                on_bytes(size)


def _commit(store: Store, tree: Tree) -> Tree:
    """Writes the manifest, unless another writer's whole one is there; returns the tree that is there then."""
    body = {
        "apiVersion": API_VERSION, "kind": "Tree", "root": tree.root.removeprefix(tree.prefix).strip("/"),
        "digest": tree.digest, "bytes": tree.bytes, "files": files_as_data(tree.files), "meta": tree.meta,
    }  # fmt: skip
    key, data = f"{tree.prefix}/{MANIFEST}", sealed(body)
    for _ in range(ATTEMPTS):
        blob = store.read(key)
        there = _parse(tree.prefix, blob.data) if blob else None
        try:
            if there is None:
                store.write(key, data, if_absent=blob is None, if_match=blob.etag if blob else None)
        except Conflict:
            continue
        winner = there or tree
        if winner.root != winner.prefix:
            _remove_remains(store, winner)
        return winner
    raise StoreUnavailable("its manifest is written again and again by others", where=f"{store.uri}{key}")


def _remove_remains(store: Store, tree: Tree) -> None:
    """Removes what interrupted or slower writers of other content left beside a tree."""
    kept = {f"{tree.prefix}/{MANIFEST}", *(f"{tree.root}/{file.path}" for file in tree.files)}
    remains = [entry.key for entry in store.list(f"{tree.prefix}/") if entry.key not in kept]
    if remains:
        store.delete(remains)


def _other_digests(store: Store, tree: Tree, memo: DigestMemo) -> list[str]:
    place = store.local(tree.root)
    if place is not None:
        digests: Sequence[str | None] = memo.sha256_all([place / file.path for file in tree.files])
    else:
        with closing(ahead(lambda file: store.stat(f"{tree.root}/{file.path}"), tree.files)) as stats:
            digests = [stat.sha256 if stat else "" for stat in stats]
    pairs = zip(tree.files, digests, strict=True)
    return [file.path for file, digest in pairs if digest not in {None, file.sha256}]
