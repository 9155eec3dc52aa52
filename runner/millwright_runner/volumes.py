"""Volumes of a cluster: where a claim's files lie in this pod. Pure but for links, which it follows."""

from __future__ import annotations

import os
from pathlib import Path

from millwright_api.errors import AccessDenied, InvalidManifest
from millwright_api.names import ENV_VOLUMES
from millwright_api.sources import VolumeLocation


def mounted() -> Path | None:
    """Returns the folder that claims are mounted in, by their names; None where there is no cluster."""
    folder = os.environ.get(ENV_VOLUMES)
    return Path(folder) if folder else None


def place_of(location: VolumeLocation, volumes: Path | None, where: str) -> Path:
    """Returns where a place in a volume lies in this pod; it need not exist.

    Args:
        location: claim and path.
        volumes: the folder that claims are mounted in; None without a cluster.
        where: its path in the manifest.

    Raises:
        InvalidManifest: there is no cluster, or the claim is not mounted.
        AccessDenied: the path, or a link on it, leads out of the volume.
    """
    if volumes is None:
        raise InvalidManifest("a volume is there only on a cluster", where=where, hint="use path or s3 on this machine")
    root = volumes / location.claim_name
    if not root.is_dir():
        raise InvalidManifest(f"the claim {location.claim_name!r} is not mounted at {root}", where=where)
    place = root / location.path
    refuse_escape(place, root, where)
    return place


def volume_name(location: VolumeLocation) -> str:
    """Returns how messages name a place in a volume: volume://claim/path."""
    return f"volume://{location.claim_name}/{location.path}"


def refuse_escape(place: Path, root: Path, where: str) -> None:
    """Refuses a place that lies outside its volume, links followed; of a folder also its own files.

    Raises:
        AccessDenied: with the place.
    """
    inside = root.resolve()
    for path in (place, *(place.iterdir() if place.is_dir() else ())):
        if not path.resolve().is_relative_to(inside):
            raise AccessDenied(f"{path} is a link out of its volume", where=where, hint="copy what it points to")
