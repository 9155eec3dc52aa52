"""A training that Azure ML really runs: stopped there, the next job goes on from its checkpoint, to a model in Blob Storage."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from tests.azureml.stub import Azure
from tests.courierground import CourierGround
from tests.pipeline.jobs import job, lora, wait_for

from millwright_runner.verification import verify


def test_a_training_that_is_stopped_goes_on_in_the_next_job(
    azure: Azure, phi3: Path, rows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ground = CourierGround.make(azure, tmp_path, monkeypatch)
    azure.execute = True
    azure.executor.grace = 60
    azure.executor.environment |= {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
    shutil.copytree(phi3, tmp_path / "model")
    shutil.copyfile(rows, tmp_path / "rows.jsonl")
    training = lora(training={"maxSteps": 200, "loggingSteps": 5})
    made = job(Path("model"), Path("rows.jsonl"), "unused", training, checkpoint={"everySteps": 10})["spec"]
    ground.spec = {key: made[key] for key in ("model", "data", "passes", "checkpoint")}

    first, job_there = ground.submitted(grace=1)
    wait_for(lambda: [*ground.store.list(".millwright/checkpoints/")])
    first.stop.request(15)  # its time is too short for a soft end: the job is canceled, and saves a checkpoint
    stopped = first.end()
    job_there.wait("Canceled")
    second = ground.start().end()

    assert stopped.exit_code == 143
    said = ground.box(job_there.name).report()
    assert said is not None and said.outcome == "Stopped", job_there.logs
    assert second.outcome == "Succeeded", second.message
    (trained,) = second.passes
    assert trained.resumed_from is not None and trained.resumed_from > 0
    assert second.artifact is not None and second.artifact.uri.startswith(ground.output)
    assert verify(ground.store, None).problems == []
    assert [name.rsplit("-", 1)[1] for name in azure.jobs] == ["1", "2"]
