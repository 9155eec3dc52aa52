"""Pods of a job on Azure ML: the courier's word is the runner's, its end is told once, and nothing is left when it is deleted."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.azureml.jobs import Job
from tests.azureml.stub import Azure
from tests.courierground import QUICK, UID, CourierGround, succeeded
from tests.progressserver import Authority, ProgressServer
from tests.warm import COMMAND, WarmProcess

from millwright_api.report import ArtifactReport, PassReport, Progress, RunReport
from millwright_runner.passes import StopFlag
from millwright_runner.pod import roles
from millwright_runner.remote import courier


@pytest.fixture
def pod(azure: Azure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[CourierGround]:
    """This process, as a pod of the job."""
    ground = CourierGround.make(azure, tmp_path, monkeypatch)
    (tmp_path / "job").mkdir()
    write(ground)
    monkeypatch.setattr(courier, "Pace", lambda: QUICK)
    for name, value in environment(ground).items():
        monkeypatch.setenv(name, value)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield ground
    for number, handler in handlers.items():
        signal.signal(number, handler)


def write(ground: CourierGround) -> None:
    (ground.folder / "job" / "manifest.json").write_text(json.dumps(ground.document))


def environment(ground: CourierGround) -> dict[str, str]:
    return {
        "MILLWRIGHT_JOB": str(ground.folder / "job"),
        "MILLWRIGHT_TERMINATION_LOG": str(ground.folder / "termination-log"),
        "MILLWRIGHT_HOME": str(ground.folder / "home"),
        "MILLWRIGHT_UID": UID,
        "MILLWRIGHT_STEPS": "0:2",
    }


def word(ground: CourierGround) -> RunReport:
    return RunReport.model_validate_json((ground.folder / "termination-log").read_bytes())


def driven(ground: CourierGround, drive: Callable[[Job], None]) -> threading.Thread:
    """Drives the job there, from beside, once it was submitted."""

    def wait() -> None:
        drive(ground.azure.jobs.arrive(1)[-1])

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    return thread


class TestTheCouriersPod:
    def test_leaves_the_runners_word_and_exit_code(
        self, pod: CourierGround, capsys: pytest.CaptureFixture[str]
    ) -> None:
        artifact = ArtifactReport(uri="https://account/out/", format="hf", digest="d" * 64, bytes=7, files=1)
        entry = PassReport(name="one", pass_="obey", phase="Succeeded", cache="Miss")

        def drive(job: Job) -> None:
            pod.box(job.name).end(succeeded(artifact=artifact, passes=[entry]))
            job.complete()

        driven(pod, drive)
        code = roles.run("azureml")

        said = word(pod)
        job = pod.azure.jobs.only
        assert code == 0
        assert (said.artifact, said.passes) == (artifact, [entry])
        assert said.remote is not None and said.remote.name == job.name
        assert job.definition["tags"]["millwright-uid"] == UID
        assert pod.box(job.name).told()
        out = capsys.readouterr().out
        assert "Azure ML: submitting\n" in out
        assert f"Azure ML: {said.remote.url}\n" in out

    @pytest.mark.parametrize(
        "reason, code", [("InvalidData", 2), ("ConstraintsNotMet", 3), ("Damaged", 75), ("PassFailed", 1)]
    )
    def test_ends_as_the_runner_there_did(self, pod: CourierGround, reason: str, code: int) -> None:
        def drive(job: Job) -> None:
            pod.box(job.name).end(RunReport(outcome="Failed", reason=reason, message="why", exit_code=code))
            job.fail()

        driven(pod, drive)

        assert roles.run("azureml") == code
        assert (word(pod).reason, word(pod).message) == (reason, "why")

    def test_says_what_is_wrong_with_the_submission(self, pod: CourierGround) -> None:
        pod.execution = {"compute": "absent"}
        write(pod)

        assert roles.run("azureml") == 2
        assert word(pod).reason == "ComputeNotFound"

    def test_tells_the_operator_how_far_it_is_there(self, pod: CourierGround, monkeypatch: pytest.MonkeyPatch) -> None:
        authority = Authority(pod.folder / "job").make()
        server = ProgressServer(authority).start()
        (pod.folder / "token").write_text("token")
        monkeypatch.setenv("MILLWRIGHT_PROGRESS_URL", server.url)
        monkeypatch.setenv("MILLWRIGHT_TOKEN", str(pod.folder / "token"))

        def drive(job: Job) -> None:
            job.state("Running")
            pod.box(job.name).post(
                Progress(step_name="two", step_index=1, steps=2, message="training", done=4, total=9)
            )
            server.wait_for(2)  # another step is told at once
            pod.box(job.name).end(succeeded())
            job.complete()

        driven(pod, drive)
        roles.run("azureml")
        server.stop()

        last = server.told[-1]
        assert last.remote is not None
        assert (last.done, last.remote.state, last.remote.service) == (4, "Running", "AzureML")

    def test_stops_the_job_there_when_it_is_stopped_itself(self, pod: CourierGround) -> None:
        def drive(job: Job) -> None:
            job.state("Queued")
            os.kill(os.getpid(), signal.SIGTERM)

        driven(pod, drive)

        assert roles.run("azureml") == 143
        assert word(pod).outcome == "Stopped"
        assert pod.azure.jobs.only.status in ("CancelRequested", "Canceled")  # it need not wait for the second


class TestTheCancelsPod:
    def test_leaves_nothing_active(self, pod: CourierGround) -> None:
        pod.courier({"MILLWRIGHT_STEPS": "0:1"}, uid=UID).submit(lambda told: None, StopFlag())

        assert roles.run("cancel") == 0
        assert word(pod).message == f"canceled on Azure ML: {pod.azure.jobs.only.name}"
        assert pod.azure.jobs.only.status == "Canceled"

    def test_is_well_when_nothing_was_there(self, pod: CourierGround) -> None:
        assert roles.run("cancel") == 0
        assert word(pod).message == "nothing of it runs on Azure ML"

    def test_is_tried_again_while_azure_is_away(self, pod: CourierGround) -> None:
        pod.courier(uid=UID).submit(lambda told: None, StopFlag())
        pod.azure.faults.error(503, times=None)

        assert roles.run("cancel") == 75


class TestAProcess:
    def test_that_is_killed_is_followed_by_one_that_ends_well_with_the_same_job(self, pod: CourierGround) -> None:
        def start() -> WarmProcess:
            given = os.environ | environment(pod)
            return WarmProcess("millwright_runner.pod", ["azureml"], given, pod.folder, loaded=COMMAND)

        first = start()
        job = pod.azure.jobs.arrive(1)[0]
        first.send_signal(signal.SIGKILL)
        first.communicate()
        pod.box(job.name).end(succeeded())
        job.complete()
        second = start()
        out, err = second.communicate(timeout=120)

        assert (second.returncode, word(pod).outcome) == (0, "Succeeded"), out + err
        assert err == ""
        assert len(pod.azure.jobs) == 1
