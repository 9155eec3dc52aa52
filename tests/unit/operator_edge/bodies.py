"""API objects for tests, as the API server has them."""

from __future__ import annotations

from typing import Any

Body = dict[str, Any]
UID = "6f9619ff-8b86-d011-b42d-00c04fc964ff"


def optjob(name: str = "phi3", version: int = 1, uid: str = UID, **spec: Any) -> Body:
    """An OptimizationJob that nobody has looked at yet."""
    recipe = {
        "model": {"s3": {"uri": "s3://team-a/base/"}},
        "passes": [{"merge": {}}],
        "output": {"s3": {"uri": "s3://team-a/models/m/"}},
        "retry": {"maxAttempts": 3},
        "suspend": False,
    }
    return {
        "apiVersion": "millwright.dev/v1alpha1",
        "kind": "OptimizationJob",
        "metadata": meta(name, version, uid, None) | {"generation": 1},
        "spec": recipe | spec,
        "status": {"observedGeneration": -1},
    }


def job(name: str, version: int = 1, uid: str = "job-uid", of: str = "phi3", owner: str = UID) -> Body:
    """A stage's Job."""
    own = [{"kind": "OptimizationJob", "uid": owner, "controller": True, "name": of}]
    return {
        "kind": "Job",
        "metadata": meta(name, version, uid, of) | {"ownerReferences": own},
        "spec": {"backoffLimit": 2},
        "status": {},
    }


def pod(
    name: str, version: int = 1, uid: str = "pod-uid", of: str = "phi3", phase: str = "Running", role: str = "stage"
) -> Body:
    """A pod of a stage's Job."""
    found = meta(name, version, uid, of, role)
    found |= {"creationTimestamp": "2026-11-21T08:00:00Z", "ownerReferences": [{"kind": "Job", "name": f"{of}-s0"}]}
    return {"kind": "Pod", "metadata": found, "spec": {"containers": [{"name": "runner"}]}, "status": {"phase": phase}}


def config_map(name: str, version: int = 1, uid: str = "map-uid", of: str = "phi3") -> Body:
    """A job's ConfigMap."""
    return {"kind": "ConfigMap", "metadata": meta(name, version, uid, of), "data": {"manifest.json": "{}"}}


def meta(name: str, version: int, uid: str, of: str | None, role: str = "stage") -> Body:
    found: Body = {"name": name, "namespace": "team-a", "uid": uid, "resourceVersion": str(version)}
    if of is not None:
        found["labels"] = {"millwright.dev/job": of, "millwright.dev/role": role, "millwright.dev/stage": "0"}
    return found
