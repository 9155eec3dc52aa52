"""Where a job runs on a cluster, and how often: resources, the pod's allow-list, retries. `millwright run` ignores all of it."""

from __future__ import annotations

import re
from typing import Annotated, Self

from pydantic import Field, StringConstraints, model_validator

from millwright_api.azureml import AzureML
from millwright_api.base import OBJECT_NAME, ObjectName, Strict, unique
from millwright_api.pods import Affinity, EnvVar, Key, Label, Toleration
from millwright_api.quantities import amount

MAX_RESOURCES, MAX_CREDENTIALS, MAX_POD_ITEMS = 16, 8, 32

Quantity = Annotated[
    str, StringConstraints(pattern=r"^\+?[0-9]+(\.[0-9]*)?([numkMGTPE]|[KMGTPE]i|[eE][0-9]{1,2})?$", max_length=32)
]
"""An amount as Kubernetes writes it: 4, 500m, 32Gi. Also a bare integer."""

Amount = Quantity | Annotated[int, Field(ge=0)]

RESOURCE_NAME = r"^(cpu|memory|ephemeral-storage|hugepages-[0-9A-Za-z]+|[a-z0-9.-]+/[A-Za-z0-9][A-Za-z0-9._-]*)$"

ResourceName = Annotated[
    str,
    StringConstraints(
        pattern=RESOURCE_NAME,
        max_length=128,
    ),
]
"""A resource as nodes offer it; all but the first few have a domain: nvidia.com/gpu."""

RESERVED_MOUNTS = ("/etc/millwright", "/var/run/secrets", "/dev", "/scratch", "/volumes", "/proc", "/sys")
"""Where the operator mounts its own, and what a system cannot do without."""


class Resources(Strict):
    """What a stage's pod asks for, as in any pod: cpu, memory, ephemeral-storage, nvidia.com/gpu …"""

    limits: dict[ResourceName, Amount] = Field(
        default={}, max_length=MAX_RESOURCES, description="What it may use at most, by name. Accelerators belong here."
    )
    requests: dict[ResourceName, Amount] = Field(
        default={}, max_length=MAX_RESOURCES, description="What it is scheduled by. Default: the limits."
    )

    @model_validator(mode="after")
    def _as_in_a_pod(self) -> Self:
        for name, wanted in self.requests.items():
            limit, accelerator = self.limits.get(name), "/" in name
            if accelerator and (limit is None or amount(limit) != amount(wanted)):
                raise ValueError(
                    f"{name} is requested as it is limited; limits has {limit or 0}, requests has {wanted}"
                )
            if limit is not None and (amount(wanted) or 0) > (amount(limit) or 0):
                raise ValueError(f"requests of {name}, {wanted}, are above its limit {limit}")
        for name, limit in self.limits.items():
            if "/" in name and not re.fullmatch(r"[0-9]+", str(limit)):
                raise ValueError(f"{name} is counted in whole pieces; found {limit}")
        return self

    def by_value(self) -> tuple[tuple[tuple[str, object], ...], ...]:
        """Returns what two pods that ask for the same have in common: 1Gi is 1024Mi, and a request that is not given is the
        limit."""
        asked = {**self.limits, **self.requests}
        return tuple(
            tuple(sorted((name, amount(value)) for name, value in group.items())) for group in (self.limits, asked)
        )


class LocalReference(Strict):
    """Names an object of the job's own namespace."""

    name: ObjectName = Field(description="Its name.")


class ClaimMount(Strict):
    """A PersistentVolumeClaim mounted into the job's pods, for `path` sources and outputs below it."""

    claim_name: ObjectName = Field(description="The claim's name.")
    mount_path: str = Field(
        pattern=r"^(/[^/:]+)+$", max_length=512, description="Where it is mounted: an absolute path."
    )
    read_only: bool = Field(default=True, description="Mount it read-only. Default: true.")

    @model_validator(mode="after")
    def _leaves_the_operators_mounts_alone(self) -> Self:
        parts = self.mount_path.split("/")
        if ".." in parts or "." in parts:
            raise ValueError("mountPath goes straight down: no '.' or '..' in it")
        if any(self.mount_path == taken or self.mount_path.startswith(f"{taken}/") for taken in RESERVED_MOUNTS):
            raise ValueError(
                f"mountPath {self.mount_path} is taken; outside of {', '.join(RESERVED_MOUNTS)} all is free"
            )
        return self


