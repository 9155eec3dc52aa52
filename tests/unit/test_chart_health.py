"""charts/millwright/files/health.lua: what Argo CD shows of a job, in every state that a job can be in."""

from __future__ import annotations

from typing import Any

import lupa
import pytest
from tests.chart import CHART

HEALTH = (CHART / "files" / "health.lua").read_text()


def as_table(lua: Any, value: Any) -> Any:
    if isinstance(value, dict):
        return lua.table_from({key: as_table(lua, item) for key, item in value.items()})
    if isinstance(value, list):
        return lua.table_from([as_table(lua, item) for item in value])
    return value


def health(status: dict[str, Any] | None, generation: int = 1) -> tuple[str, str]:
    """As Argo CD does it: the object is the global `obj`, the answer what the chunk returns."""
    lua = lupa.LuaRuntime(unpack_returned_tuples=True)
    job: dict[str, Any] = {"metadata": {"name": "tune", "generation": generation}}
    if status is not None:
        job["status"] = status
    lua.globals().obj = as_table(lua, job)
    told = lua.execute(HEALTH)
    return told["status"], told["message"]


def status(*conditions: tuple[str, str, str, str], generation: int = 1) -> dict[str, Any]:
    return {
        "observedGeneration": generation,
        "conditions": [{"type": t, "status": s, "reason": r, "message": m} for t, s, r, m in conditions],
    }


class TestBeforeTheOperatorHasSeenIt:
    @pytest.mark.parametrize("before", [None, {}, {"observedGeneration": -1}], ids=str)
    def test_it_is_progressing(self, before: dict[str, Any] | None) -> None:
        assert health(before) == ("Progressing", "Waiting for the operator to see the job")

    def test_what_is_known_of_an_earlier_generation_does_not_count(self) -> None:
        done = status(("Ready", "True", "Succeeded", ""), generation=1)

        assert health(done, generation=2) == ("Progressing", "Waiting for the operator to see generation 2")


class TestEachState:
    @pytest.mark.parametrize(
        ("conditions", "expected"),
        [
            pytest.param(
                [
                    ("Ready", "False", "Validating", "looking at model and data"),
                    ("Reconciling", "True", "Validating", "looking at model and data"),
                ],
                ("Progressing", "Validating: looking at model and data"),
                id="validating",
            ),
            pytest.param(
                [
                    ("Ready", "False", "QueuedForQuota", "waits for Kueue"),
                    ("Reconciling", "True", "QueuedForQuota", "waits for Kueue"),
                ],
                ("Progressing", "QueuedForQuota: waits for Kueue"),
                id="queued",
            ),
            pytest.param(
                [
                    ("Ready", "False", "StageRunning", "stage 1 of 2"),
                    ("Reconciling", "True", "StageRunning", "stage 1 of 2"),
                    ("Running", "True", "StageRunning", ""),
                ],
                ("Progressing", "StageRunning: stage 1 of 2"),
                id="running",
            ),
            pytest.param(
                [
                    ("Ready", "False", "SuspendedByUser", "spec.suspend"),
                    ("Suspended", "True", "SuspendedByUser", "spec.suspend is true"),
                ],
                ("Suspended", "SuspendedByUser: spec.suspend is true"),
                id="suspended",
            ),
            pytest.param(
                [
                    ("Validated", "False", "DataNotFound", "spec.data[0]: nothing there"),
                    ("Ready", "False", "DataNotFound", "spec.data[0]: nothing there"),
                    ("Stalled", "True", "DataNotFound", "spec.data[0]: nothing there"),
                ],
                ("Degraded", "DataNotFound: spec.data[0]: nothing there"),
                id="waits for an edit",
            ),
            pytest.param(
                [
                    ("Ready", "False", "OOMKilled", "attempt 3 of 3"),
                    ("Stalled", "True", "OOMKilled", "attempt 3 of 3"),
                    ("Failed", "True", "OOMKilled", "attempt 3 of 3"),
                    ("Finished", "True", "Failed", ""),
                ],
                ("Degraded", "OOMKilled: attempt 3 of 3"),
                id="failed",
            ),
            pytest.param(
                [
                    ("Ready", "True", "Succeeded", "published 3 files"),
                    ("Complete", "True", "Succeeded", ""),
                    ("Finished", "True", "Succeeded", ""),
                    ("Suspended", "False", "NotSuspended", ""),
                ],
                ("Healthy", "Succeeded: published 3 files"),
                id="complete",
            ),
        ],
    )
    def test_it_has_one_health(self, conditions: list[tuple[str, str, str, str]], expected: tuple[str, str]) -> None:
        assert health(status(*conditions)) == expected

    def test_the_order_of_conditions_does_not_matter(self) -> None:
        conditions = [
            ("Failed", "True", "PassFailed", "m"),
            ("Ready", "False", "PassFailed", "m"),
            ("Stalled", "True", "PassFailed", "m"),
        ]

        assert health(status(*conditions)) == health(status(*reversed(conditions))) == ("Degraded", "PassFailed: m")

    def test_a_condition_without_a_message_is_fine(self) -> None:
        job = {"observedGeneration": 1, "conditions": [{"type": "Ready", "status": "True", "reason": "Succeeded"}]}

        assert health(job) == ("Healthy", "Succeeded: ")
