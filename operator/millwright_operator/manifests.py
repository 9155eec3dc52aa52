"""A job → its children: one ConfigMap, and plain batch/v1 Jobs that do by Kubernetes' own means what they can: attempts,
deadlines, what counts as a failure, and that a new pod starts only when the old one is gone.

A Job is created once and never applied again: with a queue, Kueue owns `suspend` from then on.
"""

from __future__ import annotations

import json
from typing import Any

from millwright_api import names
from millwright_api.execution import Resources
from millwright_api.sources import DataSource, Model
from millwright_api.v1alpha1 import Spec
from millwright_operator import stages
from millwright_operator.observed import Resource, SeenJob
from millwright_operator.platform import Platform
from millwright_operator.podspec import JsonMap, pod_spec
from millwright_search.trials import Segment

FINAL_EXIT_CODES = (2, 3)
"""The user's error, and a gate that failed: the same again would fail again."""

LABEL_WORKLOAD_IDENTITY = "azure.workload.identity/use"
"""Its webhook gives pods that have it a token for Azure, and says in their environment where it lies."""

SEGMENT_DIGITS = 16
"""Of a segment's key, in its label."""

PREFLIGHT_RETRIES, REPORT_RETRIES, CANCEL_RETRIES = 2, 6, 3

CANCEL_SECONDS = 300
"""How long the Job that cancels may take: a deletion waits for it."""


def config_map(resource: Resource, platform: Platform) -> JsonMap:
    """Returns the ConfigMap that the job's pods read: the recipe, and the CA of the progress endpoint."""
    meta = _metadata(resource, stages.manifest_name(resource), _labels(resource))
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": _data(resource, platform)}


def cancel_map(resource: Resource, job: SeenJob, platform: Platform) -> JsonMap:
    """Returns the same for the pod that cancels; it belongs to that pod's Job, and goes with it."""
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": job.name, "uid": job.uid}
    meta = _metadata(resource, job.name, _labels(resource)) | {"ownerReferences": [owner]}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": _data(resource, platform)}


def _data(resource: Resource, platform: Platform) -> dict[str, str]:
    manifest = {
        "apiVersion": names.API_VERSION,
        "kind": names.KIND,
        "metadata": {"name": resource.key.name, "namespace": resource.key.namespace},
        "spec": stages.recipe(resource),
    }
    data = {names.MANIFEST_FILE: json.dumps(manifest, sort_keys=True, ensure_ascii=False)}
    if platform.progress_ca:
        data[names.CA_FILE] = platform.progress_ca
    return data


def preflight_job(resource: Resource, spec: Spec, platform: Platform) -> JsonMap:
    """Returns the Job that looks before anything costs: on a CPU, in the light image unless a pass is a plug-in, which
    only the job's own image has."""
    env = [{"name": names.ENV_LIMITS, "value": stages.limits(spec)}, _all_steps(spec)]
    return _job(
        resource,
        stages.preflight_name(resource),
        _labels(resource, "preflight"),
        pod_spec(
            spec,
            "preflight",
            platform,
            image=_light_image(spec, platform),
            manifest=stages.manifest_name(resource),
            resources=dict(platform.preflight_resources),
            env=env,
            uid=resource.uid,
        ),
        identity=_identity(spec),
        backoffLimit=PREFLIGHT_RETRIES,
        activeDeadlineSeconds=platform.preflight_deadline,
    )


def stage_job(
    resource: Resource,
    spec: Spec,
    stage: stages.Stage,
    platform: Platform,
    *,
    name: str,
    backoff_limit: int,
    deadline: int | None,
    trials: str | None = None,
) -> JsonMap:
    """Returns a stage's Job.

    Args:
        resource: the OptimizationJob.
        spec: its spec.
        stage: which of its stages.
        platform: what all jobs have.
        name: the Job's, as status has it.
        backoff_limit: failures after which it fails.
        deadline: seconds that it may run, or None.
        trials: of a search that is over: what was found; the Job publishes it.
    """
    steps = {"name": names.ENV_STEPS, "value": f"{stage.first}:{stage.end}"}
    labels = stage_labels(resource, stage.index)
    pod = pod_spec(
        spec,
        "stage",
        platform,
        image=_working_image(spec, platform),
        manifest=stages.manifest_name(resource),
        resources=_resources(spec, stage.resources, platform),
        env=[steps, *_found(trials)],
        uid=resource.uid,
    )
    return _working(resource, spec, pod, name=name, labels=labels, backoff_limit=backoff_limit, deadline=deadline)


