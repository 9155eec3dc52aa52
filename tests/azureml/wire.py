"""What a call is, what answers it, and what the service says when it refuses."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

ARM, ML, STORAGE, VAULT = "management", "ml", "storage", "vault"
"""Audiences of tokens: Azure's management, Azure ML's own endpoints, storage, Key Vault."""


@dataclass(frozen=True)
class Request:
    """One call as it came.

    Attributes:
        method: GET, PUT …
        host: whom it was for, with the port; a name such as x.vault.azure.net when it came through the proxy.
        path: without the query, percent-encoding resolved.
        target: path and query as they stood.
        query: by name, the last of each.
        headers: names in lower case.
        body: its bytes.
    """

    method: str
    host: str
    path: str
    target: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes = b""

    @property
    def place(self) -> str:
        """`METHOD /path`, with https://HOST where it came through the proxy."""
        return f"{self.method} {f'https://{self.host}' if self.host else ''}{self.path}"

    def json(self) -> Any:
        """Returns the body parsed; refuses what is no JSON, as the service does."""
        try:
            return json.loads(self.body)
        except ValueError:
            raise Refused(
                400, "InvalidRequestContent", "The request content was invalid and could not be deserialized."
            ) from None


@dataclass(frozen=True)
class Answer:
    """A status, a body (bytes as they are, None for none, all else as JSON) and headers."""

    status: int = 200
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)

    def content(self) -> bytes:
        """Returns the body's bytes."""
        if self.body is None:
            return b""
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()


class Refused(Exception):
    """The service says no.

    Attributes:
        violation: the call itself is wrong, not only unlucky: the test fails at its end.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        headers: Mapping[str, str] | None = None,
        violation: bool = False,
        body: Any = None,
    ) -> None:
        super().__init__(f"{status} {code}: {message}")
        self.status, self.code, self.message, self.violation = status, code, message, violation
        self._headers, self._body = headers or {}, body

    def answer(self) -> Answer:
        """Returns it as Azure's management words errors."""
        body = self._body or {"error": {"code": self.code, "message": self.message}}
        return Answer(self.status, body, {"x-ms-error-code": self.code, **self._headers})


def user_error(status: int, message: str, **more: Any) -> Refused:
    """Returns a refusal in the form of Azure ML's own services, which ARM passes on."""
    body = {
        "error": {
            "code": "UserError", "message": message, "details": [],
            "additionalInfo": [
                {"type": "ComponentName", "info": {"value": "managementfrontend"}},
                {"type": "Environment", "info": {"value": "local"}},
                {"type": "Location", "info": {"value": "local"}},
            ],
        }
    }  # fmt: skip
    return Refused(status, "UserError", message, body=body, **more)


MANAGEMENT_VERSIONS = re.compile(r"202[2-5]-\d\d-\d\d(-preview)?")
REGISTRY_VERSIONS = re.compile(r"2021-10-01-dataplanepreview|202[2-5]-\d\d-\d\d(-preview)?")
HISTORY_VERSIONS = re.compile(r"v1\.0")

Handler = Callable[[Request, re.Match[str]], Answer]


@dataclass(frozen=True)
class Route:
    """A kind of call and who answers it.

    Attributes:
        audience: of the token that it needs; None when anybody may ask.
        versions: values of api-version that are known; empty when the call has none.
    """

    method: str
    path: re.Pattern[str]
    handler: Handler
    audience: str | None
    versions: re.Pattern[str] | None


def route(
    method: str,
    path: str,
    handler: Handler,
    audience: str | None = ARM,
    versions: re.Pattern[str] | None = MANAGEMENT_VERSIONS,
) -> Route:
    """Returns a route. `path` is a regular expression for all of it; upper and lower case are the same to Azure. What anybody
    may ask has no versions."""
    return Route(method, re.compile(path, re.IGNORECASE), handler, audience, versions if audience else None)
