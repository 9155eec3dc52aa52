"""What the service takes: request bodies after the published REST specification of Microsoft.MachineLearningServices (jobs:
2025-01-01-preview; assets: 2023-04-01 to 2025-01-01-preview), of Key Vault and of run history. What is not written here is
refused, with the field's name."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError
from pydantic.alias_generators import to_camel
from tests.azureml.wire import Refused, Request

Duration = Annotated[str, StringConstraints(pattern=r"^P(\d+D)?(T(\d+H)?(\d+M)?(\d+(\.\d+)?S)?)?$")]
ArmId = Annotated[str, StringConstraints(pattern=r"^(/subscriptions/[^/]+/resourceGroups/.+|azureml://registries/.+)$")]
Text = Annotated[str, StringConstraints(max_length=65_536)]
Told = Annotated[str, StringConstraints(min_length=1, pattern=r"[a-zA-Z0-9_]")]
"""What the specification requires to be there: at least one letter, digit or underscore."""


class Shape(BaseModel):
    """A body or a part of one: exactly these fields, in camelCase."""

    model_config = ConfigDict(extra="forbid", alias_generator=to_camel, strict=True)


class Output(Shape):
    """CustomModel, MLFlowModel, TritonModel, UriFile, UriFolder and MLTable outputs."""

    job_output_type: Literal["custom_model", "mlflow_model", "triton_model", "uri_file", "uri_folder", "mltable"]
    asset_name: str | None = None
    description: str | None = None
    mode: Literal["ReadWriteMount", "Upload", "Direct"] | None = None
    uri: str | None = None


class UriInput(Shape):
    """Inputs that are files or folders."""

    job_input_type: Literal["custom_model", "mlflow_model", "triton_model", "uri_file", "uri_folder", "mltable"]
    description: str | None = None
    mode: Literal["ReadOnlyMount", "ReadWriteMount", "Download", "Direct", "EvalMount", "EvalDownload"] | None = None
    uri: Told


class LiteralInput(Shape):
    """An input that is a value."""

    job_input_type: Literal["literal"]
    description: str | None = None
    value: Told


class Resources(Shape):
    """JobResourceConfiguration."""

    docker_args: str | None = None
    docker_args_list: list[str] | None = None
    instance_count: int | None = Field(default=None, ge=1)
    instance_type: str | None = None
    properties: dict[str, Any] | None = None
    shm_size: Annotated[str, StringConstraints(pattern=r"^\d+[bBkKmMgG]$")] | None = None


class QueueSettings(Shape):
    """Tier, and priority in the compute's queue: the latter is in the previews of 2023, and the SDK still sends it."""

    job_tier: Literal["Null", "Spot", "Basic", "Standard", "Premium"] | None = None
    priority: Literal[1, 2, 3] | None = None


class Managed(Shape):
    """A managed identity."""

    identity_type: Literal["Managed"]
    client_id: str | None = None
    object_id: str | None = None
    resource_id: str | None = None


class Plain(Shape):
    """Whoever submitted it, or a token of the workspace."""

    identity_type: Literal["AMLToken", "UserIdentity"]


class Limits(Shape):
    """CommandJobLimits."""

    job_limits_type: Literal["Command"]
    timeout: Duration | None = None


class Service(Shape):
    """An interactive endpoint."""

    endpoint: str | None = None
    job_service_type: str | None = None
    nodes: dict[str, Any] | None = None
    port: int | None = None
    properties: dict[str, str] | None = None


class PyTorch(Shape):
    """Distribution of PyTorch."""

    distribution_type: Literal["PyTorch"]
    process_count_per_instance: int | None = None


class Mpi(Shape):
    """Distribution of MPI."""

    distribution_type: Literal["Mpi"]
    process_count_per_instance: int | None = None


class CommandJob(Shape):
    """Properties of a command job."""

    job_type: Literal["Command"]
    command: Told
    environment_id: ArmId
    code_id: ArmId | None = None
    component_id: ArmId | None = None
    compute_id: ArmId | None = None
    description: Text | None = None
    display_name: str | None = Field(default=None, max_length=255)
    distribution: PyTorch | Mpi | None = None
    environment_variables: dict[str, str] | None = None
    experiment_name: Annotated[str, StringConstraints(pattern=r"^[a-zA-Z0-9][\w-]*$", max_length=255)] | None = None
    identity: Managed | Plain | None = None
    inputs: dict[str, UriInput | LiteralInput] | None = None
    is_archived: bool | None = None
    limits: Limits | None = None
    notification_setting: dict[str, Any] | None = None
    outputs: dict[str, Output | None] | None = None
    parent_job_name: str | None = None
    properties: dict[str, str] | None = None
    queue_settings: QueueSettings | None = None
    resources: Resources | None = None
    services: dict[str, Service] | None = None
    tags: dict[str, str] | None = None


