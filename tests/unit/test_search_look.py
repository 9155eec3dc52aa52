"""What `validate`, `plan` and the preflight say of a search, before its first trial. No torch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.cliground import CliGround, Said
from tests.podground import CHAIN, LORA, PodGround, Word

SIZE = {"name": "size", "sizeOnDisk": {}}
SEARCH: dict[str, Any] = {
    "parameters": [
        {"pass": "lora", "option": "r", "choice": [4, 1024]},
        {"pass": "genai", "option": "blockSize", "choice": [16, 32, 64]},
    ],
    "objectives": [{"metric": "size", "direction": "Minimize"}],
    "maxTrials": 12,
}
SMALL_NOTE = "search: the space has 6 points, fewer than maxTrials 12: there are 6 trials"
BLOCK_OUT_OF_BOUNDS = [{"pass": "genai", "option": "blockSize", "choice": [16, 48]}]
EITHER = [LORA, {"name": "other", "qlora": LORA["lora"]}, *CHAIN[1:]]


@pytest.fixture
def pod(tmp_path: Path) -> PodGround:
    return PodGround.make(tmp_path, warm=True)


def preflight(
    pod: PodGround, *stages: dict[str, Any], passes: list[dict[str, Any]] | None = None, **search: Any
) -> Word:
    pod.write(passes=passes or CHAIN, evaluation={"metrics": [SIZE]}, search=SEARCH | search)
    return pod.run("preflight", **({"MILLWRIGHT_LIMITS": json.dumps(stages)} if stages else {}))


def memory(word: Word) -> int:
    """The MiB that a preflight has told of the first stage."""
    return int(word.report.message.partition("needs about ")[2].partition(" ")[0])


class TestThePreflight:
    def test_a_search_that_is_right_is_told_with_what_a_person_should_know(self, pod: PodGround) -> None:
        word = preflight(pod)

        assert word.code == 0, word.out
        assert word.report.message.endswith(SMALL_NOTE)

    def test_the_estimate_is_of_the_hungriest_value(self, pod: PodGround) -> None:
        small = preflight(pod, parameters=[SEARCH["parameters"][0] | {"choice": [4, 8]}])
        large = preflight(pod)

        assert memory(large) > memory(small)

    def test_of_passes_of_which_one_runs_the_disk_is_not_added_up(self, pod: PodGround) -> None:
        def disk(word: Word) -> str:
            return word.report.message.partition("of memory, ")[2].partition(" of disk")[0]

        one = preflight(pod, parameters=SEARCH["parameters"][1:])
        either = preflight(pod, passes=EITHER, parameters=[{"oneOf": ["lora", "other"]}])

        assert disk(either) == disk(one)

    def test_what_a_value_needs_and_the_stage_may_not_have_is_refused(self, pod: PodGround) -> None:
        most = memory(preflight(pod)) * 2**20
        word = preflight(pod, {"steps": "0:3", "memory": most - 2**20})

        assert (word.code, word.report.reason) == (2, "MemoryInsufficient")

    def test_passes_that_never_follow_one_another_in_one_trial_are_fine(self, pod: PodGround) -> None:
        word = preflight(pod, passes=EITHER, parameters=[{"oneOf": ["lora", "other"]}])

        assert word.code == 0, word.out

    def test_a_chain_that_some_trial_would_have_is_refused(self, pod: PodGround) -> None:
        word = preflight(pod, parameters=[{"pass": "merge", "onOff": True}])

        assert (word.code, word.report.reason) == (2, "ChainMismatch")
        assert "in trials with merge off: genai reads hf" in word.report.message

    def test_a_value_out_of_bounds_is_refused_where_it_stands_together_with_what_else_is_wrong(
        self, pod: PodGround
    ) -> None:
        pod.write(
            evaluation={"metrics": [SIZE]},
            search=SEARCH | {"parameters": BLOCK_OUT_OF_BOUNDS},
            output={"path": "out"},
        )

        word = pod.run("preflight")

        assert (word.code, word.report.reason) == (2, "InvalidManifest")
        assert "spec.search.parameters[0].choice[1]: found 48" in word.report.message
        assert "spec.output.path" in word.report.message

    def test_a_value_that_this_model_is_not_for_is_refused_where_it_stands(self, pod: PodGround) -> None:
        word = preflight(pod, parameters=[{"pass": "genai", "option": "precision", "choice": ["int4", "bf16"]}])

        assert (word.code, word.report.reason) == (2, "InvalidManifest")
        assert "spec.search.parameters[0].choice[1]: bf16 does not run on CPUExecutionProvider" in word.report.message


@pytest.fixture
def ground(tmp_path: Path) -> CliGround:
    return CliGround.make(tmp_path)


def ask(ground: CliGround, verb: str, *options: str, **search: Any) -> Said:
    steps = {
        "parameters": [
            {"pass": "step-0", "option": "steps", "choice": [1, 2]},
            {"pass": "step-1", "option": "steps", "integer": {"min": 1, "max": 3}},
            {"pass": "step-1", "onOff": True},
        ],
        "objectives": [{"metric": "size", "direction": "Minimize"}],
    }
    job = ground.write_job({}, {}, evaluation={"metrics": [SIZE]}, search=steps | search)
    return ground.run(verb, str(job), *options)


class TestValidate:
    def test_it_counts_parameters_and_points(self, ground: CliGround) -> None:
        said = ask(ground, "validate")

        assert said.code == 0, said.err
        assert said.out.endswith("a search (3 parameters, 8 points)\n")
        assert "the space has 8 points, fewer than maxTrials 20: there are 8 trials" in said.err

    def test_as_json(self, ground: CliGround) -> None:
        document = json.loads(ask(ground, "validate", "--json", maxTrials=4).out)

        assert document["search"] == {"points": 8, "notes": []}

    def test_an_option_that_is_none_is_told_with_its_line(self, ground: CliGround) -> None:
        said = ask(ground, "validate", parameters=[{"pass": "step-0", "option": "stepps", "choice": [1]}])

        assert said.code == 2
        assert (
            ": spec.search.parameters[0].option: obey has no option 'stepps'\n  hint: did you mean 'steps'?" in said.err
        )
        assert "job.yaml:" in said.err


class TestPlan:
    def test_it_says_what_is_searched_what_trials_share_and_what_they_need(self, ground: CliGround) -> None:
        said = ask(ground, "plan", maxTrials=6, algorithm={"grid": {}})

        assert said.code == 0, said.err
        lines = [" ".join(line.split()) for line in said.out.splitlines()]
        assert "search grid, 6 trials of 8 points" in lines
        assert "objective minimize size" in lines
        assert "step-0.steps 1, 2" in lines
        assert "step-1.steps 1 to 3" in lines
        assert "step-1 on/off on, off" in lines
        assert "step-0: once for each of 2 variants, which trials share" in lines
        assert lines[-1].startswith("6 trials would run: about ")

    def test_as_json(self, ground: CliGround) -> None:
        document = json.loads(ask(ground, "plan", "--json", maxTrials=6).out)

        search = document["search"]
        assert (search["points"], search["trials"], search["algorithm"], search["keep"]) == (8, 6, "tpe", "best")
        assert [one["label"] for one in search["parameters"]] == ["step-0.steps", "step-1.steps", "step-1 on/off"]
        assert {"steps": ["step-0"], "variants": 2, "last": False} in search["pieces"]
        assert document["memoryBytes"] > 0

    def test_nothing_is_written(self, ground: CliGround) -> None:
        ask(ground, "plan")

        assert not (ground.folder / "out").exists()
