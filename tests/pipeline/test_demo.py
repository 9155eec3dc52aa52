"""`make demo` as a newcomer sees it, in a copy of the example: tuned far better than not, int4 as good as fp32."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from tests import emotion

EMOTION = Path(__file__).parents[2] / "examples" / "emotion"


@dataclass(frozen=True)
class Demo:
    """A copy of the example that has been run."""

    folder: Path
    out: str

    @property
    def accuracy(self) -> dict[str, float]:
        loaded: dict[str, float] = json.loads((self.folder / "build" / "accuracy.json").read_text())
        return loaded

    def report(self, name: str) -> dict[str, Any]:
        loaded: dict[str, Any] = json.loads((self.folder / "out" / name / "report.json").read_text())
        return loaded


def run(folder: Path) -> str:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | {"PATH": path, "MILLWRIGHT_HOME": str(folder / "home")}
    done = subprocess.run(
        [str(folder / "demo.sh")],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    folder = tmp_path_factory.mktemp("demo") / "emotion"
    shutil.copytree(EMOTION, folder, ignore=shutil.ignore_patterns("build", "out", "__pycache__"))
    made = Demo(folder, run(folder))
    emotion.lend(tmp_path_factory, folder / "build")
    return made


@pytest.fixture(scope="module")
def classify() -> ModuleType:
    spec = importlib.util.spec_from_file_location("classify", EMOTION / "classify.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class TestTheDemo:
    def test_tuning_makes_it_far_better_than_it_was(self, demo: Demo) -> None:
        assert demo.accuracy["before"] <= 0.4
        assert demo.accuracy["after"] >= 0.8

    def test_the_held_out_phrases_are_not_too_easy(self, demo: Demo) -> None:
        assert demo.accuracy["after-fp32"] < 1.0

    def test_int4_is_within_two_points_of_fp32(self, demo: Demo) -> None:
        assert abs(demo.accuracy["after"] - demo.accuracy["after-fp32"]) <= 0.02

    def test_both_figures_are_printed(self, demo: Demo) -> None:
        (line,) = [line for line in demo.out.splitlines() if line.startswith("│ all ")]

        printed = [cell.strip() for cell in line.strip("│").split("│")][1:]
        assert printed == [f"{demo.accuracy[name]:.1%}" for name in ("before", "after", "after-fp32")]

    def test_the_fp32_variant_takes_tuning_and_merging_from_the_cache(self, demo: Demo) -> None:
        assert [step["cache"] for step in demo.report("emotion-fp32")["passes"]] == ["Hit", "Hit", "Miss"]

    def test_the_model_is_published_in_the_format_it_was_classified_with(self, demo: Demo) -> None:
        artifact = demo.report("emotion")["artifact"]

        assert artifact["format"] == "onnx-genai"
        assert (demo.folder / "out" / "emotion" / "model" / "genai_config.json").is_file()

    def test_run_again_it_takes_everything_from_the_cache_and_says_the_same(self, demo: Demo) -> None:
        names = ("emotion-base", "emotion", "emotion-fp32")
        before, reports = demo.accuracy, [demo.report(name) for name in names]

        out = run(demo.folder)

        assert demo.accuracy == before
        assert "make_model" not in out
        assert "3 from the cache" in out
        assert [demo.report(name) for name in names] == reports, "what tells how they were made stays"


class TestClassify:
    def test_prompts_of_one_length_share_a_batch_of_at_most_32(self, classify: ModuleType) -> None:
        prompts = [[0] * 5] * 40 + [[0] * 7] * 3

        places = list(classify.batches(prompts))

        assert [len(batch) for batch in places] == [32, 8, 3]
        assert sorted(p for batch in places for p in batch) == list(range(43))
        assert all(len({len(prompts[p]) for p in batch}) == 1 for batch in places)

    def test_accuracy_counts_right_answers_overall_and_for_a_tone(self, classify: ModuleType) -> None:
        rows = [{"tone": "joy"}, {"tone": "joy"}, {"tone": "sad"}, {"tone": "fear"}]

        assert classify.accuracy(rows, ["joy", "sad", "sad", "sad"]) == 0.5
        assert classify.accuracy(rows, ["joy", "sad", "sad", "sad"], "joy") == 0.5
        assert classify.accuracy(rows, ["joy", "sad", "sad", "sad"], "fear") == 0.0

    def test_the_sample_has_each_tone_and_two_misses(self, classify: ModuleType) -> None:
        rows = [{"tone": tone} for tone in ("sad", "sad", "joy", "fear", "surprise", "joy", "joy", "joy")]
        answers = ["sad", "sad", "joy", "fear", "surprise", "sad", "fear", "sad"]

        assert classify.samples(rows, answers) == [0, 2, 3, 4, 5, 6]

    def test_answers_do_not_depend_on_what_shares_their_batch(self, classify: ModuleType, demo: Demo) -> None:
        rows = [json.loads(line) for line in (demo.folder / "build" / "holdout.jsonl").read_text().splitlines()][:12]
        folder = demo.folder / "out" / "emotion-base" / "model"

        together = classify.classify(folder, rows)

        assert together == [classify.classify(folder, [row])[0] for row in rows]
