"""Where a run keeps things on this machine."""

from __future__ import annotations

import os
import re
from pathlib import Path

from pydantic import ValidationError

from millwright_api.errors import AccessDenied, InvalidManifest, NoSpaceLeft
from millwright_api.v1alpha1 import AzureBlobLocation
from millwright_runner import volumes
from millwright_runner.manifest import Manifest
from millwright_runner.plan import Settings
from millwright_runner.problems import describe
from millwright_runner.stores import Location
from millwright_runner.stores.disk import FULL
from millwright_runner.stores.locations import kind_of


def settings(manifest: Manifest, cache: str | None) -> Settings:
    """Returns a run's settings; the machine's folder is made.

    Raises:
        AccessDenied, NoSpaceLeft: the machine's folder cannot be made.
        InvalidManifest: `cache` is no place.
    """
    place = home()
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        kind = NoSpaceLeft if error.errno in FULL else AccessDenied
        raise kind(
            f"the folder for downloads and scratch files cannot be made: {error.strerror}",
            where=str(place),
            hint="set MILLWRIGHT_HOME to a folder that can be written to",
        ) from error
    return Settings(base=manifest.base, home=place, cache=cache_place(cache), volumes=volumes.mounted())


def home() -> Path:
    """Returns this machine's folder: MILLWRIGHT_HOME, else millwright in XDG_CACHE_HOME, else in ~/.cache."""
    own = os.environ.get("MILLWRIGHT_HOME")
    if own:
        return Path(own).expanduser().absolute()
    caches = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(caches).expanduser().absolute() / "millwright"


def cache_place(text: str | None) -> Location | Path | None:
    """Returns what `--cache` means.

    Raises:
        InvalidManifest: empty, or a URI of another kind.
    """
    return None if text is None else place_named(text, "--cache")


def place_named(text: str, where: str) -> Location | Path:
    """Returns the place that a person names on the command line.

    Args:
        text: a path, from the folder that the command runs in, s3://bucket/key or an address in Azure Blob Storage.
        where: what messages call it.

    Raises:
        InvalidManifest: empty, or a URI of another kind.
    """
    if re.match(r"^[a-zA-Z][a-zA-Z0-9+.-]*://", text):
        kind = kind_of(text)
        if (
            kind is AzureBlobLocation and "?" in text
        ):  # a shared access signature, as the portal offers it: no message may show it
            raise InvalidManifest(
                "found an address with a query, expected one without",
                where=where,
                hint=f"{text.partition('?')[0]}, and what follows ? in AZURE_STORAGE_SAS_TOKEN",
            )
        try:
            return kind(uri=text)
        except ValidationError as error:
            raise InvalidManifest(describe(error, kind).removeprefix("uri: "), where=where) from error
    if not text.strip():
        raise InvalidManifest(
            "found nothing, expected a folder, s3://bucket/key or https://account.blob.core.windows.net/container/key",
            where=where,
        )
    return Path(text).expanduser().absolute()
