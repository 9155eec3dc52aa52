"""A search on this machine: trials one after the other in this process, or several at once in others.

There is no file of its state: a second run of the same manifest asks for the same trials again, and finds in the cache what
became of them. Only those that failed are tried once more, and `maxSeconds` counts anew.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from millwright_api.report import RunReport
from millwright_api.v1alpha1 import OptimizationJob
from millwright_runner.concluding import Ended, conclude
from millwright_runner.passes import StopFlag
from millwright_runner.plan import Settings, check_signer, make_plan
from millwright_runner.search_plan import SearchPlan, plan_search
from millwright_runner.searching.crew import Crew, InTurn
from millwright_runner.searching.loop import Loop, failure
from millwright_runner.searching.observing import SearchObserver, SearchOutline
from millwright_runner.searching.segment import Bench
from millwright_runner.searching.workers import Workers
from millwright_runner.trials import trial_job
from millwright_search import verdict
from millwright_search.course import course


@dataclass(frozen=True)
class Prepared:
    """A search that can begin.

    Attributes:
        job: the manifest.
        settings: where.
        plan: what it would do.
        outline: what watchers want to know of it.
    """

    job: OptimizationJob
    settings: Settings
    plan: SearchPlan
    outline: SearchOutline


def prepare(job: OptimizationJob, settings: Settings) -> Prepared:
    """Looks at everything that a search names, and writes nothing to the output.

    Raises:
        UserError: anything that would make every trial fail and can be known now.
    """
    search = job.spec.search
    assert search is not None  # who has none is not searched
    check_signer(job.spec.output, has_key=settings.signer is not None)
    plan = plan_search(job, settings)
    first = course(job.spec, {}, {}, {}, limit=1).trials[0]
    trial = make_plan(trial_job(job, first.at), settings, plan.found, publishes=False)
    return Prepared(job, settings, plan, SearchOutline(search, trial, plan.trials, plan.size))


def run(
    prepared: Prepared,
    observer: SearchObserver,
    stop: StopFlag,
    *,
    parallel: int | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> RunReport:
    """Carries a search through and publishes its best model.

    Args:
        prepared: what to do.
        observer: told what happens.
        stop: asks for a stop.
        parallel: how many processes do trials at once; None: this one does them all, one after the other.
        clock: seconds, monotonic.

    Raises:
        TrialsFailed: more trials failed than are tolerated, or all did.
        ConstraintsNotMet: no trial met them.
        MillwrightError: the search did not get to its end, or its best model could not be published.
    """
    job, settings, search = prepared.job, prepared.settings, prepared.outline.search
    crew: Crew = (
        InTurn(Bench(job, settings, stop, prepared.plan.found))
        if parallel is None
        else Workers(job, settings, stop, min(parallel, prepared.outline.trials))
    )
    observer.searching(prepared.outline)
    loop = Loop(job.spec, crew, observer, stop, clock)
    try:
        known = loop.run()
    finally:
        crew.close()
    if known.over is None or known.over.best is None:
        raise failure(search, known)
    publish = verdict.kept(search, known.outcomes)
    ended = Ended(known.trials, known.outcomes, known.over, publish, loop.seconds)
    return conclude(job, settings, observer, stop, ended, found=prepared.plan.found)


def notes(prepared: Prepared, parallel: int | None) -> list[str]:
    """Returns what a person should know of trials that are done at once.

    Args:
        prepared: the search.
        parallel: how many processes do trials at once; None: this one alone.
    """
    if parallel is None or parallel == 1:
        return []
    search, metrics = prepared.outline.search, prepared.outline.plan.evaluation.metrics
    told = []
    of_machine = [metric.name for metric in metrics if metric.metric.of_machine]
    if of_machine:
        told.append(
            f"{', '.join(of_machine)}: measured while other trials use the same cores; without --parallel they are true"
        )
    if search.algorithm.tpe is not None and search.parallel_trials < parallel:
        told.append(
            f"tpe learns from trials that have ended: search.parallelTrials lets it ask for {search.parallel_trials} at once, "
            f"and {parallel} processes may run"
        )
    return told


__all__ = ["Prepared", "SearchObserver", "SearchOutline", "notes", "prepare", "run"]
