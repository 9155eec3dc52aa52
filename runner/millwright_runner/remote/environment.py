"""What the job runs in, as Azure's SDK names it: by name, or an image with a conda file on top, or one to be built."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from millwright_api.azureml import AzureMLEnvironment
from millwright_api.errors import InvalidManifest
from millwright_runner.lookup import missing_path

if TYPE_CHECKING:
    from azure.ai.ml.entities import Environment

WHERE = "spec.execution.azureML.environment"


def environment_of(wanted: AzureMLEnvironment, base: Path) -> Environment | str:
    """Returns the environment: a reference to one that is there, or what Azure ML is to make one of.

    Args:
        wanted: as the manifest says.
        base: the manifest's folder.

    Raises:
        InvalidManifest: the image is no image's name; the conda file or the build's folder is not there, or is none.
    """
    if wanted.name is not None:
        return reference(wanted)
    from azure.ai.ml.entities import BuildContext, Environment

    if wanted.build is not None:
        folder = base / wanted.build.path
        file = folder / wanted.build.dockerfile
        if not file.is_file():
            missing = folder if not folder.is_dir() else file
            raise InvalidManifest(f"there is no {missing.name}", where=f"{WHERE}.build", hint=missing_path(missing))
        return Environment(build=BuildContext(path=str(folder.absolute()), dockerfile_path=wanted.build.dockerfile))
    if any(letter.isspace() for letter in str(wanted.image)):
        hint = "such as registry.example/millwright/runner:1; a placeholder is to be replaced"
        raise InvalidManifest(f"{wanted.image!r} is no image's name", where=f"{WHERE}.image", hint=hint)
    return Environment(image=wanted.image, conda_file=conda_of(wanted, base))


def reference(wanted: AzureMLEnvironment) -> str:
    """Returns how the SDK is told an environment's name."""
    if wanted.registry is not None:
        which = f"versions/{wanted.version}" if wanted.version else f"labels/{wanted.label or 'latest'}"
        return f"azureml://registries/{wanted.registry}/environments/{wanted.name}/{which}"
    which = f":{wanted.version}" if wanted.version else f"@{wanted.label or 'latest'}"
    return f"{wanted.name}{which}"


def conda_of(wanted: AzureMLEnvironment, base: Path) -> dict[str, Any] | None:
    """Returns the packages that go on top of the image; None where nothing does.

    Raises:
        InvalidManifest: the file is not there, or it is not what conda reads.
    """
    if wanted.conda_file is None and wanted.conda is None:
        return None
    where = f"{WHERE}.{'conda' if wanted.conda_file is None else 'condaFile'}"
    text = wanted.conda
    if wanted.conda_file is not None:
        path = base / wanted.conda_file
        try:
            text = path.read_text(encoding="utf-8")
        except OSError as error:
            raise InvalidManifest(
                f"{wanted.conda_file} cannot be read: {error.strerror}", where=where, hint=missing_path(path)
            ) from error
    try:
        found = yaml.safe_load(str(text))
    except yaml.YAMLError as error:
        raise InvalidManifest(f"this is no YAML: {str(error).splitlines()[0]}", where=where) from error
    if not isinstance(found, dict) or not isinstance(found.get("dependencies"), list):
        raise InvalidManifest("this is no conda file: it has no list of dependencies", where=where)
    return found
