"""The models' own checks once more, in CEL, which the API server evaluates; and what only makes sense there.

Data, not code: each model's rules by its class. Messages are static, since listing names would burst the API server's
cost budget; a rule sits as deep as it can, since the server names the field that it sits on.
"""

from __future__ import annotations

from pydantic import BaseModel
from pydantic.alias_generators import to_camel

from millwright_api.base import DNS_LABEL
from millwright_api.data import Data, Packing, TextFormat
from millwright_api.evaluation import BOUNDS, MAX_CONSTRAINTS, MAX_METRICS, Constraint
from millwright_api.execution import RESERVED_MOUNTS, RESOURCE_NAME, ClaimMount, PodTemplate, Resources
from millwright_api.pods import (
    LABEL_KEY,
    RESERVED_NAMES,
    RESERVED_PREFIX,
    EnvVar,
    LabelSelector,
    Requirement,
    Toleration,
)
from millwright_api.search import MAX_OBJECTIVES, MAX_TRIALS
from millwright_api.sources import DataSource, ExactlyOne, Model
from millwright_api.status import Status
from millwright_api.v1alpha1 import MAX_PASSES, Spec
from millwright_runner.crd import azure
from millwright_runner.crd.rule import Rule, exactly_one, goes_with
from millwright_runner.metrics.lm_eval import SHARES, LmEval, OwnTask
from millwright_runner.passes.genai import PRECISIONS, QUANTIZED_ONLY, Genai
from millwright_runner.passes.lora import Lora
from millwright_runner.training.options import Training

_ABSOLUTE = Rule(
    "self.startsWith('/')",
    "on a cluster a path is absolute: inside the image, or below the mountPath of a claim in "
    "execution.kubernetes.podTemplate.volumes; for anything else use s3, azureBlob, azureML, volume or huggingFace",
)
_LABEL_KEYS = Rule(
    f"self.all(key, key.matches('{LABEL_KEY}'))",
    "a key is a label's, such as kubernetes.io/hostname, with up to 63 characters behind the slash",
)
_EVALUATION = ("evalData", "evalFraction", "evalSize")
_HAS_EVALUATION = " || ".join(f"has(self.{name})" for name in _EVALUATION)
_BOUNDS = [to_camel(name) for name in BOUNDS]
_MOUNTS = ", ".join(RESERVED_MOUNTS)
_QUANTIZED = "self.precision in ['int4', 'int8']"

