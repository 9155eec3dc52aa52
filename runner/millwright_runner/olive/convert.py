"""Olive's workflow JSON → OptimizationJob."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from millwright_api.errors import ChainMismatch, InvalidManifest, UserError, suggest
from millwright_api.names import API_VERSION, KIND
from millwright_api.v1alpha1 import OptimizationJob
from millwright_runner import registry
from millwright_runner.olive.datasets import DataSets
from millwright_runner.olive.evaluation import evaluation
from millwright_runner.olive.model import model
from millwright_runner.olive.passes import steps
from millwright_runner.olive.strategy import allow, asked, search
from millwright_runner.olive.systems import finish, placement
from millwright_runner.olive.table import load
from millwright_runner.olive.trace import Note, Trace, Unmapped
from millwright_runner.olive.view import View
from millwright_runner.olive.work import Paths, Work, era_of, label
from millwright_runner.olive.workflow import settings
from millwright_runner.problems import describe
from millwright_runner.trials import check_search

NAME_LENGTH = 52


@dataclass(frozen=True)
class Imported:
    """What an import gives.

    Attributes:
        manifest: the OptimizationJob, valid.
        unmapped: lines of the JSON that were not taken over, in its order.
        notes: what a person should know, such as Olive's defaults that are now written out.
        mapped: the JSON's path → the manifest's, of the lines that were taken over.
        era: which of Olive's formats it is; see mapping.yaml.
        alternatives: spec.execution as it would be on systems that the workflow has and does not use, by their names.
    """

    manifest: dict[str, Any]
    unmapped: list[Unmapped]
    notes: list[Note]
    mapped: dict[str, str]
    era: str
    alternatives: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def runnable(self) -> bool:
        """Whether the job does all that the JSON asks for, as far as the model is concerned."""
        return not any(line.blocks for line in self.unmapped)


def looks_like_olive(config: Any) -> bool:
    """Whether this is a workflow of Olive's rather than a manifest."""
    if not isinstance(config, dict) or "apiVersion" in config:
        return False
    return "input_model" in config or (isinstance(config.get("passes"), dict) and "spec" not in config)


def read_config(path: Path) -> dict[str, Any]:
    """Reads a workflow from .json, or .yaml and .yml as Olive also takes them.

    Raises:
        InvalidManifest: no such file, not JSON, a key that stands twice, or no mapping.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
        config = yaml.safe_load(text) if path.suffix in (".yaml", ".yml") else json.loads(text, object_pairs_hook=_once)
    except json.JSONDecodeError as error:
        raise InvalidManifest(f"not JSON: {error.msg}", where=f"{path}:{error.lineno}") from error
    except yaml.YAMLError as error:
        raise InvalidManifest(f"not YAML: {error}", where=str(path)) from error
    except UnicodeDecodeError as error:
        raise InvalidManifest(f"not UTF-8: {error.reason}", where=str(path)) from error
    except OSError as error:
        raise InvalidManifest(f"cannot be read: {error.strerror}", where=str(path)) from error
    except ValueError as error:
        raise InvalidManifest(str(error), where=str(path)) from error
    if not isinstance(config, dict):
        raise InvalidManifest("it is no mapping", where=str(path), hint="a workflow has input_model and passes")
    return config


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = [name for name, _ in pairs]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"the key {name!r} stands twice in one mapping; all but the last would be lost")
    return dict(pairs)


def convert(
    config: dict[str, Any],
    *,
    name: str | None = None,
    config_path: Path | None = None,
    cwd: Path | None = None,
    folder: Path | None = None,
) -> Imported:
    """Converts a workflow, of the new format or an older one.

    Args:
        name: metadata.name; default: the workflow's id, else the file's name.
        config_path: where the workflow was read from.
        cwd: the folder that its relative paths start from; default: the current one, as in Olive. Where nothing is
            found there, the workflow's own folder is tried.
        folder: the folder that the manifest will be in, from which its own relative paths start; default: `cwd`.

    Raises:
        UnknownPass: Olive has no such pass, or none has a counterpart.
        InvalidManifest: something is wrong with it; the path in the JSON is in the message.
    """
    trace = Trace(config)
    here = (cwd or Path.cwd()).absolute()
    beside = config_path.absolute().parent if config_path else here
    work = Work(trace, era_of(config), Paths(here, (folder or here).absolute(), beside))
    _looks_whole(config)
    top = View.of(trace, (), config, "engine")
    top.walk(load().sections["workflow"], "spec", frozenset({"engine"}))
    job = _name(work, top, name, config_path)
    data = DataSets(work, top)
    place = placement(work, top)
    source = model(work, top)
    measured, objectives = evaluation(work, top, searches=asked(top) is not None)
    allow(work, top, objectives)
    passes = steps(work, top, data)
    data.finish()
    rest = settings(work, top, job)
    finish(work, top, place)
    spec: dict[str, Any] = {"model": source}
    if work.trust_remote_code:
        source["trustRemoteCode"] = True
    if data.entries:
        spec["data"] = data.entries
    output = rest.pop("output")
    spec["passes"] = passes
    if place.execution:
        spec["execution"] = place.execution
    spec |= rest
    if measured:
        spec["evaluation"] = measured
    if searched := search(work, top, objectives):
        spec["search"] = searched
    spec["output"] = output
    if work.every_steps:
        spec["checkpoint"] = {"everySteps": work.every_steps}
    manifest = {"apiVersion": API_VERSION, "kind": KIND, "metadata": {"name": job}, "spec": spec}
    unmapped = trace.finish()
    _check(manifest, trace, whole=not any(line.blocks for line in unmapped))
    return Imported(manifest, unmapped, trace.notes, trace.mapped_to, work.era, place.alternatives)


def _looks_whole(config: dict[str, Any]) -> None:
    """Says at once when a key without which there is no job is missing, and which may be meant."""
    for key in ("input_model", "passes"):
        if key not in config and not (isinstance(config.get("engine"), dict) and key in config["engine"]):
            raise InvalidManifest(f"there is no {key}", where="the file", hint=suggest(key, map(str, config)))


def _name(work: Work, top: View, name: str | None, config_path: Path | None) -> str:
    workflow = top.text("workflow_id")
    if workflow and name is None:
        work.trace.mapped(workflow.path, "metadata.name")
    elif workflow:
        work.trace.note(workflow.path, "another name was asked for")
    written = name or (workflow.value if workflow else config_path.stem if config_path else "olive")
    return label(written, NAME_LENGTH)


def _check(manifest: dict[str, Any], trace: Trace, *, whole: bool) -> None:
    """Lets the contract and the passes judge, and says what they say with the JSON's paths.

    Args:
        whole: whether all passes are there: trials that lack one need not follow one another.

    Raises:
        InvalidManifest, UnknownPass
    """
    try:
        job = OptimizationJob.model_validate(manifest)
        registry.bind(job)
        notes = check_search(job) if job.spec.search is not None else []
    except ValidationError as error:
        raise InvalidManifest(_in_json(describe(error, OptimizationJob), trace)) from error
    except UserError as error:
        if isinstance(error, ChainMismatch) and not whole:
            return
        where = _in_json(error.where, trace) if error.where else None
        raise type(error)(_in_json(error.message, trace), where=where, hint=error.hint) from error
    for note in notes:
        trace.note((), note)


def _in_json(text: str, trace: Trace) -> str:
    for ours in sorted(trace.origins, key=len, reverse=True):
        text = text.replace(ours, trace.origins[ours])
    return text


__all__ = ["Imported", "convert", "looks_like_olive", "read_config"]
