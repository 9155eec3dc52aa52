"""The report page of a search: its trials as a table and as charts, what failed, and where the others' models lie."""

from __future__ import annotations

import functools
from typing import Any

import pytest
from tests.reports import MANIFEST, report
from tests.searches import OBJECTIVES, RATE, SPEC, TRIALS, VARIANT, largest, missed, search, trial
from tests.unit.test_page import SCRIPT, Seen

from millwright_runner.page import render
from millwright_runner.page.charts import Across, Dot, Dots, dots_chart
from millwright_runner.page.document import Searched
from millwright_runner.page.trials import SHOWN, Heading, headings, ranked, text

TWO = [*OBJECTIVES, {"metric": "latency", "direction": "Minimize"}]


def page(spec: Any = SPEC, **changes: Any) -> str:
    document = report(search=search(**changes))
    return render(document | {"spec": document["spec"] | {"search": spec}}, MANIFEST)


@functools.cache
def usual() -> Seen:
    return Seen(page())


def see(**changes: Any) -> Seen:
    return Seen(page(**changes)) if changes else usual()


def drawn(seen: Seen) -> list[str]:
    return [svg["aria-label"] or "" for svg in seen.named("svg")]


class TestTheTable:
    def test_the_best_stands_first_then_by_the_objective_then_what_missed_what_ended_early_and_what_failed(
        self,
    ) -> None:
        order = [one.number for one in ranked(Searched.model_validate(search()))]

        assert order == [3, 7, 2, 5, 0, 1, 6, 4]

    def test_where_less_is_better_the_least_comes_first(self) -> None:
        objectives = [{"metric": "latency", "direction": "Minimize"}]
        rows = [one | {"best": False} for one in TRIALS]

        order = [one.number for one in ranked(Searched.model_validate(search(objectives=objectives, trials=rows)))]

        assert order == [5, 2, 7, 0, 3, 1, 6, 4]

    def test_of_equals_the_second_objective_decides(self) -> None:
        rows = [trial(0, 1e-3, 32, 0.9), trial(1, 1e-3, 64, 0.9), trial(2, 1e-3, 16, 0.9)]

        assert [one.number for one in ranked(Searched.model_validate(search(objectives=TWO, trials=rows)))] == [1, 0, 2]

    def test_a_row_has_what_it_was_made_with_its_figure_its_interval_and_its_size(self) -> None:
        text = see().text

        assert (
            "trial accuracy more is better size learningRate finetune.training blockSize genai end "
            "3 best 0.925 0.845 to 0.965 4.06 MB 0.0012 32 succeeded" in text
        )

    def test_a_missed_constraint_says_how_far_off_it_is(self) -> None:
        assert "1e-05 16 missed a constraint accuracy is 0.4; min 0.8: off by 0.4" in see().text

    def test_a_trial_that_was_ended_early_says_why_and_has_no_figure(self) -> None:
        assert "6 – – 6e-05 32 ended early after finetune accuracy was 0.31; the median is 0.8" in see().text

    def test_a_trial_that_is_taken_in_spite_of_its_constraint_says_so(self) -> None:
        row = missed(0, 1e-3, 16, 0.4) | {"phase": "Succeeded"}

        assert '<td class="warn">succeeded<small>accuracy is 0.4; min 0.8: off by 0.4</small>' in page(trials=[row])

    def test_how_many_ended_how_stands_above(self) -> None:
        assert "8 trials: 5 succeeded, 1 missed a constraint, 1 failed, 1 ended early." in see().text

    def test_why_there_are_no_more_is_said_where_it_is_not_plain(self) -> None:
        assert "1 ended early, and then the time was up." in see(reason="OutOfTime").text

    def test_the_best_and_the_time_of_all_trials_stand_at_the_top(self) -> None:
        text = see(trials=[one | {"seconds": 60.0} for one in TRIALS]).text

        assert (
            f"Best of 8 trials 3: {RATE} 0.0012, {VARIANT} 32 Time 8 min 00 s for the trials, 3 min 11 s to publish"
            in text
        )

    def test_the_front_is_marked_where_there_are_several_objectives(self) -> None:
        front = [one | {"front": one["number"] in (3, 5)} for one in TRIALS]

        assert see().text.count("Pareto front 0.") == 0
        text = see(objectives=TWO, trials=front).text
        assert "3 best Pareto front 0.925" in text
        assert "5 Pareto front 0.883" in text

    def test_many_rows_are_folded_behind_the_first_ones(self) -> None:
        seen = see(trials=[trial(number, 1e-3, 32, number / 100) for number in range(50)])

        assert f"the other {50 - SHOWN}" in seen.text

    def test_more_parameters_than_a_screen_is_wide_share_a_column(self) -> None:
        labels = [f"step.option{index}" for index in range(6)]
        row = trial(0, 1, 1, 0.9) | {"at": dict.fromkeys(labels, 8) | {"step.option3": None}}

        text = see(parameters=labels, trials=[row, row | {"number": 1}]).text

        assert "made with" in text
        assert "option2 8 option4 8" in text

    @pytest.mark.parametrize(
        ("value", "said"), [(1e-5, "1e-05"), (0.123456789, "0.123457"), (8, "8"), (True, "true"), ("int4", "int4"), (None, "")]
    )  # fmt: skip
    def test_a_value_is_written_as_a_manifest_has_it(self, value: Any, said: str) -> None:
        assert text(value) == said

    def test_a_parameter_is_called_by_its_own_name_below_it_its_step(self) -> None:
        assert headings([RATE, "prune on/off", "lora|qlora"]) == [
            Heading("learningRate", "finetune.training"),
            Heading("prune on/off"),
            Heading("lora|qlora"),
        ]


