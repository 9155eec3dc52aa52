"""The parts of a pod's scheduling that a job passes on, as Kubernetes has them (core/v1)."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from millwright_api.base import SECONDS, Name, ObjectName, Strict

LABEL_KEY = r"^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?$"

Key = Annotated[str, StringConstraints(pattern=LABEL_KEY, max_length=316)]
"""A label's key: `kubernetes.io/hostname`."""

Label = Annotated[str, StringConstraints(pattern=r"^([A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?)?$", max_length=63)]
"""A label's value."""

Values = Annotated[list[Label], Field(max_length=64)]
Weight = Annotated[int, Field(ge=1, le=100)]
TERMS = 16

RESERVED_PREFIX = "MILLWRIGHT_"
"""Variables that the operator sets."""

RESERVED_NAMES = ("HOME", "TMPDIR")
"""Likewise: what is written by name lies in the scratch space, as the root file system is read-only."""


class Toleration(Strict):
    """A taint that is tolerated."""

    key: Key | None = Field(default=None, description="The taint's key. Default: any, with operator Exists.")
    operator: Literal["Exists", "Equal"] | None = Field(default=None, description="Default: Equal.")
    value: Label | None = Field(default=None, description="The taint's value, with operator Equal.")
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = Field(
        default=None, description="The taint's effect. Default: any."
    )
    toleration_seconds: int | None = Field(
        default=None, ge=0, le=SECONDS, description="NoExecute only: seconds to stay. Default: for ever."
    )

    @model_validator(mode="after")
    def _as_in_a_pod(self) -> Self:
        exists = self.operator == "Exists"
        if exists and self.value:
            raise ValueError("operator Exists takes no value")
        if self.key is None and not exists:
            raise ValueError("without a key the operator is Exists")
        if self.toleration_seconds is not None and self.effect != "NoExecute":
            raise ValueError("tolerationSeconds goes with the effect NoExecute")
        return self


class SecretKey(Strict):
    """A key of a Secret in the job's namespace."""

    name: ObjectName = Field(description="The Secret's name.")
    key: str = Field(pattern=r"^[A-Za-z0-9_.-]+$", max_length=253, description="The key in it.")
    optional: bool = Field(default=False, description="Whether the pod also starts without it. Default: false.")


class EnvSource(Strict):
    """Where a variable's value comes from."""

    secret_key_ref: SecretKey = Field(description="A key of a Secret.")


class EnvVar(Strict):
    """An environment variable: a value, or a key of a Secret."""

    name: str = Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=128, description="Its name.")
    value: str | None = Field(default=None, max_length=4096, description="Its value. No secrets here.")
    value_from: EnvSource | None = Field(default=None, description="Where its value comes from.")

    @model_validator(mode="after")
    def _is_the_persons_own(self) -> Self:
        if self.name.startswith(RESERVED_PREFIX):
            raise ValueError(f"names that begin with {RESERVED_PREFIX} are the operator's own; found {self.name}")
        if self.name in RESERVED_NAMES:
            raise ValueError(f"{' and '.join(RESERVED_NAMES)} are the operator's own; found {self.name}")
        if (self.value is None) == (self.value_from is None):
            found = "both are given" if self.value_from else "none is given"
            raise ValueError(f"exactly one of value, valueFrom is needed; {found}")
        return self


class Requirement(Strict):
    """A label selector's requirement."""

    key: Key = Field(description="The label's key.")
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"] = Field(description="How values compare.")
    values: Values = Field(default=[], description="Values, for In, NotIn, Gt and Lt.")

    @model_validator(mode="after")
    def _values_fit_the_operator(self) -> Self:
        if self.operator in ("In", "NotIn") and not self.values:
            raise ValueError(f"operator {self.operator} needs values")
        if self.operator in ("Exists", "DoesNotExist") and self.values:
            raise ValueError(f"operator {self.operator} takes no values")
        if self.operator in ("Gt", "Lt") and len(self.values) != 1:
            raise ValueError(f"operator {self.operator} takes one value; {len(self.values)} are given")
        return self


class PodRequirement(Requirement):
    """A label selector's requirement of pods, whose labels are no numbers."""

    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"] = Field(description="How values compare.")
    values: Values = Field(default=[], description="Values, for In and NotIn.")


class FieldRequirement(Strict):
    """A requirement of a node by its name."""

    key: Literal["metadata.name"] = Field(description="metadata.name.")
    operator: Literal["In", "NotIn"] = Field(description="Whether it is, or is not, that node.")
    values: list[Label] = Field(min_length=1, max_length=1, description="The node's name.")


class NodeSelectorTerm(Strict):
    """Requirements that a node meets all of."""

    match_expressions: list[Requirement] = Field(default=[], max_length=TERMS, description="Over labels.")
    match_fields: list[FieldRequirement] = Field(
        default=[], max_length=TERMS, description="Over fields: metadata.name."
    )


class NodeSelector(Strict):
    """Terms of which a node meets at least one."""

    node_selector_terms: list[NodeSelectorTerm] = Field(min_length=1, max_length=TERMS, description="The terms.")


class PreferredNode(Strict):
    """A preference among nodes."""

    weight: Weight = Field(description="How much it counts: 1 to 100.")
    preference: NodeSelectorTerm = Field(description="What is preferred.")


class NodeAffinity(Strict):
    """Which nodes."""

    required_during_scheduling_ignored_during_execution: NodeSelector | None = Field(
        default=None, description="What a node must have."
    )
    preferred_during_scheduling_ignored_during_execution: list[PreferredNode] = Field(
        default=[], max_length=TERMS, description="What is preferred."
    )


class LabelSelector(Strict):
    """Which pods, by their labels."""

    match_labels: dict[Key, Label] = Field(default={}, max_length=TERMS, description="Labels that a pod has.")
    match_expressions: list[PodRequirement] = Field(default=[], max_length=TERMS, description="Over labels.")


class PodTerm(Strict):
    """Pods to be near to, or away from."""

    label_selector: LabelSelector | None = Field(default=None, description="Which pods.")
    topology_key: Key = Field(description="What near means: a node label such as kubernetes.io/hostname.")
    namespaces: list[Name] = Field(default=[], max_length=TERMS, description="Of these namespaces. Default: the job's.")


class PreferredPods(Strict):
    """A preference about pods."""

    weight: Weight = Field(description="How much it counts: 1 to 100.")
    pod_affinity_term: PodTerm = Field(description="What is preferred.")


class PodAffinity(Strict):
    """Near which pods, or away from which."""

    required_during_scheduling_ignored_during_execution: list[PodTerm] = Field(
        default=[], max_length=TERMS, description="What must hold."
    )
    preferred_during_scheduling_ignored_during_execution: list[PreferredPods] = Field(
        default=[], max_length=TERMS, description="What is preferred."
    )


class Affinity(Strict):
    """As in any pod."""

    node_affinity: NodeAffinity | None = Field(default=None, description="Which nodes.")
    pod_affinity: PodAffinity | None = Field(default=None, description="Near which pods.")
    pod_anti_affinity: PodAffinity | None = Field(default=None, description="Away from which pods.")
