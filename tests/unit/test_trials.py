"""A search's trials as jobs, and what is refused of a search before anything costs."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from millwright_api.errors import ChainMismatch, InvalidManifest, MillwrightError, PassFailed, UnknownPass
from millwright_api.search import Point
from millwright_api.v1alpha1 import OptimizationJob
from millwright_runner.passes.genai import Genai
from millwright_runner.passes.lora import Lora
from millwright_runner.registry import BoundStep
from millwright_runner.trials import check_search, in_manifest, passes_of, trial_job
from millwright_runner.variants import Values, bound, settings_of, tried
from millwright_search.segments import segments

RATE = {"pass": "finetune", "option": "learningRate", "logUniform": {"min": 1e-5, "max": 1e-3}}
BLOCK = {"pass": "genai", "option": "blockSize", "choice": [16, 32, 64]}
ALGORITHM = {"pass": "genai", "option": "algorithm", "choice": ["rtn", "k_quant"]}
SIZE = {"metric": "sizeOnDisk", "direction": "Minimize"}
FINETUNE: dict[str, Any] = {"name": "finetune", "lora": {"trainData": "train", "training": {"maxSteps": 3}}}
MERGE: dict[str, Any] = {"merge": {}}
GENAI: dict[str, Any] = {"genai": {"precision": "int4"}}


def job(*parameters: dict[str, Any], passes: list[dict[str, Any]] | None = None, **search: Any) -> OptimizationJob:
    return OptimizationJob.model_validate(
        {
            "apiVersion": "millwright.dev/v1alpha1",
            "kind": "OptimizationJob",
            "metadata": {"name": "test"},
            "spec": {
                "model": {"path": "model"},
                "data": [{"name": "train", "source": {"path": "train.jsonl"}, "text": {}}],
                "passes": copy.deepcopy(passes or [FINETUNE, MERGE, GENAI]),
                "evaluation": {"metrics": [{"sizeOnDisk": {}}]},
                "search": {"parameters": list(parameters), "objectives": [SIZE], "maxTrials": 4} | search,
                "output": {"path": "out"},
            },
        }
    )


def options(made: OptimizationJob) -> dict[str, dict[str, Any]]:
    return {step.name: step.options for step in made.spec.passes}


def refused(made: OptimizationJob) -> MillwrightError:
    with pytest.raises(MillwrightError) as caught:
        check_search(made)
    return caught.value


class TestATrialsJob:
    def test_it_is_the_manifest_without_its_search_and_with_the_values(self) -> None:
        made = trial_job(job(RATE, BLOCK), (2e-4, 64))

        assert made.spec.search is None
        assert options(made) == {
            "finetune": {"trainData": "train", "training": {"maxSteps": 3, "learningRate": 2e-4}},
            "merge": {},
            "genai": {"precision": "int4", "blockSize": 64},
        }

    def test_the_manifest_itself_stays_as_it_was(self) -> None:
        searched = job(RATE, BLOCK)
        before = searched.model_dump_json()

        trial_job(searched, (2e-4, 64))

        assert searched.model_dump_json() == before

    def test_a_value_that_is_none_leaves_the_manifests_own(self) -> None:
        made = trial_job(job(RATE, {"pass": "genai", "option": "precision", "choice": ["int8", "fp32"]}), (2e-4, None))

        assert options(made)["genai"] == {"precision": "int4"}

    @pytest.mark.parametrize(("on", "names"), [(True, ["finetune", "merge", "genai"]), (False, ["merge", "genai"])])
    def test_a_pass_that_is_off_is_left_out(self, on: bool, names: list[str]) -> None:
        made = trial_job(job({"pass": "finetune", "onOff": True}), (on,))

        assert [step.name for step in made.spec.passes] == names

    def test_of_several_passes_the_one_that_is_named_runs(self) -> None:
        qlora = {"name": "other", "qlora": {"trainData": "train"}}

        made = trial_job(job({"oneOf": ["finetune", "other"]}, passes=[FINETUNE, qlora, MERGE, GENAI]), ("other",))

        assert [step.name for step in made.spec.passes] == ["other", "merge", "genai"]

    def test_it_says_what_a_person_would_have_written(self) -> None:
        by_hand = job(passes=[FINETUNE, MERGE, {"genai": {"precision": "int4", "blockSize": 64}}], parameters=[BLOCK])

        made = trial_job(job(BLOCK), (64,))

        assert made.spec.passes == by_hand.spec.passes
        assert made.spec.model_dump(exclude={"search"}) == by_hand.spec.model_dump(exclude={"search"})

    def test_a_whole_number_that_json_made_a_float_of_is_one_again(self) -> None:
        r = {"pass": "finetune", "option": "r", "integer": {"min": 4, "max": 64}}

        assert options(trial_job(job(r), (16.0,)))["finetune"]["r"] == 16
        assert isinstance(options(trial_job(job(r), (16.0,)))["finetune"]["r"], int)

    @pytest.mark.parametrize(
        ("parameter", "value", "where"),
        [
            (BLOCK | {"choice": [16, 17]}, 17, "spec.search.parameters[0].choice[1]: found 17"),
            (BLOCK | {"choice": [16, True]}, True, "spec.search.parameters[0].choice[1]: found true"),
            (RATE, 11.0, "spec.search.parameters[0].logUniform: found 11"),
        ],
    )
    def test_a_value_that_the_pass_does_not_take_is_told_where_it_stands(
        self, parameter: dict[str, Any], value: Any, where: str
    ) -> None:
        with pytest.raises(InvalidManifest) as caught:
            trial_job(job(parameter), (value,))

        assert str(caught.value).startswith(where)

    def test_the_finished_model_is_measured_whatever_the_manifest_measures(self) -> None:
        document = job(BLOCK).model_dump(mode="json", exclude_none=True)
        document["spec"]["evaluation"]["after"] = ["input"]

        made = trial_job(OptimizationJob.model_validate(document), (16,))

        assert made.spec.evaluation is not None
        assert made.spec.evaluation.measured(["a"]) == ["input", "a"]


class TestASegmentsJob:
    def test_its_steps_are_where_the_whole_trial_has_them_though_a_later_choice_is_open(self) -> None:
        passes = [FINETUNE, MERGE, {"name": "small", "genai": {}}, {"name": "large", "genai": {"precision": "fp32"}}]
        searched = job({"oneOf": ["small", "large"]}, passes=passes)
        first, _ = segments(searched.spec, ("small",))

        made = trial_job(searched, first.at)

        assert (
            [step.name for step in made.spec.passes][first.first : first.end]
            == list(first.steps)
            == ["finetune", "merge"]
        )
        assert len(made.spec.passes) > first.end

    def test_a_choice_of_which_an_earlier_step_was_not_taken_puts_nothing_before_it(self) -> None:
        early = {"name": "early", "custom": {"pass": "tidy", "options": {}}}
        late = {"name": "late", "custom": {"pass": "tidy", "options": {}}}
        searched = job({"oneOf": ["early", "late"]}, passes=[early, MERGE, late, GENAI])

        made = trial_job_names(searched, (None,))

        assert made == ["merge", "late", "genai"]


def trial_job_names(searched: OptimizationJob, at: Point) -> list[str]:
    """Names of a trial's steps, where the passes themselves need not be installed."""
    from millwright_runner import trials
    from millwright_search import space

    names = [step.name for step in searched.spec.passes]
    assert searched.spec.search is not None
    return [s.name for s in space.recipe(searched.spec, trials._completed(searched.spec.search, at, names))]


