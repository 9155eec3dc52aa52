"""What a person sees of a job on a cluster: lines for logs, the live view, JSON for programs."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from rich.console import Console
from tests import jobstates as states

from millwright_api.errors import UserError
from millwright_runner.cli.jobs.lines import JobLines, JsonLines
from millwright_runner.cli.jobs.live import LiveJob
from millwright_runner.cli.jobs.look import StatusNotUnderstood, happening, look, when
from millwright_runner.cli.watch_ import result


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class TestLook:
    def test_steps_are_known_before_anything_ran(self) -> None:
        seen = look(states.job())

        assert [(entry.name, entry.phase) for entry in seen.passes] == [
            ("finetune", "Pending"), ("merge", "Pending"), ("genai", "Pending"),
        ]  # fmt: skip

    def test_a_plug_ins_step_has_its_passes_name(self) -> None:
        body = states.job()
        body["spec"]["passes"] = [{"custom": {"pass": "drop-layers"}}, {"name": "b", "custom": {"pass": "drop-layers"}}]

        assert look(body).steps == ("drop-layers", "b")

    def test_a_job_that_no_operator_has_seen_says_so(self) -> None:
        assert look(states.job()).headline().startswith("Pending: no operator has looked at it yet")

    def test_a_change_that_was_not_looked_at_says_so(self) -> None:
        body = states.stalled()
        body["metadata"]["generation"] = 2

        assert look(body).headline() == "Stalled: the last change of the manifest has not been looked at yet"

    @pytest.mark.parametrize(
        ("body", "headline"),
        [
            (states.validating(), "Validating: looking at the job"),
            (states.running(), "Running: stage 1 of 2 (finetune, merge), attempt 1 of 3"),
            (states.complete(), "Succeeded: published onnx-genai to s3://team-a/models/emotion/abc/"),
            (states.failed(), "Failed: OOMKilled: attempt 3 of 3: the container was killed for memory: limit 2Gi"),
            (states.job({"phase": "Pending"}), "Pending"),
        ],
    )
    def test_the_headline_is_the_phase_and_why(self, body: states.Json, headline: str) -> None:
        assert look(body).headline() == headline

    @pytest.mark.parametrize(
        ("body", "ended"), [(states.complete(), "Complete"), (states.failed(), "Failed"), (states.running(), None), (states.stalled(), None)]
    )  # fmt: skip
    def test_how_it_ended_is_told_by_conditions(self, body: states.Json, ended: str | None) -> None:
        assert look(body).ended == ended

    def test_a_finding_of_the_preflight_wants_an_edit_or_another_try(self) -> None:
        advice = look(states.stalled()).advice()

        assert advice.startswith("mend the manifest and apply it again")
        assert "kubectl annotate optjob emotion -n team-a --overwrite millwright.dev/requested-at=" in advice

    def test_what_holds_up_a_started_job_can_be_mended_outside_of_it(self) -> None:
        advice = look(states.stalled("SecretNotFound", started=True)).advice()

        assert advice == "create the Secret; the pod starts by itself"

    @pytest.mark.parametrize("body", [states.running(), states.failed(), states.complete(), states.job()])
    def test_no_advice_where_nothing_waits_for_a_person(self, body: states.Json) -> None:
        assert look(body).advice() == ""

    def test_what_kopf_keeps_in_the_status_is_not_the_jobs(self) -> None:
        body = states.validating()
        body["status"]["kopf"] = {"progress": {}}

        assert "kopf" not in look(body).said

    def test_fields_of_a_newer_operator_are_passed_over(self) -> None:
        body = states.validating()
        body["status"]["trials"] = 3

        assert look(body).status.phase == "Validating"

    def test_a_phase_of_a_newer_operator_is_refused_with_its_place(self) -> None:
        with pytest.raises(StatusNotUnderstood, match=r"status\.phase: found 'Searching'") as caught:
            look(states.job({"phase": "Searching"}))

        assert isinstance(caught.value, UserError)


class TestLines:
    @pytest.fixture
    def clock(self) -> Clock:
        return Clock()

    @pytest.fixture
    def lines(self, clock: Clock) -> tuple[JobLines, Callable[[], list[str]]]:
        out = io.StringIO()
        return JobLines(out, clock), lambda: out.getvalue().splitlines()

    def test_a_life_is_told_in_order_and_nothing_twice(self, lines: Any) -> None:
        view, said = lines

        for body in (
            states.job(),
            states.validating(),
            states.validating(),
            states.running(),
            states.running(),
            states.complete(),
        ):
            view.show(look(body))  # fmt: skip

        assert said() == [
            "team-a/emotion: Pending: no operator has looked at it yet (does one run, and does it watch this namespace?)",
            "team-a/emotion: Validating: looking at the job",
            "team-a/emotion: Running: stage 1 of 2 (finetune, merge), attempt 1 of 3",
            "finetune (1/3): training 20/100, loss 1.234, 1m20s left",
            "team-a/emotion: Succeeded: published onnx-genai to s3://team-a/models/emotion/abc/",
            "finetune (1/3): done in 1 min 02 s, went on from step 40",
            "merge (2/3): from the cache",
            "genai (3/3): done in 8.2 s",
        ]

    def test_training_is_not_told_step_by_step(self, lines: Any, clock: Clock) -> None:
        view, said = lines

        for done in range(0, 100, 5):
            view.show(look(states.running(done)))
            clock.now += 1

        training = [line for line in said() if "training" in line]
        assert len(training) == 4

    def test_a_slow_step_is_told_each_minute(self, lines: Any, clock: Clock) -> None:
        view, said = lines

        for _ in range(3):
            view.show(look(states.running(20)))
            clock.now += 60

        assert len([line for line in said() if "training 20/100" in line]) == 3

    def test_each_phase_of_a_step_is_told_at_once(self, lines: Any) -> None:
        view, said = lines

        for message in ("loading the model", "training", "saving"):
            view.show(look(states.running(message=message)))

        assert [line.split(": ")[1].split(" ")[0] for line in said()[1:]] == ["loading", "training", "saving"]

    def test_another_attempt_is_told(self, lines: Any) -> None:
        view, said = lines

        view.show(look(states.running()))
        view.show(look(states.running(attempts=2)))

        assert said()[-1] == "team-a/emotion: Running: stage 1 of 2 (finetune, merge), attempt 2 of 3"

    def test_a_job_that_waits_for_a_person_says_for_what(self, lines: Any) -> None:
        view, said = lines

        view.show(look(states.stalled()))

        assert said()[0].startswith("team-a/emotion: Stalled: DataNotFound: spec.data[0].source.s3.uri: there is no")
        assert said()[1].startswith("what to do: mend the manifest")

    def test_what_comes_back_after_something_else_is_news_again(self, lines: Any) -> None:
        view, said = lines

        for body in (states.stalled(), states.validating(), states.stalled()):
            view.show(look(body))

        assert len([line for line in said() if "what to do" in line]) == 2

    def test_warnings_are_told_once_and_other_events_not_at_all(self, lines: Any) -> None:
        view, said = lines
        warning = states.event("AttemptFailed", "exit 75: the store is gone", kind="Warning")

        for body in (states.event("StageStarted", "stage 1 of 2"), warning, warning):
            view.event(happening(body))

        assert said() == ["warning: AttemptFailed: exit 75: the store is gone"]


def on_azure_ml(body: states.Json, state: str) -> states.Json:
    """Returns the job as it is with execution.azureML."""
    body["status"]["remote"] = {"service": "AzureML", "name": "emotion-1", "state": state, "url": STUDIO}
    return body


STUDIO = "https://ml.azure.com/runs/emotion-1"


class TestOnAzureML:
    def test_the_job_there_is_named_once_and_each_of_its_states(self) -> None:
        out = io.StringIO()
        view = JobLines(out, Clock())

        view.show(look(on_azure_ml(states.running(message="Azure ML: Queued"), "Queued")))
        view.show(look(on_azure_ml(states.running(20), "Running")))

        assert out.getvalue().splitlines() == [
            "team-a/emotion: Running: stage 1 of 2 (finetune, merge), attempt 1 of 3",
            f"job emotion-1: {STUDIO}",
            "Azure ML: Queued",
            "Azure ML: Running",
            "finetune (1/3): training 20/100, loss 1.234, 1m20s left",
        ]

    def test_the_live_view_has_its_state_and_its_address(self) -> None:
        console = Console(file=io.StringIO(), width=100, height=40, force_terminal=True, color_system=None)
        view = LiveJob(console, lambda: datetime(2026, 11, 21, 8, 1, 5, tzinfo=UTC))
        view.show(look(on_azure_ml(states.running(50), "Running")))

        with console.capture() as captured:
            console.print(view)

        assert captured.get().splitlines()[-1] == f"Azure ML: Running  {STUDIO}"


class TestJson:
    def test_each_change_of_the_status_is_one_line(self) -> None:
        out = io.StringIO()
        view = JsonLines(out)

        for body in (states.job(), states.running(20), states.running(20), states.running(40)):
            view.show(look(body))
        view.note("connection lost")

        documents = [json.loads(line) for line in out.getvalue().splitlines()]
        assert [document["status"].get("phase") for document in documents] == [None, "Running", "Running"]
        assert documents[0] == {
            "namespace": "team-a", "name": "emotion", "uid": states.UID, "generation": 1, "status": {"observedGeneration": -1},
        }  # fmt: skip


class TestLiveView:
    def view(self, width: int = 100) -> tuple[LiveJob, Callable[[], list[str]]]:
        console = Console(
            file=io.StringIO(), width=width, height=40, force_terminal=True, color_system=None, legacy_windows=False
        )
        view = LiveJob(console, lambda: datetime(2026, 11, 21, 8, 1, 5, tzinfo=UTC))

        def lines() -> list[str]:
            with console.capture() as captured:
                console.print(view)
            return [line.rstrip() for line in captured.get().splitlines()]

        return view, lines

    def test_before_the_first_answer_it_says_what_it_waits_for(self) -> None:
        _, lines = self.view()

        assert lines() == ["asking the cluster …"]

    def test_the_running_step_has_stage_bar_count_loss_and_time_left(self) -> None:
        view, lines = self.view()

        view.show(look(states.running(50)))

        title, finetune, merge, genai, headline = lines()
        assert title == "team-a/emotion · 3 steps · 1 min 05 s · 2 stages"
        assert finetune[0] in "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
        assert finetune[1:].split("━")[0] == " finetune stage 1 "
        assert finetune.endswith("training  50/100  loss 1.234  1m20s left")
        assert merge == "· merge    stage 1" + " " * 34 + "waiting"
        assert genai.startswith("· genai    stage 2")
        assert headline == "Running: stage 1 of 2 (finetune, merge), attempt 1 of 3"

    def test_the_curve_of_the_loss_grows_with_each_report(self) -> None:
        view, lines = self.view(width=120)

        for done, loss in enumerate([8.0, 6.0, 4.0, 2.0, 1.0], 1):
            view.show(look(states.running(done, loss)))

        assert "loss 1  █▆▄▂▁" in lines()[1]

    def test_more_attempts_than_stages_are_counted(self) -> None:
        view, lines = self.view()

        view.show(look(states.running(attempts=3)))

        assert lines()[0].endswith("2 stages · 3 attempts")

    def test_how_steps_ended_is_marked_and_the_clock_stands_still(self) -> None:
        view, lines = self.view()

        view.show(look(states.complete()))

        assert lines() == [
            "team-a/emotion · 3 steps · 1 min 23 s · 2 stages",
            "✓ finetune stage 1  done in 1 min 02 s, went on from step 40",
            "✓ merge    stage 1  from the cache",
            "✓ genai    stage 2  done in 8.2 s",
            "Succeeded: published onnx-genai to s3://team-a/models/emotion/abc/",
        ]

    def test_a_failure_has_its_reason_and_message(self) -> None:
        view, lines = self.view()

        view.show(look(states.failed()))

        assert lines()[1].startswith("✗ finetune")
        assert "Failed: OOMKilled: attempt 3 of 3" in lines()[4]

    def test_a_job_that_waits_for_a_person_says_for_what(self) -> None:
        view, lines = self.view(width=300)

        view.show(look(states.stalled()))

        assert lines()[-1].startswith("what to do: mend the manifest")

    def test_the_newest_four_events_are_shown_in_their_order(self) -> None:
        view, lines = self.view()
        view.show(look(states.running()))

        for second in (5, 3, 1, 2, 4, 4):
            view.event(happening(states.event(f"Event{second}", f"number {second}", second=second)))

        assert lines()[-4:] == [f"08:00:{s:02d} Event{s}  number {s}" for s in (2, 3, 4, 5)]

    def test_a_lost_connection_is_shown_until_the_next_news(self) -> None:
        view, lines = self.view()
        view.show(look(states.running()))

        view.note("connection lost, trying again: refused")
        shown = lines()[-1]
        view.show(look(states.running(40)))

        assert shown == "connection lost, trying again: refused"
        assert "connection lost" not in "\n".join(lines())

    @pytest.mark.parametrize("width", [20, 40, 60, 80])
    def test_it_keeps_to_the_screens_width(self, width: int) -> None:
        view, lines = self.view(width)

        view.show(look(states.running(50)))
        view.event(happening(states.event("AttemptFailed", "x" * 200, kind="Warning")))

        assert max(map(len, lines())) <= width

    def test_how_a_step_ended_is_seen_on_a_narrow_screen_too(self) -> None:
        body = states.complete()
        body["status"]["passes"][0]["name"] = "a-name-as-long-as-the-screen-is-wide"
        view, lines = self.view(width=40)

        view.show(look(body))

        assert [line[:2] for line in lines()[1:4]] == ["✓ "] * 3


class TestResult:
    def test_it_says_where_the_model_is_and_what_it_took(self) -> None:
        text = result(look(states.complete()))

        assert text.split("\n")[:4] == [
            "job     team-a/emotion",
            "model   s3://team-a/models/emotion/abc/",
            "size    4.28 MB in 7 files, format onnx-genai",
            "time    1 min 23 s (finetune 1 min 02 s, merge cached, genai 8.2 s)",
        ]

    def test_a_model_in_a_bucket_comes_with_the_way_to_try_it(self) -> None:
        assert "aws s3 cp --recursive s3://team-a/models/emotion/abc/ model\n" in result(look(states.complete()))

    def test_a_model_in_a_volume_cannot_be_tried_from_here(self) -> None:
        body = states.complete()
        body["status"]["artifacts"][0]["uri"] = "/volumes/models/emotion/abc/"

        assert "Try it" not in result(look(body))


def test_times_are_read_in_any_zone_as_utc() -> None:
    assert when("2026-11-21T10:00:00+02:00") == when("2026-11-21T08:00:00Z") == datetime(2026, 11, 21, 8, tzinfo=UTC)
