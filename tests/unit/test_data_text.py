"""Rows to texts: columns, template, answer; and splits with a slice. Nothing here reads a file."""

from __future__ import annotations

import math

import pytest
from tests.rows import entry

from millwright_api.errors import InvalidData, InvalidManifest
from millwright_api.v1alpha1 import TextFormat
from millwright_runner.data import check_format
from millwright_runner.data.slices import Slice, parse_split
from millwright_runner.data.text import TextRenderer

ROW = {"phrase": "I wept", "tone": "sad", "count": 3}


def render(row: dict[str, object], **text: object) -> tuple[str, list[tuple[int, int]] | None]:
    return TextRenderer(TextFormat.model_validate(text), "spec.data[0].text")(row, "a.jsonl, line 7")


class TestTemplate:
    def test_columns_are_joined_by_a_space_without_a_template(self) -> None:
        assert render(ROW, columns=["phrase", "tone"]) == ("I wept sad", None)

    def test_a_template_puts_columns_where_it_names_them(self) -> None:
        text, _ = render(ROW, columns=["phrase", "tone"], template="### {tone}\n{phrase}{phrase}!")

        assert text == "### sad\nI weptI wept!"

    def test_a_literal_brace_is_doubled(self) -> None:
        assert render(ROW, columns=["tone"], template='{{"tone": "{tone}"}}').text == '{"tone": "sad"}'  # type: ignore[attr-defined]

    def test_braces_in_a_value_are_only_text(self) -> None:
        assert render({"tone": "{phrase} {{"}, columns=["tone"], template="<{tone}>")[0] == "<{phrase} {{>"

    def test_a_column_may_have_dots_spaces_and_letters_of_any_kind(self) -> None:
        assert render({"a.b c ü": "x"}, columns=["a.b c ü"], template="<{a.b c ü}>")[0] == "<x>"

    @pytest.mark.parametrize(
        ("value", "text"), [(7, "7"), (-0.5, "-0.5"), (1e22, "1e+22"), (True, "true"), (False, "false"), ("", "")]
    )
    def test_numbers_are_written_as_json_has_them(self, value: object, text: str) -> None:
        assert render({"count": value}, columns=["count"]) == (text, None)

    @pytest.mark.parametrize(
        ("value", "kind"),
        [(None, "null"), ([1], "a list"), ({"a": 1}, "an object"), (math.nan, "not a number"), (b"x", "bytes")],
    )
    def test_other_values_are_refused_with_column_and_line(self, value: object, kind: str) -> None:
        with pytest.raises(InvalidData) as caught:
            render({"count": value}, columns=["count"])

        assert caught.value.where == "a.jsonl, line 7"
        assert caught.value.message == f"the column 'count' holds {kind}"

    def test_a_missing_column_lists_those_that_are_there(self) -> None:
        with pytest.raises(InvalidData) as caught:
            render(ROW, columns=["phrase", "Tone"])

        assert caught.value.where == "a.jsonl, line 7"
        assert "no column 'Tone'; the columns are phrase, tone, count" in caught.value.message
        assert caught.value.hint == "did you mean 'tone'?"

    def test_a_row_without_columns_says_so(self) -> None:
        with pytest.raises(InvalidData, match="the columns are none"):
            render({}, columns=["tone"])


class TestTemplateChecks:
    """What is wrong with a template needs no file to be seen."""

    def refusal(self, template: str, **more: object) -> InvalidManifest:
        with pytest.raises(InvalidManifest) as caught:
            check_format(entry(columns=["phrase", "tone"], template=template, **more), "spec.data[2]")
        assert caught.value.exit_code == 2
        assert caught.value.where == "spec.data[2].text.template"
        return caught.value

    def test_an_unknown_column_is_refused_with_the_known_ones(self) -> None:
        error = self.refusal("{phrse}: {tone}")

        assert "'phrse'" in error.message
        assert error.hint == "did you mean 'phrase'?"

    @pytest.mark.parametrize("template", ["{phrase", "phrase}", "{phrase}}", "{{phrase}", "{"])
    def test_unbalanced_braces_are_refused(self, template: str) -> None:
        error = self.refusal(template)

        assert "malformed template" in error.message
        assert "doubled" in str(error.hint)

    @pytest.mark.parametrize("template", ["{}", "{0}", "{phrase.upper}", "{phrase[0]}"])
    def test_python_expressions_are_no_columns(self, template: str) -> None:
        assert "not in columns" in self.refusal(template).message

    @pytest.mark.parametrize("template", ["{phrase:>10}", "{phrase!r}", '{"a": "{tone}"}'])
    def test_format_specifications_are_refused(self, template: str) -> None:
        assert "doubled" in str(self.refusal(template).hint)

    def test_an_answer_in_two_places_is_refused_when_training_counts_from_it(self) -> None:
        assert "2 times" in self.refusal("{tone} {phrase} {tone}", answer="tone", lossOn="answer").message

    def test_an_answer_in_two_places_is_text_when_all_counts(self) -> None:
        check_format(entry(columns=["phrase", "tone"], template="{tone} {tone}", answer="tone"), "spec.data[0]")

    def test_chat_has_nothing_to_check(self) -> None:
        check_format(entry(chat={}), "spec.data[0]")


