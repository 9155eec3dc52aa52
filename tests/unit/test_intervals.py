"""Intervals of estimates: known values, and what holds for all."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millwright_runner.metrics.intervals import (
    bootstrap_mean,
    bootstrap_ratio,
    estimate,
    paired_difference,
    wilson,
)

NAN, INF = math.nan, math.inf
BITS = st.lists(st.sampled_from([0.0, 1.0]), min_size=1, max_size=60)
PAIRS = st.lists(st.tuples(st.sampled_from([0.0, 1.0]), st.sampled_from([0.0, 1.0])), min_size=1, max_size=60)


def pairs(both: int, first: int, second: int, neither: int) -> tuple[list[float], list[float]]:
    """Scores of two models: both right, only the first, only the second, neither."""
    counts = (both, first, second, neither)
    a = [score for score, count in zip((1.0, 1.0, 0.0, 0.0), counts, strict=True) for _ in range(count)]
    b = [score for score, count in zip((1.0, 0.0, 1.0, 0.0), counts, strict=True) for _ in range(count)]
    return a, b


class TestWilson:
    @pytest.mark.parametrize(("successes", "n", "low", "high"), [
        (81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718),
    ])  # fmt: skip
    def test_it_gives_the_published_values(self, successes: int, n: int, low: float, high: float) -> None:
        # R. G. Newcombe, "Two-sided confidence intervals for the single proportion", Stat. Med. 17 (1998), table I, method 3
        assert wilson(successes, n) == pytest.approx((low, high), abs=5e-5)

    def test_it_is_the_formulas(self) -> None:
        p, n, z = 110 / 120, 120, 1.959963984540054
        middle = (p + z * z / (2 * n)) / (1 + z * z / n)
        half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))

        assert wilson(110, 120) == pytest.approx((middle - half, middle + half), abs=1e-12)

    def test_of_nothing_nothing_is_known(self) -> None:
        assert wilson(0, 0) == (0.0, 1.0)

    @given(BITS)
    def test_it_holds_the_share_and_stays_between_0_and_1(self, scores: list[float]) -> None:
        low, high = wilson(sum(scores), len(scores))

        assert 0 <= low <= sum(scores) / len(scores) <= high <= 1
        assert low < high


class TestBootstrap:
    def test_the_same_scores_give_the_same_interval(self) -> None:
        scores = [math.sin(index) for index in range(40)]

        assert bootstrap_mean(scores) == bootstrap_mean(scores)

    def test_of_many_scores_it_is_close_to_the_normal_one(self) -> None:
        scores = [float(index % 10) for index in range(1000)]
        half = 1.96 * math.sqrt(8.25 / 1000)

        assert bootstrap_mean(scores) == pytest.approx((4.5 - half, 4.5 + half), abs=0.03)

    def test_a_ratio_is_of_the_sums_and_not_the_mean_of_ratios(self) -> None:
        low, high = bootstrap_ratio([10.0, 1.0] * 50, [100, 1] * 50)

        assert low < 11 / 101 < high
        assert high < 0.3  # the mean of ratios is 0.55

    def test_a_constant_ratio_has_an_interval_of_no_width(self) -> None:
        assert bootstrap_ratio([2.0, 4.0, 6.0], [1, 2, 3]) == (2.0, 2.0)

    @pytest.mark.parametrize("wrong", [NAN, INF, -INF])
    def test_what_is_no_number_gives_none_and_no_warning(self, wrong: float, recwarn: pytest.WarningsRecorder) -> None:
        low, high = bootstrap_mean([1.0, wrong, 2.0])

        assert math.isnan(low)
        assert math.isnan(high)
        assert [str(warning.message) for warning in recwarn] == []


class TestPairedDifference:
    def test_tangos_interval_gives_the_published_values(self) -> None:
        # M. W. Fagerland, S. Lydersen, P. Laake, "Recommended tests and confidence intervals for paired binomial proportions",
        # Stat. Med. 33 (2014): hyper-responsiveness before and after stem cell transplantation
        value, low, high = paired_difference(*pairs(1, 1, 7, 12))

        assert value == pytest.approx(-6 / 21)
        assert (low, high) == pytest.approx((-0.517, -0.026), abs=5e-4)

    def test_the_bounds_are_where_the_score_test_is_at_its_limit(self) -> None:
        _, low, high = paired_difference(*pairs(0, 12, 2, 36))

        for difference in (low, high):
            b = -14 + (100 - 12 + 2) * difference
            share = (math.sqrt(b * b + 8 * 50 * 2 * difference * (1 - difference)) - b) / 200
            score = (12 - 2 - 50 * difference) / math.sqrt(50 * (2 * share + difference * (1 - difference)))
            assert abs(score) == pytest.approx(1.959964, abs=1e-5)

    def test_two_models_that_agree_everywhere_may_still_differ(self) -> None:
        value, low, high = paired_difference(*pairs(100, 0, 0, 20))
        bound = 1.959964**2 / (120 + 1.959964**2)

        assert value == 0
        assert (low, high) == pytest.approx((-bound, bound), abs=1e-6)

    def test_it_is_narrower_than_two_models_asked_different_questions(self) -> None:
        a, b = pairs(100, 5, 1, 14)
        apart = wilson(sum(a), 120)[1] - wilson(sum(a), 120)[0]

        _, low, high = paired_difference(a, b)

        assert high - low < apart

    def test_scores_between_are_resampled(self) -> None:
        a, b = [0.5, 0.75, 1.0, 0.25] * 10, [0.25, 0.75, 0.5, 0.5] * 10

        value, low, high = paired_difference(a, b)

        assert value == 0.125
        assert (low, high) == bootstrap_mean([x - y for x, y in zip(a, b, strict=True)])

    def test_scores_between_that_all_differ_alike_are_not_taken_for_certain(self) -> None:
        _, low, high = paired_difference([0.5] * 10, [0.5] * 10)

        assert low < -0.1 < 0.1 < high

    def test_a_single_example_of_any_scale_gives_no_bounds(self) -> None:
        assert paired_difference([7.0], [5.0]) == (2.0, -INF, INF)

    @pytest.mark.parametrize("scores", [[NAN, 1.0], [INF, 1.0]])
    def test_what_is_no_number_has_no_difference(self, scores: list[float]) -> None:
        assert all(map(math.isnan, paired_difference(scores, [1.0, 1.0])))

    def test_of_nothing_there_is_no_difference(self) -> None:
        assert all(map(math.isnan, paired_difference([], [])))

    @given(PAIRS)
    def test_exchanging_the_models_mirrors_it(self, rows: list[tuple[float, float]]) -> None:
        a, b = [x for x, _ in rows], [y for _, y in rows]
        value, low, high = paired_difference(a, b)

        assert paired_difference(b, a) == pytest.approx((-value, -high, -low), abs=1e-9)
        assert -1 <= low <= value <= high <= 1


class TestEstimate:
    def test_zeros_and_ones_have_wilsons_interval(self) -> None:
        found = estimate([1.0] * 110 + [0.0] * 10)

        assert (found.value, found.n) == (pytest.approx(110 / 120), 120)
        assert (found.low, found.high) == wilson(110, 120)
        assert len(found.scores) == 120

    def test_other_scores_have_the_bootstraps(self) -> None:
        scores = [0.0, 0.5, 1.0, 0.25] * 5

        found = estimate(scores)

        assert found.value == 0.4375
        assert (found.low, found.high) == bootstrap_mean(scores)

    def test_scores_that_are_all_alike_are_not_taken_for_certain(self) -> None:
        found = estimate([0.5] * 8)

        assert (found.low, found.high) == wilson(4, 8)

    def test_one_score_of_any_scale_has_no_interval(self) -> None:
        found = estimate([38.5])

        assert (found.value, found.low, found.high, found.n) == (38.5, None, None, 1)

    @pytest.mark.parametrize("wrong", [NAN, INF])
    def test_a_score_that_is_no_number_makes_the_value_none(self, wrong: float) -> None:
        found = estimate([1.0, wrong])

        assert math.isnan(found.value)
        assert (found.low, found.high, found.n) == (None, None, 2)

    @given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
    def test_the_interval_lies_between_0_and_1_when_all_scores_do(self, scores: list[float]) -> None:
        found = estimate(scores)

        assert found.low is not None
        assert found.high is not None
        assert -1e-9 <= found.low <= found.high <= 1 + 1e-9
