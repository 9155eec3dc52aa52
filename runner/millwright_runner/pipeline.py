"""The loop: look in the cache, run what is missing, record, publish."""

from __future__ import annotations

import time

from millwright_api.errors import MillwrightError
from millwright_api.report import ArtifactReport, RunReport
from millwright_runner import record, workplace
from millwright_runner.artifact import HF_ADAPTER, Artifact
from millwright_runner.digests import DigestMemo
from millwright_runner.passes import StopFlag
from millwright_runner.plan import Plan, Settings, StepPlan
from millwright_runner.published import Published, publish
from millwright_runner.registry import OWN_PACKAGE
from millwright_runner.steps import Made, Observer, Run, report_hit, run_step
from millwright_runner.training.loading import hide_unneeded
from millwright_runner.trees import fetch_tree


def run(plan: Plan, settings: Settings, observer: Observer, stop: StopFlag) -> RunReport:
    """Does what the plan says and publishes the result.

    Leaves report.json beside the model, and in the machine's folder however the run ends.

    Raises:
        MillwrightError: the run did not end in a model.
    """
    started = time.monotonic()
    state = Run(plan, settings, observer, stop, DigestMemo(settings.home))
    observer.planned(plan)
    try:
        artifact = _work(state)
    except MillwrightError as error:
        report = record.failed_report(error, state.reports, plan, time.monotonic() - started)
        record.leave(report, state.histories, plan, settings, published=False)
        raise
    finally:
        state.tidy()
    report = record.succeeded_report(artifact, state.reports, plan, time.monotonic() - started)
    record.leave(report, state.histories, plan, settings, published=True)
    return report


def _work(state: Run) -> ArtifactReport:
    plan = state.plan
    for step in plan.steps:
        if step.hit:
            report_hit(state, step, plan.cache.peek(step.key) if plan.cache else None)
    if plan.published is not None:
        return _described(plan, plan.published)
    to_run = [step for step in plan.steps if not step.hit]
    if to_run:
        workplace.check_space(state.work, sum(step.estimate.disk for step in to_run))
        _hide_what_nobody_needs(to_run, plan)
    made = _from_cache(state)
    for step in to_run:
        made = run_step(state, step, made.artifact if made else plan.model.fetch())
    assert made is not None  # the contract: a job has at least one step
    state.stop.check("before publishing")
    return _publish(state, made)


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
    return Made(_artifact(state, start - 1), tree.files, tree)


def _artifact(state: Run, index: int) -> Artifact:
    step, cache = state.plan.steps[index], state.plan.cache
    assert cache is not None  # where there are trees there is a cache
    tree = state.plan.results.trees[index]
    folder = fetch_tree(cache.store, tree, state.private / step.key, state.memo)
    base = None
    if step.step.pass_.produces == HF_ADAPTER:
        base = state.plan.model.fetch() if index == 0 else _artifact(state, index - 1)
    return Artifact(folder, step.step.pass_.produces, tree.digest, base)


def _hide_what_nobody_needs(to_run: list[StepPlan], plan: Plan) -> None:
    """Only when all passes are our own: what an outsider's needs is not known."""
    if all(type(step.step.pass_).__module__.startswith(OWN_PACKAGE) for step in to_run):
        needed = {name for step in to_run for name in step.step.pass_.needs()}
        from_hub = any(entry.source.hugging_face for entry in plan.job.spec.data)
        hide_unneeded(needed | ({"datasets", "pandas"} if from_hub else set()))


def _publish(state: Run, made: Made) -> ArtifactReport:
    plan = state.plan
    last = plan.steps[-1]
    state.tell(last, "publishing")
    published = publish(
        plan.output,
        plan.fingerprint,
        folder=made.artifact.folder,
        files=made.files,
        format=made.artifact.format,
        meta={"job": plan.job.metadata.name},
        memo=state.memo,
        cached=made.tree if plan.cache is not None and plan.cache.store is plan.output else None,
        replace=plan.job.spec.output.replace,
    )
    return _described(plan, published)


def _described(plan: Plan, published: Published) -> ArtifactReport:
    return ArtifactReport(
        uri=published.uri,
        format=plan.steps[-1].step.pass_.produces,
        digest=published.tree.digest,
        bytes=published.tree.bytes,
        files=len(published.files),
    )
