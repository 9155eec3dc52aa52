"""Olive's searches become spec.search: what differs between trials, how they are chosen, and what is looked for."""

from __future__ import annotations

from typing import Any

import pytest
from tests.olive.samples import genai, imported, lines, lora, note_on, rows, workflow

from millwright_api.errors import ChainMismatch, InvalidManifest
from millwright_api.v1alpha1 import OptimizationJob
from millwright_runner.olive import Imported, convert, to_yaml
from millwright_runner.olive.flows import switches
from millwright_runner.trials import check_search, trial_job
from millwright_search import space

GRID = {"sampler": "sequential"}
MERGE = {"type": "MergeAdapterWeights"}
UNASKED = {"disable_search": True}
"""Olive then searches no ranges of its own."""


def size(priority: int | str = 1, name: str = "size", **rest: Any) -> dict[str, Any]:
    return {"name": name, "type": "size_on_disk", "sub_types": [{"name": "bytes", "priority": priority, **rest}]}


def ranked(kind: str, name: str, sub: str, priority: int = 1) -> dict[str, Any]:
    return {"name": name, "type": kind, "sub_types": [{"name": sub, "priority": priority}]}


def searching(strategy: Any = GRID, metrics: list[Any] | None = None, **changes: Any) -> Imported:
    evaluator = {"metrics": [size()] if metrics is None else metrics}
    return convert(workflow(search_strategy=strategy, evaluators={"common": evaluator}, evaluator="common", **changes))


def search(found: Imported) -> Any:
    return found.manifest["spec"].get("search")


def steps(found: Imported) -> list[Any]:
    return list(found.manifest["spec"]["passes"])


def categorical(*values: Any) -> dict[str, Any]:
    return {"olive_parameter_type": "SearchParameter", "type": "Categorical", "support": [*values]}


def blocking(found: Imported) -> list[str]:
    return [path for path, blocks in lines(found).items() if blocks]


def tuned(**options: Any) -> dict[str, Any]:
    """The passes of a workflow whose LoRA has these options."""
    return {"passes": {"lora": lora(**options), "merge": MERGE, "genai": genai()}}


RANKS = tuned(r=[8, 16])


