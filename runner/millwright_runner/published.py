"""The output of a job: one model in a store, found through the manifest at the store's root.

<output>/manifest.json               names the result and its files; switched by a conditional write
<output>/<first 12 of fingerprint>/  the model itself, with a manifest of its own; can be used in place
<output>/model                       in a folder of this machine: a link to the above, for people
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from millwright_api.errors import Damaged, OutputExists, StoreUnavailable
from millwright_api.names import API_VERSION
from millwright_runner.artifact import FileDigest, digest_of
from millwright_runner.digests import DigestMemo
from millwright_runner.stores import Conflict, Store, is_safe_key
from millwright_runner.trees import (
    ATTEMPTS,
    MANIFEST,
    OnBytes,
    Tree,
    copy_tree,
    files_as_data,
    files_from_data,
    save_tree,
    sealed,
    unsealed,
    verify_tree,
)

CLAIM = ".claim"
"""Beside a model's files: the digest of what is written there, so that two writers never mix two results."""

LINK = "model"


@dataclass(frozen=True)
class Published:
    """What an output holds.

    Attributes:
        uri: where the model lies, as a person would type it, ending in a slash.
        fingerprint: names the result: the last step's cache key.
        format: the artifact's format.
        tree: the model's files; its prefix is where they lie in the output.
        meta: whatever was noted at publishing; JSON.
        replaced: prefix of the result that was there before.
        etag: of the root manifest.
    """

    uri: str
    fingerprint: str
    format: str
    tree: Tree
    meta: dict[str, Any]
    replaced: str | None
    etag: str

    @property
    def files(self) -> list[FileDigest]:
        """The model's files, in path order."""
        return self.tree.files


def read_published(store: Store) -> Published | None:
    """Returns what an output holds, or None when it holds nothing yet. The files are not looked at.

    Raises:
        OutputExists: there is a manifest.json, and it is not one of ours or not whole.
    """
    blob = store.read(MANIFEST)
    if blob is None:
        return None
    body = unsealed(blob.data, "PublishedModel")
    files = files_from_data(body["files"]) if body else None
    if body is None or files is None or not is_safe_key(body["prefix"]):
        raise OutputExists(
            f"it holds a {MANIFEST} that Millwright did not write",
            where=store.uri,
            hint="choose another output, or remove the file",
        )
    tree = Tree(body["prefix"], body["prefix"], body["digest"], files, body["meta"])
    return Published(
        uri=f"{store.uri}{tree.prefix}/", fingerprint=body["fingerprint"], format=body["format"], tree=tree,
        meta=body["meta"], replaced=body["replaced"], etag=blob.etag,
    )  # fmt: skip


def damaged_files(store: Store, published: Published, memo: DigestMemo) -> list[str]:
    """Returns what is damaged of a published model, one line a file; empty when it is whole; see `trees.verify_tree`."""
    return verify_tree(store, published.tree, memo)


def publish(
    store: Store,
    fingerprint: str,
    *,
    folder: Path | None,
    files: Sequence[FileDigest],
    cached: Tree | None,
    memo: DigestMemo,
    format: str,  # noqa: A002 - the artifact's word for it
    meta: dict[str, Any],
    replace: bool,
    on_bytes: OnBytes | None = None,
) -> Published:
    """Makes a result the output's model: all at once, and only by condition. Does nothing when it is already.

    Args:
        store: the output.
        fingerprint: names the result: the last step's cache key.
        folder: the result on this machine; needed where `cached` is not given.
        files: which of its files.
        cached: the result as a tree of this very store: then it is copied there, not sent.
        memo: remembered digests.
        format: the artifact's format.
        meta: noted in the manifests; JSON.
        replace: whether another result may be replaced.
        on_bytes: told the bytes moved.

    Raises:
        OutputExists: the output holds another result.
        Damaged: a file of the result is not what it should be.
    """
    for _ in range(ATTEMPTS):
        there = read_published(store)
        if there is None or there.fingerprint != fingerprint or damaged_files(store, there, memo):
            refuse_other(store, there, fingerprint, replace=replace)
            prefix = _claimed(store, fingerprint, digest_of(files))
            tree = _bring(store, prefix, cached or folder, files=files, meta=meta, on_bytes=on_bytes)
            try:
                _switch(store, fingerprint, format, tree, there)
            except Conflict:  # another process published meanwhile: look again
                continue
            there = read_published(store)
            memo.remember_tree(store.local(tree.root), files)
        if there is not None and there.fingerprint == fingerprint:
            _drop_replaced(store, there)
            _point(store, there.tree.prefix)
            return there
    raise StoreUnavailable("its manifest is written again and again by others", where=store.uri)


