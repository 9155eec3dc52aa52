"""Datastores of a workspace and their secrets."""

from __future__ import annotations

import re
from typing import Any

from tests.azureml.blobs import Blobs
from tests.azureml.login import CLIENT, SECRET, TENANT
from tests.azureml.shapes import ListSecrets, read
from tests.azureml.wire import Answer, Request, Route, route, user_error

KINDS = ("AzureBlob", "AzureDataLakeGen2", "AzureFile", "OneLake", "AzureDataLakeGen1")
CREDENTIALS = ("AccountKey", "Sas", "None", "ServicePrincipal")
DEFAULT = "workspaceblobstore"


class Datastores:
    """All of one workspace. `scope` is the workspace's ARM id."""

    def __init__(self, scope: str, blobs: Blobs, authority: str) -> None:
        self._scope, self._blobs, self._authority = scope, blobs, authority
        self._all: dict[str, dict[str, Any]] = {}
        self._careless: set[str] = set()
        self.default = DEFAULT

    def add(
        self,
        name: str,
        kind: str = "AzureBlob",
        *,
        container: str = "data",
        account: str | None = None,
        credentials: str = "AccountKey",
        hands_out_key: bool = False,
    ) -> str:
        """Makes a datastore.

        Args:
            name: its name.
            kind: one of KINDS.
            container: its container (file system, share, artifact); made in Azurite where the kind lies in Blob Storage.
            account: storage account. Default: Azurite's.
            credentials: one of CREDENTIALS.
            hands_out_key: with AccountKey: the key itself is handed out, also to who asks for something that expires.

        Returns:
            The address of its container, as Azure writes it; empty for kinds that lie elsewhere.
        """
        if kind not in KINDS or credentials not in CREDENTIALS:
            raise ValueError(f"kinds are {', '.join(KINDS)}; credentials are {', '.join(CREDENTIALS)}")
        account = account or self._blobs.account
        properties: dict[str, Any] = {
            "datastoreType": kind, "isDefault": name == self.default, "description": None, "tags": {}, "properties": {},
            "serviceDataAccessAuthIdentity": "None", "subscriptionId": None, "resourceGroup": None,
            "credentials": self._credentials(credentials),
        }  # fmt: skip
        where = {"accountName": account, "endpoint": "core.windows.net", "protocol": "https"}
        if kind == "AzureBlob":
            properties.update(where, containerName=container)
        elif kind == "AzureDataLakeGen2":
            properties.update(where, filesystem=container)
        elif kind == "AzureFile":
            properties.update(where, fileShareName=container)
        elif kind == "AzureDataLakeGen1":
            properties["storeName"] = account
        else:
            artifact = {"artifactType": "LakeHouse", "artifactName": f"{container}.Lakehouse"}
            properties.update(
                oneLakeWorkspaceName="lake", endpoint="onelake.dfs.fabric.microsoft.com", artifact=artifact
            )
        if hands_out_key:
            self._careless.add(name)
        self._all[name] = {
            "id": f"{self._scope}/datastores/{name}", "name": name, "type": "Microsoft.MachineLearningServices/workspaces/datastores",
            "properties": properties,
        }  # fmt: skip
        if kind not in ("AzureBlob", "AzureDataLakeGen2"):
            return ""
        self._blobs.make(container)
        return f"https://{account}.blob.core.windows.net/{container}"

    def container(self, name: str) -> str:
        """Returns a datastore's container."""
        properties = self._all[name]["properties"]
        return str(properties.get("containerName") or properties["filesystem"])

    def routes(self, prefix: str) -> list[Route]:
        """Returns what it answers below a workspace's path."""
        return [
            route("GET", prefix + r"/datastores", self._list),
            route("GET", prefix + r"/datastores/(?P<name>[^/]+)", self._get),
            route("POST", prefix + r"/datastores/(?P<name>[^/]+)/listSecrets", self._secrets),
        ]

    def _credentials(self, kind: str) -> dict[str, Any]:
        if kind != "ServicePrincipal":
            return {"credentialsType": kind}
        return {
            "credentialsType": kind, "clientId": CLIENT, "tenantId": TENANT, "authorityUrl": self._authority,
            "resourceUrl": "https://storage.azure.com/",
        }  # fmt: skip

    def _known(self, name: str) -> dict[str, Any]:
        if name not in self._all:
            raise user_error(404, f"Could not find datastore with name: {name}.")
        return self._all[name]

    def _list(self, request: Request, match: re.Match[str]) -> Answer:
        found = list(self._all.values())
        if request.query.get("isDefault", "").lower() == "true":
            found = [each for each in found if each["properties"]["isDefault"]]
        return Answer(200, {"value": found})

    def _get(self, request: Request, match: re.Match[str]) -> Answer:
        return Answer(200, self._known(match["name"]))

    def _secrets(self, request: Request, match: re.Match[str]) -> Answer:
        found = self._known(match["name"])
        asked = read(ListSecrets, request)
        kind = found["properties"]["credentials"]["credentialsType"]
        if kind == "None":
            raise user_error(400, f"Datastore {match['name']} has no credentials: its data is accessed by identity.")
        if kind == "ServicePrincipal":
            return Answer(200, {"secretsType": kind, "clientSecret": SECRET})
        if kind == "AccountKey" and (match["name"] in self._careless or not asked.expirable_secret):
            return Answer(200, {"secretsType": kind, "key": self._blobs.key})
        return Answer(200, {"secretsType": "Sas", "sasToken": self._blobs.sas(self.container(match["name"]))})
