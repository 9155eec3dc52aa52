"""The operator's bench counts what it says, and its pods that are not there say what real ones say."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from millwright_api.report import TERMINATION_MESSAGE_BYTES, RunReport
from millwright_api.v1alpha1 import OptimizationJob
from millwright_operator.stages import stages_of

BENCH = Path(__file__).parents[2] / "bench" / "operator"


def load(name: str) -> ModuleType:
    sys.path.insert(0, str(BENCH))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(str(BENCH))


figures = load("figures")
samples = load("samples")
kwok = load("kwok")


class TestPercentile:
    @pytest.mark.parametrize(("percent", "expected"), [(50, 50), (99, 99), (100, 100), (1, 1), (0.5, 1)], ids=str)
    def test_it_is_the_nearest_rank(self, percent: float, expected: int) -> None:
        assert figures.percentile(range(1, 101), percent) == expected

    def test_of_one_value_it_is_that(self) -> None:
        assert figures.percentile([7.0], 99) == 7.0

    def test_of_nothing_there_is_none(self) -> None:
        with pytest.raises(ValueError, match="no values"):
            figures.percentile([], 50)


METRICS = """
# HELP apiserver_request_total Counter of apiserver requests.
apiserver_request_total{code="200",group="millwright.dev",resource="optimizationjobs",subresource="status",verb="APPLY"} 5
apiserver_request_total{code="409",group="millwright.dev",resource="optimizationjobs",subresource="status",verb="APPLY"} 9
apiserver_request_total{code="201",group="millwright.dev",resource="optimizationjobs",subresource="",verb="POST"} 100
apiserver_request_total{code="201",group="batch",resource="jobs",subresource="",verb="POST"} 2
apiserver_request_total{code="200",group="batch",resource="jobs",subresource="",verb="PATCH"} 1
apiserver_request_total{code="200",group="batch",resource="jobs",subresource="status",verb="PUT"} 40
apiserver_request_total{code="200",group="batch",resource="jobs",subresource="",verb="LIST"} 70
apiserver_request_total{code="201",group="",resource="configmaps",subresource="",verb="APPLY"} 1
apiserver_request_total{code="201",group="events.k8s.io",resource="events",subresource="",verb="POST"} 6
apiserver_request_total_other{code="200",resource="jobs",subresource="",verb="POST"} 1000
"""


class TestWrites:
    def test_the_operators_are_counted_by_kind_and_nobody_elses(self) -> None:
        assert figures.operator_writes(METRICS) == {
            "status": 5,
            "jobs post": 2,
            "jobs patch": 1,
            "configmaps apply": 1,
        }

    def test_a_page_without_any_counts_none(self) -> None:
        assert figures.operator_writes("# nothing here\n") == {}


class TestSamples:
    def test_labels_and_values_are_read(self) -> None:
        text = 'a_total{x="1",y="with \\"quotes\\", and a comma"} 2.5e3\na_total 1\na_total_created 9\n'

        assert figures.samples(text, "a_total") == [
            ({"x": "1", "y": 'with \\"quotes\\", and a comma'}, 2500.0),
            ({}, 1.0),
        ]


class TestFigures:
    @pytest.mark.parametrize(("value", "goal", "met"), [(1, 2, True), (2, 2, True), (3, 2, False), (3, None, True)])
    def test_a_goal_is_the_most_that_is_fine(self, value: float, goal: float | None, met: bool) -> None:
        assert figures.Figure("n", value, "s", goal).met is met


class TestWhatIsApplied:
    @pytest.mark.parametrize("stages", [1, 2])
    def test_it_is_a_valid_job_of_so_many_stages(self, stages: int) -> None:
        job = OptimizationJob.model_validate(samples.job("a", "bench", samples.ENDS, stages))

        assert len(stages_of(job.spec)) == stages

    @pytest.mark.parametrize("role", ["preflight", "stage"])
    def test_last_words_are_a_report_that_fits(self, role: str) -> None:
        words = samples.last_words(role)
        report = RunReport.model_validate_json(words)

        assert (report.outcome, report.exit_code) == ("Succeeded", 0)
        assert (report.artifact is None) == (role == "preflight")
        assert len(words.encode()) <= TERMINATION_MESSAGE_BYTES


class TestKwok:
    def matches(self, name: str) -> dict[str, Any]:
        (stage,) = [found for found in kwok.stages() if found["metadata"]["name"] == name]
        return {match["key"]: match for match in stage["spec"]["selector"]["matchExpressions"]}

    def test_only_tainted_nodes_are_made(self) -> None:
        assert [node["spec"]["taints"][0]["effect"] for node in kwok.nodes()] == ["NoSchedule"] * 2

    def test_stages_end_on_one_of_the_nodes_only(self) -> None:
        assert self.matches("stage-end")[".spec.nodeName"]["values"] == [kwok.node_name(samples.ENDS)]

    def test_a_pod_is_removed_only_after_it_has_ended(self) -> None:
        # podReplacementPolicy Failed: the Job controller waits for that
        assert self.matches("pod-delete")[".status.phase"]["values"] == ["Succeeded", "Failed"]
        assert self.matches("pod-stop")[".status.phase"]["operator"] == "NotIn"

    def test_messages_do_not_break_out_of_their_template(self) -> None:
        assert "`" not in samples.last_words("preflight") + samples.last_words("stage")
