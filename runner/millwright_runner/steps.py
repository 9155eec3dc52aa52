"""Runs one step: its folders and lock, its data, the pass, and what becomes of the result."""

from __future__ import annotations

import functools
import os
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from millwright_api.errors import MillwrightError, NoSpaceLeft, PassFailed, Stopped
from millwright_api.quantities import spoken
from millwright_api.report import ConstraintReport, EvaluationReport, HitOrMiss, PassReport, Phase, Progress
from millwright_runner.artifact import HF_ADAPTER, Artifact, FileDigest, digest_of
from millwright_runner.checkpoints import StoredCheckpoints
from millwright_runner.data import PackedSequences, pack
from millwright_runner.digests import DigestMemo, digest_folder
from millwright_runner.passes import Context, StopFlag, Tell
from millwright_runner.plan import Plan, Settings, StepPlan
from millwright_runner.stores.disk import FULL, nearest_folder
from millwright_runner.told import Told
from millwright_runner.training.loading import release_memory
from millwright_runner.trees import Tree, fetch_tree
from millwright_runner.workplace import PrivateFolder, Workplace, workplace

ROOM = 2**26
"""Bytes: a disk with more of them free is not the one that is full."""


class Observer(Protocol):
    """Watches a run: a live view, plain lines, JSON, or nobody."""

    def planned(self, plan: Plan) -> None:
        """Told once, before anything runs."""

    def progress(self, progress: Progress) -> None:
        """Told often, from the thread that works."""

    def finished(self, report: PassReport) -> None:
        """Told after each step, run or taken from the cache, whether it succeeded or not."""

    def measured(self, report: EvaluationReport) -> None:
        """Told after each model that was measured, now or before."""

    def judged(self, reports: list[ConstraintReport]) -> None:
        """Told what became of the constraints, before the model is published or not."""


@dataclass(frozen=True)
class Made:
    """What a step has made, or the cache had.

    Attributes:
        artifact: the folder.
        files: what is in it.
        tree: where the cache keeps it, or None.
    """

    artifact: Artifact
    files: list[FileDigest]
    tree: Tree | None


@dataclass
class Run:
    """One run: what it was given, and what it has found out so far."""

    plan: Plan
    settings: Settings
    observer: Observer
    stop: StopFlag
    memo: DigestMemo
    histories: dict[str, list[dict[str, float]]] = field(default_factory=dict)
    told: Told = field(default_factory=Told)

    @property
    def work(self) -> Path:
        """The folder that steps work in: beside a local cache, so that results move there without a copy."""
        cache = self.plan.cache
        store = cache.store if cache is not None and cache.writes else self.plan.output
        return store.local(".millwright/work") or self.settings.home / "work"

    @functools.cached_property
    def _own(self) -> PrivateFolder:
        return PrivateFolder(self.work)

    @property
    def private(self) -> Path:
        """A folder of this process, for results that lie in no local cache; removed with the run."""
        return self._own.path

    def tidy(self) -> None:
        """Removes that folder, when there is one."""
        if "_own" in vars(self):
            self._own.close()

    def tell(self, step: StepPlan, message: str, **numbers: Any) -> None:
        """Tells the observer how far a step is."""
        bound = step.step
        self.observer.progress(
            Progress(
                step_name=bound.name, step_index=bound.index, steps=len(self.plan.steps), message=message, **numbers
            )
        )

    def finished(self, report: PassReport) -> None:
        """Keeps a step's report and tells the observer."""
        self.told.passes.append(report)
        self.observer.finished(report)


def run_step(state: Run, step: StepPlan, artifact: Artifact) -> Made:
    """Runs a step, or takes what another process has made of it in the meantime.

    Raises:
        MillwrightError: with the step's path in the manifest, when it is about one of its options.
    """
    state.stop.check(f"before {step.step.name}")
    cache = state.plan.cache

    def waiting() -> None:
        """Tells it, and can be stopped."""
        state.tell(step, "waiting for another process")
        state.stop.check("while another process worked on the same step")

    with workplace(state.work, step.key, waiting) as place:
        tree = cache.find(step.key) if cache is not None else None
        if cache is not None and tree is not None:
            folder = fetch_tree(cache.store, tree, state.private / step.key, state.memo)
            made = _made(step, artifact, folder, tree.files, tree)
            report_hit(state, step, tree)
            return made
        return _run_here(state, step, artifact, place)


def report_hit(state: Run, step: StepPlan, tree: Tree | None) -> None:
    """Reports a step whose result was there; what it measured when it ran is told again.

    Args:
        tree: its result in the cache; None when only the published model is left of it.
    """
    if tree is not None and tree.meta.get("history"):
        state.histories[step.step.name] = tree.meta["history"]
    state.finished(
        PassReport(
            name=step.step.name,
            pass_=step.step.pass_.name,
            phase="Succeeded",
            cache="Hit",
            key=step.key,
            digest=tree.digest if tree else None,
            bytes=tree.bytes if tree else None,
            # What was no number is null in a tree's manifest.
            metrics={k: v for k, v in tree.meta.get("metrics", {}).items() if v is not None} if tree else {},
        )
    )


