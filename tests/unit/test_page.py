"""The report page: what it says of a run, in which order, and that nothing in it is anybody else's markup."""

from __future__ import annotations

import functools
import json
import math
import re
from html.parser import HTMLParser
from typing import Any

import pytest
from tests.reports import MANIFEST, constraint, history, measured, report, said, step

from millwright_runner.page import NotAReport, render

SCRIPT = "<script>alert('x')</script>"


class Seen(HTMLParser):
    """What a browser makes of a page: its tags with their attributes, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.pieces: list[str] = []
        self._style = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._style = tag == "style"
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        self._style = False

    def handle_data(self, data: str) -> None:
        if not self._style:
            self.pieces.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.pieces))

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


@functools.cache
def usual() -> Seen:
    return Seen(render(report(), MANIFEST))


def see(**changes: Any) -> Seen:
    return Seen(render(report(**changes), MANIFEST)) if changes else usual()


class TestVerdict:
    def test_a_published_model_says_where_it_is_and_how_large(self) -> None:
        text = see().text

        assert "emotion Published Model s3://team-a/models/emotion/1d09af37/" in text
        assert "4.28 MB in 5 files, onnx-genai" in text
        assert "3 min 11 s, 947 MB of memory at most" in text

    def test_a_failed_gate_says_how_far_off_it_is(self) -> None:
        missed = "accuracy is 0.41; min 0.9: off by 0.49"

        text = see(
            outcome="Failed", reason="ConstraintsNotMet", message=missed, artifact=None,
            constraints=[constraint(False, missed)],
        ).text  # fmt: skip

        assert f"Not published: 1 constraint not met {missed}" in text
        assert f"not met {missed}" in text
        assert "millwright chat" not in text

    def test_a_failed_run_says_its_reason_and_its_message(self) -> None:
        text = see(outcome="Failed", reason="InvalidData", message="row 7 has no text", artifact=None, passes=[]).text

        assert "Failed: InvalidData row 7 has no text" in text
        assert "No step ended." in text

    def test_a_stopped_run_says_that_it_goes_on(self) -> None:
        assert "Stopped; run it again and it goes on" in see(outcome="Stopped", reason="Stopped", artifact=None).text

    def test_a_stage_that_is_not_the_last_has_published_nothing(self) -> None:
        assert "This stage is done; a later one publishes" in see(artifact=None).text

    @pytest.mark.parametrize(("broken", "told"), [(1, "1 constraint is not met"), (2, "2 constraints are not met")])
    def test_a_model_published_in_spite_of_its_gates_says_so(self, broken: int, told: str) -> None:
        text = see(constraints=[constraint(False, "off by 0.1")] * broken).text

        assert f"Published, although {told}" in text

    def test_a_constraint_that_its_data_cannot_decide_says_so(self) -> None:
        assert (
            "met, not certain latency 38 ms" in see(constraints=[constraint(True, "latency 38 ms", decided=False)]).text
        )


class TestFigures:
    def test_each_model_has_its_figure_its_interval_and_its_distance_from_the_input(self) -> None:
        text = see().text

        assert "metric input finetune merge genai n" in text
        assert "accuracy more is better 0.25 0.18 to 0.33 0.89 0.82 to 0.94 +64.0 points" in text
        assert "size less is better 14.7 MB 1.58 MB -89 % 14.7 MB as the input 4.28 MB -71 %" in text

    @pytest.mark.parametrize(
        ("value", "low", "high", "colour"), [(0.9, 0.83, 0.94, "good"), (0.1, 0.05, 0.15, "bad"), (0.3, 0.2, 0.4, "")]
    )
    def test_a_distance_has_a_colour_where_the_intervals_do_not_touch(
        self, value: float, low: float, high: float, colour: str
    ) -> None:
        after = measured("genai")
        after["metrics"][0] |= {"value": value, "low": low, "high": high}

        page = render(report(evaluation=[measured("input"), after]))

        assert f'<small class="{colour}">{(value - 0.25) * 100:+.1f} points</small>' in page

    def test_what_was_not_measured_and_what_is_no_number_are_no_zeros(self) -> None:
        broken = {"after": "genai", "metrics": [{"name": "accuracy", "unit": "share", "n": 120}]}

        text = see(evaluation=[measured("input"), broken]).text

        assert "accuracy more is better 0.25 0.18 to 0.33 no number 120" in text
        assert "size less is better 14.7 MB –" in text

    def test_rows_that_were_trained_on_as_well_are_warned_of(self) -> None:
        text = see(evaluation=[measured("genai", overlap={"holdout": 7})]).text

        assert "7 rows of holdout are trained on as well: the figures flatter the model" in text


class TestCharts:
    def test_a_metric_of_several_models_is_drawn_and_told_in_words(self) -> None:
        drawn = [svg["aria-label"] for svg in see().named("svg")]

        assert "accuracy: input 0.25; finetune 0.89; merge 0.89; genai 0.9" in drawn
        assert "size: input 14.7 MB; finetune 1.58 MB; merge 14.7 MB; genai 4.28 MB" in drawn

    def test_training_is_drawn_as_losses_and_learning_rate(self) -> None:
        drawn = [svg["aria-label"] for svg in see().named("svg")]

        assert "finetune: training loss from 0.7 to 0.07; evaluation loss from 0.45 to 0.09" in drawn
        assert "finetune: learning rate from 0.0009 to 0" in drawn

    def test_candidates_are_drawn_with_their_front_and_an_adapter_is_none(self) -> None:
        drawn = [svg["aria-label"] for svg in see().named("svg")]

        assert "accuracy against size; not beaten by any other: genai" in drawn

    def test_one_model_alone_is_not_drawn(self) -> None:
        assert see(evaluation=[measured("genai")], history={}).named("svg") == []

    def test_a_loss_that_is_no_number_leaves_a_curve_of_the_others(self) -> None:
        broken = [{"step": 5, "loss": math.nan}, {"step": 7, "loss": math.inf}, *history(3)]

        drawn = [svg["aria-label"] or "" for svg in see(history={"finetune": broken}).named("svg")]

        assert any(label.startswith("finetune: training loss from 0.7 to 0.23") for label in drawn)

    def test_the_same_report_gives_the_same_page(self) -> None:
        assert render(report(), MANIFEST) == render(report(), MANIFEST)


class TestSamples:
    def test_answers_of_the_input_and_of_the_last_model_stand_side_by_side(self) -> None:
        text = see().text

        assert (
            "prompt right input genai ### Text: By the river the old man clapped. ### The tone is: joy fear ✗ joy ✓"
            in text
        )

    def test_only_questions_that_both_were_asked_are_shown(self) -> None:
        text = see(
            measurements={
                "input": {"accuracy": {"samples": [said("fear"), said("sad", "only the input")]}},
                "genai": {"accuracy": {"samples": [said("joy"), said("joy", "only the last")]}},
            }
        ).text

        assert "By the river" in text
        assert "only the" not in text

    def test_without_two_models_there_are_none(self) -> None:
        assert "Sample answers" not in see(measurements={"genai": {"accuracy": {"samples": [said("joy")]}}}).text


class TestWhatRan:
    def test_steps_have_options_time_cache_and_size(self) -> None:
        text = see().text

        assert "finetune lora Succeeded Miss 2 min 28 s 1.58 MB b6c672f0b6c6" in text
        assert "genai genai Succeeded Hit – 4.28 MB" in text
        assert "targetModules o_proj, qkv_proj training.learningRate 0.001 trainLoss 0.2912" in text

    def test_a_step_that_went_on_from_a_checkpoint_says_so(self) -> None:
        assert "went on from optimizer step 40" in see(passes=[step("finetune", "lora", 9, resumedFrom=40)]).text

    def test_what_it_started_from_is_named(self) -> None:
        assert "model microsoft/Phi-3-mini data train build/train.jsonl" in see().text

    def test_digests_are_short_with_the_whole_one_in_the_title(self) -> None:
        titles = [code.get("title") for code in see().named("code")]

        assert {"c95f51b4" * 8, "1d09af37" * 8, "4244d70b" * 8} <= set(titles)

    def test_the_model_comes_with_the_commands_that_try_it(self) -> None:
        text = see().text

        assert "millwright chat s3://team-a/models/emotion/1d09af37/" in text
        assert "model = og.Model('model')" in text


class TestOneFile:
    def test_it_asks_for_nothing_and_runs_nothing(self) -> None:
        seen = see()

        policy = next(meta["content"] for meta in seen.named("meta") if meta.get("http-equiv"))
        assert policy == "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
        assert seen.named("script") == []
        assert [link["href"] for link in seen.named("link")] == ["data:,"]
        assert {value for _, attributes in seen.tags for name, value in attributes.items() if name == "src"} == set()

    @pytest.mark.parametrize("key", ["job", "reason", "message"])
    def test_texts_of_a_run_are_no_markup(self, key: str) -> None:
        seen = see(outcome="Failed", artifact=None, **{key: SCRIPT})

        assert seen.named("script") == []
        assert "alert('x')" in seen.text

    def test_names_answers_options_and_versions_are_no_markup(self) -> None:
        document = report(
            versions={SCRIPT: SCRIPT},
            constraints=[constraint(True, SCRIPT)],
            history={SCRIPT: history(4)},
            measurements={
                name: {"accuracy": {"samples": [said(SCRIPT, SCRIPT, SCRIPT)]}} for name in ("input", "genai")
            },
            spec={"passes": [{"name": "merge", "merge": {SCRIPT: SCRIPT}}], "model": {"path": SCRIPT}},
        )
        text = json.dumps(document).replace('"accuracy"', json.dumps(SCRIPT)).replace('"finetune"', json.dumps(SCRIPT))

        seen = Seen(render(json.loads(text), {"files": [{"path": SCRIPT, "size": 1, "sha256": SCRIPT}]}))

        assert seen.named("script") == []
        assert seen.named("svg")

    def test_a_long_run_with_long_answers_stays_below_a_megabyte(self) -> None:
        long = [said("&" * 20_000, f"{number} " + "<" * 20_000, "'" * 20_000) for number in range(500)]

        page = render(
            report(
                history={f"step-{i}": history(5_000) for i in range(4)},
                measurements={name: {"accuracy": {"samples": long}} for name in ("input", "genai")},
            )
        )

        assert len(page.encode()) < 1_000_000


class TestOtherReports:
    def test_a_report_of_an_older_release_still_gives_a_page(self) -> None:
        newer = ("measurements", "metrics", "formats", "spec", "evaluation", "constraints", "history")
        old = {key: value for key, value in report().items() if key not in newer}

        text = Seen(render(old)).text

        assert "Published" in text
        assert "finetune lora Succeeded" in text

    def test_what_a_newer_release_adds_is_passed_over(self) -> None:
        assert "Published" in see(trials=[1, 2, 3]).text

    def test_a_manifest_that_is_none_leaves_out_the_files(self) -> None:
        assert "model.onnx" not in Seen(render(report(), ["nothing"])).text

    @pytest.mark.parametrize(
        ("document", "found"),
        [
            ({"kind": "PublishedModel"}, "found an object with 'kind', expected outcome"),
            ([1, 2], "found list, expected outcome"),
            (report(seconds="long"), "seconds: input should be a valid number"),
        ],
        ids=["another document", "a list", "a broken report"],
    )
    def test_something_else_is_refused(self, document: object, found: str) -> None:
        with pytest.raises(NotAReport, match=re.escape(found)):
            render(document)
