"""The end of a search: its best model is published, the others that are wanted beside it, and all that is known of all trials.

Nothing is stored while trials run but what any job stores: results and measurements in the cache. From these everything is
found again by the trials' own keys, so a search that is concluded twice ends twice in the same place.

First the other models are published, each in a place of its own; then the best one, with trials.jsonl beside it, and its
manifest last of all: who reads an output that says so reads a whole search.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from millwright_api import points
from millwright_api.errors import HandoverMissing
from millwright_api.report import ConstraintReport, EvaluationReport, PassReport, Progress, RunReport
from millwright_api.search import Point
from millwright_api.v1alpha1 import OptimizationJob, Output
from millwright_runner import pipeline, registry
from millwright_runner.beside import Chosen
from millwright_runner.passes import StopFlag
from millwright_runner.pipeline import Ending
from millwright_runner.plan import Found, Outline, Plan, Settings, look_up, make_plan, open_output, outline
from millwright_runner.published import read_published
from millwright_runner.recipe import Recipe, searched
from millwright_runner.steps import Observer
from millwright_runner.stores.locations import below
from millwright_runner.trials import point_of, search_of, trial_job
from millwright_runner.trials_told import as_lines, labelled, told
from millwright_search import verdict
from millwright_search.trials import Outcome, Over, Trial


@dataclass(frozen=True)
class Ended:
    """A search that is over.

    Attributes:
        trials: all of them, by number.
        outcomes: how they ended, by number.
        over: why it is over; which trial is best.
        publish: whose models are published, the best one included.
        seconds: how long trials took, as far as that is known.
    """

    trials: Mapping[int, Trial]
    outcomes: Mapping[int, Outcome]
    over: Over
    publish: tuple[int, ...]
    seconds: Mapping[int, float] = field(default_factory=dict)

    @classmethod
    def of(cls, job: OptimizationJob, said: Mapping[str, Any]) -> Ended:
        """Reads what the operator says: see `names.ENV_TRIALS`.

        Raises:
            ValueError, KeyError, TypeError: it is no such thing; the operator is at fault.
        """
        search = search_of(job)
        trials = {one["number"]: Trial(one["number"], _point(job, one["at"])) for one in said["trials"]}
        outcomes = {
            one["number"]: Outcome(
                one["phase"],
                tuple(one.get("values", ())),
                reason=one.get("reason", ""),
                message=one.get("message", ""),
            )
            for one in said["trials"]
        }
        front = verdict.front(search, outcomes)
        over = Over(said["reason"], said.get("message", ""), said["best"], front)
        return cls(trials, outcomes, over, tuple(said["publish"]))


def conclude(
    job: OptimizationJob,
    settings: Settings,
    observer: Observer,
    stop: StopFlag,
    ended: Ended,
    *,
    found: Found | None = None,
    makes: bool = True,
) -> RunReport:
    """Publishes what a search has found.

    Args:
        job: the manifest, with its search.
        settings: where.
        observer: told what happens to the best trial's model.
        stop: asks for a stop.
        ended: how the search went; it has a best trial.
        found: what the job names, where that is known.
        makes: whether what is not in the cache any more is made, and measured, again.

    Raises:
        HandoverMissing: a model that is to be published, or what it was judged by, is not in the cache any more.
        OutputExists: the output holds another result.
        MillwrightError: the run did not end in a model.
    """
    best = ended.over.best
    if best is None:
        raise TypeError("a search without a best trial publishes nothing")
    found = found or look_up(job, settings)
    ends = _Ends(job, settings, ended, found, makes)
    plan = ends.plan(best, job.spec.output)
    others = {number: ends.output(number) for number in ended.publish if number != best}
    places = {best: found.output.uri} | {number: open_output(place, settings).uri for number, place in others.items()}
    rows = told(job, found, ended.trials, ended.outcomes, over=ended.over, places=places)
    for number, place in others.items():
        stop.check("before another model of the search is published")
        pipeline.run(ends.plan(number, place), settings, Silent(), stop, ending=ends.ending(number))
    ending = replace(ends.ending(best), document=_document(job, rows, ended), trials=as_lines(rows))
    return pipeline.run(plan, settings, observer, stop, ending=ending)


class Silent:
    """An observer that says nothing: of the models that are published besides."""

    def planned(self, plan: Plan) -> None:
        """Satisfies `Observer`."""

    def progress(self, progress: Progress) -> None:
        """Satisfies `Observer`."""

    def finished(self, report: PassReport) -> None:
        """Satisfies `Observer`."""

    def measured(self, report: EvaluationReport) -> None:
        """Satisfies `Observer`."""

    def judged(self, reports: list[ConstraintReport]) -> None:
        """Satisfies `Observer`."""


@dataclass(frozen=True)
class _Ends:
    """What the runs that publish a search's models have in common."""

    job: OptimizationJob
    settings: Settings
    ended: Ended
    found: Found
    makes: bool

    def plan(self, number: int, output: Output) -> Plan:
        """Returns the plan that publishes a trial's model."""
        trial = trial_job(self.job, self.ended.trials[number].at)
        trial = trial.model_copy(update={"spec": trial.spec.model_copy(update={"output": output})})
        found = self.found
        if output is not self.job.spec.output:
            found = replace(found, output=open_output(output, self.settings))
        drawn = outline(trial, registry.bind(trial), found, anywhere=True, checked=True)
        if not self.makes:
            drawn = _known(drawn, number)
        plan = make_plan(trial, self.settings, found, drawn=drawn)
        if not self.makes and any(not step.hit for step in plan.steps):
            raise HandoverMissing(
                f"the model of trial {number} is not in the cache any more",
                where="spec.search",
                hint="run the job again",
            )
        return plan

    def output(self, number: int) -> Output:
        """Returns where a model besides the best one goes. What an earlier end of this very search has left there goes."""
        output = _below(self.job.spec.output, f"trials/{number:03}")
        there = read_published(open_output(output, self.settings))
        own = there is not None and not self._recipe().differences(searched(there))
        return output.model_copy(update={"replace": output.replace or own})

    def ending(self, number: int) -> Ending:
        """Returns what is said of a trial's model besides."""
        chosen = Chosen(
            job=self.job,
            number=number,
            at=labelled(search_of(self.job), self.ended.trials[number].at),
            phases=Counter(outcome.phase for outcome in self.ended.outcomes.values()),
            best=number == self.ended.over.best,
        )
        return Ending(chosen, meta={"search": {"recipe": self._recipe().as_data(), "trial": number}})

    def _recipe(self) -> Recipe:
        spec, found = self.job.spec, self.found
        return Recipe.of(registry.bind(self.job), spec.target, found.model.digest, found.digests, spec.search)


