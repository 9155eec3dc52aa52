"""Running a job on Azure ML: compute, environment, identity, secrets. On a cluster a small pod of the job submits and
follows it; `millwright submit` does without one."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from millwright_api.base import Strict, unique
from millwright_api.pods import RESERVED_PREFIX
from millwright_api.sources import RELATIVE_PATH, AzureMLWorkspace, MlName

MAX_TAGS, MAX_VARIABLES, MAX_SECRETS = 32, 32, 16

VariableName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=128)]


class AzureMLBuild(Strict):
    """An image that Azure ML builds from a Dockerfile."""

    path: str = Field(
        min_length=1, max_length=1024, description="Folder that is sent to the build; relative to the manifest's own."
    )
    dockerfile: str = Field(
        default="Dockerfile", pattern=RELATIVE_PATH, max_length=512, description="File in it. Default: Dockerfile."
    )


class AzureMLEnvironment(Strict):
    """What the job runs in: an image, with or without a conda file on top of it; an image to be built; or an environment
    that is there, by name. It needs Python 3.11 or newer and what the runner needs; Millwright's own code travels with the job."""

    image: str | None = Field(
        default=None, min_length=1, max_length=512, description="Image, such as Millwright's runner."
    )
    build: AzureMLBuild | None = Field(default=None, description="In place of image: one that is built.")
    conda_file: str | None = Field(
        default=None,
        min_length=1,
        max_length=1024,
        description="Conda file for packages on top of the image; relative to the manifest's own folder, on a cluster an absolute path in the pod.",
    )
    conda: str | None = Field(
        default=None, min_length=1, max_length=16_384, description="The same, written here, as YAML text."
    )
    name: MlName | None = Field(
        default=None, description="In place of image: an environment of the workspace or registry."
    )
    version: str | None = Field(
        default=None, min_length=1, max_length=64, description="Its version. Default: by label."
    )
    label: str | None = Field(default=None, min_length=1, max_length=64, description="Its label. Default: latest.")
    registry: MlName | None = Field(
        default=None, description="The registry that has it; curated ones are in azureml. Default: the workspace."
    )

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        given = [name for name in ("image", "build", "name") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"exactly one of image, build, name is needed; {' and '.join(given) or 'none'} given")
        if self.name is None and (self.version or self.label or self.registry):
            raise ValueError("version, label and registry go with name")
        if self.version is not None and self.label is not None:
            raise ValueError("version or label says which; both are given")
        if self.image is None and (self.conda_file or self.conda):
            raise ValueError("condaFile and conda go on top of image")
        if self.conda_file is not None and self.conda is not None:
            raise ValueError("condaFile or conda; both are given")
        return self


class AzureMLIdentity(Strict):
    """Whom the job is to Azure: what it may read and write."""

    type: Literal["Managed", "User", "AmlToken"] = Field(
        description="Managed: the compute's managed identity. User: who submitted it. AmlToken: a token of the workspace."
    )
    client_id: str | None = Field(
        default=None, min_length=1, max_length=64, description="With Managed: which one, when the compute has several."
    )

    @model_validator(mode="after")
    def _client_of_managed(self) -> Self:
        if self.client_id is not None and self.type != "Managed":
            raise ValueError(f"clientId goes with type Managed, not {self.type}")
        return self


class KeyVaultSecret(Strict):
    """A secret in Azure Key Vault. The job reads it with its own identity; its value is in no manifest, log or job definition."""

    secret: str = Field(pattern=r"^[0-9a-zA-Z-]+$", max_length=127, description="The secret's name.")
    vault: str | None = Field(
        default=None,
        max_length=256,
        pattern=r"^(https://[^/?#\s]+/?|[a-zA-Z][0-9a-zA-Z-]{1,22}[0-9a-zA-Z])$",
        description="The vault's name or https:// address. Default: the workspace's own.",
    )


class AzureMLSecret(Strict):
    """A variable of the job's environment that is a secret, such as HF_TOKEN."""

    name: VariableName = Field(description="The variable's name.")
    key_vault: KeyVaultSecret | None = Field(default=None, description="Its value is this secret.")
    from_credentials: bool = Field(
        default=False,
        description="Its value is what spec.credentials (or the environment of `millwright submit`) has under this name; it is "
        "handed over in the workspace's Key Vault and removed from there at the end. Default: false.",
    )

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        if (self.key_vault is not None) == self.from_credentials:
            raise ValueError("exactly one of keyVault, fromCredentials: true is needed")
        if self.name.startswith(RESERVED_PREFIX):
            raise ValueError(f"variables that begin with {RESERVED_PREFIX} are the operator's")
        return self


class AzureMLVariable(Strict):
    """A variable of the job's environment that is no secret: it can be read in the portal."""

    name: VariableName = Field(description="The variable's name.")
    value: str = Field(max_length=4096, description="Its value.")

    @model_validator(mode="after")
    def _not_the_operators(self) -> Self:
        if self.name.startswith(RESERVED_PREFIX):
            raise ValueError(f"variables that begin with {RESERVED_PREFIX} are the operator's")
        return self


class AzureML(AzureMLWorkspace):
    """Run as a command job of Azure ML: on a compute cluster, a compute instance, an attached Kubernetes cluster (Azure Arc),
    or serverless."""

    compute: str | None = Field(
        default=None,
        min_length=1,
        max_length=255,
        description="Name of the compute. Default: serverless, by instanceType.",
    )
    instance_type: str | None = Field(
        default=None,
        min_length=1,
        max_length=63,
        description="Of a Kubernetes compute (Arc): its InstanceType. Without compute: the size of the serverless machine, such "
        "as Standard_NC24ads_A100_v4. Default: the compute's own.",
    )
    instance_count: int = Field(default=1, ge=1, le=1, description="Nodes; this version trains on one. Default: 1.")
    environment: AzureMLEnvironment = Field(description="What it runs in.")
    identity: AzureMLIdentity | None = Field(
        default=None, description="Whom it is to Azure. Default: the compute's own."
    )
    priority: Literal["Low", "Medium", "High"] | None = Field(
        default=None, description="In the queue of the compute. Default: the service's."
    )
    tier: Literal["Standard", "Spot"] | None = Field(
        default=None, description="Of a serverless machine: Spot is cheaper and may be taken away. Default: Standard."
    )
    tags: dict[
        Annotated[str, StringConstraints(min_length=1, max_length=256)],
        Annotated[str, StringConstraints(max_length=256)],
    ] = Field(default={}, max_length=MAX_TAGS, description="Tags of the job in Azure ML.")
    experiment: MlName | None = Field(
        default=None, description="The experiment that it is listed under. Default: the OptimizationJob's name."
    )
    env: list[AzureMLVariable] = Field(
        default=[], max_length=MAX_VARIABLES, description="Environment of the job; no place for secrets."
    )
    secrets: list[AzureMLSecret] = Field(
        default=[], max_length=MAX_SECRETS, description="Variables whose values are secrets."
    )

    @model_validator(mode="after")
    def _somewhere(self) -> Self:
        if self.compute is None and self.instance_type is None:
            raise ValueError("compute, or instanceType for a serverless machine, is needed; none is given")
        if self.compute is not None and self.tier is not None:
            raise ValueError("tier is of serverless machines, and compute is given")
        unique(
            "env and secrets", "name", [*(entry.name for entry in self.env), *(entry.name for entry in self.secrets)]
        )
        return self
