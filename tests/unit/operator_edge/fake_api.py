"""An API server on loopback, small: objects, versions, uids, conflicts, and refusals as a test orders them."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from kubernetes.aio.client import ApiClient, Configuration

from millwright_operator.cluster import Cluster

Body = dict[str, Any]


@dataclass(frozen=True)
class Asked:
    """One request."""

    verb: str
    path: str
    body: Body | None
    content: str
    query: dict[str, str]


@dataclass
class Refusal:
    """What is answered instead, so many times."""

    verb: str
    path: str
    status: int
    body: Body
    headers: dict[str, str]
    times: int


@dataclass
class FakeApi:
    """Objects by their path."""

    objects: dict[str, Body] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)
    page: int = 500
    version: int = 100
    address: str = ""

    def refuse(self, verb: str, path: str, status: int, *, times: int = 1, after: str = "", **body: Any) -> None:
        """Orders a refusal of requests whose path matches."""
        headers = {"Retry-After": after} if after else {}
        self.refusals.append(Refusal(verb, path, status, {"kind": "Status", **body}, headers, times))

    def put(self, path: str, body: Body) -> Body:
        """Stores an object as somebody else would."""
        self.version += 1
        name, namespace = path.rsplit("/", 1)[1], path.split("/namespaces/")[1].split("/", maxsplit=1)[0]
        known = self.objects.get(path, {}).get("metadata", {})
        meta = {"uid": known.get("uid", f"uid-{self.version}"), **body.get("metadata", {})}
        meta |= {"name": name, "namespace": namespace, "resourceVersion": str(self.version)}
        self.objects[path] = {**body, "metadata": meta}
        return self.objects[path]

    def verbs(self) -> list[str]:
        """What was asked, in order, as `POST jobs`; parts of the path that name an object are left out."""
        return [f"{a.verb} {kind_of(a.path)}" for a in self.asked]

    def last(self, verb: str, kind: str) -> Asked:
        """The last request of a kind."""
        return [a for a in self.asked if a.verb == verb and kind_of(a.path) == kind][-1]

    async def answer(self, request: web.Request) -> web.Response:
        raw = await request.read()
        body = json.loads(raw) if raw else None
        asked = Asked(request.method, request.path, body, request.content_type, dict(request.query))
        self.asked.append(asked)
        for refusal in self.refusals:
            if refusal.times and refusal.verb == asked.verb and re.search(refusal.path, asked.path):
                refusal.times -= 1
                return web.json_response(refusal.body, status=refusal.status, headers=refusal.headers)
        match asked.verb:
            case "GET":
                return self._read(asked)
            case "POST":
                return self._post(asked)
            case "PATCH":
                return self._patch(asked)
            case _:
                return self._delete(asked)

    def _read(self, asked: Asked) -> web.Response:
        if asked.path in self.objects:
            return web.json_response(self.objects[asked.path])
        kind = asked.path.rsplit("/", 1)[1]
        if not kind.endswith("s") or asked.path.count("/") == 7:
            return missing()
        start, limit = int(asked.query.get("continue", 0)), min(self.page, int(asked.query.get("limit", self.page)))
        wanted = dict(pair.split("=") for pair in asked.query.get("labelSelector", "").split(",") if "=" in pair)
        found = [o for path, o in sorted(self.objects.items()) if listed(asked.path, path) and has(o, wanted)]
        more = {"continue": str(start + limit)} if start + limit < len(found) else {}
        meta = {"resourceVersion": str(self.version), **more}
        return web.json_response({"metadata": meta, "items": found[start : start + limit]})

    def _post(self, asked: Asked) -> web.Response:
        if asked.path.endswith(("/events", "/tokenreviews")):
            return web.json_response(asked.body, status=201)
        assert asked.body is not None
        path = f"{asked.path}/{asked.body['metadata']['name']}"
        if path in self.objects:
            return web.json_response({"kind": "Status", "reason": "AlreadyExists"}, status=409)
        return web.json_response(self.put(path, asked.body), status=201)

    def _patch(self, asked: Asked) -> web.Response:
        assert asked.body is not None
        path, new = asked.path.removesuffix("/status"), asked.body
        old = self.objects.get(path)
        if old is None and "configmaps" not in path:
            return missing()
        meta, known = new.get("metadata", {}), (old or {}).get("metadata", {})
        for precondition in ("uid", "resourceVersion"):
            if meta.get(precondition, known.get(precondition)) != known.get(precondition):
                return web.json_response({"kind": "Status", "reason": "Conflict"}, status=409)
        kept = old or {}
        merged = {**kept, **new, "metadata": {**known, **meta}}
        if "spec" in new and asked.content.startswith("application/merge"):
            merged["spec"] = {**kept.get("spec", {}), **new["spec"]}
        if merged == kept:
            return web.json_response(kept)
        done = self.put(path, merged)
        if "deletionTimestamp" in done["metadata"] and not done["metadata"].get("finalizers"):
            self.collect(path)
        return web.json_response(done)

    def collect(self, path: str) -> None:
        """An object is gone, and with it all that it owns."""
        uid = self.objects.pop(path)["metadata"]["uid"]
        for name, body in list(self.objects.items()):
            if uid in [owner.get("uid") for owner in body["metadata"].get("ownerReferences") or []]:
                self.collect(name)

    def _delete(self, asked: Asked) -> web.Response:
        found = self.objects.get(asked.path)
        if found is None:
            return missing()
        wanted = ((asked.body or {}).get("preconditions") or {}).get("uid")
        if wanted not in (None, found["metadata"]["uid"]):
            return web.json_response({"kind": "Status", "reason": "Conflict"}, status=409)
        self.collect(asked.path)
        return web.json_response({"kind": "Status", "details": {"uid": found["metadata"]["uid"]}})


@asynccontextmanager
async def serving(api: FakeApi, connections: int = 8) -> AsyncIterator[Cluster]:
    """Serves it, and gives a connection to it."""
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", api.answer)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.01)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    api.address = f"http://127.0.0.1:{runner.addresses[0][1]}"
    configuration = Configuration(host=api.address)
    configuration.connection_pool_maxsize = connections
    async with ApiClient(configuration) as client:
        yield Cluster(client)
    await runner.cleanup()


def missing() -> web.Response:
    return web.json_response({"kind": "Status", "reason": "NotFound"}, status=404)


def listed(parent: str, path: str) -> bool:
    kind = parent.rsplit("/", 1)[1]
    if "/namespaces/" in parent:
        return path.rsplit("/", 1)[0] == parent
    return path.split("/")[-2] == kind


def has(body: Body, labels: dict[str, str]) -> bool:
    return labels.items() <= (body["metadata"].get("labels") or {}).items()


def kind_of(path: str) -> str:
    after = path.rsplit("/namespaces/", maxsplit=1)[-1].split("/")
    if "/namespaces/" not in path:
        return after[-1]
    return after[1] + (f"/{after[3]}" if len(after) > 3 else "")
