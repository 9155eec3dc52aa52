"""Parts of the report page: the Pareto front, answers side by side, curves of many points."""

from __future__ import annotations

import itertools

from millwright_runner.page.charts import MOST_POINTS, thinned
from millwright_runner.page.document import Kept, Sample
from millwright_runner.page.front import Candidate, front
from millwright_runner.page.samples import LONGEST, MOST, Answer, Pair, pairs

SMALL, MIDDLE, LARGE = Candidate("small", 1, 0.5), Candidate("middle", 2, 0.7), Candidate("large", 4, 0.9)


def asked(*samples: tuple[str, str | None, str], metric: str = "accuracy") -> dict[str, Kept]:
    return {metric: Kept(samples=[Sample(prompt=p, expected=e, answer=a) for p, e, a in samples])}


def pair(before: str, after: str, expected: str | None = None) -> Pair:
    return pairs(asked(("?", expected, before)), asked(("?", expected, after)))[0]


def marked(answer: Answer) -> list[str]:
    return [piece.text for piece in answer.words if piece.differs]


def text(answer: Answer) -> str:
    return "".join(piece.text for piece in answer.words)


class TestFront:
    def test_who_costs_more_and_gives_more_is_on_it_by_rising_cost(self) -> None:
        assert front([LARGE, SMALL, MIDDLE], higher=True) == [SMALL, MIDDLE, LARGE]

    def test_who_costs_more_and_gives_no_more_is_not(self) -> None:
        assert front([SMALL, MIDDLE, Candidate("waste", 3, 0.7)], higher=True) == [SMALL, MIDDLE]

    def test_of_the_same_cost_the_better_one_is_on_it(self) -> None:
        assert front([Candidate("worse", 2, 0.1), MIDDLE], higher=True) == [MIDDLE]

    def test_where_less_is_better_the_order_is_turned(self) -> None:
        assert front([SMALL, MIDDLE, LARGE], higher=False) == [SMALL]

    def test_of_nothing_there_is_none(self) -> None:
        assert front([], higher=True) == []


class TestAnswers:
    def test_words_that_the_other_answer_lacks_are_marked(self) -> None:
        found = pair("The sky is green today.", "The sky is blue today.")

        assert marked(found.before) == ["green"]
        assert marked(found.after) == ["blue"]
        assert text(found.after) == "The sky is blue today."

    def test_equal_answers_have_no_mark(self) -> None:
        found = pair("blue", " blue\n")

        assert marked(found.before) == marked(found.after) == []

    def test_an_answer_of_nothing_has_no_words(self) -> None:
        found = pair("", "blue")

        assert found.before.words == []
        assert marked(found.after) == ["blue"]

    def test_right_is_what_is_equal_but_for_white_space_at_the_ends(self) -> None:
        found = pair("joyful", " joy\n", expected="joy")

        assert (found.before.right, found.after.right) == (False, True)

    def test_where_no_answer_is_known_none_is_right_or_wrong(self) -> None:
        assert pair("a", "b").after.right is None

    def test_metrics_that_share_answers_show_a_question_once(self) -> None:
        before = asked(("?", "b", "a")) | asked(("?", "b", "a"), metric="f1")
        after = asked(("?", "b", "b")) | asked(("?", "b", "b"), metric="f1")

        assert len(pairs(before, after)) == 1

    def test_what_changed_comes_first(self) -> None:
        before = asked(("same", None, "a"), ("other", None, "a"))
        after = asked(("same", None, "a"), ("other", None, "b"))

        assert [found.prompt for found in pairs(before, after)] == ["other", "same"]

    def test_of_many_questions_some_are_shown(self) -> None:
        many = asked(*((str(number), None, "a") for number in range(100)))

        assert len(pairs(many, many)) == MOST

    def test_of_a_long_prompt_the_end_is_shown_and_of_a_long_answer_the_beginning(self) -> None:
        long = asked(("x" * 2 * LONGEST + "?", None, "!" + "y" * 2 * LONGEST))

        (found,) = pairs(long, long)

        assert found.prompt == "…" + "x" * (LONGEST - 1) + "?"
        assert text(found.before) == "!" + "y" * (LONGEST - 1) + "…"


class TestCurves:
    def test_a_short_curve_stays_as_it_is(self) -> None:
        points = [(1.0, 2.0), (2.0, 1.0)]

        assert thinned(points) == points

    def test_a_long_one_keeps_its_ends_and_is_spread_evenly(self) -> None:
        points = [(float(step), 1.0 / step) for step in range(1, 10_001)]

        found = thinned(points)

        assert len(found) == MOST_POINTS
        assert (found[0], found[-1]) == (points[0], points[-1])
        gaps = {round(b[0] - a[0]) for a, b in itertools.pairwise(found)}
        assert gaps <= {33, 34}
