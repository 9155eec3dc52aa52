"""The key that a run signs by: from a file, or from the environment. Never from the manifest."""

from __future__ import annotations

import os
from pathlib import Path

from millwright_api.errors import InvalidKey
from millwright_api.names import ENV_SIGNING_KEY
from millwright_runner.signing import SigningKey

LARGEST = 1 << 16
"""Bytes of a file that is taken for a key: the longest is a few hundred."""


def signing_key(file: Path | None) -> SigningKey | None:
    """Returns the key that a run signs by: the file's, else the one in MILLWRIGHT_SIGNING_KEY, else None.

    Raises:
        InvalidKey: it is none, or of a kind that is not used; never with a part of it.
    """
    if file is not None:
        return SigningKey.load(read_key(file, "--sign-key"), str(file))
    pem = os.environ.get(ENV_SIGNING_KEY, "")
    return SigningKey.load(pem.encode(errors="replace"), ENV_SIGNING_KEY) if pem.strip() else None


def read_key(file: Path, option: str) -> bytes:
    """Returns a key's file.

    Args:
        file: where it lies.
        option: what named it.

    Raises:
        InvalidKey: it cannot be read, or is far too long for a key.
    """
    try:
        with file.expanduser().open("rb") as stream:
            pem = stream.read(LARGEST + 1)
    except OSError as error:
        raise InvalidKey(f"the key cannot be read: {error.strerror}", where=f"{option} {file}") from error
    if len(pem) > LARGEST:
        raise InvalidKey("this is no key: it is far too long", where=f"{option} {file}")
    return pem
