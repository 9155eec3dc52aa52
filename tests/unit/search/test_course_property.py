"""Any order of ends, any loss of what has ended, any number of slots, a restart at any point: the same search."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.search.simulated import LEARNING_RATES, VARIANTS, World, spec

from millwright_api.search import Point
from millwright_api.v1alpha1 import Spec
from millwright_search.trials import Outcome, Segment, Trial

FEW = VARIANTS | {"choice": [16, 32, 64]}
RANGE = {"pass": "finetune", "option": "learningRate", "logUniform": {"min": 1e-5, "max": 1e-3}}
CONDITIONAL: tuple[dict[str, Any], ...] = (
    {"oneOf": ["lora", "qlora"]},
    {"pass": "lora", "option": "r", "choice": [8, 16]},
    {"pass": "prune", "onOff": True},
    FEW,
)
STEPS = ("prepare", "lora", "qlora", "prune", "genai")
EARLY = {"median": {"startupTrials": 2}}

JOBS = {
    "grid": spec(LEARNING_RATES, FEW, algorithm={"grid": {}}, maxTrials=6),
    "random, more trials than points": spec(LEARNING_RATES, FEW, algorithm={"random": {"seed": 3}}, maxTrials=9),
    "tpe": spec(RANGE, FEW, algorithm={"tpe": {"startupTrials": 3}}, maxTrials=7, parallelTrials=2),
    "tpe, conditional": spec(
        *CONDITIONAL, steps=STEPS, algorithm={"tpe": {"startupTrials": 3}}, maxTrials=8, parallelTrials=3
    ),
    "tpe, several objectives": spec(
        LEARNING_RATES, FEW, metrics=2, algorithm={"tpe": {"startupTrials": 2}}, maxTrials=6, parallelTrials=2
    ),
    "early stopping": spec(
        *CONDITIONAL, steps=STEPS, algorithm={"grid": {}}, maxTrials=9, parallelTrials=2, earlyStopping=EARLY
    ),
    "early stopping, tpe": spec(
        RANGE, FEW, algorithm={"tpe": {"startupTrials": 2}}, maxTrials=6, parallelTrials=3, earlyStopping=EARLY
    ),
}


def number(of: Any) -> float:
    """Something between 0 and 1 that looks arbitrary and is always the same."""
    return sum(ord(letter) * (place + 7) for place, letter in enumerate(json.dumps(of))) * 0.6180339887 % 1


def world(job: Spec, limit: int, failing: int) -> World:
    """A world in which, of a hundred pieces of work, so many fail, and some models miss a constraint."""

    def result(at: Point) -> tuple[float | None, ...]:
        assert job.search is not None
        return tuple(
            None if number([at, "lost"]) < 0.05 else number([at, one]) for one in range(len(job.search.objectives))
        )

    def after(segment: Segment) -> dict[str, float]:
        return {step: number([segment.at, step]) for step in segment.steps}

    def fails(segment: Segment) -> str | None:
        return "PassFailed" if number([segment.at, segment.steps]) * 100 < failing else None

    return World(job, result, limit, after, fails)


def restarted(of: World) -> None:
    """Keeps what a status keeps, and loses the order of its mappings."""
    of.trials = {
        at: Trial(at, tuple(json.loads(json.dumps(of.trials[at].at)))) for at in sorted(of.trials, reverse=True)
    }
    of.outcomes = {
        at: Outcome(
            one.phase,
            tuple(json.loads(json.dumps(one.values))),
            dict(sorted(json.loads(json.dumps(one.figures)).items())),
            one.violated,
            one.failed_segment,
            one.reason,
            one.message,
        )
        for at, one in sorted(of.outcomes.items(), reverse=True)
    }


def story(of: World) -> Any:
    """What must be the same whatever happened on the way. After too many failures: only that there were."""
    assert of.over is not None
    if of.over.reason == "TooManyFailedTrials":
        return of.over.reason
    return of.points(), {at: of.outcomes[at] for at in sorted(of.outcomes)}, of.over


@pytest.mark.parametrize("name", JOBS)
@given(data=st.data())
@settings(max_examples=12, deadline=None)
def test_whatever_happens_on_the_way_the_search_is_the_same(name: str, data: st.DataObject) -> None:
    failing = data.draw(st.sampled_from([0, 10, 30]), label="failing")
    plain = world(JOBS[name], 1, failing)
    plain.run()
    other = world(JOBS[name], data.draw(st.integers(1, 4), label="limit"), failing)

    for _ in range(400):
        if other.look().over:
            break
        deed = data.draw(st.sampled_from(["end", "end", "end two", "lose", "restart", "look"]), label="deed")
        ended = [key for key, one in other.seen.items() if one.state != "Active"]
        if deed == "restart":
            restarted(other)
        elif deed == "lose" and ended:
            del other.seen[data.draw(st.sampled_from(ended), label="lost")]
        for _ in range({"end": 1, "end two": 2}.get(deed, 0)):
            if other.active:
                other.end(data.draw(st.sampled_from(list(other.active)), label="key"))
    else:
        other.run()

    assert story(other) == story(plain)


@pytest.mark.parametrize("name", JOBS)
@pytest.mark.parametrize("limit", [1, 3])
def test_undisturbed_no_piece_of_work_is_started_twice(name: str, limit: int) -> None:
    undisturbed = world(JOBS[name], limit, 10)

    undisturbed.run()

    keys = [segment.key for segment in undisturbed.started]
    assert len(keys) == len(set(keys))


@pytest.mark.parametrize("name", JOBS)
def test_what_is_over_is_over_in_every_later_look(name: str) -> None:
    ended = world(JOBS[name], 2, 10)
    ended.run()
    before = story(ended)
    ended.seen.clear()
    restarted(ended)

    assert ended.look().start == ()
    assert story(ended) == before
