"""What a manifest has to do with Azure, in words and as JSON: where it would run, what it names there. No SDK, no network."""

from __future__ import annotations

from typing import Any

from millwright_api.errors import MillwrightError
from millwright_api.v1alpha1 import AzureML, DataSource, Model, OptimizationJob
from millwright_runner.azure.coordinates import coordinates
from millwright_runner.manifest import Manifest

LABEL = 12
"""Columns of the labels in `rows`."""


def compute_of(execution: AzureML) -> str:
    """Returns `compute gpu`, `compute arc (instance type large)` or `serverless Standard_NC24ads_A100_v4 (Spot)`."""
    if execution.compute is None:
        return f"serverless {execution.instance_type}{f' ({execution.tier})' if execution.tier else ''}"
    kind = f" (instance type {execution.instance_type})" if execution.instance_type else ""
    return f"compute {execution.compute}{kind}"


def environment_of(execution: AzureML) -> str:
    """Returns `image X with env.yaml`, `built from docker/Dockerfile`, or `name:version of the registry azureml`."""
    wanted = execution.environment
    if wanted.image is not None:
        conda = f" with {wanted.conda_file}" if wanted.conda_file else " with conda packages" if wanted.conda else ""
        return f"image {wanted.image}{conda}"
    if wanted.build is not None:
        return f"built from {wanted.build.path.rstrip('/')}/{wanted.build.dockerfile}"
    which = f"{wanted.name}:{wanted.version}" if wanted.version else f"{wanted.name}@{wanted.label or 'latest'}"
    return f"{which}{f' of the registry {wanted.registry}' if wanted.registry else ''}"


def rows(manifest: Manifest, execution: AzureML) -> list[tuple[str, str]]:
    """Returns where a job runs, as label and text."""
    return [
        ("azure ml", _workspace(manifest, execution)),
        ("compute", compute_of(execution).removeprefix("compute ")),
        ("environment", environment_of(execution)),
        ("experiment", execution.experiment or manifest.job.metadata.name),
    ]


def line(manifest: Manifest, execution: AzureML) -> str:
    """Returns the same as one line."""
    experiment = f"experiment {execution.experiment or manifest.job.metadata.name}"
    return ", ".join([_workspace(manifest, execution), compute_of(execution), environment_of(execution), experiment])


def named(job: OptimizationJob) -> list[str]:
    """Returns the paths of what a manifest names in Azure: sources and the output."""
    spec = job.spec
    unions: dict[str, Model | DataSource] = {"spec.model": spec.model}
    unions |= {f"spec.data[{index}].source": entry.source for index, entry in enumerate(spec.data)}
    paths = [
        f"{path}.{kind}"
        for path, union in unions.items()
        for kind, place in (("azureBlob", union.azure_blob), ("azureML", union.azure_ml))
        if place is not None
    ]
    return paths + (["spec.output.azureBlob"] if spec.output.azure_blob is not None else [])


def told(job: OptimizationJob) -> list[str]:
    """Returns what `validate` says of it, as parts of a sentence."""
    spec, there = job.spec, []
    there += ["model"] if spec.model.azure_blob is not None or spec.model.azure_ml is not None else []
    there += [f"data {d.name}" for d in spec.data if d.source.azure_blob is not None or d.source.azure_ml is not None]
    there += ["output"] if spec.output.azure_blob is not None else []
    parts = [f"in Azure: {' and '.join(there)}"] if there else []
    execution = spec.execution.azure_ml
    return parts + ([f"to run on Azure ML ({compute_of(execution)})"] if execution is not None else [])


def as_document(job: OptimizationJob) -> dict[str, Any]:
    """Returns it as JSON, with keys only where there is something to say."""
    execution, places = job.spec.execution.azure_ml, named(job)
    document: dict[str, Any] = {"inAzure": places} if places else {}
    if execution is not None:
        document["azureML"] = {
            "compute": execution.compute,
            "instanceType": execution.instance_type,
            "environment": environment_of(execution),
            "experiment": execution.experiment or job.metadata.name,
        }
    return document


def _workspace(manifest: Manifest, execution: AzureML) -> str:
    try:
        return str(coordinates(execution, manifest.base))
    except MillwrightError as error:
        return error.message
