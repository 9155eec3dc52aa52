"""A line to one S3 bucket: calls that wait for a server that is away, and errors that a person can act on."""

from __future__ import annotations

import functools
import os
from typing import Any
from urllib.parse import urlsplit

import boto3
import botocore.session
from botocore import exceptions as boto
from botocore.config import Config
from botocore.loaders import Loader, create_loader
from botocore.parsers import ResponseParserError

from millwright_api.errors import (
    AccessDenied,
    NoSpaceLeft,
    StoreNotFound,
    StoreUnreachable,
    UserError,
    suggest,
)
from millwright_api.v1alpha1 import S3Location
from millwright_runner.stores import line
from millwright_runner.stores.line import Absent, Patience, PatientLine, Taken, root_cause

AWAY = (boto.HTTPClientError, boto.ConnectionError, boto.IncompleteReadError, ResponseParserError)
"""No answer, half an answer, or none that is S3's."""

NO_LOGIN = (
    boto.NoCredentialsError,
    boto.PartialCredentialsError,
    boto.CredentialRetrievalError,
    boto.TokenRetrievalError,
    boto.SSOError,
    boto.ProfileNotFound,
    boto.ConfigParseError,
    boto.ConfigNotFound,
)

SKEWED = "RequestTimeTooSkewed"
DENIED = {
    "AccessDenied",
    "AllAccessDisabled",
    "AccountProblem",
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
    "ExpiredToken",
    "InvalidToken",
    "TokenRefreshRequired",
    SKEWED,
    "NotSignedUp",
    "AuthorizationHeaderMalformed",
}
ABSENT = {"NoSuchKey", "NoSuchUpload", "InvalidPart"}
TAKEN = {"PreconditionFailed", "412"}
FULL = {"QuotaExceeded", "InsufficientStorage", "XMinioStorageFull", "StorageFull", "507"}
RETRIED = {
    "SlowDown", "Throttling", "ThrottlingException", "TooManyRequests", "RequestTimeout", "RequestTimeoutException",
    "InternalError", "ServiceUnavailable", "ConditionalRequestConflict", "OperationAborted",
    "BadDigest", "XAmzContentSHA256Mismatch", "IncompleteBody",  # bytes torn on the way
}  # fmt: skip

SOURCES = {
    "env": "the environment (AWS_ACCESS_KEY_ID)",
    "shared-credentials-file": "the file of shared credentials",
    "config-file": "the AWS configuration file",
    "assume-role": "an assumed role",
    "assume-role-with-web-identity": "a web identity (service account)",
    "container-role": "the container's role",
    "iam-role": "the machine's role",
}
"""botocore's names of where credentials came from, in a person's words."""


