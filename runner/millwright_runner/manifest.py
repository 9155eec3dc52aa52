"""From a file to an OptimizationJob: reading, `--set`, validation, and messages that name the line."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from millwright_api.errors import InvalidManifest, MillwrightError, suggest
from millwright_api.v1alpha1 import OptimizationJob
from millwright_runner import kubeyaml, overrides
from millwright_runner.problems import describe, shown
from millwright_runner.schema import Place

STDIN = Path("-")
SUFFIXES = (".yaml", ".yml", ".json")

_LINE = re.compile(r"^(?P<path>[^\s:]+): ")
_OURS = re.compile(r"^(spec|metadata)\b")
_PART = re.compile(r"([^.\[\]]+)|\[(\d+)\]")


@dataclass(frozen=True)
class Manifest:
    """A job and where its parts came from.

    Attributes:
        job: what is wanted.
        base: the folder that the manifest's relative paths start from.
        name: what messages call the file.
        origins: place in the manifest → where it was written: `job.yaml:12`, `--set passes.lora.r`.
        imported: lines of an Olive workflow that were not taken over; the model is the same without them.
    """

    job: OptimizationJob
    base: Path
    name: str
    origins: dict[Place, str] = field(default_factory=dict)
    imported: tuple[str, ...] = ()

    def locate(self, error: MillwrightError) -> None:
        """Puts file and line before the manifest's paths in an error that was found after loading."""
        if error.where is None and _OURS.match(error.message):
            error.message = _located(error.message, self.origins, self.name)
        elif error.where is not None and _OURS.match(error.where):
            error.where = f"{_origin(error.where, self.origins, self.name)}: {error.where}"


CLUSTER_KEYS = {
    "execution": "execution",
    "credentials": "credentials",
    "retry": "retry",
    "suspend": "suspend",
    "active_deadline_seconds": "activeDeadlineSeconds",
    "ttl_seconds_after_finished": "ttlSecondsAfterFinished",
}
"""Fields of spec that say how a cluster runs the job, and their keys; the result does not depend on them."""


def for_a_cluster(job: OptimizationJob) -> list[str]:
    """Returns the paths of what was given and is for a cluster only."""
    given = [f"spec.{key}" for field, key in CLUSTER_KEYS.items() if field in job.spec.model_fields_set]
    execution = job.spec.execution
    if execution.azure_ml is not None:
        given.remove("spec.execution")
        given[:0] = ["spec.execution.kubernetes"] if "kubernetes" in execution.model_fields_set else []
    return given + [f"spec.passes[{i}].resources" for i, step in enumerate(job.spec.passes) if step.resources]


def load_job(path: Path, sets: Sequence[str] = ()) -> OptimizationJob:
    """Returns a manifest's job; see `load`."""
    return load(path, sets).job


def load(path: Path, sets: Sequence[str] = ()) -> Manifest:
    """Reads a manifest, or an Olive workflow that can run here as a whole.

    Args:
        path: YAML or JSON; `-` is standard input.
        sets: changes to make before validation, `path=value`.

    Raises:
        InvalidManifest: all that is wrong with it, one line each, with file and line.
        UnknownPass: an Olive workflow has a pass that neither side knows.
    """
    changes = [overrides.parse(text) for text in sets]
    name = "standard input" if path == STDIN else str(path)
    document = kubeyaml.read(_bytes(path), name)
    value = document.value
    imported: tuple[str, ...] = ()
    base = Path.cwd() if path == STDIN else path.parent
    if value is None:
        raise InvalidManifest(
            "the file is empty", where=name, hint="a manifest has apiVersion, kind, metadata and spec"
        )
    if not isinstance(value, dict):
        raise InvalidManifest(
            f"found {shown(value)}, expected a mapping",
            where=name,
            hint="a manifest has apiVersion, kind, metadata and spec",
        )
    origins = {place: f"{name}:{line}" for place, line in document.lines.items()}
    if _may_be_olive(value):
        value, imported = _from_olive(value, path)
        origins = {}
    for change in changes:
        place = overrides.apply(value, change)
        for stale in [p for p in origins if p[: len(place)] == place]:
            del origins[stale]
        origins[place] = change.origin
    try:
        job = OptimizationJob.model_validate(value)
    except ValidationError as error:
        raise InvalidManifest(_located(describe(error, OptimizationJob), origins, name)) from error
    return Manifest(job, base, name, origins, imported)


def _bytes(path: Path) -> bytes:
    try:
        if path == STDIN:
            return sys.stdin.buffer.read(kubeyaml.MAX_BYTES + 1)
        with path.open("rb") as file:
            return file.read(kubeyaml.MAX_BYTES + 1)
    except FileNotFoundError as error:
        raise InvalidManifest("there is no such file", where=str(path), hint=_beside(path)) from error
    except IsADirectoryError as error:
        hint = f"files in it: {', '.join(_files(path)[:5])}" if _files(path) else "expected a YAML or JSON file"
        raise InvalidManifest("this is a folder, not a file", where=str(path), hint=hint) from error
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise InvalidManifest(f"the file cannot be read: {reason}", where=str(path)) from error


def _beside(path: Path) -> str | None:
    if not path.parent.is_dir():
        return f"there is no folder {path.parent} either"
    names = _files(path.parent)
    if not names:
        return None
    hint = suggest(path.name, names)
    return (
        hint if hint.startswith("did") else f"in that folder: {', '.join(names[:5])}{', …' if len(names) > 5 else ''}"
    )


def _files(folder: Path) -> list[str]:
    try:
        return sorted(entry.name for entry in folder.iterdir() if entry.suffix in SUFFIXES)
    except OSError:
        return []


def _may_be_olive(value: dict[str, Any]) -> bool:
    """Spares manifests the import of the converter and its table."""
    if "apiVersion" in value:
        return False
    from millwright_runner import olive

    return olive.looks_like_olive(value)


def _from_olive(value: dict[str, Any], path: Path) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Converts a workflow.

    Raises:
        InvalidManifest: something in it that the model depends on cannot be done here.
    """
    from millwright_runner import olive

    if path == STDIN:
        found = olive.convert(value)
    else:  # read again: Olive's numbers are JSON's, 1.0 is no 1
        found = olive.convert(olive.read_config(path), config_path=path, folder=path.parent)
    blocking = [str(line) for line in found.unmapped if line.blocks]
    if blocking:
        raise InvalidManifest(
            "\n".join(blocking),
            where=None if len(blocking) > 1 else str(path),
            hint="the model would be another one without this; `millwright import` writes a manifest to edit",
        )
    return found.manifest, tuple(map(str, found.unmapped))


def _located(lines: str, origins: dict[Place, str], name: str) -> str:
    """Puts the origin before each line that begins with a path of the manifest."""
    located = []
    for line in lines.split("\n"):
        match = _LINE.match(line)
        located.append(f"{_origin(match['path'], origins, name)}: {line}" if match else line)
    return "\n".join(located)


def _origin(path: str, origins: dict[Place, str], name: str) -> str:
    """Returns where a path was written, or else something below it (a `--set` made it), or else the nearest above it."""
    place = tuple(int(m[2]) if m[2] else m[1] for m in _PART.finditer(path))
    if place in origins:
        return origins[place]
    below = (origin for known, origin in origins.items() if place and known[: len(place)] == place)
    above = (origins[place[:end]] for end in range(len(place) - 1, 0, -1) if place[:end] in origins)
    return next(below, None) or next(above, name)
