"""Workspaces and registries, and the management around them: clouds, subscriptions, discovery."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from tests.azureml.assets import Asset, Assets
from tests.azureml.blobs import Blobs
from tests.azureml.computes import Computes
from tests.azureml.datastores import DEFAULT, Datastores
from tests.azureml.history import History
from tests.azureml.job import Job
from tests.azureml.jobs import Jobs
from tests.azureml.wire import Answer, Refused, Request, Route, route

SUBSCRIPTION, GROUP, WORKSPACE = "11111111-1111-1111-1111-111111111111", "tests", "workspace"
CLOUD = "StubCloud"
PROVIDER = "providers/Microsoft.MachineLearningServices"

Files = Mapping[str, bytes] | Path


def _model(kind: str, uri: str, flavors: Mapping[str, Any] | None, tags: Mapping[str, str] | None) -> dict[str, Any]:
    return {"modelType": kind, "modelUri": uri, "flavors": flavors or {}, "tags": dict(tags or {})}


class Workspace:
    """One workspace: its computes, datastores, models, environments and jobs.

    Attributes:
        scope: its ARM id.
        vault: name of its own Key Vault.
        salt: sets apart what is in Blob Storage, which outlives a test.
    """

    def __init__(
        self,
        name: str,
        group: str,
        subscription: str,
        *,
        base: str,
        blobs: Blobs,
        start: Callable[[Workspace, Job], bool],
        registries: Mapping[str, Registry],
        vault: str | None = None,
    ) -> None:
        self.name, self.group, self.subscription, self.base, self._blobs = name, group, subscription, base, blobs
        self.scope = f"/subscriptions/{subscription}/resourceGroups/{group}/{PROVIDER}/workspaces/{name}"
        self.salt = uuid.uuid4().hex[:8]
        self.vault = vault or f"{name[:18]}-vault"
        self.computes = Computes(self.scope)
        self.datastores = Datastores(self.scope, blobs, base)
        self.assets = Assets(self.scope, blobs)
        self.jobs = Jobs(self.scope, base, self.computes, self._assets_of, lambda job: start(self, job))
        self._registries = registries
        self.datastores.add(DEFAULT, container="azureml-blobstore")
        self.datastores.add("workspaceartifactstore", container="azureml")

    def model(
        self,
        name: str,
        version: str,
        files: Files,
        *,
        kind: str = "custom_model",
        labels: tuple[str, ...] = (),
        flavors: Mapping[str, Any] | None = None,
        tags: Mapping[str, str] | None = None,
        datastore: str = DEFAULT,
    ) -> str:
        """Makes a version of a model; its files (contents by name, or a folder) lie in a datastore. Returns its modelUri."""
        prefix = f"models/{name}/{version}-{self.salt}"
        self.assets.upload(self.datastores.container(datastore), prefix, files)
        where = f"subscriptions/{self.subscription}/resourceGroups/{self.group}/workspaces/{self.name}"
        uri = f"azureml://{where}/datastores/{datastore}/paths/{prefix}"
        self.assets.add("models", name, version, _model(kind, uri, flavors, tags), labels)
        return uri

    def environment(
        self,
        name: str,
        versions: Iterable[str] = ("1",),
        labels: tuple[str, ...] = (),
        *,
        image: str = "registry.example/runner:1",
        build: str = "ok",
    ) -> None:
        """Makes an environment; the labels are the last version's. `build`: ok, or the log of its failed image build."""
        listed = list(versions)
        for version in listed:
            properties = {"image": image, "environmentType": "Curated", "osType": "Linux"}
            self.assets.add("environments", name, version, properties, labels if version == listed[-1] else ())
        if build != "ok":
            self.jobs.failing_environments[name] = build

    def _assets_of(self, kind: str, registry: str | None) -> Mapping[str, Asset]:
        if registry is None:
            return self.assets.kinds[kind]
        found = self._registries.get(registry)
        return {} if found is None else found.assets.kinds[kind]

    def routes(self) -> list[Route]:
        """Returns what it answers."""
        prefix = re.escape(self.scope)
        return [
            route("GET", prefix, self._get),
            *self.computes.routes(prefix),
            *self.datastores.routes(prefix),
            *self.assets.routes(prefix),
            *self.jobs.routes(prefix),
            *History(self.scope, self.base, self.jobs).routes(),
        ]

    def resource(self) -> dict[str, Any]:
        """Returns it as ARM shows it."""
        group = f"/subscriptions/{self.subscription}/resourceGroups/{self.group}/providers"
        return {
            "id": self.scope, "name": self.name, "type": "Microsoft.MachineLearningServices/workspaces", "location": "local",
            "kind": "Default", "tags": {}, "sku": {"name": "Basic", "tier": "Basic"},
            "identity": {"type": "SystemAssigned", "principalId": _id(self.scope), "tenantId": _id("tenant")},
            "properties": {
                "friendlyName": self.name, "description": "", "workspaceId": _id(self.name), "discoveryUrl": f"{self.base}/discovery",
                "mlFlowTrackingUri": f"azureml://{self.base[8:]}/mlflow/v1.0{self.scope}", "provisioningState": "Succeeded",
                "storageAccount": f"{group}/Microsoft.Storage/storageAccounts/{self._blobs.account}",
                "keyVault": f"{group}/Microsoft.KeyVault/vaults/{self.vault}", "hbiWorkspace": False,
                "applicationInsights": f"{group}/Microsoft.insights/components/insights", "publicNetworkAccess": "Enabled",
            },
        }  # fmt: skip

    def _get(self, request: Request, match: re.Match[str]) -> Answer:
        return Answer(200, self.resource())