class Line(PatientLine):
    """Calls to one bucket.

    Args:
        location: the bucket, and where its server is.
        patience: how long a server that had answered is waited for.

    Attributes:
        bucket: its name.
        prefix: what all keys of the location start with; empty, or ending in a slash.
        uri: `s3://bucket/prefix`.
    """

    failures = (boto.ClientError, boto.BotoCoreError)

    def __init__(self, location: S3Location, patience: Patience) -> None:
        self.bucket, _, key = location.uri.removeprefix("s3://").partition("/")
        key = key.strip("/")
        self.prefix = f"{key}/" if key else ""
        super().__init__(f"s3://{self.bucket}/{self.prefix}", patience)
        try:
            self._session = botocore.session.get_session()
            self._client, self._patient_client = _clients(self._session, location)
        except NO_LOGIN as error:
            raise AccessDenied(str(error), where=self.uri) from error
        except ValueError as error:  # "Invalid endpoint"
            raise StoreUnreachable(
                "the endpoint is no URL of a server", where=self.uri, hint="such as https://host:port"
            ) from error
        self.endpoint = _without_login(self._client.meta.endpoint_url)

    def call(self, operation: str, **arguments: Any) -> dict[str, Any]:
        """Does one of boto3's operations on the bucket, patiently.

        Raises:
            Absent, Taken: an answer, for the caller to handle.
            MillwrightError: as in `stores.Store`.
        """
        return self.patiently(lambda: self.ask(operation, **arguments))

    def ask(self, operation: str, **arguments: Any) -> dict[str, Any]:
        """Does an operation once; for attempts that also read the answer's body. Raises what boto3 raises."""
        client = self._patient_client if self._answered else self._client
        answer: dict[str, Any] = getattr(client, operation)(Bucket=self.bucket, **arguments)
        return answer

    def similar_buckets(self) -> str | None:
        """Returns a suggestion from the buckets these credentials may see, or None when they may not."""
        try:
            names = [bucket["Name"] for bucket in self._client.list_buckets().get("Buckets", [])]
        except (boto.ClientError, boto.BotoCoreError):
            return None
        return suggest(self.bucket, names)

    def _raise_if_final(self, error: Exception, tries: int) -> None:
        """Raises what an error means, unless another attempt may help."""
        if isinstance(error, boto.ClientError):
            self._answered = True
            self._raise_refusal(error, tries)
        elif isinstance(error, NO_LOGIN):
            hint = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE, or a role"
            raise AccessDenied(f"no credentials can be used ({error})", where=self.uri, hint=hint) from error
        elif not isinstance(error, AWAY):
            raise UserError(f"cannot be asked: {error}", where=self.uri) from error
        elif not self._trusted:
            why = root_cause(error)
            raise self._silent(why, hint_for(why)) from error

    def _raise_refusal(self, error: Any, tries: int) -> None:
        answer = error.response.get("ResponseMetadata", {})
        status, code = answer.get("HTTPStatusCode", 0), str(error.response.get("Error", {}).get("Code", ""))
        text = f"{code}: {error.response.get('Error', {}).get('Message', '')}".rstrip(": ")
        if code in TAKEN:
            raise Taken(tries > 1 or answer.get("RetryAttempts", 0) > 0) from error
        if code == "NoSuchBucket":
            raise StoreNotFound(
                f"no bucket {self.bucket!r} at {self.endpoint}", where=self.uri, hint=self.similar_buckets()
            ) from error
        if code in ABSENT or (status == 404 and error.operation_name == "HeadObject"):  # whose answers have no body
            raise Absent(text) from error
        if status == 404:
            hint = "is the endpoint that of an S3 server?"
            raise StoreNotFound(f"{self.endpoint} knows no such place ({text})", where=self.uri, hint=hint) from error
        if code in FULL or status == 507:
            raise NoSpaceLeft(f"the store is full ({text})", where=self.uri) from error
        if code in DENIED or status in {401, 403}:
            hint = "a clock is wrong: this machine's, or the server's" if code == SKEWED else self._login()
            raise AccessDenied(f"{self.endpoint} refuses ({text})", where=self.uri, hint=hint) from error
        if status == 501 or (code not in RETRIED and status < 500 and status != 429):
            raise UserError(f"{self.endpoint} refuses ({text})", where=self.uri) from error

    def _short(self, error: Exception) -> str:
        return str(error.response["Error"].get("Code")) if isinstance(error, boto.ClientError) else root_cause(error)

    def _login(self) -> str:
        """Says where the credentials came from; never what they are."""
        found = self._session.get_credentials()
        return (
            f"the credentials come from {SOURCES.get(found.method, found.method)}"
            if found
            else "there are no credentials"
        )


def hint_for(why: str) -> str:
    """Returns what to look at when a server that was never heard of does not answer, by the system's words for why."""
    if "CERTIFICATE_VERIFY_FAILED" in why:
        return "AWS_CA_BUNDLE names a file of the authorities that are trusted"
    if "WRONG_VERSION_NUMBER" in why:
        return "does it speak TLS? If not, the endpoint is http://"
    return "is the endpoint right? (the location's `endpoint`, else AWS_ENDPOINT_URL, else AWS)"


@functools.cache
def _descriptions(folders: str | None) -> Loader:
    """Returns what reads AWS's descriptions of its services, and keeps them: a session's own takes 0.1 s each time."""
    return create_loader(folders)


def _clients(session: Any, location: S3Location) -> tuple[Any, Any]:
    """Makes boto3's clients for before and after the first answer.

    A server of one's own is asked by path, as its name has no subdomains for buckets.
    """
    configured = session.get_scoped_config()
    endpoint = (
        location.endpoint or os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
        or configured.get("endpoint_url")
    )  # fmt: skip
    style = configured.get("s3", {}) if isinstance(configured.get("s3"), dict) else {}
    config = Config(
        connect_timeout=line.CONNECT_SECONDS,
        read_timeout=line.FIRST_READ_SECONDS,
        tcp_keepalive=True,
        max_pool_connections=16,
        retries={"mode": "standard", "total_max_attempts": 2},  # the long patience is ours
        request_checksum_calculation="when_required",  # sha256 is sent with every file
        response_checksum_validation="when_required",
        s3={"addressing_style": style.get("addressing_style", "path" if endpoint else "auto")},
    )
    region = location.region or session.get_config_variable("region") or "us-east-1"
    made = boto3.Session(botocore_session=session)  # adds a folder to the session's own descriptions, so it comes first
    session.register_component("data_loader", _descriptions(session.get_config_variable("data_path")))
    first = made.client("s3", endpoint_url=location.endpoint, region_name=region, config=config)
    patient = config.merge(Config(read_timeout=line.READ_SECONDS))
    return first, made.client("s3", endpoint_url=location.endpoint, region_name=region, config=patient)


def _without_login(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
