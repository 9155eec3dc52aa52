"""What was measured, and what became of the constraints: from the reports of stages to status, conditions and Events."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.unit.operator.kstatus import kstatus
from tests.unit.operator.simulated import Cluster, spec, two_stages

from millwright_api.report import ConstraintReport, EvaluationReport, MetricReport, RunReport
from millwright_api.status import EvaluationStatus, MeasurementStatus, MetricStatus
from millwright_api.v1alpha1 import Spec
from millwright_operator.judged import evaluated, verdict

STEPS = ("finetune", "merge", "genai")
BROKEN = "accuracy is 0.41 (0.32 to 0.50); min 0.9: off by 0.49"


def gated(make: Any = spec, **changes: Any) -> dict[str, Any]:
    """A recipe with a constraint."""
    evaluation = {
        "after": ["input", "last"],
        "metrics": [{"name": "accuracy", "custom": {"metric": "accuracy"}}],
        "constraints": [{"metric": "accuracy", "min": 0.9}],
    }
    return dict(make(evaluation=evaluation | changes))


def measured(after: str, value: float | None = 0.5, name: str = "accuracy", **more: Any) -> EvaluationReport:
    return EvaluationReport(after=after, metrics=[MetricReport(name=name, value=value, unit="share", **more)])


def constraint(met: bool, message: str = "accuracy is 0.95; min 0.9") -> ConstraintReport:
    return ConstraintReport(metric="accuracy", met=met, message=message)


def report(*evaluation: EvaluationReport, constraints: tuple[ConstraintReport, ...] = ()) -> RunReport:
    return RunReport(
        outcome="Succeeded",
        reason="Succeeded",
        exit_code=0,
        evaluation=list(evaluation),
        constraints=list(constraints),
    )


def values(known: EvaluationStatus | None) -> dict[str, float | None]:
    assert known is not None
    return {result.after: result.metrics[0].value for result in known.results}


class TestWhatStagesSay:
    def test_comes_together_in_the_recipes_order(self) -> None:
        first = evaluated(None, report(measured("merge", 0.7)), STEPS)

        both = evaluated(first, report(measured("genai", 0.6), measured("input", 0.1)), STEPS)

        assert list(values(both).items()) == [("input", 0.1), ("merge", 0.7), ("genai", 0.6)]

    def test_of_the_same_model_the_later_figures_count(self) -> None:
        first = evaluated(None, report(measured("input", 0.1)), STEPS)

        assert values(evaluated(first, report(measured("input", 0.2)), STEPS)) == {"input": 0.2}

    @pytest.mark.parametrize("silent", [None, report()], ids=["no report", "a report of nothing measured"])
    def test_stays_when_a_later_one_says_nothing(self, silent: RunReport | None) -> None:
        first = evaluated(None, report(measured("input", 0.1), constraints=(constraint(True),)), STEPS)

        assert evaluated(first, silent, STEPS) == first

    def test_is_nothing_while_nobody_has_measured(self) -> None:
        assert evaluated(None, report(), STEPS) is None

    def test_the_constraints_of_the_last_one_that_judged_count(self) -> None:
        first = evaluated(None, report(constraints=(constraint(False),)), STEPS)

        second = evaluated(first, report(measured("genai"), constraints=(constraint(True),)), STEPS)
        third = evaluated(second, report(measured("input")), STEPS)

        assert third is not None
        assert [entry.met for entry in third.constraints] == [True]

    def test_a_step_that_the_recipe_has_not_is_left_out(self) -> None:
        assert values(evaluated(None, report(measured("other"), measured("merge")), STEPS)) == {"merge": 0.5}

    def test_the_interval_and_n_are_kept(self) -> None:
        known = evaluated(None, report(measured("input", 0.5, low=0.4, high=0.6, n=120)), STEPS)

        assert known is not None
        assert known.results[0].metrics == [
            MetricStatus(name="accuracy", value=0.5, low=0.4, high=0.6, n=120, unit="share")
        ]

    @pytest.mark.parametrize("value", [None, float("nan"), float("inf")])
    def test_what_is_no_number_survives_as_such(self, value: float | None) -> None:
        known = evaluated(None, report(measured("input", value, n=120)), STEPS)

        assert known is not None
        read = EvaluationStatus.model_validate_json(known.model_dump_json(exclude_none=True))
        assert read == known
        assert (read.results[0].metrics[0].name, read.results[0].metrics[0].value) == ("accuracy", None)

    def test_long_texts_are_cut_to_what_status_takes(self) -> None:
        long = EvaluationReport(after="input", metrics=[MetricReport(name="m" * 99, value=1.0, unit="u" * 99)])

        known = evaluated(None, report(long, constraints=(constraint(False, "ü" * 999),)), STEPS)

        assert known is not None
        assert EvaluationStatus.model_validate(known.model_dump()) == known
        assert len(known.constraints[0].message.encode()) <= 512


class TestTheVerdict:
    def known(self, *constraints: ConstraintReport) -> EvaluationStatus | None:
        return evaluated(None, report(measured("genai"), constraints=constraints), STEPS)

    def test_without_constraints_there_is_none(self) -> None:
        plain = Spec.model_validate(gated(constraints=[]))

        assert verdict(plain, self.known(), published=True) is None
        assert verdict(Spec.model_validate(spec()), None, published=True) is None

    def test_while_nobody_has_judged_there_is_none(self) -> None:
        assert verdict(Spec.model_validate(gated()), self.known()) is None

    def test_met_tells_the_figures(self) -> None:
        said = verdict(Spec.model_validate(gated()), self.known(constraint(True)))

        assert said is not None
        assert (said.status, said.reason, said.message) == ("True", "ConstraintsMet", "accuracy is 0.95; min 0.9")

    def test_not_met_tells_how_far_off_and_only_of_those(self) -> None:
        said = verdict(Spec.model_validate(gated()), self.known(constraint(True), constraint(False, BROKEN)))

        assert said is not None
        assert (said.status, said.reason, said.message) == ("False", "ConstraintsNotMet", BROKEN)

    def test_published_without_figures_they_are_met_where_nothing_else_is_published(self) -> None:
        said = verdict(Spec.model_validate(gated()), None, published=True)

        assert said is not None
        assert (said.status, said.reason) == ("True", "ConstraintsMet")
        assert "the figures did not arrive" in said.message

    def test_published_without_figures_it_is_unknown_where_anything_is_published(self) -> None:
        said = verdict(Spec.model_validate(gated(onViolation="Warn")), None, published=True)

        assert said is not None
        assert (said.status, said.reason) == ("Unknown", "FiguresLost")
        assert "report.json" in said.message


def life(make: dict[str, Any], *fates: str, **figures: dict[str, Any]) -> Cluster:
    """A job from its start to its end; `figures` are of stages s0, s1, or of the report."""
    said = {name.removeprefix("s"): besides for name, besides in figures.items()}
    cluster = Cluster.with_job(make, stage=list(fates))
    cluster.figures = said
    for _ in range(60):
        cluster.operate()
        if cluster.finished:
            break
        cluster.tick()
    assert cluster.wrong == []
    return cluster


def told(cluster: Cluster) -> list[tuple[str, str, str]]:
    return [(event.kind, event.reason, event.message) for event in cluster.events.values()]


class TestAJobWhoseGateFails:
    @pytest.fixture
    def job(self) -> Cluster:
        figures = {
            "evaluation": [measured("input", 0.2), measured("genai", 0.41)],
            "constraints": [constraint(False, BROKEN)],
            "message": f"spec.evaluation.constraints: {BROKEN} (nothing was published)",
        }
        return life(gated(), "3", s0=figures)

    def test_fails_with_the_figures_and_is_not_tried_again(self, job: Cluster) -> None:
        assert (job.phase, job.reason("Failed"), job.body["status"]["attempts"]) == ("Failed", "ConstraintsNotMet", 1)
        assert BROKEN in job.message("Failed")
        assert "artifacts" not in job.body["status"] or job.body["status"]["artifacts"] == []

    def test_says_so_in_its_own_condition(self, job: Cluster) -> None:
        assert (job.condition("ConstraintsMet"), job.reason("ConstraintsMet")) == ("False", "ConstraintsNotMet")
        assert job.message("ConstraintsMet") == BROKEN

    def test_keeps_what_was_measured(self, job: Cluster) -> None:
        known = job.body["status"]["evaluation"]

        assert [(r["after"], r["metrics"][0]["value"]) for r in known["results"]] == [("input", 0.2), ("genai", 0.41)]
        assert known["constraints"] == [{"metric": "accuracy", "met": False, "decided": True, "message": BROKEN}]

    def test_is_failed_for_kstatus(self, job: Cluster) -> None:
        assert kstatus(job.body) == "Failed"

    def test_warns_once(self, job: Cluster) -> None:
        assert told(job).count(("Warning", "ConstraintsNotMet", BROKEN)) == 1

    def test_without_its_last_words_the_exit_code_tells(self) -> None:
        job = Cluster.with_job(gated(), stage=["hang"] * 99)
        while job.phase != "Running":
            job.operate()
            job.tick()
        (pod,) = [pod for name, pod in job.pods.items() if "-s0-" in name]
        job._end(pod, 3, "Error", "")
        while not job.finished:
            job.tick()
            job.operate()

        assert (job.reason("Failed"), job.condition("ConstraintsMet")) == ("ConstraintsNotMet", "False")
        assert "exit code 3" in job.message("ConstraintsMet")


class TestAJobThatOnlyWarns:
    @pytest.fixture
    def job(self) -> Cluster:
        figures = {"evaluation": [measured("genai", 0.41)], "constraints": [constraint(False, BROKEN)]}
        return life(gated(onViolation="Warn"), s0=figures)

    def test_completes_and_says_that_they_are_not_met(self, job: Cluster) -> None:
        assert (job.condition("Complete"), job.condition("Ready"), kstatus(job.body)) == ("True", "True", "Current")
        assert (job.condition("ConstraintsMet"), job.reason("ConstraintsMet")) == ("False", "ConstraintsNotMet")
        assert job.message("ConstraintsMet") == BROKEN

    def test_warns_by_an_event(self, job: Cluster) -> None:
        assert ("Warning", "ConstraintsNotMet", BROKEN) in told(job)


class TestAJobThatMeetsThem:
    @pytest.fixture
    def job(self) -> Cluster:
        first = {"evaluation": [measured("input", 0.2), measured("merge", 0.97)]}
        last = {"evaluation": [measured("input", 0.25), measured("genai", 0.95)], "constraints": [constraint(True)]}
        return life(gated(two_stages, after=["input", "each"]), s0=first, s1=last)

    def test_has_the_figures_of_all_stages(self, job: Cluster) -> None:
        results = job.body["status"]["evaluation"]["results"]

        assert [(r["after"], r["metrics"][0]["value"]) for r in results] == [
            ("input", 0.25),
            ("merge", 0.97),
            ("genai", 0.95),
        ]

    def test_says_so_and_nothing_warns(self, job: Cluster) -> None:
        assert (job.condition("ConstraintsMet"), job.condition("Complete")) == ("True", "True")
        assert [event for event in told(job) if event[0] == "Warning"] == []

    def test_figures_are_there_as_soon_as_a_stage_has_ended_and_no_verdict_before_the_last(self, job: Cluster) -> None:
        between = next(
            status
            for status in job.statuses
            if [s["phase"] == "Succeeded" for s in status.get("stages", [])] == [True, False]
        )

        assert [r["after"] for r in between["evaluation"]["results"]] == ["input", "merge"]
        assert "ConstraintsMet" not in {entry["type"] for entry in between["conditions"]}


class TestALostReport:
    def lost(self, make: dict[str, Any], **figures: dict[str, Any]) -> Cluster:
        return life(make, "silent", **figures)

    def test_what_the_small_job_reads_back_is_told(self) -> None:
        job = self.lost(gated(), report={"evaluation": [measured("genai", 0.95)], "constraints": [constraint(True)]})

        assert job.body["status"]["evaluation"]["results"][0]["metrics"][0]["value"] == 0.95
        assert job.message("ConstraintsMet") == "accuracy is 0.95; min 0.9"

    def test_what_nobody_knows_is_not_invented(self) -> None:
        job = self.lost(gated(onViolation="Warn"))

        assert "evaluation" not in job.body["status"]
        assert (job.condition("Complete"), job.condition("ConstraintsMet")) == ("True", "Unknown")


class TestOlderStatuses:
    def test_one_without_figures_is_read_and_gets_them(self) -> None:
        cluster = Cluster.with_job(gated(), stage=["hang"])
        while cluster.phase != "Running":
            cluster.operate()
            cluster.tick()
        assert "evaluation" not in cluster.body["status"]
        cluster.figures = {"0": {"evaluation": [measured("genai", 0.95)], "constraints": [constraint(True)]}}

        while not cluster.finished:
            cluster.operate()
            cluster.tick()

        assert cluster.body["status"]["evaluation"]["results"][0]["after"] == "genai"

    def test_a_job_without_evaluation_has_neither_figures_nor_the_condition(self) -> None:
        job = life(spec())

        assert "evaluation" not in job.body["status"]
        assert job.condition("ConstraintsMet") is None


class TestItsJson:
    def test_is_the_one_that_people_read(self) -> None:
        known = EvaluationStatus(results=[MeasurementStatus(after="input", metrics=[MetricStatus(name="accuracy")])])

        assert json.loads(known.model_dump_json(exclude_none=True)) == {
            "results": [{"after": "input", "metrics": [{"name": "accuracy", "unit": ""}]}],
            "constraints": [],
        }
