"""Datastores of a workspace: which place in Blob Storage a path of one is, and what it is read with."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from millwright_api.errors import DatastoreNotFound, DatastoreNotSupported
from millwright_api.v1alpha1 import AzureBlobLocation, AzureMLDatastore, AzureMLModel
from millwright_runner.azure.coordinates import Coordinates, coordinates
from millwright_runner.azure.workspace import asking_workspace, client
from millwright_runner.lookup import close_names
from millwright_runner.stores.azure_login import KNOWN_LOGINS, credential

if TYPE_CHECKING:
    from azure.ai.ml.entities import Datastore
    from azure.core.credentials import AzureNamedKeyCredential, AzureSasCredential, TokenCredential

    from millwright_runner.azure.sas import RenewedSas

SUPPORTED = "AzureBlob and AzureDataLakeGen2"
"""Kinds that lie in Blob Storage."""


@dataclass(frozen=True)
class Place:
    """Something of Azure ML that lies in Blob Storage.

    Attributes:
        location: where.
        where: the same as a person knows it, for messages.
        credential: what it is read with; None: what the environment has, as for any place in Blob Storage.
    """

    location: AzureBlobLocation
    where: str
    credential: AzureNamedKeyCredential | AzureSasCredential | TokenCredential | None = field(default=None, repr=False)


def datastore_uri(datastore: str, path: str) -> str:
    """Returns how Azure ML names a path of a datastore, within its workspace."""
    return f"azureml://datastores/{datastore}/paths/{path}"


def find_datastore(source: AzureMLDatastore | AzureMLModel, base: Path, where: str) -> Place:
    """Looks up where a path of a datastore lies.

    Args:
        source: the manifest's; a model by datastore and path.
        base: the manifest's folder.
        where: the source's path in the manifest.

    Raises:
        DatastoreNotFound: the workspace has no such datastore.
        DatastoreNotSupported: it lies neither in Blob Storage nor in Data Lake Gen2.
        InvalidManifest, WorkspaceNotFound, AccessDenied, AzureUnavailable, …: see `coordinates` and `asking_workspace`.
    """
    return datastore_place(coordinates(source, base, where=where), str(source.datastore), str(source.path))


def datastore_place(workspace: Coordinates, name: str, path: str) -> Place:
    """Returns where a path of a workspace's datastore lies; see `find_datastore`."""
    where = datastore_uri(name, path)
    found = _get(workspace, name)
    container = _container(found, where)
    account = str(found.account_name)  # type: ignore[attr-defined]
    uri = f"{_address(found, account)}/{container}/{quote(path)}"
    return Place(AzureBlobLocation.model_validate({"uri": uri}), where, _credential(workspace, found, account))


def _get(workspace: Coordinates, name: str, *, secrets: bool = False) -> Datastore:
    from azure.ai.ml.exceptions import ValidationException
    from azure.core.exceptions import ResourceNotFoundError

    with asking_workspace(workspace):
        stores = client(workspace).datastores
        try:
            found: Datastore = stores.get(name, include_secrets=secrets)
            return found
        except ResourceNotFoundError as error:
            raise DatastoreNotFound(
                f"there is no datastore {name!r}",
                where=str(workspace),
                hint=close_names(name, [str(one.name) for one in stores.list()], "the workspace"),
            ) from error
        except (ValidationException, AttributeError) as error:  # the SDK stumbles over kinds that it does not know
            raise _unsupported(name, "of a kind that Azure's SDK does not know", workspace) from error


def _container(found: Datastore, where: str) -> str:
    from azure.ai.ml.entities import AzureBlobDatastore, AzureDataLakeGen2Datastore

    if isinstance(found, AzureBlobDatastore):
        return str(found.container_name)
    if isinstance(found, AzureDataLakeGen2Datastore):
        return str(found.filesystem)
    kind = type(found).__name__.removesuffix("Datastore")
    raise _unsupported(str(found.name), f"of kind {kind}", where)


def _unsupported(name: str, kind: str, where: object) -> DatastoreNotSupported:
    return DatastoreNotSupported(
        f"the datastore {name!r} is {kind}, which cannot be read",
        where=str(where),
        hint=f"{SUPPORTED} can; copy the files into one of these",
    )


def _address(found: Any, account: str) -> str:
    protocol, endpoint = found.protocol or "https", str(found.endpoint or "core.windows.net").strip("/")
    return f"{protocol}://{endpoint}/{account}" if _is_machine(endpoint) else f"{protocol}://{account}.blob.{endpoint}"


def _is_machine(host: str) -> bool:
    """Whether a host is a machine's, which has accounts in its paths, as emulators do; in Azure each has a name of its own."""
    named = urlsplit(f"//{host}")
    try:
        ipaddress.ip_address(named.hostname or "")
    except ValueError:
        return named.port is not None or named.hostname == "localhost"
    return True


def _credential(
    workspace: Coordinates, found: Any, account: str
) -> AzureNamedKeyCredential | RenewedSas | TokenCredential:
    """Returns what a datastore's account is to be read with: what Azure ML keeps for it, else who we are ourselves."""
    from azure.ai.ml.entities import AccountKeyConfiguration, SasTokenConfiguration, ServicePrincipalConfiguration
    from azure.core.credentials import AzureNamedKeyCredential

    from millwright_runner.azure.sas import RenewedSas

    if not isinstance(
        found.credentials, AccountKeyConfiguration | SasTokenConfiguration | ServicePrincipalConfiguration
    ):
        return credential()

    def ask() -> Any:
        """Asks the workspace for what it keeps."""
        return _get(workspace, str(found.name), secrets=True).credentials

    kept = ask()
    if isinstance(kept, SasTokenConfiguration):  # also where the datastore has a key: the service signs with it
        return RenewedSas(str(kept.sas_token), lambda: str(ask().sas_token))
    if isinstance(kept, AccountKeyConfiguration):
        return AzureNamedKeyCredential(account, str(kept.account_key))
    return _principal(kept)


def _principal(kept: Any) -> TokenCredential:
    """Returns the login of the service principal that Azure ML keeps for a datastore."""
    from azure.identity import ClientSecretCredential

    authority = str(kept.authority_url)
    return ClientSecretCredential(
        kept.tenant_id,
        kept.client_id,
        kept.client_secret,
        authority=authority,
        disable_instance_discovery=urlsplit(authority).hostname not in KNOWN_LOGINS,
    )
