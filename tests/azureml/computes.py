"""Computes of a workspace, as the service shows them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from tests.azureml.wire import Answer, Request, Route, route, user_error

KINDS = ("AmlCompute", "ComputeInstance", "Kubernetes", "VirtualMachine", "SynapseSpark", "Databricks")


class Computes:
    """All of one workspace. `scope` is the workspace's ARM id."""

    def __init__(self, scope: str) -> None:
        self._scope = scope
        self._all: dict[str, dict[str, Any]] = {}

    def add(
        self,
        name: str,
        kind: str = "AmlCompute",
        state: str | None = None,
        *,
        size: str = "Standard_NC24ads_A100_v4",
        nodes: int = 4,
        instance_types: Mapping[str, Mapping[str, Any]] | None = None,
        default_instance_type: str | None = None,
        namespace: str = "default",
        identity: Mapping[str, Any] | None = None,
    ) -> None:
        """Makes a compute, or changes one.

        Args:
            name: its name.
            kind: one of KINDS.
            state: of an instance Running, Stopped, Starting …; of the others their provisioning: Succeeded, Creating, Failed.
            size: of its machines.
            nodes: how many a cluster may have; 0: none at all.
            instance_types: of a Kubernetes compute (Arc): limits and requests by name, `{"gpu": {"resources": {...}}}`.
            default_instance_type: of a Kubernetes compute. Default: the first.
            namespace: of a Kubernetes compute.
            identity: the managed identity, as ARM has it.
        """
        if kind not in KINDS:
            raise ValueError(f"{kind} is none of {', '.join(KINDS)}")
        provisioning = state if state and kind != "ComputeInstance" else "Succeeded"
        properties: dict[str, Any] = {
            "computeType": kind, "computeLocation": "local", "provisioningState": provisioning, "provisioningErrors": None,
            "createdOn": "2026-01-01T00:00:00Z", "modifiedOn": "2026-01-01T00:00:00Z", "isAttachedCompute": False,
            "disableLocalAuth": True, "description": None, "resourceId": None,
        }  # fmt: skip
        if provisioning == "Failed":
            error = {"code": "ProvisioningFailed", "message": "The nodes could not be provisioned."}
            properties["provisioningErrors"] = [{"error": error}]
        if kind == "AmlCompute":
            scale = {"minNodeCount": 0, "maxNodeCount": nodes, "nodeIdleTimeBeforeScaleDown": "PT120S"}
            properties["properties"] = {
                "vmSize": size, "vmPriority": "Dedicated", "osType": "Linux", "scaleSettings": scale, "allocationState": "Steady",
                "currentNodeCount": 0, "targetNodeCount": 0, "enableNodePublicIp": True, "isolatedNetwork": False,
                "remoteLoginPortPublicAccess": "NotSpecified", "errors": None,
            }  # fmt: skip
        elif kind == "ComputeInstance":
            properties["properties"] = {
                "vmSize": size, "state": state or "Running", "applicationSharingPolicy": "Shared", "applications": [],
                "sshSettings": {"sshPublicAccess": "Disabled", "sshPort": 22, "adminUserName": "azureuser"}, "errors": [],
                "connectivityEndpoints": None, "computeInstanceAuthorizationType": "personal",
            }  # fmt: skip
        elif kind == "Kubernetes":
            cluster = "/subscriptions/arc/resourceGroups/arc/providers/Microsoft.Kubernetes/connectedClusters/cluster"
            types = dict(
                instance_types or {"defaultinstancetype": {"resources": {"limits": {"cpu": "2", "memory": "4Gi"}}}}
            )
            properties.update(isAttachedCompute=True, resourceId=cluster)
            properties["properties"] = {
                "namespace": namespace, "defaultInstanceType": default_instance_type or next(iter(types)),
                "instanceTypes": types, "extensionPrincipalId": "44444444-4444-4444-4444-444444444444",
                "extensionInstanceReleaseTrain": "stable", "vcName": "vc",
            }  # fmt: skip
        else:
            properties["properties"] = None
        self._all[name] = {
            "id": f"{self._scope}/computes/{name}", "name": name, "type": "Microsoft.MachineLearningServices/workspaces/computes",
            "location": "local", "tags": {}, "identity": dict(identity) if identity else None, "properties": properties,
        }  # fmt: skip

    def state(self, name: str, state: str) -> None:
        """Changes what a compute is doing."""
        properties = self._all[name]["properties"]
        if properties["computeType"] == "ComputeInstance":
            properties["properties"]["state"] = state
        else:
            properties["provisioningState"] = state

    def remove(self, name: str) -> None:
        """It is gone."""
        del self._all[name]

    def named(self, name: str) -> dict[str, Any] | None:
        """Returns a compute's resource; names are the same to Azure in upper and lower case."""
        return next((each for found, each in self._all.items() if found.lower() == name.lower()), None)

    def routes(self, prefix: str) -> list[Route]:
        """Returns what it answers below a workspace's path."""
        return [
            route("GET", prefix + r"/computes", self._list),
            route("GET", prefix + r"/computes/(?P<name>[^/]+)", self._get),
        ]

    def _list(self, request: Request, match: re.Match[str]) -> Answer:
        return Answer(200, {"value": list(self._all.values())})

    def _get(self, request: Request, match: re.Match[str]) -> Answer:
        found = self.named(match["name"])
        if found is None:
            workspace = self._scope.rsplit("/", 1)[-1]
            raise user_error(404, f"Compute with name {match['name']} not found in provided workspace {workspace}.")
        return Answer(200, found)