class Registry:
    """One registry: models and environments that workspaces share."""

    def __init__(self, name: str, base: str, blobs: Blobs) -> None:
        self.name, self._base, self._blobs = name, base, blobs
        self.subscription, self.group = "55555555-5555-5555-5555-555555555555", f"{name}-registry"
        self.scope = f"/subscriptions/{self.subscription}/resourceGroups/{self.group}/{PROVIDER}/registries/{name}"
        self.assets = Assets(self.scope, blobs, registry=name)

    def model(
        self,
        name: str,
        version: str,
        files: Files,
        *,
        kind: str = "custom_model",
        labels: tuple[str, ...] = (),
        flavors: Mapping[str, Any] | None = None,
        tags: Mapping[str, str] | None = None,
        public: bool = False,
    ) -> str:
        """Makes a version of a model; its files (contents by name, or a folder) lie in a container of its own, which with
        `public` anybody may read. Returns its modelUri."""
        container = f"r-{uuid.uuid4().hex[:24]}"
        self._blobs.make(container, public=public)
        self.assets.public |= {container} if public else set()
        self.assets.upload(container, "model", files)
        uri = f"https://{self._blobs.account}.blob.core.windows.net/{container}/model"
        self.assets.add("models", name, version, _model(kind, uri, flavors, tags), labels)
        return uri

    def environment(self, name: str, versions: Iterable[str] = ("1",), labels: tuple[str, ...] = ()) -> None:
        """Makes an environment; the labels are the last version's."""
        listed = list(versions)
        for version in listed:
            properties = {"image": "registry.example/curated:1", "environmentType": "Curated", "osType": "Linux"}
            self.assets.add("environments", name, version, properties, labels if version == listed[-1] else ())

    def routes(self) -> list[Route]:
        """Returns what it answers: its own endpoint's calls, and those of Azure's management."""
        return [
            *self.assets.routes("/mferp/managementfrontend" + re.escape(self.scope)),
            *self.assets.routes(re.escape(self.scope)),
            route(
                "GET",
                rf"/registrymanagement/v1\.0/registries/{re.escape(self.name)}/discovery",
                self._discovery,
                versions=None,
            ),
            route("GET", re.escape(self.scope), self._get),
        ]

    def _discovery(self, request: Request, match: re.Match[str]) -> Answer:
        return Answer(
            200,
            {
                "registryName": self.name, "tenantId": _id("tenant"), "subscriptionId": self.subscription,
                "resourceGroup": self.group, "location": "local", "resourceId": self.scope, "workspaceId": _id(self.name),
                "workspaceName": self.name, "primaryRegionResourceProviderUri": f"{self._base}/",
                "registryFqdns": {"local": {"uri": f"{self._base}/"}},
            },
        )  # fmt: skip

    def _get(self, request: Request, match: re.Match[str]) -> Answer:
        return Answer(200, {"id": self.scope, "name": self.name, "location": "local", "properties": {}})


