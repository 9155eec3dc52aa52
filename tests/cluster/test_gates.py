"""Gates on a cluster: what the operator says of figures and constraints, and what is in the store afterwards."""

from __future__ import annotations

from typing import Any

import pytest
from tests.cluster.arena import Arena
from tests.cluster.jobs import Manifest, condition, holds, probe

UNITS: Manifest = {"name": "units", "custom": {"metric": "units"}}


def gate(constraint: Manifest, **more: Any) -> Manifest:
    """An evaluation by the plug-in's metric."""
    bound = {"metric": "units", **constraint}
    return {"after": ["input", "each"], "metrics": [UNITS], "constraints": [bound], **more}


@pytest.fixture(scope="module")
def judged(arena: Arena) -> Arena:
    """Three jobs that have ended: one that a gate stopped, one that only warns, one of two stages that is good enough."""
    light = {"resources": {"requests": {"cpu": "50m"}}}
    arena.start("stopped", probe(units=1), evaluation=gate({"min": 5}))
    arena.start("warned", probe(units=1), evaluation=gate({"min": 5}, onViolation="Warn"))
    arena.start(
        "good", probe("first", units=1), {**probe("second", units=3), **light}, evaluation=gate({"minImprovement": 3})
    )
    for name in ("stopped", "warned", "good"):
        arena.finish(name)
    return arena


def figures(arena: Arena, name: str) -> dict[str, float]:
    """What was measured, by the step that made it."""
    results = arena.status(name)["evaluation"]["results"]
    return {result["after"]: result["metrics"][0]["value"] for result in results}


class TestAGateThatFails:
    def test_ends_the_job_as_failed_and_nothing_is_published(self, judged: Arena) -> None:
        job = judged.job("stopped")

        assert holds("Failed")(job)
        assert condition(job, "Failed")["reason"] == "ConstraintsNotMet"
        assert judged.published("stopped") is None
        assert [key for key in judged.keys("out/stopped/") if "/.millwright/" not in f"/{key}"] == []

    def test_says_how_far_off_in_its_own_condition(self, judged: Arena) -> None:
        found = condition(judged.job("stopped"), "ConstraintsMet")

        assert (found["status"], found["reason"]) == ("False", "ConstraintsNotMet")
        assert "units is 1 units" in found["message"]
        assert "off by 4 units" in found["message"]

    def test_keeps_the_figures_in_status(self, judged: Arena) -> None:
        assert figures(judged, "stopped") == {"input": 0.0, "probe": 1.0}
        assert [entry["met"] for entry in judged.status("stopped")["evaluation"]["constraints"]] == [False]

    def test_is_tried_once_only(self, judged: Arena) -> None:
        assert judged.status("stopped")["attempts"] == 1
        assert len(judged.children("pods", "stopped", "stage")) == 1

    def test_warns_by_an_event(self, judged: Arena) -> None:
        told = [e for e in judged.events("stopped") if e["reason"] == "ConstraintsNotMet"]

        assert [event["type"] for event in told] == ["Warning"]
        assert "off by 4 units" in told[0]["note"]


class TestAGateThatWarns:
    def test_lets_the_job_complete_and_says_that_it_is_not_met(self, judged: Arena) -> None:
        job = judged.job("warned")

        assert holds("Complete")(job)
        assert holds("ConstraintsMet", "False")(job)
        assert judged.published("warned") is not None
        assert "ConstraintsNotMet" in {event["reason"] for event in judged.events("warned")}


class TestAModelThatIsGoodEnough:
    def test_is_published_and_says_so_with_figures_of_both_stages(self, judged: Arena) -> None:
        job = judged.job("good")

        assert holds("Complete")(job)
        assert holds("ConstraintsMet")(job)
        assert figures(judged, "good") == {"input": 0.0, "first": 1.0, "second": 3.0}
        assert judged.published("good") is not None

    def test_each_stage_measured_its_own(self, judged: Arena) -> None:
        pods = judged.children("pods", "good", "stage")

        logs = {
            pod["metadata"]["labels"]["millwright.dev/stage"]: judged.kubectl(
                "logs", pod["metadata"]["name"], "-n", judged.namespace
            )
            for pod in pods
        }
        assert {stage: log.count("units: measured") for stage, log in logs.items()} == {"0": 2, "1": 1}

    def test_a_new_bound_is_judged_by_what_is_known_and_the_published_model_stays(self, judged: Arena) -> None:
        before = judged.published("good")
        light = {"resources": {"requests": {"cpu": "50m"}}}
        output = {"s3": {"uri": f"s3://{judged.bucket}/out/good/"}}

        judged.start(
            "stricter", probe("first", units=1), {**probe("second", units=3), **light}, output=output,
            evaluation=gate({"min": 9}),
        )  # fmt: skip

        ended = judged.finish("stricter")
        assert condition(ended, "Failed")["reason"] == "ConstraintsNotMet"
        assert {entry["cache"] for entry in ended["status"]["passes"]} == {"Hit"}
        assert judged.published("good") == before
