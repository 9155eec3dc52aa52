"""Constraints on what was measured: what is met, how far off, and what so few examples cannot decide."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millwright_api.evaluation import Constraint
from millwright_api.report import ConstraintReport
from millwright_runner.evaluation import judged, violated
from millwright_runner.evaluation.bound import BoundMetric
from millwright_runner.evaluation.gates import shown
from millwright_runner.evaluation.points import EvaluationPlan, Measurement, Point
from millwright_runner.metrics import Measured, Metric
from millwright_runner.metrics.exact_match import ExactMatch
from millwright_runner.metrics.intervals import estimate
from millwright_runner.metrics.perplexity import Perplexity
from millwright_runner.metrics.size_on_disk import SizeOnDisk
from millwright_runner.metrics.token_latency import TokenLatency

LAST = 2
NAN, INF = math.nan, math.inf


def plan(
    kind: type[Metric], constraints: list[dict[str, Any]], after: dict[int, Measured], *, name: str = "it",
    steps: tuple[str, ...] = ("finetune", "merge", "genai"),
) -> EvaluationPlan:  # fmt: skip
    """A plan of one metric, with what was measured after each step (-1: the input)."""
    metric = BoundMetric(name, kind.model_validate({}), None, "metrics[0]")
    points = [
        Point("input" if index < 0 else steps[index], index, [Measurement(metric, "key", measured=measured)])
        for index, measured in after.items()
    ]
    return EvaluationPlan([metric], points, [Constraint.model_validate({"metric": name, **one}) for one in constraints])


def verdict(kind: type[Metric], final: Measured, before: Measured | None = None, **constraint: Any) -> ConstraintReport:
    """Judges one model, compared with the model that the job starts from."""
    after = {LAST: final} | ({-1: before} if before is not None else {})
    (report,) = judged(plan(kind, [constraint], after), LAST)
    return report


def accuracy(right: int, n: int) -> Measured:
    return estimate([1.0] * right + [0.0] * (n - right))


def exact(value: float) -> Measured:
    return Measured(value)


class TestBoundsOnTheValue:
    @pytest.mark.parametrize(("bound", "value", "met"), [
        ({"max": 40}, 39.9, True), ({"max": 40}, 40.0, True), ({"max": 40}, 40.1, False),
        ({"min": 40}, 40.1, True), ({"min": 40}, 40.0, True), ({"min": 40}, 39.9, False),
        ({"max": -1}, -2.0, True), ({"min": 0}, -0.1, False),
    ])  # fmt: skip
    def test_the_bound_itself_is_allowed(self, bound: dict[str, Any], value: float, met: bool) -> None:
        assert verdict(TokenLatency, exact(value), **bound).met is met

    def test_a_last_digit_of_rounding_does_not_break_it(self) -> None:
        assert verdict(ExactMatch, exact(0.1 + 0.2), max=0.3).met

    def test_what_keeps_to_it_says_value_and_bound(self) -> None:
        report = verdict(TokenLatency, exact(38.21), max=40)

        assert (report.message, report.decided) == ("it is 38.21 ms; max 40", True)

    def test_what_breaks_it_says_how_far_off(self) -> None:
        assert verdict(TokenLatency, exact(43.5), max=40).message == "it is 43.5 ms; max 40: off by 3.5 ms"

    def test_large_numbers_are_written_out(self) -> None:
        report = verdict(SizeOnDisk, exact(12345678), max=10_000_000)

        assert report.message == "it is 12,345,678 bytes; max 10,000,000: off by 2,345,678 bytes"

    def test_a_bound_is_shown_as_it_was_written(self) -> None:
        assert "; min 0.123456789" in verdict(ExactMatch, exact(0.5), min=0.123456789).message


class TestBoundsOnTheDifference:
    """Better is higher for accuracy and lower for latency."""

    @pytest.mark.parametrize(("kind", "before", "now", "bound", "met"), [
        (ExactMatch, 0.90, 0.89, {"maxDrop": 0.02}, True), (ExactMatch, 0.90, 0.88, {"maxDrop": 0.02}, True),
        (ExactMatch, 0.90, 0.87, {"maxDrop": 0.02}, False), (ExactMatch, 0.90, 0.99, {"maxDrop": 0}, True),
        (TokenLatency, 40, 41, {"maxDrop": 2}, True), (TokenLatency, 40, 43, {"maxDrop": 2}, False),
        (TokenLatency, 40, 10, {"maxDrop": 0}, True),
        (ExactMatch, 0.80, 0.76, {"maxDropPercent": 5}, True), (ExactMatch, 0.80, 0.75, {"maxDropPercent": 5}, False),
        (TokenLatency, 40, 42, {"maxDropPercent": 5}, True), (TokenLatency, 40, 43, {"maxDropPercent": 5}, False),
        (ExactMatch, 0.80, 0.90, {"minImprovement": 0.1}, True), (ExactMatch, 0.80, 0.85, {"minImprovement": 0.1}, False),
        (TokenLatency, 40, 30, {"minImprovement": 10}, True), (TokenLatency, 40, 45, {"minImprovement": 1}, False),
        (TokenLatency, 40, 40, {"minImprovement": 0}, True),
    ])  # fmt: skip
    def test_worse_is_a_drop_whichever_way_the_metric_goes(
        self, kind: type[Metric], before: float, now: float, bound: dict[str, Any], met: bool
    ) -> None:
        assert verdict(kind, exact(now), exact(before), **bound).met is met

    def test_a_percentage_is_of_the_value_before(self) -> None:
        report = verdict(TokenLatency, exact(50), exact(40), maxDropPercent=10)

        assert report.message == "it is 50 ms, 40 ms of the model it started from; maxDropPercent 10: off by 15 %"

    def test_a_value_below_zero_has_its_percentages_too(self) -> None:
        assert verdict(ExactMatch, exact(-1.04), exact(-1.0), maxDropPercent=5).met
        assert not verdict(ExactMatch, exact(-1.06), exact(-1.0), maxDropPercent=5).met

    def test_any_drop_from_nothing_is_more_than_every_percentage(self) -> None:
        report = verdict(TokenLatency, exact(1), exact(0), maxDropPercent=1000)

        assert not report.met
        assert report.message.endswith("; maxDropPercent 1000: off by any percentage: it was 0")

    @pytest.mark.parametrize("now", [0.0, 0.5])
    def test_what_was_nothing_and_is_no_worse_has_not_dropped(self, now: float) -> None:
        assert verdict(ExactMatch, exact(now), exact(0), maxDropPercent=0).met

    def test_a_drop_says_both_values_and_how_far_off(self) -> None:
        report = verdict(ExactMatch, exact(0.8), exact(0.9), maxDrop=0.02)

        assert report.message == "it is 0.8, 0.9 of the model it started from; maxDrop 0.02: off by 0.08"

    def test_previous_is_the_result_of_the_pass_before_the_last(self) -> None:
        after = {-1: exact(0.5), 1: exact(0.9), LAST: exact(0.8)}
        constraints = [{"maxDrop": 0.02, "relativeTo": "previous"}, {"maxDrop": 0.02}]

        previous, start = judged(plan(ExactMatch, constraints, after), LAST)

        assert previous.message == "it is 0.8, 0.9 after merge; maxDrop 0.02: off by 0.08"
        assert start.met

    def test_previous_of_an_only_pass_is_the_input(self) -> None:
        after = {-1: exact(0.9), 0: exact(0.8)}

        (report,) = judged(plan(ExactMatch, [{"maxDrop": 0.02, "relativeTo": "previous"}], after), 0)

        assert "0.9 of the model it started from" in report.message

    def test_a_step_whose_name_begins_with_input_is_called_by_its_name(self) -> None:
        steps = ("finetune", "input-shapes", "genai")
        after = {1: exact(0.9), LAST: exact(0.9)}

        (report,) = judged(plan(ExactMatch, [{"maxDrop": 0, "relativeTo": "previous"}], after, steps=steps), LAST)

        assert report.message == "it is 0.9, 0.9 after input-shapes; maxDrop 0"


class TestWhatCannotBeDecided:
    def test_a_bound_inside_the_interval_is_kept_by_a_hair(self) -> None:
        report = verdict(ExactMatch, accuracy(110, 120), min=0.9)

        assert (report.met, report.decided) == (True, False)
        assert report.message == (
            "it is 0.9167 (0.8534 to 0.9541); min 0.9; kept by a hair: 120 examples cannot decide it, more would"
        )

    def test_or_broken_by_a_hair(self) -> None:
        report = verdict(ExactMatch, accuracy(106, 120), min=0.9)

        assert (report.met, report.decided) == (False, False)
        assert "min 0.9: off by 0.01667; broken by a hair: 120 examples cannot decide it" in report.message

    @pytest.mark.parametrize("right", [120, 20])
    def test_a_bound_outside_of_it_is_decided(self, right: int) -> None:
        report = verdict(ExactMatch, accuracy(right, 120), min=0.9)

        assert (report.met, report.decided) == (right == 120, True)

    def test_a_value_outside_of_its_own_interval_decides_nothing(self) -> None:
        biased = Measured(0.95, 0.7, 0.8, 50)  # as a bootstrap of a biased statistic may have it

        report = verdict(ExactMatch, biased, min=0.9)

        assert (report.met, report.decided) == (True, False)

    def test_repetitions_are_called_so(self) -> None:
        report = verdict(TokenLatency, Measured(39, 35, 43, 10), max=40)

        assert "kept by a hair: 10 repetitions cannot decide it" in report.message

    def test_an_interval_that_is_no_number_is_none(self) -> None:
        assert verdict(TokenLatency, Measured(39, NAN, NAN, 10), max=40).decided

    def test_a_single_example_without_an_interval_decides_nothing(self) -> None:
        report = verdict(Perplexity, Measured(3.0, n=1), max=4)

        assert (report.met, report.decided) == (True, False)

    def test_a_single_repetition_is_as_exact_as_it_is(self) -> None:
        assert verdict(SizeOnDisk, Measured(3.0, n=1), max=4).decided

    def test_an_infinite_end_is_an_end(self) -> None:
        report = verdict(Perplexity, Measured(3.0, 2.0, INF, 5), max=4)

        assert (report.met, report.decided) == (True, False)


class TestComparingQuestionByQuestion:
    def scores(self, *parts: tuple[float, int]) -> Measured:
        return estimate([score for score, count in parts for _ in range(count)])

    def test_models_that_fail_on_the_same_questions_are_told_apart_where_their_intervals_overlap(self) -> None:
        before = self.scores((1.0, 1000), (0.0, 1000))
        now = self.scores((1.0, 970), (0.0, 1030))

        report = verdict(ExactMatch, now, before, maxDrop=0.005)

        assert now.high is not None
        assert now.high > before.value - 0.015
        assert (report.met, report.decided) == (False, True)

    def test_models_that_fail_on_different_questions_are_not(self) -> None:
        before = self.scores((1.0, 1000), (0.0, 1000))
        now = self.scores((0.0, 1000), (1.0, 970), (0.0, 30))

        report = verdict(ExactMatch, now, before, maxDrop=0.005)

        assert (report.met, report.decided) == (False, False)

    def test_few_questions_that_both_answer_alike_do_not_prove_that_nothing_was_lost(self) -> None:
        same = self.scores((1.0, 5))

        report = verdict(ExactMatch, same, same, maxDrop=0.02)

        assert (report.met, report.decided) == (True, False)
        assert "kept by a hair: 5 examples cannot decide it" in report.message

    def test_many_do(self) -> None:
        same = self.scores((1.0, 500))

        assert verdict(ExactMatch, same, same, maxDrop=0.02).decided

    def test_lower_is_better_turns_the_interval_round(self) -> None:
        before = estimate([40.0 + index % 3 for index in range(30)])
        now = estimate([45.0 + index % 2 for index in range(30)])

        assert verdict(TokenLatency, now, before, maxDrop=2).met is False
        assert verdict(TokenLatency, now, before, maxDrop=2).decided
        assert not verdict(TokenLatency, now, before, maxDrop=4.5).decided

    def test_without_scores_the_values_are_independent(self) -> None:
        before, now = Measured(0.9, 0.86, 0.93, 100), Measured(0.88, 0.83, 0.92, 100)
        worst = 0.02 + math.hypot(0.05, 0.03)

        assert not verdict(ExactMatch, now, before, maxDrop=worst - 0.001).decided
        assert verdict(ExactMatch, now, before, maxDrop=worst + 0.001).decided

    def test_scores_of_another_number_of_examples_are_not_paired(self) -> None:
        report = verdict(ExactMatch, accuracy(90, 100), accuracy(45, 50), maxDrop=0)

        assert (report.met, report.decided) == (True, False)


class TestBrokenModels:
    @pytest.mark.parametrize("broken", [NAN, INF, -INF])
    @pytest.mark.parametrize("bound", [{"max": 1e15}, {"min": -1e15}, {"maxDrop": 1e15}, {"minImprovement": 0}])
    def test_what_is_no_number_meets_nothing(self, broken: float, bound: dict[str, Any]) -> None:
        report = verdict(Perplexity, exact(broken), exact(3.0), **bound)

        assert not report.met
        assert report.message == "it is no number, and cannot be compared with a bound"

    def test_nor_does_what_is_compared_with_such(self) -> None:
        report = verdict(Perplexity, exact(3.0), exact(NAN), maxDrop=1)

        assert not report.met
        assert report.message == "it of the model it started from is no number, and cannot be compared with a bound"


class TestSeveralConstraints:
    def test_they_are_judged_in_order_and_what_is_wrong_is_told_together(self) -> None:
        reports = judged(plan(ExactMatch, [{"min": 0.9}, {"max": 1}, {"min": 0.85}], {LAST: exact(0.8)}), LAST)

        assert [report.met for report in reports] == [False, True, False]
        assert violated(reports) == "it is 0.8; min 0.9: off by 0.1; it is 0.8; min 0.85: off by 0.05"

    def test_nothing_is_wrong_when_all_are_met(self) -> None:
        assert violated(judged(plan(ExactMatch, [{"min": 0.5}], {LAST: exact(0.8)}), LAST)) == ""

    def test_without_constraints_there_is_nothing_to_judge(self) -> None:
        assert judged(EvaluationPlan(), LAST) == []


class TestForAllValues:
    @given(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6), st.floats(0, 1e6))
    def test_exact_values_are_always_decided_and_a_drop_is_what_is_not_a_gain(
        self, before: float, now: float, limit: float
    ) -> None:
        drop = verdict(ExactMatch, exact(now), exact(before), maxDrop=limit)
        other_way = verdict(TokenLatency, exact(before), exact(now), maxDrop=limit)

        assert drop.decided
        assert drop.met == other_way.met
        assert drop.met == (before - now <= limit + 1e-9 * max(1.0, limit))

    @given(st.integers(1, 200), st.data())
    def test_what_is_decided_holds_in_all_of_the_interval(self, n: int, data: st.DataObject) -> None:
        found = accuracy(data.draw(st.integers(0, n)), n)
        limit = data.draw(st.floats(0, 1))

        report = verdict(ExactMatch, found, min=limit)

        assert found.low is not None
        assert found.high is not None
        assert report.decided == (limit <= found.low + 1e-9 or limit > found.high + 1e-9)


@pytest.mark.parametrize(("value", "unit", "text"), [
    (0.925, "share", "0.925"), (2 / 3, "share", "0.6667"), (38.2, "ms", "38.2 ms"), (4.1, "%", "4.1 %"), (0.0, "", "0"),
    (9999.4, "ms", "9999 ms"), (9999.6, "ms", "10,000 ms"), (-123456.7, "bytes", "-123,457 bytes"), (1e-5, "perplexity", "1e-05"),
])  # fmt: skip
def test_values_are_shown_as_people_read_them(value: float, unit: str, text: str) -> None:
    assert shown(value, unit) == text