class TestFailuresAndPlaces:
    def test_trials_that_failed_are_listed_by_their_reasons_the_commonest_first(self) -> None:
        failed = {"phase": "Failed", "message": "killed for memory"}
        rows = [
            *TRIALS,
            trial(8, 1, 16, None, reason="OOMKilled", **failed),
            trial(9, 1, 16, None, reason="OOMKilled", **failed),
        ]

        text = see(trials=rows).text

        assert "Trials that failed OOMKilled trials 8, 9: killed for memory PassFailed trial 4: the loss is no" in text

    def test_without_failures_nothing_is_said_of_them(self) -> None:
        assert "Trials that failed" not in see(trials=TRIALS[:4]).text

    def test_it_says_where_each_trials_model_lies(self) -> None:
        assert f"trial 7 s3://team-a/models/emotion/.millwright/cache/{7:064x}/" in see().text


class TestCharts:
    def test_the_objective_is_drawn_against_the_latency_that_was_measured_with_the_front(self) -> None:
        assert "accuracy against latency, 6 trials; on the Pareto front: 5, 2, 7, 3" in drawn(see())

    def test_without_a_cost_that_was_measured_only_the_course_is_drawn(self) -> None:
        rows = [one | {"metrics": {"accuracy": one["metrics"]["accuracy"]}} for one in TRIALS if "metrics" in one]

        assert [title for title in drawn(see(trials=rows)) if title.startswith("accuracy against latency")] == []

    def test_two_objectives_are_drawn_against_one_another_whichever_way_is_better(self) -> None:
        objectives = [*OBJECTIVES, {"metric": "throughput", "direction": "Maximize"}]
        rows = [
            trial(number, 1e-3, 32, accuracy) | {"values": {"accuracy": accuracy, "throughput": speed}}
            for number, (accuracy, speed) in enumerate([(0.9, 10.0), (0.8, 30.0), (0.7, 20.0)])
        ]

        assert "accuracy against throughput, 3 trials; on the Pareto front: 1, 0" in drawn(
            see(objectives=objectives, trials=rows)
        )

    def test_of_three_objectives_the_front_is_the_searchs_own(self) -> None:
        objectives = [*TWO, {"metric": "size", "direction": "Minimize"}]
        rows = [one | {"front": one["number"] in (0, 3)} for one in TRIALS]

        assert "accuracy against latency, 6 trials; on the Pareto front: 0, 3" in drawn(
            see(objectives=objectives, trials=rows)
        )

    def test_the_best_so_far_rises_from_the_first_to_the_best_and_a_missed_constraint_is_none(self) -> None:
        rows = [trial(0, 1, 32, 0.7), missed(1, 1, 16, 0.99), trial(2, 1, 64, 0.8), trial(3, 1, 32, 0.75)]

        assert "accuracy by trial: the first 0.7, the best 0.8" in drawn(see(trials=rows))

    def test_each_parameter_is_drawn_against_the_objective(self) -> None:
        labels = drawn(see())

        assert (
            f"accuracy by {VARIANT}: 16 at best 0.4; 32 at best 0.925; 64 at best 0.908; 128 at best 0.892; 256 at best 0.883"
            in labels
        )
        assert any(label.startswith(f"accuracy by {RATE}: 1e-05 at best 0.4") for label in labels)

    def test_a_parameter_that_never_differed_is_not_drawn(self) -> None:
        rows = [trial(number, 1e-3, 32 + number, 0.9) for number in range(3)]

        assert [label for label in drawn(see(trials=rows)) if label.startswith(f"accuracy by {RATE}")] == []

    def test_words_and_switches_are_drawn_by_their_names(self) -> None:
        rows = [
            trial(number, 1e-3, 32, 0.8 + number / 100) | {"at": {"genai.algorithm": name, "prune on/off": number > 1}}
            for number, name in enumerate(["rtn", "k_quant", "rtn"])
        ]

        labels = drawn(see(parameters=["genai.algorithm", "prune on/off"], trials=rows))

        assert "accuracy by genai.algorithm: k_quant at best 0.81; rtn at best 0.82" in labels
        assert "accuracy by prune on/off: false at best 0.81; true at best 0.82" in labels

    def test_an_axis_by_order_of_magnitude_is_marked_by_powers_of_ten(self) -> None:
        dots = [Dots("trials", [Dot(rate, 0.5, "") for rate in (1e-5, 1e-4, 1e-2)])]

        drawing = dots_chart("a", "", dots, across=Across("rate", "{:.4g}".format, log=True), say="{:.3g}".format)

        assert [mark for mark in (">1e-05<", ">0.0001<", ">0.001<", ">0.01<") if mark not in drawing] == []

    def test_colours_mean_the_same_in_every_chart(self) -> None:
        dots = [Dots("none", []), Dots("missed", [Dot(1, 1, "said")], colour=1)]

        drawing = dots_chart("a", "", dots, across=Across("x", str), say=str)

        assert "color-1" in drawing
        assert "color-0" not in drawing
        assert "<title>said</title>" in drawing
        assert "none" not in drawing

    def test_what_is_no_number_is_not_drawn(self) -> None:
        rows = [*TRIALS, trial(8, 1e-3, 32, float("nan"))]

        assert "accuracy against latency, 6 trials; on the Pareto front: 5, 2, 7, 3" in drawn(see(trials=rows))

    def test_one_trial_alone_is_not_drawn(self) -> None:
        assert [label for label in drawn(see(trials=TRIALS[3:4])) if label.startswith("accuracy by")] == []


