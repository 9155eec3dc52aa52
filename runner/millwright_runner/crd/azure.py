"""What the API server says of Azure in a job: workspaces, models, running on Azure ML."""

from __future__ import annotations

from pydantic import BaseModel

from millwright_api.azureml import (
    AzureML,
    AzureMLBuild,
    AzureMLEnvironment,
    AzureMLIdentity,
    AzureMLSecret,
    AzureMLVariable,
)
from millwright_api.execution import Execution
from millwright_api.pods import RESERVED_PREFIX
from millwright_api.sources import AzureMLModel, AzureMLWorkspace
from millwright_runner.crd.rule import Rule, exactly_one, goes_with

_NAMES = ("subscriptionId", "resourceGroup", "workspace")
_ANY_NAME = " || ".join(f"has(self.{name})" for name in _NAMES)
_ALL_NAMES = " && ".join(f"has(self.{name})" for name in _NAMES)
_NO_RESOURCES = " && ".join(
    f"(!has(self.kubernetes.resources.{part}) || self.kubernetes.resources.{part}.size() == 0)"
    for part in ("limits", "requests")
)
_UNREACHED = "Azure ML does not reach what only this cluster has"
_IN_THE_POD = Rule(
    "self.startsWith('/')",
    "on a cluster a path is absolute: a file of the pod's, below the mountPath of a claim in "
    "execution.kubernetes.podTemplate.volumes",
)
_TAG_KEYS = Rule("self.all(key, key.size() >= 1 && key.size() <= 256)", "the name of a tag is 1 to 256 characters long")
_THE_OPERATORS = Rule(
    f"!self.name.startsWith('{RESERVED_PREFIX}')",
    f"names that begin with {RESERVED_PREFIX} are the operator's own",
    field=".name",
)


def _not_on_azure(rule: str, message: str, field: str) -> Rule:
    return Rule(f"!has(self.execution.azureML) || {rule}", message, field=field)


def _not_beside_azure(field: str, absent: str) -> Rule:
    return Rule(
        f"!has(self.azureML) || {absent}",
        f"kubernetes.{field} does not go with azureML, where the job runs; of kubernetes only podTemplate does",
        field=f".kubernetes.{field}",
    )


OF_THE_SPEC: tuple[Rule, ...] = (
    _not_on_azure(
        "!has(self.model.volume)",
        f"{_UNREACHED}: a volume; take azureBlob, azureML, s3 or huggingFace",
        ".model.volume",
    ),
    _not_on_azure(
        "!has(self.model.path)",
        f"{_UNREACHED}: a path in a pod; take azureBlob, azureML, s3 or huggingFace (`millwright submit` sends local files along)",
        ".model.path",
    ),
    _not_on_azure(
        "!has(self.data) || !self.data.exists(d, has(d.source.volume) || has(d.source.path))",
        f"{_UNREACHED}: a data set is in a volume or at a path in a pod; take azureBlob, azureML, s3 or huggingFace "
        "(`millwright submit` sends local files along)",
        ".data",
    ),
    _not_on_azure("!has(self.output.volume)", f"{_UNREACHED}: a volume; take azureBlob or s3", ".output.volume"),
    _not_on_azure(
        "!has(self.output.path)",
        "a path is one of the machine that Azure ML lends, and goes with it; take azureBlob or s3",
        ".output.path",
    ),
    _not_on_azure(
        "!self.passes.exists(p, has(p.resources))",
        "a step has resources of its own; on Azure ML all run on execution.azureML's compute",
        ".passes",
    ),
)
"""On the spec."""

RULES: dict[type[BaseModel], tuple[Rule, ...]] = {
    AzureMLWorkspace: (
        Rule(
            f"!has(self.configFile) || !({_ANY_NAME})",
            f"configFile stands in place of {', '.join(_NAMES)}; both are given",
            field=".configFile",
        ),
        Rule(f"({_ALL_NAMES}) || !({_ANY_NAME})", f"{', '.join(_NAMES)} go together: all three, or none"),
    ),
    AzureMLModel: (
        Rule(exactly_one(["name", "datastore"]), "name (of a model) or datastore (and path) is needed: exactly one"),
        Rule("has(self.datastore) == has(self.path)", "datastore and path go together", field=".path"),
        *(
            goes_with(field, "has(self.name)", f"{field} is a model's, and goes with name, not with datastore")
            for field in ("registry", "version", "label")
        ),
        goes_with("label", "!has(self.version)", "version or label says which; both are given"),
    ),
    AzureMLEnvironment: (
        Rule(exactly_one(["image", "build", "name"]), "exactly one of image, build, name is needed"),
        *(goes_with(field, "has(self.name)", f"{field} goes with name") for field in ("version", "label", "registry")),
        goes_with("label", "!has(self.version)", "version or label says which; both are given"),
        *(
            goes_with(field, "has(self.image)", f"{field} goes with image, on top of which its packages are put")
            for field in ("condaFile", "conda")
        ),
        goes_with("conda", "!has(self.condaFile)", "condaFile or conda; both are given"),
    ),
    AzureMLIdentity: (goes_with("clientId", "self.type == 'Managed'", "clientId goes with type Managed"),),
    AzureMLSecret: (
        Rule("has(self.keyVault) != self.fromCredentials", "exactly one of keyVault, fromCredentials: true is needed"),
        _THE_OPERATORS,
    ),
    AzureMLVariable: (_THE_OPERATORS,),
    AzureML: (
        Rule(
            "has(self.compute) || has(self.instanceType)",
            "compute is needed, or instanceType for a serverless machine",
            field=".compute",
        ),
        goes_with("tier", "!has(self.compute)", "tier is of serverless machines, and compute is given"),
        Rule(
            "!has(self.env) || !has(self.secrets) || self.secrets.all(s, !self.env.exists(e, e.name == s.name))",
            "a variable is in env and in secrets; give it once",
            field=".secrets",
        ),
    ),
    Execution: (
        _not_beside_azure("resources", f"!has(self.kubernetes.resources) || ({_NO_RESOURCES})"),
        *(
            _not_beside_azure(field, f"!has(self.kubernetes.{field})")
            for field in ("image", "queue", "acceleratorMemory")
        ),
    ),
}
"""On the mapping that a class describes, and those that inherit from it."""

FIELD_RULES: dict[tuple[type[BaseModel], str], tuple[Rule, ...]] = {
    (AzureMLWorkspace, "configFile"): (_IN_THE_POD,),
    (AzureMLEnvironment, "condaFile"): (_IN_THE_POD,),
    (AzureMLBuild, "path"): (_IN_THE_POD,),
    (AzureML, "tags"): (_TAG_KEYS,),
}
"""On one field of a class."""

LIST_KEYS: dict[tuple[type[BaseModel], str], tuple[str, ...]] = {
    (AzureML, "env"): ("name",),
    (AzureML, "secrets"): ("name",),
}
"""Lists whose entries are known by a key."""
