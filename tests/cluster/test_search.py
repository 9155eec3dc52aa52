"""A search on a cluster: its trials as Jobs, what they share done once, the same trials as on one machine, and through what
happens to a cluster."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import datetime
from typing import Any

import pytest
from tests.cluster.arena import Arena
from tests.cluster.cluster import PROJECT, Cluster
from tests.cluster.conftest import OperatorPods
from tests.cluster.jobs import Manifest, condition, holds, lora, probe, until

OWN = {"resources": {"requests": {"cpu": "100m", "memory": "256Mi"}}}
GATE = {"metric": "perplexity", "max": 600}
SEARCH: Manifest = {
    "algorithm": {"tpe": {"seed": 7, "startupTrials": 3}},
    "parameters": [
        {"pass": "lora", "option": "training.learningRate", "choice": [1e-3, 1e-2]},
        {"pass": "genai", "option": "blockSize", "choice": [16, 32, 64]},
    ],
    "objectives": [{"metric": "perplexity", "direction": "Minimize"}],
    "maxTrials": 6,
    "parallelTrials": 2,
}
EVALUATION: Manifest = {
    "data": "train",
    "after": ["input", "last"],
    "metrics": [{"perplexity": {}}, {"sizeOnDisk": {}}],
    "constraints": [GATE],
}
TOGETHER = 600.0
"""Seconds after which a test that hangs is ended."""


def rows(arena: Arena, artifact: Manifest) -> list[dict[str, Any]]:
    """The lines of trials.jsonl beside a published model."""
    key = artifact["uri"].removeprefix(f"s3://{arena.bucket}/").rstrip("/") + "/trials.jsonl"
    text = arena.s3.get_object(Bucket=arena.bucket, Key=key)["Body"].read().decode()
    return [json.loads(line) for line in text.splitlines()]


def seconds(job: Manifest) -> float:
    """How long a Job of Kubernetes took."""
    start, end = (datetime.fromisoformat(job["status"][key]) for key in ("startTime", "completionTime"))
    return (end - start).total_seconds()


def print_ratio(arena: Arena, name: str, parallel: int) -> None:
    """Prints how long the trials took, by the least that their Jobs could have taken in so many lanes."""
    jobs = arena.children("jobs", name, "trial")
    starts = [datetime.fromisoformat(job["status"]["startTime"]) for job in jobs]
    ends = [datetime.fromisoformat(job["status"]["completionTime"]) for job in jobs]
    wall, work = (max(ends) - min(starts)).total_seconds(), sum(map(seconds, jobs))
    ratio = wall / (work / parallel)
    sys.stderr.write(f"\n{len(jobs)} Jobs: {wall:.0f} s of wall, {work:.0f} s of work: ratio {ratio:.3f}\n")


@pytest.fixture(scope="module")
def searched(trainable: Arena) -> Arena:
    """A search of six trials with real models that has ended: two learning rates, three int4 variants of each."""
    passes = (lora(), {"merge": {}}, {"genai": {"precision": "int4"}, **OWN})
    trainable.start("search", *passes, search=SEARCH, evaluation=EVALUATION)
    trainable.complete("search", TOGETHER)
    print_ratio(trainable, "search", SEARCH["parallelTrials"])
    return trainable


@pytest.fixture(scope="module")
def here(searched: Arena, installed: Cluster, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """The trials of the same manifest, run on this machine."""
    folder, s3 = tmp_path_factory.mktemp("here"), installed.s3
    job = searched.job("search")
    output = {"s3": job["spec"]["output"]["s3"] | {"uri": f"s3://{searched.bucket}/out/here/", "endpoint": s3.endpoint}}
    spec = job["spec"] | {"output": output}
    body = {key: job[key] for key in ("apiVersion", "kind")} | {"metadata": {"name": "here"}, "spec": spec}
    file = folder / "job.json"
    file.write_text(json.dumps(body))
    own = s3.environment | {"AWS_ENDPOINT_URL_S3": s3.endpoint, "MILLWRIGHT_HOME": str(folder / "home")}
    done = subprocess.run(
        [sys.executable, "-m", "millwright_runner", "run", str(file), "--json"],
        env={**os.environ, **own}, cwd=PROJECT, capture_output=True, text=True, timeout=TOGETHER, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return rows(searched, json.loads(done.stdout)["artifact"])


class TestASearch:
    def test_ends_complete_with_all_of_its_trials_told(self, searched: Arena) -> None:
        status = searched.status("search")

        assert status["search"]["summary"] == "6/6"
        assert status["search"]["reason"] in ("AllTrialsDone", "SpaceExhausted")
        assert [trial["number"] for trial in status["search"]["trials"]] == list(range(6))
        assert [stage["phase"] for stage in status["stages"]] == ["Succeeded", "Succeeded"]
        assert condition(searched.job("search"), "ConstraintsMet")["status"] == "True"

    def test_trains_each_learning_rate_once(self, searched: Arena) -> None:
        jobs = searched.children("jobs", "search", "trial")

        steps = [
            {e["name"]: e.get("value") for e in job["spec"]["template"]["spec"]["containers"][0]["env"]}[
                "MILLWRIGHT_STEPS"
            ]
            for job in jobs
        ]
        assert sorted(steps) == ["0:2"] * 2 + ["2:3"] * 6

    def test_publishes_the_best_and_lists_all(self, searched: Arena) -> None:
        status = searched.status("search")
        (artifact,) = status["artifacts"]

        found = rows(searched, artifact)

        assert [row["number"] for row in found] == list(range(6))
        best = min(found, key=lambda row: row["values"]["perplexity"])
        assert [row["number"] for row in found if row["best"]] == [best["number"]]
        assert status["search"]["best"]["number"] == best["number"]
        assert artifact["sha256"] == best["digest"]

    def test_has_the_same_trials_and_the_same_best_as_on_one_machine(
        self, searched: Arena, here: list[dict[str, Any]]
    ) -> None:
        (artifact,) = searched.status("search")["artifacts"]

        there = rows(searched, artifact)

        assert [(row["number"], row["at"], row["phase"]) for row in there] == [
            (row["number"], row["at"], row["phase"]) for row in here
        ]
        assert [row["number"] for row in there if row["best"]] == [row["number"] for row in here if row["best"]]

    def test_its_events_tell_of_the_best_and_the_end(self, searched: Arena) -> None:
        assert {"TrialEnded", "SearchOver", "Succeeded"} <= {event["reason"] for event in searched.events("search")}

    def test_its_pods_are_as_restricted_as_any(self, searched: Arena) -> None:
        for pod in searched.children("pods", "search", "trial"):
            assert pod["spec"]["securityContext"]["runAsNonRoot"] is True
            assert pod["spec"]["automountServiceAccountToken"] is False


def small(units: list[int], **search: Any) -> Manifest:
    """A search over how many units of work the plug-in does; the fewest that are enough are best."""
    body: Manifest = {
        "algorithm": {"random": {"seed": 3}},
        "parameters": [{"pass": "probe", "option": "units", "choice": units}],
        "objectives": [{"metric": "units", "direction": "Minimize"}],
        "maxTrials": len(units),
        "parallelTrials": 2,
    }
    evaluation = {"metrics": [{"name": "units", "custom": {"metric": "units"}}]}
    gate = [{"metric": "units", "min": search.pop("least", 0)}]
    return {"search": body | search, "evaluation": evaluation | {"constraints": gate}}


def points(arena: Arena, name: str) -> list[tuple[int, str, str]]:
    trials = arena.status(name)["search"]["trials"]
    return [(trial["number"], trial["at"], trial["phase"]) for trial in trials]


@pytest.fixture(scope="module")
def quiet(arena: Arena) -> list[tuple[int, str, str]]:
    """The trials of a small search that nothing has happened to."""
    arena.start("quiet", probe(), **small([4, 8, 12], least=6))
    arena.complete("quiet")
    return points(arena, "quiet")


class TestWhatHappensToASearch:
    def test_a_trial_that_does_not_meet_the_constraints_is_not_the_best(
        self, arena: Arena, quiet: list[tuple[int, str, str]]
    ) -> None:
        status = arena.status("quiet")

        assert sorted((at, phase) for _, at, phase in quiet) == [
            ("[12]", "Succeeded"),
            ("[4]", "ConstraintsNotMet"),
            ("[8]", "Succeeded"),
        ]
        assert status["search"]["best"]["parameters"] == {"probe.units": "8"}
        assert arena.published("quiet") is not None

    @pytest.mark.alone
    def test_an_operator_that_is_killed_goes_on_with_the_same_trials(
        self, arena: Arena, quiet: list[tuple[int, str, str]], operator_pods: OperatorPods
    ) -> None:
        arena.start("killed", probe(mark="killed"), **small([4, 8, 12], least=6))
        until("a trial to run", lambda: arena.live_pods("killed", "trial"))

        operator_pods.kill()

        arena.complete("killed")
        assert points(arena, "killed") == quiet
        assert len(arena.children("jobs", "killed", "trial")) == 3

    def test_suspended_in_the_middle_it_holds_nothing_and_goes_on(
        self, arena: Arena, quiet: list[tuple[int, str, str]]
    ) -> None:
        arena.start("paused", probe(mark="paused"), checkpoint={"everySteps": 2}, **small([4, 8, 12], least=6))
        arena.wait("paused", holds("Running"), "its trials to run")

        arena.patch("paused", suspend=True)

        arena.wait("paused", holds("Suspended"), "it to be suspended")
        until("its pods to go", lambda: not arena.live_pods("paused"))
        arena.patch("paused", suspend=False)
        arena.complete("paused")
        assert points(arena, "paused") == quiet

    def test_trials_that_all_fail_fail_the_job_with_the_commonest_reason(self, arena: Arena) -> None:
        arena.start("broken", probe(fails="user"), **small([1, 2], maxFailedTrials=1))

        job = arena.finish("broken")

        failure = condition(job, "Failed")
        assert failure["reason"] == "TrialsFailed"
        assert "InvalidData" in failure["message"]
        assert arena.published("broken") is None
        assert [e["reason"] for e in arena.events("broken") if e["reason"] == "TrialEnded"] != []

    def test_an_option_that_the_plug_in_has_not_is_found_before_anything_costs(self, arena: Arena) -> None:
        spec = small([1, 2])
        spec["search"]["parameters"][0]["option"] = "unit"

        arena.start("typo", probe(), **spec)

        job = arena.stalled("typo")
        assert condition(job, "Validated")["status"] == "False"
        assert "units" in condition(job, "Validated")["message"]
        assert arena.children("jobs", "typo", "trial") == []
