"""Azure for a cluster's pods: the stub, which runs submitted jobs on this machine, and Blob Storage behind it.

Pods reach both at the address that this machine has on the ground's link: the service's calls, and a proxy for the names that
only Azure has. Its certificate lies on a volume, as that of a company's own cloud would.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.azureml.jobs import Job
from tests.azureml.server import Server
from tests.azureml.stub import Azure
from tests.azurite import KEY, Azurite
from tests.cluster import jobs
from tests.cluster.arena import Arena
from tests.cluster.ground.settings import HOST
from tests.cluster.jobs import Manifest, until
from tests.tiny import make_model_files

PLUGIN = Path(__file__).parent / "plugin"
SECRET, CLAIM, CONTAINER, MOUNTED = "azure", "azure-ca", "team", "/azure"
COMPUTE, STOPPED = "cpu-cluster", "stopped"


class AzureWorld:
    """One workspace, a container with a model, and what a namespace's jobs need to use them.

    Args:
        arena: where jobs run.
        azurite: Blob Storage.
        folder: of certificate and jobs; readable to pods.

    Attributes:
        azure: the stub.
        held: names of OptimizationJobs whose jobs there are never run: they wait until a test says otherwise.
    """

    def __init__(self, arena: Arena, azurite: Azurite, folder: Path) -> None:
        self._arena, self._folder = arena, folder
        self._server = Server(folder / "ca", HOST)
        self.azure = Azure(self._server, folder / "azure", azurite.endpoint, KEY)
        self.azure.execute = True
        self.azure.executor.environment["PYTHONPATH"] = str(PLUGIN)
        self.held: set[str] = set()
        run = self.azure.executor.start
        self.azure.executor.start = lambda place, job: (
            run(place, job) if job.definition["tags"]["millwright-job"] not in self.held else None
        )  # type: ignore[method-assign]
        self.azure.compute(COMPUTE)
        self.azure.compute(STOPPED, kind="ComputeInstance", state="Stopped")
        self.azure.blobs.make(CONTAINER)
        for file in make_model_files(folder / "zeros").iterdir():
            self.azure.blobs.put(CONTAINER, f"model/{file.name}", file.read_bytes())
        self._give(
            SECRET, {**self.azure.env, "REQUESTS_CA_BUNDLE": f"{MOUNTED}/ca.pem", "SSL_CERT_FILE": f"{MOUNTED}/ca.pem"}
        )
        self._claim()

    def close(self) -> None:
        """Ends all; a call that no service would understand fails the test."""
        self.azure.close()
        self._server.stop()
        self._arena.kubectl("delete", "pv", f"{self._arena.namespace}-{CLAIM}", "--wait=false")
        assert not self.azure.wrong, "\n".join(self.azure.wrong)

    def manifest(
        self, name: str, *passes: Manifest, compute: str = COMPUTE, secret: str = SECRET, **spec: Any
    ) -> Manifest:
        """A job from and to Blob Storage, on Azure ML."""
        place = f"https://{self.azure.blobs.account}.blob.core.windows.net/{CONTAINER}"
        there = {"compute": compute, "environment": {"image": "millwright/runner:1"}}
        template = {"volumes": [{"claimName": CLAIM, "mountPath": MOUNTED}], "terminationGracePeriodSeconds": 60}
        body: Manifest = {
            "model": {"s3": None, "azureBlob": {"uri": f"{place}/model/"}},
            "output": {"s3": None, "azureBlob": {"uri": f"{place}/out/{name}/"}},
            "credentials": [{"secretName": secret}],
            "execution": {"azureML": there, "kubernetes": {"podTemplate": template}},
        }
        arena = self._arena
        return jobs.manifest(name, arena.namespace, "", arena.endpoint, *passes, **jobs.merged(body, spec))

    def start(self, name: str, *passes: Manifest, **more: Any) -> None:
        """Applies a job on Azure ML."""
        self._arena.apply(self.manifest(name, *passes, **more))

    def without_login(self, secret: str) -> None:
        """Makes a Secret that says where everything is, and not who is asking."""
        kept = {name: value for name, value in self.azure.env.items() if not name.startswith("AZURE_CLIENT")}
        kept |= {"REQUESTS_CA_BUNDLE": f"{MOUNTED}/ca.pem", "AZURE_TOKEN_CREDENTIALS": "EnvironmentCredential"}
        self._give(secret, kept)

    def jobs_of(self, name: str) -> list[Job]:
        """The jobs on Azure ML of an OptimizationJob, in the order of their numbers."""
        named = [job for job in self.azure.jobs.values() if job.definition["tags"]["millwright-job"] == name]
        return sorted(named, key=lambda job: int(job.name.rpartition("-")[2]))

    def at_work(self, name: str, number: int = 1) -> Job:
        """Waits until the runner there has left a checkpoint behind it; returns its job."""
        until(f"{name} to work on Azure ML", lambda: len(self.jobs_of(name)) >= number and self.checkpoints(name))
        return self.jobs_of(name)[number - 1]

    def checkpoints(self, name: str) -> list[str]:
        """Checkpoints in a job's output."""
        keys = self.azure.blobs.names(CONTAINER, f"out/{name}/.millwright/checkpoints/")
        return [key for key in keys if key.endswith("manifest.json")]

    def published(self, name: str) -> Manifest:
        """The manifest of the model in a job's output."""
        return dict(json.loads(self.azure.blobs.get(CONTAINER, f"out/{name}/manifest.json")))

    def _give(self, secret: str, values: dict[str, str]) -> None:
        meta = {"name": secret, "namespace": self._arena.namespace}
        self._arena.apply({"apiVersion": "v1", "kind": "Secret", "metadata": meta, "stringData": values})

    def _claim(self) -> None:
        volume, spec = f"{self._arena.namespace}-{CLAIM}", {"accessModes": ["ReadOnlyMany"], "storageClassName": ""}
        of_volume = {
            "capacity": {"storage": "1Mi"},
            "hostPath": {"path": str(self._folder / "ca")},
            "claimRef": {"namespace": self._arena.namespace, "name": CLAIM},
        }
        self._arena.apply(
            {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": volume}, "spec": spec | of_volume}
        )
        asked = {"volumeName": volume, "resources": {"requests": {"storage": "1Mi"}}}
        meta = {"name": CLAIM, "namespace": self._arena.namespace}
        self._arena.apply({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": meta, "spec": spec | asked})