class TestThePage:
    def test_without_a_search_there_is_no_such_section(self) -> None:
        assert "Trials" not in Seen(render(report(), MANIFEST)).text

    def test_the_largest_search_that_there_can_be_stays_below_a_megabyte(self) -> None:
        found, spec = largest()
        document = report(search=found)

        page = render(document | {"spec": document["spec"] | {"search": spec}}, MANIFEST)

        assert len(page.encode()) < 1_000_000
        assert page.count("<svg") == 5 + 2 + 12

    def test_the_options_shown_of_each_step_are_the_trials(self) -> None:
        recipe = [{"name": "genai", "genai": {"precision": "int8"}}]

        text = Seen(render(report(search=search(), recipe=recipe))).text

        assert "precision int8" in text
        assert "precision int4" not in text

    def test_names_values_and_messages_are_no_markup(self) -> None:
        rows = [
            trial(0, 1, 1, None, phase="Failed", reason=SCRIPT, message=SCRIPT) | {"at": {SCRIPT: SCRIPT}},
            trial(1, 1, 1, 0.5) | {"at": {SCRIPT: f"{SCRIPT}2"}, "uri": SCRIPT},
            trial(2, 1, 1, 0.6) | {"at": {SCRIPT: f"{SCRIPT}3"}},
        ]

        seen = see(parameters=[SCRIPT], trials=rows, reason=SCRIPT)

        assert seen.named("script") == []

    def test_the_same_search_gives_the_same_page(self) -> None:
        assert page() == page()

    def test_what_a_newer_release_adds_is_passed_over(self) -> None:
        assert "8 trials" in see(novelty=1, trials=[one | {"novelty": 1} for one in TRIALS]).text