class Management:
    """What Azure's management answers around workspaces and registries."""

    def __init__(self, base: str, workspaces: list[Workspace], registries: dict[str, Registry]) -> None:
        self._base, self._workspaces, self._registries = base, workspaces, registries

    def routes(self) -> list[Route]:
        """Returns what it answers; the last ones say that something is not there."""
        listed = (
            r"/subscriptions/(?P<sub>[^/]+)(/resourceGroups/(?P<rg>[^/]+))?/"
            + PROVIDER.replace(".", r"\.")
            + "/workspaces"
        )
        inside = (
            r"(/history/v1\.0)?/subscriptions/(?P<sub>[^/]+)/resourceGroups/(?P<rg>[^/]+)/"
            + PROVIDER.replace(".", r"\.")
            + r"/(?P<kind>workspaces|registries)/(?P<name>[^/]+)(/.*)?"
        )
        return [
            route("GET", "/metadata/endpoints", self._clouds, None),
            route("GET", "/discovery", self._discovery, None),
            route("GET", listed, self._list),
            route(
                "GET",
                r"/registrymanagement/v1\.0/registries/(?P<name>[^/]+)/discovery",
                self._no_registry,
                versions=None,
            ),
            *(
                route(method, inside, self._absent, versions=None)
                for method in ("GET", "PUT", "POST", "DELETE", "PATCH")
            ),
        ]

    def _clouds(self, request: Request, match: re.Match[str]) -> Answer:
        return Answer(
            200,
            [
                {
                    "name": CLOUD, "portal": "https://portal.azure.com", "resourceManager": f"{self._base}/",
                    "authentication": {"loginEndpoint": self._base, "audiences": [f"{self._base}/"], "tenant": "common"},
                    "graph": f"{self._base}/", "suffixes": {"storage": "core.windows.net", "keyVaultDns": "vault.azure.net"},
                }
            ],
        )  # fmt: skip

    def _discovery(self, request: Request, match: re.Match[str]) -> Answer:
        names = (
            "api",
            "history",
            "catalog",
            "experimentation",
            "gallery",
            "hyperdrive",
            "modelmanagement",
            "pipelines",
            "studio",
        )
        return Answer(200, dict.fromkeys((*names, "onlineexperimentation", "notebooks"), self._base))

    def _list(self, request: Request, match: re.Match[str]) -> Answer:
        self._subscribed(match["sub"])
        found = [
            each.resource() for each in self._workspaces
            if each.subscription == match["sub"] and match["rg"] in (None, each.group)
        ]  # fmt: skip
        return Answer(200, {"value": found})

    def _subscribed(self, subscription: str) -> None:
        known = {each.subscription for each in self._everything()}
        if subscription not in known:
            raise Refused(404, "SubscriptionNotFound", f"The subscription '{subscription}' could not be found.")

    def _no_registry(self, request: Request, match: re.Match[str]) -> Answer:
        raise Refused(404, "UserError", f"Registry {match['name']} was not found.")

    def _absent(self, request: Request, match: re.Match[str]) -> Answer:
        """Refuses what is below no workspace: or the stub does not know the call."""
        name, group = match["name"], match["rg"]
        self._subscribed(match["sub"])
        grouped = [
            each
            for each in self._everything()
            if each.subscription == match["sub"] and each.group.lower() == group.lower()
        ]
        if not grouped:
            raise Refused(404, "ResourceGroupNotFound", f"Resource group '{group}' could not be found.")
        kind: type = Workspace if match["kind"].lower() == "workspaces" else Registry
        if any(isinstance(each, kind) and each.name.lower() == name.lower() for each in grouped):
            raise Refused(501, "NotImplemented", "The stub does not know this call", violation=True)
        what = f"Microsoft.MachineLearningServices/{match['kind']}/{name}"
        message = (
            f"The Resource '{what}' under resource group '{group}' was not found. For more details please go to "
            "https://aka.ms/ARMResourceNotFoundFix"
        )
        raise Refused(404, "ResourceNotFound", message)

    def _everything(self) -> list[Workspace | Registry]:
        return [*self._workspaces, *self._registries.values()]


def _id(name: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_URL, name))
