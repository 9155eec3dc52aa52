"""What a pod was given in secret is told to nobody: a report ends in the job's status, which more people read than Secrets."""

from __future__ import annotations

import re
from collections.abc import Mapping

HIDDEN = "[redacted]"

SHORTEST = 8
"""Characters of what is hidden; shorter values are words that a message needs."""

_SECRET = re.compile(
    r"(?i)secret|token|passw|credential|(?:api|access|account|private|signing|storage)_?key|connection_string|_sas$"
)
_HARMLESS = re.compile(r"(?i)_(?:id|file|path|uri|url|endpoint|host|name)$")


def hidden(text: str, environment: Mapping[str, str]) -> str:
    """Returns a text without the values of variables whose names say that they are secret, line by line of a value.

    Args:
        text: to be told.
        environment: the process's.
    """
    values = [value for name, value in environment.items() if _SECRET.search(name) and not _HARMLESS.search(name)]
    lines = {line.strip() for value in values for line in value.splitlines()}
    for line in sorted(lines, key=len, reverse=True):  # one may be part of another
        if len(line) >= SHORTEST:
            text = text.replace(line, HIDDEN)
    return text
