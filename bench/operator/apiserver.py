"""The API server as the bench speaks to it: raw JSON over kept-alive connections, so that the bench itself costs little."""

from __future__ import annotations

import asyncio
import json
import ssl
import time
from collections.abc import AsyncIterator, Callable
from types import TracebackType
from typing import Any, Self

import aiohttp
from kubernetes.aio import client, config

Object = dict[str, Any]
CONNECTIONS = 64


class ApiServer:
    """An open session. Raises RuntimeError with the API server's own words when a request is refused."""

    def __init__(self, kubeconfig: str) -> None:
        self.kubeconfig = kubeconfig

    async def __aenter__(self) -> Self:
        settings = client.Configuration()
        await config.load_kube_config(config_file=self.kubeconfig, client_configuration=settings)
        context = ssl.create_default_context(cafile=settings.ssl_ca_cert)
        if settings.cert_file:
            context.load_cert_chain(settings.cert_file, settings.key_file)
        token = settings.api_key.get("BearerToken") or settings.api_key.get("authorization")
        self._session = aiohttp.ClientSession(
            settings.host,
            headers={"Authorization": token if token.startswith("Bearer") else f"Bearer {token}"} if token else {},
            connector=aiohttp.TCPConnector(ssl=context, limit=CONNECTIONS),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=10),
            read_bufsize=1 << 22,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        await self._session.close()

    async def text(self, path: str) -> str:
        """GETs a path."""
        async with self._session.get(path) as answer:
            body = await answer.text()
            if answer.status >= 400:
                raise RuntimeError(f"GET {path}: {answer.status} {body[:500]}")
            return body

    async def get(self, path: str) -> Object:
        """GETs an object or a list."""
        found: Object = json.loads(await self.text(path))
        return found

    async def create(self, path: str, body: Object, *, exists: bool = False) -> None:
        """POSTs an object; `exists`: that it is there already is fine."""
        async with self._session.post(path, json=body) as answer:
            if answer.status >= 400 and not (exists and answer.status == 409):
                raise RuntimeError(f"POST {path}: {answer.status} {(await answer.text())[:500]}")

    async def patch(self, path: str, body: Object) -> None:
        """Merges into an object."""
        headers = {"Content-Type": "application/merge-patch+json"}
        async with self._session.patch(path, data=json.dumps(body), headers=headers) as answer:
            if answer.status >= 400:
                raise RuntimeError(f"PATCH {path}: {answer.status} {(await answer.text())[:500]}")

    async def delete(self, path: str, **options: Any) -> None:
        """DELETEs; that it is gone already is fine."""
        async with self._session.delete(path, json=options) as answer:
            if answer.status >= 400 and answer.status != 404:
                raise RuntimeError(f"DELETE {path}: {answer.status} {(await answer.text())[:500]}")

    async def watch(self, path: str) -> AsyncIterator[tuple[float, str, Object]]:
        """Yields (seconds on the monotonic clock when it came, ADDED | MODIFIED | DELETED, object), from now on."""
        version = (await self.get(f"{path}?limit=1"))["metadata"]["resourceVersion"]
        while True:
            async with self._session.get(
                path, params={"watch": "true", "resourceVersion": version, "timeoutSeconds": "3000"}
            ) as answer:
                async for line in answer.content:
                    event = json.loads(line)
                    if event["type"] == "ERROR":
                        raise RuntimeError(f"watch {path}: {event['object'].get('message')}")
                    version = event["object"]["metadata"]["resourceVersion"]
                    yield time.monotonic(), event["type"], event["object"]


async def until(what: str, true: Callable[[], bool], seconds: float) -> None:
    """Waits until something holds.

    Raises:
        RuntimeError: it took longer.
    """
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            raise RuntimeError(f"waited {seconds:.0f} s for {what}")
        await asyncio.sleep(0.05)
