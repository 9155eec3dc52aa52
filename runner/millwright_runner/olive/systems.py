"""systems, host and target → where the job runs: spec.execution.azureML, or this machine."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from millwright_api.errors import InvalidManifest, suggest
from millwright_runner.olive.amlsystem import AT_THE_END, NOT_COMPLETE, AzureSystem, is_azure, read_client
from millwright_runner.olive.azure import EXECUTION, settle
from millwright_runner.olive.trace import Path, show, wrong
from millwright_runner.olive.view import Found, View
from millwright_runner.olive.work import Work

ONE_PLACE = "all passes of a job run in one place, that of spec.execution, and are measured there"
ELSEWHERE = "no place to run here: the job runs in this machine's own Python environment, or on Azure ML or a cluster in an image"
TYPES = ("LocalSystem", "AzureML", "Docker", "PythonEnvironment", "IsolatedORT")
SURFACES = ("surfaceprosystem1796", "surfaceprosystem1807")
"""Names of Olive's for this machine when it is one of those."""
ALTERNATIVE = (
    "nothing in the workflow runs there: as another spec.execution it stands at the manifest's end, as a comment"
)


@dataclass
class Placement:
    """Where the job runs.

    Attributes:
        execution: spec.execution; None: this machine, or the cluster that it is applied to.
        alternatives: the same for systems that nothing uses, by their names.
    """

    execution: dict[str, Any] | None = None
    alternatives: dict[str, dict[str, Any]] = field(default_factory=dict)


def placement(work: Work, top: View) -> Placement:
    """Finds the system that the job runs on, and reads all those of Azure ML.

    Raises:
        InvalidManifest: a system is named that there is not, or one of Azure ML is wrong.
    """
    found = Placement()
    client = read_client(work, top)
    chosen = next((system for system in _asked(top) if is_azure(system)), None)
    if chosen is not None:
        work.azure.system = chosen.path
        found.execution = AzureSystem(work, chosen, client).use()
    for name, system in systems_of(top).items():
        if is_azure(system) and system.path != work.azure.system:
            other = AzureSystem(work, system, client).as_alternative()
            if other is not None:
                found.alternatives[name] = other
    return found


def finish(work: Work, top: View, place: Placement) -> None:
    """Judges what is named once more, and what nobody has judged: references, accelerators, other systems, the client."""
    for key in ("workflow_host", "host", "target"):
        judge_system(work, top.get(key), top)
    written_in_place = [
        found
        for key in ("workflow_host", "host", "target")
        if (found := top.get(key)) and isinstance(found.value, dict)
    ]
    for system in (*systems_of(top).values(), *written_in_place):
        if is_azure(system):
            _judge_accelerators(
                work, system, "one execution provider is the target; the compute decides on the machine"
            )
            work.trace.rest(system.path)
            if system.path[-1] in place.alternatives:
                work.trace.note(system.path, ALTERNATIVE)
        elif _is_local(system):
            _judge_local(work, system)
        else:
            work.trace.unmapped(system.path, ELSEWHERE, blocks=False)
    client = top.get("azureml_client")
    if client is not None:
        why = AT_THE_END if work.azure.at_the_end else "nothing on Azure ML is named that needs a workspace"
        settle(work, View.of(work.trace, client.path, client.value), work.azure.places, why)


def judge_system(work: Work, found: Found | None, top: View) -> None:
    """Judges a `host` or `target`: a system's name, or a system.

    Raises:
        InvalidManifest: there is no system of that name, or Olive has none of its type.
    """
    if found is None:
        return
    system = _resolve(found, top)
    if work.azure.system is not None and system.path == work.azure.system:
        if isinstance(found.value, str):  # one that is written in place was read line by line
            work.trace.mapped(found.path, EXECUTION)
    elif work.azure.system is not None:
        work.trace.unmapped(found.path, ONE_PLACE, blocks=False)
    elif _is_local(system):
        if isinstance(found.value, str):
            work.trace.note(found.path, "this machine, as here")
        else:
            _judge_local(work, found)
    elif is_azure(system):
        why = NOT_COMPLETE if system.path in work.azure.incomplete else "models are measured where they are made"
        work.trace.unmapped(found.path, why, blocks=False)
    else:
        work.trace.unmapped(found.path, ELSEWHERE, blocks=False)