def _known(drawn: Outline, number: int) -> Outline:
    """An outline without what would have to be measured.

    Raises:
        HandoverMissing: the trial is judged by it.
    """
    plan, last = drawn.evaluation, len(drawn.steps) - 1
    needed = {last, *plan.compared(last)}
    lost = next((point for point in plan.points if point.missing and point.index in needed), None)
    if lost is not None:
        raise HandoverMissing(
            f"what was measured of trial {number} (after {lost.after}) is not in the cache any more",
            where="spec.search",
            hint="run the job again",
        )
    return replace(drawn, evaluation=replace(plan, points=[point for point in plan.points if not point.missing]))


def _document(job: OptimizationJob, rows: list[dict[str, Any]], ended: Ended) -> dict[str, Any]:
    """What report.json says of a search."""
    search, over = search_of(job), ended.over
    units = {name: metric["unit"] for row in rows for name, metric in row["metrics"].items()}
    return {
        "objectives": [
            {"metric": one.metric, "direction": one.direction, "unit": units.get(one.metric, "")}
            for one in search.objectives
        ],
        "parameters": [parameter.label for parameter in search.parameters],
        "reason": over.reason,
        "message": over.message,
        "best": over.best,
        "front": list(over.front),
        "keep": search.keep,
        "trials": [
            row | ({"seconds": round(ended.seconds[row["number"]], 3)} if row["number"] in ended.seconds else {})
            for row in rows
        ],
    }


def _below(output: Output, folder: str) -> Output:
    """Returns a place inside an output."""
    place: dict[str, Any]
    if output.s3 is not None:
        place = {"s3": below(output.s3, folder)}
    elif output.azure_blob is not None:
        place = {"azure_blob": below(output.azure_blob, folder)}
    elif output.volume is not None:
        path = f"{output.volume.path}/{folder}".lstrip("/")
        place = {"volume": output.volume.model_copy(update={"path": path})}
    else:
        place = {"path": f"{output.path}/{folder}"}
    return output.model_copy(update=place)


def _point(job: OptimizationJob, at: Any) -> Point:
    if isinstance(at, str):
        found = points.read(search_of(job), at)
        if found is None:
            raise ValueError(f"{at!r} is no point of this search")
        return found
    return point_of(job, at)
