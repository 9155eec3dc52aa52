"""RunReport: the runner's last word must fit into what Kubernetes keeps of it."""

from __future__ import annotations

import json

import pytest

from millwright_api.report import (
    TERMINATION_MESSAGE_BYTES,
    ArtifactReport,
    ConstraintReport,
    EvaluationReport,
    MetricReport,
    PassReport,
    RunReport,
)


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


def test_a_metric_that_is_no_number_is_left_out_so_that_the_report_can_be_read_again() -> None:
    report = a_report(passes=[a_pass(metrics={"trainLoss": float("nan"), "steps": 3.0, "scale": float("inf")})])

    told = RunReport.model_validate_json(report.termination_message())

    assert told.passes[0].metrics == {"steps": 3.0}


def test_of_many_passes_names_and_outcomes_stay_when_details_have_no_room() -> None:
    report = a_report(passes=[a_pass(name=f"step-{n}", metrics={"trainLoss": 0.5}, bytes=10**9) for n in range(24)])

    told = RunReport.model_validate_json(report.termination_message())

    assert [(entry.name, entry.phase, entry.cache) for entry in told.passes] == [
        (f"step-{n}", "Succeeded", "Miss") for n in range(24)
    ]


def measured(after: str, metrics: int = 1) -> EvaluationReport:
    found = [
        MetricReport(name=f"metric-{i}", value=11 / 12, low=0.7123456789012345, high=0.9123456789012345, n=120, unit="share")
        for i in range(metrics)
    ]  # fmt: skip
    return EvaluationReport(after=after, metrics=found)


def test_what_was_measured_is_told_to_six_digits() -> None:
    report = a_report(evaluation=[measured("input")])

    told = RunReport.model_validate_json(report.termination_message())

    assert told.evaluation[0].metrics[0].value == 0.916667
    assert report.evaluation[0].metrics[0].value == 11 / 12


def test_a_count_is_told_to_the_last_digit() -> None:
    size = MetricReport(name="sizeOnDisk", value=2_123_456_789, unit="bytes")
    report = a_report(evaluation=[EvaluationReport(after="input", metrics=[size])])

    told = RunReport.model_validate_json(report.termination_message())

    assert told.evaluation[0].metrics[0].value == 2_123_456_789


def test_a_metric_without_a_number_stays_and_has_none() -> None:
    lost = [MetricReport(name="perplexity", value=value, n=3) for value in (None, float("nan"), float("inf"))]
    report = a_report(evaluation=[EvaluationReport(after="input", metrics=lost)])

    told = RunReport.model_validate_json(report.termination_message())

    assert [(metric.name, metric.value, metric.n) for metric in told.evaluation[0].metrics] == [
        ("perplexity", None, 3)
    ] * 3


def test_sixteen_metrics_of_the_model_before_and_after_are_told() -> None:
    models = ["input", *(f"step-{i}" for i in range(5))]
    constraints = [ConstraintReport(metric="metric-0", met=True, message="metric-0 is 0.9167; min 0.9")]
    report = a_report(
        passes=[a_pass(name=name) for name in models[1:]],
        evaluation=[measured(name, 16) for name in models],
        constraints=constraints,
        artifact=ArtifactReport(uri="s3://b/k/", format="onnx-genai", digest="2" * 64, bytes=5, files=3),
    )

    text = report.termination_message()
    told = RunReport.model_validate_json(text)

    assert len(text.encode()) <= TERMINATION_MESSAGE_BYTES
    assert [(entry.after, len(entry.metrics)) for entry in told.evaluation] == [("input", 16), ("step-4", 16)]
    assert told.artifact is not None


def test_a_gate_that_failed_is_told_with_its_message_whatever_else_there_is() -> None:
    broken = ConstraintReport(metric="metric-0", met=False, message="metric-0 is 0.41; min 0.9: off by 0.49")
    report = a_report(
        outcome="Failed",
        reason="ConstraintsNotMet",
        exitCode=3,
        message=f"spec.evaluation.constraints: {broken.message}",
        passes=[a_pass(name=f"step-{i}") for i in range(32)],
        evaluation=[measured(f"step-{i}", 16) for i in range(32)],
        constraints=[broken] * 32,
    )

    told = RunReport.model_validate_json(report.termination_message())

    assert (told.reason, told.message) == ("ConstraintsNotMet", f"spec.evaluation.constraints: {broken.message}")
    assert {entry.met for entry in told.constraints} == {False}


@pytest.mark.parametrize("words", [0, 32])
def test_the_last_models_values_and_what_is_missed_are_told_whatever_else_there_is(words: int) -> None:
    """A search compares trials by them."""
    names = [f"{'m' * 55}-{number:02}" for number in range(16)]
    found = [MetricReport(name=name, value=-1.23456e-123, low=0.1, high=0.2, n=120, unit="tokens/s") for name in names]
    missed = ConstraintReport(metric=names[0], met=False, message=f"{names[0]} is 1; max 0.5: off by 0.5")
    report = a_report(
        message="word " * 1000 * words,
        passes=[a_pass(name=f"step-{i}") for i in range(words)],
        evaluation=[EvaluationReport(after=after, metrics=found) for after in ("input", "finetune", "genai")],
        constraints=[missed] * max(words, 1),
        versions={f"library-{i}": "1.0" for i in range(200)},
    )

    text = report.termination_message()
    told = RunReport.model_validate_json(text)

    assert len(text.encode()) <= TERMINATION_MESSAGE_BYTES
    assert told.evaluation[-1].after == "genai"
    assert {metric.name: metric.value for metric in told.evaluation[-1].metrics} == dict.fromkeys(names, -1.23456e-123)
    assert told.constraints
    assert not any(constraint.met for constraint in told.constraints)
