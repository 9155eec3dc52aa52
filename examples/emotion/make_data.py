"""Makes the demo's phrases: 480 to train on, 120 held out, and a stream of unlabelled text for the base model.

    python make_data.py FOLDER          writes FOLDER/train.jsonl and FOLDER/holdout.jsonl

A phrase tells who did something, when, and how: `On Monday the nurse wept beside the empty cradle`. What tells its tone
is the cue, a verb with what it goes with. Cues of the held-out phrases are never trained on: their verbs and their
objects occur in training only in other cues, and one object in four occurs there not at all. The base model has read
about all of them, as any language model has read about joy before anyone asks it for a label.

Noise: some phrases have an aside of another tone, and some words are misspelt. So nothing classifies all of them.
"""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

TONES = ("sad", "joy", "fear", "surprise")
TRAIN, HOLDOUT = 480, 120
ASIDES, MISSPELT = 0.15, 0.1
"""Shares of phrases that have an aside of another tone, and that have one word misspelt."""

WHO = (
    "I",
    "my sister",
    "our neighbour",
    "the old man",
    "the child",
    "my friend",
    "the team",
    "the whole class",
    "her brother",
    "the baker",
    "grandma",
    "the driver",
    "the new teacher",
    "the nurse",
    "a tourist",
)
WHEN = (
    "this morning",
    "last night",
    "on Monday",
    "after dinner",
    "at the station",
    "during the storm",
    "before the exam",
    "in the garden",
    "at work",
    "on the way home",
    "by the river",
    "all weekend",
)
VERBS = {
    "sad": ("wept", "grieved", "sobbed", "mourned", "sighed", "despaired", "sorrowed", "cried"),
    "joy": ("danced", "laughed", "sang", "cheered", "smiled", "celebrated", "rejoiced", "clapped"),
    "fear": ("trembled", "crouched", "froze", "screamed", "shivered", "panicked", "cowered", "fled"),
    "surprise": ("gasped", "stared", "blinked", "marvelled", "gaped", "wondered", "jumped", "goggled"),
}
OBJECTS = {
    "sad": (
        "beside the empty cradle",
        "over the lost letter",
        "at the little grave",
        "after the last goodbye",
        "for a dear friend gone",
        "in the silent house",
        "over the old photos",
        "at the farewell",
        "because the dog had died",
        "among the ruins of home",
        "for the years gone by",
        "with a broken heart",
    ),
    "joy": (
        "at the wedding",
        "over the good news",
        "on the birthday",
        "with the newborn baby",
        "at the sunny picnic",
        "for the victory",
        "because the prize was ours",
        "with the whole family",
        "at the summer fair",
        "over a perfect holiday",
        "in the bright kitchen",
        "with a light heart",
    ),
    "fear": (
        "at the growling wolf",
        "from the thunder",
        "in the dark cellar",
        "when the brakes failed",
        "before the surgeon's knife",
        "at the edge of the cliff",
        "behind the locked door",
        "from the burning barn",
        "at the footsteps outside",
        "under the creaking stairs",
        "because the stranger had a gun",
        "with a racing heart",
    ),
    "surprise": (
        "at the parrot in the box",
        "when snow fell in July",
        "at the sudden visit",
        "at the hidden treasure",
        "when the statue moved",
        "over the ring inside the fish",
        "at the unknown twin",
        "at the magic trick",
        "when the wall turned out to be a door",
        "at the winning ticket nobody bought",
        "when the clock ran backwards",
        "with open mouth",
    ),
}
TAILS = ("", ".", " again.", " for a while.", " and told everyone.", ", nobody knows why.", " and went quiet.")


class Cue(NamedTuple):
    """What tells a phrase's tone: a verb and what it goes with."""

    tone: str
    verb: str
    object: str


def cues(tone: str) -> tuple[list[Cue], list[Cue]]:
    """Returns the cues to train on and those held out: none is in both, and the last three objects are held out."""
    verbs, objects = VERBS[tone], OBJECTS[tone]
    trained, held = [], []
    for v, verb in enumerate(verbs):
        for o, what in enumerate(objects):
            never = o >= len(objects) - 3
            (held if never or (v + o) % 3 == 0 else trained).append(Cue(tone, verb, what))
    return trained, held


def phrase(cue: Cue, rng: random.Random, noisy: bool = True) -> str:
    """Returns a sentence around a cue, with its share of noise."""
    tail = rng.choice(TAILS)
    if noisy and rng.random() < ASIDES:
        other = rng.choice([tone for tone in TONES if tone != cue.tone])
        tail = f", while others {rng.choice(VERBS[other])}{tail}"
    text = f"{rng.choice(WHEN)} {rng.choice(WHO)} {cue.verb} {cue.object}{tail}"
    if noisy and rng.random() < MISSPELT:
        text = misspell(text, cue.verb, rng)
    return text[0].upper() + text[1:]


def misspell(text: str, word: str, rng: random.Random) -> str:
    """Returns the text with two neighbouring letters of a word swapped."""
    at = rng.randrange(1, len(word) - 2)
    return text.replace(word, word[:at] + word[at + 1] + word[at] + word[at + 2 :], 1)


def rows(which: list[list[Cue]], number: int, rng: random.Random) -> list[dict[str, str]]:
    """Returns that many different labelled phrases, the tones in equal parts, in random order."""
    found: dict[str, str] = {}
    while len(found) < number:
        options = which[len(found) % len(which)]
        cue = rng.choice(options)
        found.setdefault(phrase(cue, rng), cue.tone)
    shuffled = [{"phrase": text, "tone": tone} for text, tone in found.items()]
    rng.shuffle(shuffled)
    return shuffled


def unlabelled(seed: int) -> Iterator[str]:
    """Yields sentences without end, about everything the vocabulary has: what the base model reads."""
    rng = random.Random(seed)
    every = [cue for tone in TONES for part in cues(tone) for cue in part]
    while True:
        yield phrase(rng.choice(every), rng, noisy=False)


def make(folder: Path, seed: int = 7) -> None:
    """Writes both files, always the same for a seed."""
    rng = random.Random(seed)
    parts = [cues(tone) for tone in TONES]
    folder.mkdir(parents=True, exist_ok=True)
    for name, which, number in (("train", 0, TRAIN), ("holdout", 1, HOLDOUT)):
        lines = [json.dumps(row) for row in rows([part[which] for part in parts], number, rng)]
        (folder / f"{name}.jsonl").write_text("\n".join(lines) + "\n")
        print(f"{len(lines)} phrases in {name}.jsonl")


if __name__ == "__main__":
    make(Path(sys.argv[1]))
