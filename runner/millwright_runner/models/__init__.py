"""Models: where they come from, and what their config and their files' headers tell without loading them."""

from __future__ import annotations

from pathlib import Path

from millwright_api.v1alpha1 import Model
from millwright_runner.models.facts import FoundModel, ModelFacts, linear_modules
from millwright_runner.models.local import find_local
from millwright_runner.models.stored import find_stored
from millwright_runner.stores import open_store
from millwright_runner.stores.locations import as_folder
from millwright_runner.volumes import place_of, volume_name

__all__ = ["FoundModel", "ModelFacts", "find_model", "linear_modules"]


def find_model(
    model: Model, base: Path, home: Path, *, volumes: Path | None = None, read_up_to: int | None = None
) -> FoundModel:
    """Looks a model up.

    Args:
        model: the manifest's model.
        base: the folder that relative paths start from.
        home: a folder of this machine for downloads and remembered digests.
        volumes: the folder that a cluster's claims are mounted in; None without a cluster.
        read_up_to: bytes of weights that may be read to name the content; for more of them the digest stays empty.
            None: as many as there are.

    Raises:
        ModelNotFound: no such folder, repository or revision.
        InvalidModel: no config.json, no tokenizer, torn or missing safetensors, remote code that is not trusted.
        AccessDenied, StoreUnreachable: the place did not let us look.
    """
    trusted = model.trust_remote_code
    if model.hugging_face is not None:
        from millwright_runner.models.hub import find_on_hub  # imports the hub's client

        return find_on_hub(model.hugging_face, home, trusted=trusted)
    if model.azure_ml is not None:
        from millwright_runner.models.azureml import find_azureml  # imports Azure's SDKs

        return find_azureml(model.azure_ml, base, home, trusted=trusted)
    if model.s3 is not None:
        return find_stored(open_store(as_folder(model.s3)), home, trusted=trusted)
    if model.azure_blob is not None:
        return find_stored(open_store(as_folder(model.azure_blob)), home, trusted=trusted)
    if model.volume is not None:
        folder = place_of(model.volume, volumes, "spec.model.volume")
        return find_local(folder, volume_name(model.volume), home, trusted=trusted, read_up_to=read_up_to)
    return find_local(base / str(model.path), str(model.path), home, trusted=trusted, read_up_to=read_up_to)
