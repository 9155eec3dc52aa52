"""The demo's phrases: the figure they lead to must mean something."""

from __future__ import annotations

import importlib.util
import itertools
import json
import random
from collections import Counter
from pathlib import Path
from types import ModuleType

import pytest

EMOTION = Path(__file__).parents[2] / "examples" / "emotion"


@pytest.fixture(scope="module")
def make_data() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_data", EMOTION / "make_data.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def made(make_data: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict[str, str]]]:
    folder = tmp_path_factory.mktemp("emotion")
    make_data.make(folder)
    return {
        name: [json.loads(line) for line in (folder / f"{name}.jsonl").read_text().splitlines()]
        for name in ("train", "holdout")
    }


def test_there_are_480_phrases_to_train_on_and_120_held_out(made: dict[str, list[dict[str, str]]]) -> None:
    assert {name: len(rows) for name, rows in made.items()} == {"train": 480, "holdout": 120}


def test_all_four_tones_are_equally_frequent(made: dict[str, list[dict[str, str]]]) -> None:
    for rows in made.values():
        counts = Counter(row["tone"] for row in rows)
        assert set(counts) == {"sad", "joy", "fear", "surprise"}
        assert len(set(counts.values())) == 1


def test_no_cue_is_both_trained_on_and_held_out(make_data: ModuleType) -> None:
    for tone in make_data.TONES:
        trained, held = make_data.cues(tone)

        assert set(trained).isdisjoint(held)
        assert len(trained) + len(held) == len(make_data.VERBS[tone]) * len(make_data.OBJECTS[tone])


def test_no_held_out_phrase_has_a_cue_that_is_trained_on(
    make_data: ModuleType, made: dict[str, list[dict[str, str]]]
) -> None:
    trained = {(cue.verb, cue.object) for tone in make_data.TONES for cue in make_data.cues(tone)[0]}

    leaked = [
        row["phrase"]
        for row in made["holdout"]
        if any(verb in row["phrase"] and what in row["phrase"] for verb, what in trained)
    ]

    assert leaked == []


def test_some_held_out_objects_are_never_seen_with_a_label(
    make_data: ModuleType, made: dict[str, list[dict[str, str]]]
) -> None:
    objects = [what for tone in make_data.TONES for what in make_data.OBJECTS[tone]]
    never = [what for what in objects if not any(what in row["phrase"] for row in made["train"])]

    assert len(never) >= 12
    assert sum(any(what in row["phrase"] for what in never) for row in made["holdout"]) >= 30


def test_no_phrase_is_there_twice(made: dict[str, list[dict[str, str]]]) -> None:
    phrases = [row["phrase"] for rows in made.values() for row in rows]

    assert len(set(phrases)) == len(phrases)


def test_some_phrases_have_an_aside_of_another_tone_and_some_a_word_misspelt(
    make_data: ModuleType, made: dict[str, list[dict[str, str]]]
) -> None:
    verbs = [verb for tone in make_data.TONES for verb in make_data.VERBS[tone]]

    asides = sum(", while others " in row["phrase"] for row in made["holdout"])
    misspelt = sum(not any(verb in row["phrase"].split(", while")[0] for verb in verbs) for row in made["holdout"])

    assert 6 <= asides <= 36
    assert 4 <= misspelt <= 30


def test_a_word_is_misspelt_by_swapping_two_letters_inside_it(make_data: ModuleType) -> None:
    text = make_data.misspell("the nurse danced at work", "danced", random.Random(1))

    assert text != "the nurse danced at work"
    assert sorted(text) == sorted("the nurse danced at work")
    assert text.startswith("the nurse d")


@pytest.mark.parametrize("seed", [0, 7])
def test_the_same_seed_gives_the_same_files(make_data: ModuleType, tmp_path: Path, seed: int) -> None:
    for name in ("a", "b"):
        make_data.make(tmp_path / name, seed)

    assert (tmp_path / "a" / "train.jsonl").read_bytes() == (tmp_path / "b" / "train.jsonl").read_bytes()
    assert (tmp_path / "a" / "holdout.jsonl").read_bytes() == (tmp_path / "b" / "holdout.jsonl").read_bytes()


def test_the_base_model_reads_about_everything_and_gets_no_label(make_data: ModuleType) -> None:
    texts = " ".join(itertools.islice(make_data.unlabelled(0), 3200)).lower()

    words = [word for tone in make_data.TONES for word in (*make_data.VERBS[tone], *make_data.OBJECTS[tone])]
    assert [word for word in words if word.lower() not in texts] == []
