"""What a person sees of a job on Azure ML: plain lines, the live view; and what is said of Azure without asking it."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from millwright_api.report import Progress, Remote, RunReport
from millwright_api.v1alpha1 import OptimizationJob
from millwright_runner.cli import azureml, failures
from millwright_runner.cli.live_remote import RemoteView
from millwright_runner.cli.remote_views import RemoteLines, RemoteWatch
from millwright_runner.manifest import Manifest

URL = "https://ml.azure.com/runs/emotion-1"
WORKSPACE = {"subscriptionId": "11111111-2222-3333-4444-555555555555", "resourceGroup": "team", "workspace": "ml-team"}
STEPS = ("finetune", "merge", "genai")


def make_job(azure_ml: dict[str, Any] | None = None, **spec: Any) -> OptimizationJob:
    execution = (
        {} if azure_ml is None else {"execution": {"azureML": {"environment": {"image": "runner:1"}, **azure_ml}}}
    )
    return OptimizationJob.model_validate({
        "apiVersion": "millwright.dev/v1alpha1",
        "kind": "OptimizationJob",
        "metadata": {"name": "emotion"},
        "spec": {
            "model": {"path": "m"},
            "data": [{"name": "train", "source": {"path": "t.jsonl"}, "text": {}}],
            "passes": [{"name": "finetune", "lora": {"trainData": "train"}}, {"merge": {}}, {"genai": {}}],
            "output": {"path": "out"},
            **execution,
            **spec,
        },
    })  # fmt: skip


def at(step: int, message: str, state: str, number: int = 1, **figures: Any) -> Progress:
    remote = Remote(name=f"emotion-{number}", state=state, url=URL)
    return Progress(step_name=STEPS[step], step_index=step, steps=3, message=message, remote=remote, **figures)


def waiting(state: str) -> Progress:
    return at(0, f"Azure ML: {state}", state)


class TestLines:
    @pytest.fixture
    def lines(self) -> tuple[RemoteLines, Callable[[], list[str]]]:
        out = io.StringIO()
        watch = RemoteLines(out, lambda: 0.0)
        watch.about(make_job({"compute": "gpu"}))
        return watch, lambda: out.getvalue().splitlines()

    def test_each_state_is_said_once_and_then_what_the_runner_says(self, lines: Any) -> None:
        watch, said = lines

        for state in ("Queued", "Queued", "Preparing", "Running"):
            watch.progress(waiting(state))
        watch.progress(at(0, "training", "Running", done=1, total=3, loss=1.5))
        watch.progress(at(1, "merging", "Running"))

        assert said() == [
            "emotion: 3 steps on Azure ML",
            f"job emotion-1: {URL}",
            "Azure ML: Queued",
            "Azure ML: Preparing",
            "Azure ML: Running",
            "finetune (1/3): training 1/3, loss 1.5",
            "merge (2/3): merging",
        ]

    def test_a_job_in_the_place_of_another_is_named(self, lines: Any) -> None:
        watch, said = lines
        watch.progress(at(0, "training", "Running"))

        watch.progress(at(0, "Azure ML: Queued", "Queued", number=2))

        assert said()[-2:] == [f"job emotion-2: {URL}", "Azure ML: Queued"]

    def test_what_is_about_the_service_is_said_once_and_without_a_step(self, lines: Any) -> None:
        watch, said = lines
        watch.progress(at(0, "training", "Running"))

        for _ in range(2):
            watch.progress(at(0, "Azure ML: it asks for fewer questions; trying again", "Running"))
        watch.progress(at(0, "training", "Running", done=2, total=3))

        assert said()[-2:] == [
            "Azure ML: it asks for fewer questions; trying again",
            "finetune (1/3): training 2/3",
        ]


class TestLiveView:
    def view(self, width: int = 80) -> tuple[RemoteView, Callable[[], list[str]]]:
        console = Console(
            file=io.StringIO(), width=width, height=40, force_terminal=True, color_system=None, legacy_windows=False
        )
        time = [100.0]
        view = RemoteView(console, lambda: time[0])
        time[0] += 65
        view.about(make_job({"compute": "gpu"}))

        def lines() -> list[str]:
            with console.capture() as captured:
                console.print(view)
            return [line.rstrip() for line in captured.get().splitlines()]

        return view, lines

    def test_before_there_is_a_job_all_steps_wait(self) -> None:
        _, lines = self.view()

        assert lines() == [
            "emotion · 3 steps · 1 min 05 s", "· finetune  waiting", "· merge     waiting", "· genai     waiting"
        ]  # fmt: skip

    def test_a_job_in_the_queue_says_so(self) -> None:
        view, lines = self.view()

        view.progress(waiting("Queued"))

        assert lines()[0] == "emotion · 3 steps · Azure ML: Queued · 1 min 05 s"
        assert lines()[1][1:] == " finetune  Azure ML: Queued"
        assert lines()[-1] == URL

    def test_steps_before_the_running_one_are_done(self) -> None:
        view, lines = self.view()

        view.progress(at(1, "merging", "Running", done=1, total=2))

        assert lines()[1] == "✓ finetune" + " " * 22 + "done"
        assert lines()[2].endswith("merging  1/2")
        assert lines()[3].startswith("· genai")

    @pytest.mark.parametrize("width", [20, 40, 80])
    def test_it_keeps_to_the_screens_width(self, width: int) -> None:
        view, lines = self.view(width)

        view.progress(at(0, "training", "Running", done=99_999, total=100_000, loss=1.2345, eta_seconds=86_400))

        assert len(lines()) == 5
        assert max(map(len, lines())) <= width


def test_nobody_keeps_the_latest_state(capfd: pytest.CaptureFixture[str]) -> None:
    with RemoteWatch() as watch:
        watch.about(make_job({"compute": "gpu"}))
        watch.progress(waiting("Queued"))
        watch.progress(at(0, "training", "Running"))

    assert capfd.readouterr() == ("", "")
    assert watch.remote is not None
    assert watch.remote.state == "Running"


class TestWords:
    @pytest.mark.parametrize(
        ("execution", "compute"),
        [
            ({"compute": "gpu"}, "compute gpu"),
            ({"compute": "arc", "instanceType": "large"}, "compute arc (instance type large)"),
            ({"instanceType": "Standard_NC24ads_A100_v4"}, "serverless Standard_NC24ads_A100_v4"),
            ({"instanceType": "Standard_DS3_v2", "tier": "Spot"}, "serverless Standard_DS3_v2 (Spot)"),
        ],
    )
    def test_the_compute(self, execution: dict[str, Any], compute: str) -> None:
        azure_ml = make_job(execution).spec.execution.azure_ml

        assert azure_ml is not None
        assert azureml.compute_of(azure_ml) == compute

    @pytest.mark.parametrize(
        ("environment", "text"),
        [
            ({"image": "runner:1"}, "image runner:1"),
            ({"image": "base", "condaFile": "env.yaml"}, "image base with env.yaml"),
            ({"image": "base", "conda": "name: x"}, "image base with conda packages"),
            ({"build": {"path": "docker/"}}, "built from docker/Dockerfile"),
            ({"name": "acpt", "version": "3"}, "acpt:3"),
            ({"name": "acpt", "registry": "azureml"}, "acpt@latest of the registry azureml"),
        ],
    )
    def test_the_environment(self, environment: dict[str, Any], text: str) -> None:
        azure_ml = make_job({"compute": "gpu", "environment": environment}).spec.execution.azure_ml

        assert azure_ml is not None
        assert azureml.environment_of(azure_ml) == text

    def test_where_it_runs_in_rows(self, tmp_path: Path) -> None:
        job = make_job({"compute": "gpu", "experiment": "tones", **WORKSPACE})

        assert job.spec.execution.azure_ml is not None
        assert azureml.rows(Manifest(job, tmp_path, "job.yaml"), job.spec.execution.azure_ml) == [
            ("azure ml", f"workspace ml-team (resource group team, subscription {WORKSPACE['subscriptionId']})"),
            ("compute", "gpu"),
            ("environment", "image runner:1"),
            ("experiment", "tones"),
        ]

    def test_a_workspace_that_nobody_names_is_no_error_of_plan(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in ("AZURE_SUBSCRIPTION_ID", "AZUREML_ARM_SUBSCRIPTION"):
            monkeypatch.delenv(name, raising=False)
        job = make_job({"compute": "gpu"})

        assert job.spec.execution.azure_ml is not None
        first = azureml.rows(Manifest(job, tmp_path, "job.yaml"), job.spec.execution.azure_ml)[0]

        assert first == ("azure ml", "nobody says which workspace of Azure ML")

    def test_what_lies_in_azure_is_named_by_its_path(self) -> None:
        blob = {"azureBlob": {"uri": "https://team.blob.core.windows.net/data/train.jsonl"}}
        data = [{"name": "train", "source": blob, "text": {}}]
        job = make_job(model={"azureML": {"registry": "azureml", "name": "Phi"}}, data=data, output=blob)

        assert azureml.named(job) == ["spec.model.azureML", "spec.data[0].source.azureBlob", "spec.output.azureBlob"]
        assert azureml.told(job) == ["in Azure: model and data train and output"]
        assert azureml.as_document(job) == {"inAzure": azureml.named(job)}

    def test_of_a_job_without_azure_nothing_is_said(self) -> None:
        assert (azureml.told(make_job()), azureml.as_document(make_job())) == ([], {})


class TestAFailureThere:
    def failed(self, **fields: Any) -> failures.RemoteFailed:
        report = {"outcome": "Failed", "reason": "PassFailed", "exit_code": 1, "message": "obey failed"} | fields
        return failures.RemoteFailed(RunReport.model_validate(report))

    def test_reason_and_exit_code_are_the_runners(self) -> None:
        failure = self.failed(reason="ConstraintsNotMet", exit_code=3)

        assert (failure.reason, failures.exit_code(failure), failure.hint) == ("ConstraintsNotMet", 3, None)

    def test_what_can_heal_says_so(self) -> None:
        assert self.failed(reason="Damaged", exit_code=75).hint == failures.AGAIN
        assert self.failed(outcome="Stopped", reason="Stopped", exit_code=143).hint == failures.AGAIN

    def test_the_end_of_a_log_is_shown_below_the_message(self) -> None:
        out = io.StringIO()
        message = "the image could not be built\nStep 3/5: RUN pip install\nERROR: no such package"

        failures.tell(self.failed(reason="EnvironmentBuildFailed", exit_code=2, message=message), Console(file=out))

        assert out.getvalue().splitlines() == [
            "EnvironmentBuildFailed: the image could not be built",
            "  Step 3/5: RUN pip install",
            "  ERROR: no such package",
        ]
