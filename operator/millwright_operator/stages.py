"""A recipe → its stages: consecutive passes that ask for the same resources share a Job."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from millwright_api.execution import Amount, Resources
from millwright_api.names import child_name, fingerprint
from millwright_api.quantities import amount, in_bytes
from millwright_api.v1alpha1 import Spec
from millwright_operator.observed import Resource

TRIALS = "trials"
"""What the first stage of a search is called: all of its trials' Jobs together."""

_NOT_THE_RECIPE = ("suspend", "retry", "ttlSecondsAfterFinished", "activeDeadlineSeconds")
"""What changes nothing about the result, nor about whether it can be made."""

_ORDINARY = ("cpu", "memory", "ephemeral-storage", "storage", "pods")
_GPU_MEMORY_LABEL = "nvidia.com/gpu.memory"
"""Set on nodes by NVIDIA's feature discovery: MiB of one GPU."""


@dataclass(frozen=True)
class Stage:
    """Consecutive passes, one Job.

    Attributes:
        index: from 0.
        first, end: its steps; `end` is not included.
        steps: their names.
        resources: what its pod asks for.
        title: what it is called, where it is not its steps that say it.
    """

    index: int
    first: int
    end: int
    steps: tuple[str, ...]
    resources: Resources
    title: str = ""


def stages_of(spec: Spec) -> tuple[Stage, ...]:
    """Returns a recipe's stages, in order. Amounts are compared by value: 1Gi is 1024Mi."""
    default = spec.execution.kubernetes.resources
    found: list[Stage] = []
    groups = groupby(enumerate(spec.passes), key=lambda step: (step[1].resources or default).by_value())
    for index, (_, group) in enumerate(groups):
        steps = list(group)
        resources = steps[0][1].resources or default
        found.append(Stage(index, steps[0][0], steps[-1][0] + 1, tuple(s.name for _, s in steps), resources))
    return tuple(found)


def recipe(resource: Resource) -> dict[str, Any]:
    """Returns the part of the spec that says what is made of what: as the API server has it, so that pods and the
    operator agree, and without what may change while it is made."""
    return {key: value for key, value in resource.spec.items() if key not in _NOT_THE_RECIPE}


def manifest_name(resource: Resource) -> str:
    """Returns the name of the ConfigMap for the recipe as it is now."""
    return child_name(resource.key.name, _mark(resource, "manifest"), "m")


def preflight_name(resource: Resource) -> str:
    """Returns the name of the preflight for the recipe as it is now; one more for each request to look again."""
    return child_name(resource.key.name, _mark(resource, "preflight", resource.requested_at), "p")


def stage_name(resource: Resource, index: int) -> str:
    """Returns the name of a stage's Job. Once the first has started, the names in status count: an update of the schema
    may add defaults to the spec, and must not make a second Job."""
    return child_name(resource.key.name, _mark(resource, "stage"), f"s{index}")


def entry_name(resource: Resource, stage: Stage) -> str:
    """Returns what status calls a stage: by its Job's name, or, as all of a search's Jobs, trials."""
    return TRIALS if stage.title == TRIALS else stage_name(resource, stage.index)


def trial_name(resource: Resource, key: str) -> str:
    """Returns the name of the Job of a search's segment, by the segment's key."""
    return child_name(resource.key.name, _mark(resource, "stage"), f"t{key[:10]}")


def report_name(resource: Resource) -> str:
    """Returns the name of the Job that says again what a lost pod had said."""
    return child_name(resource.key.name, _mark(resource, "report"), "r")


def cancel_name(resource: Resource) -> str:
    """Returns the name of the Job that makes sure that nothing runs on Azure ML, and of its ConfigMap. Of the uid alone: a
    Job that belongs to nobody must be found again whatever becomes of the spec."""
    return child_name(resource.key.name, fingerprint([resource.uid, "cancel"]), "c")


def limits(spec: Spec) -> str:
    """Returns what each stage may use, as JSON for the preflight: one mapping a stage with `steps` (first:end),
    `memory`, `accelerator` (memory of one), `ephemeralStorage` and `scratch` in bytes or null, and `accelerators` (how many)."""
    execution = spec.execution.kubernetes
    of_node = execution.pod_template.node_selector.get(_GPU_MEMORY_LABEL, "")
    accelerator = in_bytes(execution.accelerator_memory) or (int(of_node) * 2**20 if of_node.isdigit() else None)
    told = []
    for stage in stages_of(spec):
        asked: Mapping[str, Amount] = {**stage.resources.requests, **stage.resources.limits}
        count = accelerators(asked)
        told.append(
            {
                "steps": f"{stage.first}:{stage.end}",
                "memory": in_bytes(stage.resources.limits.get("memory")),
                "accelerator": accelerator if count else None,
                "accelerators": count,
                "ephemeralStorage": in_bytes(stage.resources.limits.get("ephemeral-storage")),
                "scratch": in_bytes(execution.scratch),
            }
        )
    return json.dumps(told, separators=(",", ":"))


def accelerators(asked: Mapping[str, Amount]) -> int:
    """Returns how many devices are asked for: all that is neither a node's own nor a page size."""
    devices = [value for name, value in asked.items() if name not in _ORDINARY and not name.startswith("hugepages-")]
    return sum(int(amount(value) or 0) for value in devices)


def _mark(resource: Resource, *what: str | None) -> str:
    return fingerprint([resource.uid, *what, recipe(resource)])
