"""By what a store in Azure Blob Storage is opened: what was given, else what the environment has for this account."""

from __future__ import annotations

import base64
import binascii
import os
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from azure.core.credentials import AzureNamedKeyCredential, AzureSasCredential, TokenCredential

from millwright_api.errors import AccessDenied, CredentialsMissing
from millwright_runner.stores.azure_login import credential
from millwright_runner.stores.locations import BlobPlace

BlobCredential = AzureNamedKeyCredential | AzureSasCredential | TokenCredential

KEYS = ("AZURE_STORAGE_KEY", "AZURE_STORAGE_ACCOUNT_KEY")
CONNECTION, SAS, ACCOUNT = "AZURE_STORAGE_CONNECTION_STRING", "AZURE_STORAGE_SAS_TOKEN", "AZURE_STORAGE_ACCOUNT"

IDENTITY = "azure-identity, which knows who this process is to Azure"


@dataclass(frozen=True)
class Login:
    """What a store is opened by.

    Attributes:
        credential: as azure-storage-blob takes it.
        source: where it came from, in a person's words; never what it is.
    """

    credential: BlobCredential = field(repr=False)
    source: str


def login(place: BlobPlace, given: BlobCredential | None, uri: str) -> Login:
    """Returns what a place is opened by: the first that there is of this account's.

    Args:
        place: the place.
        given: what the caller has, such as a datastore's key.
        uri: what messages call the place.

    Raises:
        AccessDenied: a variable is malformed.
        CredentialsMissing: there is no key, and a token may not be sent over http.
    """
    if given is not None:
        return Login(
            given, IDENTITY if hasattr(given, "get_token") else "the datastore or registry that names this place"
        )
    found = _from_environment(place, uri)
    if found is not None:
        return found
    if not place.endpoint.startswith("https://"):
        raise CredentialsMissing(
            f"there is no key for the account {place.account!r}, and a login by token needs https",
            where=uri,
            hint=f"set {CONNECTION}, {KEYS[0]} or {SAS}",
        )
    return Login(credential(), IDENTITY)


def _from_environment(place: BlobPlace, uri: str) -> Login | None:
    connection = os.environ.get(CONNECTION)
    if connection:
        found = _from_connection_string(connection, place, uri)
        if found is not None:
            return found
    if os.environ.get(ACCOUNT) in {None, "", place.account}:
        for name in KEYS:
            key = os.environ.get(name)
            if key:
                return Login(_key(place.account, key, name, uri), f"the environment ({name})")
    signature = os.environ.get(SAS)
    return Login(_signature(signature), f"the environment ({SAS})") if signature else None


def _from_connection_string(text: str, place: BlobPlace, uri: str) -> Login | None:
    """Returns what a connection string has, when it is this account's."""
    parts = dict(part.partition("=")[::2] for part in text.strip().strip(";").split(";"))
    fields = {name.strip().lower(): value.strip() for name, value in parts.items()}
    endpoint = urlsplit(fields.get("blobendpoint", ""))
    account = fields.get("accountname") or (
        (endpoint.hostname or "").partition(".")[0]
        if ".blob." in (endpoint.hostname or "")
        else endpoint.path.strip("/").partition("/")[0]
    )
    source = f"the environment ({CONNECTION})"
    if not account:
        raise AccessDenied(
            f"{CONNECTION} names no account", where=uri, hint="it has AccountName=…;AccountKey=… or BlobEndpoint=…"
        )
    if account != place.account:
        return None
    if fields.get("accountkey"):
        return Login(_key(account, fields["accountkey"], CONNECTION, uri), source)
    if fields.get("sharedaccesssignature"):
        return Login(_signature(fields["sharedaccesssignature"]), source)
    raise AccessDenied(
        f"{CONNECTION} has neither AccountKey nor SharedAccessSignature", where=uri, hint="copy all of it"
    )


def _key(account: str, key: str, name: str, uri: str) -> AzureNamedKeyCredential:
    try:
        base64.b64decode(key.strip(), validate=True)
    except binascii.Error:
        raise AccessDenied(
            f"the account's key in {name} is none: it is not base64", where=uri, hint="copy all of it"
        ) from None
    return AzureNamedKeyCredential(account, key.strip())


def _signature(text: str) -> AzureSasCredential:
    return AzureSasCredential(text.strip().lstrip("?"))
