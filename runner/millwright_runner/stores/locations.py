"""Places in stores of objects, as a person writes them: of one kind or another, the same is asked of them."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address
from typing import TypeVar
from urllib.parse import quote, unquote, urlsplit

from millwright_api.errors import StoreNotFound
from millwright_api.v1alpha1 import AzureBlobLocation, S3Location

Location = S3Location | AzureBlobLocation
"""A place in a store that is asked over a network."""

L = TypeVar("L", S3Location, AzureBlobLocation, Location)

SPOKEN = "".join(chr(code) for code in range(33, 127) if chr(code) not in '%?#"<>\\^`{|}')
"""Characters that an address shows as they are."""


@dataclass(frozen=True)
class BlobPlace:
    """A place in Azure Blob Storage, taken apart.

    Attributes:
        endpoint: the account's address: `https://account.blob.core.windows.net`, or `http://host:port/account`.
        account: its name.
        container: the container's name.
        key: what follows, decoded; without slashes at its ends.
    """

    endpoint: str
    account: str
    container: str
    key: str

    @classmethod
    def of(cls, uri: str) -> BlobPlace:
        """Takes an address apart: an account is named by its host, at an emulator by the first part of the path.

        Raises:
            StoreNotFound: it names no container.
        """
        parts = urlsplit(uri)
        path = unquote(parts.path).strip("/")
        host = parts.hostname or ""
        netloc = parts.netloc.rpartition("@")[2]
        if ".blob." in host and not _is_address(host):
            account, endpoint = host.partition(".")[0], f"{parts.scheme}://{netloc}"
        else:
            account, _, path = path.partition("/")
            endpoint = f"{parts.scheme}://{netloc}/{account}"
        container, _, key = path.partition("/")
        if not container:
            raise StoreNotFound(
                "this names an account and no container",
                where=uri,
                hint="such as https://account.blob.core.windows.net/container/key, or http://host:port/account/container/key",
            )
        return cls(endpoint, account, container, key.strip("/"))

    @property
    def folder(self) -> str:
        """What a person would type to find this place as a folder, ending in a slash."""
        return f"{self.endpoint}/{self.container}/{f'{_spoken(self.key)}/' if self.key else ''}"


def is_uri(text: str) -> bool:
    """Whether this is an address of a store, not a path."""
    return text.startswith(("s3://", "http://", "https://"))


def kind_of(uri: str) -> type[S3Location] | type[AzureBlobLocation]:
    """Returns the kind of place that an address names."""
    return AzureBlobLocation if uri.startswith(("https://", "http://")) else S3Location


def as_folder(location: L) -> L:
    """Returns the same place as a folder: its address ends in a slash."""
    return location.model_copy(update={"uri": f"{location.uri.rstrip('/')}/"})


def below(location: L, folder: str) -> L:
    """Returns a folder inside a place."""
    return location.model_copy(update={"uri": f"{location.uri.rstrip('/')}/{folder}/"})


def folder_and_name(location: L) -> tuple[L, str] | None:
    """Returns the folder that a file lies in, and the file's key there; None when a place names no file."""
    folder, _, name = location.uri.rpartition("/")
    if isinstance(location, AzureBlobLocation):
        if not name or not BlobPlace.of(location.uri).key:
            return None
        name = unquote(name)
    elif not name or folder == "s3:/":
        return None
    return location.model_copy(update={"uri": f"{folder}/"}), name


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _spoken(key: str) -> str:
    """Returns a key as an address has it; letters of any script stay what they are."""
    return "".join(one if one in SPOKEN or ord(one) > 160 else quote(one) for one in key)
