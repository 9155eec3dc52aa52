"""Looks at everything a job names and keeps each problem with its path in the manifest, instead of stopping at the first."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Collection
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from pydantic.alias_generators import to_camel

from millwright_api.errors import AccessDenied, InvalidManifest, MillwrightError
from millwright_api.names import ENV_SIGNING_KEY, SCRATCH_FOLDER
from millwright_api.sources import ExactlyOne
from millwright_api.v1alpha1 import Data, OptimizationJob, Output
from millwright_runner import registry
from millwright_runner.azure.coordinates import settled
from millwright_runner.data import FoundData, check_format, find_data
from millwright_runner.data.sample import try_rows
from millwright_runner.data.tokens import load_tokens
from millwright_runner.evaluation import BoundMetric, bind_metrics, check_formats
from millwright_runner.evaluation.bound import METRICS
from millwright_runner.models import FoundModel, find_model
from millwright_runner.plan import Settings, check_remote_code, check_signer, check_step, open_output
from millwright_runner.published import Published, read_published
from millwright_runner.recipe import refuse_other_recipe
from millwright_runner.registry import BoundStep
from millwright_runner.search_plan import fitting, hungriest
from millwright_runner.stores import Conflict, Store
from millwright_runner.trials import check_search

T = TypeVar("T")

READ_UP_TO = 64 << 20
"""Bytes of a file that are read to name its content; what is larger is known by its first bytes only."""


IN_THE_IMAGE = "looked at by the job on Azure ML, in whose image it lies"

REMOTE_PLACES = "s3, azureBlob, azureML, huggingFace"


@dataclass(frozen=True)
class _Place:
    """Where a look is taken from.

    Attributes:
        settings: where.
        has_folder: whether relative paths mean something here.
        azure_ml: whether the job runs on Azure ML.
    """

    settings: Settings
    has_folder: bool
    azure_ml: bool

    def elsewhere(self, union: ExactlyOne) -> bool:
        """Whether a source is a path that this machine has not, but the one that the job runs on."""
        return self.azure_ml and not self.has_folder and getattr(union, "path", None) is not None

    def check(self, union: ExactlyOne, where: str) -> None:
        """Refuses a path that no pod has."""
        path = getattr(union, "path", None)
        if isinstance(path, str) and not self.has_folder and not Path(path).is_absolute():
            raise InvalidManifest(
                f"{path!r} is relative to the manifest's folder, and a pod has none",
                where=f"{where}.path",
                hint=f"use {REMOTE_PLACES}; or `millwright submit`, which sends what lies in the manifest's folder"
                if self.azure_ml
                else "use s3, azureBlob, huggingFace or volume, or an absolute path in the image or in a mounted volume",
            )

    def check_output(self, output: Output) -> None:
        """Refuses a folder that is gone with the pod, or with the job."""
        if output.path is None or self.has_folder:
            return
        if self.azure_ml:
            found = "is a folder of the machine that Azure ML gives the job, and gone with it"
            hint = "use azureBlob or s3; or `millwright submit`, which brings the model to this folder"
        elif not Path(output.path).is_absolute():
            found, hint = "is relative to the manifest's folder, and a pod has none", "use s3, azureBlob or volume"
        elif Path(output.path).is_relative_to(SCRATCH_FOLDER):
            found, hint = "is gone with the pod", "use s3, azureBlob or volume"
        else:
            return
        raise InvalidManifest(f"{output.path!r} {found}", where="spec.output.path", hint=hint)


@dataclass
class Look:
    """What was found.

    Attributes:
        steps: the passes with their options; empty when one of them is wrong, or the search over them.
        hungriest: the same, of a search with the values that need the most memory; empty without one.
        metrics: what is measured, with options; empty when one of them is wrong.
        model: None when it cannot be used.
        problems: what is wrong, in the manifest's order.
        notes: what could not be looked at here, and what a person should know.
    """

    steps: list[BoundStep] = field(default_factory=list)
    hungriest: list[BoundStep] = field(default_factory=list)
    metrics: list[BoundMetric] = field(default_factory=list)
    model: FoundModel | None = None
    problems: list[MillwrightError] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def at(self, where: str, work: Callable[[], T]) -> T | None:
        """Does something; a problem is kept, with its path in the manifest."""
        try:
            return work()
        except MillwrightError as error:
            if error.where is None:
                error.where = where if not error.message.startswith("spec") else None
            elif not error.where.startswith("spec"):
                error.where = f"{where}: {error.where}"
            self.problems.append(error)
            return None


def look(job: OptimizationJob, settings: Settings, *, has_folder: bool = False) -> Look:
    """Looks at passes, model, data and output; the last three side by side, as each may be slow to answer.

    Args:
        job: the manifest.
        settings: where.
        has_folder: whether its relative paths mean something: the manifest lies in a folder of this machine, not in a pod.
    """
    job = settled(job)
    seen, spec = Look(), job.spec
    place = _Place(settings, has_folder=has_folder, azure_ml=spec.execution.azure_ml is not None)
    lost = _plug_ins_of_the_image(job, registry.names(), METRICS.names()) if place.azure_ml else []
    seen.notes += [f"{where}: a plug-in's, {IN_THE_IMAGE}" for where in lost]
    if not any(where.startswith("spec.passes") for where in lost):
        seen.steps = seen.at("spec.passes", lambda: _passes(job)) or []
    if spec.search is not None and seen.steps:
        notes = seen.at("spec.search", lambda: check_search(job))
        seen.notes += notes or []
        seen.steps = seen.steps if notes is not None else []
    seen.at("spec.output", lambda: check_signer(spec.output, has_key=bool(os.environ.get(ENV_SIGNING_KEY))))
    seen.at("spec.model", lambda: check_remote_code(spec.model, settings))
    with ThreadPoolExecutor(len(spec.data) + 2) as pool:
        model = pool.submit(_model, job, place)
        data = [pool.submit(_find, entry, index, place) for index, entry in enumerate(spec.data)]
        output = pool.submit(_output, job, place)
    where = f"spec.model.{_choice(spec.model)}"
    seen.model = seen.at(where, model.result)
    if place.elsewhere(spec.model):
        seen.notes.append(f"{where}: {IN_THE_IMAGE}")
    if seen.steps and seen.model is not None:
        _fit(seen, job, seen.model)
    found = {entry.name: _data(seen, entry, index, data[index]) for index, entry in enumerate(spec.data)}
    if not any(where.startswith("spec.evaluation") for where in lost):
        _evaluation(seen, job)
    seen.at(f"spec.output.{_choice(spec.output)}", lambda: _no_other(job, seen, found, output))
    return seen


def _plug_ins_of_the_image(job: OptimizationJob, passes: Collection[str], metrics: Collection[str]) -> list[str]:
    """Returns the paths of plug-ins' passes and metrics that are not installed here: the job's own image has them."""
    lost = [
        f"spec.passes[{index}]"
        for index, step in enumerate(job.spec.passes)
        if step.custom and step.pass_name not in passes
    ]
    uses = job.spec.evaluation.metrics if job.spec.evaluation else []
    return lost + [
        f"spec.evaluation.metrics[{index}]"
        for index, use in enumerate(uses)
        if use.custom and use.metric_name not in metrics
    ]


def _passes(job: OptimizationJob) -> list[BoundStep]:
    steps = registry.bind(job)
    if job.spec.search is None:
        registry.check_chain(steps)
    return steps


def _fit(seen: Look, job: OptimizationJob, model: FoundModel) -> None:
    """Looks at whether the passes are for the model; of a search with all values, of which the hungriest are kept."""
    if job.spec.search is None:
        for step in seen.steps:
            seen.at(step.where, lambda step=step: check_step(step, model, job.spec.target))  # type: ignore[misc]
        return
    found = seen.at("spec.search", lambda: fitting(job, model))
    if found is not None:
        variants, notes = found
        seen.notes += [f"search: {note}" for note in notes]
        seen.hungriest = hungriest(variants, model)


def _evaluation(seen: Look, job: OptimizationJob) -> None:
    """Looks at the metrics: their options and data, the models that they are measured on, the tokenizer."""
    seen.metrics = seen.at("spec.evaluation.metrics", lambda: bind_metrics(job)) or []
    if seen.steps and job.spec.search is None:  # a search's passes are looked at trial by trial
        seen.at("spec.evaluation", lambda: check_formats(job, seen.steps, seen.metrics))
    if seen.model is not None and seen.metrics:
        tokens = seen.at("spec.model", lambda folder=seen.model.tokenizer: load_tokens(folder))  # type: ignore[misc]
        for metric in seen.metrics if tokens is not None else ():
            seen.at(metric.where, lambda metric=metric: metric.check(tokens))  # type: ignore[misc]


def _model(job: OptimizationJob, place: _Place) -> FoundModel | None:
    model, settings = job.spec.model, place.settings
    place.check(model, "spec.model")
    if place.elsewhere(model):
        return None
    return find_model(model, settings.base, settings.home, volumes=settings.volumes, read_up_to=READ_UP_TO)


def _find(entry: Data, index: int, place: _Place) -> FoundData | None:
    settings = place.settings
    check_format(entry, f"spec.data[{index}]")
    place.check(entry.source, f"spec.data[{index}].source")
    if place.elsewhere(entry.source):
        return None
    return find_data(entry, settings.base, settings.home, volumes=settings.volumes, read_up_to=READ_UP_TO)


def _data(seen: Look, entry: Data, index: int, found: Future[FoundData | None]) -> str:
    """Keeps what is wrong with a data set; returns its digest, or an empty text."""
    where = f"spec.data[{index}].source.{_choice(entry.source)}"
    data = seen.at(where, found.result)
    if data is None:
        if found.exception() is None:
            seen.notes.append(f"{where}: {IN_THE_IMAGE}")
        return ""
    if not data.sample:
        seen.notes.append(f"{data.where}: its rows are looked at by the stage")
    model = seen.model
    if model is not None:
        kind = "text" if entry.text else "chat"
        seen.at(f"spec.data[{index}].{kind}", lambda: try_rows(data.sample, entry, model.tokenizer))
    return data.digest


def _choice(union: ExactlyOne) -> str:
    chosen = next(name for name in union.choices() if getattr(union, name) is not None)
    return type(union).model_fields[chosen].alias or to_camel(chosen)


def _output(job: OptimizationJob, place: _Place) -> tuple[Store, Published | None]:
    """Opens the output, tries to write there, and reads what it holds."""
    place.check_output(job.spec.output)
    output = open_output(job.spec.output, place.settings)
    output.check(write=True)
    if output.local("") is None:
        _try_conditions(output)
    return output, read_published(output)


def _try_conditions(store: Store) -> None:
    """Writes a small file by condition, twice, and removes it: publishing depends on the second write being refused.

    Raises:
        AccessDenied: the store takes both, or does not let us remove it.
    """
    key = f".millwright/preflight-{secrets.token_hex(8)}"
    store.write(key, b"", if_absent=True)
    try:
        store.write(key, b"", if_absent=True)
    except Conflict:
        return
    else:
        raise AccessDenied(
            "the store takes a conditional write whose condition does not hold (If-None-Match)",
            where=store.uri,
            hint="two writers could mix their results there: use a store that has conditional writes",
        )
    finally:
        store.delete([key])


def _no_other(
    job: OptimizationJob, seen: Look, data: dict[str, str], output: Future[tuple[Store, Published | None]]
) -> None:
    """Refuses an output that holds the result of another recipe. Whether the same recipe gives the very same result
    depends on the runner's libraries, which the stage compares."""
    store, published = output.result()
    if seen.steps:
        model = seen.model.digest if seen.model else ""
        refuse_other_recipe(job, seen.steps, published, store.uri, model=model, data=data)
