"""The licence that a model comes under, as it says itself: carried over, never guessed from a text."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from millwright_runner.models.examine import TELLS

CARD, *LICENCE_FILES = TELLS
KEYS = ("license", "license_name", "license_link")

READ_BYTES = 1 << 20
"""What is looked at of a file: a card's head stands first."""

_HEAD = re.compile(r"\A\ufeff?---[ \t]*\r?\n(.*?)^---[ \t]*\r?$", re.DOTALL | re.MULTILINE)
_SPDX = re.compile(r"SPDX-License-Identifier:[ \t]*([A-Za-z0-9.+-]+)")


def licence_of(folder: Path) -> dict[str, str]:
    """Returns what a model says of its licence, as a card's metadata has it; empty where it says nothing.

    Looks into its own card (README.md: license, license_name, license_link), else for an SPDX-License-Identifier in a
    licence file; Hugging Face writes SPDX's names in lower case.

    Args:
        folder: the model's folder, or one with its small files.
    """
    head = metadata(_text(folder / CARD))
    said = {key: head[key] for key in KEYS if isinstance(head.get(key), str) and head[key].strip()}
    if "license" in said:
        return said
    for name in LICENCE_FILES:
        found = _SPDX.search(_text(folder / name))
        if found:
            return {"license": found[1].lower()}
    return {}


def metadata(card: str) -> dict[str, Any]:
    """Returns a card's metadata: the YAML between its first two lines of three dashes; empty where that is none."""
    head = _HEAD.match(card)
    try:
        found = yaml.safe_load(head[1]) if head else None
    except (yaml.YAMLError, RecursionError, ValueError):  # a person's file, or a stranger's
        return {}
    return found if isinstance(found, dict) else {}


def _text(file: Path) -> str:
    try:
        with file.open("rb") as stream:
            return stream.read(READ_BYTES).decode("utf-8", "replace")
    except OSError:
        return ""