def _run_here(state: Run, step: StepPlan, artifact: Artifact, place: Workplace) -> Made:
    cache, began = state.plan.cache, time.monotonic()
    plan = state.plan
    checkpoints = StoredCheckpoints(
        plan.output, step.key, plan.job.spec.checkpoint.every_steps, place.scratch / "checkpoints", state.memo
    )
    context = Context(
        folder=place.result,
        scratch=place.scratch,
        target=plan.job.spec.target,
        trust_remote_code=plan.job.spec.model.trust_remote_code,
        data=_data(state, step, place),
        checkpoints=checkpoints,
        stop=state.stop,
        tell=_teller(state, step),
    )
    how: HitOrMiss = "Miss" if cache is not None else "Off"
    try:
        _call(step, artifact, context)
    except MillwrightError as error:
        phase: Phase = "Stopped" if isinstance(error, Stopped) else "Failed"
        state.finished(_report(step, phase, how, time.monotonic() - began, made=None, context=context))
        raise
    finally:
        if context.history:
            state.histories[step.step.name] = context.history
        release_memory()
    state.tell(step, "storing")
    _open_to_readers(place.result)
    files = digest_folder(place.result, state.memo)[0] if place.result.is_dir() else []
    if not files:
        raise PassFailed(f"{step.step.pass_.name} made nothing", where=step.step.where)
    folder, tree = _keep(state, step, place, files, context)
    files = files if tree is None else tree.files  # another writer may have been faster
    checkpoints.clear()
    made = _made(step, artifact, folder, files, tree)
    state.finished(_report(step, "Succeeded", how, time.monotonic() - began, made=made, context=context))
    return made


def _open_to_readers(folder: Path) -> None:
    """Gives a result's files the modes that new files have here: libraries that write by way of a temporary file leave
    them to their owner alone."""
    umask = os.umask(0)
    os.umask(umask)
    for path in folder.rglob("*"):
        path.chmod((0o777 if path.is_dir() else 0o666) & ~umask)


def _keep(
    state: Run, step: StepPlan, place: Workplace, files: list[FileDigest], context: Context
) -> tuple[Path, Tree | None]:
    """Puts a result where it stays when the step's folders go: into the cache, and else with this process."""
    cache, tree = state.plan.cache, None
    if cache is not None and cache.writes:
        meta: dict[str, Any] = {"pass": step.step.pass_.name, "metrics": context.metrics, "history": context.history}
        tree = cache.keep(step.key, place.result, meta, files)
        local = cache.store.local(tree.root)
        if local is not None:
            return local, tree
    folder = state.private / step.key
    place.result.rename(folder)
    return folder, tree


def _call(step: StepPlan, artifact: Artifact, context: Context) -> None:
    try:
        step.step.pass_.run(artifact, context)
    except MillwrightError as error:
        if error.where is not None and error.where.split(".")[0] in _options(step):
            error.where = f"{step.step.where}.{error.where}"
        raise
    except OSError as error:
        if error.errno in FULL:
            raise _full(context, error) from error
        raise _unforeseen(step, error) from error
    except SystemExit as error:  # a library that thinks that it is a program
        raise _unforeseen(step, error) from error
    except Exception as error:
        if "No space left on device" in str(error):  # libraries in Rust and C++ say it in words only
            raise _full(context, error) from error
        raise _unforeseen(step, error) from error


def _full(context: Context, error: Exception) -> NoSpaceLeft:
    free = shutil.disk_usage(nearest_folder(context.folder)).free
    hint = None
    if free > ROOM:  # libraries share tensors between processes there, and name no file when it is full
        hint = f"{spoken(free)} are free there: is /dev/shm full? (execution.kubernetes.sharedMemory)"
    return NoSpaceLeft(f"the disk is full: {error}", where=str(context.folder), hint=hint)


def _unforeseen(step: StepPlan, error: Exception | SystemExit) -> PassFailed:
    return PassFailed(f"{step.step.pass_.name} failed: {type(error).__name__}: {error}", where=step.step.where)


def _options(step: StepPlan) -> set[str]:
    return {info.alias or name for name, info in type(step.step.pass_).model_fields.items()}


def _teller(state: Run, step: StepPlan) -> Tell:
    """Returns the function that a pass tells its progress by; it adds the estimated time left."""
    began: dict[str, tuple[float, int]] = {}

    def tell(message: str, *, done: int | None = None, total: int | None = None, loss: float | None = None) -> None:
        """Satisfies `passes.Tell`."""
        eta = None
        if done is not None and total:
            at, first = began.setdefault(message, (time.monotonic(), done))
            if done > first + 1:  # the first units of work are no measure of the others
                eta = (time.monotonic() - at) / (done - first) * (total - done)
        state.tell(step, message, done=done, total=total, loss=loss, eta_seconds=eta)

    return tell


def _data(state: Run, step: StepPlan, place: Workplace) -> Mapping[str, PackedSequences]:
    """Tokenizes what the pass refers to: before it imports anything, so that bad rows cost seconds."""
    packed: dict[str, PackedSequences] = {}
    for name in dict.fromkeys(step.step.pass_.data_refs().values()):
        state.tell(step, f"tokenizing {name}")
        packed[name] = pack(
            state.plan.data[name],
            state.plan.model.tokenizer,
            place.scratch / "data" / name,
            lambda done, total: state.tell(step, "tokenizing", done=done, total=total),
        )
    return packed


def _made(step: StepPlan, before: Artifact, folder: Path, files: list[FileDigest], tree: Tree | None) -> Made:
    base = before if step.step.pass_.produces == HF_ADAPTER else None
    return Made(Artifact(folder, step.step.pass_.produces, digest_of(files), base), files, tree)


def _report(
    step: StepPlan, phase: Phase, cache: HitOrMiss, seconds: float, *, made: Made | None, context: Context | None = None
) -> PassReport:
    return PassReport(
        name=step.step.name,
        pass_=step.step.pass_.name,
        phase=phase,
        cache=cache,
        key=step.key,
        digest=made.artifact.digest if made else None,
        bytes=sum(f.size for f in made.files) if made else None,
        seconds=round(seconds, 3),
        resumed_from=context.resumed_from if context else None,
        metrics=context.metrics if context else {},
    )