class PodTemplate(Strict):
    """The part of a pod that a job may say: an allow-list. All else is the operator's, and restricted."""

    node_selector: dict[Key, Label] = Field(
        default={}, max_length=MAX_POD_ITEMS, description="Labels that the node must have."
    )
    tolerations: list[Toleration] = Field(
        default=[], max_length=MAX_POD_ITEMS, description="Taints that the pod tolerates."
    )
    affinity: Affinity | None = Field(default=None, description="Affinity to nodes and pods, as in any pod.")
    priority_class_name: ObjectName | None = Field(default=None, description="PriorityClass of the pod.")
    service_account_name: ObjectName | None = Field(
        default=None,
        description="ServiceAccount of the pod, for workload identity. Its token is not mounted. Default: default.",
    )
    image_pull_secrets: list[LocalReference] = Field(
        default=[], max_length=8, description="Secrets to pull the image with."
    )
    env: list[EnvVar] = Field(
        default=[], max_length=MAX_POD_ITEMS, description="Environment: plain values, and keys of Secrets."
    )
    volumes: list[ClaimMount] = Field(
        default=[], max_length=8, description="Claims to mount, besides those that sources and the output name."
    )
    fs_group: int | None = Field(
        default=None,
        ge=1,
        le=2**31 - 1,
        description="Group that mounted volumes are made writable for. Default: 65532, the runner's own.",
    )
    termination_grace_period_seconds: int = Field(
        default=120,
        ge=10,
        le=3600,
        description="Seconds between SIGTERM and SIGKILL: the time to store a checkpoint. Default: 120.",
    )

    @model_validator(mode="after")
    def _entries_are_unique(self) -> Self:
        unique("env", "name", [entry.name for entry in self.env])
        unique("volumes", "mountPath", [entry.mount_path for entry in self.volumes])
        unique("imagePullSecrets", "name", [entry.name for entry in self.image_pull_secrets])
        return self


class Kubernetes(Strict):
    """Run as Jobs of this cluster."""

    resources: Resources = Field(
        default=Resources(), description="Of every stage's pod whose passes have none of their own. Default: none."
    )
    image: str | None = Field(
        default=None,
        min_length=1,
        max_length=512,
        pattern=r"^[^\s]+$",
        description="Runner image; plug-in passes come from it. Default: the operator's.",
    )
    queue: Annotated[str, StringConstraints(pattern=OBJECT_NAME, max_length=63)] | None = Field(
        default=None, description="Kueue's LocalQueue: stages wait suspended until it admits them. Default: none."
    )
    scratch: Quantity | None = Field(
        default=None,
        description="Size limit of the pod's scratch space (emptyDir); over it the pod is evicted. Default: the node's.",
    )
    shared_memory: Quantity = Field(
        default="1Gi", description="Size of /dev/shm; counts as memory when used. Default: 1Gi."
    )
    accelerator_memory: Quantity | None = Field(
        default=None,
        description="Memory of one accelerator, which the preflight holds its estimate against. "
        "Default: from the nodeSelector nvidia.com/gpu.memory, else not checked.",
    )
    pod_template: PodTemplate = Field(default=PodTemplate(), description="What else the pods need.")


class Execution(Strict):
    """Where the job runs: on the cluster that it was applied to, or on Azure ML."""

    kubernetes: Kubernetes = Field(
        default=Kubernetes(),
        description="As Jobs of the cluster that it was applied to. With azureML only podTemplate, for the small pods that "
        "look at the job, submit it and follow it.",
    )
    azure_ml: AzureML | None = Field(
        default=None, alias="azureML", description="As a command job of Azure ML. Default: on the cluster."
    )

    @model_validator(mode="after")
    def _one_backend(self) -> Self:
        if self.azure_ml is None:
            return self
        kubernetes = self.kubernetes
        given = {
            "resources": kubernetes.resources != Resources(),
            "image": kubernetes.image is not None,
            "queue": kubernetes.queue is not None,
            "acceleratorMemory": kubernetes.accelerator_memory is not None,
        }
        for name, there in given.items():
            if there:
                raise ValueError(
                    f"kubernetes.{name} does not go with azureML, where the job runs; of kubernetes only podTemplate does"
                )
        return self


class Credential(Strict):
    """A Secret whose keys become environment variables of the job's pods: HF_TOKEN, AWS_ACCESS_KEY_ID … The operator
    never reads it."""

    secret_name: ObjectName = Field(description="Name of a Secret in the job's namespace.")


class Retry(Strict):
    """How often a stage is tried. Evictions, preemptions and suspensions cost no attempt."""

    max_attempts: int = Field(
        default=3, ge=1, le=100, description="Attempts of each stage; may be raised while it runs. Default: 3."
    )
