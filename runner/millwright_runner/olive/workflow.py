"""The workflow around model, data and passes: systems, target, output, and what Olive's engine is told."""

from __future__ import annotations

from typing import Any, get_args

from millwright_api.v1alpha1 import ExecutionProvider
from millwright_runner.olive.systems import parts_of, systems_of
from millwright_runner.olive.view import Found, View
from millwright_runner.olive.work import Work

PROVIDERS = get_args(ExecutionProvider)


def settings(work: Work, top: View, name: str) -> dict[str, Any]:
    """Returns the spec's target and output."""
    spec: dict[str, Any] = {}
    provider = _provider(work, top)
    if provider:
        spec["target"] = {"executionProvider": provider}
    output = top.text("output_dir")
    spec["output"] = {"path": work.paths.manifest(output.value if output else f"{name}-model")}
    if output:
        work.trace.mapped(output.path, "spec.output.path")
    else:
        work.trace.note((), f"no output_dir, which is the current folder in Olive: the model goes to {name}-model")
    return spec


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
    for key in ("target", "host", "workflow_host"):
        found = top.get(key)
        system = systems_of(top).get(found.value) if found and isinstance(found.value, str) else found
        if system is None or not isinstance(system.value, dict):
            continue
        for path, data in parts_of(system):
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
