"""A model as a folder and no more: for metrics that ask it nothing, whatever its format."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

from millwright_runner.artifact import Artifact
from millwright_runner.subjects import Ids


class FolderSubject:
    """A model that no question can be asked of; see `subjects.Subject`.

    Args:
        artifact: its folder.
    """

    end: frozenset[int] = frozenset()

    def __init__(self, artifact: Artifact) -> None:
        self.artifact = artifact

    def generate(
        self, prompts: Sequence[Ids], *, new_tokens: int, batch_size: int, stop: Sequence[Ids] = ()
    ) -> NoReturn:
        """Raises TypeError."""
        self._refuse()

    def log_probs(self, sequences: Sequence[Ids], *, batch_size: int) -> NoReturn:
        """Raises TypeError."""
        self._refuse()

    def timed(self, prompts: Sequence[Ids], *, new_tokens: int) -> NoReturn:
        """Raises TypeError."""
        self._refuse()

    def stream(self, prompt: Ids, *, new_tokens: int) -> NoReturn:
        """Raises TypeError."""
        self._refuse()

    @property
    def device(self) -> NoReturn:
        """Raises TypeError: it computes nowhere."""
        self._refuse()

    def close(self) -> None:
        """Has nothing to give back."""

    def _refuse(self) -> NoReturn:
        raise TypeError("it asks the model, and its class says that it does not (asks = False)")


__all__ = ["FolderSubject"]
