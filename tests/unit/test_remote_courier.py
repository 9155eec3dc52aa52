"""The courier: what is followed and said, what is stopped, and what is found again; the real SDK against the stub."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from tests.azureml.stub import Azure
from tests.courierground import UID, CourierGround, succeeded

from millwright_api.errors import (
    AzureMLJobCanceled,
    AzureMLRefused,
    ComputeNotFound,
    EnvironmentNotFound,
    MillwrightError,
    QuotaExceeded,
)
from millwright_api.report import PassReport, Progress, RunReport
from millwright_runner.passes import StopFlag
from millwright_runner.remote import courier
from millwright_runner.remote.naming import stem

STOPPED = RunReport(outcome="Stopped", reason="Stopped", message="SIGTERM: stopped at step 3", exit_code=143)


@pytest.fixture
def ground(azure: Azure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CourierGround:
    return CourierGround.make(azure, tmp_path, monkeypatch)


def training(done: int) -> Progress:
    return Progress(step_name="two", step_index=1, steps=2, message="training", done=done, total=9)


class TestFollowing:
    def test_its_state_is_told_until_the_runner_speaks(self, ground: CourierGround) -> None:
        going, job = ground.submitted()
        job.state("Queued")
        queued = going.wait_for("Azure ML: Queued")
        job.state("Preparing")
        going.wait_for("Azure ML: Preparing")
        job.state("Running")
        ground.box(job.name).post(training(3))
        working = going.wait_for("training")
        ground.box(job.name).end(succeeded())
        job.complete()

        assert going.end().outcome == "Succeeded"
        assert (queued.step_name, queued.step_index, queued.steps) == ("one", 0, 2)
        assert queued.remote is not None
        assert (queued.remote.name, queued.remote.state) == (job.name, "Queued")
        assert queued.remote.url is not None and job.name in queued.remote.url
        assert (working.step_name, working.done, working.remote and working.remote.state) == ("two", 3, "Running")

    def test_the_runners_word_is_repeated_with_where_it_ran(self, ground: CourierGround) -> None:
        going, job = ground.submitted()
        said = PassReport(name="one", pass_="obey", phase="Succeeded", cache="Miss", seconds=3.0)
        ground.box(job.name).end(succeeded(passes=[said], seconds=4.0))
        job.complete()

        report = going.end()

        assert report.model_copy(update={"remote": None}) == succeeded(passes=[said], seconds=4.0)
        assert report.remote is not None
        assert (report.remote.name, report.remote.state) == (job.name, "Completed")

    def test_its_failure_is_the_runners_with_its_exit_code(self, ground: CourierGround) -> None:
        going, job = ground.submitted()
        said = RunReport(outcome="Failed", reason="InvalidData", message="no rows", exit_code=2)
        ground.box(job.name).end(said)
        job.fail()

        report = going.end()

        assert (report.reason, report.message, report.exit_code) == ("InvalidData", "no rows", 2)


class TestAJobThatEndsWithoutAWord:
    def test_the_services_message_and_the_end_of_its_log_are_told(self, ground: CourierGround) -> None:
        going, job = ground.submitted()
        job.state("Running").fail("UserError", "Execution failed.", log="loading\nKilled: out of memory\n")

        report = going.end()

        assert (report.reason, report.exit_code) == ("AzureMLJobFailed", 1)
        assert "Execution failed." in report.message
        assert report.message.endswith("loading\nKilled: out of memory")

    def test_an_environment_that_cannot_be_built_shows_why(self, ground: CourierGround) -> None:
        ground.execution = {"environment": {"image": "registry.example/python:3.11", "conda": "dependencies: [torch]"}}
        ground.azure.jobs.builds = "Step 1\nResolvePackageNotFound: torch==9\n"

        report = ground.start().end()

        assert (report.reason, report.exit_code) == ("EnvironmentBuildFailed", 2)
        assert report.message.startswith("spec.execution.azureML.environment: Azure ML could not build the environment")
        assert report.message.endswith("ResolvePackageNotFound: torch==9")

    def test_a_machine_that_quota_does_not_allow_is_told_so(self, ground: CourierGround) -> None:
        going, job = ground.submitted()
        job.fail("OutOfQuota", "The subscription's quota of NC cores is 0.")

        report = going.end()

        assert (report.reason, report.exit_code) == ("QuotaExceeded", 2)
        assert "quota of NC cores is 0" in report.message

    def test_is_explained_once_the_service_answers_again(self, ground: CourierGround) -> None:
        ground.azure.faults.error(503, times=6, path="GET /history")
        going, job = ground.submitted()
        job.fail("UserError", "Execution failed.")

        assert "Execution failed." in going.end().message

    def test_canceled_by_somebody_else_it_is_not_submitted_again(self, ground: CourierGround) -> None:
        going, job = ground.submitted()
        job.state("Running")
        going.wait_for("Running")
        ground.box(job.name).end(STOPPED)
        job.cancel()
        job.state("Canceled")

        report = going.end()

        assert (report.reason, report.exit_code) == ("AzureMLJobCanceled", 2)
        assert job.name in report.message
        assert len(ground.azure.jobs) == 1

    def test_deleted_there_it_is_not_waited_for(self, ground: CourierGround) -> None:
        going, job = ground.submitted()
        job.state("Running")
        going.wait_for("Running")

        del ground.azure.jobs._all[job.name]

        with pytest.raises(AzureMLJobCanceled, match="it was deleted there"):
            going.end()

    def test_whose_node_was_not_heard_of_is_a_failure_that_may_heal(self, ground: CourierGround) -> None:
        going, job = ground.submitted()
        job.state("NotResponding")

        report = going.end()

        assert (report.reason, report.exit_code) == ("AzureMLJobFailed", 1)
        assert "NotResponding" in report.message


class TestAStop:
    def test_of_a_job_that_waits_cancels_it(self, ground: CourierGround) -> None:
        going, job = ground.submitted()
        job.state("Queued")
        going.wait_for("Queued")

        going.stop.request(15)
        report = going.end()

        assert (report.outcome, report.exit_code) == ("Stopped", 143)
        assert job.status == "Canceled"

    def test_of_a_runner_asks_it_for_a_checkpoint_first(self, ground: CourierGround) -> None:
        going, job = ground.submitted()
        job.state("Running")
        going.wait_for("Running")

        going.stop.request(15)
        going.wait_for("asked for a checkpoint")
        box = ground.box(job.name)
        while not box.asked_to_stop():
            pass
        box.end(STOPPED)
        job.fail()

        assert going.end().message == "SIGTERM: stopped at step 3"
        assert job.canceling == 0

    def test_of_a_runner_that_does_not_heed_it_cancels_the_job(self, ground: CourierGround) -> None:
        going, job = ground.submitted(grace=1)
        job.state("Running")
        going.wait_for("Running")

        going.stop.request(15)
        report = going.end()

        assert (report.outcome, report.exit_code) == ("Stopped", 143)
        assert job.canceling == 1

    def test_while_it_is_on_its_way_cancels_what_arrives(self, ground: CourierGround) -> None:
        ground.azure.faults.delay(0.5, "PUT .*/jobs/")
        going = ground.start()
        ground.azure.room.arrive("/jobs/emotion", 2)  # asked whether it is there, then sent

        going.stop.request(15)

        with pytest.raises(MillwrightError) as failure:
            going.end()
        assert failure.value.reason == "Stopped"
        job = ground.azure.jobs.only
        assert job.canceling == 1
        assert ground.box(job.name).asked_to_stop()

    def test_while_the_service_hangs_is_heeded(self, ground: CourierGround) -> None:
        ground.azure.faults.hang()
        going = ground.start()

        going.stop.request(15)

        with pytest.raises(MillwrightError) as failure:
            going.end()
        assert failure.value.reason == "Stopped"


class TestASlowService:
    def test_throttling_and_errors_before_the_job_are_outwaited(self, ground: CourierGround) -> None:
        ground.azure.faults.throttle(5, retry_after=0, path="GET .*/jobs/")
        ground.azure.faults.error(503, times=5, path="PUT .*/jobs/")

        going, job = ground.submitted()
        ground.box(job.name).end(succeeded())
        job.complete()

        assert going.end().outcome == "Succeeded"
        assert "trying again" in " ".join(one.message for one in going.told)

    def test_errors_while_it_runs_never_fail_the_job(self, ground: CourierGround) -> None:
        going, job = ground.submitted()
        job.state("Running")
        going.wait_for("Running")
        ground.azure.faults.error(500, times=None, path="GET .*/jobs/")
        going.wait_for("Azure ML: Running; Azure answers 500")
        ground.azure.faults.clear()
        ground.box(job.name).end(succeeded())
        job.complete()

        assert going.end().outcome == "Succeeded"

    def test_a_refusal_while_it_runs_is_doubted_for_a_while(self, ground: CourierGround) -> None:
        going, job = ground.submitted()
        job.state("Running")
        going.wait_for("Running")
        ground.azure.faults.forbid("GET .*/jobs/")
        going.wait_for("Azure refuses")
        ground.azure.faults.clear()
        ground.box(job.name).end(succeeded())
        job.complete()

        assert going.end().outcome == "Succeeded"


class TestSubmissionsThatAreRefused:
    def test_for_quota(self, ground: CourierGround) -> None:
        ground.azure.faults.quota()

        with pytest.raises(QuotaExceeded, match="vCPU quota of 0") as failure:
            ground.start().end()
        assert failure.value.where == "spec.execution.azureML.compute"

    def test_for_a_compute_that_went_away_meanwhile(self, ground: CourierGround) -> None:
        ground.azure.faults.refuse("PUT .*/jobs/", "UserError", "Unknown compute target 'gpu'.")

        with pytest.raises(ComputeNotFound, match="Unknown compute target"):
            ground.start().end()

    def test_for_an_environment_that_is_not_there(self, ground: CourierGround) -> None:
        ground.execution = {"environment": {"name": "runnr"}}

        with pytest.raises(EnvironmentNotFound):
            ground.start().end()

    def test_for_anything_else_with_the_services_words(self, ground: CourierGround) -> None:
        ground.azure.faults.refuse("PUT .*/jobs/", "UserError", "The tier Spot is not offered here.")

        with pytest.raises(AzureMLRefused, match=r"UserError: The tier Spot is not offered here\."):
            ground.start().end()


class TestCancel:
    def test_ends_all_that_is_active_of_the_optimization_job(self, ground: CourierGround) -> None:
        stop = StopFlag()
        first = ground.courier({"MILLWRIGHT_STEPS": "0:1"}, uid=UID).submit(lambda told: None, stop)
        second = ground.courier({"MILLWRIGHT_STEPS": "1:2"}, uid=UID).submit(lambda told: None, stop)
        other = ground.courier(uid="another").submit(lambda told: None, stop)

        canceled = ground.courier(uid=UID).cancel()

        assert [remote.name for remote in canceled] == sorted([first.remote.name, second.remote.name])
        states = {name: job.status for name, job in ground.azure.jobs.items()}
        assert states == {first.remote.name: "Canceled", second.remote.name: "Canceled", other.remote.name: "Starting"}

    def test_finds_them_without_the_store_too(self, ground: CourierGround, monkeypatch: pytest.MonkeyPatch) -> None:
        ground.courier(uid=UID).submit(lambda told: None, StopFlag())
        monkeypatch.setenv("AZURE_STORAGE_KEY", "bm90IHRoZSBrZXk=")

        ground.courier(uid=UID).cancel()

        assert ground.azure.jobs.only.status == "Canceled"

    def test_ends_one_that_arrives_a_moment_later(self, ground: CourierGround, monkeypatch: pytest.MonkeyPatch) -> None:
        late = stem(ground.errand(uid=UID)) + "-1"
        ground.box(late).ask()
        sleep = time.sleep

        def arrive(seconds: float) -> None:
            if late not in ground.azure.jobs:
                ground.azure.jobs.add(late, {"jobType": "Command", "command": "x", "environmentId": "/e"})
            sleep(seconds)

        monkeypatch.setattr(courier.time, "sleep", arrive)

        assert [remote.name for remote in ground.courier(uid=UID).cancel()] == [late]

    def test_of_nothing_is_well(self, ground: CourierGround) -> None:
        assert ground.courier(uid=UID).cancel() == []
