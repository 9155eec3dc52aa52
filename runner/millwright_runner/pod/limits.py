"""What each stage may use, as the operator says it, and what it is expected to need."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields

from millwright_api.errors import GPUMemoryInsufficient, MemoryInsufficient, NoSpaceLeft, UserError
from millwright_runner.artifact import HF
from millwright_runner.evaluation import PROCESS_BYTES, memory_to_measure
from millwright_runner.models import FoundModel
from millwright_runner.pod.inside import parse_steps
from millwright_runner.registry import BoundStep


@dataclass(frozen=True)
class StageLimits:
    """What the pod of one stage may use. The operator writes a list of them into MILLWRIGHT_LIMITS, as JSON:
    `[{"steps": "0:2", "memory": 34359738368, "accelerator": null, "accelerators": 1, "ephemeralStorage": null,
    "scratch": null}]`.

    Attributes:
        steps: the stage's steps.
        memory: bytes that its container may use; None: no limit.
        accelerator: bytes of one accelerator's memory; None: not known.
        accelerators: how many it asks for.
        ephemeral_storage: bytes of the node's disk that it may use; None: no limit.
        scratch: bytes that its scratch space may take, where all that it writes to the node's disk lies; None: no limit.
    """

    steps: range
    memory: int | None = None
    accelerator: int | None = None
    accelerators: int = 0
    ephemeral_storage: int | None = None
    scratch: int | None = None

    @property
    def disk(self) -> int | None:
        """Bytes of the node's disk that it may use, by whichever limit is lower; None: no limit."""
        return min((size for size in (self.ephemeral_storage, self.scratch) if size is not None), default=None)


@dataclass(frozen=True)
class Needs:
    """What a stage is expected to need, in bytes.

    Attributes:
        memory: of the host, at the peak.
        accelerator: of one accelerator, at the peak; 0 without one.
        disk: of the node's disk.
    """

    memory: int
    accelerator: int
    disk: int


def parse_limits(text: str | None, steps: int) -> list[StageLimits]:
    """Reads MILLWRIGHT_LIMITS; where it is not set, all steps are one stage without limits.

    Raises:
        ValueError, KeyError, TypeError: it is no such list; the operator is at fault.
    """
    if not text:
        return [StageLimits(range(steps))]
    return [
        StageLimits(
            parse_steps(entry["steps"]),
            entry.get("memory"),
            entry.get("accelerator"),
            entry.get("accelerators") or 0,
            entry.get("ephemeralStorage"),
            entry.get("scratch"),
        )
        for entry in json.loads(text)
    ]


def needs_of(
    stage: StageLimits,
    steps: Sequence[BoundStep],
    model: FoundModel,
    *,
    fetched: bool,
    measured: Sequence[int] = (),
) -> Needs:
    """Returns what a stage is expected to need.

    Args:
        stage: which steps, and whether there is an accelerator: models of passes that use one lie in its memory.
        steps: those that run, each with its place in the manifest: a trial of a search may leave some out.
        model: what the job starts with.
        fetched: whether the model is copied to the node's disk first.
        measured: the steps whose models are measured, -1 for the input: each is loaded once more for that.
    """
    memory = accelerator = disk = 0
    running = {step.index: step for step in steps if step.index in stage.steps}
    for step in running.values():
        estimate = step.pass_.estimate(model.facts)
        disk += estimate.disk
        if stage.accelerators and step.pass_.uses_accelerator:
            accelerator = max(accelerator, estimate.memory - PROCESS_BYTES)
            memory = max(memory, PROCESS_BYTES)
        else:
            memory = max(memory, estimate.memory)
    for index in measured:
        if index not in running and not (index < 0 and stage.steps.start == 0):
            continue
        made = running[index].pass_.produces if index >= 0 else HF
        loaded = memory_to_measure(model.facts, made, accelerator=bool(stage.accelerators))
        if stage.accelerators:
            accelerator = max(accelerator, loaded - PROCESS_BYTES)
        else:
            memory = max(memory, loaded)
    return Needs(memory, accelerator, disk + (model.facts.files if fetched else 0))


def hungriest_of(every: Sequence[Needs]) -> Needs:
    """Returns the most of each that one of several needs."""
    return Needs(*(max(getattr(one, field.name) for one in every) for field in fields(Needs)))


def shortages(stage: StageLimits, needs: Needs, steps: Sequence[BoundStep]) -> Iterator[UserError]:
    """Yields what a stage may not have and needs, with both figures."""
    names = ", ".join(steps[index].name for index in stage.steps)
    where = f"spec.passes[{stage.steps.start}]" if len(stage.steps) == 1 else "spec.passes"
    if stage.accelerator is not None and needs.accelerator > stage.accelerator:
        yield GPUMemoryInsufficient(
            "{} needs about {} of GPU memory, and the GPU has {}".format(
                names, *apart(needs.accelerator, stage.accelerator)
            ),
            where=where,
            hint="take a larger GPU, qlora instead of lora, or a smaller model",
        )
    if stage.memory is not None and needs.memory > stage.memory:
        yield MemoryInsufficient(
            "{} needs about {} of memory, and the limit is {}".format(names, *apart(needs.memory, stage.memory)),
            where=where,
            hint="raise resources.limits.memory",
        )
    if stage.ephemeral_storage is not None and needs.disk > stage.ephemeral_storage:
        yield NoSpaceLeft(
            "{} needs about {} of disk, and the limit is {}".format(names, *apart(needs.disk, stage.ephemeral_storage)),
            where=where,
            hint="raise resources.limits.ephemeral-storage",
        )
    if stage.scratch is not None and needs.disk > stage.scratch:
        yield NoSpaceLeft(
            "{} needs about {} of disk, and the scratch space has {}".format(names, *apart(needs.disk, stage.scratch)),
            where="spec.execution.kubernetes.scratch",
            hint="raise it, or leave it out",
        )


def told(stage: StageLimits, needs: Needs) -> str:
    """Returns the estimate as a sentence's end: `1.3 GiB of memory (limit 4.0 GiB), 0.8 GiB of disk`."""
    parts = [_part(needs.memory, stage.memory, "memory")]
    if needs.accelerator:
        parts.append(_part(needs.accelerator, stage.accelerator, "GPU memory"))
    return ", ".join([*parts, _part(needs.disk, stage.disk, "disk")])


def amount(size: int) -> str:
    """Returns bytes as resources are talked about: 1.3 GiB, 512 MiB."""
    return f"{size / 2**30:.1f} GiB" if size >= 2**30 else f"{-(-size // 2**20)} MiB"


def apart(needed: int, limit: int) -> tuple[str, str]:
    """Returns two sizes as `amount` does, or in bytes where they would read the same and are not."""
    told = amount(needed), amount(limit)
    return (f"{needed:,} bytes", f"{limit:,} bytes") if told[0] == told[1] and needed != limit else told


def _part(needed: int, limit: int | None, of: str) -> str:
    return f"{amount(needed)} of {of}" + ("" if limit is None else f" (limit {amount(limit)})")
