"""A search whatever happens: lost, repeated and old news, restarts, deleted Jobs and pods end in the same trials."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.operator.simulated import Body, Cluster, on_azure, score, searching
from tests.unit.operator.test_property import (
    CALAMITIES,
    DISTURBANCES,
    ROUNDS,
    STAGE_FATES,
    Watches,
    calm,
    disturb,
    live,
    steps,
)

from millwright_operator import seen
from millwright_operator.asking import Memory

LIGHT = {"limits": {"cpu": "1"}}


def queued() -> Body:
    return searching(execution={"kubernetes": {"queue": "team-a"}})


def pruned() -> Body:
    evaluation = {"after": ["input", "each"]}
    return searching(earlyStopping={"median": {"startupTrials": 1}}, evaluation=evaluation, maxTrials=5)


def gated() -> Body:
    return searching(evaluation={"constraints": [{"metric": "accuracy", "min": 0.5}]})


def switched() -> Body:
    """Four passes in three segments of other resources, of which one runs in some trials only."""
    passes = [
        {"name": "finetune", "lora": {"r": 16, "trainData": "train"}},
        {"name": "merge", "merge": {}, "resources": LIGHT},
        {"name": "genai", "genai": {}},
    ]
    parameters = [{"pass": "finetune", "onOff": True}, {"pass": "genai", "option": "blockSize", "choice": [16, 32]}]
    return searching(passes=passes, parameters=parameters, algorithm={"random": {"seed": 3}}, maxTrials=4, keep="all")


MAKES = [searching, queued, pruned, gated, switched]


def ended(cluster: Cluster) -> list[tuple[int, str, str]]:
    return [(t["number"], t["phase"], t.get("at", "")) for t in cluster.body["status"]["search"]["trials"]]


def best(cluster: Cluster) -> Any:
    return cluster.body["status"]["search"].get("best")


def undisturbed(body: Body) -> Cluster:
    cluster = Cluster.with_job(body)
    calm(Watches(cluster))
    assert cluster.wrong == []
    return cluster


QUIET = {make.__name__: undisturbed(make()) for make in MAKES}


@pytest.mark.parametrize("make", MAKES)
class TestASearchWhateverHappens:
    @settings(max_examples=25, deadline=None)
    @given(rounds=ROUNDS, happening=steps(DISTURBANCES))
    def test_has_the_same_trials_and_the_same_best(
        self, make: Any, rounds: int, happening: list[tuple[str, int]]
    ) -> None:
        quiet, loud = QUIET[make.__name__], Cluster.with_job(make())
        watches = Watches(loud)

        live(watches, rounds)
        disturb(watches, happening)
        calm(watches)

        assert loud.wrong == []
        assert (ended(loud), best(loud)) == (ended(quiet), best(quiet))
        assert (loud.phase, loud.reason()) == (quiet.phase, quiet.reason())
        assert set(map(repr, loud.trials)) == set(map(repr, quiet.trials))
        if make is not queued:  # there suspended Jobs are deleted, and others are made when it goes on
            assert len(loud.trials) == len(quiet.trials), "a segment was done twice"

    @settings(max_examples=25, deadline=None)
    @given(fates=STAGE_FATES, rounds=ROUNDS, happening=steps(CALAMITIES), ttl=st.sampled_from((None, 0, 20)))
    def test_nothing_forbidden_happens_and_it_ends(
        self, make: Any, fates: list[str], rounds: int, happening: list[tuple[str, int]], ttl: int | None
    ) -> None:
        body = make() | ({} if ttl is None else {"ttlSecondsAfterFinished": ttl})
        cluster = Cluster.with_job(body, trial=list(fates))
        watches = Watches(cluster)

        live(watches, rounds)
        disturb(watches, happening)
        calm(watches)

        assert cluster.wrong == []
        assert cluster.finished

    @settings(max_examples=10, deadline=None)
    @given(fates=STAGE_FATES, after=steps(CALAMITIES, 30))
    def test_a_job_that_has_ended_never_runs_again(
        self, make: Any, fates: list[str], after: list[tuple[str, int]]
    ) -> None:
        cluster = Cluster.with_job(make(), trial=list(fates))
        watches = Watches(cluster)
        calm(watches)
        created, end = list(cluster.created), cluster.phase

        disturb(watches, after)
        for name in list(cluster.jobs):
            cluster.delete_job(name)
        calm(watches)

        assert (cluster.created, cluster.phase, cluster.wrong) == (created, end, [])

    @settings(max_examples=12, deadline=None)
    @given(fates=STAGE_FATES, rounds=ROUNDS, happening=steps(CALAMITIES))
    def test_a_restart_in_the_middle_of_it_writes_nothing(
        self, make: Any, fates: list[str], rounds: int, happening: list[tuple[str, int]]
    ) -> None:
        if make is pruned:  # what a pod said in the middle of a trial is in no status: without the pod it is done again
            happening = [step for step in happening if step[0] != "delete pod"]
        cluster = Cluster.with_job(make(), trial=list(fates))
        watches = Watches(cluster)
        live(watches, rounds)
        disturb(watches, happening)
        for _ in range(6):
            cluster.operate()

        before = len(cluster.statuses), list(cluster.created)
        cluster.heard, cluster.memory = None, Memory()
        for _ in range(3):
            cluster.do(cluster.look(seen.resource(cluster.body), cluster.children()))

        assert (len(cluster.statuses), cluster.created) == before


class TestASearchOnAzureMLWhateverHappens:
    @settings(max_examples=12, deadline=None)
    @given(fates=STAGE_FATES, rounds=ROUNDS, happening=steps(CALAMITIES, 20), deleted=st.booleans())
    def test_at_its_end_or_deleted_nothing_of_it_runs_there(
        self, fates: list[str], rounds: int, happening: list[tuple[str, int]], deleted: bool
    ) -> None:
        random = searching(algorithm={"random": {"seed": 3}}, maxTrials=3, execution=on_azure()["execution"])
        cluster = Cluster.with_job(random, trial=list(fates))
        watches = Watches(cluster)
        live(watches, rounds)
        disturb(watches, happening)

        if deleted:
            cluster.delete()
        calm(watches)
        while not cluster.gone and cluster.body["metadata"].get("finalizers"):
            live(watches, 1)

        assert cluster.wrong == []
        assert cluster.active == set()
        assert (cluster.gone, cluster.job("c")) == (deleted, None)


class TestItsQuietLife:
    def test_what_trials_share_is_done_once(self) -> None:
        made = QUIET["searching"].trials

        assert sorted(at for at in made if at[1] is None) == [(4, None), (8, None)]
        assert len([at for at in made if at[1] is not None]) == 6

    def test_the_best_is_the_one_with_the_best_figure(self) -> None:
        points = [(r, size) for r in (4, 8) for size in (16, 32, 64)]
        wanted = max(points, key=lambda at: score(at) or 0.0)

        assert best(QUIET["searching"])["parameters"] == {
            "finetune.r": str(wanted[0]),
            "genai.blockSize": str(wanted[1]),
        }

    def test_trials_that_do_not_meet_the_constraints_are_ended_trials(self) -> None:
        status = QUIET["gated"].body["status"]

        assert status["search"]["constraintsNotMet"] > 0
        assert status["search"]["failed"] == 0
        assert status["phase"] == "Succeeded"