class TestAnOption:
    @pytest.mark.parametrize(
        ("options", "parameter"),
        [
            ({"r": [8, 16]}, {"pass": "lora", "option": "r", "choice": [8, 16]}),
            ({"r": categorical(8, 16)}, {"pass": "lora", "option": "r", "choice": [8, 16]}),
            ({"r": {"type": "Categorical", "support": ["8", 16]}}, {"pass": "lora", "option": "r", "choice": [8, 16]}),
            ({"r": "SEARCHABLE_VALUES"}, {"pass": "lora", "option": "r", "choice": [16, 32, 64]}),
            ({"lora_dropout": categorical(0.0, 0.1)}, {"pass": "lora", "option": "dropout", "choice": [0.0, 0.1]}),
            (
                {"training": {"learning_rate": categorical(1e-4, 3e-4)}},
                {"pass": "lora", "option": "training.learningRate", "choice": [1e-4, 3e-4]},
            ),
            (
                {"training": {"max_steps": categorical(10, 20)}},
                {"pass": "lora", "option": "training.maxSteps", "choice": [10, 20]},
            ),
            (
                {"torch_dtype": categorical("float32", "bfloat16")},
                {"pass": "lora", "option": "training.dtype", "choice": ["float32", "bfloat16"]},
            ),
        ],
    )
    def test_with_several_values_becomes_a_parameter(self, options: Any, parameter: Any) -> None:
        found = searching(**tuned(**options))

        assert search(found)["parameters"] == [parameter]
        assert found.unmapped == []

    @pytest.mark.parametrize(
        ("key", "values"),
        [
            ("precision", ["int4", "int8"]), ("int4_algo_config", ["rtn", "k_quant_mixed", "default"]),
            ("int4_is_symmetric", [True, False]), ("exclude_lm_head", [False, "true"]), ("int4_accuracy_level", [1, 4]),
        ],
    )  # fmt: skip
    def test_means_in_each_trial_what_its_value_means_alone(self, key: str, values: list[Any]) -> None:
        alone = [steps(convert(workflow(passes={"genai": genai(**{key: value})})))[0]["genai"] for value in values]

        job = OptimizationJob.model_validate(searching(passes={"genai": genai(**{key: categorical(*values)})}).manifest)

        assert job.spec.search is not None
        tried = [trial_job(job, at).spec.passes[0].options for at in space.points(job.spec.search)]
        assert tried == alone

    def test_has_its_first_value_in_the_step(self) -> None:
        assert steps(searching(**RANKS))[0]["lora"]["r"] == 8

    def test_of_the_older_nesting_is_one_too(self) -> None:
        passes = {"lora": {"type": "LoRA", "config": {"lora_r": categorical(8, 16), "train_data_config": "train"}}}

        found = searching(passes=passes)

        assert search(found)["parameters"] == [{"pass": "lora", "option": "r", "choice": [8, 16]}]

    def test_that_stands_for_several_options_here_becomes_steps_of_which_one_runs(self) -> None:
        passes = {"genai": genai(int4_algo_config=categorical("rtn", "k_quant_last"), int4_block_size=[32, 64])}

        found = searching(passes=passes)

        assert steps(found) == [
            {"genai": {"precision": "int4", "blockSize": 32, "algorithm": "rtn"}},
            {
                "name": "genai-2",
                "genai": {"precision": "int4", "blockSize": 32, "algorithm": "k_quant", "mixedPrecision": "last"},
            },
        ]
        assert search(found)["parameters"] == [
            {"oneOf": ["genai", "genai-2"]},
            {"pass": "genai", "option": "blockSize", "choice": [32, 64]},
            {"pass": "genai-2", "option": "blockSize", "choice": [32, 64]},
        ]

    def test_whose_values_differ_in_one_option_here_stays_one_step(self) -> None:
        found = searching(passes={"genai": genai(int4_algo_config=["default", "rtn"])})

        assert search(found)["parameters"] == [{"pass": "genai", "option": "algorithm", "choice": ["default", "rtn"]}]

    def test_that_is_a_data_set_becomes_steps_too(self) -> None:
        other = rows() | {"name": "other"}

        found = searching(data_configs=[rows(), other], **tuned(train_data_config=categorical("train", "other")))

        assert [step["lora"]["trainData"] for step in steps(found)[:2]] == ["train", "other"]
        assert search(found)["parameters"] == [{"oneOf": ["lora", "lora-2"]}]
        assert sum("defaults of passes.lora" in note.text for note in found.notes) == 1

    def test_of_one_value_is_no_parameter(self) -> None:
        found = searching(**tuned(r=[8, 16], alpha=categorical(32)))

        assert steps(found)[0]["lora"]["alpha"] == 32
        assert [parameter["option"] for parameter in search(found)["parameters"]] == ["r"]

    def test_with_a_value_that_has_no_counterpart_keeps_the_others_and_blocks(self) -> None:
        found = searching(passes={"genai": genai(int4_algo_config=["default", "rtn", "hqq"])})

        assert search(found)["parameters"][0]["choice"] == ["default", "rtn"]
        (line,) = [line for line in found.unmapped if line.blocks]
        assert line.why == 'has no counterpart: "hqq"'

    def test_that_depends_on_another_is_listed_with_what_to_write(self) -> None:
        depends = {**categorical(), "type": "Conditional", "parents": ["r"], "support": {"8": categorical(8, 16)}}

        found = searching(**tuned(r=[8, 16], alpha=depends))

        assert all(line.path.startswith("passes.lora.alpha.") and line.blocks for line in found.unmapped)
        assert "several alternatives" in found.unmapped[0].why

    def test_an_unknown_key_beside_the_values_is_listed(self) -> None:
        assert lines(searching(**tuned(r={**categorical(8, 16), "suport": [4]}))) == {"passes.lora.r.suport": True}

    @pytest.mark.parametrize(
        ("options", "where"),
        [
            ({"r": [8, "many"]}, "passes.lora.r"),
            ({"r": categorical()}, "passes.lora.r.support"),
            ({"r": {"type": "Categorical", "support": 8}}, "passes.lora.r.support"),
            ({"alpha": "SEARCHABLE_VALUES"}, "passes.lora.alpha"),
            ({"train_data_config": categorical({"name": "train"})}, "passes.lora.train_data_config.support"),
        ],
    )
    def test_with_values_that_are_none_is_refused_with_its_place(self, options: Any, where: str) -> None:
        with pytest.raises(InvalidManifest) as caught:
            searching(**tuned(**options))

        assert caught.value.where == where

    def test_with_a_value_out_of_the_passs_bounds_is_refused_in_the_jsons_words(self) -> None:
        with pytest.raises(InvalidManifest, match=r"passes\.lora\.r\.choice\[1\]"):
            searching(**tuned(r=[8, 0]))

    def test_beyond_the_most_parameters_is_listed(self) -> None:
        passes = {
            "tune": [lora(r=[8, 16]) for _ in range(8)],
            "merge": MERGE,
            "genai": [genai(int4_block_size=[32, 64]) for _ in range(4)],
        }

        found = searching(passes=passes)

        assert len(search(found)["parameters"]) == 12
        assert lines(found) == {"passes.genai[2].int4_block_size": True, "passes.genai[3].int4_block_size": True}


