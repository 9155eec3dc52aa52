"""`python -m millwright_runner.olive PAGE [--check]`: makes the mapping table of a page anew, or says whether it is."""

from __future__ import annotations

import sys
from pathlib import Path

from millwright_runner.olive.document import renew
from millwright_runner.olive.table import load


def main(arguments: list[str]) -> int:
    """Returns the exit code: 0 done, 1 the page is not what the table says, 2 wrong use."""
    names = [argument for argument in arguments if argument != "--check"]
    if len(names) != 1:
        print("use: python -m millwright_runner.olive PAGE [--check]", file=sys.stderr)
        return 2
    path = Path(names[0])
    page = path.read_text(encoding="utf-8")
    made = renew(page, load())
    if "--check" in arguments:
        return 0 if made == page else 1
    path.write_text(made, encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