RULES: dict[type[BaseModel], tuple[Rule, ...]] = {
    Spec: (
        Rule(
            "self.cache.mode == 'ReadWrite' || self.passes.size() <= 1 || !self.passes.exists(p, has(p.resources))",
            "cache.mode other than ReadWrite goes with one stage, and a pass has resources of its own: stages hand over "
            "through the cache",
            field=".cache.mode",
        ),
        Rule(
            "!has(self.output.path) || has(self.execution.azureML) || (has(self.execution.kubernetes.podTemplate.volumes) && "
            "self.execution.kubernetes.podTemplate.volumes.exists(v, "
            "!v.readOnly && (self.output.path + '/').startsWith(v.mountPath + '/') && !(self.output.path + '/').contains('/../')))",
            "on a cluster output.path lies, without '..', below the mountPath of a claim in execution.kubernetes.podTemplate.volumes with "
            "readOnly: false; for anything else use s3, azureBlob or volume",
            field=".output.path",
        ),
        *azure.OF_THE_SPEC,
    ),
    Data: (Rule(exactly_one(["text", "chat"]), "exactly one of text, chat is needed"),),
    Packing: (
        goes_with("stride", "self.strategy == 'join'", "stride goes with strategy join"),
        goes_with("joiner", "self.strategy == 'join'", "joiner goes with strategy join"),
        goes_with(
            "stride",
            "self.stride <= self.maxLength",
            "stride is larger than maxLength: tokens in between would be lost",
        ),
    ),
    TextFormat: (
        Rule(
            "self.lossOn != 'answer' || has(self.answer)",
            "lossOn: answer needs answer, the column that holds it",
            field=".lossOn",
        ),
        goes_with("answer", "self.answer in self.columns", "answer names a column that is not in columns"),
    ),
    Constraint: (Rule(exactly_one(_BOUNDS), f"exactly one of {', '.join(_BOUNDS)} is needed"),),
    LmEval: (
        Rule(exactly_one(["task", "config"]), "exactly one of task, config is needed"),
        goes_with("filter", "!has(self.config)", "filter goes with task: a task of one's own has none"),
        goes_with(
            "metric",
            f"!has(self.config) || self.metric in { {kind: list(names) for kind, names in SHARES.items()} }"
            "[self.config.outputType]",
            "; ".join(
                f"a task of one's own by {kind} has the metrics {', '.join(names)}" for kind, names in SHARES.items()
            ),
        ),
    ),
    OwnTask: (
        Rule(
            "(self.outputType == 'multiple_choice') == has(self.docToChoice)",
            "docToChoice, the answers to choose from, goes with outputType multiple_choice, which needs it",
            field=".docToChoice",
        ),
    ),
    Resources: (
        *(
            goes_with(
                field,
                f"self.{field}.all(name, name.matches('{RESOURCE_NAME}'))",
                f"a name in {field} is cpu, memory, ephemeral-storage, or has a domain as nvidia.com/gpu",
            )
            for field in ("limits", "requests")
        ),
        goes_with(
            "limits",
            "self.limits.all(name, !name.contains('/') || string(self.limits[name]).matches('^[0-9]+$'))",
            "accelerators are counted in whole pieces",
        ),
        goes_with(
            "requests",
            "self.requests.all(name, !name.contains('/') || (has(self.limits) && name in self.limits && "
            "quantity(string(self.limits[name])).compareTo(quantity(string(self.requests[name]))) == 0))",
            "an accelerator is requested as it is limited: give it in limits, and leave it out of requests",
        ),
        goes_with(
            "requests",
            "!has(self.limits) || self.requests.all(name, !(name in self.limits) || "
            "quantity(string(self.requests[name])).compareTo(quantity(string(self.limits[name]))) <= 0)",
            "a request is above its limit",
        ),
    ),
    Toleration: (
        goes_with(
            "value",
            "self.value == '' || !has(self.operator) || self.operator != 'Exists'",
            "operator Exists takes no value",
        ),
        Rule(
            "has(self.key) || (has(self.operator) && self.operator == 'Exists')",
            "without a key the operator is Exists",
        ),
        goes_with(
            "tolerationSeconds",
            "(has(self.effect) && self.effect == 'NoExecute')",
            "tolerationSeconds goes with the effect NoExecute",
        ),
    ),
    EnvVar: (
        Rule(
            f"!self.name.startsWith('{RESERVED_PREFIX}')",
            f"names that begin with {RESERVED_PREFIX} are the operator's own",
            field=".name",
        ),
        Rule(
            f"!(self.name in {list(RESERVED_NAMES)})",
            f"{' and '.join(RESERVED_NAMES)} are the operator's own: they lie in the scratch space",
            field=".name",
        ),
        Rule(exactly_one(["value", "valueFrom"]), "exactly one of value, valueFrom is needed"),
    ),
    Requirement: (
        Rule(
            "!(self.operator in ['In', 'NotIn']) || (has(self.values) && self.values.size() > 0)",
            "operators In and NotIn need values",
            field=".values",
        ),
        Rule(
            "!(self.operator in ['Exists', 'DoesNotExist']) || !has(self.values) || self.values.size() == 0",
            "operators Exists and DoesNotExist take no values",
            field=".values",
        ),
        Rule(
            "!(self.operator in ['Gt', 'Lt']) || (has(self.values) && self.values.size() == 1)",
            "operators Gt and Lt take one value",
            field=".values",
        ),
    ),
    ClaimMount: (
        Rule(
            "!self.mountPath.split('/').exists(part, part in ['.', '..'])",
            "mountPath goes straight down: no '.' or '..' in it",
            field=".mountPath",
        ),
        Rule(
            f"!{list(RESERVED_MOUNTS)}.exists(taken, (self.mountPath + '/').startsWith(taken + '/'))",
            f"mountPath is taken; outside of {_MOUNTS} all is free",
            field=".mountPath",
        ),
    ),
    Lora: (
        Rule(exactly_one(list(_EVALUATION), or_none=True), f"at most one of {', '.join(_EVALUATION)}"),
        *(
            Rule(
                f"!has(self.training.{option}) || {_HAS_EVALUATION}",
                f"training.{option} needs evaluation data: one of {', '.join(_EVALUATION)}",
                field=f".training.{option}",
            )
            for option in ("earlyStopping", "evalSteps")
        ),
    ),
    Training: (
        Rule(
            "!has(self.warmupSteps) || self.warmupRatio == 0.0",
            "warmupSteps and warmupRatio are both given; one of them decides",
            field=".warmupSteps",
        ),
    ),
    Genai: tuple(
        goes_with(
            to_camel(option),
            "self.precision == 'int4'" if option == "mixed_precision" else _QUANTIZED,
            f"{to_camel(option)} goes with {'int4' if option == 'mixed_precision' else 'int4 and int8'}",
        )
        if option != "exclude_nodes"
        else goes_with(
            "excludeNodes", f"self.excludeNodes.size() == 0 || {_QUANTIZED}", "excludeNodes goes with int4 and int8"
        )
        for option in QUANTIZED_ONLY
    ),
    **azure.RULES,
}
"""On the mapping that a class describes."""

