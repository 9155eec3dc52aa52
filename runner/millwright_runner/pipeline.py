"""The loop: look in the cache, run what is missing, record, publish."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from millwright_api.errors import HandoverMissing, InvalidManifest, MillwrightError
from millwright_api.report import ArtifactReport, RunReport
from millwright_runner import record, workplace
from millwright_runner.artifact import HF_ADAPTER, Artifact, FileDigest
from millwright_runner.beside import Chosen, files_beside
from millwright_runner.catalog import OWN_PACKAGE
from millwright_runner.digests import DigestMemo
from millwright_runner.judging import Judging
from millwright_runner.passes import Pass, StopFlag
from millwright_runner.plan import Plan, Settings, check_signer
from millwright_runner.published import TRIALS, Beside, accompany, free_name, publish
from millwright_runner.recipe import Recipe
from millwright_runner.steps import Made, Observer, Run, report_hit, run_step
from millwright_runner.stores import Store
from millwright_runner.training.loading import hide_unneeded
from millwright_runner.trees import Tree, fetch_tree


@dataclass(frozen=True)
class Part:
    """What of a plan is done in one go.

    Attributes:
        steps: the steps, by index. What comes before them has to be in the cache.
        publishes: whether the part with the last step publishes the model. A trial's does not: the model is made, measured and
            judged, and what became of the constraints is told, not raised. It leaves no report behind.
        baseline: whether the part with the first step measures the model that the job starts with.
        alongside: passes that this process is to run later, for other trials: what they need has to stay importable.
    """

    steps: range
    publishes: bool = True
    baseline: bool = True
    alongside: Sequence[Pass] = ()


@dataclass(frozen=True)
class Ending:
    """What a search adds to the run that publishes one of its models.

    Attributes:
        chosen: the trial that the model is of.
        document: what report.json says of the search.
        trials: trials.jsonl, which lies beside the model; None: it lies beside another one.
        meta: noted in the model's manifest; JSON.
    """

    chosen: Chosen
    document: dict[str, Any] = field(default_factory=dict)
    trials: bytes | None = None
    meta: dict[str, Any] = field(default_factory=dict)


def run(
    plan: Plan,
    settings: Settings,
    observer: Observer,
    stop: StopFlag,
    part: Part | None = None,
    *,
    ending: Ending | None = None,
) -> RunReport:
    """Does what the plan says and publishes the result.

    Leaves report.json beside the model, and in the machine's folder however the run ends.

    Args:
        plan: what to do.
        settings: where.
        observer: told what happens.
        stop: asks for a stop.
        part: what of it; None: all. Only the part with the last step publishes.
        ending: of the run that publishes what a search has found.

    Raises:
        HandoverMissing: a step before the part is not in the cache.
        MillwrightError: the run did not end in a model.
    """
    started = time.monotonic()
    part = part or Part(range(len(plan.steps)))
    state = Run(plan, settings, observer, stop, DigestMemo(settings.home))
    observer.planned(plan)
    leave = partial(record.leave, plan=plan, settings=settings, chosen=ending.chosen if ending else None)
    told = {"search": ending.document} if ending and ending.document else {}
    try:
        artifact = _work(state, part, ending)
    except MillwrightError as error:
        report = record.failed_report(error, state.told, plan, time.monotonic() - started)
        if part.publishes:
            leave(report, state.histories, published=False, besides=told)
        raise
    finally:
        state.tidy()
    report = record.succeeded_report(artifact, state.told, plan, time.monotonic() - started)
    if part.publishes:
        leave(report, state.histories, published=artifact is not None, besides=told)
    return report


def _work(state: Run, part: Part, ending: Ending | None) -> ArtifactReport | None:
    plan, last = state.plan, part.steps.stop == len(state.plan.steps)
    judging = Judging(state)
    check_part(plan, part.steps)
    if part.publishes:
        check_signer(plan.job.spec.output, has_key=state.settings.signer is not None)
    for step in plan.steps:
        if step.hit:
            report_hit(state, step, plan.cache.peek(step.key) if plan.cache else None)
    to_run = [step for step in plan.steps if not step.hit and step.step.index in part.steps]
    if to_run:
        workplace.check_space(state.work, sum(step.estimate.disk for step in to_run))
        _hide_what_nobody_needs([*(step.step.pass_ for step in to_run), *part.alongside], plan)
    _measure_what_is_there(state, judging, part)
    made = _from_cache(state) if to_run or (last and part.publishes and plan.published is None) else None
    for step in to_run:
        made = run_step(state, step, made.artifact if made else plan.model.fetch())
        judging.measure(step.step.index, made.artifact)
    if last:
        judging.verdict(final=part.publishes)
    if not part.publishes:
        return None
    if plan.published is not None and (last or not plan.evaluation.constraints):  # it may have to be judged anew
        published = plan.published
        if last:
            noted = ending.meta if ending else None
            published = accompany(plan.output, published, _beside(state, ending), state.settings.signer, noted)
        return record.described(published)
    if not last:
        return None
    assert made is not None  # the contract: a job has at least one step
    state.stop.check("before publishing")
    return _publish(state, made, ending)


def _measure_what_is_there(state: Run, judging: Judging, part: Part) -> None:
    """Measures the input, and what was made before. A stage measures what its own steps make, and the first one the
    input; what is still unknown in the end, the last stage has to know. Of a trial that is what its constraints compare
    with: the rest is for the report, which the trial that is published makes."""
    plan = state.plan
    last = part.steps.stop == len(plan.steps)
    compared = {len(plan.steps) - 1, *plan.evaluation.compared(len(plan.steps) - 1)}
    for point in plan.evaluation.points:
        own = point.index in part.steps or (point.index < 0 and part.baseline and part.steps.start == 0)
        if point.index >= 0 and not plan.steps[point.index].hit:
            continue  # it is made here, or later
        if point.missing and (own or (last and (part.publishes or point.index in compared))):
            judging.measure(point.index, _made_before(state, point.index))
        else:
            judging.tell_known(point.index)


def _made_before(state: Run, index: int) -> Artifact:
    """Brings the result of a step that does not run, or the input, to this machine."""
    plan = state.plan
    if index < 0:
        return plan.model.fetch()
    tree = plan.cache.find(plan.steps[index].key) if plan.cache is not None else None
    if tree is not None:
        return _artifact(state, index, tree)
    assert plan.published is not None  # the plan makes anew what lies nowhere
    tree = plan.published.tree
    folder = _fetch(state, plan.output, tree, state.private / "published")
    return Artifact(folder, plan.published.format, tree.digest, _base(state, index))


def check_part(plan: Plan, part: range) -> None:
    """Refuses a stage that cannot start, or could not hand over.

    Raises:
        HandoverMissing: a step before it is not in the cache: it is not made again here, on the wrong hardware.
        InvalidManifest: the cache, by which stages hand over, is not written to.
    """
    if len(part) == len(plan.steps):
        return
    if plan.cache is None or not plan.cache.writes:
        raise InvalidManifest(
            f"found {plan.job.spec.cache.mode}, and stages hand over through the cache",
            where="spec.cache.mode",
            hint="ReadWrite, or give all passes the same resources",
        )
    if plan.published is None and plan.results.start < part.start:
        missing = plan.steps[plan.results.start]
        raise HandoverMissing(
            f"the result of {missing.step.name} is not in the cache any more",
            where=f"spec.passes[{missing.step.index}]",
            hint="the stage that makes it has to run again",
        )


def _from_cache(state: Run) -> Made | None:
    """Brings the result that the first missing step starts from to this machine; None when that is the model."""
    plan, start = state.plan, state.plan.results.start
    if start == 0:
        return None
    last = plan.steps[start - 1]
    tree = plan.results.trees[start - 1]
    assert plan.cache is not None  # where there are trees there is a cache
    if start == len(plan.steps) and plan.cache.store is plan.output:  # it is published from store to store
        return Made(Artifact(state.private, last.step.pass_.produces, tree.digest), tree.files, tree)
    return Made(_artifact(state, start - 1, tree), tree.files, tree)


def _artifact(state: Run, index: int, tree: Tree) -> Artifact:
    step, cache = state.plan.steps[index], state.plan.cache
    assert cache is not None  # where there are trees there is a cache
    folder = _fetch(state, cache.store, tree, state.private / step.key)
    return Artifact(folder, step.step.pass_.produces, tree.digest, _base(state, index))


def _fetch(state: Run, store: Store, tree: Tree, folder: Path) -> Path:
    """Brings a tree to this machine, where there is room for it."""
    if store.local(tree.root) is None:
        workplace.check_space(state.work, tree.bytes)
    return fetch_tree(store, tree, folder, state.memo)


def _base(state: Run, index: int) -> Artifact | None:
    """What the result of a step sits on, when that is an adapter: the model, or the result of the step before."""
    plan = state.plan
    if plan.steps[index].step.pass_.produces != HF_ADAPTER:
        return None
    if index == 0:
        return plan.model.fetch()
    tree = plan.results.trees.get(index - 1) or (plan.cache.find(plan.steps[index - 1].key) if plan.cache else None)
    if tree is None:
        raise HandoverMissing(
            f"the adapter's base, the result of {plan.steps[index - 1].step.name}, is not in the cache"
        )
    return _artifact(state, index - 1, tree)


def _hide_what_nobody_needs(used: Sequence[Pass], plan: Plan) -> None:
    """Only when all passes and metrics are our own: what an outsider's needs is not known."""
    everything = [*used, *(metric.metric for metric in plan.evaluation.metrics)]
    if all(type(one).__module__.startswith(OWN_PACKAGE) for one in everything):
        needed = {name for pass_ in used for name in pass_.needs()}
        from_hub = any(entry.source.hugging_face for entry in plan.job.spec.data)
        hide_unneeded(needed | ({"datasets", "pandas"} if from_hub else set()))


