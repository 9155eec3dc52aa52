"""The workflow around model, data and passes: systems, target, output, and what Olive's engine is told."""

from __future__ import annotations

from typing import Any, get_args

from millwright_api.errors import InvalidManifest, suggest
from millwright_api.v1alpha1 import ExecutionProvider
from millwright_runner.olive.trace import Path, show, wrong
from millwright_runner.olive.view import Found, View
from millwright_runner.olive.work import Work

LATER_AZURE = "Azure ML comes later; this run is on this machine"
PROVIDERS = get_args(ExecutionProvider)


def settings(work: Work, top: View, name: str) -> dict[str, Any]:
    """Returns the spec's target and output."""
    spec: dict[str, Any] = {}
    provider = _provider(work, top)
    if provider:
        spec["target"] = {"executionProvider": provider}
    for key in ("host", "target"):
        judge_system(work, top.get(key), top)
    for path, data in top.parts:
        if data.get("azureml_client"):
            work.trace.unmapped((*path, "azureml_client"), LATER_AZURE, blocks=False)
    _rest_of_systems(work, top)
    output = top.text("output_dir")
    spec["output"] = {"path": work.paths.manifest(output.value if output else f"{name}-model")}
    if output:
        work.trace.mapped(output.path, "spec.output.path")
    else:
        work.trace.note((), f"no output_dir, which is the current folder in Olive: the model goes to {name}-model")
    return spec


def judge_system(work: Work, found: Found | None, top: View) -> None:
    """Judges a `host` or `target`: a system's name, or a system.

    Raises:
        InvalidManifest: there is no system of that name.
    """
    if found is None:
        return
    system = found.value
    if isinstance(system, str):
        systems = _systems(top)
        if system not in systems:
            raise InvalidManifest(
                f"no system is called {system!r}", where=show(found.path), hint=suggest(system, systems)
            )
        system = systems[system].value
    if isinstance(system, dict) and str(system.get("type", "")).lower() == "localsystem":
        if isinstance(found.value, str):
            work.trace.note(found.path, "this machine, as here")
        else:
            _judge_local(work, found)
        return
    work.trace.unmapped(found.path, "this run is on this machine; other places come later", blocks=False)


def _systems(top: View) -> dict[str, Found]:
    found = top.get("systems")
    if found is None:
        return {}
    if not isinstance(found.value, dict):
        wrong(found.path, found.value, "mapping")
    return {name: Found((*found.path, name), value) for name, value in found.value.items()}


def _rest_of_systems(work: Work, top: View) -> None:
    for system in _systems(top).values():
        kind = str(system.value.get("type", "")).lower() if isinstance(system.value, dict) else ""
        if kind == "localsystem":
            _judge_local(work, system)
            continue
        why = LATER_AZURE if kind.startswith("azure") else "this run is in this machine's own Python environment"
        work.trace.unmapped(system.path, why, blocks=False)


def _judge_local(work: Work, system: Found) -> None:
    """Of a local system the type says nothing new, and accelerators that were not chosen play no part."""
    for path, data in _parts(system):
        if "type" in data:
            work.trace.note((*path, "type"), "this machine, as here")
        if data.get("config", ...) in (None, {}):
            work.trace.note((*path, "config"), "nothing is set")
        accelerators = data.get("accelerators")
        for index, one in enumerate(accelerators if isinstance(accelerators, list) else []):
            for key in ("device", "execution_providers", "memory"):
                place = (*path, "accelerators", index, key)
                if isinstance(one, dict) and key in one and work.trace.is_open(place):
                    work.trace.note(place, "one execution provider is the target; nothing more is asked of a machine")
    work.trace.unmapped(system.path, "a local system is this machine as it is", blocks=False)


def _parts(system: Found) -> list[tuple[Path, dict[str, Any]]]:
    config = system.value.get("config")
    return [(system.path, system.value), *([((*system.path, "config"), config)] if isinstance(config, dict) else [])]


def _provider(work: Work, top: View) -> str | None:
    """Finds the one execution provider; others are listed, since Olive would make a model for each."""
    named = _providers_of_engine(top) or _providers_of_system(top)
    if not named:
        work.trace.note((), "no execution provider is named: CPUExecutionProvider")
        return None
    first, *others = named
    for other in others:
        if other.value != first.value:
            work.trace.unmapped(other.path, "a further execution provider: import once more for its model", blocks=True)
        else:
            work.trace.mapped(other.path, "spec.target.executionProvider")
    if first.value not in PROVIDERS:
        why = f"models are built for {', '.join(PROVIDERS)}"
        work.trace.unmapped(first.path, why, blocks=True)
        return None
    work.trace.mapped(first.path, "spec.target.executionProvider")
    return str(first.value)


def _providers_of_engine(top: View) -> list[Found]:
    found = top.get("execution_providers")
    return _spread(found) if found else []


def _providers_of_system(top: View) -> list[Found]:
    for key in ("target", "host"):
        found = top.get(key)
        system = _systems(top).get(found.value) if found and isinstance(found.value, str) else found
        if system is None or not isinstance(system.value, dict):
            continue
        for path, data in _parts(system):
            if isinstance(data.get("accelerators"), list):
                return [
                    one for entry in _spread(Found((*path, "accelerators"), data["accelerators"])) for one in _of(entry)
                ]
    return []


def _spread(found: Found) -> list[Found]:
    """A list of scalars is one line of the JSON: its members share its path."""
    if not isinstance(found.value, list):
        return [found]
    nested = any(isinstance(item, dict | list) for item in found.value)
    return [Found((*found.path, i) if nested else found.path, item) for i, item in enumerate(found.value)]


def _of(accelerator: Found) -> list[Found]:
    """An accelerator is a device's name (0.4), or a mapping of device and execution providers."""
    value = accelerator.value
    device = value.get("device") if isinstance(value, dict) else value
    if isinstance(value, dict) and value.get("execution_providers"):
        return _spread(Found((*accelerator.path, "execution_providers"), value["execution_providers"]))
    providers = {"gpu": "CUDAExecutionProvider", "cpu": "CPUExecutionProvider"}
    path = (*accelerator.path, "device") if isinstance(value, dict) else accelerator.path
    return [Found(path, providers.get(str(device).lower(), device))]
