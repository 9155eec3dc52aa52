"""Models of workspaces and registries: which version is meant, and where its files lie."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from millwright_api.errors import InvalidModel, ModelNotFound
from millwright_api.v1alpha1 import AzureBlobLocation, AzureMLModel
from millwright_runner.azure.coordinates import Coordinates, coordinates
from millwright_runner.azure.datastores import Place, datastore_place
from millwright_runner.azure.workspace import asking_registry, asking_workspace, client, registry_client
from millwright_runner.lookup import close_names
from millwright_runner.stores.locations import BlobPlace

if TYPE_CHECKING:
    from azure.ai.ml import MLClient

LATEST = "latest"
"""The one label of models that Azure's SDK resolves: the version that was made last."""

MOST_NAMES, MOST_VERSIONS = 1000, 8
"""How many names a message looks through for a close one, and how many versions it lists."""

ARTIFACTS = "workspaceartifactstore"
"""The datastore that a workspace keeps its jobs' own artifacts in, each job's below ExperimentRun/dcid.<its name>."""

_IN_DATASTORE = re.compile(r"azureml://(?:.*/)?datastores/(?P<name>[^/]+)/paths/(?P<path>.+)")
_OF_JOB = re.compile(r"azureml://(?:.*/)?jobs/(?P<job>[^/]+)/outputs/artifacts/paths/(?P<path>.+)")


@dataclass(frozen=True)
class _Shelf:
    """What models stand in: a workspace or a registry.

    Attributes:
        client: asks it.
        asking: turns its errors into ours.
        name: what messages call it.
        uri: how Azure ML names a version of a model in it.
    """

    client: MLClient
    asking: Callable[[], AbstractContextManager[None]]
    name: str
    uri: str

    def where(self, model: AzureMLModel, version: str | None = None) -> str:
        """Returns how messages name a model, with its version as far as that is known."""
        return self.uri.format(name=model.name, version=version or model.version or model.label or LATEST)


def find_asset(model: AzureMLModel, base: Path, where: str) -> Place:
    """Looks up which version of a model is meant, and where its files lie.

    Args:
        model: the manifest's, by name.
        base: the manifest's folder.
        where: its path in the manifest.

    Raises:
        ModelNotFound: there is no such registry, model, version or label.
        InvalidModel: its files lie where they cannot be read.
        WorkspaceNotFound, AccessDenied, AzureUnavailable, …: see `asking_workspace`.
    """
    if model.registry is not None:
        uri = f"azureml://registries/{model.registry}/models/{{name}}/versions/{{version}}"
        asking = partial(asking_registry, model.registry)
        shelf = _Shelf(registry_client(model.registry), asking, f"registry {model.registry}", uri)
        found = _get(shelf, model)
        return _in_registry(shelf, found, model.registry, shelf.where(model, str(found.version)))
    workspace = coordinates(model, base, where=where)
    asking = partial(asking_workspace, workspace)
    shelf = _Shelf(client(workspace), asking, f"workspace {workspace.workspace}", "azureml:{name}:{version}")
    found = _get(shelf, model)
    return _in_workspace(workspace, str(found.path), shelf.where(model, str(found.version)))


def _get(shelf: _Shelf, model: AzureMLModel) -> Any:
    from azure.ai.ml.exceptions import ValidationException
    from azure.core.exceptions import HttpResponseError

    name, models = str(model.name), shelf.client.models
    with shelf.asking():
        try:
            if model.version is not None:
                return models.get(name, version=model.version)
            return models.get(name, label=model.label or LATEST)
        except ValidationException as error:  # a label that leads to nothing
            raise _absent(shelf, model) from error
        except HttpResponseError as error:
            if error.status_code != 404:
                raise
            raise _absent(shelf, model) from error


def _absent(shelf: _Shelf, model: AzureMLModel) -> ModelNotFound:
    """Returns the exception for a model that is not there, or not in this version."""
    name, where = str(model.name), shelf.where(model)
    versions = _versions(shelf, name)
    if not versions:
        names = [str(one.name) for one in itertools.islice(shelf.client.models.list(), MOST_NAMES)]
        return ModelNotFound(
            f"the {shelf.name} has no model {name!r}", where=where, hint=close_names(name, names, f"the {shelf.name}")
        )
    more = ", …" if len(versions) > MOST_VERSIONS else ""
    hint = f"its versions are {', '.join(versions[:MOST_VERSIONS])}{more}"
    if model.version is not None:
        return ModelNotFound(f"there is no version {model.version!r} of {name}", where=where, hint=hint)
    return ModelNotFound(
        f"no version of {name} has the label {model.label!r}", where=where, hint=f"the label {LATEST} is there; {hint}"
    )


def _versions(shelf: _Shelf, name: str) -> list[str]:
    """Returns a model's versions, one more than a message lists; none where there is no such model."""
    from azure.core.exceptions import HttpResponseError

    try:
        return [str(one.version) for one in itertools.islice(shelf.client.models.list(name), MOST_VERSIONS + 1)]
    except HttpResponseError as error:
        if error.status_code == 404:
            return []
        raise


def _in_workspace(workspace: Coordinates, uri: str, where: str) -> Place:
    """Returns where a model of a workspace lies."""
    if of_job := _OF_JOB.fullmatch(uri):
        place = datastore_place(workspace, ARTIFACTS, f"ExperimentRun/dcid.{of_job['job']}/{of_job['path']}")
    elif in_datastore := _IN_DATASTORE.fullmatch(uri):
        place = datastore_place(workspace, in_datastore["name"], in_datastore["path"])
    elif uri.startswith("https://"):
        place = Place(AzureBlobLocation(uri=uri.partition("?")[0]), where)
    else:
        raise InvalidModel(
            f"its files lie at {uri}, which cannot be read",
            where=where,
            hint="register it from a datastore, or from the artifacts of a job",
        )
    return Place(place.location, where, place.credential)


def _in_registry(shelf: _Shelf, found: Any, registry: str, where: str) -> Place:
    """Returns where a model of a registry lies: the registry signs for it, for an hour, and again when that is over."""
    from azure.ai.ml._utils._registry_utils import get_storage_details_for_registry_assets  # as models.download has it
    from azure.core.credentials import AzureSasCredential

    from millwright_runner.azure.sas import RenewedSas

    models: Any = shelf.client.models

    def ask() -> str:
        """Asks for the container's address with a signature; without one where everybody may read it."""
        with shelf.asking():
            try:
                return get_storage_details_for_registry_assets(
                    service_client=models._registry_service_client,
                    asset_type="models",
                    asset_name=found.name,
                    asset_version=found.version,
                    reg_name=registry,
                    rg_name=models._resource_group_name,
                    uri=found.path,
                )[0]
            except KeyError:  # the SDK looks for a signature in an answer that says NoCredentials
                return str(found.path)

    signed = ask()
    lies = replace(BlobPlace.of(signed), key=BlobPlace.of(str(found.path)).key)
    signature = urlsplit(signed).query
    anybody = AzureSasCredential("")  # a login, where there is none to be shown, would be looked at and refused
    credential = RenewedSas(signature, lambda: urlsplit(ask()).query) if signature else anybody
    return Place(AzureBlobLocation(uri=lies.folder), where, credential)