class TestErrorsOfATrial:
    def test_they_name_the_steps_as_the_manifest_counts_them(self) -> None:
        error = PassFailed("genai failed, see spec.passes[1]", where="spec.passes[1].genai")

        in_manifest(error, job({"pass": "finetune", "onOff": True}), (False,))

        assert (error.where, error.message) == ("spec.passes[2].genai", "genai failed, see spec.passes[2]")


class TestWhatCannotBeSearched:
    @pytest.mark.parametrize(
        ("parameter", "message"),
        [
            (RATE | {"option": "learningrate"}, "spec.search.parameters[0].option: lora has no option 'learningrate' (did you mean"),
            (RATE | {"option": "trainData"}, "spec.search.parameters[0].option: lora.trainData names a data set"),
            (BLOCK | {"choice": [16, 17]}, "spec.search.parameters[0].choice[1]: found 17, expected"),
            (BLOCK | {"choice": ["16"]}, "spec.search.parameters[0].choice[0]: found '16', expected"),
            (RATE | {"logUniform": {"min": 1.0, "max": 20.0}}, "spec.search.parameters[0].logUniform: lora.training.learningRate takes"),
            (
                {"pass": "finetune", "option": "r", "uniform": {"min": 1.5, "max": 8.0}},
                "spec.search.parameters[0].uniform: lora.r takes",
            ),
            (
                {"pass": "finetune", "option": "r", "integer": {"min": 0, "max": 8}},
                "spec.search.parameters[0].integer: lora.r takes",
            ),
        ],
    )  # fmt: skip
    def test_an_option_or_value_that_is_none_is_refused_where_it_stands(
        self, parameter: dict[str, Any], message: str
    ) -> None:
        error = refused(job(parameter))

        assert isinstance(error, InvalidManifest)
        assert str(error).startswith(message)

    def test_all_that_is_wrong_is_told(self) -> None:
        lines = str(refused(job(BLOCK | {"choice": [1, 2, 16]}, ALGORITHM | {"choice": ["rtm"]}))).split("\n")

        assert [line.partition(": ")[0].removeprefix("spec.search.parameters") for line in lines] == [
            "[0].choice[0]",
            "[0].choice[1]",
            "[1].choice[0]",
        ]

    def test_an_option_that_has_two_names_is_searched_once(self) -> None:
        other = RATE | {"option": "training.learningRate"}

        assert "finetune.training.learningRate is searched twice, see parameters[0]" in str(refused(job(RATE, other)))

    def test_a_pass_that_is_none(self) -> None:
        error = refused(job(BLOCK, passes=[MERGE, {"name": "genai", "genay": {}}]))

        assert isinstance(error, UnknownPass)
        assert "did you mean 'genai'?" in str(error)

    def test_a_value_that_goes_with_no_other_is_refused(self) -> None:
        fraction = {"pass": "finetune", "option": "evalFraction", "choice": [0.1, 0.2]}
        own = {"name": "finetune", "lora": {"trainData": "train", "evalSize": 4}}

        error = refused(job(fraction, passes=[own, MERGE, GENAI]))

        assert str(error).startswith(
            "spec.search.parameters[0].choice[0]: at most one of evalData, evalFraction, evalSize"
        )
        assert str(error).endswith("are given, in spec.passes[0].lora")

    def test_of_several_values_the_one_that_goes_with_no_other_is_refused(self) -> None:
        ratio = {"pass": "finetune", "option": "warmupRatio", "choice": [0.0, 0.1]}
        steps = {"pass": "finetune", "option": "warmupSteps", "choice": [1, 2]}

        assert str(refused(job(ratio, steps))).startswith(
            "spec.search.parameters[0].choice[1]: warmupSteps and warmupRatio are both given"
        )

    def test_a_chain_that_some_trial_would_have_and_does_not_fit_is_named(self) -> None:
        error = refused(job({"pass": "merge", "onOff": True}))

        assert isinstance(error, ChainMismatch)
        assert str(error).startswith("spec.passes[2]: in trials with merge off: genai reads hf")

    def test_passes_of_which_one_runs_need_not_follow_one_another(self) -> None:
        searched = job(
            {"oneOf": ["finetune", "other"]}, passes=[FINETUNE, {"name": "other", "lora": {"trainData": "train"}}]
        )

        assert check_search(searched) == ["search: the space has 2 points, fewer than maxTrials 4: there are 2 trials"]


