"""Versioned things of a workspace or a registry: models, environments, code, data."""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from tests.azureml import shapes
from tests.azureml.blobs import Blobs
from tests.azureml.wire import REGISTRY_VERSIONS, Answer, Request, Route, route, user_error

PAGE = 2
"""Versions on a page: small, so that who reads only the first one is found out."""

SHAPES: Mapping[str, type[BaseModel]] = {
    "models": shapes.ModelVersion,
    "environments": shapes.EnvironmentVersion,
    "codes": shapes.CodeVersion,
    "data": shapes.DataVersion,
}


@dataclass
class Asset:
    """A name with its versions, the oldest first, and its labels."""

    versions: dict[str, dict[str, Any]] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)

    @property
    def latest(self) -> str | None:
        return next(reversed(self.versions), None)


class Assets:
    """All of one workspace or registry.

    Attributes:
        scope: its ARM id.
        kinds: assets by kind (models, environments, codes, data) and name.
        public: containers that are read without a signature.
    """

    def __init__(self, scope: str, blobs: Blobs, registry: str | None = None) -> None:
        self.scope, self._blobs, self._registry = scope, blobs, registry
        self.kinds: dict[str, dict[str, Asset]] = {kind: {} for kind in SHAPES}
        self.public: set[str] = set()

    def add(
        self, kind: str, name: str, version: str, properties: Mapping[str, Any], labels: tuple[str, ...] = ()
    ) -> None:
        """Makes a version, or changes one."""
        asset = self.kinds[kind].setdefault(name, Asset())
        known: dict[str, Any] = {
            "description": None,
            "tags": {},
            "properties": {},
            "isArchived": False,
            "isAnonymous": False,
        }
        if kind == "models":
            known["flavors"] = {}
        made = {key: value for key, value in properties.items() if value is not None}
        asset.versions[version] = {
            "id": f"{self.scope}/{kind}/{name}/versions/{version}" if self._registry is None
            else f"azureml://registries/{self._registry}/{kind}/{name}/versions/{version}",
            "name": version, "type": f"Microsoft.MachineLearningServices/workspaces/{kind}/versions",
            "properties": {**known, **made},
            "systemData": {
                "createdAt": f"2026-01-01T00:00:{len(asset.versions):02}Z", "createdBy": "stub", "createdByType": "User",
                "lastModifiedAt": "2026-01-01T00:00:00Z", "lastModifiedBy": "stub", "lastModifiedByType": "User",
            },
        }  # fmt: skip
        for label in labels:
            asset.labels[label] = version

    def upload(self, container: str, prefix: str, files: Mapping[str, bytes] | Path) -> None:
        """Writes files below a prefix into Azurite: contents by name, or a folder's."""
        self._blobs.make(container)
        if isinstance(files, Path):
            found = sorted(path for path in files.rglob("*") if path.is_file())
            files = {path.relative_to(files).as_posix(): path.read_bytes() for path in found}
        for name, content in files.items():
            self._blobs.put(container, f"{prefix}/{name}", content)

    def found(self, kind: str, name: str, version: str) -> dict[str, Any] | None:
        """Returns a version's resource; None when there is none."""
        asset = self.kinds[kind].get(name)
        return None if asset is None else asset.versions.get(version)

    def routes(self, prefix: str) -> list[Route]:
        """Returns what it answers below a workspace's or a registry's path."""
        kind, asset = rf"/(?P<kind>{'|'.join(SHAPES)})", r"/(?P<name>[^/]+)"
        version = kind + asset + r"/versions/(?P<version>[^/]+)"
        known: dict[str, Any] = {"versions": REGISTRY_VERSIONS}
        return [
            route("GET", prefix + kind, self._list, **known),
            route("GET", prefix + kind + asset, self._container, **known),
            route("GET", prefix + kind + asset + "/versions", self._versions, **known),
            route("GET", prefix + version, self._get, **known),
            route("PUT", prefix + version, self._put, **known),
            route("POST", prefix + version + "/startPendingUpload", self._pending, **known),
            route("POST", prefix + r"/datarefs/(?P<name>[^/]+)/versions/(?P<version>[^/]+)", self._reference, **known),
        ]

    def _list(self, request: Request, match: re.Match[str]) -> Answer:
        kind = match["kind"].lower()
        return self._page(request, [self._told(kind, name, asset) for name, asset in self.kinds[kind].items()])

    def _container(self, request: Request, match: re.Match[str]) -> Answer:
        kind, name = match["kind"].lower(), match["name"]
        if name not in self.kinds[kind]:
            raise self._absent(kind, name)
        return Answer(200, self._told(kind, name, self.kinds[kind][name]))

    def _told(self, kind: str, name: str, asset: Asset) -> dict[str, Any]:
        latest = asset.latest
        following = str(int(latest) + 1) if latest is not None and latest.isdigit() else None
        properties = {
            "description": None, "tags": {}, "properties": {}, "isArchived": False, "latestVersion": latest,
            "nextVersion": following, "labels": dict(asset.labels),
        }  # fmt: skip
        if kind == "data":
            properties["dataType"] = "uri_folder"
        return {"id": f"{self.scope}/{kind}/{name}", "name": name, "properties": properties}

    def _versions(self, request: Request, match: re.Match[str]) -> Answer:
        kind, name = match["kind"].lower(), match["name"]
        asset = self.kinds[kind].get(name)
        if asset is None:
            if kind == "codes":
                return Answer(200, {"value": []})
            raise self._absent(kind, name)
        found = list(asset.versions.values())
        if "hash" in request.query:  # of code: the SDK asks whether it is there already
            found = [
                each for each in found if each["properties"]["properties"].get("hash_sha256") == request.query["hash"]
            ]
        if "desc" in request.query.get("$orderBy", ""):
            found.reverse()
        return self._page(request, found)

    def _page(self, request: Request, found: list[dict[str, Any]]) -> Answer:
        start = int(request.query.get("$skip", 0))
        wanted = int(request.query["$top"]) if "$top" in request.query else None
        end = start + (PAGE if wanted is None else min(wanted, PAGE))
        answer: dict[str, Any] = {"value": found[start:end]}
        if end < len(found) and wanted is None:
            target = re.sub(r"[?&]\$skip=\d+", "", request.target.replace("%24skip", "$skip"))
            answer["nextLink"] = f"https://{request.headers['host']}{target}{'&' if '?' in target else '?'}$skip={end}"
        return Answer(200, answer)

    def _get(self, request: Request, match: re.Match[str]) -> Answer:
        kind, name, version = match["kind"].lower(), match["name"], match["version"]
        found = self.found(kind, name, version)
        if found is None:
            raise self._absent(kind, name, version)
        return Answer(200, found)

    def _put(self, request: Request, match: re.Match[str]) -> Answer:
        kind, name, version = match["kind"].lower(), match["name"], match["version"]
        body = shapes.read(SHAPES[kind], request, "properties", ("id", "name", "type", "systemData"))
        properties = body.model_dump(by_alias=True, exclude_none=True)
        there = self.found(kind, name, version)
        uri = {"models": "modelUri", "codes": "codeUri", "data": "dataUri"}.get(kind)
        if there is not None and uri is not None and there["properties"][uri] != properties[uri]:
            raise user_error(
                400, f"A different {uri} is already registered for {name}:{version}: it cannot be changed."
            )
        if kind == "environments":
            properties["environmentType"] = "UserCreated"
        self.add(kind, name, version, properties)
        return Answer(201 if there is None else 200, self.found(kind, name, version))

    def _pending(self, request: Request, match: re.Match[str]) -> Answer:
        body = shapes.read(shapes.PendingUpload, request)
        container = f"up-{uuid.uuid4().hex[:16]}"
        self._blobs.make(container)
        uri = f"https://{self._blobs.account}.blob.core.windows.net/{container}"
        credential = {"credentialType": "SAS", "sasUri": f"{uri}?{self._blobs.sas(container)}"}
        return Answer(
            200,
            {
                "pendingUploadId": body.pending_upload_id or str(uuid.uuid4()),
                "pendingUploadType": "TemporaryBlobReference",
                "blobReferenceForConsumption": {
                    "blobUri": uri, "credential": credential, "storageAccountArmId": f"{self.scope}/storage",
                },
            },
        )  # fmt: skip

    def _reference(self, request: Request, match: re.Match[str]) -> Answer:
        body = shapes.read(shapes.DataReference, request)
        found = self.found("models", match["name"], match["version"])
        if found is None:
            raise self._absent("models", match["name"], match["version"])
        container = body.blob_uri.split("/")[3]
        uri = f"https://{self._blobs.account}.blob.core.windows.net/{container}"
        credential = {"credentialType": "SAS", "sasUri": f"{uri}?{self._blobs.sas(container, 'rl')}"}
        if container in self.public:
            credential, uri = {"credentialType": "NoCredentials"}, body.blob_uri
        told = {"blobUri": uri, "credential": credential, "storageAccountArmId": f"{self.scope}/storage"}
        return Answer(200, {"blobReferenceForConsumption": told})

    def _absent(self, kind: str, name: str, version: str | None = None) -> Exception:
        one = {"models": "Model", "environments": "Environment", "codes": "Code", "data": "Data"}[kind]
        what = f"{one} asset container {name}" if version is None else f"{one} {name} with version {version}"
        return user_error(404, f"{what} not found.")
