"""A Job that gets no pod: what is asked, when, and what is said of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from tests.unit.operator.simulated import Cluster, spec
from tests.unit.operator.test_reconcile import unseen, until

from millwright_operator import actions as act
from millwright_operator import podless
from millwright_operator.actions import AskWhy
from millwright_operator.observed import Children, Podless, SeenJob, SeenPod

NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
JOB = SeenJob("m-0-p", "u-0", "preflight", None, started_at="2026-11-21T12:00:00Z")
POD = SeenPod("m-0-p-x", "u-1", "m-0-p", "preflight", None, "Pending", "2026-11-21T12:00:01Z")
FORBIDDEN = 'Error creating: pods "m-0-p-" is forbidden: '
QUOTA = FORBIDDEN + "exceeded quota: cpu, requested: cpu=4, used: cpu=8, limited: cpu=8"
NO_CLASS = FORBIDDEN + "no PriorityClass with name hgih was found"


def after(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


class TestAsking:
    def test_a_job_whose_pod_is_overdue_is_asked_about(self) -> None:
        assert podless.questions(Children(jobs=(JOB,)), after(6)) == (AskWhy("m-0-p", "u-0", since=""),)

    def test_one_that_has_just_started_is_looked_at_again(self) -> None:
        children = Children(jobs=(JOB,))

        assert podless.questions(children, after(2)) == ()
        assert podless.look_again(children, after(2)) == 3
        assert podless.look_again(children, after(6)) == podless.AGAIN_SECONDS

    def test_of_several_each_has_its_turn(self) -> None:
        jobs = tuple(replace(JOB, name=f"m-0-t{number}", uid=f"u-{number}") for number in range(3))

        asked = [podless.questions(Children(jobs=jobs), after(20 * turn + 10)) for turn in range(3)]

        assert sorted(question.job for questions in asked for question in questions) == ["m-0-t0", "m-0-t1", "m-0-t2"]

    @pytest.mark.parametrize(
        "job",
        [
            replace(JOB, started_at=None),
            replace(JOB, suspended=True),
            replace(JOB, complete=True),
            replace(JOB, failed=("BackoffLimitExceeded", "")),
            replace(JOB, deleting=True),
        ],
        ids=["not started", "suspended", "complete", "failed", "being deleted"],
    )
    def test_one_that_is_to_have_no_pod_is_left_alone(self, job: SeenJob) -> None:
        assert podless.questions(Children(jobs=(job,)), after(60)) == ()
        assert podless.look_again(Children(jobs=(job,)), after(60)) is None

    def test_one_that_has_a_pod_is_left_alone(self) -> None:
        children = Children(jobs=(JOB,), pods=(POD,))

        assert podless.questions(children, after(60)) == ()
        assert podless.look_again(children, after(60)) is None

    def test_between_two_attempts_only_what_came_after_the_first_counts(self) -> None:
        children = Children(jobs=(JOB,), pods=(replace(POD, phase="Failed"),))

        assert podless.questions(children, after(60)) == (AskWhy("m-0-p", "u-0", since=POD.created_at),)


class TestSaying:
    def refused(self, message: str, *pods: SeenPod, job: SeenJob = JOB) -> podless.Finding | None:
        return podless.refused(Children(jobs=(job,), pods=pods, podless=(Podless("m-0-p", message),)), "m-0-p")

    def test_of_a_quota_nobody_need_act(self) -> None:
        found = self.refused(QUOTA, job=replace(JOB, role="stage"))

        assert found is not None
        assert (found.reason, found.mended_by_person) == ("PodNotCreated", False)
        assert found.message.endswith("takes no pod of Job m-0-p: " + QUOTA.removeprefix(FORBIDDEN))

    @pytest.mark.parametrize(
        "words",
        [
            "failed quota: q: must specify limits.cpu for: runner",
            "maximum memory usage per Container is 600Mi, but limit is 1Gi",
        ],
    )
    def test_of_what_a_preflight_asks_for_it_is_said_who_decides(self, words: str) -> None:
        small, large = self.refused(FORBIDDEN + words), self.refused(FORBIDDEN + words, job=replace(JOB, role="stage"))

        assert small is not None
        assert large is not None
        assert small.message.endswith(f"{words}{podless.CHARTS}")
        assert large.message.endswith(words)

    @pytest.mark.parametrize(
        ("message", "field"),
        [
            (NO_CLASS, "priorityClassName"),
            (FORBIDDEN + 'error looking up service account a/b: serviceaccount "b" not found', "serviceAccountName"),
        ],
    )
    def test_a_name_that_leads_nowhere_has_its_place_in_the_manifest(self, message: str, field: str) -> None:
        found = self.refused(message)

        assert found is not None
        assert found.mended_by_person
        assert found.message.startswith(f"spec.execution.kubernetes.podTemplate.{field}: ")

    def test_a_webhooks_words_are_kept_whole(self) -> None:
        found = self.refused('Error creating: admission webhook "images.example" denied the request: no digest')

        assert found is not None
        assert found.message.endswith('admission webhook "images.example" denied the request: no digest')

    def test_once_there_is_a_pod_nothing_is_said(self) -> None:
        assert self.refused(QUOTA, POD) is None


class TestAJob:
    def barred(self, cluster: Cluster, suffix: str, message: str) -> tuple[act.Action, ...]:
        """One look while the Job of this suffix has no pod and the reason is known."""
        job = cluster.job(suffix)
        assert job is not None
        job["status"]["startTime"] = cluster.now.strftime("%Y-%m-%dT%H:%M:%SZ")
        known = (Podless(job["metadata"]["name"], message),)
        actions = cluster.look(children=replace(cluster.children(), podless=known))
        cluster.do(actions)
        return actions

    def test_whose_preflight_gets_no_pod_waits_for_a_person_and_says_why(self) -> None:
        cluster = Cluster.with_job(spec())
        cluster.operate()

        self.barred(cluster, "p", NO_CLASS)

        assert (cluster.phase, cluster.reason()) == ("Stalled", "PodNotCreated")
        assert "no PriorityClass with name hgih was found" in cluster.message()

    def test_whose_stage_is_over_a_quota_waits_and_goes_on(self) -> None:
        cluster = Cluster.with_job(spec())
        unseen(cluster, "p", "Complete")
        cluster.operate()

        actions = self.barred(cluster, "s0", QUOTA)

        assert (cluster.phase, cluster.reason(), cluster.condition("Stalled")) == ("Pending", "PodNotCreated", None)
        assert isinstance(actions[-1], act.LookAgain)
        until(cluster, lambda: cluster.finished)
        assert cluster.phase == "Succeeded"
