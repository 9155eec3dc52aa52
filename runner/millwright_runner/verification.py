"""Whether an output is what was published: its manifest's seal, every file's size and sha256, its signature.

Every byte is read, remembered digests are not believed, and nothing is written to this machine's disk.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Literal

from millwright_api.errors import ModelNotFound
from millwright_runner.artifact import FileDigest, digest_of
from millwright_runner.digests import sha256_file
from millwright_runner.published import CLAIM, SIGNATURE, Published, read_published
from millwright_runner.signing import PublicKey, key_ids
from millwright_runner.stores import Store
from millwright_runner.stores.ahead import ahead
from millwright_runner.stores.stream import StoredFile
from millwright_runner.trees import MANIFEST, load_tree, unsealed

KIND, PART = "PublishedModel", "Tree"

READ_BYTES = 8 << 20
"""Asked for at a time of a file that lies elsewhere."""

Signature = Literal["None", "Unchecked", "Right", "Wrong"]


@dataclass(frozen=True)
class Verified:
    """What was found of an output.

    Attributes:
        published: what the manifest says; None where it is not as it was written.
        signature: None: there is none; Unchecked: there is one, and no key was given.
        signed_by: ids of the keys, as the signature itself says.
        problems: one line each, beginning with the file that it is about; empty: all is right.
    """

    published: Published | None
    signature: Signature
    signed_by: list[str]
    problems: list[str]


def verify(store: Store, key: PublicKey | None = None) -> Verified:
    """Checks an output.

    Args:
        store: the output.
        key: whose signature it has to bear; None: a signature is not checked.

    Raises:
        ModelNotFound: it is no job's output.
    """
    manifest = store.read(MANIFEST)
    if manifest is None or _kind(manifest.data) != KIND:
        raise _no_output(store, manifest.data if manifest else None)
    envelope = store.read(SIGNATURE)
    signed = envelope.data if envelope else None
    objection = key.objection(signed, manifest.data) if key else None
    problems = [f"{SIGNATURE}: {objection}"] if objection else []
    published = None
    if unsealed(manifest.data, KIND) is None:
        problems.insert(0, f"{MANIFEST}: its seal does not fit: it was changed after it was written")
    else:
        published = read_published(store)
        assert published is not None  # it was there a moment ago; what is not whole raises
        problems = [*_problems(store, published), *problems]
    state: Signature = "None" if signed is None else "Unchecked" if key is None else "Wrong" if objection else "Right"
    return Verified(published, state, key_ids(signed) if signed else [], problems)


def _problems(store: Store, published: Published) -> Iterator[str]:
    tree = published.tree
    prefix = tree.prefix
    if digest_of(tree.files) != tree.digest:
        yield f"{MANIFEST}: its digest is not that of the files it names"
    own = load_tree(store, prefix)
    if own is None or own.digest != tree.digest:
        yield f"{prefix}/{MANIFEST}: {'it is gone or was changed' if own is None else 'it names other files'}"
    named = sorted([*tree.files, *published.beside], key=lambda file: file.path)
    there = {entry.key.removeprefix(f"{prefix}/"): entry.size for entry in store.list(f"{prefix}/")}
    whole = [file for file in named if there.get(file.path) == file.size]
    with closing(ahead(lambda file: _sha256(store, prefix, file), whole)) as digests:
        read = dict(zip([file.path for file in whole], digests, strict=True))
    for file in named:
        if file.path not in there:
            yield f"{prefix}/{file.path}: it is missing"
        elif file.path not in read:
            yield f"{prefix}/{file.path}: {there[file.path]:,} bytes, not {file.size:,}"
        elif read[file.path] != file.sha256:
            yield f"{prefix}/{file.path}: its sha256 is {_short(read[file.path])}, not {_short(file.sha256)}"
    for name in sorted(there.keys() - {file.path for file in named} - {MANIFEST, CLAIM}):
        yield f"{prefix}/{name}: the manifest does not name it"


def _sha256(store: Store, prefix: str, file: FileDigest) -> str:
    key = f"{prefix}/{file.path}"
    place = store.local(key)
    if place is not None:
        return sha256_file(place)
    with io.BufferedReader(StoredFile(store, key, file.size), READ_BYTES) as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _kind(manifest: bytes) -> Any:
    try:
        return json.loads(manifest)["kind"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def _no_output(store: Store, manifest: bytes | None) -> ModelNotFound:
    if manifest is not None and _kind(manifest) == PART:
        return ModelNotFound(
            "this is the model's own folder, and its output is checked",
            where=store.uri,
            hint="name the folder above it",
        )
    found = "there is no manifest.json" if manifest is None else "its manifest.json is none that Millwright wrote"
    return ModelNotFound(
        f"this is no job's output: {found}", where=store.uri, hint="name what the manifest calls spec.output"
    )


def _short(digest: str) -> str:
    return f"{digest[:12]}…"
