"""The page an expert reads: what a pass is.

A pass is a class whose fields are its options. Put it into a module of your own package, give it an entry point in
the group `millwright.passes`, and write its name into a manifest:

    class DropLayers(Pass):
        '''Leaves out the last layers of a model.'''

        name = "drop-layers"
        consumes = frozenset({HF})
        produces = HF

        layers: int = Field(default=1, ge=1, description="Layers to leave out, from the end. Default: 1.")

        def run(self, artifact: Artifact, context: Context) -> None:
            import transformers            # heavy imports only here
            ...                            # read artifact.folder, fill context.folder

Built-in passes are registered the same way.
"""

from __future__ import annotations

import signal
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar, Protocol

from pydantic import StringConstraints

from millwright_api.base import Strict
from millwright_api.v1alpha1 import Target
from millwright_runner.artifact import Artifact
from millwright_runner.data.sequences import PackedSequences
from millwright_runner.models import ModelFacts


@dataclass(frozen=True)
class RefersToData:
    """Marks an option that names a data set of the manifest."""


DataRef = Annotated[str, StringConstraints(min_length=1, max_length=63), RefersToData()]
"""An option that names one of spec.data: its existence is checked, its content is part of the cache key."""


class Checkpoints(Protocol):
    """A pass's own checkpoints, in the store, kept until the pass succeeds."""

    every_steps: int

    def latest(self) -> Path | None:
        """Returns a folder on this machine with the newest whole checkpoint, or None."""

    def save(self, folder: Path, step: int) -> None:
        """Stores a copy of a checkpoint's folder; it counts once it is there as a whole."""


class Tell(Protocol):
    """Tells how far a pass is."""

    def __call__(
        self, message: str, *, done: int | None = None, total: int | None = None, loss: float | None = None
    ) -> None:
        """Tells what it is doing, how many of how many units are done, and the training loss."""


@dataclass
class StopFlag:
    """Set by a signal; a pass that can stop early looks at it between two units of work."""

    signal: int | None = None

    def request(self, number: int) -> None:
        """Asks for a stop, because of this signal."""
        self.signal = number

    def check(self, message: str) -> None:
        """Raises Stopped when a stop was asked for."""
        from millwright_api.errors import Stopped

        if self.signal is not None:
            raise Stopped(f"{signal.Signals(self.signal).name}: {message}", signal=self.signal)


@dataclass
class Context:
    """What a pass gets besides its artifact.

    Attributes:
        folder: an empty folder; what the pass leaves there is its result.
        scratch: a folder for anything else; kept over a stop, removed after success.
        target: what the finished model shall run on.
        trust_remote_code: whether code that comes with the model may run.
        data: the token sequences of each data set the pass refers to, by name.
        checkpoints: the pass's checkpoints.
        stop: set when the run is asked to stop.
        tell: tells progress.
        metrics: what the pass measured, by camelCase name; goes into the report.
        history: what it measured on the way, e.g. step, loss and learning rate; goes into report.json.
        resumed_from: the optimizer step of the checkpoint it went on from.
    """

    folder: Path
    scratch: Path
    target: Target
    trust_remote_code: bool
    data: Mapping[str, PackedSequences]
    checkpoints: Checkpoints
    stop: StopFlag
    tell: Tell
    metrics: dict[str, float] = field(default_factory=dict)
    history: list[dict[str, float]] = field(default_factory=list)
    resumed_from: int | None = None


@dataclass(frozen=True)
class Estimate:
    """What a pass is expected to need: peak memory and disk written, in bytes."""

    memory: int
    disk: int


class Pass(Strict):
    """Base of all passes; see the module's text.

    Attributes:
        name: what manifests call it.
        version: raise it when the same options give another result: old cache entries no longer match.
        consumes: formats it reads.
        produces: the format it writes.
        libraries: distributions whose version changes the result; part of the cache key.
        uses_target: whether the target changes the result; then it is part of the cache key too.
        uses_accelerator: whether the model lies in an accelerator's memory, where there is one.
    """

    name: ClassVar[str]
    version: ClassVar[int] = 1
    consumes: ClassVar[frozenset[str]]
    produces: ClassVar[str]
    libraries: ClassVar[tuple[str, ...]] = ()
    uses_target: ClassVar[bool] = False
    uses_accelerator: ClassVar[bool] = False

    def data_refs(self) -> dict[str, str]:
        """Returns the data sets it refers to: option's name in the manifest → data set's name."""
        found: dict[str, str] = {}
        for name, info in type(self).model_fields.items():
            value = getattr(self, name)
            if isinstance(value, str) and _refers_to_data(info):
                found[info.alias or name] = value
        return found

    def key_options(self) -> dict[str, Any]:
        """Returns the options that change the result; data sets are keyed by content, not by name."""
        return self.model_dump(mode="json", exclude=set(self._data_fields()))

    def needs(self) -> frozenset[str]:
        """Returns the optional libraries that it uses with these options; others are kept from being imported."""
        return frozenset()

    def check(self, model: ModelFacts, target: Target) -> None:
        """Refuses what can be known without loading anything: raises a UserError whose `where` is an option's name.

        Args:
            model: facts of the model as the job starts with it, read from its config and its files' headers.
            target: what the finished model shall run on.
        """

    def estimate(self, model: ModelFacts) -> Estimate:
        """Returns what it is expected to need; the default is a copy of the model in memory and on disk."""
        return Estimate(memory=model.bytes, disk=model.bytes)

    def run(self, artifact: Artifact, context: Context) -> None:
        """Does the work: reads `artifact.folder`, fills `context.folder`. Heavy imports belong here.

        Raises:
            UserError: the input cannot be used, whatever is tried.
            TryAgain: something outside failed.
            Stopped: a stop was asked for and a checkpoint is saved.
        """
        raise TypeError(f"{type(self).__name__} does not say what it does")

    @classmethod
    def data_options(cls) -> list[str]:
        """Returns the options that name data sets, as manifests write them."""
        return [cls.model_fields[name].alias or name for name in cls._data_fields()]

    @classmethod
    def _data_fields(cls) -> list[str]:
        return [name for name, info in cls.model_fields.items() if _refers_to_data(info)]


def _refers_to_data(info: Any) -> bool:
    """Whether a field's annotation carries RefersToData, also inside `DataRef | None`."""
    if any(isinstance(m, RefersToData) for m in info.metadata):
        return True
    return any(
        isinstance(m, RefersToData)
        for part in getattr(info.annotation, "__args__", ())
        for m in getattr(part, "__metadata__", ())
    )


__all__ = [
    "Checkpoints",
    "Context",
    "DataRef",
    "Estimate",
    "Pass",
    "RefersToData",
    "StopFlag",
    "Tell",
]
