"""Status in every state: what kstatus makes of it, what stays as it was, and that it is never too large."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any, get_args

import pytest
from tests.unit.operator.kstatus import kstatus

from millwright_api.status import (
    STATUS_BYTES,
    Condition,
    ConditionType,
    ConstraintStatus,
    EvaluationStatus,
    JobPhase,
    MeasurementStatus,
    MetricStatus,
    PassStatus,
    StageStatus,
    Status,
)
from millwright_operator.conditions import Said, State, condition, conditions, finished
from millwright_operator.fitting import fitted, size

NOW = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)
VALID = Said("True", "SpecValid")
STATES = [
    (State("Validating", "Validating", "", Said("Unknown", "Validating")), "InProgress"),
    (State("Pending", "StagePending", "", VALID), "InProgress"),
    (State("Pending", "Unschedulable", "", VALID), "InProgress"),
    (State("Queued", "QueuedForQuota", "", VALID), "InProgress"),
    (State("Running", "StageRunning", "", VALID), "InProgress"),
    (State("Running", "Publishing", "", VALID), "InProgress"),
    (State("Suspended", "SuspendedByUser", "", VALID), "InProgress"),
    (State("Stalled", "SecretNotFound", "", VALID, stalled=True), "Failed"),
    (State("Stalled", "DataNotFound", "", Said("False", "DataNotFound"), stalled=True), "Failed"),
    (State("Failed", "PassFailed", "", VALID), "Failed"),
    (State("Succeeded", "Succeeded", "", VALID), "Current"),
    (State("Failed", "ConstraintsNotMet", "", VALID, judged=Said("False", "ConstraintsNotMet")), "Failed"),
    (State("Failed", "StoreUnavailable", "", VALID, judged=Said("True", "ConstraintsMet")), "Failed"),
    (State("Succeeded", "Warned", "", VALID, judged=Said("False", "ConstraintsNotMet")), "Current"),
    (State("Succeeded", "FiguresLost", "", VALID, judged=Said("Unknown", "FiguresLost")), "Current"),
]


def told(state: State, before: Status | None = None, generation: int = 3) -> dict[str, Any]:
    return {c.type: c for c in conditions(state, before or Status(), generation, NOW)}


def body(state: State, generation: int = 3) -> dict[str, Any]:
    status = Status(observed_generation=3, conditions=list(told(state).values()))
    return {"metadata": {"generation": generation}, "status": json.loads(status.model_dump_json())}


class TestKstatus:
    @pytest.mark.parametrize(("state", "expected"), STATES, ids=lambda s: s if isinstance(s, str) else s.reason)
    def test_every_state_is_read_as_it_is(self, state: State, expected: str) -> None:
        assert kstatus(body(state)) == expected

    def test_the_table_has_every_phase(self) -> None:
        assert {state.phase for state, _ in STATES} == set(get_args(JobPhase))

    @pytest.mark.parametrize("state", [state for state, _ in STATES], ids=lambda s: s.reason)
    def test_an_edit_that_nobody_has_seen_yet_is_in_progress(self, state: State) -> None:
        assert kstatus(body(state, generation=4)) == "InProgress"

    def test_a_fresh_object_is_in_progress(self) -> None:
        assert kstatus({"metadata": {"generation": 1}, "status": {"observedGeneration": -1}}) == "InProgress"

    @pytest.mark.parametrize("state", [state for state, _ in STATES], ids=lambda s: s.reason)
    def test_reconciling_and_stalled_are_there_only_when_true_and_never_both(self, state: State) -> None:
        found = told(state)

        assert [found[k].status for k in ("Reconciling", "Stalled") if k in found] in ([], ["True"])


class TestConditions:
    def test_running(self) -> None:
        found = told(STATES[4][0])

        assert {kind: c.status for kind, c in found.items()} == {
            "Ready": "False",
            "Validated": "True",
            "Running": "True",
            "Suspended": "False",
            "Reconciling": "True",
        }

    def test_suspended(self) -> None:
        found = told(STATES[6][0])

        assert {kind: (c.status, c.reason) for kind, c in found.items()} == {
            "Ready": ("False", "SuspendedByUser"),
            "Validated": ("True", "SpecValid"),
            "Running": ("False", "SuspendedByUser"),
            "Suspended": ("True", "SuspendedByUser"),
        }

    def test_refused(self) -> None:
        found = told(STATES[8][0])

        assert (found["Validated"].reason, found["Ready"].reason, found["Stalled"].reason) == ("DataNotFound",) * 3
        assert not {"Failed", "Finished"} & set(found)

    def test_failed(self) -> None:
        found = told(STATES[9][0])

        assert {
            k: (c.status, c.reason) for k, c in found.items() if k not in ("Validated", "Suspended", "Running")
        } == {
            "Ready": ("False", "PassFailed"),
            "Stalled": ("True", "PassFailed"),
            "Finished": ("True", "Failed"),
            "Failed": ("True", "PassFailed"),
        }

    def test_complete(self) -> None:
        found = told(STATES[10][0])

        assert {
            k: (c.status, c.reason) for k, c in found.items() if k not in ("Validated", "Suspended", "Running")
        } == {
            "Ready": ("True", "Succeeded"),
            "Finished": ("True", "Succeeded"),
            "Complete": ("True", "Succeeded"),
            "ArtifactsPublished": ("True", "Published"),
        }

    def test_a_time_stays_while_the_status_does_though_the_reason_changes(self) -> None:
        since = "2026-11-21T08:00:00Z"
        old = Condition(
            type="Ready", status="False", reason="Validating", last_transition_time=since, observed_generation=2
        )

        found = told(STATES[4][0], Status(conditions=[old]))

        assert (found["Ready"].last_transition_time, found["Ready"].reason) == (since, "StageRunning")
        assert found["Ready"].observed_generation == 3
        assert found["Running"].last_transition_time == "2026-11-21T09:00:00Z"

    def test_a_message_is_at_most_1_kib_and_has_no_secret(self) -> None:
        found = told(State("Failed", "PassFailed", "HF_TOKEN=hf_AbCdEfGhIjK " + "ü" * 2000, VALID))

        assert found["Ready"].message.startswith("HF_TOKEN=[redacted] ü")
        assert len(found["Ready"].message.encode()) <= 1024

    def test_an_end_is_found(self) -> None:
        ends = [finished(Status(conditions=list(told(state).values()))) for state, _ in STATES]

        assert [state.phase for (state, _), end in zip(STATES, ends, strict=True) if end] == [
            "Failed", "Succeeded", "Failed", "Failed", "Succeeded", "Succeeded",
        ]  # fmt: skip

    def test_of_constraints_nothing_is_said_before_they_were_judged(self) -> None:
        assert "ConstraintsMet" not in told(STATES[4][0])

    def test_a_model_that_misses_its_constraints_may_be_complete(self) -> None:
        found = told(STATES[13][0])

        assert (found["ConstraintsMet"].status, found["Complete"].status, found["Ready"].status) == (
            "False",
            "True",
            "True",
        )

    @pytest.mark.parametrize("kind", get_args(ConditionType))
    def test_what_is_absent_is_none(self, kind: ConditionType) -> None:
        assert condition(Status(), kind) is None


class TestSize:
    def large(self, metrics: int) -> Status:
        many = {f"metric{i:03}" + "x" * 50: 1.2345678901234567e-100 for i in range(metrics)}
        passes = [
            PassStatus(name=f"pass{i:02}" + "x" * 57, phase="Succeeded", stage=i, metrics=many) for i in range(32)
        ]
        stages = [StageStatus(name="s" * 63, phase="Succeeded", pod="p" * 253, job_uid="u" * 36) for _ in range(32)]
        return Status(
            passes=passes, stages=stages, conditions=list(told(State("Failed", "R" * 128, '"' * 2000, VALID)).values())
        )

    def test_what_fits_stays(self) -> None:
        status = self.large(1)

        assert fitted(status) == status

    def test_metrics_go_first_from_the_last_step_back(self) -> None:
        found = fitted(self.large(32))

        kept = [bool(step.metrics) for step in found.passes]
        assert size(found) <= STATUS_BYTES
        assert kept == sorted(kept, reverse=True)
        assert kept[0]
        assert found.conditions == self.large(32).conditions

    def test_the_largest_fits(self) -> None:
        assert size(fitted(self.large(500))) <= STATUS_BYTES

    def evaluated(self, metrics: int = 16, message: str = "m" * 500) -> Status:
        """A job of 32 steps, each measured by so many metrics, and as many constraints as there may be."""
        many = [
            MetricStatus(name=f"metric{i:02}" + "x" * 55, value=0.9123456, low=0.8123456, high=0.9923456, n=1200, unit="tokens/s")
            for i in range(metrics)
        ]  # fmt: skip
        results = [MeasurementStatus(after=name, metrics=many) for name in ("input", *(f"s{i:02}" for i in range(32)))]
        constraints = [ConstraintStatus(metric="metric00", met=False, message=message) for _ in range(32)]
        known = EvaluationStatus(results=results, constraints=constraints)
        return self.large(3).model_copy(update={"evaluation": known})

    def test_what_was_measured_in_between_goes_before_all_else(self) -> None:
        status = self.evaluated(message="m" * 60)

        found = fitted(status)

        assert size(status) > STATUS_BYTES >= size(found)
        assert found.evaluation is not None
        kept = [bool(result.metrics) for result in found.evaluation.results]
        assert (kept[0], kept[-1]) == (True, True)
        assert kept[1:-1] == sorted(kept[1:-1], reverse=True)
        assert [result.after for result in found.evaluation.results][:2] == ["input", "s00"]
        assert (found.passes, found.conditions) == (status.passes, status.conditions)

    @pytest.mark.parametrize("message", ["m" * 500, '"' * 500, "\\" * 500], ids=["plain", "quotes", "backslashes"])
    def test_with_the_longest_texts_it_fits_and_the_ends_are_there(self, message: str) -> None:
        found = fitted(self.evaluated(message=message))

        assert size(found) <= STATUS_BYTES
        assert found.evaluation is not None
        assert [len(r.metrics) for r in (found.evaluation.results[0], found.evaluation.results[-1])] == [16, 16]
        assert [entry.met for entry in found.evaluation.constraints] == [False] * 32
        assert fitted(found) == found

    def test_it_is_the_same_each_time(self) -> None:
        assert fitted(self.large(32)) == fitted(fitted(self.large(32)))
