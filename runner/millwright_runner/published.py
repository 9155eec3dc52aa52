"""The output of a job: one model in a store, found through the manifest at the store's root.

<output>/manifest.json               names the result and its files; switched by a conditional write
<output>/manifest.json.sig           a signature over it, where there is a key
<output>/<first 12 of fingerprint>/  the model itself, with a manifest of its own; can be used in place. Beside its files lie
                                     others that tell of it (card, provenance), which the manifest at the root names too
<output>/model                       in a folder of this machine: a link to the above, for people
"""

from __future__ import annotations

import contextlib
import hashlib
import random
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from dataclasses import replace as changed
from pathlib import Path
from typing import Any, Protocol

from millwright_api.errors import Damaged, OutputExists, StoreUnavailable
from millwright_api.names import API_VERSION
from millwright_runner.artifact import FileDigest, digest_of
from millwright_runner.digests import DigestMemo
from millwright_runner.signing import is_about
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

CARD, PROVENANCE, TRIALS = "README.md", "provenance.json", "trials.jsonl"
"""Files beside the model's own that tell of it; the last one of a search, whose best trial the model is."""

SIGNATURE = f"{MANIFEST}.sig"
"""At the root."""

Beside = Callable[[Sequence[FileDigest], Mapping[str, bytes]], Mapping[str, bytes]]
"""Given the model's files and what lies beside them already, returns what is to lie there: name → content."""


class Signer(Protocol):
    """Signs manifests; see `signing.SigningKey`."""

    def sign(self, manifest: bytes) -> bytes:
        """Returns a signature's file."""

    def fits(self, envelope: bytes | None, manifest: bytes) -> bool:
        """Whether a signature that is there need not be made again."""


@dataclass(frozen=True)
class Published:
    """What an output holds.

    Attributes:
        uri: where the model lies, as a person would type it, ending in a slash.
        fingerprint: names the result: the last step's cache key.
        format: the artifact's format.
        tree: the model's files; its prefix is where they lie in the output.
        meta: whatever was noted at publishing; JSON.
        beside: files under the same prefix that tell of the model, in path order.
        replaced: prefix of the result that was there before.
        replaced_beside: what lay beside that one.
        etag: of the root manifest.
        manifest: the root manifest's bytes.
    """

    uri: str
    fingerprint: str
    format: str
    tree: Tree
    meta: dict[str, Any]
    beside: list[FileDigest]
    replaced: str | None
    replaced_beside: list[FileDigest]
    etag: str
    manifest: bytes

    @property
    def files(self) -> list[FileDigest]:
        """The model's files, in path order."""
        return self.tree.files


