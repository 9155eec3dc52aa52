"""A line to one container: calls that wait for a server that is away, and errors that a person can act on."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from azure.core.exceptions import (
    AzureError,
    DecodeError,
    HttpResponseError,
    IncompleteReadError,
    ServiceRequestError,
    ServiceResponseError,
)
from azure.storage.blob import BlobClient, BlobServiceClient, ContainerClient

from millwright_api.errors import (
    AccessDenied,
    AzureUnavailable,
    NoSpaceLeft,
    StoreNotFound,
    StoreUnreachable,
    UserError,
    suggest,
)
from millwright_api.v1alpha1 import AzureBlobLocation
from millwright_runner.stores import line
from millwright_runner.stores.azure_blob_login import BlobCredential, login
from millwright_runner.stores.azure_login import explain, words
from millwright_runner.stores.line import Absent, Patience, PatientLine, Taken, root_cause
from millwright_runner.stores.locations import BlobPlace

if TYPE_CHECKING:
    from millwright_api.errors import MillwrightError

T = TypeVar("T")

AWAY = (ServiceRequestError, ServiceResponseError, IncompleteReadError)
"""No answer, or half an answer."""

ABSENT = {"BlobNotFound", "ResourceNotFound", "PathNotFound", "CannotVerifyCopySource"}
TAKEN = {"ConditionNotMet", "BlobAlreadyExists", "TargetConditionNotMet", "SourceConditionNotMet"}
LOST = {"InvalidBlockList"}
"""Blocks that had been sent are gone: another process has ended the upload."""
RETRIED = {
    "ServerBusy", "InternalError", "OperationTimedOut", "PendingCopyOperation", "ContainerBeingDeleted",
    "Md5Mismatch", "Crc64Mismatch",  # bytes torn on the way
}  # fmt: skip
DISABLED = {"AccountIsDisabled", "BlobImmutableDueToPolicy", "BlobArchived", "LeaseIdMissing"}
FIRST_TRIES = 2
"""How often a server that never answered is asked: a first connection may be a stale one."""


class BlobLine(PatientLine):
    """Calls to one container.

    Args:
        location: the container, and a prefix in it.
        patience: how long a server that had answered is waited for.
        credential: what opens it; None: what the environment has.

    Attributes:
        place: account, container and prefix.
        prefix: what all keys of the location start with; empty, or ending in a slash.
        uri: as a person would type it.
    """

    failures = (AzureError,)

    def __init__(
        self, location: AzureBlobLocation, patience: Patience, credential: BlobCredential | None = None
    ) -> None:
        self.place = BlobPlace.of(location.uri)
        self.prefix = f"{self.place.key}/" if self.place.key else ""
        self.endpoint = self.place.endpoint
        super().__init__(self.place.folder, patience)
        self.login = login(self.place, credential, self.uri)
        self._first = self._client(line.FIRST_READ_SECONDS)
        self._patient = self._client(line.READ_SECONDS)

    @property
    def container(self) -> ContainerClient:
        """The client: an impatient one until the server has answered."""
        return self._patient if self._answered else self._first

    def blob(self, key: str) -> BlobClient:
        """Returns the client of a key, which is counted from the container."""
        return self.container.get_blob_client(key)

    def call(self, key: str, ask: Callable[[BlobClient], T]) -> T:
        """Asks something of a blob, patiently; see `PatientLine.patiently`."""
        return self.patiently(lambda: ask(self.blob(key)))

    def address(self, key: str) -> str:
        """Returns a key's address within the container, for messages."""
        return f"{self.endpoint}/{self.place.container}/{key}"

    def similar_containers(self) -> str | None:
        """Returns a suggestion from the containers that these credentials may see, or None when they may not."""
        service = BlobServiceClient(
            self.endpoint, credential=self.login.credential, connection_timeout=line.CONNECT_SECONDS,
            read_timeout=line.FIRST_READ_SECONDS, retry_total=0,
        )  # fmt: skip
        try:
            with service:
                page = next(service.list_containers(results_per_page=1000).by_page(), ())
                return suggest(self.place.container, (str(found.name) for found in page))
        except AzureError:
            return None

    def _client(self, read_timeout: float) -> ContainerClient:
        return ContainerClient(
            self.endpoint, self.place.container, credential=self.login.credential,
            connection_timeout=line.CONNECT_SECONDS, read_timeout=read_timeout,
            retry_total=0,  # the patience is ours
            max_single_put_size=64 * 1024 * 1024,
        )  # fmt: skip

    def _raise_if_final(self, error: Exception, tries: int) -> None:
        if isinstance(error, DecodeError):
            raise StoreUnreachable(
                f"{self.endpoint} answers, but not as Azure Blob Storage", where=self.uri, hint="is the address right?"
            ) from None
        if isinstance(error, AWAY):
            if not self._trusted and tries >= FIRST_TRIES:
                raise self._silent(root_cause(error), "are the account's name and the address right?") from None
        elif isinstance(error, HttpResponseError) and error.status_code is not None:
            self._answered = True
            self._raise_refusal(error, tries)
        elif isinstance(error, AzureError):
            meant = explain(error, self.uri)
            if not isinstance(meant, AzureUnavailable) or not self._trusted:
                raise meant or UserError(f"cannot be asked: {words(error)}", where=self.uri) from None

    def _raise_refusal(self, error: HttpResponseError, tries: int) -> None:
        status, code = error.status_code or 0, code_of(error)
        text = words(error) if code else f"{status} {error.reason or ''}".strip()
        if code in TAKEN or (status == 412 and code not in DISABLED):
            raise Taken(tries > 1) from None
        if code == "ContainerNotFound":
            raise StoreNotFound(
                f"no container {self.place.container!r} at {self.endpoint}",
                where=self.uri,
                hint=self.similar_containers(),
            ) from None
        if code in ABSENT | LOST:
            raise Absent(text) from None
        if status == 404:
            hint = "is the address that of a blob service?"
            raise StoreNotFound(f"{self.endpoint} knows no such place ({text})", where=self.uri, hint=hint) from None
        if status == 507:
            raise NoSpaceLeft(f"the store is full ({text})", where=self.uri) from None
        if status in {401, 403} or code in DISABLED:
            raise self._denied(error, text) from None
        torn = "contentMD5" in text  # as an emulator says it
        if status == 501 or not (code in RETRIED or torn or status >= 500 or status in {408, 429}):
            raise UserError(f"{self.endpoint} refuses ({text})", where=self.uri) from None

    def _denied(self, error: HttpResponseError, text: str) -> MillwrightError:
        source = f"the credentials come from {self.login.source}"
        if hasattr(self.login.credential, "get_token"):
            meant = explain(error, self.uri)
            if meant is not None and not isinstance(meant, AccessDenied):  # the tenant's or the login's fault
                return type(meant)(meant.message, where=self.uri, hint=meant.hint or source)
            source += "; it needs a role such as Storage Blob Data Contributor"
        elif "time frame" in str(error):
            text = "the signature has expired, or is not valid yet"
        return AccessDenied(f"{self.endpoint} refuses ({text})", where=self.uri, hint=source)

    def _short(self, error: Exception) -> str:
        if isinstance(error, HttpResponseError) and error.status_code is not None:
            return code_of(error) or f"status {error.status_code}"
        return root_cause(error)

    def _cause(self, error: Exception) -> None:
        """Nothing: below may stand addresses with signatures in them."""


def code_of(error: HttpResponseError) -> str:
    """Returns the service's own code of a refusal; empty when it has none."""
    code = getattr(error, "error_code", None)
    return str(getattr(code, "value", code) or "")
