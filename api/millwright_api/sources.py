"""Where a model and data come from and where the result goes: unions by key, exactly one place each."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, StringConstraints, model_validator
from pydantic.alias_generators import to_camel

from millwright_api.base import ObjectName, Strict

S3Uri = Annotated[str, StringConstraints(pattern=r"^s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/.*)?$", max_length=1024)]
"""`s3://bucket/key`."""

AzureBlobUri = Annotated[str, StringConstraints(pattern=r"^https?://[^/?#@\s]+/[^/?#\s][^?#\s]*$", max_length=1024)]
"""`https://account.blob.core.windows.net/container/key`, or as an emulator has it `http://host:port/account/container/key`.
Without a query: a shared access signature is a secret and comes from the environment."""

MlName = Annotated[str, StringConstraints(pattern=r"^[a-zA-Z0-9][a-zA-Z0-9._-]*$", max_length=255)]
"""What Azure ML calls its datastores, models, registries and environments."""

RELATIVE_PATH = r"^(([^/.][^/]*|\.[^/.][^/]*|\.\.[^/]+)(/([^/.][^/]*|\.[^/.][^/]*|\.\.[^/]+))*/?)?$"
"""A path that stays below where it starts: no leading slash, no `.` or `..` as a part."""


class ExactlyOne(Strict):
    """A union by key: exactly one of the fields named in `_choices` is set."""

    @classmethod
    def choices(cls) -> tuple[str, ...]:
        """Returns the fields of which exactly one must be set, by their names in Python."""
        raise TypeError(f"{cls.__name__} names no choices")

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        names = {name: type(self).model_fields[name].alias or to_camel(name) for name in self.choices()}
        chosen = [alias for name, alias in names.items() if getattr(self, name) is not None]
        if len(chosen) != 1:
            found = f"{' and '.join(chosen)} are given" if chosen else "none is given"
            raise ValueError(f"exactly one of {', '.join(names.values())} is needed; {found}")
        return self


class HuggingFaceModel(Strict):
    """A repository on the Hugging Face hub. The token comes from the environment (HF_TOKEN), never from here."""

    repo: str = Field(min_length=1, max_length=256, description="Repository, as owner/name.")
    revision: str | None = Field(
        default=None, max_length=128, description="Branch, tag or commit. A commit pins the result. Default: main."
    )


class HuggingFaceData(Strict):
    """A dataset on the Hugging Face hub."""

    repo: str = Field(min_length=1, max_length=256, description="Repository, as owner/name.")
    subset: str | None = Field(
        default=None, max_length=256, description="Configuration of the dataset. Default: its own."
    )
    split: str = Field(
        default="train", max_length=128, description="Split, also with a slice: train[:10%]. Default: train."
    )
    revision: str | None = Field(default=None, max_length=128, description="Branch, tag or commit. Default: main.")


class S3Location(Strict):
    """A place in an S3 store. Credentials come from boto3's standard chain, never from here."""

    uri: S3Uri = Field(description="s3://bucket/key; a folder's key may end in a slash.")
    endpoint: str | None = Field(
        default=None,
        max_length=512,
        pattern=r"^https?://",
        description="URL of an S3-compatible server. Default: AWS_ENDPOINT_URL, else AWS.",
    )
    region: str | None = Field(
        default=None, max_length=64, description="Region. Default: from the environment, else us-east-1."
    )


class AzureBlobLocation(Strict):
    """A place in Azure Blob Storage. Credentials come from the environment, never from here: AZURE_STORAGE_CONNECTION_STRING,
    AZURE_STORAGE_KEY or AZURE_STORAGE_SAS_TOKEN; else azure-identity's default chain, workload identity included."""

    uri: AzureBlobUri = Field(
        description="https://account.blob.core.windows.net/container/key; a folder's key may end in a slash."
    )


class AzureMLWorkspace(Strict):
    """Which workspace of Azure ML: its three names, or a file that has them; without either, as the environment says."""

    subscription_id: str | None = Field(
        default=None,
        pattern=r"^[^/\s]+$",
        max_length=64,
        description="Subscription of the workspace, a GUID. Default: execution.azureML's, else AZURE_SUBSCRIPTION_ID.",
    )
    resource_group: str | None = Field(
        default=None,
        min_length=1,
        max_length=90,
        description="Its resource group. Default: execution.azureML's, else AZURE_RESOURCE_GROUP.",
    )
    workspace: str | None = Field(
        default=None,
        min_length=2,
        max_length=260,
        description="Its name. Default: execution.azureML's, else AZUREML_WORKSPACE_NAME.",
    )
    config_file: str | None = Field(
        default=None,
        min_length=1,
        max_length=1024,
        description="Its config.json, as the portal offers it for download, in place of the three; relative to the manifest's "
        "own folder, on a cluster an absolute path in the pod. Default: none.",
    )

    @model_validator(mode="after")
    def _all_three_or_a_file(self) -> Self:
        names = {
            "subscriptionId": self.subscription_id,
            "resourceGroup": self.resource_group,
            "workspace": self.workspace,
        }
        missing = [name for name, value in names.items() if value is None]
        if self.config_file is not None and len(missing) < 3:
            raise ValueError(
                "configFile stands in place of subscriptionId, resourceGroup and workspace; both are given"
            )
        if 0 < len(missing) < 3:
            raise ValueError(
                f"subscriptionId, resourceGroup and workspace go together; {' and '.join(missing)} not given"
            )
        return self


