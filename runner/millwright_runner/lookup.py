"""Paths of a manifest that lead nowhere: what lies close by."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path

LISTED = 8
"""Names that a message lists at most."""


def close_names(name: str, present: Iterable[str], place: str) -> str:
    """Returns `did you mean 'x'?`, or the first names that are there.

    Args:
        name: what was asked for.
        present: what is there.
        place: what a message calls the place that they lie in.
    """
    names = sorted(present)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    if close:
        return f"did you mean '{close[0]}'?"
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return f"{place} holds {', '.join(names[:LISTED])}{more}" if names else f"{place} is empty"


def missing_path(path: Path) -> str:
    """Returns a hint for a path that does not exist: the first part of it that is missing, and what is there instead."""
    there = path
    while not there.parent.is_dir() and there != there.parent:
        there = there.parent
    try:
        names = [entry.name for entry in there.parent.iterdir()]
    except OSError as error:
        return f"{there.parent} cannot be listed: {error.strerror}"
    return close_names(there.name, names, str(there.parent))