class TestAlternatives:
    def test_become_steps_of_which_each_trial_has_one(self) -> None:
        tune = [lora(r=8), {"type": "QLoRA", "train_data_config": "train", "r": [16, 32]}]

        found = searching(passes={"tune": tune, "merge": MERGE, "genai": genai()})

        assert [step.get("name") for step in steps(found)] == ["tune", "tune-2", None, None]
        assert search(found)["parameters"] == [
            {"oneOf": ["tune", "tune-2"]},
            {"pass": "tune-2", "option": "r", "choice": [16, 32]},
        ]
        assert found.mapped["passes.tune[1].type"] == "spec.passes[1].qlora"

    def test_without_a_counterpart_are_listed_and_the_others_stay(self) -> None:
        found = searching(passes={"genai": [genai(), {"type": "OnnxConversion"}, genai(precision="int8")]})

        assert search(found)["parameters"] == [{"oneOf": ["genai", "genai-2"]}]
        assert blocking(found) == ["passes.genai[1].type"]

    def test_without_a_search_the_first_is_taken_as_in_olive(self) -> None:
        found = convert(workflow(passes={"genai": [genai(), genai(precision="int8")]}))

        assert steps(found) == [{"genai": {"precision": "int4"}}]
        assert found.runnable
        assert "takes the first" in note_on(found, "passes.genai[1]")

    def test_more_than_a_choice_takes_are_listed(self) -> None:
        found = searching(passes={"genai": [genai(block_size=16)] * 9})

        assert len(steps(found)) == 1
        assert {line.why for line in found.unmapped if line.path.startswith("passes")} == {
            "it takes 9 steps here, and a choice has at most 8"
        }

    def test_that_do_not_follow_what_stands_before_are_refused_with_the_combination(self) -> None:
        with pytest.raises(ChainMismatch, match=r"passes\.genai: in trials with tune: genai reads hf"):
            searching(passes={"tune": [genai(), lora()], "genai": genai()})


FLOWS = {"lora": lora(), "other": lora(r=8), "merge": MERGE, "genai": genai()}


