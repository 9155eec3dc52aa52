"""The API server: one way to ask it, and its refusals as one exception. JSON in, JSON out.

What may be asked, and is what the chart grants. In each namespace that is watched:

    ============================  ==================================  =============================================
    optimizationjobs              get list watch patch                get: after a refused status write; patch: the
                                                                      finalizer of those that run on Azure ML
    optimizationjobs/status       patch                               server-side apply
    jobs (batch)                  get list watch create patch delete  get: whose is the one that exists already
    pods                          list watch                          list: is a writer left
    configmaps                    list watch create patch delete      create: an apply of what is not there yet
    events (events.k8s.io)        list create                         list: the Job controller's, of a Job without a
                                                                      pod; a second one of a name is a 409
    ============================  ==================================  =============================================

In all of the cluster: tokenreviews create. In the operator's own namespace: leases get create update patch, and pods
patch, for the label of its own pod. Secrets: nothing; none is ever read.
"""

from __future__ import annotations

import json
import os
import ssl
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Literal, cast

import aiohttp
from kubernetes.aio import config
from kubernetes.aio.client import ApiClient, Configuration

from millwright_api import names

Verb = Literal["GET", "POST", "PATCH", "DELETE"]

JSON, MERGE, APPLY = "application/json", "application/merge-patch+json", "application/apply-patch+yaml"
FIELD_MANAGER = "millwright"
TIMEOUT = aiohttp.ClientTimeout(total=30, sock_connect=10)
PAGE = 500
"""Objects in one answer of a list."""

PATHS: Mapping[str, str] = {
    "optimizationjobs": f"/apis/{names.GROUP}/{names.VERSION}",
    "jobs": "/apis/batch/v1",
    "pods": "/api/v1",
    "configmaps": "/api/v1",
    "events": "/apis/events.k8s.io/v1",
    "secrets": "/api/v1",
    "tokenreviews": "/apis/authentication.k8s.io/v1",
}


class ApiError(Exception):
    """The API server refused, or could not be reached.

    Attributes:
        status: HTTP status; 0 when there was no answer.
        reason: Kubernetes' word for it: NotFound, AlreadyExists, Conflict, Forbidden, Invalid …
        message: for people.
        retry_after: seconds that the server asked to wait.
        causes: reasons of the details: NamespaceTerminating …
    """

    def __init__(
        self,
        what: str,
        status: int,
        *,
        reason: str = "",
        message: str = "",
        retry_after: float | None = None,
        causes: Sequence[str] = (),
    ) -> None:
        super().__init__(f"{what}: {f'HTTP {status} ' if status else ''}{reason}: {message}")
        self.status, self.reason, self.message = status, reason, message
        self.retry_after, self.causes = retry_after, tuple(causes)


class NoCluster(Exception):
    """There is nothing to connect to."""


@dataclass(frozen=True)
class Listed:
    """A whole list.

    Attributes:
        version: its resourceVersion: what is older and not in it does not exist.
    """

    items: list[dict[str, Any]]
    version: int


def path_of(kind: str, namespace: str | None = None, name: str | None = None, sub: str | None = None) -> str:
    """Returns the path of a kind's list, of an object, or of its subresource."""
    within = f"/namespaces/{namespace}" if namespace else ""
    return "/".join([f"{PATHS[kind]}{within}/{kind}", *(part for part in (name, sub) if part)])


class Cluster:
    """A connection to the API server; see `connect`."""

    def __init__(self, client: ApiClient) -> None:
        self._client = client

    async def ask(
        self,
        verb: Verb,
        path: str,
        body: Mapping[str, Any] | None = None,
        content: str = JSON,
        **query: str | int | bool,
    ) -> dict[str, Any]:
        """Asks the API server and returns its answer.

        Args:
            verb: HTTP's.
            path: see `path_of`.
            body: JSON.
            content: what the body is; PATCH has several.
            query: parameters; those that are empty are left out.

        Raises:
            ApiError: it refused, did not answer in time, or cannot be reached.
        """
        what = f"{verb} {path}"
        pairs = [
            (key, str(value).lower() if isinstance(value, bool) else value) for key, value in query.items() if value
        ]
        try:
            method, url, headers, data, _ = await self._client.param_serialize(
                method=verb,
                resource_path=path,
                query_params=pairs,
                header_params={"Accept": JSON, "Content-Type": content},
                body=body,
                auth_settings=["BearerToken"],
            )
            answer = await self._client.call_api(method, url, headers, data, _request_timeout=TIMEOUT)
            raw = await answer.read()
        except (aiohttp.ClientError, TimeoutError, ssl.SSLError, OSError) as error:
            raise ApiError(what, 0, reason="Unreachable", message=str(error) or type(error).__name__) from error
        if answer.status >= 400:
            raise _refusal(what, answer.status, raw, answer.headers)
        return cast(dict[str, Any], json.loads(raw))

    async def list(self, kind: str, namespace: str | None, selector: str = "") -> Listed:
        """Returns all objects of a kind, as of one moment.

        Args:
            kind: of what.
            namespace: where; None: everywhere.
            selector: on labels.

        Raises:
            ApiError: as `ask`; also when the list grew too old between two pages.
        """
        items: list[dict[str, Any]] = []
        token = ""
        while True:
            query: dict[str, Any] = {"labelSelector": selector, "limit": PAGE, "continue": token}
            page = await self.ask("GET", path_of(kind, namespace), **query)
            items += page.get("items") or []
            meta = page.get("metadata") or {}
            token = meta.get("continue") or ""
            if not token:
                return Listed(items, int(meta.get("resourceVersion") or 0))


@asynccontextmanager
async def connect(connections: int = 32) -> AsyncIterator[Cluster]:
    """Connects as a pod does, by its service account; outside a cluster by the kubeconfig.

    Args:
        connections: how many requests at once; the others wait.

    Raises:
        NoCluster: there is neither.
    """
    async with ApiClient(await configuration(connections)) as client:
        client.user_agent = "millwright-operator"
        yield Cluster(client)


async def configuration(connections: int) -> Configuration:
    """Returns where the API server is and who we are.

    Raises:
        NoCluster: neither a service account nor a kubeconfig says so.
    """
    found = Configuration()
    try:
        if os.environ.get("KUBERNETES_SERVICE_HOST") and not os.environ.get("KUBECONFIG"):
            config.load_incluster_config(client_configuration=found)
        else:
            await config.load_kube_config(client_configuration=found)
    except (config.ConfigException, OSError) as error:
        raise NoCluster(f"no service account of a pod, and no kubeconfig that can be used: {error}") from error
    found.connection_pool_maxsize = connections
    # As kopf has it: no proxies, and no ~/.netrc, which aiohttp would look for in a thread at each request
    found.client_session_kwargs = {"trust_env": False}
    return found


def _refusal(what: str, status: int, raw: bytes, headers: Mapping[str, str]) -> ApiError:
    try:
        told = json.loads(raw)
    except ValueError:
        told = {}
    told = told if isinstance(told, dict) else {}
    details = told.get("details") or {}
    after = headers.get("Retry-After") or details.get("retryAfterSeconds")
    causes = [str(cause.get("reason")) for cause in details.get("causes") or []]
    message = told.get("message") or raw[:200].decode(errors="replace")
    reason = told.get("reason") or ""
    return ApiError(what, status, reason=reason, message=message, retry_after=_seconds(after), causes=causes)


def _seconds(value: object) -> float | None:
    try:
        return max(0.0, float(str(value)))
    except ValueError:
        return None  # an HTTP date; no API server sends one
