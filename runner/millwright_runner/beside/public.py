"""What of a manifest may be read by everybody who gets the model: what was asked for, and of what it was made."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any

from millwright_api.v1alpha1 import AzureMLWorkspace, OptimizationJob, VolumeLocation

KEPT = ("model", "data", "passes", "evaluation", "search", "target")
"""Where it runs, by which credentials and where the result goes is nobody's business who uses the model."""

WORKSPACE = tuple(field.alias for field in AzureMLWorkspace.model_fields.values() if field.alias)
"""What says whose workspace of Azure ML a source lies in."""


def public_spec(job: OptimizationJob) -> dict[str, Any]:
    """Returns the parts of a manifest's spec that say what was made, as they were written.

    Left out besides: servers' addresses, whose workspace it was, what pods ask for, and folders of the machine: of an absolute path only its
    last part stays.
    """
    written = job.spec.model_dump(mode="json", exclude_unset=True, exclude_none=True)
    spec = {key: written[key] for key in KEPT if written.get(key)}
    for source in [spec["model"], *(entry["source"] for entry in spec.get("data", []))]:
        if "path" in source:
            source["path"] = public_path(source["path"])
        source.get("s3", {}).pop("endpoint", None)
        for name in WORKSPACE:
            source.get("azureML", {}).pop(name, None)
    for step in spec["passes"]:
        step.pop("resources", None)
    return spec


def public_path(path: str) -> str:
    """Returns a path as it was written when it is relative, else its last part."""
    return PurePosixPath(path).name if path.startswith(("/", "~")) else path


def volume_uri(location: VolumeLocation) -> str:
    """Returns how a place in a claim is called."""
    return f"volume://{location.claim_name}/{location.path}".rstrip("/")