class TestFlows:
    def test_that_differ_in_one_pass_become_a_choice_of_it(self) -> None:
        flows = [["lora", "merge", "genai"], ["other", "merge", "genai"]]

        found = searching(passes=FLOWS, pass_flows=flows)

        assert [step.get("name", next(iter(step))) for step in steps(found)] == ["lora", "other", "merge", "genai"]
        assert search(found)["parameters"] == [{"oneOf": ["lora", "other"]}]
        assert found.unmapped == []

    def test_with_and_without_a_pass_become_a_switch(self) -> None:
        found = searching(passes=FLOWS, pass_flows=[["lora", "merge"], ["lora", "merge", "genai"]])

        assert search(found)["parameters"] == [{"pass": "genai", "onOff": True}]
        assert lines(found)["passes.other.type"] is False
        assert found.runnable

    def test_that_no_switches_say_are_listed(self) -> None:
        flows = [["lora", "merge", "genai"], ["genai"]]

        found = searching(passes=FLOWS | {"genai": genai(int4_block_size=[32, 64])}, pass_flows=flows)

        assert [step.get("name", next(iter(step))) for step in steps(found)] == ["lora", "merge", "genai"]
        assert lines(found)["pass_flows[1]"] is True

    def test_with_alternatives_choose_among_all_their_steps(self) -> None:
        passes = FLOWS | {"other": [lora(r=8), lora(r=16)]}
        flows = [["lora", "merge", "genai"], ["other", "merge", "genai"]]

        found = searching(passes=passes, pass_flows=flows)

        assert search(found)["parameters"] == [{"oneOf": ["lora", "other", "other-2"]}]

    def test_with_a_switch_of_alternatives_are_listed(self) -> None:
        passes = {"lora": [lora(), lora(r=8)], "merge": MERGE, "tail": [genai(), genai(block_size=16)]}

        found = searching(passes=passes, pass_flows=[["lora", "merge"], ["lora", "merge", "tail"]])

        assert lines(found)["pass_flows[1]"] is True

    def test_naming_a_pass_that_is_not_there_are_refused(self) -> None:
        with pytest.raises(InvalidManifest, match=r"no pass is called 'gena'.*did you mean 'genai'"):
            searching(passes=FLOWS, pass_flows=[["genai"], ["merge", "gena"]])

    @pytest.mark.parametrize(
        ("flows", "names", "one_of", "on_off"),
        [
            ([["a", "c"], ["b", "c"]], ["a", "b", "c"], [["a", "b"]], []),
            ([["a", "b"], ["a"]], ["a", "b"], [], ["b"]),
            ([["a", "x"], ["b", "x"], ["a", "x", "y"], ["b", "x", "y"]], ["a", "b", "x", "y"], [["a", "b"]], ["y"]),
            ([["a"]], ["a"], [], []),
        ],
    )
    def test_are_switches(self, flows: Any, names: Any, one_of: Any, on_off: Any) -> None:
        found = switches(flows)

        assert found is not None
        assert (found.names, found.one_of, found.on_off) == (names, one_of, on_off)

    @pytest.mark.parametrize(
        "flows", [[["a", "b"], ["b", "a"]], [["a", "b", "c"], ["c"]], [["a", "x"], ["b", "x"], ["x"]]]
    )
    def test_are_no_switches(self, flows: Any) -> None:
        assert switches(flows) is None


