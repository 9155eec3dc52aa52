"""One test's Azure: what tests make, look at and break."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.azureml.blobs import Blobs
from tests.azureml.control import Control
from tests.azureml.execution import Executor
from tests.azureml.faults import Faults
from tests.azureml.job import Job
from tests.azureml.jobs import Jobs
from tests.azureml.login import CLIENT, FEDERATED, SECRET, TENANT, Login
from tests.azureml.server import Room, Server
from tests.azureml.vault import Vault, Vaults
from tests.azureml.wire import VAULT, Refused, Request, Route
from tests.azureml.workspace import CLOUD, GROUP, SUBSCRIPTION, WORKSPACE, Management, Registry, Workspace

if TYPE_CHECKING:
    import pytest

OTHERS = re.compile(r"(AZURE|AZUREML|ARM|IDENTITY|MSI|OBO)_(?!STORAGE_)")
"""Variables by which a process could be somebody or somewhere else."""


class Azure:
    """A subscription with one workspace, empty but for what each has: see tests.azureml.

    Attributes:
        base: the stub's address.
        blobs: Blob Storage behind it.
        login: the tenant.
        faults: what goes wrong.
        executor: runs jobs, with `execute`.
        execute: whether a submitted job is really run; else the test drives it.
        room: requests and complaints.
    """

    def __init__(self, server: Server, folder: Path, blob_endpoint: str, blob_key: str) -> None:
        self.base, self._server, self._folder = server.base, server, folder
        self.login = Login(server.base, issued=server.tokens)
        self.faults = Faults()
        self.blobs = Blobs(blob_endpoint, blob_key, self.login.check)
        self.executor = Executor(folder / "jobs", server.base, self._node(), self.blobs)
        self.execute = False
        self._vaults = Vaults(server.base, self.login.tenant)
        self._workspaces: list[Workspace] = []
        self._registries: dict[str, Registry] = {}
        self._own = self.workspace(WORKSPACE)
        self.room = Room(self._routes, self._check, self.blobs.forward, self.faults)
        server.room = self.room

    @property
    def env(self) -> dict[str, str]:
        """Variables under which Azure's SDKs reach the stub, logged in with a client's secret, in the one workspace."""
        return {**self._node(), **self._coordinates(), "AZURE_CLIENT_ID": CLIENT, "AZURE_CLIENT_SECRET": SECRET}

    def federated(self, folder: Path) -> dict[str, str]:
        """Returns the same with workload identity in place of the secret; writes the token's file into the folder."""
        token = folder / "azure-identity-token"
        token.write_text(FEDERATED)
        return {
            **self._node(), **self._coordinates(), "AZURE_CLIENT_ID": CLIENT, "AZURE_FEDERATED_TOKEN_FILE": str(token),
        }  # fmt: skip

    def use(self, monkeypatch: pytest.MonkeyPatch, env: Mapping[str, str] | None = None) -> None:
        """Sets the variables in this process (`env`; by default the secret's), and takes others of Azure's away."""
        for name in [name for name in os.environ if OTHERS.match(name)]:
            monkeypatch.delenv(name)
        for name, value in (env or self.env).items():
            monkeypatch.setenv(name, value)

    @property
    def requests(self) -> list[str]:
        """All that was asked: METHOD /path?query."""
        return self.room.requests

    def asked(self, what: str) -> int:
        """Returns how many calls have this in them."""
        return sum(what in request for request in list(self.room.requests))

    def workspace(
        self, name: str, group: str = GROUP, subscription: str = SUBSCRIPTION, *, vault: str | None = None
    ) -> Workspace:
        """Makes another workspace."""
        made = Workspace(
            name,
            group,
            subscription,
            base=self.base,
            blobs=self.blobs,
            start=self._start,
            registries=self._registries,
            vault=vault,
        )
        self._workspaces.append(made)
        self._vaults.named(made.vault)
        return made

    def registry(self, name: str) -> Registry:
        """Returns a registry, made if it is not there."""
        if name not in self._registries:
            self._registries[name] = Registry(name, self.base, self.blobs)
        return self._registries[name]

    def compute(self, name: str, kind: str = "AmlCompute", state: str | None = None, **more: Any) -> None:
        """Makes a compute in the workspace; see Computes.add."""
        self._own.computes.add(name, kind, state, **more)

    def datastore(self, name: str, kind: str = "AzureBlob", **more: Any) -> str:
        """Makes a datastore in the workspace and returns its container's address; see Datastores.add."""
        return self._own.datastores.add(name, kind, **more)

    def model(self, name: str, version: str, files: Mapping[str, bytes] | Path, **more: Any) -> str:
        """Makes a model in the workspace; see Workspace.model."""
        return self._own.model(name, version, files, **more)

    def environment(
        self, name: str, versions: tuple[str, ...] = ("1",), labels: tuple[str, ...] = (), **more: Any
    ) -> None:
        """Makes an environment in the workspace; see Workspace.environment."""
        self._own.environment(name, versions, labels, **more)

    def vault(self, name: str | None = None) -> Vault:
        """Returns a Key Vault, made if it is not there; by default the workspace's own."""
        return self._vaults.named(name or self._own.vault)

    @property
    def jobs(self) -> Jobs:
        """The workspace's jobs, by name."""
        return self._own.jobs

    @property
    def wrong(self) -> list[str]:
        """Calls that no service would understand."""
        return self.room.wrong

    def verify(self) -> None:
        """Fails when there were any; the fixture does so at a test's end."""
        assert not self.wrong, "the stub was asked what no service would understand:\n" + "\n".join(self.wrong)

    def close(self) -> None:
        """Ends what runs or hangs, and removes what is stored."""
        self.faults.clear()
        self.executor.stop()
        self.blobs.clear()

    def _node(self) -> dict[str, str]:
        """What a machine in this cloud has in its environment, without a login."""
        host = self.base.removeprefix("https://").rsplit(":", 1)[0]
        outside = ",".join(dict.fromkeys(("127.0.0.1", "localhost", host, ".svc", ".cluster.local")))
        return {
            "ARM_CLOUD_METADATA_URL": f"{self.base}/metadata/endpoints?api-version=2019-05-01", "AZUREML_CURRENT_CLOUD": CLOUD,
            "REGISTRY_DISCOVERY_ENDPOINT_URL": f"{self.base}/", "AZURE_AUTHORITY_HOST": self.base,
            "REQUESTS_CA_BUNDLE": str(self._server.ca), "SSL_CERT_FILE": str(self._server.ca), "AZURE_CORE_COLLECT_TELEMETRY": "0",
            "HTTPS_PROXY": self._server.proxy, "https_proxy": self._server.proxy, "NO_PROXY": outside, "no_proxy": outside,
            "AZUREML_RUN_POLLING_INTERVAL_MIN": "0",
        }  # fmt: skip

    def _coordinates(self) -> dict[str, str]:
        return {
            "AZURE_TENANT_ID": TENANT, "AZURE_SUBSCRIPTION_ID": self._own.subscription, "AZURE_RESOURCE_GROUP": self._own.group,
            "AZUREML_WORKSPACE_NAME": self._own.name,
        }  # fmt: skip

    def _start(self, workspace: Workspace, job: Job) -> bool:
        if self.execute:
            self.executor.start(workspace, job)
        return self.execute

    def _check(self, request: Request, audience: str) -> None:
        try:
            self.login.check(request, audience)
        except Refused as refused:
            if audience != VAULT:
                raise
            message = "AKV10000: Request is missing a Bearer or PoP token."
            raise Refused(
                401, "Unauthorized", message, headers=self._vaults.challenge(), violation=refused.violation
            ) from None

    def _routes(self) -> list[Route]:
        return [
            *self.login.routes(),
            *self._vaults.routes(),
            *(each for workspace in self._workspaces for each in workspace.routes()),
            *(each for registry in self._registries.values() for each in registry.routes()),
            *Control(self).routes(),
            *Management(self.base, self._workspaces, self._registries).routes(),
        ]