def trial_job(
    resource: Resource,
    spec: Spec,
    segment: Segment,
    platform: Platform,
    *,
    name: str,
    resources: Resources,
    backoff_limit: int,
    deadline: int | None,
    baseline: bool,
) -> JsonMap:
    """Returns the Job of a segment of a search's trials.

    Args:
        resource: the OptimizationJob.
        spec: its spec.
        segment: what is done.
        platform: what all jobs have.
        name: the Job's.
        resources: of its pod.
        backoff_limit: failures after which it fails.
        deadline: seconds that it may run, or None.
        baseline: whether it measures the model that the job starts with.
    """
    env = {
        names.ENV_STEPS: f"{segment.first}:{segment.end}",
        names.ENV_TRIAL: json.dumps(segment.at, separators=(",", ":")),
        names.ENV_BASELINE: "1" if baseline else "0",
    }
    labels = _labels(resource, "trial") | {names.LABEL_SEGMENT: label(segment)}
    pod = pod_spec(
        spec,
        "trial",
        platform,
        image=_working_image(spec, platform),
        manifest=stages.manifest_name(resource),
        resources=_resources(spec, resources, platform),
        env=[{"name": key, "value": value} for key, value in env.items()],
        uid=resource.uid,
    )
    return _working(resource, spec, pod, name=name, labels=labels, backoff_limit=backoff_limit, deadline=deadline)


def report_job(resource: Resource, spec: Spec, platform: Platform, trials: str | None = None) -> JsonMap:
    """Returns the Job that reads what was published and says it again, when the pod that had said it is gone; `trials` as
    the stage that published it was told them."""
    return _job(
        resource,
        stages.report_name(resource),
        _labels(resource, "report"),
        pod_spec(
            spec,
            "report",
            platform,
            image=_light_image(spec, platform),
            manifest=stages.manifest_name(resource),
            resources=dict(platform.preflight_resources),
            env=[_all_steps(spec), *_found(trials)],
            uid=resource.uid,
        ),
        identity=_identity(spec),
        backoffLimit=REPORT_RETRIES,
    )


def cancel_job(resource: Resource, spec: Spec, platform: Platform) -> JsonMap:
    """Returns the Job that makes sure that nothing of a job runs on Azure ML. It belongs to nobody, so that it is there while
    the OptimizationJob goes, and goes by itself when nobody is left to delete it."""
    name = stages.cancel_name(resource)
    pod = pod_spec(
        spec,
        "cancel",
        platform,
        image=platform.azure_image,
        manifest=name,
        resources=dict(platform.preflight_resources),
        env=[],
        uid=resource.uid,
    )
    job = _job(
        resource,
        name,
        _labels(resource, "cancel"),
        pod,
        identity=_identity(spec),
        backoffLimit=CANCEL_RETRIES,
        activeDeadlineSeconds=CANCEL_SECONDS,
        ttlSecondsAfterFinished=CANCEL_SECONDS,
    )
    return job | {"metadata": {key: value for key, value in job["metadata"].items() if key != "ownerReferences"}}


def stage_labels(resource: Resource, index: int) -> dict[str, str]:
    """Returns the labels of a stage's Job and pods."""
    return _labels(resource, "stage") | {names.LABEL_STAGE: str(index)}


def alone(resource: Resource, index: int) -> dict[str, str]:
    """Returns the labels of which no unfinished pod may be left when a stage's Job is created."""
    return {names.LABEL_JOB: resource.key.name, names.LABEL_ROLE: "stage", names.LABEL_STAGE: str(index)}


def label(segment: Segment) -> str:
    """Returns what a segment's Job and pods are labelled by."""
    return segment.key[:SEGMENT_DIGITS]


def alone_in(resource: Resource, segment: str) -> dict[str, str]:
    """Returns the labels of which no unfinished pod may be left when the Job of a segment, by its label, is created."""
    return {names.LABEL_JOB: resource.key.name, names.LABEL_ROLE: "trial", names.LABEL_SEGMENT: segment}