class TestTheAlgorithm:
    @pytest.mark.parametrize(
        ("strategy", "algorithm"),
        [
            (True, {"grid": {}}),
            ({"sampler": "sequential"}, {"grid": {}}),
            ({"sampler": "random", "sampler_config": {"seed": 5}}, {"random": {"seed": 5}}),
            ({"sampler": "tpe", "seed": 5}, {"tpe": {"seed": 5}}),
            ({"sampler": "tpe"}, {"tpe": {"seed": 1}}),
            ({"search_algorithm": "exhaustive"}, {"grid": {}}),
            ({"search_algorithm": "random", "search_algorithm_config": {"seed": 2}}, {"random": {"seed": 2}}),
        ],
    )
    def test_is_the_sampler_with_its_seed(self, strategy: Any, algorithm: Any) -> None:
        assert search(searching(strategy, **RANKS))["algorithm"] == algorithm

    @pytest.mark.parametrize(
        ("strategy", "trials"),
        [
            ({"sampler": "random", "sampler_config": {"max_samples": 7}}, 7),
            ({"sampler": "random", "sampler_config": {"num_samples": 7}}, 7),
            ({"sampler": "random", "max_samples": 7, "max_iter": 4}, 4),
            ({"sampler": "random", "max_iter": 4}, 4),
            ({"sampler": "random", "max_samples": 0}, 2),
            ({"sampler": "random"}, 2),
            (True, 2),
            ({"search_algorithm": "random", "search_algorithm_config": {"num_samples": 3}}, 3),
            ({"search_algorithm": "tpe"}, 1),
            ({"search_algorithm": "exhaustive"}, 2),
            ({"sampler": "random", "max_samples": 1000}, 200),
        ],
    )
    def test_makes_as_many_trials_as_are_written_else_as_there_are_points(self, strategy: Any, trials: int) -> None:
        assert search(searching(strategy, **RANKS))["maxTrials"] == trials

    def test_beyond_two_hundred_trials_it_is_noted(self) -> None:
        notes = [note.text for note in searching({"sampler": "random", "max_samples": 1000}, **RANKS).notes]

        assert any("1000 trials are more than 200" in text for text in notes)

    def test_asks_the_older_samplers_for_so_many_of_each_flow(self) -> None:
        strategy = {"search_algorithm": "random", "search_algorithm_config": {"num_samples": 3}}
        flows = [["lora", "merge", "genai"], ["other", "merge", "genai"]]

        assert search(searching(strategy, passes=FLOWS, pass_flows=flows))["maxTrials"] == 6

    def test_ends_after_the_time_that_is_written(self) -> None:
        assert search(searching({**GRID, "max_time": 3600}, **RANKS))["maxSeconds"] == 3600

    @pytest.mark.parametrize(("number", "keep"), [(1, None), (3, "pareto")])
    def test_keeps_the_front_where_several_models_are_asked_for(self, number: int, keep: str | None) -> None:
        assert search(searching({**GRID, "output_model_num": number}, **RANKS)).get("keep") == keep

    @pytest.mark.parametrize(
        "written",
        [
            {"execution_order": "joint"}, {"execution_order": "JOINT"}, {"stop_when_goals_met": False},
            {"include_pass_params": True}, {"sampler_config": {"multivariate": True, "group": False}}, {"seed": 4},
        ],
    )  # fmt: skip
    def test_notes_what_is_as_here(self, written: Any) -> None:
        assert searching({**GRID, **written}, **RANKS).unmapped == []

    @pytest.mark.parametrize(
        "written",
        [
            {"execution_order": "pass-by-pass"},
            {"stop_when_goals_met": True},
            {"sampler_config": {"with_replacement": True}},
        ],
    )
    def test_lists_what_is_otherwise_here_and_runs(self, written: Any) -> None:
        found = searching({**GRID, **written}, **RANKS)

        assert found.unmapped
        assert found.runnable

    @pytest.mark.parametrize(
        ("strategy", "where"),
        [
            ({"sampler": "genetic"}, "search_strategy.sampler"),
            ({"execution_order": "joint"}, "search_strategy"),
            ({**GRID, "execution_order": "sideways"}, "search_strategy.execution_order"),
            ({**GRID, "max_samples": "many"}, "search_strategy.max_samples"),
            ({**GRID, "max_iter": 0}, "search_strategy.max_iter"),
            ("tpe", "search_strategy"),
        ],
    )
    def test_is_refused_with_its_place_where_olive_has_none_such(self, strategy: Any, where: str) -> None:
        with pytest.raises(InvalidManifest) as caught:
            searching(strategy, **RANKS)

        assert caught.value.where == where

    def test_an_unknown_key_of_it_is_listed(self) -> None:
        found = searching({**GRID, "sampler_config": {"sed": 1}}, **RANKS)

        assert "did you mean 'seed'" in found.unmapped[0].why


class TestObjectives:
    def test_are_the_metrics_with_a_priority(self) -> None:
        found = searching(metrics=[size(-1, "noted"), size(1, "looked-for")], **RANKS)

        assert search(found)["objectives"] == [{"metric": "looked-for", "direction": "Minimize"}]

    def test_stand_in_the_order_of_priorities(self) -> None:
        found = searching(metrics=[size(2, "second"), size("1", "first")], **RANKS)

        assert [one["metric"] for one in search(found)["objectives"]] == ["first", "second"]

    def test_without_a_priority_are_what_is_measured_and_it_is_noted(self) -> None:
        found = searching(metrics=[{"name": "size", "type": "size_on_disk"}], **RANKS)

        assert search(found)["objectives"] == [{"metric": "size", "direction": "Minimize"}]
        assert any("no metric has a priority" in note.text for note in found.notes)

    def test_of_a_metric_that_is_not_measured_here_block(self) -> None:
        found = searching(metrics=[ranked("accuracy", "quality", "accuracy_score"), size(2)], **RANKS)

        assert search(found)["objectives"] == [{"metric": "size", "direction": "Minimize"}]
        assert not found.runnable
        (line,) = [line for line in found.unmapped if line.blocks]
        assert line.path == "evaluators.common.metrics[0].sub_types[0].priority"
        assert "add exactMatch, f1 or perplexity by hand" in line.why
        assert "spec.search.objectives" in line.why

    def test_of_no_metric_that_is_measured_here_leave_the_search_out_and_say_what_to_add(self) -> None:
        strategy = {"sampler": "tpe", "sampler_config": {"max_samples": 4}}

        found = searching(strategy, [ranked("latency", "speed", "avg")], **RANKS)

        assert search(found) is None
        assert {"search_strategy.sampler", "passes.lora.r"} <= set(blocking(found))
        (line,) = [line for line in found.unmapped if line.path == "search_strategy.sampler"]
        assert "add metrics to spec.evaluation" in line.why

    def test_that_are_missing_leave_the_first_flow_and_say_so_of_the_others(self) -> None:
        flows = [["lora", "merge", "genai"], ["other", "merge", "genai"]]

        found = searching(metrics=[], passes=FLOWS, pass_flows=flows)

        assert [next(iter(step)) for step in steps(found)] == ["lora", "merge", "genai"]
        assert set(blocking(found)) == {"pass_flows[1]", "search_strategy.sampler"}

    def test_without_an_evaluator_are_none_either(self) -> None:
        found = convert(workflow(search_strategy=GRID, **RANKS))

        assert search(found) is None
        assert lines(found) == {"passes.lora.r": True, "search_strategy.sampler": True}

    def test_of_a_pass_alone_block(self) -> None:
        assert lines(searching(**tuned(r=[8, 16], evaluator="other"))) == {"passes.lora.evaluator": True}

    def test_keep_their_goals_as_constraints(self) -> None:
        found = searching(metrics=[size(goal={"type": "threshold", "value": 100})], **RANKS)

        assert found.manifest["spec"]["evaluation"]["constraints"] == [{"metric": "size", "max": 100}]


