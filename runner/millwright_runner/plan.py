"""What a job would do: its steps, their cache keys, hits and misses, and what it needs. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from millwright_api.errors import InvalidKey, RemoteCodeNotAllowed, UserError
from millwright_api.names import ENV_SIGNING_KEY
from millwright_api.v1alpha1 import Model, OptimizationJob, Output, Target
from millwright_runner import registry
from millwright_runner.artifact import HF
from millwright_runner.azure.coordinates import settled
from millwright_runner.cache import Cache
from millwright_runner.data import FoundData, check_format, find_data
from millwright_runner.digests import DigestMemo
from millwright_runner.evaluation import EvaluationPlan, FindMeasured, find_measured, memory_to_measure, plan_evaluation
from millwright_runner.models import FoundModel, find_model
from millwright_runner.passes import Estimate
from millwright_runner.published import Published, Signer, damaged_files, read_published, refuse_other
from millwright_runner.registry import BoundStep
from millwright_runner.results import Results, find_results, first_gone, step_keys
from millwright_runner.stores import Location, Store, open_store
from millwright_runner.volumes import place_of, volume_name


@dataclass(frozen=True)
class Settings:
    """What a run needs besides its manifest.

    Attributes:
        base: the manifest's folder; relative paths start there.
        home: this machine's folder for downloads, remembered digests and scratch.
        cache: where results of passes are kept; None: in the output's store.
        volumes: the folder that a cluster's claims are mounted in, by name; None without a cluster.
        remote_code: whether models may bring code when their manifest says so.
        signer: signs what is published; None: nobody does.
        credential: of an output in Azure Blob Storage: what opens it; None: what the environment has.
    """

    base: Path
    home: Path
    cache: Location | Path | None = None
    volumes: Path | None = None
    remote_code: bool = True
    signer: Signer | None = None
    credential: Any = None


@dataclass(frozen=True)
class StepPlan:
    """One step as it would run.

    Attributes:
        step: the step and its pass.
        key: its cache key, 64 hex digits.
        hit: whether the cache has its result.
        estimate: memory and disk it is expected to need, in bytes.
    """

    step: BoundStep
    key: str
    hit: bool
    estimate: Estimate


@dataclass(frozen=True)
class Plan:
    """What a job would do.

    Attributes:
        job: the manifest.
        model: where it starts.
        data: the data sets that passes refer to, by name.
        steps: in order.
        output: the store that the model goes to.
        cache: the results of steps that are kept; None when the cache is off.
        fingerprint: names the result: the last step's key.
        published: what the output holds, when that is this very result and whole; else None.
        results: what the cache has of it.
        evaluation: what is measured.
    """

    job: OptimizationJob
    model: FoundModel
    data: dict[str, FoundData]
    steps: list[StepPlan]
    output: Store
    cache: Cache | None
    fingerprint: str
    published: Published | None
    results: Results
    evaluation: EvaluationPlan = field(default_factory=EvaluationPlan)

    @property
    def memory(self) -> int:
        """Peak memory expected, in bytes: of the hungriest step that would run, or of what is measured."""
        asked = [point for point in self.evaluation.points if any(one.metric.metric.asks for one in point.missing)]
        made = [HF if point.index < 0 else self.steps[point.index].step.pass_.produces for point in asked]
        measuring = [memory_to_measure(self.model.facts, format_) for format_ in made]
        return max([*measuring, *(s.estimate.memory for s in self.steps if not s.hit)], default=0)

    @property
    def disk(self) -> int:
        """Bytes expected to be written on this machine."""
        return sum(s.estimate.disk for s in self.steps if not s.hit)


@dataclass(frozen=True)
class Found:
    """What a job names, found: the same for all trials of a search.

    Attributes:
        model: where it starts.
        data: the data sets, by name.
        output: the store that the model goes to.
        cache: the results of steps that are kept; None when the cache is off.
        memo: remembered digests.
    """

    model: FoundModel
    data: dict[str, FoundData]
    output: Store
    cache: Cache | None
    memo: DigestMemo

    @property
    def digests(self) -> dict[str, str]:
        """Digests of the data sets, by name."""
        return {name: found.digest for name, found in self.data.items()}


@dataclass(frozen=True)
class Outline:
    """What a job's passes are called in the cache, and what is known of its models; no store was asked for their results.

    Attributes:
        steps: the passes.
        keys: their cache keys.
        evaluation: what is measured.
    """

    steps: list[BoundStep]
    keys: list[str]
    evaluation: EvaluationPlan


def look_up(job: OptimizationJob, settings: Settings, fits: Callable[[FoundModel], None] = lambda model: None) -> Found:
    """Looks at model, data and output, and writes nothing there.

    Args:
        job: the manifest.
        settings: where.
        fits: told the model before the data are read; raises where the passes do not fit it.

    Raises:
        UserError: one of them cannot be used.
    """
    spec = settled(job).spec
    for index, entry in enumerate(spec.data):
        check_format(entry, f"spec.data[{index}]")
    check_remote_code(spec.model, settings)
    model = find_model(spec.model, settings.base, settings.home, volumes=settings.volumes)
    fits(model)
    data = {entry.name: find_data(entry, settings.base, settings.home, volumes=settings.volumes) for entry in spec.data}
    output = open_output(spec.output, settings)
    output.check(write=True)
    memo = DigestMemo(settings.home)
    return Found(model, data, output, _open_cache(spec.cache.mode, output, settings.cache, memo), memo)


def outline(
    job: OptimizationJob,
    steps: list[BoundStep],
    found: Found,
    find: FindMeasured | None = None,
    *,
    anywhere: bool = False,
    checked: bool = False,
) -> Outline:
    """Returns what passes are called in the cache, and what is known of their models.

    Args:
        job: the manifest.
        steps: its passes.
        found: what it names.
        find: looks for measurements; None: in the cache.
        anywhere: whether what another machine has measured counts, where this one has not.
        checked: whether it was looked at before what the tokenizer shows of the metrics: a large one takes a second to load.

    Raises:
        UnknownMetric, InvalidManifest, ChainMismatch: see `plan_evaluation`.
    """
    keys = step_keys(steps, found.model.digest, found.digests, job.spec.target)
    if find is None and found.cache is not None:
        find = partial(find_measured, found.cache.store)
    return Outline(
        steps,
        keys,
        plan_evaluation(
            job, steps, keys, found.model, data=found.digests, find=find, anywhere=anywhere, checked=checked
        ),
    )


def make_plan(
    job: OptimizationJob,
    settings: Settings,
    found: Found | None = None,
    *,
    publishes: bool = True,
    upto: int | None = None,
    drawn: Outline | None = None,
) -> Plan:
    """Looks at everything a job names, and writes nothing to the output.

    Args:
        job: the manifest, without a search: trials are jobs of their own, see `trials.trial_job`.
        settings: where.
        found: what the job names, where that was looked at before, the metrics included.
        publishes: whether the result is to be published; else it does not matter what the output holds.
        upto: how many steps are to be done; later ones may still be others, and are not looked at. None: all.
        drawn: the job's outline, where that is known.

    Raises:
        UserError: anything that would make the run fail and can be known now.
    """
    if job.spec.search is not None:
        raise TypeError("a search has no plan of its own, each of its trials has one")
    spec = job.spec
    bound = drawn.steps if drawn else registry.bind(job)
    registry.check_chain(bound[:upto])

    def fits(model: FoundModel) -> None:
        """Refuses a pass that the model is not for."""
        for step in bound[:upto]:
            check_step(step, model, spec.target)

    checked = found is not None
    if found is None:
        found = look_up(job, settings, fits)
    else:
        fits(found.model)
    output, cache = found.output, found.cache
    drawn = drawn or outline(job, bound, found, checked=checked)
    keys, evaluation = drawn.keys, drawn.evaluation
    published = _published(found, keys[-1], replace=spec.output.replace) if publishes else None
    results = find_results(bound, keys, cache)
    gone = first_gone(evaluation, bound, keys, cache, published is not None)
    if gone is not None and (published is not None or gone < results.start):
        published, results = None, find_results(bound, keys, cache, upto=gone)
    steps = [
        StepPlan(step, key, published is not None or index < results.start, step.pass_.estimate(found.model.facts))
        for index, (step, key) in enumerate(zip(bound, keys, strict=True))
    ]
    return Plan(job, found.model, found.data, steps, output, cache, keys[-1], published, results, evaluation)


def _published(found: Found, fingerprint: str, *, replace: bool) -> Published | None:
    """Returns what the output holds, when that is this very result and whole.

    Raises:
        OutputExists: it holds another one, which may not be replaced.
    """
    published = read_published(found.output)
    refuse_other(found.output, published, fingerprint, replace=replace)
    if published is None or published.fingerprint != fingerprint or found.cache is None:
        return None
    return None if damaged_files(found.output, published, found.memo) else published


def check_signer(output: Output, *, has_key: bool) -> None:
    """Raises InvalidKey when the manifest wants a signature and there is no key."""
    if output.sign and not has_key:
        raise InvalidKey(
            "the result has to be signed, and there is no key",
            where="spec.output.sign",
            hint=f"--sign-key FILE, or {ENV_SIGNING_KEY} of a Secret that spec.credentials names",
        )


def check_remote_code(model: Model, settings: Settings) -> None:
    """Raises RemoteCodeNotAllowed when the manifest trusts a model's code and the platform runs none."""
    if model.trust_remote_code and not settings.remote_code:
        raise RemoteCodeNotAllowed(
            "this platform runs no code that comes with a model",
            where="spec.model.trustRemoteCode",
            hint="leave it out, or ask who runs the platform to allow it",
        )


def check_step(step: BoundStep, model: FoundModel, target: Target) -> None:
    """Refuses a step that does not fit the model: see `Pass.check`. Raises UserError with the option's path."""
    try:
        step.pass_.check(model.facts, target)
    except UserError as error:
        where = f"{step.where}.{error.where}" if error.where else step.where
        raise type(error)(error.message, where=where, hint=error.hint) from error


def open_output(output: Output, settings: Settings) -> Store:
    """Returns the store that the model goes to; nothing is asked of it yet.

    Raises:
        InvalidManifest, AccessDenied: a volume without a cluster, or a path that leads out of it.
    """
    stored = output.s3 or output.azure_blob
    if stored is not None:
        return open_store(stored, credential=settings.credential)
    if output.volume is not None:
        return open_store(place_of(output.volume, settings.volumes, "spec.output.volume"), volume_name(output.volume))
    return open_store(settings.base / Path(str(output.path)).expanduser())


def _open_cache(mode: str, output: Store, elsewhere: Location | Path | None, memo: DigestMemo) -> Cache | None:
    if mode == "Off":
        return None
    store = output
    if elsewhere is not None:
        store = open_store(elsewhere)
        store.check(write=mode == "ReadWrite")
    return Cache(store, mode == "ReadWrite", memo)