def _found(trials: str | None) -> list[JsonMap]:
    return [] if trials is None else [{"name": names.ENV_TRIALS, "value": trials}]


def _working(
    resource: Resource,
    spec: Spec,
    pod: JsonMap,
    *,
    name: str,
    labels: dict[str, str],
    backoff_limit: int,
    deadline: int | None,
) -> JsonMap:
    """A Job that does passes: it may be queued, tried again and stopped in time."""
    queue = spec.execution.kubernetes.queue
    return _job(
        resource,
        name,
        labels,
        pod,
        queue=queue,
        identity=_identity(spec),
        backoffLimit=backoff_limit,
        suspend=queue is not None,
        **({"activeDeadlineSeconds": deadline} if deadline is not None else {}),
    )


def _job(
    resource: Resource,
    name: str,
    labels: dict[str, str],
    pod: JsonMap,
    *,
    queue: str | None = None,
    identity: dict[str, str],
    **spec: Any,
) -> JsonMap:
    rules = [
        {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
        {
            "action": "FailJob",
            "onExitCodes": {"containerName": names.CONTAINER, "operator": "In", "values": list(FINAL_EXIT_CODES)},
        },
    ]
    of_job = labels | ({names.LABEL_QUEUE: queue} if queue else {})
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": _metadata(resource, name, of_job),
        "spec": {
            **spec,
            "completions": 1,
            "parallelism": 1,
            "podFailurePolicy": {"rules": rules},
            "podReplacementPolicy": "Failed",
            "template": {"metadata": {"labels": labels | identity}, "spec": pod},
        },
    }


def _metadata(resource: Resource, name: str, labels: dict[str, str]) -> JsonMap:
    owner = {
        "apiVersion": names.API_VERSION,
        "kind": names.KIND,
        "name": resource.key.name,
        "uid": resource.uid,
        "controller": True,
        "blockOwnerDeletion": False,
    }
    return {"name": name, "namespace": resource.key.namespace, "labels": labels, "ownerReferences": [owner]}


def _labels(resource: Resource, role: names.Role | None = None) -> dict[str, str]:
    return {
        "app.kubernetes.io/managed-by": "millwright",
        names.LABEL_JOB: resource.key.name,
        **({names.LABEL_ROLE: role} if role else {}),
    }


def _runner_image(spec: Spec, platform: Platform) -> str:
    return spec.execution.kubernetes.image or platform.runner_image


def _working_image(spec: Spec, platform: Platform) -> str:
    """Of a stage's and a trial's pod; on Azure ML the work is done in execution.azureML's environment."""
    return platform.azure_image if spec.execution.azure_ml else _runner_image(spec, platform)


def _light_image(spec: Spec, platform: Platform) -> str:
    metrics = spec.evaluation.metrics if spec.evaluation else ()
    if any(entry.custom for entry in (*spec.passes, *metrics)) and not spec.execution.azure_ml:
        return _runner_image(spec, platform)
    return platform.azure_image if _names_azure(spec) else platform.preflight_image


def _names_azure(spec: Spec) -> bool:
    """Whether a job reads, writes or runs in Azure; the runner's image has what that takes, the preflight's has not."""
    sources: list[Model | DataSource] = [spec.model, *(entry.source for entry in spec.data)]
    return bool(
        spec.execution.azure_ml
        or spec.output.azure_blob
        or any(source.azure_blob or source.azure_ml for source in sources)
    )


def _identity(spec: Spec) -> dict[str, str]:
    """The label of pods that Azure's workload identity acts on, where a ServiceAccount stands for somebody there."""
    account = spec.execution.kubernetes.pod_template.service_account_name
    return {LABEL_WORKLOAD_IDENTITY: "true"} if account and _names_azure(spec) else {}


def _all_steps(spec: Spec) -> JsonMap:
    return {"name": names.ENV_STEPS, "value": f"0:{len(spec.passes)}"}


def _resources(spec: Spec, resources: Resources, platform: Platform) -> JsonMap:
    if spec.execution.azure_ml:
        return dict(platform.preflight_resources)
    plain: JsonMap = resources.model_dump(by_alias=True, exclude_defaults=True)
    return plain
