"""Clients of Azure ML's own SDK, and what their errors mean. The SDK takes 1.5 s to import: only where Azure ML is asked."""

from __future__ import annotations

import functools
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

from millwright_api.errors import AzureUnavailable, MillwrightError, ModelNotFound, WorkspaceNotFound
from millwright_runner.azure.coordinates import Coordinates, coordinates, settled
from millwright_runner.lookup import close_names
from millwright_runner.stores.azure_login import asking, credential

if TYPE_CHECKING:
    from azure.ai.ml import MLClient
    from azure.core.credentials import TokenCredential

__all__ = [
    "Coordinates",
    "asking_registry",
    "asking_workspace",
    "client",
    "code_of",
    "coordinates",
    "registry_client",
    "settled",
]

SDK = "azure.ai.ml"

GROUP_CODES = {"ResourceGroupNotFound"}
SUBSCRIPTION_CODES = {"SubscriptionNotFound", "InvalidSubscriptionId"}
WORKSPACE_CODES = {"ResourceNotFound", "ParentResourceNotFound"}
"""What the management API says where one of these does not exist; the last two of anything: then it names what it is."""


def client(place: Coordinates) -> MLClient:
    """Returns the SDK's client for a workspace, one for each login of the process; nothing is asked of the workspace yet."""
    return _client(place, cast(Any, credential()))


def registry_client(name: str) -> MLClient:
    """Returns the SDK's client for a registry, one for each login of the process; it asks where the registry is.

    Raises:
        ModelNotFound: there is no such registry, or these credentials do not see it.
        UserError, AzureUnavailable: see `azure_login.asking`.
    """
    return _registry_client(name, cast(Any, credential()))


@functools.lru_cache(maxsize=16)
def _client(place: Coordinates, login: TokenCredential) -> MLClient:
    from azure.ai.ml import MLClient

    _quiet()
    with asking(str(place)), _cloud(str(place)):
        return MLClient(login, place.subscription_id, place.resource_group, place.workspace, **_manners())


@functools.lru_cache(maxsize=16)
def _registry_client(name: str, login: TokenCredential) -> MLClient:
    from azure.ai.ml import MLClient

    _quiet()
    with asking_registry(name), _cloud(f"azureml://registries/{name}"):
        return MLClient(login, registry_name=name, **_manners())


@contextmanager
def asking_workspace(place: Coordinates) -> Iterator[None]:
    """Turns what the SDK raises inside into exceptions of ours: the workspace, its group or its subscription is absent; and
    all that `azure_login.asking` knows. Other 404s pass as they are (azure-core's ResourceNotFoundError): who asks knows what
    is absent.

    Raises:
        WorkspaceNotFound: the workspace, its group or its subscription.
        UserError, AzureUnavailable: see `azure_login.asking`.
    """
    from azure.core.exceptions import HttpResponseError

    with asking(str(place)):
        try:
            yield
        except HttpResponseError as error:
            ours = _meaning(error, place)
            if ours is None:
                raise
            raise ours from error


@contextmanager
def asking_registry(name: str) -> Iterator[None]:
    """The same for a registry.

    Raises:
        ModelNotFound: there is no such registry.
    """
    from azure.core.exceptions import HttpResponseError

    where = f"azureml://registries/{name}"
    with asking(where):
        try:
            yield
        except HttpResponseError as error:
            if error.status_code == 404 and "registrymanagement" in _asked(error).lower():
                raise ModelNotFound(
                    f"there is no registry {name!r}, or these credentials do not see it",
                    where=where,
                    hint="the shared one is azureml; `az ml registry list` shows the subscription's own",
                ) from error
            raise


def code_of(error: Any) -> str:
    """Returns the service's own code for what is wrong, or the empty string.

    Args:
        error: azure-core's HttpResponseError.
    """
    told = getattr(error, "error", None)
    return str(getattr(told, "code", "") or "")


def _meaning(error: Any, place: Coordinates) -> MillwrightError | None:
    code, where = code_of(error), str(place)
    if code in SUBSCRIPTION_CODES:
        return WorkspaceNotFound(
            f"there is no subscription {place.subscription_id}, or these credentials do not see it",
            where=where,
            hint="a subscription is named by its GUID; `az account list` shows them",
        )
    if code in GROUP_CODES:
        return WorkspaceNotFound(
            f"the subscription has no resource group {place.resource_group!r}, or these credentials do not see it",
            where=where,
        )
    named = f"/workspaces/{place.workspace}'".lower() in str(error).lower()
    if code == "WorkspaceNotFound" or (code in WORKSPACE_CODES and named):
        return WorkspaceNotFound(
            f"the resource group has no workspace {place.workspace!r}", where=where, hint=_workspaces(place)
        )
    return None


def _workspaces(place: Coordinates) -> str | None:
    """Returns a suggestion from the workspaces of the group, or None when they may not be listed."""
    from azure.core.exceptions import AzureError

    try:
        names = [str(found.name) for found in client(place).workspaces.list()]
    except AzureError:
        return None
    return close_names(place.workspace, names, f"resource group {place.resource_group}")


def _asked(error: Any) -> str:
    return str(getattr(getattr(getattr(error, "response", None), "request", None), "url", ""))


@contextmanager
def _cloud(where: str) -> Iterator[None]:
    """Says what it means that the SDK knows no such cloud: it swallows that it was not told."""
    from azure.ai.ml.exceptions import MlException

    try:
        yield
    except MlException as error:
        if "cloud" not in str(error):
            raise
        raise AzureUnavailable(
            f"nothing is known of the cloud ({str(error).splitlines()[0]})",
            where=where,
            hint="AZUREML_CURRENT_CLOUD names it, and ARM_CLOUD_METADATA_URL says where a private one describes itself",
        ) from error


def _manners() -> dict[str, Any]:
    """Returns how the SDK's clients behave: they tell nobody, print nothing, and do not wait for ever."""
    from millwright_runner.azure.patience import CONNECT_SECONDS, READ_SECONDS, Patience

    return {
        "enable_telemetry": False,
        "show_progress": False,
        "retry_policy": Patience(),
        "connection_timeout": CONNECT_SECONDS,
        "read_timeout": READ_SECONDS,
    }


def _quiet() -> None:
    """Takes away the handlers that the SDK gives its loggers when it is imported, which print to stderr: what they say of
    failures is in the exceptions too."""
    os.environ.setdefault("AZURE_CORE_COLLECT_TELEMETRY", "0")
    for name in [name for name in logging.root.manager.loggerDict if f"{name}.".startswith(f"{SDK}.")]:
        logging.getLogger(name).handlers.clear()
    talk = logging.getLogger(SDK)
    talk.addHandler(logging.NullHandler())
    talk.propagate = False
