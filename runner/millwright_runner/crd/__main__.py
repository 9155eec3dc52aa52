"""`python -m millwright_runner.crd [--check] FILE…`: writes the CustomResourceDefinition, or says whether it is current."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from millwright_runner.crd.document import text

FILES = (Path("crds/millwright.dev_optimizationjobs.yaml"), Path("charts/millwright/files/crd.yaml"))
"""For people and kubectl; and the same for the chart, which can read its own folder only."""


def main(arguments: list[str]) -> int:
    """Returns the exit code: 1 when `--check` found a file that is not what the models say."""
    parser = argparse.ArgumentParser(prog="python -m millwright_runner.crd", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when a file is out of date")
    parser.add_argument("files", nargs="*", type=Path, default=list(FILES))
    given, wanted = parser.parse_args(arguments), text()
    if given.check:
        stale = [path for path in given.files if not path.is_file() or path.read_text() != wanted]
        for path in stale:
            print(f"{path} is not what the models say: make crds", file=sys.stderr)
        return 1 if stale else 0
    for path in given.files:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(wanted)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
