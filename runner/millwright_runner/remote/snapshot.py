"""The code snapshot of a job: its manifest, Millwright itself, and files of this machine that it names.

Millwright travels as one archive with its entry points, so that any environment with the libraries serves. All times in it
are the same: the same job is the same snapshot, and Azure ML takes an upload that it has for what it is.
"""

from __future__ import annotations

import functools
import importlib.metadata
import io
import json
import os
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

import millwright_api
import millwright_runner
import millwright_search
from millwright_api.errors import InvalidManifest
from millwright_api.names import API_VERSION, ENV_TRIALS, KIND, MANIFEST_FILE
from millwright_api.v1alpha1 import DataSource, Model, Output
from millwright_runner.azure.coordinates import coordinates, settled
from millwright_runner.lookup import missing_path
from millwright_runner.manifest import CLUSTER_KEYS
from millwright_runner.remote.errand import Errand
from millwright_runner.words import size

S = TypeVar("S", Model, DataSource)

ARCHIVE, JOB = "millwright.zip", "job"
"""In the snapshot: Millwright, and the folder with the manifest and what it names."""

PART = "part.json"
"""Beside the manifest: variables that are too long for a job's definition."""
LONG = (ENV_TRIALS,)

DISTRIBUTION = "millwright"
PACKAGES = (millwright_api, millwright_runner, millwright_search)
METADATA = ("METADATA", "entry_points.txt", "WHEEL")

MOST_BYTES, MOST_FILES = 300 * 1024**2, 2000
"""Of files of this machine. Azure ML's own limit where a snapshot is kept with the job; larger things belong into a store."""

FIRST_DAY = (1980, 1, 1, 0, 0, 0)
"""What an archive can say of times, at the earliest."""


def make_snapshot(errand: Errand, output: Output, folder: Path) -> None:
    """Makes the snapshot in a folder that is not there yet.

    Args:
        errand: what is to be done.
        output: where the result goes; a store.
        folder: where.

    Raises:
        InvalidManifest: a source's file is not there, or not where it can travel from.
    """
    (folder / JOB).mkdir(parents=True)
    (folder / ARCHIVE).write_bytes(_packed())
    document = manifest_of(errand, output)
    if errand.uid is None:
        _bring(errand, document["spec"], folder / JOB)
    long = {key: value for key, value in errand.part.items() if key in LONG}
    if long:
        (folder / JOB / PART).write_text(json.dumps(long), encoding="utf-8")
    text = json.dumps(document, indent=1, ensure_ascii=False, sort_keys=True)
    (folder / JOB / MANIFEST_FILE).write_text(text, encoding="utf-8")


def manifest_of(errand: Errand, output: Output) -> dict[str, Any]:
    """Returns the manifest as the runner reads it: each source says where it is, and nothing says how a cluster runs it."""
    job = settled(errand.job)
    changes: dict[str, Any] = {"output": output, "model": _placed(job.spec.model, errand, "spec.model")}
    if job.spec.data:
        changes["data"] = [
            entry.model_copy(update={"source": _placed(entry.source, errand, f"spec.data[{index}].source")})
            for index, entry in enumerate(job.spec.data)
        ]
    spec = job.spec.model_copy(update=changes).model_dump(mode="json", exclude_unset=True, exclude_none=True)
    for key in CLUSTER_KEYS.values():
        spec.pop(key, None)
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {"name": job.metadata.name},
        "spec": spec,
    }


def _placed(source: S, errand: Errand, where: str) -> S:
    """Returns a source with its workspace's three names in place of a file of this machine that has them."""
    found = source.azure_ml
    if found is None or (isinstance(source, Model) and getattr(found, "registry", None) is not None):
        return source
    place = coordinates(found, errand.base, errand.wanted, where=f"{where}.azureML")
    names = {
        "subscription_id": place.subscription_id,
        "resource_group": place.resource_group,
        "workspace": place.workspace,
        "config_file": None,
    }
    return source.model_copy(update={"azure_ml": found.model_copy(update=names)})


def _bring(errand: Errand, spec: dict[str, Any], folder: Path) -> None:
    """Copies what the manifest names of this machine, to the same places below the snapshot's manifest."""
    sources = {"spec.model": spec["model"]}
    sources |= {f"spec.data[{index}].source": entry["source"] for index, entry in enumerate(spec.get("data", []))}
    root, taken, count = errand.base.resolve(), 0, 0
    for where, source in sources.items():
        if "path" not in source:
            continue
        place = errand.base / Path(source["path"]).expanduser()
        relative = _below(place, root, f"{where}.path")
        source["path"] = relative.as_posix()
        for file in _files(place):
            target = folder / relative / file.relative_to(place)
            if target.exists():
                continue
            taken, count = taken + file.stat().st_size, count + 1
            if taken > MOST_BYTES or count > MOST_FILES:
                raise InvalidManifest(
                    f"{source['path']} and what goes before it are more than {MOST_FILES} files or {size(MOST_BYTES)}, which is "
                    "what travels with a job to Azure ML",
                    where=f"{where}.path",
                    hint="put it into a store, and name it by azureBlob, s3 or azureML",
                )
            target.parent.mkdir(parents=True, exist_ok=True)
            os.link(file, target) if _same_disk(file, folder) else shutil.copyfile(file, target)


def _below(place: Path, root: Path, where: str) -> Path:
    """Returns a source's path below the manifest's folder, from where alone files travel."""
    if not place.exists():
        raise InvalidManifest(f"there is no {place}", where=where, hint=missing_path(place))
    found = place.absolute() if place.is_symlink() else place.resolve()
    if not found.is_relative_to(root) or found == root:
        raise InvalidManifest(
            f"{place} does not lie below the manifest's folder {root}; only what does travels with a job to Azure ML",
            where=where,
            hint="move it there, or put it into a store and name it by azureBlob, s3 or azureML",
        )
    relative = found.relative_to(root)
    if str(relative) in {MANIFEST_FILE, PART}:
        raise InvalidManifest(f"{relative} is the name of a file of the job's own there", where=where, hint="rename it")
    return relative


def _files(place: Path) -> Iterator[Path]:
    if place.is_file():
        yield place
        return
    for root, folders, names in os.walk(place):
        folders.sort()
        yield from (Path(root, name) for name in sorted(names))


def _same_disk(file: Path, folder: Path) -> bool:
    return not file.is_symlink() and file.stat().st_dev == folder.stat().st_dev


@functools.cache
def _packed() -> bytes:
    """Returns Millwright's packages and what is installed of its description, as an archive."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as packed:
        for package in PACKAGES:
            root = Path(str(package.__file__)).parent
            for file in sorted(root.rglob("*")):
                if file.is_file() and "__pycache__" not in file.parts:
                    _add(packed, f"{package.__name__}/{file.relative_to(root).as_posix()}", file.read_bytes())
        found = importlib.metadata.distribution(DISTRIBUTION)
        folder = f"{DISTRIBUTION}-{found.version}.dist-info"
        for name in METADATA:
            text = found.read_text(name)
            if text is not None:
                _add(packed, f"{folder}/{name}", text.encode())
    return made.getvalue()


def _add(packed: zipfile.ZipFile, name: str, data: bytes) -> None:
    entry = zipfile.ZipInfo(name, FIRST_DAY)
    entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
    packed.writestr(entry, data)
