"""The pod of a job: restricted in full (Pod Security Standards), and of the manifest only what the allow-list has."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from millwright_api import names
from millwright_api.execution import PodTemplate
from millwright_api.sources import VolumeLocation
from millwright_api.v1alpha1 import Spec
from millwright_operator.platform import Platform

USER = 65532
"""User and group of the runner's image."""

TOKEN_SECONDS = 3600
"""Life of the token for the progress endpoint; the kubelet renews it."""

WORKING: tuple[names.Role, ...] = ("stage", "trial")
"""Roles whose pods do passes, or have Azure ML do them."""

JsonMap = dict[str, Any]


def pod_spec(
    spec: Spec,
    role: names.Role,
    platform: Platform,
    *,
    image: str,
    manifest: str,
    resources: JsonMap,
    env: list[JsonMap],
    uid: str,
) -> JsonMap:
    """Returns a pod's spec.

    Args:
        spec: the job's.
        role: what it is for; only stages and trials are placed by nodeSelector and affinity: a look at the job needs no
            such node.
        platform: what all jobs have.
        image: what it runs.
        manifest: name of the job's ConfigMap.
        resources: of its container.
        env: besides what every pod has.
        uid: the OptimizationJob's.
    """
    kubernetes, template = spec.execution.kubernetes, spec.execution.kubernetes.pod_template
    program = _program(spec, role)
    if program == "stage":
        env = [*env, {"name": names.ENV_IMAGE, "value": image}]
    volumes, mounts = _volumes(spec, role, platform, manifest)
    container = {
        "name": names.CONTAINER,
        "image": image,
        **({"imagePullPolicy": platform.image_pull_policy} if platform.image_pull_policy else {}),
        "command": ["python", "-m", "millwright_runner.pod", program],
        "env": [*(_plain(e) for e in template.env), *_environment(platform, role, uid), *env],
        "envFrom": [{"secretRef": {"name": credential.secret_name}} for credential in spec.credentials],
        "resources": resources,
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        },
        "terminationMessagePath": names.TERMINATION_LOG,
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": mounts,
    }
    return {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": _nobody(template),
        "terminationGracePeriodSeconds": template.termination_grace_period_seconds if role in WORKING else 30,
        **_placed(template, role),
        "containers": [container],
        "volumes": [*volumes, *_memory(kubernetes.shared_memory)],
    }


def _nobody(template: PodTemplate) -> JsonMap:
    return {
        "runAsNonRoot": True,
        "runAsUser": USER,
        "runAsGroup": USER,
        "fsGroup": template.fs_group or USER,
        "fsGroupChangePolicy": "OnRootMismatch",
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def _program(spec: Spec, role: names.Role) -> str:
    """Of `millwright_runner.pod`: what a role's pod runs."""
    if role not in WORKING:
        return role
    return "azureml" if spec.execution.azure_ml else "stage"


def _placed(template: PodTemplate, role: names.Role) -> JsonMap:
    """What the manifest says of the pod as a whole; of its place, only where passes are done."""
    keys = ["tolerations", "priorityClassName", "serviceAccountName", "imagePullSecrets"]
    said = _plain(template)
    return {
        key: said[key] for key in [*keys, *(["nodeSelector", "affinity"] if role in WORKING else [])] if said.get(key)
    }


def claims(spec: Spec) -> dict[str, bool]:
    """Returns the claims that sources and the output name, each with whether it is written to."""
    found = {location.claim_name: False for location in _read(spec)}
    if spec.output.volume:
        found[spec.output.volume.claim_name] = True
    return found


def _read(spec: Spec) -> Iterator[VolumeLocation]:
    for location in (spec.model.volume, *(data.source.volume for data in spec.data)):
        if location:
            yield location


def _volumes(spec: Spec, role: names.Role, platform: Platform, manifest: str) -> tuple[list[JsonMap], list[JsonMap]]:
    scratch = spec.execution.kubernetes.scratch
    volumes: list[JsonMap] = [
        {"name": "job", "configMap": {"name": manifest}},
        {"name": "scratch", "emptyDir": {"sizeLimit": scratch} if scratch else {}},
    ]
    mounts: list[JsonMap] = [
        {"name": "job", "mountPath": names.JOB_FOLDER, "readOnly": True},
        {"name": "scratch", "mountPath": names.SCRATCH_FOLDER},
        {"name": "shm", "mountPath": "/dev/shm"},
    ]
    if role in WORKING and platform.progress_url:
        folder, _, file = names.TOKEN_FILE.rpartition("/")
        token = {"path": file, "audience": names.AUDIENCE, "expirationSeconds": TOKEN_SECONDS}
        volumes.append({"name": "token", "projected": {"sources": [{"serviceAccountToken": token}]}})
        mounts.append({"name": "token", "mountPath": folder, "readOnly": True})
    asked = spec.execution.kubernetes.pod_template.volumes
    named = claims(spec)
    numbers = {claim: f"claim-{i}" for i, claim in enumerate(dict.fromkeys([*named, *(v.claim_name for v in asked)]))}
    for claim, volume in numbers.items():
        volumes.append({"name": volume, "persistentVolumeClaim": {"claimName": claim}})
    for claim, written in named.items():
        folder = f"{names.VOLUMES_FOLDER}/{claim}"
        mounts.append({"name": numbers[claim], "mountPath": folder, "readOnly": not written})
    mounts += [{"name": numbers[v.claim_name], "mountPath": v.mount_path, "readOnly": v.read_only} for v in asked]
    return volumes, mounts


def _memory(size: str) -> list[JsonMap]:
    return [{"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": size}}]


def _environment(platform: Platform, role: names.Role, uid: str) -> list[JsonMap]:
    values = {
        "HOME": names.SCRATCH_FOLDER,
        "TMPDIR": names.SCRATCH_FOLDER,
        "MILLWRIGHT_HOME": f"{names.SCRATCH_FOLDER}/millwright",
        names.ENV_VOLUMES: names.VOLUMES_FOLDER,
        names.ENV_UID: uid,
        # Said in any case: a Secret of spec.credentials must not say otherwise
        names.ENV_ALLOW_REMOTE_CODE: "1" if platform.allow_remote_code else "0",
    }
    if role in WORKING and platform.progress_url:
        values[names.ENV_PROGRESS_URL] = platform.progress_url
    return [{"name": name, "value": value} for name, value in values.items()]


def _plain(model: Any) -> JsonMap:
    """As Kubernetes wants it: camelCase, nothing that was not said."""
    plain: Mapping[str, Any] = model.model_dump(by_alias=True, exclude_none=True, exclude_defaults=True)
    return dict(plain)
