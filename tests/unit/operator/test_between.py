"""What is said of a stage between its pod's end and its Job's, which Kubernetes closes a little later."""

from __future__ import annotations

import pytest
from tests.unit.operator.simulated import Cluster, spec


def running() -> Cluster:
    """A job whose only stage's pod runs, and ends well with the next tick."""
    cluster = Cluster.with_job(spec())
    for _ in range(40):
        cluster.operate()
        if cluster.phase == "Running":
            return cluster
        cluster.tick()
    raise AssertionError(f"still {cluster.phase}: {cluster.message()}")


def test_a_pod_that_is_done_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = running()
    with monkeypatch.context() as patched:
        patched.setattr(cluster, "_job_controller", lambda job: None)
        cluster.tick()
        cluster.operate()

    assert cluster.message() == "stage 1 of 1 (finetune, merge, genai): its pod is done; its Job ends next"

    cluster.tick()
    cluster.operate()
    assert cluster.phase == "Succeeded"
