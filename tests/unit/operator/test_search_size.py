"""The largest searches: status keeps within its 64 KiB, and what the course needs is still in it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.unit.operator.simulated import searching

from millwright_api import points
from millwright_api.search import MAX_PARAMETERS, MAX_TRIALS, Point, Search
from millwright_api.status import STATUS_BYTES, Condition, PassStatus, SearchStatus, Status
from millwright_api.v1alpha1 import Spec
from millwright_operator.fitting import fitted, size
from millwright_operator.searchstages import ENV_BYTES, conclusion
from millwright_operator.trialstatus import asked, ended, told
from millwright_search.trials import Course, Outcome, Over, Trial

LONG = [f"{n:02d}" + "ü" * 62 for n in range(32)]


def spec(parameters: list[dict[str, Any]], **more: Any) -> Spec:
    body = searching(parameters=parameters, maxTrials=MAX_TRIALS, **more)
    return Spec.model_validate(body)


def texts() -> tuple[Spec, list[Point]]:
    """As many choices of texts as can be, as long as can be."""
    found = spec([{"pass": "genai", "option": f"option{n:02d}", "choice": LONG} for n in range(MAX_PARAMETERS)])
    return found, [tuple(LONG[(number + n) % 32] for n in range(MAX_PARAMETERS)) for number in range(MAX_TRIALS)]


def numbers() -> tuple[Spec, list[Point]]:
    """As many numbers as can be, with all digits that they have."""
    bounds = {"min": 1e-7, "max": 1.0}
    found = spec([{"pass": "genai", "option": f"option{n:02d}", "logUniform": bounds} for n in range(MAX_PARAMETERS)])
    return found, [
        tuple(float(f"{1e-5 / (1 + number + n):.6g}") for n in range(MAX_PARAMETERS)) for number in range(MAX_TRIALS)
    ]


def outcome(number: int, **changes: Any) -> Outcome:
    kinds = (
        Outcome("Succeeded", values=(0.123457,)),
        Outcome("ConstraintsNotMet", values=(0.123457,), violated=16),
        Outcome("Failed", reason="GPUMemoryInsufficient", message="x" * 999, failed_segment=3),
    )
    return kinds[number % 3]


def status(given: Spec, at: list[Point], over: bool = True) -> tuple[Status, Course]:
    """A status that is as full as can be besides."""
    trials = {number: Trial(number, point) for number, point in enumerate(at)}
    outcomes = {number: outcome(number) for number in trials}
    end = Over("AllTrialsDone", "all trials have ended", 0, (0,)) if over else None
    course = Course(trials, outcomes, (), end)
    conditions = [
        Condition(
            type=kind, status="True", reason="R" * 128, message="ü" * 512, last_transition_time="2026-11-21T08:00:00Z",
            observed_generation=1,
        )
        for kind in ("Ready", "Validated", "Running", "Suspended", "Reconciling", "ConstraintsMet")
    ]  # fmt: skip
    passes = [
        PassStatus(
            name=f"{n:02d}" + "p" * 61, phase="Succeeded", stage=1, metrics={f"m{m}" * 20: 1 / 3 for m in range(8)}
        )
        for n in range(32)
    ]
    search = told(given, course, frozenset(), None)
    return Status(observed_generation=1, conditions=conditions, passes=passes, search=search), course


@pytest.mark.parametrize("make", [texts, numbers])
class TestTwoHundredTrialsOfTwelveParameters:
    def test_fit_into_a_status(self, make: Any) -> None:
        whole, _ = status(*make())

        assert size(fitted(whole)) <= STATUS_BYTES

    def test_keep_all_that_the_course_needs(self, make: Any) -> None:
        given, at = make()
        whole, course = status(given, at)
        raw = json.loads(fitted(whole).model_dump_json(exclude_none=True))

        known = Status.model_validate(raw).search
        assert known is not None
        assert given.search is not None
        trials = asked(given.search, known)
        assert {number: trial.at for number, trial in trials.items()} == dict(enumerate(at))
        essence = [(o.phase, o.values, o.violated, o.failed_segment) for o in ended(known, trials).values()]
        assert essence == [(o.phase, o.values, o.violated, o.failed_segment) for o in course.outcomes.values()]

    def test_each_of_them_is_no_longer_than_the_schema_allows(self, make: Any) -> None:
        whole, _ = status(*make())

        assert whole.search is not None
        assert SearchStatus.model_validate(whole.search.model_dump()) == whole.search

    def test_fit_into_a_variable_of_the_environment(self, make: Any) -> None:
        given, at = make()
        whole, _ = status(given, at)

        text = conclusion(given, fitted(whole).search)

        assert text is not None
        assert len(text.encode()) <= ENV_BYTES
        assert given.search is not None
        assert [read(given.search, trial["at"]) for trial in json.loads(text)["trials"]] == at


def read(search: Search, at: str | list[Any]) -> Point | None:
    return points.read(search, at) if isinstance(at, str) else tuple(at)


class TestWhatGoesFirst:
    def full(self) -> Status:
        given, at = numbers()
        names = [f"{n:02d}" + "s" * 20 for n in range(4)]
        found, _ = status(given, at)
        assert found.search is not None
        trials = [t.model_copy(update={"figures": dict.fromkeys(names, 0.123457)}) for t in found.search.trials]
        return found.model_copy(update={"search": found.search.model_copy(update={"trials": trials})})

    def test_messages_then_metrics_then_reasons_then_figures_of_the_oldest(self) -> None:
        small = fitted(self.full())

        assert small.search is not None
        assert size(small) <= STATUS_BYTES
        assert {trial.message for trial in small.search.trials} == {""}
        assert {trial.reason for trial in small.search.trials} == {""}
        kept = [bool(trial.figures) for trial in small.search.trials]
        assert kept == sorted(kept)

    def test_values_of_trials_that_have_ended_are_shortened_oldest_first_and_the_best_last(self) -> None:
        given, at = texts()
        found = status(given, at[:60])[0].search
        assert found is not None

        short = [trial.at.startswith("#") for trial in found.trials]
        assert short[0] is False
        assert short[1:] == sorted(short[1:], reverse=True)
        assert 0 < sum(short) < 60
