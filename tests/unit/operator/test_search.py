"""A search on a cluster: which Jobs are made for its trials, what status says of them, and how it ends."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from tests.unit.operator.kstatus import kstatus
from tests.unit.operator.simulated import Body, Cluster, _env, searching

from millwright_api import names
from millwright_api.report import Progress
from millwright_operator import actions as act
from millwright_operator import asking
from millwright_operator.asking import Memory
from millwright_operator.observed import Heard, Refusal

GPU = {"limits": {"nvidia.com/gpu": "1", "memory": "2Gi"}}


def start(body: Body | None = None, **fates: list[str]) -> Cluster:
    """A search whose first Jobs of trials have just been made."""
    cluster = Cluster.with_job(body or searching(), **fates)
    until(cluster, lambda: bool(trial_jobs(cluster)))
    return cluster


def about_to_start() -> Cluster:
    """A search whose preflight has ended, and nobody has looked since."""
    cluster = Cluster.with_job(searching())
    while not any(isinstance(action, act.CreateJob) and action.alone for action in cluster.look()):
        cluster.operate()
        cluster.tick()
    return cluster


def running(body: Body | None = None) -> Cluster:
    """A search of which two pods run, and go on running."""
    cluster = start(body, trial=["hang"] * 99)
    until(cluster, lambda: cluster.phase == "Running")
    return cluster


def ended(body: Body | None = None, **fates: list[str]) -> Cluster:
    cluster = Cluster.with_job(body or searching(), **fates)
    until(cluster, lambda: cluster.finished, rounds=90)
    assert cluster.wrong == []
    return cluster


def until(cluster: Cluster, reached: Any, rounds: int = 60) -> None:
    for _ in range(rounds):
        cluster.operate()
        if reached():
            return
        cluster.tick()
    raise AssertionError(f"still {cluster.phase}: {cluster.message()}")


def trial_jobs(cluster: Cluster) -> list[Body]:
    return [j for j in cluster.jobs.values() if j["metadata"]["labels"][names.LABEL_ROLE] == "trial"]


def trial_pods(cluster: Cluster) -> list[Body]:
    return [p for p in cluster.pods.values() if p["metadata"]["labels"][names.LABEL_ROLE] == "trial"]


def env(job: Body) -> dict[str, str]:
    return _env(job["spec"]["template"]["spec"])


def search(cluster: Cluster) -> Body:
    found: Body = cluster.body["status"]["search"]
    return found


def told(cluster: Cluster, reason: str) -> list[tuple[str, str]]:
    return [(event.kind, event.message) for event in cluster.events.values() if event.reason == reason]


def queued(**more: Any) -> Body:
    return searching(execution={"kubernetes": {"queue": "gpus", "resources": GPU}}, **more)


def gated(least: float, **more: Any) -> Body:
    return searching(evaluation={"constraints": [{"metric": "accuracy", "min": least}]}, **more)


class TestItsJobs:
    def test_trials_are_stored_before_any_job_of_theirs_is_made(self) -> None:
        cluster = about_to_start()

        done = [a for a in cluster.look() if isinstance(a, act.WriteStatus | act.CreateJob)]

        assert [type(a).__name__ for a in done] == ["WriteStatus", "CreateJob", "CreateJob"]
        assert isinstance(done[0], act.WriteStatus)
        assert done[0].resource_version == cluster.body["metadata"]["resourceVersion"]
        assert done[0].status.search is not None
        assert len(done[0].status.search.trials) >= 2

    def test_a_look_at_an_old_copy_makes_none(self) -> None:
        cluster = about_to_start()
        actions = cluster.look()
        cluster.body["metadata"]["resourceVersion"] = "later"

        cluster.do(actions)

        assert trial_jobs(cluster) == []

    def test_say_which_part_of_which_trial_they_do(self) -> None:
        first = trial_jobs(start())[0]
        later = trial_jobs(ended())[-1]

        assert (env(first)[names.ENV_STEPS], json.loads(env(first)[names.ENV_TRIAL])[1]) == ("0:2", None)
        assert env(later)[names.ENV_STEPS] == "2:3"
        assert None not in json.loads(env(later)[names.ENV_TRIAL])

    def test_one_alone_measures_what_the_job_starts_with(self) -> None:
        marks = [env(job)[names.ENV_BASELINE] for job in trial_jobs(ended())]

        assert sorted(marks) == ["0"] * 7 + ["1"]
        assert marks[0] == "1"

    def test_are_labelled_by_their_segment_and_named_apart(self) -> None:
        jobs = trial_jobs(ended())

        labels = [job["metadata"]["labels"][names.LABEL_SEGMENT] for job in jobs]
        assert len(set(labels)) == len({job["metadata"]["name"] for job in jobs}) == 8
        assert all(len(label) == 16 for label in labels)
        assert all(job["spec"]["template"]["metadata"]["labels"] == job["metadata"]["labels"] for job in jobs)
        assert all(names.LABEL_STAGE not in job["metadata"]["labels"] for job in jobs)

    def test_are_like_a_stages_in_all_else(self) -> None:
        cluster = ended()
        job, stage = trial_jobs(cluster)[-1], cluster.job("s1")
        assert stage is not None

        for key in ("podFailurePolicy", "podReplacementPolicy", "backoffLimit", "completions", "suspend"):
            assert job["spec"][key] == stage["spec"][key]
        pods = [one["spec"]["template"]["spec"] for one in (job, stage)]
        for key in ("securityContext", "volumes", "terminationGracePeriodSeconds", "automountServiceAccountToken"):
            assert pods[0][key] == pods[1][key]
        assert pods[0]["containers"][0]["command"] == pods[1]["containers"][0]["command"]

    def test_ask_for_what_their_first_step_asks_for(self) -> None:
        passes = [
            {"name": "finetune", "lora": {"r": 16, "trainData": "train"}},
            {"merge": {}},
            {"genai": {}, "resources": {"limits": {"cpu": "4"}}},
        ]
        jobs = trial_jobs(ended(searching(passes=passes)))

        asked = {env(j)[names.ENV_STEPS]: j["spec"]["template"]["spec"]["containers"][0]["resources"] for j in jobs}
        assert asked == {"0:2": {"limits": GPU["limits"]}, "2:3": {"limits": {"cpu": "4"}}}

    def test_are_suspended_at_first_where_there_is_a_queue(self) -> None:
        cluster = Cluster.with_job(queued(), trial=["hang"] * 9)
        cluster.admit = False
        until(cluster, lambda: cluster.phase == "Queued")

        assert len(trial_jobs(cluster)) == 2
        assert all(
            job["spec"]["suspend"] and job["metadata"]["labels"][names.LABEL_QUEUE] for job in trial_jobs(cluster)
        )
        assert cluster.reason() == "QueuedForQuota"
        assert kstatus(cluster.body) == "InProgress"

    def test_are_let_try_more_often_when_the_manifest_says_so(self) -> None:
        cluster = running()

        cluster.edit(retry={"maxAttempts": 7})
        cluster.operate()

        assert {job["spec"]["backoffLimit"] for job in trial_jobs(cluster)} == {6}

    def test_one_that_no_trial_waits_for_is_deleted(self) -> None:
        cluster = running()
        stray = json.loads(json.dumps(trial_jobs(cluster)[0]))
        stray["metadata"] |= {
            "name": "stray",
            "uid": "stray",
            "labels": stray["metadata"]["labels"] | {names.LABEL_SEGMENT: "0" * 16},
        }
        cluster.jobs["stray"] = stray

        cluster.operate()

        assert "stray" not in cluster.jobs
        assert len(trial_jobs(cluster)) == 2

    def test_one_that_is_deleted_is_made_again_once_its_pod_has_ended(self) -> None:
        cluster = running()
        name = trial_jobs(cluster)[0]["metadata"]["name"]

        cluster.delete_job(name)
        cluster.operate()
        assert name not in cluster.jobs

        until(cluster, lambda: name in cluster.jobs)
        assert cluster.wrong == []

    def test_one_that_the_server_refuses_is_told_of(self) -> None:
        cluster = about_to_start()
        children = cluster.children()
        refused = type(children)(children.jobs, children.pods, children.manifests, Refusal("quota", for_good=False))

        (write,) = [a for a in cluster.look(children=refused) if isinstance(a, act.WriteStatus)]

        ready = next(c for c in write.status.conditions if c.type == "Ready")
        assert (write.status.phase, ready.reason, ready.message) == ("Pending", "JobNotCreated", "quota")


class TestWhatStatusSays:
    def test_how_many_have_ended_and_which_is_best(self) -> None:
        cluster = start()
        until(
            cluster,
            lambda: search(cluster)["succeeded"] >= 2 and cluster.phase == "Running" and "best" in cluster.message(),
        )

        found = search(cluster)
        assert found["summary"] == "2/6"
        assert found["best"]["values"] == {"accuracy": pytest.approx(0.907363)}
        assert cluster.message() == "2 of 6 trials ended, 2 Jobs run; best so far: trial 1, accuracy 0.9074"
        assert found["running"] == 2

    def test_of_each_trial_its_values_its_phase_and_its_figures(self) -> None:
        trials = search(ended())["trials"]

        assert [trial["number"] for trial in trials] == [0, 1, 2, 3, 4, 5]
        assert trials[0] == {"number": 0, "phase": "Succeeded", "at": "[8,16]", "values": [0.102892]}

    def test_trials_run_and_wait(self) -> None:
        cluster = running()

        phases = {trial["phase"] for trial in search(cluster)["trials"]}
        assert phases == {"Running"}
        assert cluster.condition("Running") == "True"

    def test_it_does_not_flicker_between_two_jobs(self) -> None:
        phases = [status["phase"] for status in ended().statuses if status["phase"] != "Validating"]

        once = [phase for at, phase in enumerate(phases) if at == 0 or phases[at - 1] != phase]
        assert once == ["Pending", "Running", "Pending", "Running", "Succeeded"]

    def test_the_trial_that_was_heard_last(self) -> None:
        cluster = running()
        (pod, *_) = trial_pods(cluster)
        said = Progress(step_name="finetune", step_index=0, steps=3, message="training", done=41, total=100, loss=1.5)
        cluster.heard = Heard(said, pod["metadata"]["uid"], cluster.now)

        cluster.operate()

        progress = cluster.body["status"]["progress"]
        assert (progress["pass"], progress["message"], progress["percent"]) == ("finetune", "trial 0: training", 41)
        assert progress["summary"] == "0/6 trials"
        assert [p["phase"] for p in cluster.body["status"]["passes"]] == ["Running", "Pending", "Pending"]

    def test_progress_alone_is_no_other_news(self) -> None:
        cluster = running()
        (pod, *_) = trial_pods(cluster)
        said = Progress(step_name="finetune", step_index=0, steps=3, message="training", done=41, total=100)
        cluster.heard = Heard(said, pod["metadata"]["uid"], cluster.now)

        (write,) = cluster.look()

        assert isinstance(write, act.WriteStatus)
        assert write.progress_only

    def test_of_a_pod_of_another_trial_job_nothing(self) -> None:
        cluster = running()
        said = Progress(step_name="finetune", step_index=0, steps=3, message="training")
        cluster.heard = Heard(said, "another pod", cluster.now)

        assert cluster.look() == ()

    def test_the_best_trials_passes_in_the_end(self) -> None:
        parameters = [{"pass": "merge", "onOff": True}, {"pass": "genai", "option": "blockSize", "choice": [16, 32]}]
        cluster = ended(searching(parameters=parameters, maxTrials=4))

        merges, _ = json.loads(search(cluster)["trials"][search(cluster)["best"]["number"]]["at"])
        steps = [step["name"] for step in cluster.body["status"]["passes"]]
        assert steps == (["finetune", "merge", "genai"] if merges else ["finetune", "genai"])

    def test_what_keeps_all_pods_from_starting(self) -> None:
        cluster = start(trial=["hang"] * 9)
        cluster.tick()
        for pod in trial_pods(cluster):
            state = {"waiting": {"reason": "ImagePullBackOff", "message": "not found"}}
            pod["status"] = {"phase": "Pending", "containerStatuses": [{"name": "runner", "state": state}]}

        cluster.operate()

        assert (cluster.phase, cluster.reason()) == ("Stalled", "ImagePullFailed")
        assert kstatus(cluster.body) == "Failed"

    def test_one_trial_that_cannot_be_read_is_asked_for_again(self) -> None:
        cluster, quiet = start(), ended()
        until(cluster, lambda: search(cluster)["succeeded"] >= 2)
        search(cluster)["trials"][1]["at"] = "damaged by hand"

        until(cluster, lambda: cluster.finished)

        assert search(cluster)["trials"] == search(quiet)["trials"]


class TestItsEnd:
    def test_the_best_is_published_by_a_job_without_an_accelerator(self) -> None:
        job = ended().job("s1")
        assert job is not None

        container = job["spec"]["template"]["spec"]["containers"][0]
        assert container["resources"] == {"limits": {"memory": "2Gi"}}
        assert env(job)[names.ENV_STEPS] == "0:3"
        assert job["metadata"]["labels"][names.LABEL_ROLE] == "stage"

    def test_that_job_is_told_all_trials(self) -> None:
        job = ended().job("s1")
        assert job is not None

        told = json.loads(env(job)[names.ENV_TRIALS])

        assert (told["best"], told["publish"], told["reason"]) == (1, [1], "AllTrialsDone")
        assert told["trials"][0] == {
            "number": 0, "at": [8, 16], "phase": "Succeeded", "values": [0.102892], "reason": "", "message": "",
        }  # fmt: skip
        assert len(told["trials"]) == 6

    @pytest.mark.parametrize(("keep", "published"), [("best", [1]), ("pareto", [1]), ("all", [1, 5])])
    def test_what_is_kept_is_published_too(self, keep: str, published: list[int]) -> None:
        job = ended(gated(0.5, keep=keep)).job("s1")
        assert job is not None

        assert json.loads(env(job)[names.ENV_TRIALS])["publish"] == published

    def test_a_lost_report_is_asked_again_with_the_trials(self) -> None:
        cluster = ended(stage=["silent"])

        (report,) = [job for name, job in cluster.jobs.items() if name.endswith("-r")]
        assert json.loads(env(report)[names.ENV_TRIALS])["best"] == 1
        assert cluster.condition("Complete") == "True"

    def test_its_events_tell_new_bests_and_that_it_is_over(self) -> None:
        cluster = ended()

        assert told(cluster, "TrialEnded") == [("Normal", "trial 1, accuracy 0.9074: the best of 2/6 trials")]
        assert told(cluster, "SearchOver") == [
            ("Normal", "AllTrialsDone: all trials have ended: of 6 trials 6 succeeded")
        ]

    def test_a_job_deleted_after_the_end_of_its_trial_is_not_made_again(self) -> None:
        cluster = start()
        until(cluster, lambda: search(cluster)["succeeded"] >= 2)
        made = len(cluster.created)
        for job in trial_jobs(cluster):
            if "completionTime" not in job["status"] and any(
                c["type"] == "Complete" for c in job["status"].get("conditions", [])
            ):
                cluster.delete_job(job["metadata"]["name"])

        until(cluster, lambda: cluster.finished)

        assert len(cluster.created) > made
        assert search(cluster)["trials"] == search(ended())["trials"]
        assert cluster.wrong == []


class TestFailures:
    def test_one_that_is_tolerated_is_told_and_the_search_goes_on(self) -> None:
        cluster = ended(searching(parallelTrials=1), trial=["success", "2"])

        (event,) = [e for e in told(cluster, "TrialEnded") if e[0] == "Warning"]
        assert event == ("Warning", "trial 0 failed: DataNotFound: it failed with 2")
        assert cluster.phase == "Succeeded"
        assert search(cluster)["trials"][0] | {"at": ""} == {
            "number": 0, "phase": "Failed", "at": "", "reason": "DataNotFound", "message": "it failed with 2",
            "failedSegment": 1,
        }  # fmt: skip

    def test_one_of_a_shared_part_ends_all_that_share_it(self) -> None:
        cluster = ended(searching(parallelTrials=1), trial=["2"])

        failed = [trial for trial in search(cluster)["trials"] if trial["phase"] == "Failed"]
        assert {json.loads(trial["at"])[0] for trial in failed} == {8}
        assert cluster.phase == "Succeeded"
        assert search(cluster)["succeeded"] == 3

    def test_too_many_fail_the_job_with_the_commonest_reason(self) -> None:
        cluster = ended(searching(maxFailedTrials=0), trial=["hang", "2", *["hang"] * 9])

        assert (cluster.phase, cluster.reason("Failed")) == ("Failed", "TrialsFailed")
        assert "DataNotFound" in cluster.message("Failed")
        assert kstatus(cluster.body) == "Failed"

    def test_what_runs_then_is_deleted(self) -> None:
        cluster = ended(searching(maxFailedTrials=0), trial=["hang", "2", *["hang"] * 9])

        cluster.operate()

        over = [
            any(c["type"] in ("Complete", "Failed") for c in j["status"]["conditions"]) for j in trial_jobs(cluster)
        ]
        assert all(over)

    def test_attempts_are_made_before_a_trial_fails(self) -> None:
        cluster = ended(searching(parallelTrials=1), trial=["1", "75", "success"])

        assert search(cluster)["failed"] == 0
        assert cluster.body["status"]["stages"][0]["attempts"] == 10

    def test_when_no_trial_meets_the_constraints_the_job_fails_by_them(self) -> None:
        cluster = ended(gated(0.99))

        assert (cluster.phase, cluster.reason("Failed")) == ("Failed", "ConstraintsNotMet")
        assert (cluster.condition("ConstraintsMet"), cluster.reason("ConstraintsMet")) == ("False", "ConstraintsNotMet")
        assert search(cluster)["constraintsNotMet"] == 6
        assert cluster.job("s1") is None

    def test_a_trial_without_a_figure_has_failed(self) -> None:
        cluster = Cluster.with_job(searching())
        cluster.score = lambda at: None if at[0] == 4 else 0.5
        until(cluster, lambda: cluster.finished, rounds=90)

        assert {trial.get("reason") for trial in search(cluster)["trials"] if trial["phase"] == "Failed"} == {
            "NoFigure"
        }
        assert search(cluster)["best"]["parameters"]["finetune.r"] == "8"

    def test_the_words_of_a_last_part_that_are_lost_are_asked_for_again(self) -> None:
        cluster = start()
        lost: list[str] = []
        for _ in range(90):
            cluster.operate()
            if cluster.finished:
                break
            cluster.tick()
            for name, pod in list(cluster.pods.items()):
                if not lost and pod["status"]["phase"] == "Succeeded" and _env(pod["spec"])[names.ENV_STEPS] == "2:3":
                    lost.append(pod["metadata"]["ownerReferences"][0]["name"])
                    del cluster.pods[name]

        assert cluster.created.count(lost[0]) == 2
        assert search(cluster)["trials"] == search(ended())["trials"]

    def test_the_words_of_a_shared_part_are_not_needed(self) -> None:
        cluster = start()
        for _ in range(90):
            cluster.operate()
            if cluster.finished:
                break
            cluster.tick()
            for name, pod in list(cluster.pods.items()):
                if pod["status"]["phase"] == "Succeeded" and _env(pod["spec"])[names.ENV_STEPS] == "0:2":
                    del cluster.pods[name]

        assert len(cluster.created) == len(set(cluster.created))
        assert search(cluster)["trials"] == search(ended())["trials"]

    def test_a_pod_that_ended_well_without_a_word_is_a_failure(self) -> None:
        cluster = ended(searching(parallelTrials=1), trial=["success", "silent"])

        assert search(cluster)["trials"][0]["reason"] == "ResultMissing"


class TestTime:
    def test_counts_while_at_least_one_of_its_jobs_runs(self) -> None:
        cluster = ended()

        stage = cluster.body["status"]["stages"][0]
        assert (stage["name"], stage["phase"]) == ("trials", "Succeeded")
        assert 0 < stage["activeSeconds"] <= 40  # the sum over its Jobs is twice that

    def test_used_up_it_fails_the_job(self) -> None:
        cluster = start(searching(activeDeadlineSeconds=30), trial=["hang"] * 99)

        until(cluster, lambda: cluster.finished)

        assert (cluster.reason("Failed"), kstatus(cluster.body)) == ("DeadlineExceeded", "Failed")

    def test_jobs_get_what_is_left_of_it(self) -> None:
        cluster = ended(searching(activeDeadlineSeconds=600))

        limits = [job["spec"]["activeDeadlineSeconds"] for job in trial_jobs(cluster)]
        assert limits[0] == 600
        assert limits == sorted(limits, reverse=True)
        assert limits[-1] < 600

    def test_after_max_seconds_no_trial_starts_and_those_that_run_are_finished(self) -> None:
        cluster = ended(searching(maxSeconds=5))

        assert search(cluster)["reason"] == "OutOfTime"
        assert 0 < len(search(cluster)["trials"]) < 6
        assert cluster.condition("Complete") == "True"


class TestSuspended:
    def test_all_of_its_jobs_are_suspended_and_it_goes_on_from_there(self) -> None:
        cluster = start()
        until(cluster, lambda: cluster.phase == "Running")

        cluster.edit(suspend=True)
        until(cluster, lambda: cluster.phase == "Suspended")
        assert all(job["spec"]["suspend"] for job in trial_jobs(cluster) if "startTime" not in job["status"])
        assert [pod for pod in trial_pods(cluster) if pod["status"]["phase"] == "Running"] == []

        cluster.edit(suspend=False)
        until(cluster, lambda: cluster.finished)
        assert search(cluster)["trials"] == search(ended())["trials"]

    def test_paused_time_does_not_count(self) -> None:
        cluster = start(searching(activeDeadlineSeconds=200))
        until(cluster, lambda: cluster.phase == "Running")
        cluster.edit(suspend=True)
        until(cluster, lambda: cluster.phase == "Suspended")
        cluster.now += timedelta(hours=9)

        cluster.edit(suspend=False)
        until(cluster, lambda: cluster.finished)

        assert cluster.condition("Complete") == "True"

    def test_with_a_queue_its_jobs_go_and_come_again(self) -> None:
        cluster = start(queued())
        until(cluster, lambda: cluster.phase == "Running")

        cluster.edit(suspend=True)
        until(cluster, lambda: cluster.phase == "Suspended")
        assert [j for j in trial_jobs(cluster) if "conditions" not in j["status"]] == []

        cluster.edit(suspend=False)
        until(cluster, lambda: cluster.finished)
        assert search(cluster)["trials"] == search(ended())["trials"]

    def test_says_how_far_it_is(self) -> None:
        cluster = running()
        cluster.edit(suspend=True)
        until(cluster, lambda: cluster.phase == "Suspended")

        assert cluster.message() == "spec.suspend is true; 0 of 6 trials ended, and it goes on from here"


class TestItsMemory:
    def test_saves_questions_and_changes_no_answer(self, monkeypatch: pytest.MonkeyPatch) -> None:
        cluster = running()
        asked: list[int] = []
        real = asking.course

        def counted(*given: Any, **named: Any) -> Any:
            asked.append(1)
            return real(*given, **named)

        monkeypatch.setattr(asking, "course", counted)
        cluster.operate()
        asked.clear()

        with_memory = cluster.look()
        assert asked == []
        cluster.memory = Memory()
        assert cluster.look() == with_memory
        assert asked == [1]

    def test_is_of_one_object_and_one_spec(self) -> None:
        cluster = running()
        cluster.body["metadata"]["uid"] = "another"

        cluster.operate()

        assert cluster.wrong == []
