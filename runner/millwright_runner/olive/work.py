"""What every part of an import shares: the account of leaves, the format's era, and where relative paths start."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from millwright_runner.olive.space import Space
from millwright_runner.olive.table import Era
from millwright_runner.olive.trace import Path as Place
from millwright_runner.olive.trace import Trace

OLD_DATA_KEYS = ("source_max_len", "corpus_strategy", "dataset_type", "params_config", "component_kwargs")


@dataclass(frozen=True)
class Paths:
    """Turns paths of Olive's, which start in the folder it is called from, into the manifest's.

    Attributes:
        cwd: the folder that Olive would be called from.
        folder: the folder the manifest is written to.
        beside: the config's own folder: tried where a path is not found from `cwd`.
    """

    cwd: Path
    folder: Path
    beside: Path

    def find(self, path: str) -> Path | None:
        """Returns the file or folder when it is on this machine."""
        for base in (self.cwd, self.beside):
            if (base / path).exists():
                return base / path
        return None

    def manifest(self, path: str) -> str:
        """Returns the path as the manifest must have it: absolute ones stay, others start in its own folder."""
        if Path(path).is_absolute() or self.folder == self.cwd == self.beside:
            return path
        base = next((base for base in (self.cwd, self.beside) if (base / path).exists()), self.cwd)
        # Links are followed first: `..` climbs to where a folder really is.
        return os.path.relpath(base.resolve() / path, self.folder.resolve())


@dataclass
class Azure:
    """What of Azure ML the JSON speaks of.

    Attributes:
        system: path of the system that the job runs on; None: this machine.
        incomplete: paths of systems that a person has to complete before a job can run there.
        execution: the workspace's coordinates that spec.execution has, and with it all that names no other.
        client: those of the whole file's azureml_client.
        places: parts of the manifest that the client's stand in.
        at_the_end: whether a system that nothing uses has the client's.
    """

    system: Place | None = None
    incomplete: list[Place] = field(default_factory=list)
    execution: dict[str, str] = field(default_factory=dict)
    client: dict[str, str] = field(default_factory=dict)
    places: list[str] = field(default_factory=list)
    at_the_end: bool = False


@dataclass
class Work:
    """An import under way.

    Attributes:
        trust_remote_code: whether any loading argument says so.
        every_steps: optimizer steps between two checkpoints, where the training arguments say it.
    """

    trace: Trace
    era: Era
    paths: Paths
    trust_remote_code: bool = False
    every_steps: int | None = None
    space: Space = field(default_factory=Space)
    azure: Azure = field(default_factory=Azure)


def era_of(config: dict[str, Any]) -> Era:
    """Tells the format's era by the keys that only it has, because defaults differ: see mapping.yaml."""
    keys = set(_keys(config))
    if keys & {"hf_config", "eval_dataset_size", *OLD_DATA_KEYS}:
        return "old"
    return "middle" if keys & {"lora_r", "lora_alpha"} and not keys & {"r", "alpha"} else "new"


def _keys(value: Any) -> Iterable[str]:
    if isinstance(value, dict):
        yield from value
    below = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for item in below:
        yield from _keys(item)


def label(name: str, longest: int, taken: Iterable[str] = ()) -> str:
    """Returns a name as a DNS label: lower case, digits and dashes, no longer than that, and not among the taken."""
    plain = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:longest].strip("-") or "olive"
    used, found, number = set(taken), plain, 2
    while found in used:
        end = f"-{number}"
        found, number = plain[: longest - len(end)].rstrip("-") + end, number + 1
    return found