def refuse_other(store: Store, there: Published | None, fingerprint: str, *, replace: bool) -> None:
    """Raises OutputExists when an output holds another result that may not be replaced."""
    if there is not None and there.fingerprint != fingerprint and not replace:
        raise OutputExists(
            f"it holds another result ({there.fingerprint[:12]}; this job's is {fingerprint[:12]})",
            where=store.uri, hint="set spec.output.replace: true, or choose another output",
        )  # fmt: skip


def _bring(
    store: Store,
    prefix: str,
    source: Tree | Path | None,
    *,
    files: Sequence[FileDigest],
    meta: dict[str, Any],
    on_bytes: OnBytes | None,
) -> Tree:
    if isinstance(source, Tree):
        tree = copy_tree(store, source, prefix, meta, on_bytes=on_bytes, flat=True)
    elif source is not None:
        tree = save_tree(store, prefix, source, meta, files, on_bytes=on_bytes, flat=True)
    else:
        raise TypeError("a result is in a folder or in the cache")
    if tree.digest != digest_of(files):
        raise Damaged(f"another result lies there, although its {CLAIM} says otherwise", where=f"{store.uri}{prefix}")
    return tree


def _claimed(store: Store, fingerprint: str, digest: str) -> str:
    """Returns the prefix for this content: the usual one, unless the same recipe gave another result there."""
    usual = fingerprint[:12]
    try:
        store.write(f"{usual}/{CLAIM}", digest.encode(), if_absent=True)
    except Conflict:
        held = store.read(f"{usual}/{CLAIM}")
        if held is None or held.data != digest.encode():
            return f"{usual}-{digest[:8]}"
    return usual


def _switch(store: Store, fingerprint: str, format: str, tree: Tree, there: Published | None) -> None:  # noqa: A002
    body = {
        "apiVersion": API_VERSION, "kind": "PublishedModel", "fingerprint": fingerprint, "format": format,
        "prefix": tree.prefix, "digest": tree.digest, "bytes": tree.bytes, "files": files_as_data(tree.files),
        "meta": tree.meta, "replaced": there.tree.prefix if there and there.tree.prefix != tree.prefix else None,
    }  # fmt: skip
    store.write(MANIFEST, sealed(body), if_absent=there is None, if_match=there.etag if there else None)


def _drop_replaced(store: Store, there: Published) -> None:
    """Removes the result that was there before: only files that its own manifest names, a person's stay."""
    if there.replaced is None or not is_safe_key(there.replaced):
        return
    blob = store.read(f"{there.replaced}/{MANIFEST}")
    body = unsealed(blob.data, "Tree") if blob else None
    files = files_from_data(body["files"]) if body else None
    if files is not None:
        names = [MANIFEST, CLAIM, *(file.path for file in files)]
        store.delete([f"{there.replaced}/{name}" for name in names])


def _point(store: Store, prefix: str) -> None:
    """In a folder of this machine: turns the link `model` to the model, in one go."""
    root = store.local("")
    if root is None:
        return
    if (root / LINK).is_symlink():
        if (root / LINK).readlink() == Path(prefix):
            return
    elif (root / LINK).exists():
        return  # a file or folder of that name is a person's
    temp = root / f".{LINK}-{os.getpid()}"
    with contextlib.suppress(OSError):  # a convenience: some file systems have no links
        temp.symlink_to(prefix, target_is_directory=True)
        temp.replace(root / LINK)