FIELD_RULES: dict[tuple[type[BaseModel], str], tuple[Rule, ...]] = {
    (Model, "path"): (_ABSOLUTE,),
    (DataSource, "path"): (_ABSOLUTE,),
    (PodTemplate, "nodeSelector"): (_LABEL_KEYS,),
    (LabelSelector, "matchLabels"): (_LABEL_KEYS,),
    (Training, "perDeviceTrainBatchSize"): (
        Rule(
            "type(self) == int ? self >= 1 && self <= 4096 : self == 'auto'",
            "perDeviceTrainBatchSize is 1 to 4096 or auto",
        ),
    ),
    **azure.FIELD_RULES,
}
"""On one field of a class."""

LIST_KEYS: dict[tuple[type[BaseModel], str], tuple[str, ...]] = {
    (Spec, "data"): ("name",),
    (Spec, "credentials"): ("secretName",),
    (PodTemplate, "env"): ("name",),
    (PodTemplate, "volumes"): ("mountPath",),
    (PodTemplate, "imagePullSecrets"): ("name",),
    (Status, "conditions"): ("type",),
    **azure.LIST_KEYS,
}
"""Lists whose entries are known by a key, which is then unique; all others are replaced as a whole."""

STATUS_BOUNDS = {
    "conditions": 16,
    "passes": MAX_PASSES,
    "stages": MAX_PASSES,
    "artifacts": 8,
    "evaluation.results": MAX_PASSES + 1,
    "evaluation.results.[].metrics": MAX_METRICS,
    "evaluation.constraints": MAX_CONSTRAINTS,
    "search.front": MAX_TRIALS,
    "search.trials": MAX_TRIALS,
    "search.trials.[].values": MAX_OBJECTIVES,
}
"""Entries of the status' lists at most; a list is named by its path."""

FREE_FIELDS = ("suspend", "retry", "ttlSecondsAfterFinished")
"""What of a spec may change after the first stage has started."""


def rules_of(model: type[BaseModel]) -> tuple[Rule, ...]:
    """Returns the rules of a class and of those that it inherits from."""
    own = tuple(rule for owner in model.__mro__ for rule in RULES.get(owner, ()))
    if issubclass(model, ExactlyOne):
        names = [model.model_fields[name].alias or to_camel(name) for name in model.choices()]
        return (Rule(exactly_one(names), f"exactly one of {', '.join(names)} is needed"), *own)
    return own


def frozen(field: str, *, required: bool) -> Rule:
    """Returns the rule that keeps a field of the spec as it is, once the first stage has started.

    Args:
        field: its name in the manifest.
        required: whether it is always there.
    """
    same = f"self.spec.{field} == oldSelf.spec.{field}"
    both = (
        same
        if required
        else f"has(self.spec.{field}) == has(oldSelf.spec.{field}) && (!has(self.spec.{field}) || {same})"
    )
    return Rule(
        f"!{_STARTED} || ({both})",
        f"spec.{field} is frozen since the job started; for another result apply a job of another name, or delete this one first",
        field=f".spec.{field}",
        reason="FieldValueForbidden",
    )


_STARTED = "(has(oldSelf.status) && has(oldSelf.status.startTime))"

ROOT_RULES: tuple[Rule, ...] = (
    Rule(
        f"size(self.metadata.name) <= 52 && self.metadata.name.matches('{DNS_LABEL}')",
        "metadata.name is lower-case letters, digits and dashes, no dash at either end, at most 52 characters: the names of "
        "its Jobs and pods begin with it",
    ),
    Rule(
        f"!{_STARTED} || self.spec.retry.maxAttempts >= oldSelf.spec.retry.maxAttempts",
        "spec.retry.maxAttempts can only be raised once the job started",
        field=".spec.retry.maxAttempts",
        reason="FieldValueForbidden",
    ),
)
"""On the whole object, besides those that freeze."""

PRECISION_RULES: tuple[Rule, ...] = tuple(
    Rule(
        f"self.target.executionProvider != '{provider}' || "
        f"!self.passes.exists(p, has(p.genai) && !(p.genai.precision in {list(precisions)}))",
        f"genai.precision on {provider} is one of {', '.join(precisions)}",
        field=".passes",
    )
    for provider, precisions in PRECISIONS.items()
    if set(precisions) != {p for known in PRECISIONS.values() for p in known}
)
"""What the finished model's target cannot load."""