def systems_of(top: View) -> dict[str, Found]:
    """Returns the systems by name. Raises InvalidManifest when they are no mapping, or of a type that Olive does not have."""
    found = top.get("systems")
    if found is None:
        return {}
    if not isinstance(found.value, dict):
        wrong(found.path, found.value, "mapping")
    systems = {name: Found((*found.path, name), value) for name, value in found.value.items()}
    for system in systems.values():
        _check_type(system)
    return systems


def _check_type(system: Found) -> None:
    kind = _kind(system)
    if kind and not is_azure(system) and kind not in (*SURFACES, *(one.lower() for one in TYPES)):
        found = system.value["type"]
        hint = suggest(str(found), TYPES)
        raise InvalidManifest(f"{found!r} is no type of a system", where=show((*system.path, "type")), hint=hint)


def parts_of(system: Found) -> list[tuple[Path, dict[str, Any]]]:
    """Returns a system's mapping, and that below its `config`."""
    config = system.value.get("config")
    return [(system.path, system.value), *([((*system.path, "config"), config)] if isinstance(config, dict) else [])]


def _asked(top: View) -> Iterator[Found]:
    """Yields the systems that passes run on, the one for all of them first; then the one that models are measured on, where
    nothing says where passes run."""
    host = top.get("host")
    for found in (top.get("workflow_host"), host, *_of_passes(top)):
        if found is not None:
            yield _resolve(found, top)
    target = top.get("target")
    if target is not None and host is None:
        yield _resolve(target, top)


def _of_passes(top: View) -> Iterator[Found]:
    passes = top.get("passes")
    for name, one in passes.value.items() if passes and isinstance(passes.value, dict) else ():
        path = (*passes.path, name) if passes else ()
        for place, part in [((*path, i), p) for i, p in enumerate(one)] if isinstance(one, list) else [(path, one)]:
            for where, data in parts_of(Found(place, part)) if isinstance(part, dict) else []:
                if data.get("host") is not None:
                    yield Found((*where, "host"), data["host"])


def _resolve(found: Found, top: View) -> Found:
    if not isinstance(found.value, str):
        _check_type(found)
        return found
    systems = systems_of(top)
    if found.value not in systems:
        hint = suggest(found.value, systems)
        raise InvalidManifest(f"no system is called {found.value!r}", where=show(found.path), hint=hint)
    return systems[found.value]


def _kind(system: Found) -> str:
    return str(system.value.get("type") or "").lower() if isinstance(system.value, dict) else ""


def _is_local(system: Found) -> bool:
    return _kind(system) in ("localsystem", *SURFACES)


def _judge_local(work: Work, system: Found) -> None:
    """Of a local system the type says nothing new, and accelerators that were not chosen play no part."""
    for path, data in parts_of(system):
        if "type" in data:
            work.trace.note((*path, "type"), "this machine, as here")
        if data.get("config", ...) in (None, {}):
            work.trace.note((*path, "config"), "nothing is set")
    _judge_accelerators(work, system, "one execution provider is the target; nothing more is asked of a machine")
    work.trace.unmapped(system.path, "a local system is this machine as it is", blocks=False)


def _judge_accelerators(work: Work, system: Found, why: str) -> None:
    for path, data in parts_of(system):
        accelerators = data.get("accelerators")
        if not isinstance(accelerators, list):
            continue
        place = (*path, "accelerators")
        if all(isinstance(one, str) for one in accelerators) and work.trace.is_open(place):
            work.trace.note(place, why)
        for index, one in enumerate(accelerators):
            for key in ("device", "execution_providers", "memory"):
                if isinstance(one, dict) and key in one and work.trace.is_open((*place, index, key)):
                    work.trace.note((*place, index, key), why)
