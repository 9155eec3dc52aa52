"""The runner's own opinion of a manifest."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from millwright_api.errors import InvalidManifest
from millwright_api.v1alpha1 import OptimizationJob, Spec
from millwright_runner import registry
from millwright_runner.evaluation import bind_metrics
from millwright_runner.models import ModelFacts
from millwright_runner.problems import describe
from millwright_runner.trials import passes_of

MODEL = ModelFacts("tiny", {"model_type": "phi3"}, {"model.layers.0.o_proj.weight": (8, 8)}, 256, 256)
INSTALLED = ("drop-layers", "Drop_Layers", "x")
"""What the tables take for a plug-in's name; no such class is needed to read the rest of the manifest."""


def judge(body: dict[str, Any]) -> None:
    """Reads a manifest as `millwright validate` does, lets genai look at the target; of a search, at all that it would set.

    Raises:
        UserError: something in it is wrong.
    """
    try:
        job = OptimizationJob.model_validate(body)
    except ValidationError as error:
        raise InvalidManifest(describe(error, OptimizationJob)) from error
    known = job.model_copy(update={"spec": without_plugins(job.spec)})
    bind_metrics(known)
    searched = passes_of(known) if known.spec.search is not None else []
    for pass_ in [*searched, *(bound.pass_ for bound in registry.bind(known))]:
        if pass_.name == "genai":
            pass_.check(MODEL, job.spec.target)


def without_plugins(spec: Spec) -> Spec:
    """The spec with passes and metrics that come with Millwright only, and a search of these."""
    passes = [step for step in spec.passes if step.pass_name not in INSTALLED]
    plugins = {step.name for step in spec.passes if step.pass_name in INSTALLED}
    search = spec.search
    if search is not None:
        kept = [parameter for parameter in search.parameters if not plugins & set(parameter.steps)]
        search = search.model_copy(update={"parameters": kept})
    evaluation = spec.evaluation
    if evaluation is not None:
        metrics = [metric for metric in evaluation.metrics if metric.metric_name not in INSTALLED]
        evaluation = evaluation.model_copy(update={"metrics": metrics})
    return spec.model_copy(update={"passes": passes, "evaluation": evaluation, "search": search})