class TestWhatAPersonShouldKnow:
    def test_nothing_of_a_search_that_is_right(self) -> None:
        assert check_search(job(RATE, BLOCK)) == []

    def test_a_space_smaller_than_the_number_of_trials(self) -> None:
        assert check_search(job(BLOCK, maxTrials=12)) == [
            "search: the space has 3 points, fewer than maxTrials 12: there are 3 trials"
        ]

    def test_values_that_do_not_go_together_as_long_as_each_goes_with_some(self) -> None:
        settings = settings_of(job(BLOCK, ALGORITHM))

        def make(values: Values) -> BoundStep:
            """A pass that takes large blocks by one algorithm only."""
            if values == {0: 64, 1: "rtn"}:
                raise InvalidManifest("64 goes with k_quant", where="spec.passes[2].genai.blockSize")
            return bound(job(BLOCK, ALGORITHM), 2, settings, values)

        made, wrong, notes = tried(settings, make)

        assert (len(made), wrong) == (5, [])
        assert notes == [
            "1 of 6 combinations of values make no pass, such as: spec.passes[2].genai.blockSize: 64 goes with k_quant"
        ]

    def test_an_objective_the_other_way_round(self) -> None:
        searched = job(RATE, objectives=[SIZE | {"direction": "Maximize"}])

        assert check_search(searched) == [
            "search.objectives[0]: less sizeOnDisk is better, and the direction is Maximize"
        ]


def test_all_passes_of_a_search_are_known_with_the_ends_of_ranges() -> None:
    found = passes_of(job(RATE, BLOCK))

    assert [p.training.learning_rate for p in found if isinstance(p, Lora)] == [1e-5, 1e-3]
    assert [p.block_size for p in found if isinstance(p, Genai)] == [16, 32, 64]