class Asset(Shape):
    """What code, environments, models and data have in common."""

    auto_delete_setting: dict[str, Any] | None = None
    description: Text | None = None
    is_anonymous: bool | None = None
    is_archived: bool | None = None
    properties: dict[str, str | int] | None = None  # the SDK sends hash_version of code as a number
    tags: dict[str, str] | None = None


class CodeVersion(Asset):
    """A code snapshot."""

    code_uri: Annotated[str, StringConstraints(pattern=r"^https?://|^azureml://")]


class BuildContext(Shape):
    """A Dockerfile and what it needs."""

    context_uri: Told
    dockerfile_path: str | None = None


class EnvironmentVersion(Asset):
    """An environment."""

    auto_rebuild: Literal["Disabled", "OnBaseImageUpdate"] | None = None
    build: BuildContext | None = None
    conda_file: str | None = None
    image: str | None = None
    inference_config: dict[str, Any] | None = None
    intellectual_property: dict[str, Any] | None = None
    os_type: Literal["Linux", "Windows"] | None = None
    stage: str | None = None


class ModelVersion(Asset):
    """A model."""

    flavors: dict[str, Any] | None = None
    intellectual_property: dict[str, Any] | None = None
    job_name: str | None = None
    model_type: Literal["custom_model", "mlflow_model", "triton_model"] | None = None
    model_uri: str
    stage: str | None = None


class DataVersion(Asset):
    """Data, by reference."""

    data_type: Literal["uri_file", "uri_folder", "mltable"]
    data_uri: str
    intellectual_property: dict[str, Any] | None = None
    referenced_uris: list[str] | None = None
    stage: str | None = None


class PendingUpload(Shape):
    """PendingUploadRequestDto."""

    pending_upload_id: str | None = None
    pending_upload_type: Literal["None", "TemporaryBlobReference"] | None = None


class DataReference(Shape):
    """GetBlobReferenceForConsumptionDto: where a registry's asset lies."""

    asset_id: str
    blob_uri: str


class ListSecrets(Shape):
    """DatastoreSecretsRequest."""

    expirable_secret: bool | None = None
    expire_after_hours: int | None = None


class RunData(Shape):
    """GetRunDataRequest of run history."""

    run_id: str
    select_run_metadata: bool | None = None
    select_run_definition: bool | None = None
    select_job_specification: bool | None = None


class RunChange(Shape):
    """CreateRun of run history, as far as a change of a run's names and tags goes."""

    run_id: str | None = None
    display_name: str | None = None
    description: str | None = None
    tags: dict[str, str] | None = None
    properties: dict[str, str] | None = None


class SecretAttributes(Shape):
    """Of a secret of Key Vault."""

    enabled: bool | None = None
    exp: int | None = None
    nbf: int | None = None


class SecretSet(Shape):
    """SecretSetParameters of Key Vault."""

    value: str
    tags: dict[str, str] | None = None
    content_type: str | None = Field(default=None, alias="contentType")
    attributes: SecretAttributes | None = None


Body = TypeVar("Body", bound=BaseModel)


def read(shape: type[Body], request: Request, inside: str | None = None, beside: tuple[str, ...] = ()) -> Body:
    """Returns a call's body as a shape.

    Args:
        shape: what it must be.
        request: the call.
        inside: the field that holds it, as `properties`.
        beside: what else may stand beside that field, read-only to the service.

    Raises:
        Refused: 400 with the fields' names; the test fails by it.
    """
    found = request.json() if request.body else {}
    if inside is not None:
        others = sorted(set(found) - {inside, *beside}) if isinstance(found, dict) else ["the whole"]
        if others or inside not in found:
            what = f"unknown field {', '.join(others)}" if others else f"{inside} is missing"
            raise _invalid(what)
        found = found[inside]
    try:
        return shape.model_validate(found)
    except ValidationError as error:
        raise _invalid(
            "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors())
        ) from None


def _invalid(what: str) -> Refused:
    return Refused(400, "ValidationError", f"The request is invalid. {what}", violation=True)