class TestAnswer:
    def test_it_counts_from_where_the_template_puts_it_to_the_end(self) -> None:
        text, spans = render(
            ROW, columns=["phrase", "tone"], template="{phrase}: {tone}.", answer="tone", lossOn="answer"
        )

        assert text == "I wept: sad."
        assert spans == [(8, 12)]

    @pytest.mark.parametrize("loss", ["answer", "all"])
    def test_it_follows_the_text_where_the_template_does_not_have_it(self, loss: str) -> None:
        text, spans = render(ROW, columns=["phrase", "tone"], template="{phrase}: ", answer="tone", lossOn=loss)

        assert text == "I wept: sad"
        assert spans == ([(8, 11)] if loss == "answer" else None)

    def test_without_a_template_it_counts_from_its_column(self) -> None:
        assert render(ROW, columns=["phrase", "tone"], answer="tone", lossOn="answer") == ("I wept sad", [(7, 10)])

    def test_an_empty_answer_is_a_span_of_nothing(self) -> None:
        row = {"phrase": "x", "tone": ""}

        assert render(row, columns=["phrase", "tone"], template="{phrase}:{tone}", answer="tone", lossOn="answer")[
            1
        ] == [(2, 2)]


class TestSlices:
    @pytest.mark.parametrize(
        ("text", "rows"),
        [
            ("train", (0, 40)), ("train[:]", (0, 40)), ("train[:10%]", (0, 4)), ("train[10%:50%]", (4, 20)), ("train[-25%:]", (30, 40)),
            ("train[5:12]", (5, 12)), ("train[-3:]", (37, 40)), ("train[:-3]", (0, 37)), ("train[100:]", (40, 40)),
            ("train[-100:2]", (0, 2)), ("train[:1%]", (0, 0)),
        ],
    )  # fmt: skip
    def test_a_slice_names_rows_as_datasets_has_it(self, text: str, rows: tuple[int, int]) -> None:
        name, part = parse_split(text, "spec.data[0].source.huggingFace.split")

        assert name == "train"
        assert part.rows(40) == rows

    @pytest.mark.parametrize(
        ("text", "needs"),
        [("a", False), ("a[3:9]", False), ("a[:5]", False), ("a[5%:]", True), ("a[-5:]", True), ("a[:-1]", True)],
    )
    def test_only_percentages_and_ends_need_the_number_of_rows(self, text: str, needs: bool) -> None:
        assert parse_split(text, "x")[1].needs_total is needs

    def test_a_slice_from_the_start_needs_no_total(self) -> None:
        assert parse_split("a[3:9]", "x")[1].rows(None) == (3, 9)
        assert Slice().rows(None) == (0, None)

    @pytest.mark.parametrize(
        "text", ["train[", "train[5]", "train[a:b]", "train[:10%", "train+test", "", "tr ain", "train[1:2:3]"]
    )
    def test_what_is_no_split_is_refused(self, text: str) -> None:
        with pytest.raises(InvalidManifest, match="no split") as caught:
            parse_split(text, "spec.data[0].source.huggingFace.split")

        assert caught.value.where == "spec.data[0].source.huggingFace.split"

    @pytest.mark.parametrize("text", ["train[:101%]", "train[-101%:]"])
    def test_a_percentage_out_of_bounds_is_refused(self, text: str) -> None:
        with pytest.raises(InvalidManifest, match="no percentage"):
            parse_split(text, "x")
