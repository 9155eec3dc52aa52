"""What a search makes of a segment's report, and how processes share a machine. No process is started here."""

from __future__ import annotations

import pickle
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from millwright_api.errors import Stopped, StoreUnavailable
from millwright_api.report import ConstraintReport, EvaluationReport, MetricReport, RunReport
from millwright_api.search import Search
from millwright_runner.plan import Settings
from millwright_runner.searching import Prepared, SearchOutline, notes
from millwright_runner.searching.words import Begin, Raised
from millwright_runner.searching.workers import died, threads
from millwright_search.trials import Seen, Segment


def search(**fields: Any) -> Search:
    return Search.model_validate({
        "parameters": [{"pass": "tune", "option": "r", "choice": [4, 8]}],
        "objectives": [{"metric": "accuracy", "direction": "Maximize"}, {"metric": "size", "direction": "Minimize"}],
        **fields,
    })  # fmt: skip


def measured(after: str, **values: float | None) -> EvaluationReport:
    metrics = [MetricReport(name=name, value=value) for name, value in values.items()]
    return EvaluationReport(after=after, metrics=metrics)


def report(*evaluation: EvaluationReport, constraints: list[ConstraintReport] | None = None) -> RunReport:
    return RunReport(
        outcome="Succeeded", reason="Succeeded", exit_code=0, evaluation=list(evaluation), constraints=constraints or []
    )


def segment(*steps: str, last: bool = True) -> Segment:
    return Segment("k" * 64, 0, (4,), 0, len(steps), steps, last)


class TestSeen:
    def test_the_finished_models_figures_are_the_objectives_in_the_manifests_order(self) -> None:
        told = report(measured("input", accuracy=0.2, size=9.0), measured("genai", size=4.0, other=1.0, accuracy=0.9))

        found = Seen.of(search(), segment("tune", "genai"), told)

        assert (found.state, found.values, found.violated) == ("Succeeded", (0.9, 4.0), 0)

    def test_figures_are_of_its_own_steps_and_of_the_first_objective(self) -> None:
        told = report(measured("input", accuracy=0.2), measured("tune", accuracy=0.8), measured("genai", accuracy=0.9))

        assert dict(Seen.of(search(), segment("tune", last=False), told).figures) == {"tune": 0.8}

    def test_a_segment_that_others_follow_has_no_values_and_is_not_judged(self) -> None:
        missed = [ConstraintReport(metric="accuracy", met=False, message="off by 1")]

        found = Seen.of(
            search(), segment("tune", last=False), report(measured("tune", accuracy=0.8), constraints=missed)
        )

        assert (found.values, found.violated, found.message) == ((), 0, "")

    def test_what_is_no_number_is_none(self) -> None:
        found = Seen.of(search(), segment("genai"), report(measured("genai", accuracy=None, size=4.0)))

        assert (found.values, dict(found.figures)) == ((None, 4.0), {})

    def test_constraints_that_are_not_met_are_counted_and_told(self) -> None:
        constraints = [
            ConstraintReport(metric="accuracy", met=False, message="accuracy is 0.4: off by 0.4"),
            ConstraintReport(metric="size", met=True, message="size is 4"),
            ConstraintReport(metric="size", met=False, message="size is 4: off by 1"),
        ]

        found = Seen.of(
            search(), segment("genai"), report(measured("genai", accuracy=0.4, size=4.0), constraints=constraints)
        )

        assert found.violated == 2
        assert found.message == "accuracy is 0.4: off by 0.4; size is 4: off by 1"


class TestProcesses:
    @pytest.mark.parametrize(("cores", "workers", "each"), [(8, 2, "4"), (2, 2, "1"), (2, 5, "1"), (7, 2, "3")])
    def test_they_share_the_cores(self, monkeypatch: pytest.MonkeyPatch, cores: int, workers: int, each: str) -> None:
        monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
        monkeypatch.setattr("os.sched_getaffinity", lambda pid: set(range(cores)))

        assert threads(workers) == {"OMP_NUM_THREADS": each}

    def test_what_a_person_has_set_stays(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("OMP_NUM_THREADS", "3")

        assert threads(2) == {}

    @pytest.mark.parametrize(("code", "words"), [
        (-9, "was killed: most often, memory ran out"), (-6, "ended by SIGABRT"), (3, "ended with exit code 3"),
    ])  # fmt: skip
    def test_how_one_has_gone_is_told(self, code: int, words: str) -> None:
        assert died(code) == f"the process that ran it {words}"

    @pytest.mark.parametrize("error", [
        Stopped("SIGINT: stopped at step 3", signal=2), StoreUnavailable("it is away", where="s3://b/k", hint="look"),
    ])  # fmt: skip
    def test_what_ends_a_search_arrives_as_it_was_raised(self, error: Any) -> None:
        arrived = pickle.loads(pickle.dumps(Raised(error))).error

        assert type(arrived) is type(error)
        assert str(arrived) == str(error)
        assert vars(arrived) == vars(error)

    def test_a_worker_is_told_the_job_and_where_it_works(self, tmp_path: Path) -> None:
        begin = Begin(search(), Settings(base=tmp_path, home=tmp_path / "home"))  # type: ignore[arg-type]

        assert pickle.loads(pickle.dumps(begin)) == begin


class TestNotes:
    def prepared(self, *, of_machine: bool = False, **fields: Any) -> Prepared:
        metric: Any = SimpleNamespace(name="latency", metric=SimpleNamespace(of_machine=of_machine, unit="ms"))
        plan: Any = SimpleNamespace(evaluation=SimpleNamespace(metrics=[metric]))
        return Prepared(None, None, None, SearchOutline(search(**fields), plan, 4, None))  # type: ignore[arg-type]

    def test_speed_that_is_measured_beside_other_trials_is_told_of(self) -> None:
        told = notes(self.prepared(of_machine=True, algorithm={"grid": {}}), 2)

        assert told == ["latency: measured while other trials use the same cores; without --parallel they are true"]

    @pytest.mark.parametrize("parallel", [None, 1])
    def test_not_where_nothing_runs_beside_them(self, parallel: int | None) -> None:
        assert notes(self.prepared(of_machine=True), parallel) == []

    def test_more_processes_than_tpe_asks_trials_for_at_once(self) -> None:
        told = notes(self.prepared(parallelTrials=2, algorithm={"tpe": {}}), 4)

        assert told == [
            "tpe learns from trials that have ended: search.parallelTrials lets it ask for 2 at once, and 4 processes may run"
        ]
        assert notes(self.prepared(parallelTrials=4, algorithm={"tpe": {}}), 4) == []
        assert notes(self.prepared(algorithm={"grid": {}}), 4) == []
