"""Looks at a workspace before a job is sent there: is it there, is the compute, does it run jobs, is the environment there.
Nothing is changed."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from millwright_api.azureml import AzureML
from millwright_api.errors import (
    AzureMLRefused,
    AzureUnavailable,
    ComputeNotFound,
    ComputeStopped,
    EnvironmentNotFound,
    InstanceTypeNotFound,
    MillwrightError,
    ModelNotFound,
    SecretNotFound,
    suggest,
)
from millwright_runner.azure.coordinates import Coordinates
from millwright_runner.azure.workspace import asking_workspace, client, registry_client
from millwright_runner.lookup import close_names
from millwright_runner.remote import secrets
from millwright_runner.remote.environment import environment_of
from millwright_runner.remote.errand import Errand
from millwright_runner.remote.place import check_output

if TYPE_CHECKING:
    from azure.ai.ml.entities import Compute

WHERE = "spec.execution.azureML"

RUNS_JOBS = {
    "amlcompute": "cluster",
    "computeinstance": "instance",
    "kubernetes": "Kubernetes",
    "virtualmachine": "machine",
}
"""Kinds of compute that run command jobs, and what a person calls them."""

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
"""What may be asked for by name; a placeholder of an imported workflow is none."""

GONE = {"failed", "canceled", "deleting", "deleted", "detaching", "detached"}
"""States of provisioning in which a compute runs nothing."""

RESTING = {
    "stopped",
    "stopping",
    "deleting",
    "deleted",
    "setupfailed",
    "createfailed",
    "unusable",
    "userseterror",
    "systemerror",
}
"""States of a compute instance in which it takes no jobs."""


@dataclass
class Checked:
    """What was found of the workspace.

    Attributes:
        problems: all that is wrong, each with its place in the manifest.
        notes: what a person should know: where it would run.
    """

    problems: list[MillwrightError] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def check(errand: Errand, workspace: Coordinates) -> Checked:
    """Looks at all that execution.azureML names.

    Raises:
        AzureUnavailable: Azure does not answer.
    """
    found, wanted = Checked(), errand.wanted
    for look in (_workspace, _compute, _environment, _secrets):
        try:
            found.notes += look(errand, wanted, workspace)
        except AzureUnavailable:
            raise
        except MillwrightError as error:
            found.problems.append(error)
            if look is _workspace:
                return found
    try:
        check_output(errand)
    except MillwrightError as error:
        found.problems.append(error)
    return found


def _workspace(errand: Errand, wanted: AzureML, workspace: Coordinates) -> list[str]:
    with asking_workspace(workspace):
        client(workspace).workspaces.get(workspace.workspace)
    return []


def _compute(errand: Errand, wanted: AzureML, workspace: Coordinates) -> list[str]:
    """Serverless machines are made for the job: there is nothing to look at."""
    from azure.core.exceptions import ResourceNotFoundError

    if wanted.compute is None:
        return [f"Azure ML: a serverless {wanted.instance_type} in {workspace}"]
    where = f"{WHERE}.compute"
    with asking_workspace(workspace):
        computes = client(workspace).compute
        try:
            found = computes.get(wanted.compute) if NAME.fullmatch(wanted.compute) else None
        except ResourceNotFoundError:
            found = None
        except AttributeError as error:  # the SDK stumbles over kinds that it knows only in part
            raise _no_jobs(wanted.compute, "of a kind that Azure's SDK cannot read", where) from error
        if found is None:
            names = [str(one.name) for one in computes.list()]
            raise ComputeNotFound(
                f"the workspace has no compute {wanted.compute!r}",
                where=where,
                hint=suggest(wanted.compute, names) if names else "it has none at all",
            )
    kind = _plain(found.type).lower()
    if kind not in RUNS_JOBS:
        raise _no_jobs(wanted.compute, f"of kind {found.type}", where)
    _runs(found, where)
    if kind == "kubernetes":
        _instance_type(wanted, getattr(found, "properties", None) or {})
    elif wanted.instance_type is not None:
        raise AzureMLRefused(
            f"{wanted.compute!r} is a {RUNS_JOBS[kind]}, whose machines have one size; instanceType is of a Kubernetes compute, "
            "or of a serverless machine",
            where=f"{WHERE}.instanceType",
            hint="leave out one of compute and instanceType",
        )
    size = wanted.instance_type or getattr(found, "size", None)
    return [f"Azure ML: {wanted.compute} ({RUNS_JOBS[kind]}{f', {size}' if size else ''}) in {workspace}"]


def _no_jobs(name: str, kind: str, where: str) -> AzureMLRefused:
    able = "a compute cluster, a compute instance or an attached Kubernetes cluster does"
    return AzureMLRefused(f"{name!r} is {kind}, which runs no command jobs", where=where, hint=able)


def _runs(found: Compute, where: str) -> None:
    """Raises ComputeStopped for a compute that runs no jobs in its present state."""
    state = _plain(getattr(found, "state", None))
    if state.lower() in RESTING:
        raise ComputeStopped(
            f"the compute instance {found.name!r} is {state}",
            where=where,
            hint=f"az ml compute start --name {found.name}",
        )
    provisioning = _plain(found.provisioning_state)
    if provisioning.lower() in GONE:
        told = found.provisioning_errors
        why = f": {told}" if told else ""
        raise ComputeStopped(f"the compute {found.name!r} runs no jobs, its state is {provisioning}{why}", where=where)
    if getattr(found, "max_instances", None) == 0:
        raise ComputeStopped(
            f"the compute cluster {found.name!r} may have no nodes (its maximum is 0)", where=where, hint="raise it"
        )


def _plain(value: Any) -> str:
    """Returns a state as the service calls it; the SDK has enumerations of those it knows."""
    return str(getattr(value, "value", value) or "")


def _instance_type(wanted: AzureML, properties: dict[str, Any]) -> None:
    types = properties.get("instanceTypes") or properties.get("instance_types") or {}
    if wanted.instance_type is not None and types and wanted.instance_type not in types:
        raise InstanceTypeNotFound(
            f"the compute {wanted.compute!r} has no instance type {wanted.instance_type!r}",
            where=f"{WHERE}.instanceType",
            hint=f"{suggest(wanted.instance_type, types)}; it has {', '.join(sorted(types))}",
        )


def _environment(errand: Errand, wanted: AzureML, workspace: Coordinates) -> list[str]:
    """What is to be built cannot be looked at, but its files; what is there by name can."""
    named = wanted.environment
    if named.name is None:
        environment_of(named, errand.base)
        return []
    from azure.ai.ml.exceptions import MlException
    from azure.core.exceptions import ResourceNotFoundError

    where = f"{WHERE}.environment"
    registry = named.registry
    label = None if named.version else named.label or "latest"
    with asking_workspace(workspace):
        try:
            environments = (registry_client(registry) if registry else client(workspace)).environments
        except ModelNotFound as error:  # as the registry's client says it, whose registries are asked for models
            raise EnvironmentNotFound(f"there is no registry {registry!r}", where=f"{where}.registry") from error
        try:
            environments.get(str(named.name), version=named.version, label=label)
        except (ResourceNotFoundError, MlException) as error:
            which = f"version {named.version}" if named.version else f"label {label}"
            holder = f"registry {registry}" if registry else f"workspace {workspace.workspace}"
            raise EnvironmentNotFound(
                f"there is no environment {named.name!r} of {which} in {holder}",
                where=where,
                hint=_near(environments, str(named.name), holder),
            ) from error
    return []


def _near(environments: Any, name: str, holder: str) -> str | None:
    """Returns the versions that there are, or names that are close."""
    from azure.core.exceptions import AzureError

    def of(found: Iterable[Any], key: str) -> list[str]:
        """One thing of each; of none where it may not be listed."""
        try:
            return [str(getattr(one, key)) for one in found]
        except AzureError:
            return []

    versions = of(environments.list(name=name), "version")
    if versions:
        return f"its versions: {', '.join(versions[:8])}"
    names = of(environments.list(), "name")
    return close_names(name, names, holder) if names else None


def _secrets(errand: Errand, wanted: AzureML, workspace: Coordinates) -> list[str]:
    """Whether what is handed over is there; of Key Vaults, where this identity may look. The job reads them with its own."""
    secrets.handed_over(errand)
    for index, secret in enumerate(wanted.secrets):
        if secret.key_vault is None:
            continue
        vault = secrets.vault_of(secret.key_vault.vault, workspace)
        if secrets.exists((vault, secret.key_vault.secret)) is False:
            raise SecretNotFound(
                f"the Key Vault {vault} has no secret {secret.key_vault.secret!r}",
                where=f"{WHERE}.secrets[{index}].keyVault",
            )
    return []
