"""What both sides say of Azure: sources and outputs in Blob Storage, Azure ML's data and models, running there."""

from __future__ import annotations

from typing import Any

from tests.cluster.manifests.base import DELETE, KUBERNETES, TEMPLATE, Bad, Changes, Good

ML = "spec.execution.azureML"
BLOB = "https://teama.blob.core.windows.net/models/phi3"
NAMES = {"subscriptionId": "6b1e2c1a-0000-4000-8000-000000000000", "resourceGroup": "team-a", "workspace": "tuning"}
ROWS = {"azureML": {"datastore": "workspaceblobstore", "path": "emotion/train.jsonl"}}
REGISTERED = {"registry": "azureml", "name": "Phi-3-mini-4k-instruct", "version": "7"}
ON_AZURE: dict[str, Any] = {
    **NAMES,
    "compute": "gpu-cluster",
    "environment": {"image": "registry.example.com/team-a/runner:1"},
}
ALL_OF_IT: dict[str, Any] = {
    **NAMES,
    "compute": "arc-cluster",
    "instanceType": "gpu-large",
    "instanceCount": 1,
    "environment": {"image": "registry.example/azureml/openmpi4.1.0-ubuntu22.04:latest", "conda": "name: x\n"},
    "identity": {"type": "Managed", "clientId": "0f0f0f0f-0000-4000-8000-000000000000"},
    "priority": "High",
    "tags": {"team": "a", "cost centre": ""},
    "experiment": "emotion",
    "env": [{"name": "HF_HUB_ENABLE_HF_TRANSFER", "value": "1"}],
    "secrets": [
        {"name": "HF_TOKEN", "keyVault": {"secret": "hf-token", "vault": "team-a-vault"}},
        {"name": "OTHER", "keyVault": {"secret": "other", "vault": "https://team-a.vault.azure.net/"}},
        {"name": "AWS_SECRET_ACCESS_KEY", "fromCredentials": True},
    ],
}

# What the sample has on a volume and with resources of its own does not go to Azure ML.
REACHABLE: Changes = {"spec.data.1.source": ROWS, "spec.passes.2.resources": DELETE, "spec.output": {"azureBlob": {"uri": BLOB}}}  # fmt: skip
THERE: Changes = {**REACHABLE, ML: ON_AZURE}


def there(**execution: Any) -> Changes:
    """A job on Azure ML, with some of it said otherwise; `DELETE` takes a key out."""
    wanted = {**ON_AZURE, **execution}
    return {**REACHABLE, ML: {key: value for key, value in wanted.items() if value is not DELETE}}


def environment(**said: Any) -> Changes:
    return there(environment=said)


def model(**said: Any) -> Changes:
    return {"spec.model": {"azureML": said}}


ALL_AZURE: Changes = {**REACHABLE, **model(**REGISTERED), ML: ALL_OF_IT}
FULL_LISTS: dict[str, Any] = {
    "tags": {f"{i:0256}": "v" * 256 for i in range(32)},
    "env": [{"name": f"E{i:0127}", "value": "v" * 4096} for i in range(32)],
    "secrets": [{"name": f"S{i:0127}", "fromCredentials": True} for i in range(16)],
}

GOOD_AZURE = [
    Good("a model, rows and an output in Blob Storage", {
        "spec.model": {"azureBlob": {"uri": f"{BLOB}/"}}, "spec.data.0.source": {"azureBlob": {"uri": f"{BLOB}/train.jsonl"}}, "spec.output": {"azureBlob": {"uri": BLOB}}}),
    Good("a container of an emulator", {"spec.output": {"azureBlob": {"uri": "http://127.0.0.1:10000/devstoreaccount1/models"}}}),
    Good("a model of a registry, by version", model(**REGISTERED)),
    Good("a model of the workspace, by label", model(name="phi3", label="production", **NAMES)),
    Good("a model in a datastore", model(datastore="workspaceblobstore", path="models/phi3/")),
    Good("rows of a datastore, its workspace from a file", {"spec.data.0.source": {"azureML": {**ROWS["azureML"], "configFile": "/claims/azure/config.json"}}}),
    Good("on Azure ML", THERE),
    Good("on Azure ML, with all that can be said", {**REACHABLE, ML: ALL_OF_IT}),
    Good("on Azure ML, the workspace from the environment", there(**dict.fromkeys(NAMES, DELETE))),
    Good("serverless, and cheaper", there(compute=DELETE, instanceType="Standard_NC24ads_A100_v4", tier="Spot")),
    Good("in an environment that is there", environment(name="acft-hf-nlp-gpu", label="latest", registry="azureml")),
    Good("in an environment that is built", environment(build={"path": "/claims/build", "dockerfile": "docker/Dockerfile"})),
    Good("packages of a file on top of an image", environment(image="ubuntu", condaFile="/claims/conda.yaml")),
    Good("on Azure ML, with room in the pod that follows", {**THERE, TEMPLATE: {"serviceAccountName": "azure", "volumes": [{"claimName": "azure", "mountPath": "/claims"}]}}),
    Good("on Azure ML, with resources that say nothing", {**THERE, f"{KUBERNETES}.resources": {"limits": {}}}),
    Good("as many tags, variables and secrets as can be", there(**FULL_LISTS)),
]  # fmt: skip