class AzureMLDatastore(AzureMLWorkspace):
    """A place in a datastore of an Azure ML workspace, of the kinds that lie in Blob Storage or Data Lake Gen2."""

    datastore: MlName = Field(description="The datastore's name, as workspaceblobstore.")
    path: str = Field(
        min_length=1, max_length=1024, pattern=RELATIVE_PATH, description="Path inside it, without a leading slash."
    )


class AzureMLModel(AzureMLWorkspace):
    """A model of an Azure ML registry or workspace, by name; or a folder of a datastore. Its files are in Hugging Face's
    form, or in MLflow's (MLmodel), from which the model and its tokenizer are taken."""

    registry: MlName | None = Field(
        default=None, description="A registry, such as azureml, the shared one. Default: the workspace's own models."
    )
    name: MlName | None = Field(default=None, description="The model's name.")
    version: str | None = Field(
        default=None, min_length=1, max_length=64, description="Its version. Default: by label."
    )
    label: str | None = Field(
        default=None, min_length=1, max_length=64, description="A label of versions. Default: latest."
    )
    datastore: MlName | None = Field(default=None, description="In place of a name: a datastore of the workspace.")
    path: str | None = Field(
        default=None, min_length=1, max_length=1024, pattern=RELATIVE_PATH, description="A folder of that datastore."
    )

    @model_validator(mode="after")
    def _by_name_or_by_datastore(self) -> Self:
        if (self.name is None) == (self.datastore is None):
            found = "both are given" if self.name else "none is given"
            raise ValueError(f"name (of a model) or datastore (and path) is needed; {found}")
        if (self.datastore is None) != (self.path is None):
            raise ValueError("datastore and path go together")
        if self.datastore is not None and (self.registry or self.version or self.label):
            raise ValueError("registry, version and label are a model's, and go with name, not with datastore")
        if self.version is not None and self.label is not None:
            raise ValueError("version or label says which; both are given")
        return self


class VolumeLocation(Strict):
    """A place in a PersistentVolumeClaim of the job's namespace; there is none without a cluster."""

    claim_name: ObjectName = Field(description="The claim's name.")
    path: str = Field(
        default="",
        max_length=1024,
        pattern=RELATIVE_PATH,
        description="Path inside the volume, without a leading slash. Default: the volume's root.",
    )


class Model(ExactlyOne):
    """The model to start from: exactly one source, a folder in Hugging Face's form."""

    hugging_face: HuggingFaceModel | None = Field(default=None, description="From the Hugging Face hub.")
    s3: S3Location | None = Field(default=None, description="From an S3 folder.")
    azure_blob: AzureBlobLocation | None = Field(default=None, description="From a folder in Azure Blob Storage.")
    azure_ml: AzureMLModel | None = Field(
        default=None, alias="azureML", description="From an Azure ML registry, workspace or datastore."
    )
    path: str | None = Field(
        default=None,
        min_length=1,
        max_length=1024,
        description="From a folder, relative to the manifest's own folder; on a cluster an absolute path in the pod.",
    )
    volume: VolumeLocation | None = Field(default=None, description="From a folder in a volume of the cluster.")
    trust_remote_code: bool = Field(
        default=False,
        description="Run Python code that comes with the model. Off also for everything underneath. Default: false.",
    )

    @classmethod
    def choices(cls) -> tuple[str, ...]:
        """One of six sources."""
        return ("hugging_face", "s3", "azure_blob", "azure_ml", "path", "volume")


class DataSource(ExactlyOne):
    """Where rows come from: exactly one source. Files are JSON, JSONL, CSV or Parquet, told by their suffix."""

    hugging_face: HuggingFaceData | None = Field(default=None, description="A dataset on the Hugging Face hub.")
    s3: S3Location | None = Field(default=None, description="A file in an S3 store.")
    azure_blob: AzureBlobLocation | None = Field(default=None, description="A file in Azure Blob Storage.")
    azure_ml: AzureMLDatastore | None = Field(
        default=None, alias="azureML", description="A file in a datastore of an Azure ML workspace."
    )
    path: str | None = Field(
        default=None,
        min_length=1,
        max_length=1024,
        description="A file, relative to the manifest's own folder; on a cluster an absolute path in the pod.",
    )
    volume: VolumeLocation | None = Field(default=None, description="A file in a volume of the cluster.")

    @classmethod
    def choices(cls) -> tuple[str, ...]:
        """One of six sources."""
        return ("hugging_face", "s3", "azure_blob", "azure_ml", "path", "volume")


class Output(ExactlyOne):
    """Where the model goes: exactly one place."""

    s3: S3Location | None = Field(default=None, description="A folder in an S3 store.")
    azure_blob: AzureBlobLocation | None = Field(default=None, description="A folder in Azure Blob Storage.")
    path: str | None = Field(
        default=None,
        min_length=1,
        max_length=1024,
        description="A folder, relative to the manifest's own folder; on a cluster an absolute path below a writable mount of the podTemplate.",
    )
    volume: VolumeLocation | None = Field(default=None, description="A folder in a volume of the cluster.")
    replace: bool = Field(
        default=False,
        description="Replace another result that the output holds; off, such a job is refused. Default: false.",
    )
    sign: bool = Field(
        default=False,
        description="Publish nothing unsigned: a job without a key is refused. The key is MILLWRIGHT_SIGNING_KEY of a Secret of credentials, or `millwright run --sign-key`. Default: false.",
    )

    @classmethod
    def choices(cls) -> tuple[str, ...]:
        """Four places."""
        return ("s3", "azure_blob", "path", "volume")
