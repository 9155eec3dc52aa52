"""What is known of a search → what follows: trials to ask for, segments to start, the end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from millwright_api.quantities import figure
from millwright_api.v1alpha1 import Spec
from millwright_search import space, verdict
from millwright_search.ask import ask, needs
from millwright_search.segments import Cutter
from millwright_search.trials import Course, Outcome, Over, OverReason, Seen, Segment, Trial


def course(
    spec: Spec,
    trials: Mapping[int, Trial],
    outcomes: Mapping[int, Outcome],
    seen: Mapping[str, Seen],
    *,
    limit: int,
    late: bool = False,
) -> Course:
    """Returns what follows from what is known.

    Level-triggered: called again with what it returned, and nothing new seen, it returns the same. A segment that ended and
    is not seen any more (its Job was deleted) is started again where a trial still needs it: the cache has its result.

    Args:
        spec: the job's, with a search.
        trials: those that were asked for, by number; empty at the start.
        outcomes: of those that ended, by number; an end is for ever.
        seen: segment's key → what is known of it; those that nobody started are not in it.
        limit: how many segments may be Active at once.
        late: whether the search's time is up: no trial is asked for any more; those asked for are carried through.

    A segment that fails ends every trial that needs it, and counts once against maxFailedTrials. When there are more, the
    search is over at once: what is Active then is for the caller to stop.

    Trials are asked for ahead, as far as `ask.needs` allows, while there is a slot that those asked for cannot fill: they
    wait for a segment that they share.
    """
    now = _Known(spec, trials, outcomes, seen)
    for number in sorted(now.trials.keys() - now.outcomes.keys()):
        now.follow(now.trials[number])
    free = max(0, limit - sum(one.state == "Active" for one in seen.values()))
    while not now.too_many_failed() and len(now.wanted) < free and now.may_ask(late):
        now.ask()
    over = now.over(late)
    start = () if over else tuple(now.wanted.values())[:free]
    return Course(now.trials, now.outcomes, start, over)


class _Known:
    """One look at a search, which grows by what follows from it: ends of trials, segments that are wanted, trials.

    Attributes:
        wanted: key → segment that a trial needs next and nobody started, the earliest trial's first.
        failed: key → the end that a failed segment is for each trial that needs it.
    """

    def __init__(
        self, spec: Spec, trials: Mapping[int, Trial], outcomes: Mapping[int, Outcome], seen: Mapping[str, Seen]
    ) -> None:
        assert spec.search is not None  # the caller has one
        self.spec, self.search, self.seen = spec, spec.search, seen
        self.trials, self.outcomes, self.cutter = dict(trials), dict(outcomes), Cutter(spec)
        self.wanted: dict[str, Segment] = {}
        self.failed: dict[str, Outcome] = {}
        for number, outcome in self.outcomes.items():
            if outcome.failed_segment is not None:
                path = self.cutter.segments(self.trials[number].at)
                self.failed[path[outcome.failed_segment].key] = outcome

    def follow(self, trial: Trial) -> None:
        """Follows a trial through its segments to where it stands: at its end, at one that runs, or at one that is wanted."""
        path = self.cutter.segments(trial.at)
        # Who has come further needs no earlier segment, but for the figures that earlyStopping keeps.
        reached = max((segment.index for segment in path if segment.key in self.seen), default=0)
        figures: dict[str, float] = {}
        for segment in path if self.search.early_stopping else path[reached:]:
            seen, failed = self.seen.get(segment.key), self.failed.get(segment.key)
            if failed is None and seen is not None and seen.state == "Failed":
                failed = Outcome("Failed", failed_segment=segment.index, reason=seen.reason, message=seen.message)
            if failed is not None:
                self._end(trial, failed, segment)
            elif seen is None:
                self.wanted.setdefault(segment.key, segment)
            elif seen.state == "Succeeded":
                figures |= self._figures(segment, seen)
                if segment.last:
                    self._end(trial, self._finished(segment, seen, figures), segment)
                elif why := verdict.pruned(self.search, trial.number, figures, self.outcomes):
                    value = list(figures.values())[-1]
                    self._end(trial, Outcome("Pruned", (value,), figures, message=why), segment)
            if trial.number in self.outcomes or seen is None or seen.state != "Succeeded":
                return

    def may_ask(self, late: bool) -> bool:
        """Whether another trial can be asked for now: there may be one, and what it depends on has ended."""
        number = len(self.trials)
        return self._last(late) is None and all(at in self.outcomes for at in range(needs(self.search, number)))

    def ask(self) -> None:
        """Asks for the next trial and follows it."""
        number = len(self.trials)
        at = ask(self.search, number, self.trials, self.outcomes)
        assert at is not None  # may_ask has counted
        self.trials[number] = Trial(number, at)
        self.follow(self.trials[number])

    def too_many_failed(self) -> bool:
        """Whether more segments failed than are tolerated; a failure of nobody knows which segment counts by itself."""
        unknown = [one for one in self._of("Failed") if one.failed_segment is None]
        return len(self.failed) + len(unknown) > self.search.max_failed_trials

    def over(self, late: bool) -> Over | None:
        """The search's end; None while there is something to do or to wait for."""
        if self.too_many_failed():
            limit = self.search.max_failed_trials
            return Over("TooManyFailedTrials", f"{self._failures()}; maxFailedTrials is {limit}", None)
        reason = self._last(late)
        if reason is None or self.outcomes.keys() < self.trials.keys():
            return None
        best = verdict.best(self.search, self.outcomes)
        if best is None:
            return Over("NoTrialSucceeded", self._nothing(), None)
        why = {
            "AllTrialsDone": "all trials have ended",
            "SpaceExhausted": "every point of the space was tried",
            "OutOfTime": "the time is up",
        }[reason]
        return Over(reason, f"{why}: {self._counts()}", best, verdict.front(self.search, self.outcomes))

    def _last(self, late: bool) -> OverReason | None:
        """Why no further trial comes; None: one may."""
        number, size = len(self.trials), space.size(self.search)
        if number >= self.search.max_trials:
            return "AllTrialsDone"
        if size is not None and number >= size:
            return "SpaceExhausted"
        return "OutOfTime" if late else None

    def _end(self, trial: Trial, outcome: Outcome, segment: Segment) -> None:
        self.outcomes[trial.number] = outcome
        if outcome.phase == "Failed":
            self.failed.setdefault(segment.key, outcome)

    def _figures(self, segment: Segment, seen: Seen) -> dict[str, float]:
        """What earlyStopping compares, in the recipe's order."""
        found = {step: figure(seen.figures.get(step)) for step in segment.steps if self.search.early_stopping}
        return {step: value for step, value in found.items() if value is not None}

    def _finished(self, segment: Segment, seen: Seen, figures: Mapping[str, float]) -> Outcome:
        """The end of a trial that was measured."""
        assert self.spec.evaluation is not None  # the contract: search has one
        metrics = [objective.metric for objective in self.search.objectives]
        found = dict(zip(metrics, map(figure, seen.values), strict=False))
        missing = [metric for metric in metrics if found.get(metric) is None]
        values = () if missing else tuple(found.values())
        if seen.violated and self.spec.evaluation.on_violation == "Fail":
            return Outcome("ConstraintsNotMet", values, figures, seen.violated, message=seen.message)
        if missing:
            message = f"no number came out for {' and '.join(missing)}"
            return Outcome("Failed", (), figures, 0, segment.index, "NoFigure", message)
        return Outcome("Succeeded", values, figures, seen.violated, message=seen.message)

    def _of(self, phase: str) -> list[Outcome]:
        return [outcome for _, outcome in sorted(self.outcomes.items()) if outcome.phase == phase]

    def _counts(self) -> str:
        words = {
            "Succeeded": "succeeded",
            "ConstraintsNotMet": "did not meet the constraints",
            "Pruned": "ended early",
            "Failed": "failed",
        }
        counts = {told: len(self._of(phase)) for phase, told in words.items()}
        told = ", ".join(f"{count} {word}" for word, count in counts.items() if count)
        return f"of {_trials(len(self.outcomes))} {told}"

    def _failures(self) -> str:
        failed = self._of("Failed")
        (reason, count), *others = Counter(outcome.reason for outcome in failed).most_common()
        first = next(outcome for outcome in failed if outcome.reason == reason)
        often = f"most often ({count}) {reason}" if others else reason
        return f"{len(failed)} of {_trials(len(self.outcomes))} failed, {often}: {first.message}"

    def _nothing(self) -> str:
        """Why there is no best trial, for people."""
        if not self.outcomes:
            return "the time was up before the first trial"
        told = [self._failures()] if self._of("Failed") else []
        missed = {number: one for number, one in self.outcomes.items() if one.phase == "ConstraintsNotMet"}
        if missed:
            number, nearest = min(missed.items(), key=lambda item: (item[1].violated, item[0]))
            which = f"nearest is trial {number}, which misses {nearest.violated}"
            why = f": {nearest.message}" if nearest.message else ""
            told = [f"{len(missed)} of {_trials(len(self.outcomes))} did not meet the constraints; {which}{why}", *told]
        return "; ".join(told)


def _trials(count: int) -> str:
    return f"{count} trial{'s' if count != 1 else ''}"
