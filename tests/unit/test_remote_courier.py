"""The courier: what is submitted, followed and said, against the stub with the real SDK."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.azureml.stub import Azure
from tests.azurite import KEY
from tests.courierground import CourierGround


@pytest.fixture
def ground(azure: Azure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CourierGround:
    azure.use(monkeypatch)
    monkeypatch.setenv("AZURE_STORAGE_KEY", KEY)
    azure.executor.environment["AZURE_STORAGE_KEY"] = KEY
    return CourierGround.make(azure, tmp_path)


class TestAJobThatIsReallyRun:
    def test_the_runner_inside_makes_the_model_and_its_word_is_repeated(self, ground: CourierGround) -> None:
        ground.with_model()

        report = ground.start().end()

        assert report.outcome == "Succeeded", report.message
        assert [(entry.name, entry.phase) for entry in report.passes] == [("one", "Succeeded"), ("two", "Succeeded")]
        assert report.artifact is not None
        assert report.remote is not None and report.remote.state == "Completed"
