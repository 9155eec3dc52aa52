"""Classifies the held-out phrases with onnxruntime-genai, by several models, and prints how often each is right.

    python classify.py before=FOLDER after=FOLDER ... [--data build/holdout.jsonl] [--json FILE]

Each FOLDER is what `millwright run` published. Every model answers the same prompts by greedy decoding.
"""

from __future__ import annotations

import argparse
import json
import os
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # read when onnxruntime is imported

import numpy as np
import onnxruntime_genai as og
from rich.console import Console
from rich.table import Table

PROMPT = "### Text: {phrase}\n### The tone is:\n"
TONES = ("sad", "joy", "fear", "surprise")
BATCH = 32
"""onnxruntime-genai 0.18 refuses 40."""
NEW_TOKENS = 4
MISSES = 2
"""Phrases shown that the last model gets wrong, besides one of each tone."""

Row = dict[str, str]


def batches(prompts: list[list[int]]) -> Iterator[list[int]]:
    """Yields the places of prompts of one length, at most 32 at a time: nothing needs padding."""
    by_length: dict[int, list[int]] = defaultdict(list)
    for place, prompt in enumerate(prompts):
        by_length[len(prompt)].append(place)
    for places in by_length.values():
        for start in range(0, len(places), BATCH):
            yield places[start : start + BATCH]


def answer(model: Any, prompts: list[list[int]]) -> list[list[int]]:
    """Returns the tokens that the model puts after prompts of one length, greedily."""
    length = len(prompts[0])
    params = og.GeneratorParams(model)
    params.set_search_options(batch_size=len(prompts), max_length=length + NEW_TOKENS, do_sample=False)
    generator = og.Generator(model, params)
    generator.append_tokens(np.array(prompts, dtype=np.int32))
    while not generator.is_done():
        generator.generate_next_token()
    return [generator.get_sequence(i)[length:].tolist() for i in range(len(prompts))]


def classify(folder: Path, rows: list[Row]) -> list[str]:
    """Returns the first word of the model's answer to each phrase."""
    model = og.Model(str(folder))
    tokenizer = og.Tokenizer(model)
    prompts = [tokenizer.encode(PROMPT.format(phrase=row["phrase"])).tolist() for row in rows]
    answers = [""] * len(rows)
    for places in batches(prompts):
        for place, tokens in zip(places, answer(model, [prompts[p] for p in places]), strict=True):
            answers[place] = next(iter(tokenizer.decode(tokens).split()), "")
    return answers


def accuracy(rows: list[Row], answers: list[str], tone: str | None = None) -> float:
    """Returns the share of right answers, from 0 to 1, over all phrases or those of one tone."""
    right = [row["tone"] == given for row, given in zip(rows, answers, strict=True) if tone in (None, row["tone"])]
    return sum(right) / len(right)


def accuracy_table(rows: list[Row], answers: dict[str, list[str]]) -> Table:
    """Returns a table with a line for each tone and a column for each model."""
    table = Table(title=f"{len(rows)} held-out phrases, classified with onnxruntime-genai")
    table.add_column("tone")
    for name in answers:
        table.add_column(name, justify="right")
    for tone in TONES:
        table.add_row(tone, *(f"{accuracy(rows, given, tone):.0%}" for given in answers.values()))
    table.add_section()
    table.add_row("all", *(f"{accuracy(rows, given):.1%}" for given in answers.values()), style="bold")
    return table


def samples(rows: list[Row], answers: list[str]) -> list[int]:
    """Returns the places of the first phrase of each tone, and of the first ones that are answered wrong."""
    first = [next(p for p, row in enumerate(rows) if row["tone"] == tone) for tone in TONES]
    missed = [p for p, row in enumerate(rows) if row["tone"] != answers[p] and p not in first]
    return [*first, *missed[:MISSES]]


def sample_table(rows: list[Row], answers: dict[str, list[str]]) -> Table:
    """Returns a table with some phrases and what each model says."""
    table = Table(title="Some of them")
    for column in ("phrase", "tone", *answers):
        table.add_column(column)
    for place in samples(rows, list(answers.values())[-1]):
        row = rows[place]
        said = [
            f"[{'green' if given[place] == row['tone'] else 'red'}]{given[place] or '—'}[/]"
            for given in answers.values()
        ]
        table.add_row(row["phrase"], row["tone"], *said)
    return table


def main() -> None:
    """Classifies and prints; with --json also writes the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="+", metavar="NAME=FOLDER")
    parser.add_argument("--data", type=Path, default=Path(__file__).with_name("build") / "holdout.jsonl")
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    rows = [json.loads(line) for line in chosen.data.read_text().splitlines()]
    folders = dict(model.split("=", 1) for model in chosen.models)
    answers = {name: classify(Path(folder), rows) for name, folder in folders.items()}
    console = Console()
    console.print(accuracy_table(rows, answers))
    console.print(sample_table(rows, answers))
    if chosen.json:
        chosen.json.write_text(json.dumps({name: accuracy(rows, given) for name, given in answers.items()}, indent=1))


if __name__ == "__main__":
    main()
