"""How the courier and the runner inside Azure ML talk: small files beside the output, in `.millwright/remote/<job name>/`.

So it works with any store, and Azure ML need only start a process. Nothing secret lies there. What the work itself tells is
the runner's; who submits and who tells is the courier's.
"""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import ValidationError

from millwright_api.report import Progress, RunReport
from millwright_runner.stores import Store

FOLDER = ".millwright/remote"
ASKED, PROGRESS, REPORT, STOP, TOLD = "asked", "progress.json", "report.json", "stop", "told"


class Mailbox:
    """The mailbox of one job.

    Args:
        store: the output's.
        name: the job's name on Azure ML.

    All methods raise what stores raise.
    """

    def __init__(self, store: Store, name: str) -> None:
        self._store, self._folder = store, f"{FOLDER}/{name}"

    def ask(self) -> None:
        """The courier is about to submit the job: who cleans up has to look for it."""
        self._write(ASKED)

    def stop(self) -> None:
        """The courier asks the runner for a checkpoint and a stop."""
        self._write(STOP)

    def tell(self) -> None:
        """The courier has told how the job ended."""
        self._write(TOLD)

    def asked_to_stop(self) -> bool:
        """Whether a courier has asked for a stop."""
        return self._store.stat(f"{self._folder}/{STOP}") is not None

    def told(self) -> bool:
        """Whether a courier has told how the job ended."""
        return self._store.stat(f"{self._folder}/{TOLD}") is not None

    def begin(self) -> None:
        """The runner begins; what another node, which was taken away, had said last does not count any more."""
        self._store.delete([f"{self._folder}/{REPORT}"])

    def post(self, progress: Progress) -> None:
        """The runner says how far it is."""
        self._store.write(f"{self._folder}/{PROGRESS}", progress.model_dump_json(exclude_none=True).encode())

    def end(self, report: RunReport) -> None:
        """The runner's last word."""
        self._store.write(f"{self._folder}/{REPORT}", report.model_dump_json(exclude_none=True).encode())

    def progress(self) -> Progress | None:
        """Returns how far the runner is, as it said last."""
        found = self._store.read(f"{self._folder}/{PROGRESS}")
        try:
            return None if found is None else Progress.model_validate_json(found.data)
        except ValidationError:
            return None  # of another release

    def report(self) -> RunReport | None:
        """Returns the runner's last word."""
        found = self._store.read(f"{self._folder}/{REPORT}")
        try:
            return None if found is None else RunReport.model_validate_json(found.data)
        except ValidationError:
            return None

    def _write(self, name: str) -> None:
        self._store.write(f"{self._folder}/{name}", b"\n")


def known(store: Store, family: str) -> dict[str, set[str]]:
    """Returns the jobs that have mailboxes: name → the files in it.

    Args:
        store: the output's.
        family: what their names begin with.
    """
    found: dict[str, set[str]] = {}
    for name, file in _files(store, family):
        found.setdefault(name, set()).add(file)
    return found


def _files(store: Store, family: str) -> Iterator[tuple[str, str]]:
    for entry in store.list(f"{FOLDER}/{family}"):
        name, _, file = entry.key.removeprefix(f"{FOLDER}/").partition("/")
        yield name, file
