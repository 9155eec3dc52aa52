"""A search's pods: each does its part of a trial, and the last one publishes the best model with all that is known. No torch."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from tests.cliground import CliGround
from tests.podground import PodGround, Word, obey

from millwright_runner.stores import open_store
from millwright_runner.verification import verify

GROW = '''\
"""A pass that makes a model larger."""

from __future__ import annotations

import shutil
from typing import ClassVar

from pydantic import Field

from millwright_runner.artifact import HF
from millwright_runner.passes import Pass


class Grow(Pass):
    """Copies the model and adds bytes."""

    name: ClassVar[str] = "grow"
    consumes: ClassVar[frozenset[str]] = frozenset({HF})
    produces: ClassVar[str] = HF

    by: int = Field(default=0, ge=0, le=100000, description="Bytes.")

    def run(self, artifact, context):
        shutil.copytree(artifact.folder, context.folder, dirs_exist_ok=True)
        (context.folder / f"grown-{self.by}").write_bytes(b"x" * self.by)
'''

SIZE = {"name": "size", "sizeOnDisk": {}}
SEARCH: dict[str, Any] = {
    "algorithm": {"grid": {}},
    "parameters": [
        {"pass": "one", "onOff": True},
        {"pass": "two", "option": "by", "choice": [3000, 1000, 2000]},
    ],
    "objectives": [{"metric": "size", "direction": "Minimize"}],
    "maxTrials": 6,
}


def grow(name: str, by: int = 0) -> dict[str, Any]:
    return {"name": name, "custom": {"pass": "grow", "options": {"by": by}}}


class Searched(PodGround):
    """A pod's folder with a job that searches."""

    def job(self, search: dict[str, Any] | None = None, **changes: Any) -> None:
        spec: dict[str, Any] = {
            "passes": [obey("one"), grow("two")],
            "data": [],
            "evaluation": {"after": ["input", "last"], "metrics": [SIZE]},
            "search": SEARCH | (search or {}),
        }
        self.write(**spec | changes)

    def trial(self, *at: Any, steps: str, baseline: str = "0") -> Word:
        return self.run("stage", MILLWRIGHT_TRIAL=json.dumps(at), MILLWRIGHT_STEPS=steps, MILLWRIGHT_BASELINE=baseline)

    def conclude(self, *trials: dict[str, Any], best: int, publish: list[int] | None = None) -> Word:
        said = {"best": best, "publish": publish or [best], "reason": "AllTrialsDone", "trials": list(trials)}
        return self.run("stage", MILLWRIGHT_TRIALS=json.dumps(said))

    @property
    def out(self) -> Path:
        return self.claim / "out"

    def rows(self) -> list[dict[str, Any]]:
        """What lies beside the model."""
        return [json.loads(line) for line in (self.out / "model" / "trials.jsonl").read_text().splitlines()]


def ended(number: int, at: list[Any], phase: str = "Succeeded", **more: Any) -> dict[str, Any]:
    return {"number": number, "at": at, "phase": phase, **more}


def sizes(word: Word) -> dict[str, float | None]:
    return {one.after: one.metrics[0].value for one in word.report.evaluation}


def ground(folder: Path) -> Searched:
    made = Searched.make(folder, warm=True)
    assert isinstance(made, Searched)
    CliGround(folder).install("grow", "grow:Grow", GROW)
    made.job()
    return made


@pytest.fixture
def pod(tmp_path: Path) -> Searched:
    return ground(tmp_path)


