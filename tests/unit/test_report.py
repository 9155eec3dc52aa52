"""RunReport: the runner's last word must fit into what Kubernetes keeps of it."""

from __future__ import annotations

import json

import pytest

from millwright_api.report import TERMINATION_MESSAGE_BYTES, ArtifactReport, PassReport, RunReport


def a_pass(**changes: object) -> PassReport:
    return PassReport.model_validate(
        {"name": "finetune", "pass": "lora", "phase": "Succeeded", "cache": "Miss", "key": "0" * 64, "digest": "1" * 64}
        | changes
    )


def a_report(**changes: object) -> RunReport:
    return RunReport.model_validate({"outcome": "Succeeded", "reason": "Succeeded", "exitCode": 0} | changes)


def test_a_short_report_is_told_whole() -> None:
    report = a_report(passes=[a_pass(metrics={"trainLoss": 0.5})], versions={"torch": "2.13.0"})

    told = json.loads(report.termination_message())

    assert told["passes"][0]["pass"] == "lora"
    assert told["passes"][0]["metrics"] == {"trainLoss": 0.5}
    assert told["versions"] == {"torch": "2.13.0"}
    assert told["exitCode"] == 0


@pytest.mark.parametrize("letter", ["x", "ü", "語", "🙂"])
def test_a_long_report_is_cut_to_4096_bytes_in_any_script(letter: str) -> None:
    report = a_report(
        outcome="Failed",
        reason="PassFailed",
        exitCode=1,
        message=letter * 20_000,
        passes=[a_pass(metrics={f"m{i}": float(i) for i in range(50)}) for _ in range(32)],
        versions={f"library-{i}": "1.0" for i in range(200)},
    )

    told = report.termination_message()

    assert len(told.encode()) <= TERMINATION_MESSAGE_BYTES
    assert json.loads(told)["reason"] == "PassFailed"
    assert json.loads(told)["message"].startswith(letter * 50)


def test_cutting_leaves_the_report_itself_as_it_was() -> None:
    report = a_report(message="x" * 10_000, versions={"torch": "2.13.0"})

    report.termination_message()

    assert len(report.message) == 10_000
    assert report.versions == {"torch": "2.13.0"}


def test_the_artifact_is_the_last_thing_to_go() -> None:
    artifact = ArtifactReport(uri="s3://b/k/", format="onnx-genai", digest="2" * 64, bytes=5, files=3)
    report = a_report(artifact=artifact, message="x" * 9000, passes=[a_pass() for _ in range(32)])

    assert json.loads(report.termination_message())["artifact"]["uri"] == "s3://b/k/"