def free_name(name: str, files: Sequence[FileDigest]) -> str:
    """Returns the name of a file beside a model, or where the model has a file of its own that is called so, one that is free."""
    stem, dot, suffix = name.partition(".")
    return f"{stem}.millwright{dot}{suffix}" if any(file.path == name for file in files) else name


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
    beside, gone = (files_from_data((body or {}).get(key, [])) for key in ("beside", "replacedBeside"))
    if body is None or files is None or beside is None or gone is None or not is_safe_key(body["prefix"]):
        raise OutputExists(
            f"it holds a {MANIFEST} that Millwright did not write",
            where=store.uri,
            hint="choose another output, or remove the file",
        )
    tree = Tree(body["prefix"], body["prefix"], body["digest"], files, body["meta"])
    return Published(
        uri=f"{store.uri}{tree.prefix}/", fingerprint=body["fingerprint"], format=body["format"], tree=tree,
        meta=body["meta"], beside=beside, replaced=body["replaced"], replaced_beside=gone, etag=blob.etag,
        manifest=blob.data,
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
    beside: Beside | None = None,
    signer: Signer | None = None,
    noted: Mapping[str, Any] | None = None,
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
        beside: what is to lie beside the model; None: nothing, and what lies there stays.
        signer: signs the manifest; None: a signature stays only as long as it fits.
        noted: noted in the manifest too, also where another job has published this very model before.

    Raises:
        OutputExists: the output holds another result.
        Damaged: a file of the result is not what it should be.
    """
    for _ in range(ATTEMPTS):
        there = read_published(store)
        if there is None or there.fingerprint != fingerprint or damaged_files(store, there, memo):
            refuse_other(store, there, fingerprint, replace=replace)
            prefix = _claimed(store, fingerprint, digest_of(files))
            tree = _bring(
                store, prefix, cached or folder, files=files, meta=meta | dict(noted or {}), on_bytes=on_bytes
            )
            told = _write_beside(store, tree.prefix, beside(tree.files, {}) if beside else {})
            try:
                _switch(store, there, fingerprint=fingerprint, format=format, tree=tree, beside=told)
            except Conflict:  # another process published meanwhile: look again
                continue
            there = read_published(store)
            memo.remember_tree(store.local(tree.root), files)
        if there is not None and there.fingerprint == fingerprint:
            _drop_replaced(store, there)
            point_to(store, there.tree.prefix)
            return accompany(store, there, beside, signer, noted)
    raise StoreUnavailable("its manifest is written again and again by others", where=store.uri)


def accompany(
    store: Store,
    there: Published,
    beside: Beside | None,
    signer: Signer | None,
    noted: Mapping[str, Any] | None = None,
) -> Published:
    """Brings up to date what lies beside a model that is published: figures may have come, a file may be damaged; another
    search may have found it too.

    Writes nothing when all is right. Whoever writes last looks last, so what lies there is what the manifest says.

    Args:
        store: the output.
        there: what it holds.
        beside: see `publish`.
        signer: see `publish`.
        noted: see `publish`.
    """
    for attempt in range(ATTEMPTS):
        if beside is None:
            break
        held = {file.path: data for file in there.beside if (data := _whole(store, there, file)) is not None}
        wanted = dict(beside(there.files, held))
        wanted_meta = there.meta | dict(noted or {})
        if len(held) == len(there.beside) and ((wanted == held and wanted_meta == there.meta) or attempt):
            break  # after the first attempt another's are as good, or writers would take turns
        time.sleep(random.uniform(0, 0.05) * min(2**attempt, 16) if attempt else 0)  # writers that meet get out of step
        told = _write_beside(store, there.tree.prefix, wanted)
        with contextlib.suppress(Conflict):
            if told != there.beside or wanted_meta != there.meta:
                tree = changed(there.tree, meta=wanted_meta)
                _switch(store, there, fingerprint=there.fingerprint, format=there.format, tree=tree, beside=told)
        now = read_published(store)  # looked at again: another process may have written between the two
        if now is None or now.fingerprint != there.fingerprint:
            break
        there = now
    _sign(store, there, signer)
    return there


def _whole(store: Store, there: Published, file: FileDigest) -> bytes | None:
    """Returns the content of a file beside a model; None where it is not what the manifest says."""
    blob = store.read(f"{there.tree.prefix}/{file.path}")
    return blob.data if blob and hashlib.sha256(blob.data).hexdigest() == file.sha256 else None


def _write_beside(store: Store, prefix: str, files: Mapping[str, bytes]) -> list[FileDigest]:
    for name, data in files.items():
        store.write(f"{prefix}/{name}", data)
    told = [FileDigest(name, len(data), hashlib.sha256(data).hexdigest()) for name, data in files.items()]
    return sorted(told, key=lambda file: file.path)


def _sign(store: Store, there: Published, signer: Signer | None) -> None:
    """Signs the manifest unless it is; a signature that is of another manifest goes."""
    blob = store.read(SIGNATURE)
    if signer is not None:
        if not signer.fits(blob.data if blob else None, there.manifest):
            store.write(SIGNATURE, signer.sign(there.manifest))
    elif blob is not None and not is_about(blob.data, there.manifest):
        store.delete([SIGNATURE])


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


def _switch(
    store: Store,
    there: Published | None,
    *,
    fingerprint: str,
    format: str,  # noqa: A002
    tree: Tree,
    beside: list[FileDigest],
) -> None:
    replaced = there if there and there.tree.prefix != tree.prefix else None
    body = {
        "apiVersion": API_VERSION, "kind": "PublishedModel", "fingerprint": fingerprint, "format": format,
        "prefix": tree.prefix, "digest": tree.digest, "bytes": tree.bytes, "files": files_as_data(tree.files),
        "meta": tree.meta, "beside": files_as_data(beside), "replaced": replaced.tree.prefix if replaced else None,
        "replacedBeside": files_as_data(replaced.beside) if replaced else [],
    }  # fmt: skip
    store.write(MANIFEST, sealed(body), if_absent=there is None, if_match=there.etag if there else None)


def _drop_replaced(store: Store, there: Published) -> None:
    """Removes the result that was there before: only files that manifests name, a person's stay."""
    if there.replaced is None or not is_safe_key(there.replaced):
        return
    blob = store.read(f"{there.replaced}/{MANIFEST}")
    body = unsealed(blob.data, "Tree") if blob else None
    files = files_from_data(body["files"]) if body else None
    if files is not None:
        names = [MANIFEST, CLAIM, *(file.path for file in [*files, *there.replaced_beside])]
        store.delete([f"{there.replaced}/{name}" for name in names])


def point_to(store: Store, prefix: str) -> None:
    """In a folder of this machine: turns the link `model` to the model, in one go."""
    root = store.local("")
    if root is None:
        return
    if (root / LINK).is_symlink():
        if (root / LINK).readlink() == Path(prefix):
            return
    elif (root / LINK).exists():
        return  # a file or folder of that name is a person's
    temp = root / f".{LINK}-{secrets.token_hex(8)}"  # every pod's process has the same number
    with contextlib.suppress(OSError):  # a convenience: some file systems have no links
        temp.symlink_to(prefix, target_is_directory=True)
        temp.replace(root / LINK)