def _publish(state: Run, made: Made, ending: Ending | None) -> ArtifactReport:
    plan = state.plan
    last = plan.steps[-1]
    state.tell(last, "publishing")
    published = publish(
        plan.output,
        plan.fingerprint,
        folder=made.artifact.folder,
        files=made.files,
        format=made.artifact.format,
        meta={"job": plan.job.metadata.name, "recipe": _recipe(plan).as_data()},
        noted=ending.meta if ending else None,
        memo=state.memo,
        cached=made.tree if plan.cache is not None and plan.cache.store is plan.output else None,
        replace=plan.job.spec.output.replace,
        beside=_beside(state, ending),
        signer=state.settings.signer,
    )
    return record.described(published)


def _beside(state: Run, ending: Ending | None) -> Beside:
    """Returns what makes the files that lie beside the model."""

    def files(model: Sequence[FileDigest], before: Mapping[str, bytes]) -> dict[str, bytes]:
        """Satisfies `published.Beside`."""
        made = files_beside(state.plan, state.told, model, before, chosen=ending.chosen if ending else None)
        if ending is not None and ending.trials is not None:
            made[free_name(TRIALS, model)] = ending.trials
        return made

    return files


def _recipe(plan: Plan) -> Recipe:
    steps = [planned.step for planned in plan.steps]
    digests = {name: found.digest for name, found in plan.data.items()}
    return Recipe.of(steps, plan.job.spec.target, plan.model.digest, digests)