class TestWhatOliveSearchesUnasked:
    def test_is_named_and_not_taken_over(self) -> None:
        found = searching(passes={"lora": lora(), "merge": MERGE, "genai": genai(int4_block_size=[32, 64])})

        (note,) = [note.text for note in found.notes if "unasked" in note.text]
        assert "passes.lora.r over 16, 32, 64" in note
        assert 'passes.genai.int4_algo_config over "default", "rtn"' in note
        assert "int4_block_size" not in note

    def test_alone_is_listed_and_blocks(self) -> None:
        found = searching()

        assert search(found) is None
        assert lines(found) == {"search_strategy.sampler": True}
        assert "passes.lora.r over 16, 32, 64" in found.unmapped[0].why

    def test_is_nothing_where_that_is_turned_off(self) -> None:
        found = searching({**GRID, "include_pass_params": False})

        assert search(found) is None
        assert found.runnable
        assert note_on(found, "search_strategy").startswith("nothing differs between trials")

    @pytest.mark.parametrize("nested", [False, True])
    def test_is_nothing_of_a_pass_that_turns_it_off(self, nested: bool) -> None:
        passes = {
            "genai": {"type": "ModelBuilder", "config": {"precision": "int4", **UNASKED}}
            if nested
            else genai(**UNASKED)
        }

        assert searching(passes=passes).runnable

    def test_was_nothing_in_the_older_formats(self) -> None:
        found = imported("old_trials")

        assert found.era == "old"
        assert not any("unasked" in note.text for note in found.notes)


class TestValuesThatAreNotSearched:
    def test_because_the_pass_says_so_are_listed(self) -> None:
        found = searching(**tuned(r=categorical(8, 16), **UNASKED))

        why = {line.why for line in found.unmapped if line.path.startswith("passes.lora.r.")}
        assert why == {"values to search beside disable_search: true: write the one that is meant"}

    @pytest.mark.parametrize("value", ["SEARCHABLE_VALUES", [8, 16], categorical(8, 16)])
    def test_because_there_is_no_search_are_listed_and_block(self, value: Any) -> None:
        found = convert(workflow(**tuned(r=value)))

        assert found.unmapped
        assert all(line.blocks and "no search_strategy" in line.why for line in found.unmapped)
        assert steps(found)[0]["lora"]["r"] == 64


@pytest.mark.parametrize("name", ["new_trials", "old_trials"])
def test_an_imported_search_is_one_that_can_be_done(name: str) -> None:
    found = imported(name)

    job = OptimizationJob.model_validate(found.manifest)

    assert found.runnable
    assert job.spec.search is not None
    check_search(job)


def test_the_text_repeats_lists_where_they_are_repeated() -> None:
    assert to_yaml(imported("new_trials")).count("choice: [32, 64, 128]") == 2


@pytest.mark.parametrize("strategy", [False, None, {}])
def test_no_search_stays_none(strategy: Any) -> None:
    found = convert(workflow(search_strategy=strategy))

    assert search(found) is None
    assert found.runnable