ONE_ENVIRONMENT = "exactly one of image, build, name is needed"
ONE_MODEL = "name (of a model) or datastore (and path) is needed"
LOCALLY = "locally `millwright submit` sends the file along, and `millwright run` reads it"

BAD_AZURE = [
    Bad("two places for the model in Azure", {"spec.model": {"azureBlob": {"uri": BLOB}, "azureML": REGISTERED}}, "spec.model", "exactly one of huggingFace, s3, azureBlob, azureML, path, volume", "azureBlob and azureML are given"),
    Bad("an output in a datastore", {"spec.output": {"azureML": ROWS["azureML"]}}, "spec.output.azureML", "unknown field", "unknown key"),
    Bad("Azure ML in the wrong capitals", {"spec.model": {"azureMl": REGISTERED}}, "spec.model.azureMl", "unknown field", "did you mean 'azureML'"),
    Bad("an account without a container", {"spec.output": {"azureBlob": {"uri": "https://teama.blob.core.windows.net/"}}}, "spec.output.azureBlob.uri", "expected https://account.blob", "https://account.blob"),
    Bad("a SAS in the manifest", {"spec.output": {"azureBlob": {"uri": f"{BLOB}?sv=2024-11-04&sig=abc"}}}, "spec.output.azureBlob.uri", "without a query (a SAS comes from the environment)", "without a query (a SAS comes from the environment)"),
    Bad("Blob Storage by another scheme", {"spec.data.0.source": {"azureBlob": {"uri": "abfss://models@teama.dfs.core.windows.net/x"}}}, "spec.data[0].source.azureBlob.uri", "expected https://account.blob", "https://account.blob"),
    Bad("a key in the manifest", {"spec.output": {"azureBlob": {"uri": BLOB, "accountKey": "x"}}}, "spec.output.azureBlob.accountKey", "unknown field", "unknown key"),
    Bad("a model of no name", model(registry="azureml"), "spec.model.azureML", ONE_MODEL, f"{ONE_MODEL}; none is given"),
    Bad("a model by name and by datastore", model(name="phi3", datastore="store", path="phi3"), "spec.model.azureML", ONE_MODEL, f"{ONE_MODEL}; both are given"),
    Bad("a datastore without a path", model(datastore="store"), "spec.model.azureML.path", "datastore and path go together", "datastore and path go together"),
    Bad("a path without a datastore", model(name="phi3", path="phi3"), "spec.model.azureML.path", "datastore and path go together", "datastore and path go together"),
    Bad("a version of a datastore", model(datastore="store", path="phi3", version="7"), "spec.model.azureML.version", "version is a model's, and goes with name", "registry, version and label are a model's"),
    Bad("a registry's datastore", model(datastore="store", path="phi3", registry="azureml"), "spec.model.azureML.registry", "registry is a model's, and goes with name", "registry, version and label are a model's"),
    Bad("a version and a label", model(name="phi3", version="7", label="latest"), "spec.model.azureML.label", "both are given", "version or label says which; both are given"),
    Bad("a version that is a number", model(name="phi3", version=7), "spec.model.azureML.version", "must be of type string", "write it in quotes"),
    Bad("a model by its address", model(name="azureml://registries/azureml/models/phi3"), "spec.model.azureML.name", "expected letters, digits, dashes, underscores and dots", "letters, digits, dashes, underscores and dots"),
    Bad("a workspace without its group", model(name="phi3", subscriptionId="x", workspace="tuning"), "spec.model.azureML", "go together: all three, or none", "go together; resourceGroup not given"),
    Bad("a workspace and a file of it", model(name="phi3", configFile="/claims/config.json", **NAMES), "spec.model.azureML.configFile", "stands in place of", "stands in place of"),
    Bad("a subscription by its address", model(name="phi3", **{**NAMES, "subscriptionId": "/subscriptions/x"}), "spec.model.azureML.subscriptionId", "expected text without slashes", "text without slashes"),
    Bad("a file that the pod cannot have", model(name="phi3", configFile="config.json"), "spec.model.azureML.configFile", "on a cluster a path is absolute", None, "locally a path is relative to the manifest"),
    Bad("rows of a datastore at no path", {"spec.data.0.source": {"azureML": {"datastore": "store"}}}, "spec.data[0].source.azureML.path", "Required value", "is missing"),
    Bad("rows above the datastore", {"spec.data.0.source": {"azureML": {"datastore": "store", "path": "../x.jsonl"}}}, "spec.data[0].source.azureML.path", "without . and ..", "without . and .."),
    Bad("rows of a model's name", {"spec.data.0.source": {"azureML": {**ROWS["azureML"], "name": "x"}}}, "spec.data[0].source.azureML.name", "unknown field", "unknown key"),
    Bad("on Azure ML in nothing", there(environment=DELETE), f"{ML}.environment", "Required value", "is missing"),
    Bad("on Azure ML nowhere", there(compute=DELETE), f"{ML}.compute", "instanceType for a serverless machine", "instanceType for a serverless machine"),
    Bad("on Azure ML in half a workspace", there(workspace=DELETE), ML, "go together: all three, or none", "workspace not given"),
    Bad("a compute that may be taken away", there(tier="Spot"), f"{ML}.tier", "tier is of serverless machines", "tier is of serverless machines"),
    Bad("two nodes", there(instanceCount=2), f"{ML}.instanceCount", "less than or equal to 1", "1 to 1"),
    Bad("a priority that is none", there(priority="high"), f"{ML}.priority", "Unsupported value", "did you mean 'High'"),
    Bad("an environment of nothing", environment(), f"{ML}.environment", ONE_ENVIRONMENT, f"{ONE_ENVIRONMENT}; none given"),
    Bad("an image and a name", environment(image="ubuntu", name="x"), f"{ML}.environment", ONE_ENVIRONMENT, "image and name given"),
    Bad("a version of an image", environment(image="ubuntu", version="7"), f"{ML}.environment.version", "version goes with name", "go with name"),
    Bad("a registry of a build", environment(build={"path": "/claims/b"}, registry="azureml"), f"{ML}.environment.registry", "registry goes with name", "go with name"),
    Bad("an environment's version and label", environment(name="x", version="1", label="latest"), f"{ML}.environment.label", "both are given", "both are given"),
    Bad("packages on top of nothing", environment(name="x", conda="name: x"), f"{ML}.environment.conda", "on top of which", "go on top of image"),
    Bad("packages twice", environment(image="ubuntu", conda="name: x", condaFile="/claims/c.yaml"), f"{ML}.environment.conda", "condaFile or conda; both are given", "condaFile or conda; both are given"),
    Bad("packages of a file that the pod cannot have", environment(image="ubuntu", condaFile="conda.yaml"), f"{ML}.environment.condaFile", "on a cluster a path is absolute", None, "locally a path is relative to the manifest"),
    Bad("a build of a folder that the pod cannot have", environment(build={"path": "docker"}), f"{ML}.environment.build.path", "on a cluster a path is absolute", None, "locally a path is relative to the manifest"),
    Bad("a file above the build", environment(build={"path": "/claims/b", "dockerfile": "../Dockerfile"}), f"{ML}.environment.build.dockerfile", "without . and ..", "without . and .."),
    Bad("an identity that is none", there(identity={"type": "managed"}), f"{ML}.identity.type", "Unsupported value", "did you mean 'Managed'"),
    Bad("a client that is a person", there(identity={"type": "User", "clientId": "x"}), f"{ML}.identity.clientId", "clientId goes with type Managed", "clientId goes with type Managed"),
    Bad("a tag without a name", there(tags={"": "x"}), f"{ML}.tags", "1 to 256 characters", "up to 256 characters"),
    Bad("a secret from nowhere", there(secrets=[{"name": "HF_TOKEN"}]), f"{ML}.secrets[0]", "exactly one of keyVault, fromCredentials", "exactly one of keyVault, fromCredentials"),
    Bad("a secret from two places", there(secrets=[{"name": "HF_TOKEN", "fromCredentials": True, "keyVault": {"secret": "hf"}}]), f"{ML}.secrets[0]", "exactly one of keyVault, fromCredentials", "exactly one of keyVault, fromCredentials"),
    Bad("a secret in the manifest", there(secrets=[{"name": "HF_TOKEN", "value": "hf_x"}]), f"{ML}.secrets[0].value", "unknown field", "unknown key"),
    Bad("a secret of the operator's", there(secrets=[{"name": "MILLWRIGHT_UID", "fromCredentials": True}]), f"{ML}.secrets[0].name", "the operator's own", "are the operator's"),
    Bad("a variable of the operator's on Azure ML", there(env=[{"name": "MILLWRIGHT_UID", "value": "x"}]), f"{ML}.env[0].name", "the operator's own", "are the operator's"),
    Bad("a variable with a dash", there(env=[{"name": "HF-TOKEN", "value": "x"}]), f"{ML}.env[0].name", "no digit first", "no digit first"),
    Bad("two variables of one name on Azure ML", there(env=[{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]), f"{ML}.env[1]", "Duplicate value", "more than once"),
    Bad("a variable that is a secret too", there(env=[{"name": "A", "value": "1"}], secrets=[{"name": "A", "fromCredentials": True}]), f"{ML}.secrets", "in env and in secrets", "more than once"),
    Bad("a vault by an address without a lock", there(secrets=[{"name": "A", "keyVault": {"secret": "a", "vault": "http://v"}}]), f"{ML}.secrets[0].keyVault.vault", "expected a vault's name", "a vault's name"),
    Bad("a secret's name with an underscore", there(secrets=[{"name": "A", "keyVault": {"secret": "hf_token"}}]), f"{ML}.secrets[0].keyVault.secret", "expected letters, digits and dashes", "letters, digits and dashes"),
    Bad("two backends", {**THERE, f"{KUBERNETES}.resources": {"limits": {"nvidia.com/gpu": 1}}}, "spec.execution.kubernetes.resources", "does not go with azureML", "kubernetes.resources does not go with azureML"),
    Bad("the cluster's image on Azure ML", {**THERE, f"{KUBERNETES}.image": "runner"}, "spec.execution.kubernetes.image", "does not go with azureML", "kubernetes.image does not go with azureML"),
    Bad("the cluster's queue on Azure ML", {**THERE, f"{KUBERNETES}.queue": "team-a"}, "spec.execution.kubernetes.queue", "does not go with azureML", "kubernetes.queue does not go with azureML"),
    Bad("the cluster's accelerators on Azure ML", {**THERE, f"{KUBERNETES}.acceleratorMemory": "80Gi"}, "spec.execution.kubernetes.acceleratorMemory", "does not go with azureML", "kubernetes.acceleratorMemory does not go with azureML"),
    Bad("a step with resources on Azure ML", {**THERE, "spec.passes.2.resources": {"limits": {"cpu": "4"}}}, "spec.passes", "all run on execution.azureML's compute", "all run on execution.azureML's compute"),
    Bad("a model in a volume on Azure ML", {**THERE, "spec.model": {"volume": {"claimName": "models"}}}, "spec.model.volume", "Azure ML does not reach", "which Azure ML does not reach"),
    Bad("rows in a volume on Azure ML", {**THERE, "spec.data.1.source": {"volume": {"claimName": "rows", "path": "x.jsonl"}}}, "spec.data", "Azure ML does not reach", "which Azure ML does not reach"),
    Bad("an output in a volume on Azure ML", {**THERE, "spec.output": {"volume": {"claimName": "models"}}}, "spec.output.volume", "Azure ML does not reach", "which Azure ML does not reach"),
    Bad("a model in a pod on Azure ML", {**THERE, "spec.model": {"path": "/models/phi3"}}, "spec.model.path", "Azure ML does not reach", None, LOCALLY),
    Bad("rows in a pod on Azure ML", {**THERE, "spec.data.1.source": {"path": "/rows/x.jsonl"}}, "spec.data", "Azure ML does not reach", None, LOCALLY),
    Bad("a model that goes with its machine", {**THERE, "spec.output": {"path": "/models/out"}}, "spec.output.path", "goes with it; take azureBlob or s3", None, "locally `millwright run` takes the manifest too, and a folder stays"),
]  # fmt: skip
