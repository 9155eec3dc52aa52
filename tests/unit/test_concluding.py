"""The end of a search in this process: what is published, found again, made again. Plug-ins only, no torch."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.azurite import BlobContainer
from tests.conftest import S3Bucket
from tests.tiny import make_model_files
from tests.unit.test_judging import LENGTH, Entry, Length, Write
from tests.unit.test_pipeline import Listening

from millwright_api.errors import OutputExists
from millwright_api.report import RunReport
from millwright_api.search import Point
from millwright_api.v1alpha1 import OptimizationJob
from millwright_runner import catalog, pipeline
from millwright_runner.catalog import Catalog
from millwright_runner.concluding import Ended, conclude
from millwright_runner.evaluation import points
from millwright_runner.metrics import Measured, Metric, MetricContext
from millwright_runner.passes import StopFlag
from millwright_runner.pipeline import Part
from millwright_runner.plan import Settings, make_plan
from millwright_runner.published import read_published
from millwright_runner.search_plan import plan_search
from millwright_runner.stores import Store, open_store
from millwright_runner.subjects import Subject
from millwright_runner.trials import trial_job
from millwright_search.trials import Outcome, Over, Trial


class Speed(Metric):
    """As fast as this machine is."""

    name = "speed"
    unit = "letters/s"
    higher_is_better = True
    of_machine = True
    asks = False

    def measure(self, model: Subject, context: MetricContext) -> Measured:
        return Measured(7.0)


@pytest.fixture(autouse=True)
def plug_ins(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    groups: dict[str, dict[str, Any]] = {
        "millwright.passes": {"write": Entry(Write)},
        "millwright.metrics": {"length": Entry(Length), "speed": Entry(Speed)},
    }
    monkeypatch.setattr(catalog, "_entry_points", groups.__getitem__)
    Catalog.get.cache_clear()
    Write.ran.clear()
    Length.asked.clear()
    yield
    Catalog.get.cache_clear()


TEXTS = ["aaa", "a", "aa"]


class Ground:
    """A search over what a pass writes, of which all trials are made and measured."""

    def __init__(self, folder: Path, output: dict[str, Any] | None = None) -> None:
        self.folder, self.output = folder, output or {"path": "out"}
        make_model_files(folder / "base")
        self.settings = Settings(base=folder, home=folder / "home")

    def job(self, texts: list[str] | None = None, **search: Any) -> OptimizationJob:
        metrics = [LENGTH, {"name": "speed", "custom": {"metric": "speed"}}]
        return OptimizationJob.model_validate(
            {
                "apiVersion": "millwright.dev/v1alpha1",
                "kind": "OptimizationJob",
                "metadata": {"name": "test"},
                "spec": {
                    "model": {"path": "base"},
                    "passes": [{"name": "one", "custom": {"pass": "write", "options": {"text": "x"}}}],
                    "evaluation": {"metrics": metrics, "after": ["input", "last"]},
                    "search": {
                        "parameters": [{"pass": "one", "option": "text", "choice": texts or TEXTS}],
                        "objectives": [{"metric": "length", "direction": "Maximize"}],
                        "maxTrials": 3,
                        **search,
                    },
                    "output": self.output,
                },
            }
        )

    def search(self, job: OptimizationJob, texts: list[str] | None = None) -> Ended:
        """Makes and measures all trials; the longest text is best."""
        trials = {number: Trial(number, (text,)) for number, text in enumerate(texts or TEXTS)}
        found = plan_search(job, self.settings).found
        for trial in trials.values():
            plan = make_plan(trial_job(job, trial.at), self.settings, found, publishes=False)
            pipeline.run(plan, self.settings, Listening(), StopFlag(), Part(range(1), publishes=False, baseline=False))
        outcomes = {number: Outcome("Succeeded", (1.0 + len(str(one.at[0])),)) for number, one in trials.items()}
        best = max(outcomes, key=lambda number: outcomes[number].values[0] or 0)
        Write.ran.clear()
        Length.asked.clear()
        return Ended(trials, outcomes, Over("AllTrialsDone", "all done", best, (best,)), (best,))

    def conclude(self, job: OptimizationJob, ended: Ended, **more: Any) -> RunReport:
        return conclude(job, self.settings, Listening(), StopFlag(), ended, **more)

    @property
    def store(self) -> Store:
        job = self.job()
        output = job.spec.output
        return open_store(output.s3 or output.azure_blob or self.folder / str(output.path))

    def beside(self, name: str) -> bytes:
        published = read_published(self.store)
        assert published is not None
        blob = self.store.read(f"{published.tree.prefix}/{name}")
        assert blob is not None
        return blob.data

    def rows(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.beside("trials.jsonl").splitlines()]


@pytest.fixture
def ground(tmp_path: Path) -> Ground:
    return Ground(tmp_path)


class TestWhatIsPublished:
    def test_the_best_model_without_running_or_measuring_what_was(self, ground: Ground) -> None:
        job = ground.job()

        report = ground.conclude(job, ground.search(job))

        assert ground.beside("model") == b"maaa"
        assert (Write.ran, Length.asked) == ([], ["m"])  # nobody had measured the input
        assert report.evaluation[-1].metrics[0].value == 4

    def test_what_the_cache_has_lost_is_made_again(self, ground: Ground) -> None:
        job = ground.job()
        ended = ground.search(job)
        shutil.rmtree(ground.folder / "out" / ".millwright" / "cache")

        ground.conclude(job, ended)

        assert Write.ran == ["aaa"]
        assert ground.beside("model") == b"maaa"

    def test_seconds_are_told_in_the_report_and_not_beside_the_model(self, ground: Ground) -> None:
        job = ground.job()

        ground.conclude(job, replace(ground.search(job), seconds={0: 1.5}))

        blob = ground.store.read("report.json")
        assert blob is not None
        assert [row.get("seconds") for row in json.loads(blob.data)["search"]["trials"]] == [1.5, None, None]
        assert [row.get("seconds") for row in ground.rows()] == [None] * 3

    def test_a_second_end_writes_nothing_new_but_how_long_it_took(self, ground: Ground) -> None:
        job = ground.job()
        ended = ground.search(job)
        ground.conclude(job, replace(ended, seconds={0: 1.5}))
        before = {path: path.stat().st_mtime_ns for path in (ground.folder / "out").rglob("*") if path.is_file()}

        ground.conclude(job, replace(ended, seconds={0: 0.1}))

        assert {path: path.stat().st_mtime_ns for path in before} == before

    def test_a_row_says_what_is_known_of_the_model_to_the_last_digit(self, ground: Ground) -> None:
        job = ground.job()
        ended = ground.search(job)
        rough = {number: replace(outcome, values=(0.1,)) for number, outcome in ended.outcomes.items()}

        ground.conclude(job, replace(ended, outcomes=rough))

        assert [row["values"] for row in ground.rows()] == [{"length": 4.0}, {"length": 2.0}, {"length": 3.0}]
        assert ground.rows()[0]["metrics"]["length"] == {
            "value": 4.0,
            "low": None,
            "high": None,
            "n": 1,
            "unit": "letters",
        }

    @pytest.mark.parametrize(("kind", "keep"), [("s3", (0, 1, 2)), ("s3", (0, 2)), ("blob", (0, 2))])
    def test_in_a_bucket_the_others_lie_below_it(
        self, kind: str, keep: tuple[int, ...], tmp_path: Path, request: pytest.FixtureRequest
    ) -> None:
        bucket: S3Bucket | BlobContainer = request.getfixturevalue(kind)
        ground = Ground(tmp_path, {"s3" if kind == "s3" else "azureBlob": {"uri": f"{bucket.uri}models/"}})
        job = ground.job(keep="all")

        ground.conclude(job, replace(ground.search(job), publish=keep))

        others = [number for number in keep if number]
        assert ground.beside("model") == b"maaa"
        assert [ground.rows()[n]["uri"] for n in others] == [f"{bucket.uri}models/trials/{n:03}/" for n in others]
        for number in others:
            there = read_published(open_store(bucket.location(f"models/trials/{number:03}/")))
            assert there is not None
            assert there.meta["search"]["trial"] == number


class TestHalfWay:
    def test_until_the_best_model_is_published_the_output_holds_none(
        self, ground: Ground, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        job = ground.job(keep="all")
        ended = replace(ground.search(job), publish=(0, 1, 2))
        real, calls = pipeline.publish, list[str]()

        def dies_at_the_last(store: Store, *arguments: Any, **named: Any) -> Any:
            """A process that is killed before the third model is published."""
            calls.append(store.uri)
            if len(calls) == 3:
                raise KeyboardInterrupt
            return real(store, *arguments, **named)

        with monkeypatch.context() as once, pytest.raises(KeyboardInterrupt):
            once.setattr(pipeline, "publish", dies_at_the_last)
            ground.conclude(job, ended)
        assert not (ground.folder / "out" / "manifest.json").exists()
        assert (ground.folder / "out" / "trials" / "002" / "manifest.json").exists()

        ground.conclude(job, ended)

        assert ground.beside("model") == b"maaa"

    def test_a_search_that_ends_otherwise_the_second_time_replaces_what_it_had_kept_besides(
        self, ground: Ground
    ) -> None:
        job = ground.job(keep="all")
        ended = replace(ground.search(job), publish=(0, 1, 2))
        ground.conclude(job, ended)
        shutil.rmtree(ground.folder / "out" / "trials" / "001")
        (ground.folder / "out" / "manifest.json").unlink()
        swapped = {0: ended.trials[0], 1: Trial(1, ("aa",)), 2: Trial(2, ("a",))}

        ground.conclude(job, replace(ended, trials=swapped))

        assert (ground.folder / "out" / "trials" / "002" / "model" / "model").read_text() == "ma"


class TestAnotherResult:
    def test_of_another_search_it_is_refused_before_any_trial(self, ground: Ground) -> None:
        job = ground.job()
        ground.conclude(job, ground.search(job))

        with pytest.raises(OutputExists) as caught:
            plan_search(ground.job(texts=["b", "c"]), ground.settings)

        assert "passes differ" in str(caught.value)

    def test_of_an_ordinary_job_too(self, ground: Ground) -> None:
        job = ground.job()
        plan = make_plan(trial_job(job, ("aaa",)), ground.settings)
        pipeline.run(plan, ground.settings, Listening(), StopFlag())

        with pytest.raises(OutputExists):
            plan_search(job, ground.settings)

    def test_how_many_run_at_once_and_what_is_kept_makes_no_other_search(self, ground: Ground) -> None:
        job = ground.job()
        ground.conclude(job, ground.search(job))

        plan_search(ground.job(parallelTrials=4, keep="all", maxFailedTrials=0), ground.settings)

    def test_a_search_that_finds_a_model_that_is_there_makes_it_its_own(self, tmp_path: Path) -> None:
        ground = Ground(tmp_path, {"path": "out", "replace": True})
        job = ground.job()
        pipeline.run(make_plan(trial_job(job, ("aaa",)), ground.settings), ground.settings, Listening(), StopFlag())

        ground.conclude(job, ground.search(job))

        ground.output = {"path": "out"}
        plan_search(ground.job(), ground.settings)
        assert ground.rows()[0]["best"]


class TestAnotherMachine:
    def test_speed_that_the_trials_machine_has_measured_counts_where_the_search_ends(
        self, ground: Ground, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        job = ground.job()
        ended = ground.search(job)
        monkeypatch.setattr(points, "machine", lambda: ["another"])

        report = ground.conclude(job, ended, makes=False)

        assert {metric.name: metric.value for metric in report.evaluation[-1].metrics} == {"length": 4.0, "speed": 7.0}
        assert ground.rows()[1]["metrics"]["speed"]["value"] == 7.0


def test_a_search_without_a_best_trial_publishes_nothing(ground: Ground) -> None:
    job = ground.job()
    ended = ground.search(job)

    with pytest.raises(TypeError):
        ground.conclude(job, replace(ended, over=replace(ended.over, best=None)))


def test_what_the_operator_says_is_read(ground: Ground) -> None:
    said = {
        "best": 1,
        "publish": [1],
        "reason": "SpaceExhausted",
        "trials": [
            {"number": 0, "at": ["aaa"], "phase": "Failed", "reason": "OOMKilled", "message": "too little"},
            {"number": 1, "at": "#[1]", "phase": "Succeeded", "values": [2.0]},
        ],
    }

    ended = Ended.of(ground.job(), said)

    at: dict[int, Point] = {number: trial.at for number, trial in ended.trials.items()}
    assert at == {0: ("aaa",), 1: ("a",)}
    assert (ended.over.best, ended.over.front, ended.publish) == (1, (1,), (1,))
    assert ended.outcomes[0].reason == "OOMKilled"


def test_a_trial_that_cannot_be_made_a_job_of_is_a_row_that_says_so(ground: Ground) -> None:
    job = ground.job()
    ended = ground.search(job)
    odd = {**ended.trials, 1: Trial(1, (17,))}

    ground.conclude(job, replace(ended, trials=odd))  # the others are not to suffer

    assert ground.rows()[1]["message"].startswith("spec.search.parameters[0].choice")
