"""Models of Azure ML: of a registry, a workspace or a datastore; in Hugging Face's form, or in MLflow's around it."""

from __future__ import annotations

from pathlib import Path

from millwright_api.errors import Damaged, ModelNotFound
from millwright_api.v1alpha1 import AzureMLModel
from millwright_runner.azure.assets import find_asset
from millwright_runner.azure.datastores import Place, find_datastore
from millwright_runner.models.facts import FoundModel
from millwright_runner.models.layouts import names_in
from millwright_runner.models.mlflow import LARGEST
from millwright_runner.models.stored import find_stored
from millwright_runner.stores import open_store
from millwright_runner.stores.locations import as_folder

WHERE = "spec.model.azureML"


def find_azureml(model: AzureMLModel, base: Path, home: Path, *, trusted: bool) -> FoundModel:
    """Looks a model up, reads the headers of its weights where they lie, and fetches its small files.

    Args:
        model: the manifest's.
        base: the manifest's folder.
        home: a folder of this machine for downloads.
        trusted: whether code that comes with it may run.

    Raises:
        ModelNotFound: there is no such registry, model, version, label or folder.
        InvalidModel: there is no model in it; see also `examine`.
        DatastoreNotFound, DatastoreNotSupported, WorkspaceNotFound, AccessDenied, AzureUnavailable, …: the place did not let
            us look.
    """
    return find_at(find_place(model, base), home, trusted=trusted)


def find_place(model: AzureMLModel, base: Path) -> Place:
    """Returns where a model's files lie. Raises: see `find_azureml`."""
    return find_datastore(model, base, WHERE) if model.datastore is not None else find_asset(model, base, WHERE)


def find_at(place: Place, home: Path, *, trusted: bool) -> FoundModel:
    """Looks up the model in a folder of Blob Storage, in whichever form it has there. Raises: see `find_azureml`."""
    store = open_store(as_folder(place.location), credential=place.credential)
    files = {entry.key: entry for entry in store.list("")}
    if not files:
        raise ModelNotFound("nothing lies there", where=place.where, hint="a model is a folder")

    def read(key: str) -> bytes:
        """Returns a small file's content."""
        blob = store.read(key, first=LARGEST)
        if blob is None:
            raise Damaged("the file was there a moment ago and is gone", where=f"{place.where}/{key}")
        return blob.data

    names = names_in({key: entry.size for key, entry in files.items()}, read, place.where)
    chosen = {name: files[key] for name, key in names.items()}
    return find_stored(store, home, trusted=trusted, where=place.where, files=chosen)
