"""`millwright submit` as a process, with Azure's own SDKs against the stub: what it says, its exit codes, its signals."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.azureml.job import Job
from tests.azureml.stub import Azure
from tests.cliground import Said
from tests.submitground import SubmitGround


@pytest.fixture
def ground(tmp_path: Path, azure: Azure) -> SubmitGround:
    return SubmitGround.make(tmp_path / "ground", azure)


@contextmanager
def followed(ground: SubmitGround, *arguments: str) -> Iterator[tuple[Job, Future[Said]]]:
    """Submits a job that the test drives; yields it, and what the command will have said."""
    with ThreadPoolExecutor(1) as pool:
        said = pool.submit(ground.submit, *arguments)
        (job,) = ground.azure.jobs.arrive()
        yield job, said


def ended(ground: SubmitGround, *arguments: str, code: str, message: str, **log: str) -> Said:
    """Submits a job that fails there."""
    with followed(ground, *arguments) as (job, said):
        job.state("Running").fail(code, message, **log)
        return said.result()


class TestAJobThatRunsThere:
    def test_its_model_is_brought_to_the_folder_and_told_again_by_the_same_command(self, ground: SubmitGround) -> None:
        ground.azure.execute = True

        said = ground.submit()
        again = ground.submit("--quiet")

        name = ground.azure.jobs.only.name
        assert said.code == 0, said.err
        assert [line for line in said.err.splitlines() if not line.startswith("note: ")][:7] == [
            "azure ml    workspace workspace (resource group tests, subscription 11111111-1111-1111-1111-111111111111)",
            "compute     gpu",
            "environment image runner:1",
            "experiment  copy",
            "copy: 1 step on Azure ML",
            "Azure ML: submitting",
            f"job {name}: {ground.url(name)}",
        ]
        assert said.err.endswith("Azure ML: Completed\n")
        model = re.search(r"^model +(/\S+/)$", said.out, re.MULTILINE)
        assert model is not None
        assert Path(model[1]).parent == ground.folder / "out"
        assert (ground.folder / "out" / "model" / "model.safetensors").is_file()
        assert f"report  {ground.folder}/out/report.html" in said.out
        assert (again.code, again.out, again.err) == (0, f"{model[1]}\n", "")

    def test_what_fails_there_fails_here_with_the_manifests_line(self, ground: SubmitGround) -> None:
        ground.azure.execute = True
        ground.write({"steps": 1, "end": "input"}, output={"azureBlob": {"uri": f"{ground.container()}/copy"}})

        said = ground.submit("--json")

        report = json.loads(said.out)
        line = ground.line("steps:")
        assert (said.code, report["reason"], report["exitCode"]) == (2, "InvalidModel", 2)
        assert report["remote"]["name"] == ground.azure.jobs.only.name
        assert said.err.endswith(
            f"InvalidModel: job.yaml:{line}: spec.passes[0].custom.options.steps: it has no head (take one with a head)\n"
        )

    def test_a_whole_search_runs_in_one_job(self, ground: SubmitGround) -> None:
        ground.azure.execute = True
        address = ground.container()
        ground.write_search(output={"azureBlob": {"uri": f"{address}/copy"}})

        said = ground.submit("--quiet")

        container = address.rpartition("/")[2]
        model = said.out.rstrip("\n").removeprefix(f"{address}/")
        assert said.code == 0, said.err
        assert len(ground.azure.jobs) == 1
        rows = ground.azure.blobs.get(container, f"{model}trials.jsonl").splitlines()
        assert [json.loads(row)["number"] for row in rows] == [0, 1]


class TestDetached:
    def test_it_says_how_to_follow_and_how_to_cancel(self, ground: SubmitGround) -> None:
        said = ground.submit("--detach", "--set", "passes.step-0.steps=5")

        name = ground.azure.jobs.only.name
        assert said.code == 0, said.err
        assert said.out.splitlines() == [
            f"job     {name}",
            "state   Starting",
            f"url     {ground.url(name)}",
            "follow  millwright submit job.yaml --set passes.step-0.steps=5",
            "cancel  millwright submit job.yaml --set passes.step-0.steps=5 --cancel",
        ]

    def test_again_it_finds_the_job_that_is_there(self, ground: SubmitGround) -> None:
        first = json.loads(ground.submit("--detach", "--json").out)
        second = json.loads(ground.submit("--detach", "--json").out)

        assert (first["submitted"], second["submitted"]) == (True, False)
        assert first["name"] == second["name"] == ground.azure.jobs.only.name

    def test_another_recipe_is_another_job(self, ground: SubmitGround) -> None:
        ground.submit("--detach", "--quiet")
        said = ground.submit("--detach", "--quiet", "--set", "passes.step-0.steps=5")

        assert len(ground.azure.jobs) == 2
        assert said.out.rstrip() in list(ground.azure.jobs)

    def test_what_is_for_a_cluster_and_what_does_not_travel_is_said(self, ground: SubmitGround) -> None:
        ground.write(retry={"maxAttempts": 5}, activeDeadlineSeconds=3600)

        said = ground.submit("--detach", MILLWRIGHT_SIGNING_KEY="a key")

        assert said.err.startswith("For a cluster, ignored on this machine: spec.retry\n")
        assert "note: the key in MILLWRIGHT_SIGNING_KEY is not handed over: spec.output.sign does not ask" in said.err
        assert ground.azure.jobs.only.definition["limits"]["timeout"] == "PT1H"


class TestCancel:
    def test_what_runs_is_canceled(self, ground: SubmitGround) -> None:
        name = ground.submit("--detach", "--quiet").out.rstrip()

        said = ground.submit("--cancel")
        again = ground.submit("--cancel")

        assert (said.code, said.out) == (0, f"canceled {name}, which was Starting\n")
        assert ground.azure.jobs.only.status == "Canceled"
        assert again.out == "nothing of it runs on Azure ML\n"

    def test_as_json(self, ground: SubmitGround) -> None:
        name = ground.submit("--detach", "--quiet").out.rstrip()

        said = json.loads(ground.submit("--cancel", "--json").out)

        assert [job["name"] for job in said["canceled"]] == [name]


class TestSignals:
    @pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
    def test_nobody_follows_any_more_and_the_job_goes_on(
        self, ground: SubmitGround, number: signal.Signals, code: int
    ) -> None:
        with ground.cli.started("submit", "job.yaml", "--json") as process:
            (job,) = ground.azure.jobs.arrive()
            job.state("Running")
            assert process.stderr is not None
            assert any("Azure ML: Running" in line for line in process.stderr)
            process.send_signal(number)
            out, err = process.communicate(timeout=60)

        assert process.returncode == code
        assert job.status == "Running"
        assert err == (
            f"Stopped: {number.name}: no longer followed; the job goes on on Azure ML as {job.name}\n"
            "  hint: follow it again: millwright submit job.yaml; cancel it: millwright submit job.yaml --cancel\n"
        )
        report = json.loads(out)
        assert (report["outcome"], report["remote"]["name"]) == ("Stopped", job.name)

    def test_a_service_that_is_silent_keeps_nobody_who_presses_twice(self, ground: SubmitGround) -> None:
        ground.azure.faults.hang("PUT .*/jobs/")

        with ground.cli.started("submit", "job.yaml") as process:
            ground.until_asked("PUT .*/jobs/")
            process.send_signal(signal.SIGINT)
            assert process.stderr is not None
            assert any("Ctrl-C again leaves at once" in line for line in process.stderr)
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=60)

        assert process.returncode == 130

    def test_a_job_that_arrives_after_the_stop_is_stopped(self, ground: SubmitGround) -> None:
        ground.azure.faults.delay(1, "PUT .*/jobs/")

        with ground.cli.started("submit", "job.yaml") as process:
            ground.until_asked("PUT .*/jobs/")
            process.send_signal(signal.SIGTERM)
            _, err = process.communicate(timeout=60)

        assert process.returncode == 143
        assert "SIGTERM: stopping before there is a job\n" in err
        assert "Stopped: SIGTERM: stopped before there was a job on Azure ML\n" in err
        assert ground.azure.jobs.only.status == "CancelRequested"

    def test_the_same_command_follows_it_again(self, ground: SubmitGround) -> None:
        ground.submit("--detach")
        job = ground.azure.jobs.only.state("Running")

        with ThreadPoolExecutor(1) as pool:
            following = pool.submit(ground.submit)
            ground.until_asked(f"GET .*/jobs/{job.name}")
            job.fail("UserError", "it broke")
            said = following.result()

        assert (said.code, len(ground.azure.jobs)) == (1, 1)
        assert "AzureMLJobFailed" in said.err


class TestOnATerminal:
    def test_it_redraws_itself_and_shows_the_state_there(self, ground: SubmitGround) -> None:
        with ThreadPoolExecutor(1) as pool:
            following = pool.submit(ground.cli.on_terminal, "submit", "job.yaml")
            (job,) = ground.azure.jobs.arrive()
            job.state("Running").fail("UserError", "it broke")
            said = following.result()

        assert said.code == 1
        assert said.out.count("\x1b[?25l") == said.out.count("\x1b[?25h") == 1
        assert "Azure ML: Failed" in said.out


class TestWhatEndsThere:
    def test_a_failure_without_the_runners_word_has_the_end_of_the_log(self, ground: SubmitGround) -> None:
        said = ended(ground, code="UserError", message="Exit status: 137", log="loading\nKilled\n")

        assert said.code == 1
        assert "AzureMLJobFailed: the job copy-" in said.err
        assert "Exit status: 137" in said.err
        assert "  Killed\n" in said.err

    def test_an_image_that_cannot_be_built_has_the_end_of_the_builds_log(self, ground: SubmitGround) -> None:
        ground.azure.jobs.builds = "Step 3/5: RUN conda env create\nERROR: no package torch=99\n"
        ground.write(azure_ml={"environment": {"image": "base", "conda": "name: x\ndependencies: [torch=99]\n"}})

        said = ground.submit()

        assert said.code == 2
        assert "EnvironmentBuildFailed: " in said.err
        assert "  ERROR: no package torch=99\n" in said.err

    def test_somebody_elses_cancel(self, ground: SubmitGround) -> None:
        with followed(ground) as (job, following):
            job.state("Running").cancel()
            said = following.result()

        assert said.code == 2
        assert "AzureMLJobCanceled: " in said.err
        assert job.name in said.err

    def test_after_that_the_same_command_submits_anew(self, ground: SubmitGround) -> None:
        ended(ground, code="UserError", message="it broke")

        said = ground.submit("--detach", "--json")

        assert json.loads(said.out)["submitted"] is True
        assert len(ground.azure.jobs) == 2


class TestBadInput:
    """Each has its own reason and message, before anything was submitted."""

    def refused(self, ground: SubmitGround, reason: str, *words: str, **environment: str) -> str:
        said = ground.submit(**environment)

        assert (said.code, said.out) == (2, "")
        assert said.err.startswith(f"{reason}: "), said.err
        for expected in words:
            assert expected in said.err
        assert len(ground.azure.jobs) == 0
        return said.err

    def test_a_manifest_that_does_not_say_how(self, ground: SubmitGround) -> None:
        ground.cli.write_job()

        self.refused(
            ground, "InvalidManifest", "spec.execution.azureML: nothing says how to run on Azure ML", "compute: gpu"
        )

    def test_no_credentials(self, ground: SubmitGround) -> None:
        for name in ("AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET", "AZURE_TENANT_ID"):
            del ground.cli.more[name]

        self.refused(ground, "CredentialsMissing", "AZURE_CLIENT_ID", AZURE_TOKEN_CREDENTIALS="EnvironmentCredential")

    def test_a_wrong_secret(self, ground: SubmitGround) -> None:
        told = self.refused(ground, "LoginFailed", AZURE_CLIENT_SECRET="no-such-secret")

        assert "no-such-secret" not in told

    def test_a_tenant_that_is_not_the_subscriptions(self, ground: SubmitGround) -> None:
        message = (
            "The access token is from the wrong issuer. It must match the tenant associated with this subscription."
        )
        ground.azure.faults.refuse("/subscriptions/", "InvalidAuthenticationTokenTenant", message, status=401)

        self.refused(ground, "WrongTenant", "AZURE_TENANT_ID")

    def test_nobody_says_which_workspace(self, ground: SubmitGround) -> None:
        self.refused(
            ground, "WorkspaceNotFound", "spec.execution.azureML", AZUREML_WORKSPACE_NAME="", AZURE_RESOURCE_GROUP=""
        )

    def test_a_workspace_that_is_not_there_suggests_those_that_are(self, ground: SubmitGround) -> None:
        self.refused(ground, "WorkspaceNotFound", "did you mean 'workspace'?", AZUREML_WORKSPACE_NAME="workspce")

    def test_a_compute_that_is_not_there_suggests_those_that_are(self, ground: SubmitGround) -> None:
        ground.write(azure_ml={"compute": "gpuu"})

        line = ground.line("compute:")

        self.refused(
            ground,
            "ComputeNotFound",
            f"job.yaml:{line}: spec.execution.azureML.compute: the workspace has no compute 'gpuu'",
            "did you mean 'gpu'?",
        )

    def test_a_compute_that_is_stopped(self, ground: SubmitGround) -> None:
        ground.azure.compute("box", kind="ComputeInstance", state="Stopped")
        ground.write(azure_ml={"compute": "box"})

        self.refused(ground, "ComputeStopped", "spec.execution.azureML.compute", "box")

    def test_an_environment_that_is_not_there(self, ground: SubmitGround) -> None:
        ground.azure.environment("runner", ("1",))
        ground.write(azure_ml={"environment": {"name": "runner", "version": "2"}})

        self.refused(ground, "EnvironmentNotFound", "spec.execution.azureML.environment", "1")

    def test_a_quota_that_is_used_up(self, ground: SubmitGround) -> None:
        ground.azure.faults.quota()

        said = ground.submit()

        assert said.code == 2
        assert "\nQuotaExceeded: " in said.err

    def test_a_model_that_does_not_lie_below_the_manifest_cannot_travel(self, ground: SubmitGround) -> None:
        outside = ground.folder.parent / "elsewhere"
        (ground.folder / "model").rename(outside)
        ground.write(model={"path": "../elsewhere"})

        said = ground.submit()

        assert said.code == 2
        assert "spec.model.path: " in said.err
        assert "does not lie below the manifest's folder" in said.err

    def test_what_is_wrong_here_and_there_is_told_at_once(self, ground: SubmitGround) -> None:
        ground.write(model={"path": "modle"}, azure_ml={"compute": "gpuu"})

        said = ground.submit()

        assert said.code == 2
        assert said.err.splitlines()[0] == "ModelNotFound: 2 problems"
        assert f"  job.yaml:{ground.line('path: modle')}: spec.model.path: modle: there is no such folder" in said.err
        assert f"  job.yaml:{ground.line('compute:')}: spec.execution.azureML.compute: the workspace has no" in said.err

    def test_detach_and_cancel_exclude_one_another(self, ground: SubmitGround) -> None:
        said = ground.submit("--detach", "--cancel")

        assert (said.code, said.err) == (2, "UsageError: --detach and --cancel exclude one another\n")


def test_a_service_that_is_away_for_a_while_is_outwaited(ground: SubmitGround) -> None:
    ground.azure.faults.error(503, times=4, path="PUT .*/jobs/")

    said = ground.submit("--detach", "--quiet")

    assert said.code == 0, said.err
    assert said.out.rstrip() == ground.azure.jobs.only.name