@pytest.fixture(scope="module")
def tried(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder where three trials were made and measured."""
    folder = tmp_path_factory.mktemp("tried")
    made = ground(folder)
    for by in (3000, 1000, 2000):
        assert made.trial(False, by, steps="0:1", baseline="1" if by == 3000 else "0").code == 0
    return folder


@pytest.fixture(scope="module")
def concluded(tried: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of it where the search is concluded, and one model more is kept."""
    folder = tmp_path_factory.mktemp("concluded")
    shutil.copytree(tried, folder, dirs_exist_ok=True, symlinks=True)
    made = Searched(folder, warm=True)
    made.job(search={"keep": "all"})
    word = made.conclude(*TRIALS, best=1, publish=[0, 1])
    assert word.code == 0, word.out + word.err
    return folder


TRIALS = (
    ended(0, [False, 3000], values=[1.0]),
    ended(1, [False, 1000], values=[2.0]),
    ended(2, [False, 2000], "ConstraintsNotMet", values=[3.0]),
    ended(3, [True, 1000], "Failed", reason="PassFailed", message="it broke"),
)


class TestATrialsPod:
    def test_it_does_the_trials_own_steps_measures_the_model_and_publishes_nothing(self, pod: Searched) -> None:
        word = pod.trial(False, 1000, steps="0:1")

        assert (word.code, word.report.outcome, word.report.artifact) == (0, "Succeeded", None)
        assert [(entry.name, entry.cache) for entry in word.report.passes] == [("two", "Miss")]
        assert list(sizes(word)) == ["two"]
        assert sorted(path.name for path in pod.out.iterdir()) == [".millwright"]

    def test_trials_that_begin_alike_do_that_once(self, pod: Searched) -> None:
        first = pod.trial(True, None, steps="0:1", baseline="1")
        second = pod.trial(True, 1000, steps="1:2")
        third = pod.trial(True, 2000, steps="1:2")

        assert [[(e.name, e.cache) for e in word.report.passes] for word in (first, second, third)] == [
            [("one", "Miss")],
            [("two", "Miss")],
            [("two", "Miss")],
        ]
        grown = [sizes(word)["two"] for word in (second, third)]
        assert None not in grown
        assert grown[1] == (grown[0] or 0) + 1000

    def test_only_the_pod_that_is_told_so_measures_the_input(self, pod: Searched) -> None:
        told = pod.trial(True, None, steps="0:1", baseline="1")
        other = pod.trial(False, 1000, steps="0:1", baseline="0")

        assert ("input" in sizes(told), "input" in sizes(other)) == (True, False)

    def test_what_a_constraint_compares_with_is_measured_where_nobody_has(self, pod: Searched) -> None:
        gate = {"metrics": [SIZE], "constraints": [{"metric": "size", "maxDrop": 1500}]}
        pod.job(evaluation=gate)

        word = pod.trial(False, 1000, steps="0:1")

        assert list(sizes(word)) == ["two"]
        assert [entry.met for entry in word.report.constraints] == [True]

    def test_a_constraint_that_is_not_met_is_told_and_is_no_failure(self, pod: Searched) -> None:
        pod.job(evaluation={"metrics": [SIZE], "constraints": [{"metric": "size", "max": 1}]})

        word = pod.trial(False, 1000, steps="0:1")

        assert (word.code, word.report.outcome, word.report.reason) == (0, "Succeeded", "Succeeded")
        assert [(entry.metric, entry.met) for entry in word.report.constraints] == [("size", False)]

    def test_another_trials_model_in_the_output_is_not_in_its_way(self, pod: Searched) -> None:
        pod.trial(False, 1000, steps="0:1")
        assert pod.conclude(ended(0, [False, 1000]), best=0).code == 0

        assert pod.trial(False, 2000, steps="0:1").code == 0

    def test_a_step_that_fails_is_named_as_the_manifest_counts_them(self, pod: Searched) -> None:
        pod.job(passes=[obey("one"), obey("two", end="crash")], search={"parameters": [SEARCH["parameters"][0]]})

        word = pod.trial(False, steps="0:1")

        assert (word.code, word.report.reason) == (1, "PassFailed")
        assert word.report.message.startswith("spec.passes[1].custom.options: obey failed")

    def test_a_value_that_the_pass_does_not_take_is_told_where_it_stands(self, pod: Searched) -> None:
        word = pod.trial(False, -1, steps="0:1")

        assert (word.code, word.report.reason) == (2, "InvalidManifest")
        assert word.report.message.startswith("spec.search.parameters[1].choice")

    @pytest.mark.parametrize("at", ["[true]", "[true, 1, 2]", "true"])
    def test_values_that_are_none_of_this_search_are_the_operators_mistake(self, pod: Searched, at: str) -> None:
        word = pod.run("stage", MILLWRIGHT_TRIAL=at, MILLWRIGHT_STEPS="0:1")

        assert (word.code, word.report.reason) == (1, "InternalError")


def report_of(pod: Searched) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((pod.out / "report.json").read_text())
    return loaded


class TestWhatASearchLeaves:
    @pytest.fixture
    def pod(self, concluded: Path) -> Searched:
        return Searched(concluded, warm=True)

    def test_the_best_model_lies_in_the_output_as_one_of_an_ordinary_job(self, pod: Searched) -> None:
        assert (pod.out / "model" / "grown-1000").is_file()
        assert verify(open_store(pod.out), None).problems == []
        assert [(one["name"], one["cache"]) for one in report_of(pod)["passes"]] == [("two", "Hit")]
        assert [one["after"] for one in report_of(pod)["evaluation"]] == ["input", "two"]

    def test_all_that_is_known_of_all_trials_lies_beside_it(self, pod: Searched) -> None:
        rows = pod.rows()

        assert [(row["number"], row["phase"], row["best"]) for row in rows] == [
            (0, "Succeeded", False),
            (1, "Succeeded", True),
            (2, "ConstraintsNotMet", False),
            (3, "Failed", False),
        ]
        assert rows[1]["at"] == {"one on/off": False, "two.by": 1000}
        assert rows[1]["values"] == {"size": rows[1]["metrics"]["size"]["value"]}
        assert rows[0]["values"]["size"] == rows[1]["values"]["size"] + 2000
        assert rows[2]["uri"].startswith("volume://team/out/.millwright/cache/")
        assert (rows[3]["metrics"], rows[3]["reason"], rows[3]["message"]) == ({}, "PassFailed", "it broke")
        assert "digest" not in rows[3]

    def test_other_models_are_published_below_it_each_a_whole_output(self, pod: Searched) -> None:
        other = pod.out / "trials" / "000"

        assert verify(open_store(other), None).problems == []
        assert (other / "model" / "grown-3000").is_file()
        assert not (other / "model" / "trials.jsonl").exists()
        assert [row["uri"] for row in pod.rows()[:2]] == ["volume://team/out/trials/000/", "volume://team/out/"]

    def test_the_report_beside_the_model_tells_of_the_search(self, pod: Searched) -> None:
        report = report_of(pod)

        assert {name: report["search"][name] for name in ("reason", "best", "keep", "parameters")} == {
            "reason": "AllTrialsDone",
            "best": 1,
            "keep": "all",
            "parameters": ["one on/off", "two.by"],
        }
        assert report["search"]["objectives"] == [{"metric": "size", "direction": "Minimize", "unit": "bytes"}]
        assert report["search"]["trials"] == pod.rows()
        assert "search" in report["spec"]
        assert [step["name"] for step in report["recipe"]] == ["two"]

    def test_what_a_lost_pod_had_said_is_read_back(self, pod: Searched) -> None:
        again = pod.run("report")

        assert (again.code, again.report.artifact is not None) == (0, True)
        assert list(sizes(again)) == ["input", "two"]


class TestThePodThatEndsASearch:
    @pytest.fixture
    def pod(self, tried: Path, tmp_path: Path) -> Searched:
        shutil.copytree(tried, tmp_path, dirs_exist_ok=True, symlinks=True)
        return Searched(tmp_path, warm=True)

    @pytest.fixture
    def done(self, concluded: Path, tmp_path: Path) -> Searched:
        """Where it has been."""
        shutil.copytree(concluded, tmp_path, dirs_exist_ok=True, symlinks=True)
        return Searched(tmp_path, warm=True)

    def test_what_it_publishes_is_what_a_manifest_without_a_search_makes(self, pod: Searched) -> None:
        pod.job()
        found = pod.conclude(*TRIALS, best=1).report
        pod.job(passes=[grow("two", 1000)], output={"volume": {"claimName": "team", "path": "by-hand"}})
        pod.write(**{key: value for key, value in pod.spec.items() if key != "search"})

        by_hand = pod.run("stage").report

        assert found.artifact is not None
        assert by_hand.artifact is not None
        assert (by_hand.fingerprint, by_hand.artifact.digest) == (found.fingerprint, found.artifact.digest)

    def test_concluded_again_it_is_as_it_was(self, done: Searched) -> None:
        before = {path: path.read_bytes() for path in done.out.rglob("*") if path.is_file()}

        word = done.conclude(*TRIALS, best=1, publish=[0, 1])

        assert word.code == 0
        assert {path for path, data in before.items() if path.read_bytes() != data} <= {
            done.out / "trials" / "000" / "report.json"  # of the kept model's own last run
        }

    def test_a_change_of_the_trials_file_is_seen(self, done: Searched) -> None:
        (done.out / "model" / "trials.jsonl").write_text("{}\n")

        assert any("trials.jsonl" in problem for problem in verify(open_store(done.out), None).problems)

    def test_a_model_that_the_cache_has_lost_is_not_made_on_a_machine_without_accelerators(self, pod: Searched) -> None:
        shutil.rmtree(pod.out / ".millwright" / "cache")

        word = pod.conclude(*TRIALS, best=1)

        assert (word.code, word.report.reason) == (75, "HandoverMissing")
        assert "the model of trial 1 is not in the cache any more" in word.report.message
        assert not (pod.out / "manifest.json").exists()

    def test_what_it_was_judged_by_and_is_lost_is_not_measured_there(self, pod: Searched) -> None:
        shutil.rmtree(pod.out / ".millwright" / "evaluations")

        word = pod.conclude(*TRIALS, best=1)

        assert (word.code, word.report.reason) == (75, "HandoverMissing")
        assert "what was measured of trial 1 (after two) is not in the cache any more" in word.report.message

    def test_an_output_with_another_model_is_refused_unless_it_may_be_replaced(self, done: Searched) -> None:
        refused = done.conclude(*TRIALS, best=0)
        done.job(output={"volume": {"claimName": "team", "path": "out"}, "replace": True})
        replaced = done.conclude(*TRIALS, best=0)

        assert (refused.code, refused.report.reason) == (2, "OutputExists")
        assert replaced.code == 0
        assert (done.out / "model" / "grown-3000").is_file()

    def test_points_in_their_short_form_are_understood(self, pod: Searched) -> None:
        short = ended(1, [], values=[2.0]) | {"at": "#[false,1]"}

        word = pod.conclude(short, best=1)

        assert word.code == 0, word.out + word.err
        assert pod.rows()[0]["at"] == {"one on/off": False, "two.by": 1000}

    def test_another_searchs_model_is_not_read_back_for_ones_own(self, done: Searched) -> None:
        done.job(search={"maxTrials": 3})

        assert done.run("report").report.reason == "ResultMissing"
