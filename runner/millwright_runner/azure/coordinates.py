"""Which workspace of Azure ML is meant: as the manifest says, the environment, or a config.json. Pure but for that file."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel

from millwright_api.errors import InvalidManifest, WorkspaceNotFound
from millwright_api.v1alpha1 import AzureMLWorkspace, OptimizationJob
from millwright_runner.lookup import missing_path

M = TypeVar("M", bound=BaseModel)

ENVIRONMENTS = (
    ("AZURE_SUBSCRIPTION_ID", "AZURE_RESOURCE_GROUP", "AZUREML_WORKSPACE_NAME"),
    ("AZUREML_ARM_SUBSCRIPTION", "AZUREML_ARM_RESOURCEGROUP", "AZUREML_ARM_WORKSPACE_NAME"),
)
"""Variables that say which workspace, the first group that is whole; the second is what Azure ML sets inside its jobs."""

FILES = (".azureml/config.json", "config.json")
"""The file that the portal offers for download, where Azure's SDK looks for it too: in a folder and in those above it."""

KEYS = ("subscription_id", "resource_group", "workspace_name")
"""What it says."""


@dataclass(frozen=True)
class Coordinates:
    """A workspace of Azure ML.

    Attributes:
        subscription_id: a GUID.
        resource_group: the resource group's name.
        workspace: the workspace's name.
    """

    subscription_id: str
    resource_group: str
    workspace: str

    def __str__(self) -> str:
        return f"workspace {self.workspace} (resource group {self.resource_group}, subscription {self.subscription_id})"


def coordinates(
    given: AzureMLWorkspace | None,
    base: Path,
    fallback: AzureMLWorkspace | None = None,
    *,
    where: str = "spec.execution.azureML",
) -> Coordinates:
    """Returns which workspace is meant: what is given, else the fallback, else what the environment says, else a config.json.

    Args:
        given: the source's own, or the execution's.
        base: the manifest's folder.
        fallback: the execution's, where a source has none.
        where: path of `given` in the manifest, for messages.

    Raises:
        InvalidManifest: the configFile is not there, or does not say which.
        WorkspaceNotFound: nobody says which.
    """
    for said in (given, fallback):
        if said is not None and says(said):
            return _said(said, base, where)
    for names in ENVIRONMENTS:
        values = [os.environ.get(name, "") for name in names]
        if all(values):
            return Coordinates(*values)
    for folder in (base.absolute(), *base.absolute().parents):
        for name in FILES:
            found = _read(folder / name) if (folder / name).is_file() else None
            if found is not None:
                return found
    raise WorkspaceNotFound(_nobody(), where=where, hint=_possible())


def says(place: AzureMLWorkspace) -> bool:
    """Whether a part of a manifest says itself which workspace it means."""
    return place.workspace is not None or place.config_file is not None


def settled(job: OptimizationJob) -> OptimizationJob:
    """Returns the job with sources that do not say which workspace lying in the one that it runs in: spec.execution.azureML's."""
    spec = job.spec
    home = spec.execution.azure_ml
    if home is None or not says(home):
        return job
    known = {name: getattr(home, name) for name in AzureMLWorkspace.model_fields}
    model, data = spec.model, list(spec.data)
    if model.azure_ml is not None and not says(model.azure_ml) and model.azure_ml.registry is None:
        model = _with(model, azure_ml=_with(model.azure_ml, **known))
    for index, entry in enumerate(data):
        source = entry.source
        if source.azure_ml is not None and not says(source.azure_ml):
            data[index] = _with(entry, source=_with(source, azure_ml=_with(source.azure_ml, **known)))
    return _with(job, spec=_with(spec, model=model, data=data))


def _with(old: M, **changes: object) -> M:
    return old.model_copy(update=changes)


def _said(place: AzureMLWorkspace, base: Path, where: str) -> Coordinates:
    if place.config_file is None:
        return Coordinates(str(place.subscription_id), str(place.resource_group), str(place.workspace))
    path = base / place.config_file
    at = f"{where}.configFile"
    if not path.is_file():
        raise InvalidManifest(f"there is no file {place.config_file}", where=at, hint=missing_path(path))
    found = _read(path)
    if found is None:
        raise InvalidManifest(
            f"{place.config_file} does not say which workspace",
            where=at,
            hint=f"it is JSON with {', '.join(KEYS)}, as the portal offers it for download",
        )
    return found


def _read(path: Path) -> Coordinates | None:
    """Returns what a config.json says; None when it is another program's."""
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    values = [config.get(key) for key in KEYS] if isinstance(config, dict) else []
    named = [value for value in values if isinstance(value, str) and value]
    return Coordinates(*named) if len(named) == len(KEYS) else None


def _nobody() -> str:
    for names in ENVIRONMENTS:
        missing = [name for name in names if not os.environ.get(name)]
        if len(missing) < len(names):
            there = " and ".join(name for name in names if name not in missing)
            return f"nobody says which workspace of Azure ML: {there} is set, and {' and '.join(missing)} not"
    return "nobody says which workspace of Azure ML"


def _possible() -> str:
    return (
        f"subscriptionId, resourceGroup and workspace here or in spec.execution.azureML; {', '.join(ENVIRONMENTS[0])} in the "
        f"environment; or {' or '.join(reversed(FILES))} in the manifest's folder or above it"
    )
